"""Where and how to connect to a XenStore daemon: over a socket, or the XenBus device."""

import abc
import errno
import io
import os
import socket
import stat
import struct
import sys

from ._annotations import t
from ._names_of_0_4 import CONNECTION, explain
from ._wire.packets import HEADER_SIZE, PAYLOAD_MAX, Op, Packet
from .exceptions import InvalidPayload
from .helpers import shown

TYPE_CHECKING = False

__all__ = [
    "Op",
    "Packet",
    "PacketConnection",
    "SocketConnection",
    "UnixSocketConnection",
    "XenBusConnection",
]


#: The longest timeout in seconds, 23 days: poll() counts milliseconds in 31 bits.
TIMEOUT_MAX = 2000000


class PacketConnection(abc.ABC):
    """Where and how to connect to a daemon; the base of all connections.

    A connection holds nothing open itself, so any number of clients and monitors may have it.
    They call :meth:`open` whenever they need a stream to the daemon, from any thread.

    For a stream socket subclass :class:`SocketConnection`. For anything else subclass this.
    """

    #: The longest payload that can be sent, in bytes.
    max_payload = PAYLOAD_MAX
    #: How many requests may wait for their replies at a time.
    max_outstanding = 64
    #: Whether a reply carries the ids of its request. Over XenBus the kernel may change
    #: them; then pyxs matches replies by their type and order alone.
    trusts_ids = True
    #: How long to wait for the daemon, in seconds without a byte from it; ``None``: no limit.
    socket_timeout: "t.Optional[float]" = None
    #: The path or address of the daemon, for messages.
    path = ""

    _origin = ""  # the environment variable that named the path

    @abc.abstractmethod
    def open(self) -> "t.Stream":
        """Return a new stream of bytes to the daemon.

        It has the methods ``send(data)``, which returns how many bytes it took, ``recv(size)``,
        which returns ``b""`` at the end of the stream, ``fileno()`` and ``close()``. A
        :class:`socket.socket` has them. pyxs waits for any other stream in ``poll()``, by its
        descriptor, and calls ``recv`` when that is readable.

        :raises OSError: connecting failed; a client raises :exc:`~pyxs.ConnectionError` then.
        """

    def hint(self, cause: OSError) -> str:  # noqa: ARG002
        """Return what to add to the message when :meth:`open` raises *cause*."""
        return ""

    def __repr__(self) -> str:
        """Return the path."""
        return "<{} {!r}>".format(type(self).__name__, self.path)


explain(PacketConnection, CONNECTION)


class SocketConnection(PacketConnection):
    """A connection over a stream socket; a subclass defines :meth:`open` and sets ``path``.

    :param socket_timeout: how long to wait for the daemon, in seconds without a byte from it;
        ``None``: no limit.
    :raises InvalidPayload: *socket_timeout* is not a positive number.
    """

    def __init__(self, socket_timeout: "t.Optional[float]" = None) -> None:
        self.socket_timeout = checked_timeout(socket_timeout)

    @abc.abstractmethod
    def open(self) -> "t.Stream":
        """Return a new connected socket.

        :raises OSError: connecting failed; a client raises :exc:`~pyxs.ConnectionError` then.
        """


class UnixSocketConnection(SocketConnection):
    """A connection to the Unix socket of a daemon in this domain.

    :param path: the socket; by default ``$XENSTORED_PATH``, else
        ``$XENSTORED_RUNDIR/socket``, else ``/var/run/xenstored/socket``.
    :param socket_timeout: how long to wait for the daemon, in seconds without a byte from it;
        ``None``: no limit.
    :raises TypeError: *path* is not a path.
    :raises InvalidPayload: *socket_timeout* is not a positive number.
    """

    def __init__(
        self, path: "t.Optional[t.AnyPath]" = None, socket_timeout: "t.Optional[float]" = None
    ) -> None:
        super().__init__(socket_timeout)
        if path is None:
            self.path, self._origin = _default_socket()
        else:
            self.path = as_path(path, "path")

    def open(self) -> "t.Stream":
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # The kernel's limit, because connect() with settimeout() fails at once when the
            # daemon's queue of new connections is full.
            sock.settimeout(None)
            limit_waiting(sock, self.socket_timeout)
            _connect(sock, self.path)
        except BaseException:
            sock.close()
            raise
        return sock

    def hint(self, cause: OSError) -> str:
        from ._hints import socket_hint, variable_hint

        return variable_hint(self._origin) + socket_hint(self.path, cause)


