"""What to use instead of names of pyxs 0.4 and of ``dict``: the hint of an ``AttributeError``."""

from ._annotations import t

CLIENT = {
    "ack": "it is execute_command()",
    "commit": "it is transaction_end(), or the end of the with block of transaction()",
    "connect": "it is not needed: a client connects at its first command",
    "delete": "it is rm()",
    "get_perms": "it is get_permissions()",
    "list": "it is ls()",
    "rollback": "it is transaction_end(commit=False)",
    "router": "it is not needed: see client.connection",
    "set_perms": "it is set_permissions()",
}

#: A client looks like a dict, and is none.
DICT = {
    "clear": "to remove nodes, use rm()",
    "copy": "to save a subtree, use read_tree(), or pyxs.snapshot",
    "items": "use read_tree(), or walk()",
    "keys": "use ls()",
    "pop": "use read() and rm(), in a transaction",
    "setdefault": "use get() and write(), in a transaction",
    "update": "use write_tree(), or write_many()",
    "values": "use read_tree(), or walk()",
}

_NOTHING_OPEN = (
    "it is not needed: a connection holds nothing open, see close() of Client and Monitor"
)

CONNECTION = {
    "close": _NOTHING_OPEN,
    "connect": _NOTHING_OPEN,
    "create_transport": "it is open()",
    "is_connected": "there is none: a client and a monitor connect when they are used",
    "transport": "there is none: open() returns a new one",
}

MONITOR = {
    "client": "it is not needed: a monitor has a connection of its own",
    "events": "it is not needed: see check()",
    "unwatch_queue": "it is not needed: no event comes of a watch that has ended",
    "watched": "there is none: your program has to remember its watches",
}

PACKAGE = {
    "Router": "there is none: a Client takes a connection, and many threads may use it",
}


class _Absent:
    """A name that a class does not have: asking for it raises an ``AttributeError`` that helps.

    ``__getattr__`` would do as well, and would make every other attribute slower.
    """

    def __init__(self, name: str, hint: str) -> None:
        self._name = name
        self._hint = hint

    def __get__(self, instance: "t.Any", owner: type) -> "t.NoReturn":
        subject = "type object {!r}" if instance is None else "{!r} object"
        said = "{} has no attribute {!r}".format(subject.format(owner.__name__), self._name)
        raise AttributeError("{}; {}".format(said, self._hint))


def explain(cls: type, names: "t.Dict[str, str]", others: "t.Dict[str, str]" = {}) -> None:  # noqa: B006
    """Let a class say what became of the names that it had in 0.4, and not list them.

    :param others: hints for names that it never had.
    """
    hints = {name: _since(now) for name, now in names.items()}
    hints.update(others)

    def listed(self: object) -> "t.List[str]":
        """Return the names of the attributes that are there."""
        return [name for name in object.__dir__(self) if name not in hints]

    for name, hint in hints.items():
        setattr(cls, name, _Absent(name, hint))
    cls.__dir__ = listed  # type: ignore[assignment, method-assign]


def with_note(message: str, now: str) -> str:
    """Return what the interpreter would say, and what the name is now."""
    return "{}; {}".format(message, _since(now))


def _since(now: str) -> str:
    return "since pyxs 1.0 " + now
