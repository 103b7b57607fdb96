"""Validation of arguments by the rules of *xenstore.txt*.

Each ``validate_*`` function checks an argument and returns it as the ``bytes``
or the ``int`` that goes on the wire.
"""

import enum
import errno
import os
import sys
import warnings

from ._annotations import t
from .exceptions import (
    Conflict,
    InvalidPath,
    InvalidPayload,
    InvalidPermission,
    NodeNotFound,
    PermissionDenied,
    PyXSError,
    QuotaExceeded,
)

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


ABSOLUTE_PATH_MAX = 3072  # XENSTORE_ABS_PATH_MAX, xs_wire.h
RELATIVE_PATH_MAX = 2048  # XENSTORE_REL_PATH_MAX, xs_wire.h
DOMID_MAX = 65535  # domid_t is 16 bits wide, xen.h
_DOMID_DIGITS = 5
DOMID_ANY = 32757  # DOMID_FIRST_RESERVED + 5 (0x7ff5), xen.h

_PATH_BYTES = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-/_@"
_BAD_ENDS = (b"", b"/")
# re is imported, and compiles these, when they are first used: a command that reads a value
# needs neither.
_SPECIAL = rb"@introduceDomain|@releaseDomain(?:/([0-9]{1,5}))?"
_PERMISSION = r"[wrbn]([0-9]{1,5})"


def error(
    smth: "t.Union[int, str, bytes]", path: "t.Optional[str]" = None, why: "t.Optional[str]" = None
) -> PyXSError:
    """Return the exception for an errno, given as a number or as a name.

    >>> error("EINVAL").errno == error(22).errno
    True

    :param smth: the errno, such as ``22`` or ``"EINVAL"``. A name that :mod:`errno` lacks
        becomes ``EINVAL``, as in libxenstore's *xs.c*, and the message keeps the name.
    :param path: the path in the request, if it has one.
    :param why: what the answer means here, or why pyxs refused the request.
    :returns: a :exc:`~pyxs.PyXSError`, or its subclass for the errno: ``ENOENT`` with a *path*
        is a :exc:`~pyxs.NodeNotFound`.
    """
    if isinstance(smth, int):
        number: t.Any = smth
    else:
        name = smth.decode("latin-1") if isinstance(smth, bytes) else smth
        number = getattr(errno, name, None) if name.startswith("E") else None
        if not isinstance(number, int):
            text = "{}: an error that errno does not know".format(name)
            unknown = QuotaExceeded if name == "EQUOTA" else PyXSError  # oxenstored's own
            return unknown(errno.EINVAL, text, path=path, why=why)
    kind = _KINDS.get(number, PyXSError)
    if path is not None and number in (errno.ENOENT, errno.EACCES):
        if number == errno.ENOENT:
            kind = NodeNotFound
        if why is None and path[:1] not in ("/", "@"):
            why = RELATIVE
    if why is None:
        why = _MEANINGS.get(number)
    return kind(number, os.strerror(number), path=path, why=why)


_KINDS: "t.Dict[int, t.Type[PyXSError]]" = {
    errno.EACCES: PermissionDenied,
    errno.EPERM: PermissionDenied,
    errno.EAGAIN: Conflict,
    errno.ENOSPC: QuotaExceeded,
}

# Errors that no request gets for another reason.
_MEANINGS = {
    errno.EEXIST: "this path is watched with this token already",
    errno.ENOSPC: "over a quota of the daemon for this domain",
}

#: Where the daemon looks for a relative path.
RELATIVE = (
    "a path without '/' in front begins at the domain's own home, which is /local/domain/0 in dom0"
)


def warn(
    message: str,
    category: "t.Type[Warning]" = RuntimeWarning,
    source: "t.Optional[object]" = None,
) -> None:
    """Warn at the line of the program that called pyxs, by whichever method.

    :param source: what :mod:`tracemalloc` is to find the origin of.
    """
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and _is_own(frame.f_globals):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level, source=source)


def _is_own(names: "t.Dict[str, t.Any]") -> bool:
    return (str(names.get("__name__")) + ".").startswith(_PACKAGE)


