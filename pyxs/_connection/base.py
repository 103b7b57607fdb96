"""What every connection must do, and what a socket and a device share."""

import abc

from .._annotations import t
from .._wire.packets import PAYLOAD_MAX, Message, Packet, packet_from_wire
from .._wire.stream import Stream
from ..exceptions import ConnectionError, PyXSError, UnexpectedPacket

__all__ = ["PacketConnection", "StreamConnection"]


class PacketConnection(abc.ABC):
    """The base of all connections; subclass it to carry packets in another way.

    A connection is made unconnected, may be connected again after
    :meth:`disconnect`, and belongs to one client or monitor. At most one thread
    at a time calls :meth:`recv`, and at most one calls :meth:`send` or
    :meth:`send_many`. Any thread may call :meth:`wake`. After a failure pyxs
    calls :meth:`disconnect`, once no thread is in another method.

    Every failure of I/O is raised as a :exc:`~pyxs.ConnectionError`. For another
    kind of stream socket, subclass :class:`SocketConnection` instead.
    """

    #: The longest payload that can be sent, in bytes.
    max_payload = PAYLOAD_MAX
    #: How many requests may wait for their replies at a time.
    max_outstanding = 64
    #: Whether a reply carries the ids of its request. Over XenBus the kernel may change
    #: them; then pyxs matches replies by their type and order alone.
    trusts_ids = True
    #: Seconds to wait for a reply, and for the rest of a message that has begun to arrive;
    #: ``None``: no limit.
    socket_timeout: "t.Optional[float]" = None
    #: The path or address of the daemon, for messages.
    path = ""

    _fault: "t.Optional[ConnectionError]" = None

    def __repr__(self) -> str:
        """Return the path, and whether it is connected if that is known."""
        return "<{} {!r}{}>".format(type(self).__name__, self.path, self._state())

    def _state(self) -> str:
        return ""

    @property
    def interruptible(self) -> bool:
        """Whether the connection loses nothing if a signal handler raises an exception now.

        pyxs asks after such an exception has left :meth:`recv` or :meth:`send`, and closes
        the connection if this is ``False``.
        """
        return False

    @property
    def begun(self) -> bool:
        """Whether only a part of a message has arrived so far."""
        return False

    @abc.abstractmethod
    def connect(self) -> None:
        """Connect, after closing a descriptor that is still open as :meth:`disconnect` does.

        :raises ConnectionError: the daemon cannot be reached.
        """

    @abc.abstractmethod
    def disconnect(self, silent: bool = True) -> None:
        """Close the descriptor.

        A parent process may share it, so close it and do not shut it down.

        :param silent: whether to ignore an error of closing.
        :raises ConnectionError: closing failed, and *silent* is false.
        """

    @abc.abstractmethod
    def send(self, packet: Packet) -> None:
        """Send one message, whole.

        :raises PyXSError: the daemon's answer, if a kernel returns it from ``write()``; the
            connection is still good.
        :raises ConnectionError: the connection is lost.
        """

    def send_many(self, packets: "t.Sequence[Packet]") -> None:
        """Send several messages, in order.

        :raises PyXSError, ConnectionError: as :meth:`send`.
        """
        for packet in packets:
            self.send(packet)

    @abc.abstractmethod
    def recv(self, timeout: "t.Optional[float]" = None) -> "t.Optional[Packet]":
        """Return the next packet.

        :param timeout: seconds to wait; ``None``: without limit.
        :returns: ``None`` when the time passes without a whole packet, or after :meth:`wake`.
        :raises ConnectionError: the connection is lost.
        """

    @abc.abstractmethod
    def fileno(self) -> int:
        """Return the descriptor.

        :meth:`recv` may hold packets although the descriptor is not readable.

        :raises ConnectionError: it is not connected.
        """

    @abc.abstractmethod
    def wake(self) -> None:
        """Make a blocked :meth:`recv` or :meth:`send` return; pyxs then disconnects."""

    @abc.abstractmethod
    def clone(self) -> "PacketConnection":
        """Return an unconnected connection to the same daemon."""

    # -- only pyxs calls these. They return failures: an exception that leaves them was
    # -- raised by a signal handler.

    def begin(self) -> None:
        """Forget the packets and the fault of an earlier connection."""
        self._fault = None
        self._arrived: t.List[t.Frame] = []

    @property
    def fault(self) -> "t.Optional[ConnectionError]":
        """The failure after which no more packets arrive, or ``None``."""
        return self._fault

    def transmit(
        self,
        messages: "t.Sequence[Message]",
        data: "t.Sequence[bytes]",  # noqa: ARG002
        counts: "t.List[int]",  # noqa: ARG002
    ) -> "t.Optional[PyXSError]":
        """Send messages.

        After an interruption, where :attr:`interruptible` is true, the caller passes the
        same arguments again, and sending continues where it stopped.

        :param data: the messages as they go over the wire.
        :param counts: receives the result of each system call; empty at first.
        :returns: a ``ConnectionError`` when the connection is lost, or the daemon's answer,
            or ``None``.
        """
        try:
            self.send_many([packet_from_wire(m.op, m.rq_id, m.tx_id, m.payload) for m in messages])
        except PyXSError as exc:
            return exc.with_traceback(None)  # which would hold this frame
        return None

    def receive(self, timeout: "t.Optional[float]") -> "t.List[t.Frame]":
        """Return the messages that have arrived; wait for the first if there are none.

        The caller removes those that it uses.

        :param timeout: seconds to wait; ``None``: without limit.
        :returns: no messages when the time has passed, after :meth:`wake`, and when there is
            a :attr:`fault`.
        """
        arrived = self._arrived
        if not arrived:
            try:
                arrived.extend(map(_frame, filter(None, (self.recv(timeout),))))
            except ConnectionError as exc:
                self._fault = exc.with_traceback(None)
        return arrived

    def receiver(self) -> "t.Callable[[t.Optional[float]], t.List[t.Frame]]":
        """Return :meth:`receive`, or a faster function that does the same until disconnected."""
        return self.receive


