"""Validation of what a caller passes, by the rules of *xenstore.txt*.

Each ``validate_*`` takes an argument, checks it, and returns it as the ``bytes``
or the ``int`` that goes on the wire.
"""

import errno
import os
import re
from typing import Any, Iterable, List, Optional, Union

from .exceptions import InvalidPath, InvalidPayload, InvalidPermission, PyXSError

__all__ = [
    "error",
    "validate_domid",
    "validate_number",
    "validate_path",
    "validate_perms",
    "validate_text",
    "validate_token",
    "validate_value",
    "validate_watch_path",
]

Text = Union[str, bytes]

ABSOLUTE_PATH_MAX = 3072  # XENSTORE_ABS_PATH_MAX, xs_wire.h
RELATIVE_PATH_MAX = 2048  # XENSTORE_REL_PATH_MAX, xs_wire.h
DOMID_MAX = 65535  # domid_t is 16 bits wide, xen.h
DOMID_ANY = 32757  # DOMID_FIRST_RESERVED + 5 (0x7ff5), xen.h

_PATH_BYTES = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-/_@"
_BAD_ENDS = (b"", b"/")
# Compiled when they are first used: an import would take a tenth longer.
_SPECIAL = rb"@introduceDomain|@releaseDomain(?:/([0-9]{1,5}))?"
_PERMISSION = r"[wrbn]([0-9]{1,5})"


def error(code: "Union[int, str]") -> PyXSError:
    """Make the exception for an errno, given as number or as name.

    >>> error("EINVAL").errno == error(22).errno
    True

    A name that :mod:`errno` lacks becomes ``EINVAL``, as in libxenstore, and is
    kept in the message.
    """
    if isinstance(code, int):
        return PyXSError(code, os.strerror(code))
    number = getattr(errno, code, None) if code.startswith("E") else None
    if isinstance(number, int):
        return PyXSError(number, os.strerror(number))
    return PyXSError(errno.EINVAL, "{}: an error that errno does not know".format(code))


def validate_path(path: Text) -> bytes:
    """Return *path* as bytes.

    :raises InvalidPath: it is not made of ``A-Za-z0-9-_@`` and single slashes,
        ends with a slash, or is longer than 3072 bytes (2048 if relative).
    """
    data = path.encode("ascii", "replace") if isinstance(path, str) else _path_bytes(path)
    # What is not ASCII has become a question mark, which no path may hold either.
    # By find(): asked whether bytes are in it, bytes first try to take those for a number.
    if data.translate(None, _PATH_BYTES) or data.find(b"//") >= 0 or data[-1:] in _BAD_ENDS:
        if data == b"/":
            return data
        raise InvalidPath("{}: {}".format(_shown(path), _broken_rule(data)))
    if len(data) > RELATIVE_PATH_MAX and (data[:1] != b"/" or len(data) > ABSOLUTE_PATH_MAX):
        raise InvalidPath(
            "{}: {} bytes; a path has at most {}, or {} when it does not begin with '/'".format(
                _shown(path), len(data), ABSOLUTE_PATH_MAX, RELATIVE_PATH_MAX
            )
        )
    return data


def validate_watch_path(wpath: Text) -> bytes:
    """Return *wpath*, a path or a special one, as bytes.

    Special are ``@introduceDomain``, ``@releaseDomain`` and
    ``@releaseDomain/<domid>``.

    :raises InvalidPath: it is neither.
    """
    data = wpath.encode("ascii", "replace") if isinstance(wpath, str) else _path_bytes(wpath)
    if not data.startswith(b"@"):
        return validate_path(wpath)
    match = re.fullmatch(_SPECIAL, data)
    if match is None or int(match.group(1) or 0) > DOMID_MAX:
        raise InvalidPath(
            "{}: a special path is @introduceDomain, @releaseDomain or "
            "@releaseDomain/<domid>".format(_shown(wpath))
        )
    return data


def validate_perms(perms: "Iterable[Text]") -> "List[bytes]":
    """Return permissions such as ``["n0", "r5"]`` as a list of bytes.

    :raises InvalidPermission: *perms* is one bare string or empty, or an entry is not
        one of ``w``, ``r``, ``b``, ``n`` followed by a domid.
    """
    if isinstance(perms, (str, bytes)):
        raise InvalidPermission(
            "{}: permissions are a list of strings, such as ['n0', 'r5']".format(_shown(perms))
        )
    try:
        entries = list(perms)
    except TypeError as exc:
        if not raised_here(exc):
            raise
        raise InvalidPermission(
            "{}: permissions are a list of strings".format(_shown(perms))
        ) from None
    if not entries:
        raise InvalidPermission("[]: the first entry names the owner and is needed")
    return [_permission(entry) for entry in entries]