_PACKAGE = __name__.rpartition(".")[0] + "."


def validate_path(path: "t.Text") -> bytes:
    """Return *path* as bytes.

    :raises InvalidPath: *path* breaks a rule of *xenstore.txt*: a path has only the
        characters ``A-Za-z0-9-_@`` and single slashes, does not end with a slash, and has
        at most 3072 bytes, or 2048 if relative.
    """
    data = path.encode("ascii", "replace") if isinstance(path, str) else _path_bytes(path)
    # Other characters than ASCII have become question marks, which a path may not have.
    # find(), because the operator "in" of bytes first tries to convert its operand to int.
    if data.translate(None, _PATH_BYTES) or data.find(b"//") >= 0 or data[-1:] in _BAD_ENDS:
        if data == b"/":
            return data
        raise InvalidPath(path, "{}: {}".format(shown(path), _broken_rule(data)))
    if len(data) > RELATIVE_PATH_MAX and (data[:1] != b"/" or len(data) > ABSOLUTE_PATH_MAX):
        raise InvalidPath(
            path,
            "{}: {} bytes; a path has at most {}, or {} when it does not begin with '/'".format(
                shown(path), len(data), ABSOLUTE_PATH_MAX, RELATIVE_PATH_MAX
            ),
        )
    return data


def validate_watch_path(wpath: "t.Text") -> bytes:
    """Return the path of a watch as bytes.

    :param wpath: a path, or one of the special paths of *xenstore.txt*:
        ``@introduceDomain``, ``@releaseDomain`` and ``@releaseDomain/<domid>``.
    :raises InvalidPath: *wpath* is neither.
    """
    data = wpath.encode("ascii", "replace") if isinstance(wpath, str) else _path_bytes(wpath)
    if not data.startswith(b"@"):
        return validate_path(wpath)
    import re

    match = re.fullmatch(_SPECIAL, data)
    if match is None or int(match.group(1) or 0) > DOMID_MAX:
        raise InvalidPath(
            wpath,
            "{}: a special path is @introduceDomain, @releaseDomain or "
            "@releaseDomain/<domid>".format(shown(wpath)),
        )
    return data


def validate_perms(perms: "t.Perms", any_domain: bool = False) -> "t.List[bytes]":
    """Return permissions such as ``["n0", "r5"]`` as a list of bytes.

    :param any_domain: whether entries but the first may be about ``DOMID_ANY``, as since Xen 4.22.
    :raises InvalidPermission: *perms* is a single string or is empty, or an entry is not
        one of ``w``, ``r``, ``b``, ``n`` followed by a domid (SET_PERMS, *xenstore.txt*).
    """
    if isinstance(perms, (str, bytes)):
        raise InvalidPermission(
            perms,
            "{}: permissions are a list of strings, such as ['n0', 'r5']".format(shown(perms)),
        )
    if not hasattr(perms, "__iter__"):
        raise InvalidPermission(perms, "{}: permissions are a list of strings".format(shown(perms)))
    entries = list(perms)
    if not entries:
        raise InvalidPermission(perms, "[]: permissions need a first entry, which names the owner")
    return [_permission(entries[0])] + [_permission(entry, any_domain) for entry in entries[1:]]


def _permission(entry: "t.Text", any_domain: bool = False) -> bytes:
    import re

    text = _as_text(entry)
    match = re.fullmatch(_PERMISSION, text) if text is not None else None
    if text is None or match is None or int(match.group(1)) > DOMID_MAX:
        raise InvalidPermission(
            entry,
            "{}: a permission is one of w, r, b, n followed by a domid from 0 to {}, "
            "such as 'r5'".format(shown(entry), DOMID_MAX),
        )
    if not any_domain:
        refuse_any_domain(text.encode("ascii"), entry)
    return text.encode("ascii")


def refuse_any_domain(perm: bytes, entry: "t.Optional[t.Text]" = None) -> None:
    """Raise :exc:`~pyxs.InvalidPermission` if a permission is about ``DOMID_ANY``.

    :param entry: the permission as it was given.
    """
    why = why_refused("permission", int(perm[1:]))
    if why is not None:
        given = perm.decode("ascii") if entry is None else entry
        raise InvalidPermission(
            given, "{}: this domid is DOMID_ANY, not a domain; {}".format(shown(given), why)
        )


