"""Connections to a XenStore daemon: one file descriptor, packets in, packets out."""

import abc
import errno
import io
import os
import socket
import struct
import sys
from typing import TYPE_CHECKING, Any, Callable, List, Optional, Sequence, Tuple, Union

from ._wire.packets import (
    HEADER_SIZE,
    PAYLOAD_MAX,
    Frame,
    Message,
    Op,
    Packet,
    packet_from_wire,
)
from ._wire.stream import Stream
from .exceptions import ConnectionError, InvalidPayload, PyXSError, UnexpectedPacket
from .helpers import error, raised_here

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

    _fault: "Optional[ConnectionError]" = None
    _arrived: "List[Frame]"

    def __repr__(self) -> str:
        """Return the path, and the state where it is known."""
        return "<{} {!r}{}>".format(type(self).__name__, self.path, self._state())

    def _state(self) -> str:
        return ""

    @property
    def interruptible(self) -> bool:
        """Whether an exception that a signal handler raises now loses nothing.

        pyxs asks when such an exception has come out of :meth:`recv` or :meth:`send`;
        where the answer is no it closes the connection.
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

    @abc.abstractmethod
    def fileno(self) -> int:
        """Return the descriptor. :meth:`recv` may hold packets though it is not readable."""

    @abc.abstractmethod
    def wake(self) -> None:
        """Make a blocked :meth:`recv` or :meth:`send` return. The connection is given up."""

    @abc.abstractmethod
    def clone(self) -> "PacketConnection":
        """Return an unconnected connection to the same place."""

    # -- what pyxs itself calls: failures are values, so that what user code raises passes --

    def begin(self) -> None:
        """Forget the packets and the fault of an earlier connection."""
        self._fault = None
        self._arrived = []

    @property
    def fault(self) -> "Optional[ConnectionError]":
        """Why nothing more will come, once that is so."""
        return self._fault

    def transmit(
        self,
        messages: "Sequence[Message]",
        data: "Sequence[bytes]",  # noqa: ARG002
        counts: "List[int]",  # noqa: ARG002
    ) -> "Optional[PyXSError]":
        """Send messages; what an interruption has left unsent, a second call sends.

        :param data: the messages as they go over the wire.
        :param counts: takes what each system call says; empty at first, and handed in
            again to go on. Of use where :attr:`interruptible`.
        :returns: a ``ConnectionError`` when the connection is lost, or the daemon's answer.
        """
        try:
            self.send_many([packet_from_wire(m.op, m.rq_id, m.tx_id, m.payload) for m in messages])
        except PyXSError as exc:
            return exc.with_traceback(None)  # which would hold this frame
        return None

    def receive(self, timeout: "Optional[float]") -> "List[Frame]":
        """Return the messages that are here, waiting for the first; the caller takes them.

        :returns: none when the time has passed, after :meth:`wake`, and when there is a
            :attr:`fault`.
        """
        arrived = self._arrived
        if not arrived:
            try:
                arrived.extend(map(_frame, filter(None, (self.recv(timeout),))))
            except ConnectionError as exc:
                self._fault = exc.with_traceback(None)
        return arrived

    def receiver(self) -> "Callable[[Optional[float]], List[Frame]]":
        """Return :meth:`receive`, or what does the same until this is disconnected."""
        return self.receive


def _frame(packet: Packet) -> Frame:
    return packet.op, packet.rq_id, packet.tx_id, packet.payload


class _StreamConnection(PacketConnection):
    """What a socket and a device have in common: a stream while connected, and its errors."""

    _stream: "Optional[Stream]" = None

    def _state(self) -> str:
        return ", not connected" if self._stream is None else ", connected"

    @property
    def begun(self) -> bool:
        return self._stream is not None and self._stream.begun

    @property
    def interruptible(self) -> bool:
        return True

    @property
    def fault(self) -> "Optional[ConnectionError]":
        if self._stream is None:
            return self._failure(None)
        return None if self._stream.fault is None else self._failure(self._stream.fault)

    def recv(self, timeout: "Optional[float]" = None) -> "Optional[Packet]":
        frames = self.receive(timeout)
        if frames:
            return packet_from_wire(*frames.pop(0))
        if self.fault is not None:
            raise self.fault
        return None

    def receive(self, timeout: "Optional[float]") -> "List[Frame]":
        return [] if self._stream is None else self._stream.receive(timeout)

    def receiver(self) -> "Callable[[Optional[float]], List[Frame]]":
        return self.receive if self._stream is None else self._stream.receive

    def send(self, packet: Packet) -> None:
        self.send_many((packet,))

    def send_many(self, packets: "Sequence[Packet]") -> None:
        answer = self.transmit(packets, [bytes(packet) for packet in packets], [])
        if answer is not None:
            raise answer

    def _failure(self, cause: "Optional[BaseException]", hint: str = "") -> ConnectionError:
        kind = UnexpectedPacket if isinstance(cause, UnexpectedPacket) else ConnectionError
        failure = kind("{}: {}{}".format(self.path, _reason(cause), hint))
        failure.__cause__ = cause
        return failure


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
        self.socket_timeout = checked_timeout(socket_timeout)

    @abc.abstractmethod
    def open(self) -> socket.socket:
        """Return a new connected socket; an ``OSError`` becomes a ``ConnectionError``."""

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
            if not self._opens_in(_innermost(exc)):
                raise  # a signal handler's
            raise self._failure(exc, self._hint(exc)) from exc

    def _opens_in(self, module: str) -> bool:
        """Whether an ``OSError`` raised in a module says that :meth:`open` has failed."""
        return module in (__name__, type(self).__module__, "socket", "ssl")

    def _hint(self, cause: OSError) -> str:  # noqa: ARG002
        return ""

    def disconnect(self, silent: bool = True) -> None:
        # Forgotten when it is closed, so that this can be repeated after an interruption.
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
        messages: "Sequence[Message]",  # noqa: ARG002
        data: "Sequence[bytes]",
        counts: "List[int]",
    ) -> "Optional[PyXSError]":
        sock = self._sock
        if sock is None:
            return self._failure(None)
        joined = b"".join(data)
        try:
            while True:
                # One call in C sends and keeps how much: an exception cannot come between.
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
        except OSError as exc:  # the daemon was faster
            if not raised_here(exc):
                raise


def _innermost(exc: OSError) -> str:
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
    :param socket_timeout: seconds for a reply and for the rest of a message begun;
        ``None``: no limit.
    :raises InvalidPayload: *socket_timeout* is not a positive number.
    """

    def __init__(
        self, path: "Optional[AnyPath]" = None, socket_timeout: "Optional[float]" = None
    ) -> None:
        super().__init__(socket_timeout)
        self._origin = ""
        if path is None:
            self.path, self._origin = _default_socket()
        else:
            self.path = as_path(path, "path")

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

    def _hint(self, cause: OSError) -> str:
        from ._hints import origin_hint, socket_hint

        return origin_hint(self._origin) + socket_hint(self.path, cause)

    def clone(self) -> "UnixSocketConnection":
        connection = UnixSocketConnection(self.path, self.socket_timeout)
        connection._origin = self._origin
        return connection


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
    _waker: "Optional[socket.socket]" = None
    _woken: "Optional[socket.socket]" = None

    def __init__(self, path: "Optional[AnyPath]" = None) -> None:
        self._origin = ""
        self.path = _default_device() if path is None else as_path(path, "path")

    def connect(self) -> None:
        self.disconnect()
        try:
            # Not open(): that takes the device for a file to seek in. One call in C opens
            # and keeps the descriptor.
            self._device = io.FileIO(self.path, "r+", opener=os.open)
        except OSError as exc:
            if not raised_here(exc):
                raise
            from ._hints import device_hint, origin_hint

            raise self._failure(exc, origin_hint(self._origin) + device_hint(exc)) from exc
        # close() does not wake a blocked read() on this device: each wait is a
        # poll() on it and on this pair.
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
        self, messages: "Sequence[Message]", data: "Sequence[bytes]", counts: "List[int]"
    ) -> "Optional[PyXSError]":
        if self._device is None:
            return self._failure(None)
        while len(counts) < len(messages):
            message, whole = messages[len(counts)], data[len(counts)]
            try:
                counts.extend(map(self._device.write, (whole,)))
            except OSError as exc:
                if not raised_here(exc):
                    raise
                # The kernel registers watches itself: what xenstored answers to one is
                # the error of write(), and no reply comes.
                if exc.errno == errno.EINVAL or message.op == Op.WATCH:
                    return error(exc.errno or errno.EINVAL)
                return self._failure(exc.with_traceback(None))
            if counts[-1] != len(whole):
                return ConnectionError("{}: took a part of a message".format(self.path))
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
        except OSError as exc:  # closed, or full of wake-ups
            if not raised_here(exc):
                raise

    def clone(self) -> "XenBusConnection":
        connection = XenBusConnection(self.path)
        connection.socket_timeout = self.socket_timeout
        connection._origin = self._origin
        return connection


def _limit_sending(sock: socket.socket, timeout: "Optional[float]") -> None:
    """Let the kernel limit connect() and send(): that saves a poll() before each."""
    if timeout is not None:
        timeval = struct.pack("@ll", *divmod(max(1, int(timeout * 1e6)), 10**6))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeval)


def as_path(path: Any, name: str) -> str:
    """Return a path as ``str``.

    :param name: what the message calls the argument.
    :raises TypeError: it is no path.
    """
    try:
        return os.fsdecode(path)
    except TypeError:
        raise TypeError(
            "{} {:.80}: must be str, bytes or os.PathLike, not {}".format(
                name, repr(path), type(path).__name__
            )
        ) from None


def _default_socket() -> "Tuple[str, str]":
    """Return the path of the daemon's socket, and the variable that names it or ``""``."""
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


def checked_timeout(seconds: "Optional[float]") -> "Optional[float]":
    if seconds is None or (isinstance(seconds, (int, float)) and 0 < seconds <= TIMEOUT_MAX):
        return seconds
    raise InvalidPayload(
        seconds,
        "socket_timeout {!r}: must be a number over 0, at most {}".format(seconds, TIMEOUT_MAX),
    )