def _frame(packet: Packet) -> "t.Frame":
    return packet.op, packet.rq_id, packet.tx_id, packet.payload


class StreamConnection(PacketConnection):
    """A connection over a socket or a device: it has a stream while it is connected."""

    _stream: "t.Optional[Stream]" = None
    #: The environment variable that named the path, for hints; ``""``: none.
    _origin = ""

    def _state(self) -> str:
        return ", not connected" if self._stream is None else ", connected"

    @property
    def begun(self) -> bool:
        return self._stream is not None and self._stream.begun

    @property
    def interruptible(self) -> bool:
        return True

    @property
    def fault(self) -> "t.Optional[ConnectionError]":
        if self._stream is None:
            return self._failure(None)
        return None if self._stream.fault is None else self._failure(self._stream.fault)

    def recv(self, timeout: "t.Optional[float]" = None) -> "t.Optional[Packet]":
        frames = self.receive(timeout)
        if frames:
            return packet_from_wire(*frames.pop(0))
        if self.fault is not None:
            raise self.fault
        return None

    def receive(self, timeout: "t.Optional[float]") -> "t.List[t.Frame]":
        return [] if self._stream is None else self._stream.receive(timeout)

    def receiver(self) -> "t.Callable[[t.Optional[float]], t.List[t.Frame]]":
        return self.receive if self._stream is None else self._stream.receive

    def send(self, packet: Packet) -> None:
        self.send_many((packet,))

    def send_many(self, packets: "t.Sequence[Packet]") -> None:
        answer = self.transmit(packets, [bytes(packet) for packet in packets], [])
        if answer is not None:
            raise answer

    def _failure(self, cause: "t.Optional[BaseException]", hint: str = "") -> ConnectionError:
        """Return the exception for a failure; without a cause it says "not connected"."""
        kind = UnexpectedPacket if isinstance(cause, UnexpectedPacket) else ConnectionError
        failure = kind("{}: {}{}".format(self.path, _reason(cause), hint))
        failure.__cause__ = cause
        return failure


def _reason(cause: "t.Optional[BaseException]") -> str:
    if cause is None:
        return "not connected"
    if isinstance(cause, EOFError):
        return "the daemon closed the connection"
    if isinstance(cause, BlockingIOError):
        return "timed out"
    return getattr(cause, "strerror", None) or str(cause)
