"""Values and trees in the form that the ``xenstore-*`` programs of Xen 4.17 give them."""

import re

from ..helpers import decode_text, encode_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Match, Optional, Sequence

_NAMED = {b"\n": rb"\n", b"\r": rb"\r", b"\t": rb"\t", b"\\": rb"\\"}
_NAMES = {name: byte for byte, name in _NAMED.items()}
_UNPRINTABLE = re.compile(rb"[^ -\[\]-~]")
_ESCAPED = re.compile(rb"\\(?:x([0-9a-fA-F]{1,2})|([0-7]{1,3})|.?)", re.DOTALL)


def escape(value: bytes, utf8: bool = False) -> bytes:
    """Return *value* as ``read`` and ``ls`` show it.

    :param utf8: whether to show what is printable in UTF-8 as it is.
    """
    if not utf8:
        return _UNPRINTABLE.sub(_escape_byte, value)
    text = decode_text(value)
    return b"".join(
        character.encode("utf-8")
        if character > "~" and character.isprintable()
        else escape(encode_text(character, "character"))
        for character in text
    )


def _escape_byte(match: "Match[bytes]") -> bytes:
    byte = match.group()
    if byte in _NAMED:
        return _NAMED[byte]
    return (b"\\%03o" if ord(byte) < 8 else b"\\x%02x") % ord(byte)


def unescape(text: bytes) -> bytes:
    r"""Return the value that *text* stands for in the arguments of ``write``.

    Escapes are ``\n``, ``\r``, ``\t``, one to three octal digits, and ``x`` with one
    or two hexadecimal ones; any other byte after a backslash stands for itself.

    :raises ValueError: a backslash ends the text.
    """
    return _ESCAPED.sub(_unescape_one, text)


def _unescape_one(match: "Match[bytes]") -> bytes:
    hexadecimal, octal = match.groups()
    if hexadecimal is not None:
        return bytes([int(hexadecimal, 16)])
    if octal is not None:
        return bytes([int(octal, 8) & 0xFF])
    escaped = match.group()
    if escaped == b"\\":
        raise ValueError("the backslash at its end escapes nothing; write two")
    return _NAMES.get(escaped, escaped[1:])


class TreeFormat:
    """How ``ls`` lays out its lines.

    :param columns: of the terminal that shows them, 0 or 1 when it does not tell;
        ``None``: no terminal does.
    :param flat: whole paths instead of an indented tree.
    :param utf8: whether to show what is printable in UTF-8 as it is.
    """

    def __init__(self, columns: "Optional[int]", flat: bool, utf8: bool = False) -> None:
        self._flat = flat
        self._utf8 = utf8
        if columns is None:
            columns = 0 if flat else 82
        self._limited = columns > 1
        self._room = columns - 10  # for name and value, after ' = ""' and the mark of a cut
        self._dots_end = 0 if flat or not self._limited else min(columns - 2, 60)

    def line(
        self,
        depth: int,
        path: bytes,
        value: "Optional[bytes]",
        perms: "Optional[Sequence[bytes]]" = None,
    ) -> bytes:
        """Return the line of one node.

        :param depth: 0 for a child of the node that is listed.
        :param value: ``None`` when it could not be read.
        :param perms: ``None`` when they are not asked for, empty when they could not
            be read.
        """
        indent, name, room = b"", path, self._room
        if not self._flat:
            indent, name, room = b" " * depth, path.rpartition(b"/")[2], room - depth
            if self._limited:
                name = _clipped(name, room)
                room -= len(name)
        if value is None:
            return b"".join([indent, name, b":\n", _shown(perms), b"\n"])
        text, end = escape(value, self._utf8), b'"'
        cut = self._limited and len(value) > room  # not len(text): so C has it
        if cut:
            text, end = _clipped(text, room), b'\\..."'
            if self._utf8:  # a letter that is cut in two is left out
                text = text.decode("utf-8", "ignore").encode("utf-8")
        line = b"".join([indent, name, b' = "', text, end])
        if perms is not None and not cut:
            line += self._dots(len(line))
        return line + _shown(perms) + b"\n"

    def _dots(self, column: int) -> bytes:
        return b" " + bytes(b" ."[at % 2] for at in range(column + 1, self._dots_end))


def _clipped(text: bytes, room: int) -> bytes:
    # A terminal too narrow for anything is taken for one without limits: to
    # printf(), a negative precision is none.
    return text if room < 0 else text[:room]


def _shown(perms: "Optional[Sequence[bytes]]") -> bytes:
    return b"  (" + b",".join(perms) + b")" if perms else b""
