"""Validates the arguments of each request and encodes them as its payload."""

from .. import helpers
from ..exceptions import InvalidOperation, InvalidPayload
from ..helpers import (
    shown,
    validate_domid,
    validate_number,
    validate_path,
    validate_perms,
    validate_text,
    validate_value,
    why_refused,
)
from .packets import Op

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Optional, Tuple

    from .._annotations.types import Domid, Perms, Text, Value

_UINT32_MAX = 2**32 - 1
_INT64_MAX = 2**63 - 1

_VARARGS = 0x04  # inspect.CO_VARARGS; inspect itself is slow to import


def encode(op: int, args: "Tuple[Any, ...]") -> bytes:
    """Return the payload of a request.

    :raises InvalidOperation: *op* is not a request, or needs its own method.
    :raises InvalidPath, InvalidPayload, InvalidPermission: an argument breaks a rule.
    :raises TypeError: there are too few or too many arguments.
    :raises PyXSError: ``EINVAL`` the request would harm a daemon.
    """
    encoder = _ENCODERS.get(op) if isinstance(op, int) else None
    if encoder is None:
        raise InvalidOperation(op, _why_invalid(op))
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
            "{} takes {} argument{}, {}, not {}".format(
                op.name, len(names), "" if len(names) == 1 else "s", ", ".join(names), count
            )
        ) from None


def _why_invalid(op: "Any") -> str:
    if op == Op.RESTRICT:
        return "RESTRICT: it would confine one connection of several"
    if isinstance(op, int) and op in _METHODS:
        return "{}: use {}".format(Op(op).name, _METHODS[Op(op)])
    return "{}: not a request of Op".format(shown(op))


_METHODS = {
    Op.WATCH: "watch()",
    Op.UNWATCH: "unwatch()",
    Op.RESET_WATCHES: "Monitor.reset_watches()",
    Op.TRANSACTION_START: "transaction_start() or transaction()",
    Op.TRANSACTION_END: "transaction_end()",
}


def strings(*items: bytes) -> bytes:
    """Return a payload of strings, with a NUL after each."""
    return b"\0".join(items) + b"\0"


def _number(number: int) -> bytes:
    return b"%d" % number


def _path(path: "Text") -> bytes:
    return validate_path(path) + b"\0"


def _rm(path: "Text") -> bytes:
    return _unless_harmful("RM", validate_path(path)) + b"\0"


def _unless_harmful(request: str, path: bytes) -> bytes:
    why = why_refused(request, path)
    if why is not None:
        raise helpers.error("EINVAL", path.decode("ascii"), why)
    return path


def _write(path: "Text", value: "Value") -> bytes:
    return validate_path(path) + b"\0" + validate_value(value)


def _directory_part(path: "Text", offset: int) -> bytes:
    number = validate_number(offset, "offset", 0, _UINT32_MAX)
    return strings(validate_path(path), _number(number))


def _set_perms(path: "Text", perms: "Perms") -> bytes:
    node = validate_path(path)
    entries = validate_perms(perms, any_domain=True)  # the client refuses it over a socket
    return strings(_unless_harmful("SET_PERMS", node), *entries)


def _domid(domid: "Domid") -> bytes:
    return strings(_number(validate_domid(domid)))


def _release(domid: "Domid") -> bytes:
    number = validate_domid(domid)
    why = why_refused("RELEASE", number)
    if why is not None:
        raise InvalidPayload(domid, "domid 0: must be an integer from 1 to 65535; " + why)
    return strings(_number(number))


def _introduce(domid: "Domid", mfn: int, eventchn: int) -> bytes:
    frame = validate_number(mfn, "mfn", -_INT64_MAX - 1, _INT64_MAX)
    port = validate_number(eventchn, "eventchn", 0, _UINT32_MAX)
    return strings(_number(validate_domid(domid, minimum=1)), _number(frame), _number(port))


def _set_target(domid: "Domid", target: "Domid") -> bytes:
    return _domid(domid) + strings(_number(validate_domid(target, "target")))


def _control(command: "Text", *args: "Text") -> bytes:
    name = validate_text(command, "command")
    if not name:
        raise InvalidPayload(command, "command {!r}: may not be empty".format(command))
    return strings(name, *(validate_text(arg, "argument") for arg in args))


def _get_feature(*domid: "Domid") -> bytes:
    return _domid(*domid) if domid else b"\0"


def _set_feature(domid: "Domid", bits: int) -> bytes:
    return _domid(domid) + strings(_number(validate_number(bits, "bits", 0, _UINT32_MAX)))


def _quota_name(name: "Text") -> bytes:
    data = validate_text(name, "name")
    if not data:
        raise InvalidPayload(name, "name {!r}: may not be empty".format(name))
    return strings(data)


def _get_quota(domid_or_name: "Any", *name: "Text") -> bytes:
    if not name:
        return _quota_name(domid_or_name)
    return _domid(domid_or_name) + _quota_name(*name)


def _set_quota(domid_or_name: "Any", name_or_value: "Any", *value: int) -> bytes:
    if not value:
        return _quota_name(domid_or_name) + _quota_value(name_or_value)
    return _domid(domid_or_name) + _quota_name(name_or_value) + _quota_value(*value)


def _quota_value(value: int) -> bytes:
    return strings(_number(validate_number(value, "value", 0, _UINT32_MAX)))


_WITH_PATH = frozenset(
    (
        Op.DIRECTORY,
        Op.READ,
        Op.GET_PERMS,
        Op.WATCH,
        Op.UNWATCH,
        Op.WRITE,
        Op.MKDIR,
        Op.RM,
        Op.SET_PERMS,
        Op.DIRECTORY_PART,
    )
)


def path_of(op: int, payload: bytes) -> "Optional[str]":
    """Return the path at the beginning of a request's payload, ``None`` if it has no path."""
    if op not in _WITH_PATH:
        return None
    return helpers.decode_text(payload.partition(b"\0")[0])


_ENCODERS: "Dict[int, Callable[..., bytes]]" = {
    Op.CONTROL: _control,
    Op.DIRECTORY: _path,
    Op.READ: _path,
    Op.GET_PERMS: _path,
    Op.INTRODUCE: _introduce,
    Op.RELEASE: _release,
    Op.GET_DOMAIN_PATH: _domid,
    Op.WRITE: _write,
    Op.MKDIR: _path,
    Op.RM: _rm,
    Op.SET_PERMS: _set_perms,
    Op.IS_DOMAIN_INTRODUCED: _domid,
    Op.RESUME: _domid,
    Op.SET_TARGET: _set_target,
    Op.DIRECTORY_PART: _directory_part,
    Op.GET_FEATURE: _get_feature,
    Op.SET_FEATURE: _set_feature,
    Op.GET_QUOTA: _get_quota,
    Op.SET_QUOTA: _set_quota,
}
