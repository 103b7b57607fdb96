"""Connections to a XenStore daemon, over a socket or the XenBus device."""

import abc
import errno
import io
import os
import socket
import struct
import sys

from ._annotations import t
from ._connection.base import PacketConnection, StreamConnection
from ._wire.packets import HEADER_SIZE, PAYLOAD_MAX, Message, Op, Packet
from ._wire.stream import Stream
from .exceptions import ConnectionError, InvalidPayload, PyXSError
from .helpers import error, raised_here

TYPE_CHECKING = False

__all__ = [
    "Op",
    "Packet",
    "PacketConnection",
    "SocketConnection",
    "UnixSocketConnection",
    "XenBusConnection",
]


#: The longest time-out in seconds, 23 days: poll() counts milliseconds in 31 bits.
TIMEOUT_MAX = 2000000


class SocketConnection(StreamConnection):
    """A connection over a stream socket.

    A subclass defines :meth:`open` and :meth:`~PacketConnection.clone`, and sets
    :attr:`~PacketConnection.path`.

    :param socket_timeout: seconds to wait for a reply, and for the rest of a message that
        has begun to arrive; ``None``: no limit.
    :raises InvalidPayload: *socket_timeout* is not a positive number.
    """

    _sock: "t.Optional[socket.socket]" = None

    def __init__(self, socket_timeout: "t.Optional[float]" = None) -> None:
        self.socket_timeout = checked_timeout(socket_timeout)

    @abc.abstractmethod
    def open(self) -> socket.socket:
        """Return a new connected socket.

        :raises OSError: connecting failed; :meth:`~PacketConnection.connect` makes it a
            :exc:`~pyxs.ConnectionError`.
        """

    def connect(self) -> None:
        self.disconnect()
        try:
            sock = self.open()
            try:
                sock.settimeout(None)
                _limit_sending(sock, self.socket_timeout)
                self._stream = Stream(sock.fileno(), sock.recv, self.socket_timeout)
                self._sock = sock
            except BaseException:
                self._stream = None
                sock.close()
                raise
        except OSError as exc:
            if not self._failed_to_open(exc):
                raise  # a signal handler raised it
            raise self._failure(exc, self._hint(exc)) from exc

    def _failed_to_open(self, exc: OSError) -> bool:
        """Return whether *exc* comes from opening the socket and not from a signal handler."""
        return _module_raising(exc) in (__name__, type(self).__module__, "socket", "ssl")

    def _hint(self, cause: OSError) -> str:  # noqa: ARG002
        return ""

    def disconnect(self, silent: bool = True) -> None:
        # The socket is forgotten only after it is closed: after an interruption the caller
        # can call this again.
        sock, self._stream = self._sock, None
        if sock is None:
            return
        try:
            sock.close()
        except OSError as exc:
            if not raised_here(exc):
                raise
            if not silent:
                raise self._failure(exc) from exc
        self._sock = None

    def transmit(
        self,
        messages: "t.Sequence[Message]",  # noqa: ARG002
        data: "t.Sequence[bytes]",
        counts: "t.List[int]",
    ) -> "t.Optional[PyXSError]":
        sock = self._sock
        if sock is None:
            return self._failure(None)
        joined = b"".join(data)
        try:
            while True:
                # One call in C sends the bytes and records how many: an exception cannot
                # come in between.
                counts.extend(map(sock.send, (joined[sum(counts) :],)))
                if sum(counts) >= len(joined):
                    return None
        except OSError as exc:
            if not raised_here(exc):
                raise
            return self._failure(exc.with_traceback(None))

    def fileno(self) -> int:
        if self._sock is None:
            raise self._failure(None)
        return self._sock.fileno()

    def wake(self) -> None:
        sock = self._sock
        if sock is None:
            return
        try:
            sock.shutdown(socket.SHUT_RDWR)
        except OSError as exc:  # the daemon has closed the connection already
            if not raised_here(exc):
                raise


def _module_raising(exc: OSError) -> str:
    """Return the name of the module whose code was running when *exc* was raised."""
    traceback = exc.__traceback__
    name = __name__
    while traceback is not None:
        name = traceback.tb_frame.f_globals.get("__name__", "")
        traceback = traceback.tb_next
    return name


