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
    SupportsInt,
    Tuple,
    Type,
    TypeVar,
    Union,
)

if TYPE_CHECKING:
    from typing import Protocol

    from ..client import Client as Client

__all__ = [
    "Any",
    "AnyPath",
    "Callable",
    "Deque",
    "Dict",
    "Domid",
    "Entry",
    "Frame",
    "Iterable",
    "Iterator",
    "List",
    "Mapping",
    "NoReturn",
    "Optional",
    "P",
    "Perms",
    "Self",
    "Sequence",
    "Stream",
    "T",
    "Text",
    "TracebackType",
    "Tuple",
    "Type",
    "Union",
    "Value",
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

#: What a node can hold. Objects with a ``__str__`` of their own can be stored too, which no type
#: tells from others; of these it has paths, and what can be converted to ``int``.
if TYPE_CHECKING:
    Value = Union[str, bytes, bytearray, memoryview, SupportsInt, "os.PathLike[str]"]

    class _Texts(Protocol):
        """An iterable of texts that is no text itself: ``str`` contains nothing but ``str``."""

        def __iter__(self) -> Iterator[Text]: ...

        def __contains__(self, __item: object) -> bool: ...

    Perms = Union[_Texts, Iterator[Text]]
else:
    Value = Union[str, bytes, bytearray, memoryview, SupportsInt, os.PathLike]
    Perms = Iterable[Text]

if TYPE_CHECKING:
    from typing import TypedDict

    class Base64(TypedDict):
        """A value in a snapshot that is not UTF-8."""

        base64: str

    class Entry(TypedDict, total=False):
        """A node in a snapshot: its value and permissions, or that it is unreadable."""

        value: Union[str, Base64]
        perms: List[str]
        unreadable: bool
else:
    Entry = Dict[str, Any]

Domid = Union[int, str, bytes]
Stream = Any  #: what PacketConnection.open() returns
P = TypeVar("P", str, bytes)
T = TypeVar("T")
Self = TypeVar("Self", bound="Client")
