"""Connections to a XenStore daemon: one file descriptor, packets in, packets out."""

import abc
import contextlib
import errno
import io
import os
import socket
import struct
import sys
from typing import TYPE_CHECKING, List, Optional, Sequence, Union

from ._wire.packets import HEADER_SIZE, PAYLOAD_MAX, Op, Packet
from ._wire.stream import Stream
from .exceptions import ConnectionError, InvalidPayload, UnexpectedPacket
from .helpers import error

__all__ = [
    "Op",
    "Packet",
    "PacketConnection",
    "SocketConnection",
    "UnixSocketConnection",
    "XenBusConnection",
]

if TYPE_CHECKING:
    AnyPath = Union[str, bytes, "os.PathLike[str]", "os.PathLike[bytes]"]
else:  # strings in a Union are compiled, a fifth of the time that importing pyxs takes
    AnyPath = Union[str, bytes, os.PathLike]

#: The longest time-out in seconds, 23 days: poll() counts milliseconds in 31 bits.
TIMEOUT_MAX = 2000000


class PacketConnection(abc.ABC):
    """What a :class:`~pyxs.Client` needs of a connection: the class to subclass.

    A connection is made unconnected, may be connected again after
    :meth:`disconnect`, and belongs to one client or monitor. At any time one
    thread at most is in :meth:`recv`, and one at most in :meth:`send` or
    :meth:`send_many`; :meth:`wake` comes from any thread. After a failure pyxs
    calls :meth:`disconnect`, when no thread is in another method any more.

    Every failure of I/O is a :exc:`~pyxs.ConnectionError`. To talk over another
    stream socket it is enough to subclass :class:`SocketConnection`.
    """

    #: The longest payload that can be sent, in bytes.
    max_payload = PAYLOAD_MAX
    #: How many requests may wait for their replies at a time.
    max_outstanding = 64
    #: Whether a reply carries the ids of its request. Where it does not, a kernel
    #: stands between, and replies are known by their type and order alone.
    trusts_ids = True
    #: Seconds for a reply, and for the rest of a message begun; ``None``: no limit.
    socket_timeout: "Optional[float]" = None
    #: Where the connection leads to, for messages.
    path = ""

    @property
    def interruptible(self) -> bool:
        """True while :meth:`recv` waits and has taken nothing.

        An exception that a signal handler raises then loses nothing; at any other
        time, and where this is not overridden, the connection is closed.
        """
        return False

    @property
    def begun(self) -> bool:
        """Whether a part of a message has arrived, and not yet the whole."""
        return False

    @abc.abstractmethod
    def connect(self) -> None:
        """Connect; a descriptor still held is closed first, as :meth:`disconnect` does.

        :raises ConnectionError: nobody answers there.
        """

    @abc.abstractmethod
    def disconnect(self, silent: bool = True) -> None:
        """Close the descriptor.

        It may be shared with a parent process, so it is only closed, never shut down.

        :param silent: whether to pass over a failure to close.
        """

    @abc.abstractmethod
    def send(self, packet: Packet) -> None:
        """Send one message, whole.

        :raises PyXSError: the daemon's answer, where a kernel gives it at once; the
            connection stays good.
        :raises ConnectionError: the connection is lost.
        """

    def send_many(self, packets: "Sequence[Packet]") -> None:
        """Send several messages, in order."""
        for packet in packets:
            self.send(packet)

    @abc.abstractmethod
    def recv(self, timeout: "Optional[float]" = None) -> "Optional[Packet]":
        """Return the next packet.

        :param timeout: seconds to wait; ``None``: without limit.
        :returns: ``None`` when the time passes without a whole packet, or after :meth:`wake`.
        :raises ConnectionError: the connection is lost.
        """

    def recv_many(self, timeout: "Optional[float]" = None) -> "List[Packet]":
        """Return the next packet and all that came with it; none when :meth:`recv` has none.

        A connection that reads ahead has to override it: a select loop learns of
        nothing that stays behind.
        """
        packet = self.recv(timeout)
        return [] if packet is None else [packet]

    @abc.abstractmethod
    def fileno(self) -> int:
        """Return the descriptor. :meth:`recv` may hold packets though it is not readable."""

    @abc.abstractmethod
    def wake(self) -> None:
        """Make a blocked :meth:`recv` or :meth:`send` return. The connection is given up."""

    @abc.abstractmethod
    def clone(self) -> "PacketConnection":
        """Return an unconnected connection to the same place."""


