"""Decoders of the payload of each reply.

Each raises :exc:`MalformedError` if *xenstore.txt* defines another form for the reply.
"""

from ..helpers import decode_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, List, Optional, Tuple

_UINT32_MAX = 2**32 - 1

_PERMISSION = "[wrbn][0-9]+"


class MalformedError(ValueError):
    """The payload of a reply does not have the form that *xenstore.txt* defines."""


def decode_ack(payload: bytes) -> None:
    """Check that the reply is OK."""
    if payload != b"OK\0":
        raise MalformedError("not OK")


def decode_strings(payload: bytes) -> "List[str]":
    """Return strings; a NUL follows each of them."""
    if not payload:
        return []
    if payload[-1:] != b"\0":
        raise MalformedError("the last string lacks its NUL")
    return decode_text(payload[:-1]).split("\0")


def decode_names(payload: bytes) -> "List[str]":
    """Return the names of children."""
    names = decode_strings(payload)
    if "" in names:
        raise MalformedError("a name is empty")
    return names


def decode_part(payload: bytes) -> "Tuple[bytes, bytes, bool]":
    """Return the parts of a DIRECTORY_PART reply.

    :returns: the generation of the node; some names, each with its NUL; and whether these
        are the last names.
    """
    generation, separator, names = payload.partition(b"\0")
    if not separator or not names.endswith(b"\0"):
        raise MalformedError("a string lacks its NUL")
    last = names == b"\0" or names.endswith(b"\0\0")
    return generation, names[:-1] if last else names, last


def join_parts(
    ask_part: "Callable[[int], Optional[Tuple[bytes, bytes, bool]]]",
) -> "Optional[List[str]]":
    """Return the names of all children, requested part by part; ``None``: no such node.

    :param ask_part: takes an offset in bytes, sends DIRECTORY_PART, and returns the result
        of :func:`decode_part`, or ``None`` if there is no such node.
    """
    generation, names, last = b"", b"", False
    while not last:
        answer = ask_part(len(names))
        if answer is None:
            return None
        current, part, last = answer
        if names and current != generation:
            # The children have changed meanwhile, so the offset is no longer valid.
            names, last = b"", False
            continue
        generation = current
        names += part
    return decode_names(names)


def decode_perms(payload: bytes) -> "List[str]":
    """Return permissions, such as ``["n0", "r5"]``."""
    import re  # here, because a command that reads a value does not need it

    perms = decode_strings(payload)
    if not perms or not all(re.fullmatch(_PERMISSION, perm) for perm in perms):
        raise MalformedError("not permissions")
    return perms


def decode_event(payload: bytes) -> "Tuple[bytes, bytes]":
    """Return the path and the token of a WATCH_EVENT."""
    parts = payload.split(b"\0")
    if len(parts) != 3 or parts[2]:
        raise MalformedError("not a path and a token")
    return parts[0], parts[1]


def decode_string(payload: bytes) -> str:
    """Return the only string of a reply."""
    texts = decode_strings(payload)
    if len(texts) != 1:
        raise MalformedError("not one string")
    return texts[0]


def decode_flag(payload: bytes) -> bool:
    """Return ``True`` for T, ``False`` for F."""
    if payload not in (b"T\0", b"F\0"):
        raise MalformedError("neither T nor F")
    return payload == b"T\0"


def decode_number(payload: bytes) -> int:
    """Return the only number of a reply, which has 32 bits."""
    digits = payload[:-1]
    if payload[-1:] == b"\0" and digits.isdigit() and len(digits) <= 10:
        number = int(digits)
        if number <= _UINT32_MAX:
            return number
    raise MalformedError("not a number of 32 bits")


def decode_transaction(payload: bytes) -> int:
    """Return the id of a new transaction."""
    tx_id = decode_number(payload)
    if tx_id == 0:
        raise MalformedError("0 is not the id of a transaction")
    return tx_id
