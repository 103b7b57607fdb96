"""A synchronous XenStore client in pure Python."""

from .client import Client, Monitor, monitor
from .exceptions import (
    ConnectionError,
    InvalidOperation,
    InvalidPath,
    InvalidPayload,
    InvalidPermission,
    PyXSError,
    UnexpectedPacket,
)

__all__ = [
    "Client",
    "ConnectionError",
    "InvalidOperation",
    "InvalidPath",
    "InvalidPayload",
    "InvalidPermission",
    "Monitor",
    "PyXSError",
    "UnexpectedPacket",
    "__version__",
    "monitor",
]

__version__ = "1.0.0"
