"""The entries of a snapshot: made from a daemon's bytes, and read and validated.

An entry is ``{"value": …, "perms": [...]}``, ``{"unreadable": true}``, or a value alone. A
value is a string, or ``{"base64": "…"}`` when its bytes are not UTF-8.
"""

import base64
import binascii
import contextlib
import json
import json.encoder
import os
import re
from collections import namedtuple
from collections.abc import Mapping

from ._wire.packets import PAYLOAD_MAX
from .exceptions import InvalidPath, InvalidPayload, InvalidPermission, PyXSError
from .helpers import encode_text, shown, validate_path, validate_perms

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterator, List, NoReturn, Optional, Sequence, Tuple, Union

    from ._annotations.types import Base64, Entry

UNREADABLE = "unreadable"

_KEYS = {"value", "perms", UNREADABLE}
_FORM = 'is a value, or {"value": value, "perms": [permissions]}'
_quoted = json.encoder.encode_basestring
_decoder = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\r\n]*")  # RFC 8259


class Record(namedtuple("Record", ["path", "value", "perms"])):
    """One node of a snapshot."""

    __slots__ = ()

    path: bytes
    value: "Optional[bytes]"  #: ``None``: the snapshot does not have it
    perms: "Optional[List[bytes]]"  #: ``None``: the snapshot does not have them


# -- making --------------------------------------------------------------------------------


def make_entry(value: "Optional[bytes]", perms: "Sequence[str]") -> "Entry":
    """Return the entry of a node.

    :param value: ``None``: the client may not read it.
    :param perms: empty: the client may not read them.
    """
    if value is None or not perms:
        return {"unreadable": True}
    return {"value": make_value(value), "perms": list(perms)}


def make_value(value: bytes) -> "Union[str, Base64]":
    """Return a value as a string if it is UTF-8, else as ``{"base64": "…"}``."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode("ascii")}


def make_line(path: str, value: "Optional[bytes]", perms: "Sequence[str]") -> str:
    """Return the entry of a node as a member of a JSON object, in one line."""
    if value is None or not perms:
        return '"{}": {{"unreadable": true}}'.format(path)
    # Paths and permissions have no characters that JSON escapes.
    return '"{}": {{"value": {}, "perms": ["{}"]}}'.format(
        path, _value_json(value), '", "'.join(perms)
    )


def _value_json(value: bytes) -> str:
    try:
        return _quoted(value.decode("utf-8"))
    except UnicodeDecodeError:
        return json.dumps(make_value(value))


# -- reading -------------------------------------------------------------------------------


def read_any(snapshot: "Union[Mapping[Any, Any], str, os.PathLike[str]]") -> "List[Record]":
    """Return the nodes of a snapshot, or of a snapshot in a file.

    :raises InvalidPath, InvalidPayload, InvalidPermission: an entry breaks a rule.
    :raises OSError: the file cannot be read.
    """
    if isinstance(snapshot, (str, os.PathLike)):
        snapshot = load_file(snapshot)
    return read_snapshot(snapshot)


def load_file(path: "Union[str, os.PathLike[str]]") -> "Dict[str, Any]":
    """Return the snapshot in a file.

    :raises InvalidPayload: it is not a snapshot; the message has the line and the column.
    :raises OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        return parse_json(file.read(), os.fspath(path))


def read_snapshot(snapshot: "Mapping[Any, Any]") -> "List[Record]":
    """Return the nodes of a snapshot, each after its ancestors.

    :raises InvalidPath, InvalidPayload, InvalidPermission: an entry breaks a rule.
    """
    if not isinstance(snapshot, Mapping):
        raise InvalidPayload(snapshot, "{}: a snapshot is a dict of paths".format(shown(snapshot)))
    records = [read_entry(path, entry) for path, entry in snapshot.items()]
    return sorted(records, key=lambda record: record.path.split(b"/"))


def read_entry(path: "Union[str, bytes]", entry: "Any") -> Record:
    """Return the node that an entry describes.

    :raises InvalidPath, InvalidPayload, InvalidPermission: the entry breaks a rule.
    """
    node = validate_path(path)
    if node.startswith(b"@"):
        raise InvalidPath(path, "{!r}: a node's path does not begin with '@'".format(path))
    if not _is_object(entry):
        entry = {"value": entry}
    unknown = sorted(str(key) for key in entry if key not in _KEYS)
    if unknown:
        raise InvalidPayload(entry, "{}: {!r}: an entry {}".format(_text(node), unknown[0], _FORM))
    value = perms = None
    if "value" in entry:
        value = _read_value(node, entry["value"])
    if "perms" in entry:
        perms = _read_perms(node, entry["perms"])
    if entry.get(UNREADABLE) not in (None, True):
        raise InvalidPayload(entry, "{}: {!r} can only be true".format(_text(node), UNREADABLE))
    return Record(node, value, perms)


def _is_object(entry: "Any") -> bool:
    return isinstance(entry, Mapping) and "base64" not in entry


