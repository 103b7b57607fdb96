"""Choosing a connection by the arguments of a client and by the environment."""

import os
import stat

from .connection import (
    PacketConnection,
    UnixSocketConnection,
    XenBusConnection,
    as_path,
    checked_timeout,
    is_xenbus_file,
)
from .helpers import shown, warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional, Union

    from ._annotations.types import AnyPath


def choose_connection(
    unix_socket_path: "Optional[AnyPath]" = None,
    socket_timeout: "Optional[float]" = None,
    xen_bus_path: "Optional[AnyPath]" = None,
    connection: "Optional[PacketConnection]" = None,
) -> PacketConnection:
    """Return the connection for the arguments of a client.

    It is *connection* if given, else one to *unix_socket_path*, else one to *xen_bus_path*,
    else the one that the environment names.

    :raises TypeError: *connection* is not a :class:`PacketConnection`, or a path is not a path.
    :raises InvalidPayload: *socket_timeout* is not a positive number.
    """
    _warn_unused(unix_socket_path, socket_timeout, xen_bus_path, connection)
    if connection is not None:
        if not isinstance(connection, PacketConnection):
            hint = "for a monitor of a Client call client.monitor()"
            if isinstance(connection, (str, bytes, os.PathLike)):
                hint = "a path is given as unix_socket_path or xen_bus_path"
            raise TypeError(
                "connection {}: must be a PacketConnection; {}".format(shown(connection), hint)
            )
        return connection
    if unix_socket_path is not None:
        return connection_at(as_path(unix_socket_path, "unix_socket_path"), socket_timeout)
    if xen_bus_path is None:
        return named_connection(socket_timeout) or UnixSocketConnection(None, socket_timeout)
    return _device_at(as_path(xen_bus_path, "xen_bus_path"), socket_timeout)


def _warn_unused(
    unix_socket_path: "Optional[AnyPath]",
    socket_timeout: "Optional[float]",
    xen_bus_path: "Optional[AnyPath]",
    connection: "Optional[PacketConnection]",
) -> None:
    """Warn of arguments of ``Client()`` or ``monitor()`` that have no effect."""
    given = {
        "unix_socket_path": unix_socket_path,
        "xen_bus_path": xen_bus_path,
        "socket_timeout": socket_timeout,
    }
    used, others = "connection", list(given)
    if connection is None:
        used, others = "unix_socket_path", ["xen_bus_path"]
        if unix_socket_path is None:
            return
    unused = [name for name in others if given[name] is not None]
    if unused:
        warn("{} is used; {} has no effect beside it".format(used, " and ".join(unused)))


def named_connection(socket_timeout: "Optional[float]" = None) -> "Optional[PacketConnection]":
    """Return a connection to ``$XENSTORED_PATH``, or ``None`` if it is unset or empty.

    :raises InvalidPayload: *socket_timeout* is not a positive number.
    """
    path = os.environ.get("XENSTORED_PATH")
    if not path:
        return None
    connection = connection_at(path, socket_timeout)
    connection._origin = "$XENSTORED_PATH"
    return connection


def connection_at(
    path: "AnyPath", socket_timeout: "Optional[float]" = None
) -> "Union[UnixSocketConnection, XenBusConnection]":
    """Return a connection to a path: over XenBus if it is a device, else to a socket.

    :raises InvalidPayload: *socket_timeout* is not a positive number.
    """
    if _is_device(path):
        return _device_at(path, socket_timeout)
    return UnixSocketConnection(path, socket_timeout)


def _is_device(path: "AnyPath") -> bool:
    # Python 3.6 and 3.7 raise ValueError for a path with NUL.
    if b"\0" in os.fsencode(path) or not os.path.exists(path):
        return False
    found = os.stat(path)
    if stat.S_ISREG(found.st_mode):
        return is_xenbus_file(found)
    return stat.S_ISCHR(found.st_mode)


def _device_at(path: "AnyPath", socket_timeout: "Optional[float]") -> XenBusConnection:
    device = XenBusConnection(path)
    device.socket_timeout = checked_timeout(socket_timeout)
    return device
