"""A synchronous XenStore client in pure Python."""

from ._compat import Error, install_as_xen_lowlevel_xs, xs
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
    "Error",
    "InvalidOperation",
    "InvalidPath",
    "InvalidPayload",
    "InvalidPermission",
    "Monitor",
    "PyXSError",
    "UnexpectedPacket",
    "__version__",
    "install_as_xen_lowlevel_xs",
    "monitor",
    "xs",
]

__version__ = "1.0.0"