def validate_domid(
    domid: "t.Domid", name: str = "domid", minimum: int = 0, maximum: int = DOMID_MAX
) -> int:
    """Return *domid* as ``int`` if it is from *minimum* to *maximum*.

    :param domid: an integer, or its digits, as ``ls("/local/domain")`` returns them.
    :param name: the argument's name, for the message.
    :raises InvalidPayload: *domid* is not such a number.
    """
    if isinstance(domid, (str, bytes)):
        digits = domid.encode("ascii", "replace") if isinstance(domid, str) else domid
        if not digits.isdigit() or len(digits) > _DOMID_DIGITS or not minimum <= int(digits):
            rule = "must be an integer from {} to {}, or its digits".format(minimum, maximum)
            raise InvalidPayload(domid, "{} {}: {}".format(name, shown(domid), rule))
        domid = int(digits)
    return validate_number(domid, name, minimum, maximum)


def validate_number(number: int, name: str, minimum: int, maximum: int) -> int:
    """Return *number* if it is an integer from *minimum* to *maximum*.

    :param name: the argument's name, for the message.
    :raises InvalidPayload: *number* is not such an integer.
    """
    is_integer = isinstance(number, int) and not isinstance(number, bool)
    if not is_integer or not minimum <= number <= maximum:
        rule = "must be an integer from {} to {}".format(minimum, maximum)
        if not is_integer:
            rule += ", not " + type(number).__name__
        raise InvalidPayload(number, "{} {}: {}".format(name, shown(number), rule))
    return int(number)


def validate_text(text: "t.Text", name: str) -> bytes:
    """Return *text* as bytes without a NUL; ``str`` is encoded in UTF-8.

    :param name: the argument's name, for the message.
    :raises InvalidPayload: *text* is neither ``str`` nor ``bytes``, or contains NUL.
    """
    if not isinstance(text, (str, bytes)):
        raise InvalidPayload(text, "{} {}: must be str or bytes".format(name, shown(text)))
    data = encode_text(text, name)
    if b"\0" in data:
        raise InvalidPayload(text, "{} {}: may not contain NUL".format(name, shown(text)))
    return data


def validate_token(token: "t.Text") -> bytes:
    """Return the token of a watch as bytes.

    :raises InvalidPayload: *token* is neither ``str`` nor ``bytes``, is empty, or contains
        NUL.
    """
    data = validate_text(token, "token")
    if not data:
        raise InvalidPayload(token, "token {}: may not be empty".format(shown(token)))
    return data


def validate_value(value: "t.Value") -> bytes:
    """Return a node's value as bytes.

    :param value: ``bytes``, ``bytearray`` and ``memoryview`` are taken as they are. ``str``,
        numbers, and the ``str()`` of an object whose class defines ``__str__`` are encoded in
        UTF-8. An ``IntEnum`` is its number.
    :raises InvalidPayload: *value* is ``None``, a ``bool``, a container or another object, or
        ends with NUL.
    """
    if isinstance(value, (bytearray, memoryview)):
        data = bytes(value)
    else:
        data = encode_text(value if isinstance(value, (str, bytes)) else _as_str(value), "value")
    if data.endswith(b"\0"):
        raise InvalidPayload(value, "value {}: may not end with NUL".format(shown(value)))
    return data


def _as_str(value: "t.Any") -> str:
    why = _why_no_value(value)
    if why:
        raise InvalidPayload(value, "value {}: {}".format(shown(value), why))
    if isinstance(value, int) and isinstance(value, enum.Enum):
        value = int(value)  # str() of an IntEnum is its name before 3.11
    try:
        return str(value)
    except ValueError:
        if not isinstance(value, int):
            raise
        raise InvalidPayload(value, "value: an integer of too many digits") from None


_NAMES_OF_MEMBERS = (enum.Enum.__str__, enum.Flag.__str__)