class XenBusConnection(PacketConnection):
    """A connection over the XenBus device of a guest, or of dom0.

    The kernel takes one request at a time. Each must come in one ``write()``, of at most
    4096 bytes with its header.

    :param path: the device; by default that of the platform: on Linux
        ``/dev/xen/xenbus``, or ``/proc/xen/xenbus`` where only that exists.
    :raises TypeError: *path* is not a path.
    """

    max_payload = PAYLOAD_MAX - HEADER_SIZE
    max_outstanding = 1
    trusts_ids = False

    def __init__(self, path: "t.Optional[t.AnyPath]" = None) -> None:
        self.path = _default_device() if path is None else as_path(path, "path")

    def open(self) -> "t.Stream":
        # Not open(), which would seek in the device.
        device = _Device(self.path, "r+", opener=_open_device)
        found = os.fstat(device.fileno())
        if stat.S_ISREG(found.st_mode) and not is_xenbus_file(found):
            device.close()
            raise OSError(errno.ENODEV, "this is a file, not a XenBus device")
        return device

    def hint(self, cause: OSError) -> str:
        from ._hints import device_hint, variable_hint

        return variable_hint(self._origin) + device_hint(cause)


class _Device(io.FileIO):
    """The stream of a device: each ``send`` is one ``write()``."""

    send = io.FileIO.write
    recv = io.FileIO.read


def _open_device(path: str, flags: int) -> int:
    """Open a device, which does not become the terminal of a daemon if it is one."""
    return os.open(path, flags | os.O_NOCTTY)


def is_xenbus_file(found: os.stat_result) -> bool:
    """Return whether a regular file may be a XenBus device.

    On old kernels the device is a regular file of a file system of the kernel's own:
    ``/proc/xen/xenbus`` on Linux, ``/kern/xen/xenbus`` on NetBSD.
    """
    mounts = [path for path in ("/proc", "/proc/xen", "/kern") if os.path.ismount(path)]
    return found.st_dev in [os.stat(path).st_dev for path in mounts]


def _connect(sock: socket.socket, path: str) -> None:
    """Connect, also where a signal comes that a handler takes without an exception.

    Python then takes a ``connect()`` that has not begun for one that goes on in the background.
    """
    while True:
        sock.connect(path)
        try:
            sock.getpeername()
            return
        except OSError as exc:
            if exc.errno != errno.ENOTCONN:
                raise


def limit_waiting(sock: "t.Any", seconds: "t.Optional[float]") -> None:
    """Set the kernel's limits for connect(), send() and recv(), which spare a poll() before each.

    :param sock: a :class:`socket.socket`.
    """
    if seconds is not None:
        timeval = struct.pack("@ll", *divmod(max(1, int(seconds * 1e6)), 10**6))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeval)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)


def as_path(path: "t.Any", name: str) -> str:
    """Return a path as ``str``.

    :param name: the argument's name, for the message.
    :raises TypeError: *path* is not a path.
    """
    try:
        return os.fsdecode(path)
    except TypeError:
        raise TypeError(
            "{} {:.80}: must be str, bytes or os.PathLike, not {}".format(
                name, repr(path), type(path).__name__
            )
        ) from None


def _default_socket() -> "t.Tuple[str, str]":
    """Return the path of the daemon's socket, and the variable that names it, or ``""``."""
    path = os.environ.get("XENSTORED_PATH")
    if path:
        return path, "$XENSTORED_PATH"
    directory = os.environ.get("XENSTORED_RUNDIR")
    if directory:
        return os.path.join(directory, "socket"), "$XENSTORED_RUNDIR"
    return "/var/run/xenstored/socket", ""


def _default_device() -> str:
    if sys.platform.startswith("netbsd"):
        return "/kern/xen/xenbus"
    if sys.platform.startswith("freebsd"):
        return "/dev/xen/xenstore"
    device, old = "/dev/xen/xenbus", "/proc/xen/xenbus"
    return old if os.path.exists(old) and not os.path.exists(device) else device


def checked_timeout(seconds: "t.Optional[float]") -> "t.Optional[float]":
    """Return a ``socket_timeout`` if it is valid.

    :raises InvalidPayload: it is neither ``None`` nor a number over 0, at most
        :data:`TIMEOUT_MAX`.
    """
    if seconds is None or (isinstance(seconds, (int, float)) and 0 < seconds <= TIMEOUT_MAX):
        return seconds
    raise InvalidPayload(
        seconds,
        "socket_timeout {}: must be a number over 0, at most {}".format(
            shown(seconds), TIMEOUT_MAX
        ),
    )