def _permission(entry: Text) -> bytes:
    text = _as_text(entry)
    match = re.fullmatch(_PERMISSION, text) if text is not None else None
    if text is None or match is None or int(match.group(1)) > DOMID_MAX:
        raise InvalidPermission(
            "{}: a permission is one of w, r, b, n followed by a domid, such as 'r5'".format(
                _shown(entry)
            )
        )
    if int(match.group(1)) == DOMID_ANY:
        # Xen's head reports it for @releaseDomain, and crashes when it is set.
        raise InvalidPermission(
            "{}: domid {} (DOMID_ANY) stands for no domain".format(_shown(entry), DOMID_ANY)
        )
    return text.encode("ascii")


def validate_domid(domid: int, name: str = "domid", minimum: int = 0) -> int:
    """Return *domid* if it is an integer from *minimum* to 65535.

    :param name: what the message calls the argument.
    :raises InvalidPayload: it is not.
    """
    return validate_number(domid, name, minimum, DOMID_MAX)


def validate_number(number: int, name: str, minimum: int, maximum: int) -> int:
    """Return *number* if it is an integer between the two bounds.

    :raises InvalidPayload: it is not.
    """
    if isinstance(number, bool) or not isinstance(number, int) or not minimum <= number <= maximum:
        raise InvalidPayload(
            "{} {}: must be an integer from {} to {}".format(name, _shown(number), minimum, maximum)
        )
    return int(number)


def validate_text(text: Text, name: str) -> bytes:
    """Return *text* as bytes without a NUL.

    :raises InvalidPayload: it is neither ``str`` nor ``bytes``, or holds a NUL.
    """
    if not isinstance(text, (str, bytes)):
        raise InvalidPayload("{} {}: must be str or bytes".format(name, _shown(text)))
    data = encode_text(text, name)
    if b"\0" in data:
        raise InvalidPayload("{} {}: may not contain NUL".format(name, _shown(text)))
    return data


def validate_token(token: Text) -> bytes:
    """Return the token of a watch as bytes.

    :raises InvalidPayload: it is neither ``str`` nor ``bytes``, empty, or holds a NUL.
    """
    data = validate_text(token, "token")
    if not data:
        raise InvalidPayload("token {}: may not be empty".format(_shown(token)))
    return data


def validate_value(value: Any) -> bytes:
    """Return a node's value as bytes: ``bytes`` as they are, else ``str(value)``.

    :raises InvalidPayload: it ends with NUL.
    """
    data = encode_text(value if isinstance(value, (str, bytes)) else str(value), "value")
    if data.endswith(b"\0"):
        raise InvalidPayload("value {}: may not end with NUL".format(_shown(value)))
    return data


def encode_text(text: Text, name: str) -> bytes:
    """Return text as bytes, ``str`` in UTF-8; :func:`decode_text` gives it back.

    :raises InvalidPayload: a surrogate in it stands for no byte.
    """
    if isinstance(text, bytes):
        return bytes(text)
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise InvalidPayload(
            "{} {}: has a surrogate that stands for no byte".format(name, _shown(text))
        ) from None


def decode_text(data: bytes) -> str:
    """Return bytes as the ``str`` that encodes to the same bytes again."""
    return data.decode("utf-8", "surrogateescape")


def raised_here(exc: BaseException, calls: int = 0) -> bool:
    """Whether *exc* was raised in the very frame that has caught it, by itself or in C.

    A signal handler or a method of the caller's may run inside a call. What that raises
    has a frame of its own in the traceback, and is for the caller.

    :param calls: how many calls below that frame instead.
    """
    traceback = exc.__traceback__
    for _ in range(calls + 1):
        traceback = None if traceback is None else traceback.tb_next
    return traceback is None


def _as_text(text: Any) -> "Optional[str]":
    """Return ``str`` or ``bytes`` as ``str``, anything else as ``None``."""
    if isinstance(text, str):
        return text
    # Bytes over 127 become characters that no pattern here takes.
    return text.decode("latin-1") if isinstance(text, bytes) else None


def _path_bytes(path: bytes) -> bytes:
    if isinstance(path, bytes):
        return bytes(path)
    raise InvalidPath("{}: a path is str or bytes".format(_shown(path)))


_PATH_RULE = "a path has only the characters A-Z a-z 0-9 - _ @ and /"


def _broken_rule(path: bytes) -> str:
    if not path:
        return "a path may not be empty"
    if b"//" in path:
        return "a path may not contain '//'"
    if path.endswith(b"/"):
        return "a path may not end with '/'"
    return _PATH_RULE


def _shown(argument: Any) -> str:
    text = repr(argument)
    return text if len(text) <= 80 else text[:60] + "…" + text[-10:]
