"""Formats values and trees as the ``xenstore-*`` programs do, and in colour for terminals."""

from ..helpers import decode_text, encode_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Match, Optional, Sequence

_NAMED = {b"\n": rb"\n", b"\r": rb"\r", b"\t": rb"\t", b"\\": rb"\\"}
_NAMES = {name: byte for byte, name in _NAMED.items()}
_SHOWN = bytes(byte for byte in range(ord(" "), ord("~") + 1) if byte != ord("\\"))
_ESCAPED = rb"(?s)\\(?:x([0-9a-fA-F]{1,2})|([0-7]{1,3})|.?)"


def escape(value: bytes, utf8: bool = False) -> bytes:
    """Return *value* as ``read`` and ``ls`` show it, with escapes.

    :param utf8: whether printable characters in UTF-8 stay as they are.
    """
    if not value.translate(None, _SHOWN):
        return value
    if not utf8:
        return b"".join(map(_escape_byte, value))
    text = decode_text(value)
    return b"".join(
        character.encode("utf-8")
        if character > "~" and character.isprintable()
        else escape(encode_text(character, "character"))
        for character in text
    )


def _escape_byte(number: int) -> bytes:
    byte = bytes((number,))
    if byte in _SHOWN:
        return byte
    if byte in _NAMED:
        return _NAMED[byte]
    return (b"\\%03o" if number < 8 else b"\\x%02x") % number


def unescape(text: bytes) -> bytes:
    r"""Return the value that *text* denotes as an argument of ``write``.

    Escapes are ``\n``, ``\r``, ``\t``, one to three octal digits, and ``x`` with one
    or two hexadecimal ones; any other byte after a backslash stands for itself.

    :raises ValueError: a backslash ends the text.
    """
    if b"\\" not in text:
        return text
    import re  # here: most values have no backslash

    return re.sub(_ESCAPED, _unescape_one, text)


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


# What terminals take for styles: "Select graphic rendition", ECMA-48.
_BOLD, _DIM, _GREEN, _YELLOW, _PLAIN = b"\x1b[1m", b"\x1b[2m", b"\x1b[32m", b"\x1b[33m", b"\x1b[m"


def state_word(path: bytes, value: bytes) -> bytes:
    """Return `` (Connected)`` for the state of a device, ``b""`` for any other node."""
    if len(value) != 1 or not path.endswith(b"/state"):
        return b""
    from .device_states import word  # here: only terminals need it

    name = word(value.decode("latin-1"))
    return b" (" + name.encode("ascii") + b")" if name else b""


class TreeFormat:
    """Formats the lines of ``ls``.

    :param columns: the width of the terminal, 0 or 1 if it does not tell its width;
        ``None``: the output is not a terminal.
    :param flat: whether lines show whole paths, not an indented tree.
    :param utf8: whether printable characters in UTF-8 stay as they are.
    :param words: whether states of devices are shown in words, too.
    :param colour: whether nodes that have children, and states in words, stand out.
    """

    def __init__(
        self,
        columns: "Optional[int]",
        flat: bool,
        utf8: bool = False,
        words: bool = False,
        colour: bool = False,
    ) -> None:
        self._flat = flat
        self._utf8 = utf8
        self._words = words
        self._colour = colour
        if columns is None:
            columns = 0 if flat else 82
        self._limited = columns > 1
        self._room = columns - 10  # for name and value, without ' = ""' and the '\...' of a cut
        self._dots_end = 0 if flat or not self._limited else min(columns - 2, 60)

    def line(
        self,
        depth: int,
        path: bytes,
        value: "Optional[bytes]",
        perms: "Optional[Sequence[bytes]]" = None,
        inner: bool = False,
    ) -> bytes:
        """Return the line of one node.

        :param depth: levels below the children of the listed node, which have 0.
        :param value: ``None`` if it could not be read.
        :param perms: ``None`` if they are not shown, empty if they could not be read.
        :param inner: whether the node has children.
        """
        indent, name, room = b"", path, self._room
        if not self._flat:
            indent, name, room = b" " * depth, path.rpartition(b"/")[2], room - depth
            if self._limited:
                name = _clipped(name, room)
                room -= len(name)
        styled = self._styled(_BOLD, name) if inner else name
        if value is None:
            return b"".join([indent, styled, b":\n", _shown(perms), b"\n"])
        text, end = escape(value, self._utf8), b'"'
        cut = self._limited and len(value) > room  # not len(text), as xenstore-ls has it
        if cut:
            text, end = _clipped(text, room), b'\\..."'
            if self._utf8:  # drops a character that was cut in two
                text = text.decode("utf-8", "ignore").encode("utf-8")
        shown = b"".join([b' = "', text, end])
        state = state_word(path, value) if self._words else b""
        if self._limited and len(value) + len(state) > room:
            state = b""
        dots = b""
        if perms is not None and not cut:
            dots = self._dots(len(indent) + len(name) + self._columns(shown) + len(state))
        if inner and not value:
            shown = self._styled(_DIM, shown)
        if state:
            state = self._styled(_GREEN if value == b"4" else _YELLOW, state)
        return b"".join(
            [indent, styled, shown, state, self._styled(_DIM, dots + _shown(perms)), b"\n"]
        )

    def _columns(self, shown: bytes) -> int:
        if not self._utf8 or not shown.translate(None, _SHOWN + b"\\"):
            return len(shown)
        from .columns import width  # here: most values are ASCII

        return width(shown.decode("utf-8", "replace"))

    def _styled(self, style: bytes, text: bytes) -> bytes:
        return style + text + _PLAIN if self._colour and text else text

    def _dots(self, column: int) -> bytes:
        return b" " + bytes(b" ."[at % 2] for at in range(column + 1, self._dots_end))


def _clipped(text: bytes, room: int) -> bytes:
    # On a terminal that is too narrow, text is not clipped: xenstore-ls passes a negative
    # precision to printf(), which ignores it.
    return text if room < 0 else text[:room]


def _shown(perms: "Optional[Sequence[bytes]]") -> bytes:
    return b"  (" + b",".join(perms) + b")" if perms else b""
