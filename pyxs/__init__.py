"""A synchronous XenStore client in pure Python."""

import sys

from .client import Client, Event, Monitor, UnixSocketConnection, XenBusConnection, monitor
from .exceptions import (
    Conflict,
    ConnectionError,
    InvalidOperation,
    InvalidPath,
    InvalidPayload,
    InvalidPermission,
    NodeNotFound,
    PermissionDenied,
    PyXSError,
    QuotaExceeded,
    UnexpectedPacket,
)

TYPE_CHECKING = False

__all__ = [
    "Client",
    "Conflict",
    "ConnectionError",
    "Error",
    "Event",
    "InvalidOperation",
    "InvalidPath",
    "InvalidPayload",
    "InvalidPermission",
    "Monitor",
    "NodeNotFound",
    "PermissionDenied",
    "PyXSError",
    "QuotaExceeded",
    "UnexpectedPacket",
    "UnixSocketConnection",
    "XenBusConnection",
    "__version__",
    "install_as_xen_lowlevel_xs",
    "monitor",
    "xs",
]

__version__ = "1.0.0"

if TYPE_CHECKING:
    from . import snapshot as snapshot
    from . import xenstored as xenstored

if TYPE_CHECKING or sys.version_info < (3, 7):
    from ._xs import Error, install_as_xen_lowlevel_xs, xs
else:
    # These names are imported when a program first uses them: importing _xs takes a sixth of
    # the time that importing pyxs takes.
    _XS = ("Error", "install_as_xen_lowlevel_xs", "xs")
    _MODULES = ("snapshot", "xenstored")

    def __getattr__(name):
        if name in _MODULES:
            import importlib

            return importlib.import_module("." + name, __name__)
        if name not in _XS:
            from ._names_of_0_4 import PACKAGE, with_note

            message = "module {!r} has no attribute {!r}".format(__name__, name)
            raise AttributeError(with_note(message, PACKAGE[name]) if name in PACKAGE else message)
        from . import _xs

        globals().update({each: getattr(_xs, each) for each in _XS})
        return globals()[name]

    def __dir__():
        modules = ("client", "connection", "exceptions", "helpers", *_MODULES)
        hidden = {name for name in globals() if name[:2] == "__"}
        return sorted(hidden.union(modules, __all__))
