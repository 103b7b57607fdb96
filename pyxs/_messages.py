"""What goes into each request, and what each reply must hold.

The encoders take a caller's arguments, validate them, and return a payload; the decoders
take a reply's payload and raise ``ValueError`` when it is not what the request defines.
"""

import re
from typing import Any, Callable, Dict, Iterable, List, Tuple

from . import helpers
from ._internal import Op
from .exceptions import InvalidOperation, InvalidPayload
from .helpers import (
    Text,
    validate_domid,
    validate_number,
    validate_path,
    validate_perms,
    validate_text,
    validate_value,
)

_UINT32_MAX = 2**32 - 1
_INT64_MAX = 2**63 - 1

_VARARGS = 0x04  # inspect.CO_VARARGS; inspect itself is slow to import

_PERMISSION = "[wrbn][0-9]+"


def encode(op: int, args: "Tuple[Any, ...]") -> bytes:
    """Return the payload of a request.

    :raises InvalidOperation: *op* is no request, or has a method of its own.
    :raises InvalidPath, InvalidPayload, InvalidPermission: an argument breaks a rule.
    :raises TypeError: there are too few arguments, or too many.
    """
    try:
        encoder = _ENCODERS[op]
    except (KeyError, TypeError):
        raise InvalidOperation(_why_not(op)) from None
    try:
        return encoder(*args)
    except TypeError:
        _check_count(Op(op), encoder, len(args))
        raise


def _check_count(op: Op, encoder: "Callable[..., bytes]", count: int) -> None:
    code = encoder.__code__
    names = code.co_varnames[: code.co_argcount]
    if count < len(names) or (count > len(names) and not code.co_flags & _VARARGS):
        raise TypeError(
            "{} takes {} arguments, {}, not {}".format(op.name, len(names), ", ".join(names), count)
        ) from None


def _why_not(op: Any) -> str:
    if isinstance(op, int) and op in _METHODS:
        return "{}: use {}".format(Op(op).name, _METHODS[Op(op)])
    return "{!r}: not a request of Op".format(op)


_METHODS = {
    Op.WATCH: "watch()",
    Op.UNWATCH: "unwatch()",
    Op.RESET_WATCHES: "Monitor.reset_watches()",
    Op.TRANSACTION_START: "transaction_start() or transaction()",
    Op.TRANSACTION_END: "transaction_end()",
}


def strings(*items: bytes) -> bytes:
    """Return items as a payload, each ended by NUL."""
    return b"\0".join(items) + b"\0"


def _number(number: int) -> bytes:
    return b"%d" % number


def _path(path: Text) -> bytes:
    return validate_path(path) + b"\0"


def _rm(path: Text) -> bytes:
    payload = _path(path)
    if payload == b"/\0":
        raise helpers.error("EINVAL")  # the OCaml daemon would empty its store
    return payload


def _write(path: Text, value: Any) -> bytes:
    return validate_path(path) + b"\0" + validate_value(value)


def _directory_part(path: Text, offset: int) -> bytes:
    number = validate_number(offset, "offset", 0, _UINT32_MAX)
    return strings(validate_path(path), _number(number))


def _set_perms(path: Text, perms: "Iterable[Text]") -> bytes:
    node = validate_path(path)
    entries = validate_perms(perms)
    if not may_have_perms(node):
        raise helpers.error("EINVAL")
    return strings(node, *entries)


def may_have_perms(path: bytes) -> bool:
    """Whether SET_PERMS of *path* is harmless.

    Of any other path that begins with ``@`` the C daemon of 4.17 answers with the last errno
    that it happened to meet; when that is none, it aborts.
    """
    return not path.startswith(b"@") or path in (b"@introduceDomain", b"@releaseDomain")


def _domid(domid: int) -> bytes:
    return strings(_number(validate_domid(domid)))


def _guest(domid: int) -> bytes:
    # Of domain 0 the OCaml daemon answers RELEASE with ENOENT and empties its store.
    return strings(_number(validate_domid(domid, minimum=1)))


def _introduce(domid: int, mfn: int, eventchn: int) -> bytes:
    frame = validate_number(mfn, "mfn", -_INT64_MAX - 1, _INT64_MAX)
    port = validate_number(eventchn, "eventchn", 0, _UINT32_MAX)
    return _guest(domid) + strings(_number(frame), _number(port))