class _StreamConnection(PacketConnection):
    """What a socket and a device have in common: a stream while connected, and its errors."""

    _stream: "Optional[Stream]" = None

    @property
    def begun(self) -> bool:
        return self._stream is not None and self._stream.begun

    @property
    def interruptible(self) -> bool:
        return self._stream is not None and self._stream.interruptible

    def recv(self, timeout: "Optional[float]" = None) -> "Optional[Packet]":
        if self._stream is None:
            raise self._failure(None)
        try:
            return self._stream.recv(timeout)
        except (OSError, EOFError) as exc:
            raise self._failure(exc) from exc

    def recv_many(self, timeout: "Optional[float]" = None) -> "List[Packet]":
        if self._stream is None:
            raise self._failure(None)
        try:
            return self._stream.recv_many(timeout)
        except (OSError, EOFError) as exc:
            raise self._failure(exc) from exc

    def _failure(self, cause: "Optional[BaseException]", hint: str = "") -> ConnectionError:
        kind = UnexpectedPacket if isinstance(cause, UnexpectedPacket) else ConnectionError
        return kind("{}: {}{}".format(self.path, _reason(cause), hint))


def _reason(cause: "Optional[BaseException]") -> str:
    if cause is None:
        return "not connected"
    if isinstance(cause, EOFError):
        return "the daemon closed the connection"
    if isinstance(cause, BlockingIOError):
        return "timed out"
    return getattr(cause, "strerror", None) or str(cause)


class SocketConnection(_StreamConnection):
    """A connection over a stream socket.

    Subclasses say how to :meth:`open` the socket and how to
    :meth:`~PacketConnection.clone` themselves, and set :attr:`~PacketConnection.path`.

    :param socket_timeout: seconds for a reply and for the rest of a message begun.
    :raises InvalidPayload: it is not a positive number.
    """

    _sock: "Optional[socket.socket]" = None

    def __init__(self, socket_timeout: "Optional[float]" = None) -> None:
        self.socket_timeout = _checked_timeout(socket_timeout)

    @abc.abstractmethod
    def open(self) -> socket.socket:
        """Return a new connected socket; an ``OSError`` becomes a ``ConnectionError``."""

    def connect(self) -> None:
        self.disconnect()
        try:
            sock = self.open()
            sock.settimeout(None)
            _limit_sending(sock, self.socket_timeout)
        except OSError as exc:
            raise self._failure(exc, self._hint()) from exc
        self._sock = sock
        self._stream = Stream(sock.fileno(), sock.recv, self.socket_timeout)

    def _hint(self) -> str:
        return ""

    def disconnect(self, silent: bool = True) -> None:
        sock, self._sock, self._stream = self._sock, None, None
        if sock is None:
            return
        try:
            sock.close()
        except OSError as exc:
            if not silent:
                raise self._failure(exc) from exc

    def send(self, packet: Packet) -> None:
        self.send_many((packet,))

    def send_many(self, packets: "Sequence[Packet]") -> None:
        sock = self._sock
        if sock is None:
            raise self._failure(None)
        try:
            if len(packets) == 1:
                sock.sendall(packets[0].__bytes__())
            else:
                sock.sendall(b"".join([packet.__bytes__() for packet in packets]))
        except OSError as exc:
            raise self._failure(exc) from exc

    def fileno(self) -> int:
        if self._sock is None:
            raise self._failure(None)
        return self._sock.fileno()

    def wake(self) -> None:
        sock = self._sock
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