class UnixSocketConnection(SocketConnection):
    """A connection to the Unix socket of a daemon in this domain.

    :param path: the socket; by default ``$XENSTORED_PATH``, else
        ``$XENSTORED_RUNDIR/socket``, else ``/var/run/xenstored/socket``.
    :param socket_timeout: seconds to wait for a reply, and for the rest of a message that
        has begun to arrive; ``None``: no limit.
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

    def open(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # The kernel's limit, because a non-blocking connect() fails at once when the
            # daemon's queue of new connections is full.
            _limit_sending(sock, self.socket_timeout)
            sock.connect(self.path)
        except BaseException:
            sock.close()
            raise
        return sock

    def _hint(self, cause: OSError) -> str:
        from ._connection.hints import socket_hint, variable_hint

        return variable_hint(self._origin) + socket_hint(self.path, cause)

    def clone(self) -> "UnixSocketConnection":
        connection = UnixSocketConnection(self.path, self.socket_timeout)
        connection._origin = self._origin
        return connection


class XenBusConnection(StreamConnection):
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

    _device: "t.Optional[io.FileIO]" = None
    _waker: "t.Optional[socket.socket]" = None
    _woken: "t.Optional[socket.socket]" = None

    def __init__(self, path: "t.Optional[t.AnyPath]" = None) -> None:
        self.path = _default_device() if path is None else as_path(path, "path")

    def connect(self) -> None:
        self.disconnect()
        try:
            # Not open(), which would seek in the device. One call in C opens and keeps the
            # descriptor: an exception cannot come in between.
            self._device = io.FileIO(self.path, "r+", opener=os.open)
        except OSError as exc:
            if not raised_here(exc):
                raise
            from ._connection.hints import device_hint, variable_hint

            raise self._failure(exc, variable_hint(self._origin) + device_hint(exc)) from exc
        # close() does not end a blocked read() on this device. The reader therefore waits
        # in poll(), for the device and for this pair.
        self._waker, self._woken = socket.socketpair()
        self._stream = Stream(
            self._device.fileno(), self._device.read, self.socket_timeout, self._woken
        )

    def disconnect(self, silent: bool = True) -> None:
        device, self._stream = self._device, None
        for end in (self._waker, self._woken):
            if end is not None:
                end.close()
        if device is None:
            return
        try:
            device.close()
        except OSError as exc:
            if not raised_here(exc):
                raise
            if not silent:
                raise self._failure(exc) from exc
        self._device = None

    def transmit(
        self, messages: "t.Sequence[Message]", data: "t.Sequence[bytes]", counts: "t.List[int]"
    ) -> "t.Optional[PyXSError]":
        if self._device is None:
            return self._failure(None)
        while len(counts) < len(messages):
            message, whole = messages[len(counts)], data[len(counts)]
            try:
                counts.extend(map(self._device.write, (whole,)))
            except OSError as exc:
                if not raised_here(exc):
                    raise
                # Linux registers watches itself: if xenstored refuses one, write() fails
                # with its errno, and no reply comes.
                if exc.errno == errno.EINVAL or message.op == Op.WATCH:
                    return error(exc.errno or errno.EINVAL)
                return self._failure(exc.with_traceback(None))
            if counts[-1] != len(whole):
                return ConnectionError(
                    "{}: the device took only {} of {} bytes of a message".format(
                        self.path, counts[-1], len(whole)
                    )
                )
        return None

    def fileno(self) -> int:
        if self._device is None:
            raise self._failure(None)
        return self._device.fileno()

    def wake(self) -> None:
        if self._waker is None:
            return
        try:
            self._waker.send(b"!")
        except OSError as exc:  # the pair is closed, or full of earlier wake-ups
            if not raised_here(exc):
                raise

    def clone(self) -> "XenBusConnection":
        connection = XenBusConnection(self.path)
        connection.socket_timeout = self.socket_timeout
        connection._origin = self._origin
        return connection


def _limit_sending(sock: socket.socket, timeout: "t.Optional[float]") -> None:
    """Set the kernel's limit for connect() and send(); this saves a poll() before each."""
    if timeout is not None:
        timeval = struct.pack("@ll", *divmod(max(1, int(timeout * 1e6)), 10**6))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeval)


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
        "socket_timeout {!r}: must be a number over 0, at most {}".format(seconds, TIMEOUT_MAX),
    )