def _set_target(domid: int, target: int) -> bytes:
    return _domid(domid) + strings(_number(validate_domid(target, "target")))


def _control(command: Text, *args: Text) -> bytes:
    name = validate_text(command, "command")
    if not name:
        raise InvalidPayload("command {!r}: may not be empty".format(command))
    return strings(name, *(validate_text(arg, "argument") for arg in args))


def _get_feature(*domid: int) -> bytes:
    return _domid(*domid) if domid else b"\0"


def _set_feature(domid: int, bits: int) -> bytes:
    return _domid(domid) + strings(_number(validate_number(bits, "bits", 0, _UINT32_MAX)))


def _quota_name(name: Text) -> bytes:
    data = validate_text(name, "name")
    if not data:
        raise InvalidPayload("name {!r}: may not be empty".format(name))
    return strings(data)


def _get_quota(first: Any, *name: Text) -> bytes:
    return _domid(first) + _quota_name(*name) if name else _quota_name(first)


def _set_quota(first: Any, second: Any, *value: int) -> bytes:
    if not value:
        return _quota_name(first) + _quota_value(second)
    return _domid(first) + _quota_name(second) + _quota_value(*value)


def _quota_value(value: int) -> bytes:
    return strings(_number(validate_number(value, "value", 0, _UINT32_MAX)))


_ENCODERS: "Dict[int, Callable[..., bytes]]" = {
    Op.CONTROL: _control,
    Op.DIRECTORY: _path,
    Op.READ: _path,
    Op.GET_PERMS: _path,
    Op.INTRODUCE: _introduce,
    Op.RELEASE: _guest,
    Op.GET_DOMAIN_PATH: _domid,
    Op.WRITE: _write,
    Op.MKDIR: _path,
    Op.RM: _rm,
    Op.SET_PERMS: _set_perms,
    Op.IS_DOMAIN_INTRODUCED: _domid,
    Op.RESUME: _domid,
    Op.SET_TARGET: _set_target,
    Op.RESTRICT: _domid,
    Op.DIRECTORY_PART: _directory_part,
    Op.GET_FEATURE: _get_feature,
    Op.SET_FEATURE: _set_feature,
    Op.GET_QUOTA: _get_quota,
    Op.SET_QUOTA: _set_quota,
}


def decode_text(data: bytes) -> str:
    """Return bytes as the ``str`` that encodes to the same bytes again."""
    return data.decode("utf-8", "surrogateescape")


def decode_ack(payload: bytes) -> None:
    """Check that the reply is OK."""
    if payload != b"OK\0":
        raise ValueError("not OK")


def decode_strings(payload: bytes) -> "List[str]":
    """Return strings that end with NUL each."""
    if not payload:
        return []
    if payload[-1:] != b"\0":
        raise ValueError("the last string lacks its NUL")
    return decode_text(payload[:-1]).split("\0")


def decode_names(payload: bytes) -> "List[str]":
    """Return the names of children."""
    names = decode_strings(payload)
    if "" in names:
        raise ValueError("a name is empty")
    return names


def decode_part(payload: bytes) -> "Tuple[bytes, bytes, bool]":
    """Return a generation, a part of the names as on the wire, and whether it is the last."""
    generation, separator, names = payload.partition(b"\0")
    if not separator or not names.endswith(b"\0"):
        raise ValueError("a string lacks its NUL")
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
        raise ValueError("not permissions")
    return perms


def decode_string(payload: bytes) -> str:
    """Return the one string of a reply."""
    (text,) = decode_strings(payload)
    return text


def decode_flag(payload: bytes) -> bool:
    """Return whether the reply is T and not F."""
    if payload not in (b"T\0", b"F\0"):
        raise ValueError("neither T nor F")
    return payload == b"T\0"


def decode_number(payload: bytes) -> int:
    """Return the one number of a reply."""
    digits = payload[:-1]
    if payload[-1:] == b"\0" and digits.isdigit() and len(digits) <= 10:
        number = int(digits)
        if number <= _UINT32_MAX:
            return number
    raise ValueError("not a number of 32 bits")


def decode_transaction(payload: bytes) -> int:
    """Return the id of a new transaction; 0 would mean none."""
    tx_id = decode_number(payload)
    if tx_id == 0:
        raise ValueError("0 is no transaction")
    return tx_id
