"""The states of a device's frontend and backend, in words."""

__all__ = ["word"]

#: The names of ``enum xenbus_state`` in *xenbus.h* of Xen's public headers, by number.
_WORDS = {
    "0": "Unknown",
    "1": "Initialising",
    "2": "InitWait",
    "3": "Initialised",
    "4": "Connected",
    "5": "Closing",
    "6": "Closed",
    "7": "Reconfiguring",
    "8": "Reconfigured",
}


def word(value: str) -> str:
    """Return the word for the value of a node ``state``, ``""`` if it is not the number of one.

    ``word("4")`` is ``"Connected"``.
    """
    return _WORDS.get(value, "")
