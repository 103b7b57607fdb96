"""The table of ``pyxs devices``, and its lines of JSON; without I/O.

Names of domains and states come from guests: control characters in them are escaped.
"""

import json
import unicodedata

from .._records import make_value
from ..helpers import encode_text
from .format import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List, Optional, Sequence, Tuple

    from .device_tree import Device, End

__all__ = ["json_line", "table"]

_HEADER = ("DOMID", "NAME", "DEVICE", "FRONTEND", "", "BACKEND")
_MISMATCH = "!="
_STATE_MAX = 16  # columns; a guest may write a longer text than the word for a state
_NAME_MIN = 8  # columns; what remains of a name on a narrow terminal


def table(devices: "Sequence[Device]", columns: "Optional[int]" = None) -> "List[str]":
    """Return the lines of a table with its header.

    :param columns: the width of the terminal; ``None``: names are not shortened.
    """
    rows = [_HEADER] + [_row(device) for device in devices]
    if columns is not None:
        rest = sum(_widest(rows, column) + 2 for column in range(len(_HEADER)) if column != 1)
        room = max(_NAME_MIN, columns - rest)
        rows = [(row[0], _shortened(row[1], room)) + row[2:] for row in rows]
    widths = [_widest(rows, column) for column in range(len(_HEADER))]
    lines = [
        "  ".join(
            [row[0].rjust(widths[0])]
            + [_padded(cell, width) for cell, width in zip(row[1:], widths[1:])]
        ).rstrip()
        for row in rows
    ]
    return lines if columns is None else [_shortened(line, columns) for line in lines]


def _row(device: "Device") -> "Tuple[str, ...]":
    return (
        str(device.domid),
        "-" if device.name is None else _shown(device.name),
        _shown(device.device),
        _state(device.frontend),
        _MISMATCH if device.mismatch else "",
        _state(device.backend) + _elsewhere(device.backend),
    )


def _state(end: "Optional[End]") -> str:
    if end is None:
        return "missing"
    return "no state" if end.word is None else _shortened(_shown(end.word), _STATE_MAX)


def _elsewhere(backend: "Optional[End]") -> str:
    """Return the domain of a backend that is not in domain 0."""
    domid = "0" if backend is None else backend.path.split("/")[3]
    return "" if domid == "0" else " in {}".format(domid)


def _shown(text: str) -> str:
    return escape(encode_text(text, "text"), utf8=True).decode("utf-8")


def json_line(device: "Device") -> str:
    """Return a device as a JSON object in one line."""
    frontend, backend = device.frontend, device.backend
    return json.dumps(
        {
            "domid": device.domid,
            "name": _value(device.name),
            "device": device.device,
            "frontend": frontend and frontend.path,
            "frontend_state": frontend and _value(frontend.word),
            "backend": backend and backend.path,
            "backend_state": backend and _value(backend.word),
            "mismatch": device.mismatch,
        }
    )


def _value(text: "Optional[str]") -> "Any":
    return None if text is None else make_value(encode_text(text, "text"))


# -- text in columns -----------------------------------------------------------------------


def _widest(rows: "Sequence[Sequence[str]]", column: int) -> int:
    return max(_width(row[column]) for row in rows)


def _width(text: str) -> int:
    """Return how many columns a terminal needs for a text."""
    return sum(map(_width_of, text))


def _width_of(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _padded(text: str, width: int) -> str:
    return text + " " * (width - _width(text))


def _shortened(text: str, width: int) -> str:
    """Return a text of at most *width* columns; dots stand for an end that is left out."""
    if _width(text) <= width:
        return text
    while text and _width(text) > width - 3:
        text = text[:-1]
    return text + "..."
