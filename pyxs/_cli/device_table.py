"""The table of ``pyxs devices``, and its lines of JSON; without I/O.

Names of domains and states come from guests: control characters in them are escaped.
"""

import json

from .._records import make_value
from ..helpers import encode_text
from .columns import padded, shortened, width
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


def table(
    devices: "Sequence[Device]", columns: "Optional[int]" = None, utf8: bool = True
) -> "List[str]":
    """Return the lines of a table with its header.

    :param columns: the width of the terminal; ``None``: names are not shortened.
    :param utf8: whether printable characters in UTF-8 stay as they are.
    """
    rows = [_HEADER] + [_row(device, utf8) for device in devices]
    if columns is not None:
        rest = sum(_widest(rows, column) + 2 for column in range(len(_HEADER)) if column != 1)
        room = max(_NAME_MIN, columns - rest)
        rows = [(row[0], shortened(row[1], room)) + row[2:] for row in rows]
    widths = [_widest(rows, column) for column in range(len(_HEADER))]
    lines = [
        "  ".join(
            [row[0].rjust(widths[0])]
            + [padded(cell, most) for cell, most in zip(row[1:], widths[1:])]
        ).rstrip()
        for row in rows
    ]
    return lines if columns is None else [shortened(line, columns) for line in lines]


def _row(device: "Device", utf8: bool) -> "Tuple[str, ...]":
    return (
        str(device.domid),
        "-" if device.name is None else _shown(device.name, utf8),
        _shown(device.device, utf8),
        _state(device.frontend, utf8),
        _MISMATCH if device.mismatch else "",
        _state(device.backend, utf8) + _elsewhere(device.backend),
    )


def _state(end: "Optional[End]", utf8: bool) -> str:
    if end is None:
        return "missing"
    return "no state" if end.word is None else shortened(_shown(end.word, utf8), _STATE_MAX)


def _elsewhere(backend: "Optional[End]") -> str:
    """Return the domain of a backend that is not in domain 0."""
    domid = "0" if backend is None else backend.path.split("/")[3]
    return "" if domid == "0" else " in {}".format(domid)


def _shown(text: str, utf8: bool) -> str:
    return escape(encode_text(text, "text"), utf8).decode("utf-8")


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


def _widest(rows: "Sequence[Sequence[str]]", column: int) -> int:
    return max(width(row[column]) for row in rows)
