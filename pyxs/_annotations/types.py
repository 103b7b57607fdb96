"""The types that annotations name as ``t.Optional`` or ``t.Text``: typing's, and pyxs's own."""

import os
from types import TracebackType
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Deque,
    Dict,
    Iterable,
    Iterator,
    List,
    Mapping,
    NoReturn,
    Optional,
    Sequence,
    Tuple,
    Type,
    TypeVar,
    Union,
)

if TYPE_CHECKING:
    from ..client import Client

__all__ = [
    "Any",
    "AnyPath",
    "Callable",
    "Deque",
    "Dict",
    "Frame",
    "Iterable",
    "Iterator",
    "List",
    "Mapping",
    "NoReturn",
    "Optional",
    "P",
    "Self",
    "Sequence",
    "Stream",
    "T",
    "Text",
    "TracebackType",
    "Tuple",
    "Type",
    "Union",
    "Visit",
]

Text = Union[str, bytes]
#: A message as it came off the wire, of any type and length: op, rq_id, tx_id, payload.
Frame = Tuple[int, int, int, bytes]
Visit = Tuple[str, str, List[str]]  # path, value, names of children
if TYPE_CHECKING:
    AnyPath = Union[str, bytes, "os.PathLike[str]", "os.PathLike[bytes]"]
else:  # before 3.9 os.PathLike takes no parameters
    AnyPath = Union[str, bytes, os.PathLike]

Stream = Any  #: what PacketConnection.open() returns
P = TypeVar("P", str, bytes)
T = TypeVar("T")
Self = TypeVar("Self", bound="Client")