def _why_no_value(value: object) -> str:
    """Return why an object cannot be stored, or ``""`` if it can."""
    if isinstance(value, bool):
        return "XenStore has no booleans; most programs store 1 and 0"
    if value is None:
        return "None is no value; rm() removes a node, and an empty value is ''"
    if isinstance(value, enum.Enum):
        plain = not isinstance(value, int) and type(value).__str__ in _NAMES_OF_MEMBERS
        return "an Enum is no value; store its name or its value" if plain else ""
    # Numbers have no __str__ of their own.
    if type(value).__str__ is object.__str__ and not isinstance(value, (int, float, complex)):
        text = "must be str, bytes, a number, or an object with a __str__ of its own, not {}"
        return text.format(type(value).__name__)
    return ""


def encode_text(text: "t.Text", name: str) -> bytes:
    """Return text as bytes; ``str`` is encoded in UTF-8. :func:`decode_text` is the inverse.

    :param name: the argument's name, for the message.
    :raises InvalidPayload: *text* has a surrogate that does not stand for a byte.
    """
    if isinstance(text, bytes):
        return bytes(text)
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise InvalidPayload(
            text, "{} {}: has a surrogate that does not stand for a byte".format(name, shown(text))
        ) from None


def decode_text(data: bytes) -> str:
    """Return bytes as ``str``; :func:`encode_text` is the inverse.

    Bytes that are not UTF-8 become surrogates (``surrogateescape``).
    """
    return data.decode("utf-8", "surrogateescape")


def _as_text(text: "t.Any") -> "t.Optional[str]":
    """Return ``str`` or ``bytes`` as ``str``, anything else as ``None``."""
    if isinstance(text, str):
        return text
    # Bytes over 127 become characters that no pattern of this module matches.
    return text.decode("latin-1") if isinstance(text, bytes) else None


def _path_bytes(path: bytes) -> bytes:
    if isinstance(path, bytes):
        return bytes(path)
    raise InvalidPath(path, "{}: a path is str or bytes".format(shown(path)))


_PATH_RULE = "a path has only the characters A-Z a-z 0-9 - _ @ and /"


def _broken_rule(path: bytes) -> str:
    if not path:
        return "a path may not be empty"
    if b"//" in path:
        return "a path may not contain '//'"
    if path.endswith(b"/"):
        return "a path may not end with '/'"
    return _PATH_RULE


def shown(argument: "t.Any") -> str:
    """Return an argument for the message of an exception."""
    try:
        text = repr(argument)
    except ValueError:  # an integer of over 4300 digits, which Python does not convert
        text = "<{}>".format(type(argument).__name__)
    return text if len(text) <= 80 else text[:60] + "…" + text[-10:]


# -- requests that harm a daemon -----------------------------------------------------------

#: For each request: whether an argument is harmful, and the consequence.
_HARMFUL: "t.Dict[str, t.Tuple[t.Callable[[t.Any], bool], str]]" = {
    "RM": (
        lambda path: bool(path == b"/"),
        "the OCaml daemon would empty its store",
    ),
    "RELEASE": (
        # The OCaml daemon answers with ENOENT all the same.
        lambda domid: bool(domid == 0),
        "the OCaml daemon would empty its store",
    ),
    "SET_PERMS": (
        # The C daemon of 4.17 answers such a path with the errno of an earlier failure,
        # whichever came last. If nothing has failed yet, it aborts.
        lambda path: path.startswith(b"@") and path not in (b"@introduceDomain", b"@releaseDomain"),
        "the C daemon might abort",
    ),
    "permission": (
        # Xen 4.22 reports this domid for @releaseDomain. Over XenBus it takes it, but not as owner.
        lambda domid: bool(domid & 0xFFFF == DOMID_ANY),
        "over a socket xenstored 4.22.0 would crash",
    ),
}


def why_refused(request: str, argument: "t.Any") -> "t.Optional[str]":
    """Return why pyxs does not send a request with this argument, or ``None`` if it does.

    :param request: ``"RM"``, ``"RELEASE"`` or ``"SET_PERMS"``, or ``"permission"``.
    :param argument: the path as bytes, or the domid.
    """
    is_harmful, consequence = _HARMFUL[request]
    return "pyxs refuses this: " + consequence if is_harmful(argument) else None
