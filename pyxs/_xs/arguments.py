"""Conversion of arguments and results, as in the C extension ``xen.lowlevel.xs``."""

import errno
import operator
import os
import re
from typing import Any, Dict, List, Tuple, cast

from .._wire.replies import MalformedError
from ..helpers import why_refused

_INT_MAX = 2**31 - 1
_LONG_MAX = 2**63 - 1
UINT32_MASK = 2**32 - 1
UINT64_MASK = 2**64 - 1

# re compiles these when they are first used, as those of helpers.py.
_HANDLE = r"[ \t-\r]*([-+]?)(?:0[xX](?=[0-9a-fA-F]))?([0-9a-fA-F]*)"
_PERMISSION = rb"([nrwb])(-?[0-9]{1,20})"


class Error(RuntimeError):
    """An error of :class:`xs`; ``args`` are an :mod:`errno` number and its text."""


Error.__module__ = "pyxs"  # the name by which programs know it


def make_error(code: int) -> Error:
    return Error(code, os.strerror(code))


def text_argument(text: Any, position: int) -> bytes:
    """Return a ``str`` argument as bytes without a NUL."""
    if not isinstance(text, str):
        given = "None" if text is None else type(text).__name__
        raise TypeError("argument {} must be str, not {}".format(position, given))
    data = str.encode(text)  # a subclass may have an encode() of its own
    if b"\0" in data:
        raise ValueError("embedded null character")
    return data


def path_argument(path: Any, position: int = 2) -> bytes:
    """Return a path with its NUL; the daemon checks whether it is well-formed."""
    return text_argument(path, position) + b"\0"


def data_argument(data: Any) -> bytes:
    """Return the value to write: ``str`` or ``bytes``, which may contain NUL."""
    if isinstance(data, str):
        return str.encode(data)
    if isinstance(data, bytes):
        return data
    try:
        memoryview(data).release()
    except TypeError:
        given = type(data).__name__
        raise TypeError("a bytes-like object is required, not {!r}".format(given)) from None
    raise TypeError(
        "argument 3 must be read-only bytes-like object, not {}".format(type(data).__name__)
    )


def transaction_argument(handle: Any) -> int:
    """Return the id of a transaction from its handle; 0: no transaction.

    The handle is parsed as ``strtoul(handle, NULL, 16)`` does: up to the first character
    that is not a hexadecimal digit.
    """
    if type(handle) is str and handle in ("", "0"):
        return 0
    if handle is None or (isinstance(handle, int) and handle == 0):
        return 0  # the C extension's tutorial of 2011 passes None and 0
    sign, digits = cast(
        "re.Match[str]", re.match(_HANDLE, text_argument(handle, 1).decode())
    ).groups()
    number = int(digits or "0", 16)
    if number > UINT64_MASK:
        return UINT32_MASK
    return (-number if sign == "-" else number) & UINT32_MASK


def long_argument(number: Any) -> int:
    value = int.__index__(operator.index(number))  # a subclass may redefine anything
    if not -_LONG_MAX - 1 <= value <= _LONG_MAX:
        raise OverflowError("Python int too large to convert to C long")
    return value


def int_argument(number: Any) -> int:
    value = long_argument(number)
    if value > _INT_MAX:
        raise OverflowError("signed integer is greater than maximum")
    if value < -_INT_MAX - 1:
        raise OverflowError("signed integer is less than minimum")
    return value


def domid_argument(domid: Any) -> int:
    """Return a domid as libxenstore sends it: as an unsigned number."""
    return int_argument(domid) & UINT32_MASK


def _permission(dom: Any, read: Any = 0, write: Any = 0) -> "Tuple[bytes, int]":
    """Return the letter and the domid of a permission given as a dict's items."""
    domid, readable, writable = int_argument(dom), int_argument(read), int_argument(write)
    if why_refused("permission", domid):
        raise make_error(errno.EINVAL)
    letter = (b"b" if readable else b"w") if writable else (b"r" if readable else b"n")
    return letter, domid


def permissions_argument(perms: Any) -> bytes:
    if not isinstance(perms, list):
        raise make_error(errno.EINVAL)
    entries = []
    for item in perms:
        if not isinstance(item, dict):
            raise TypeError("a permission must be dict, not {}".format(type(item).__name__))
        entries.append(_permission(**item))
    # The owner needs no rights in the first entry. If that entry grants some, libxenstore
    # puts domain 0 before it as the owner.
    if entries and entries[0][0] != b"n" and entries[0][1] != 0:
        entries.insert(0, (b"n", 0))
    return b"".join(b"%s%d\0" % entry for entry in entries)


def decode_permission_dicts(payload: bytes) -> "List[Dict[str, int]]":
    *entries, rest = payload.split(b"\0")
    if rest or not entries:
        raise MalformedError("not permissions")
    return [_decode_permission(entry) for entry in entries]


def _decode_permission(entry: bytes) -> "Dict[str, int]":
    match = re.fullmatch(_PERMISSION, entry)
    if match is None:
        raise MalformedError("not a permission")
    letter, number = match.groups()
    domid = ((int(number) + 2**31) & UINT32_MASK) - 2**31  # an int in C
    return {
        "dom": domid,
        "read": 1 if letter in b"rb" else 0,
        "write": 2 if letter in b"wb" else 0,  # XS_PERM_WRITE, xenstore_lib.h
    }