def _read_value(node: bytes, value: "Any") -> bytes:
    data = _value_bytes(node, value)
    room = PAYLOAD_MAX - len(node) - 1
    if len(data) > room:
        raise InvalidPayload(
            value,
            "{}: the value has {} bytes; a message with this path carries at most {}".format(
                _text(node), len(data), room
            ),
        )
    return data


def _value_bytes(node: bytes, value: "Any") -> bytes:
    if isinstance(value, Mapping) and list(value) == ["base64"]:
        text = value["base64"]
        with contextlib.suppress(TypeError, ValueError, binascii.Error):
            data = base64.b64decode(text, validate=True)
            # Before Python 3.11 it overlooks some damage at the end.
            if base64.b64encode(data).decode() == text:
                return data
        raise InvalidPayload(value, "{}: {!r:.80}: not base64".format(_text(node), text))
    if isinstance(value, int) and not isinstance(value, bool):
        value = _digits(node, value)
    if not isinstance(value, (str, bytes)):
        rule = 'a value is a string, or {"base64": "…"}'
        if isinstance(value, bool):
            rule = "XenStore has no booleans; most programs store 1 and 0"
        raise InvalidPayload(value, "{}: {:.80}: {}".format(_text(node), _in_json(value), rule))
    try:
        return encode_text(value, "value")
    except PyXSError as exc:
        raise InvalidPayload(value, "{}: {}".format(_text(node), exc)) from None


def _in_json(value: "Any") -> str:
    try:
        return json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        return repr(value)


def _digits(node: bytes, value: int) -> str:
    try:
        return str(int(value))  # of an IntEnum, too
    except ValueError:  # Python does not convert so many
        raise InvalidPayload(
            value, "{}: an integer of too many digits".format(_text(node))
        ) from None


def _read_perms(node: bytes, perms: "Any") -> "List[bytes]":
    try:
        entries = validate_perms(perms, any_domain=True)
    except InvalidPermission as exc:
        raise InvalidPermission(exc.perm, "{}: {}".format(_text(node), exc)) from None
    if len(node) + 1 + sum(len(entry) + 1 for entry in entries) > PAYLOAD_MAX:
        raise InvalidPayload(perms, "{}: too many permissions for a message".format(_text(node)))
    return entries


def _text(node: bytes) -> str:
    return node.decode("ascii")


# -- parsing -------------------------------------------------------------------------------


def parse_json(data: "Union[str, bytes]", name: str) -> "Dict[str, Any]":
    """Return the snapshot in a JSON text.

    :param name: the name of the text or file, for messages.
    :raises InvalidPayload: it is not a snapshot; the message has the line and the column.
    """
    text = data if isinstance(data, str) else _decoded(data, name)
    snapshot: Dict[str, Any] = {}
    try:
        for at, path, entry in _members(text):
            try:
                read_entry(path, entry)
                if path in snapshot:
                    raise InvalidPayload("{}: this path occurs twice".format(path))
            except PyXSError as exc:
                _raise_at(name, text, at, str(exc))
            snapshot[path] = entry
    except json.JSONDecodeError as exc:
        _raise_at(name, text, exc.pos, exc.msg)
    except RecursionError:
        _raise_at(name, text, 0, "nested too deeply")
    return snapshot


def _decoded(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        raise InvalidPayload("{}: line {}: not UTF-8".format(name, line)) from None


def _members(text: str) -> "Iterator[Tuple[int, str, Any]]":
    """Yield the position, the name and the value of each member of a JSON object."""
    at = _expect(text, 0, "{")
    if text[at : at + 1] == "}":
        _expect_end(text, at + 1)
        return
    while True:
        start = at
        if text[at : at + 1] != '"':
            raise json.JSONDecodeError("Expecting a path in double quotes", text, at)
        name, at = _decoder.raw_decode(text, at)
        at = _expect(text, at, ":")
        entry, at = _entry(text, at)
        yield start, name, entry
        at = _skip_space(text, at)
        if text[at : at + 1] == "}":
            _expect_end(text, at + 1)
            return
        at = _expect(text, at, ",")


def _entry(text: str, at: int) -> "Tuple[Any, int]":
    try:
        return _decoder.raw_decode(text, at)
    except json.JSONDecodeError:
        raise
    except ValueError:  # Python does not convert it
        raise json.JSONDecodeError("an integer of too many digits", text, at) from None


def _skip_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match is not None else at


def _expect(text: str, at: int, character: str) -> int:
    """Return the position after *character* and the space around it.

    :raises json.JSONDecodeError: another character comes first.
    """
    at = _skip_space(text, at)
    if text[at : at + 1] != character:
        raise json.JSONDecodeError("Expecting '{}'".format(character), text, at)
    return _skip_space(text, at + 1)


def _expect_end(text: str, at: int) -> None:
    at = _skip_space(text, at)
    if at != len(text):
        raise json.JSONDecodeError("Extra data", text, at)


def _raise_at(name: str, text: str, at: int, message: str) -> "NoReturn":
    line = text.count("\n", 0, at) + 1
    column = at - text.rfind("\n", 0, at)
    raise InvalidPayload("{}: line {}, column {}: {}".format(name, line, column, message)) from None
