"""What each reply must hold.

Each decoder takes a reply's payload, and raises :exc:`MalformedError` when it is not what the
request defines.
"""

import re
from typing import Callable, List, Tuple

from ..helpers import decode_text

_UINT32_MAX = 2**32 - 1

_PERMISSION = "[wrbn][0-9]+"


class MalformedError(ValueError):
    """A reply is not what its request defines."""


def decode_ack(payload: bytes) -> None:
    """Check that the reply is OK."""
    if payload != b"OK\0":
        raise MalformedError("not OK")


def decode_strings(payload: bytes) -> "List[str]":
    """Return strings that end with NUL each."""
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
    """Return a generation, a part of the names as on the wire, and whether it is the last."""
    generation, separator, names = payload.partition(b"\0")
    if not separator or not names.endswith(b"\0"):
        raise MalformedError("a string lacks its NUL")
    last = names == b"\0" or names.endswith(b"\0\0")
    return generation, names[:-1] if last else names, last


def join_parts(ask_part: "Callable[[int], Tuple[bytes, bytes, bool]]") -> "List[str]":
    """Return all names of children.

    :param ask_part: returns what :func:`decode_part` made of the reply from an offset on.
    """
    generation, names, last = b"", b"", False
    while not last:
        current, part, last = ask_part(len(names))
        if names and current != generation:
            # The children have changed meanwhile: offsets mean nothing any more.
            names, last = b"", False
            continue
        generation = current
        names += part
    return decode_names(names)


def decode_perms(payload: bytes) -> "List[str]":
    """Return permissions."""
    perms = decode_strings(payload)
    if not perms or not all(re.fullmatch(_PERMISSION, perm) for perm in perms):
        raise MalformedError("not permissions")
    return perms


def decode_string(payload: bytes) -> str:
    """Return the one string of a reply."""
    texts = decode_strings(payload)
    if len(texts) != 1:
        raise MalformedError("not one string")
    return texts[0]


def decode_flag(payload: bytes) -> bool:
    """Return whether the reply is T and not F."""
    if payload not in (b"T\0", b"F\0"):
        raise MalformedError("neither T nor F")
    return payload == b"T\0"


def decode_number(payload: bytes) -> int:
    """Return the one number of a reply."""
    digits = payload[:-1]
    if payload[-1:] == b"\0" and digits.isdigit() and len(digits) <= 10:
        number = int(digits)
        if number <= _UINT32_MAX:
            return number
    raise MalformedError("not a number of 32 bits")


def decode_transaction(payload: bytes) -> int:
    """Return the id of a new transaction; 0 would mean none."""
    tx_id = decode_number(payload)
    if tx_id == 0:
        raise MalformedError("0 is no transaction")
    return tx_id
