"""Numbers in requests, as C reads them."""

import re

from ._errors import Refused

_INTEGER = re.compile(rb"[ \t\n\v\f\r]*([+-]?)0*([0-9]+)")
_DIGITS_MAX = 20  # of a number of 64 bits; int() takes long for a long text, and may refuse it


def number(text: bytes) -> int:
    """Return a number as C's ``strtol`` does: 0 if the text is not one, cut to 64 bits."""
    match = _INTEGER.match(text)
    if match is None:
        return 0
    value = int(match.group(1) + match.group(2)[: _DIGITS_MAX + 1])
    return max(-(1 << 63), min(value, (1 << 63) - 1))


def domid_of(text: bytes, strict: bool) -> int:
    """Return a domid as the C daemon reads it.

    :param strict: whether to refuse what is not one, as 4.22 does. Else it is the low 32 bits of
        what ``atoi`` returns.
    :raises Refused: ``EINVAL``: it is not one.
    """
    value = number(text)
    if not strict:
        return value & 0xFFFFFFFF
    if (text and not _INTEGER.fullmatch(text)) or not 0 <= value <= 0xFFFF:
        raise Refused("EINVAL")
    return value