class UnixSocketConnection(SocketConnection):
    """A connection to the Unix socket of a daemon in this domain.

    :param path: the socket; by default ``$XENSTORED_PATH``, else
        ``$XENSTORED_RUNDIR/socket``, else ``/var/run/xenstored/socket``.
    :param socket_timeout: seconds for a reply and for the rest of a message begun;
        ``None``: no limit.
    :raises InvalidPayload: *socket_timeout* is not a positive number.
    """

    def __init__(
        self, path: "Optional[AnyPath]" = None, socket_timeout: "Optional[float]" = None
    ) -> None:
        super().__init__(socket_timeout)
        self.path = _default_socket() if path is None else os.fsdecode(path)

    def open(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # A non-blocking connect() would fail at once where many wait for accept().
            _limit_sending(sock, self.socket_timeout)
            sock.connect(self.path)
        except BaseException:
            sock.close()
            raise
        return sock

    def _hint(self) -> str:
        return "; is xenstored running? in a guest use xen_bus_path or XenBusConnection"

    def clone(self) -> "UnixSocketConnection":
        return UnixSocketConnection(self.path, self.socket_timeout)


class XenBusConnection(_StreamConnection):
    """A connection over the XenBus device, as guests have it.

    The kernel takes one request at a time, in one ``write()``, of 4096 bytes with its
    header.

    :param path: the device; by default what the platform has: on Linux
        ``/dev/xen/xenbus``, or ``/proc/xen/xenbus`` where only that exists.
    """

    max_payload = PAYLOAD_MAX - HEADER_SIZE
    max_outstanding = 1
    trusts_ids = False

    _device: "Optional[io.FileIO]" = None
    _waker: socket.socket
    _woken: socket.socket

    def __init__(self, path: "Optional[AnyPath]" = None) -> None:
        self.path = _default_device() if path is None else os.fsdecode(path)

    def connect(self) -> None:
        self.disconnect()
        try:
            fd = os.open(self.path, os.O_RDWR)
        except OSError as exc:
            raise self._failure(exc) from exc
        self._device = io.FileIO(fd, "r+")
        # close() does not wake a blocked read() on this device: each wait is a
        # poll() on it and on this pair.
        self._waker, self._woken = socket.socketpair()
        self._stream = Stream(fd, self._device.read, self.socket_timeout, self._woken)

    def disconnect(self, silent: bool = True) -> None:
        device, self._device, self._stream = self._device, None, None
        if device is None:
            return
        self._waker.close()
        self._woken.close()
        try:
            device.close()
        except OSError as exc:
            if not silent:
                raise self._failure(exc) from exc

    def send(self, packet: Packet) -> None:
        if self._device is None:
            raise self._failure(None)
        data = bytes(packet)
        try:
            written = self._device.write(data)
        except OSError as exc:
            # The kernel registers watches itself: what xenstored answers to one is
            # the error of write(), and no reply comes.
            if exc.errno == errno.EINVAL or packet.op == Op.WATCH:
                raise error(exc.errno or errno.EINVAL) from exc
            raise self._failure(exc) from exc
        if written != len(data):
            raise ConnectionError("{}: took a part of a message".format(self.path))

    def fileno(self) -> int:
        if self._device is None:
            raise self._failure(None)
        return self._device.fileno()

    def wake(self) -> None:
        if self._device is not None:
            with contextlib.suppress(OSError):
                self._waker.send(b"!")

    def clone(self) -> "XenBusConnection":
        connection = XenBusConnection(self.path)
        connection.socket_timeout = self.socket_timeout
        return connection


def _limit_sending(sock: socket.socket, timeout: "Optional[float]") -> None:
    """Let the kernel limit connect() and send(): that saves a poll() before each."""
    if timeout is not None:
        timeval = struct.pack("@ll", *divmod(max(1, int(timeout * 1e6)), 10**6))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeval)


def choose_connection(
    unix_socket_path: "Optional[AnyPath]" = None,
    socket_timeout: "Optional[float]" = None,
    xen_bus_path: "Optional[AnyPath]" = None,
    connection: "Optional[PacketConnection]" = None,
) -> PacketConnection:
    """Return the connection that a client's arguments mean: *connection* if given, else a
    Unix socket, unless only *xen_bus_path* is given.

    :raises TypeError: *connection* is not a :class:`PacketConnection`.
    :raises InvalidPayload: *socket_timeout* is not a positive number.
    """
    if connection is not None:
        if not isinstance(connection, PacketConnection):
            raise TypeError("connection {!r}: must be a PacketConnection".format(connection))
        return connection
    if xen_bus_path is None or unix_socket_path is not None:
        return UnixSocketConnection(unix_socket_path, socket_timeout)
    device = XenBusConnection(xen_bus_path)
    device.socket_timeout = _checked_timeout(socket_timeout)
    return device


def _default_socket() -> str:
    path = os.environ.get("XENSTORED_PATH")
    if path:
        return path
    return os.path.join(os.environ.get("XENSTORED_RUNDIR") or "/var/run/xenstored", "socket")


def _default_device() -> str:
    if sys.platform.startswith("netbsd"):
        return "/kern/xen/xenbus"
    if sys.platform.startswith("freebsd"):
        return "/dev/xen/xenstore"
    device, old = "/dev/xen/xenbus", "/proc/xen/xenbus"
    return old if os.path.exists(old) and not os.path.exists(device) else device


def _checked_timeout(seconds: "Optional[float]") -> "Optional[float]":
    if seconds is None or (isinstance(seconds, (int, float)) and 0 < seconds <= TIMEOUT_MAX):
        return seconds
    raise InvalidPayload(
        "socket_timeout {!r}: must be a number over 0, at most {}".format(seconds, TIMEOUT_MAX)
    )
