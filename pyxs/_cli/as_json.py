"""The JSON objects that subcommands print, one in a line."""

import json

from .._records import UNREADABLE, make_value
from ..helpers import encode_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Optional

__all__ = ["json_line", "json_unreadable", "json_value"]


def json_line(**fields: "Any") -> bytes:
    """Return the line for an object, with its newline."""
    return encode_text(json.dumps(fields, ensure_ascii=False), "line") + b"\n"


def json_value(value: "Optional[bytes]") -> "Any":
    """Return what stands for a node's value, ``None`` if there is no such node."""
    return None if value is None else make_value(value)


def json_unreadable() -> "Any":
    """Return what stands for a value or permissions that may not be read."""
    return {UNREADABLE: True}
