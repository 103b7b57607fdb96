"""The requests, replies and events in the two streams of a connection; without I/O."""

from collections import deque, namedtuple

from .._wire.packets import HEADER, HEADER_SIZE, Op

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Deque, Dict, List, Optional, Tuple

__all__ = ["Exchange", "Frame", "Framer", "Streams"]

#: The longest payload to keep, in bytes. The protocol has 4096, but oxenstored answers
#: DIRECTORY with one reply of any length.
_KEPT_MAX = 1 << 20


class Frame(namedtuple("Frame", ["op", "rq_id", "tx_id", "size", "payload"])):
    """A message."""

    __slots__ = ()

    op: int
    rq_id: int
    tx_id: int
    size: int  #: the length of the payload that the header announces
    payload: "Optional[bytes]"  #: ``None``: too long to be kept


class Framer:
    """Cuts a stream into messages, whatever lengths their headers announce."""

    def __init__(self) -> None:
        self._rest = bytearray()  # the bytes of a message that is not complete
        self._dropped = 0  # how many bytes of a payload that is not kept are to come

    @property
    def unfinished(self) -> bool:
        """Whether the stream has ended inside a message, if it has ended."""
        return bool(self._rest or self._dropped)

    def feed(self, data: bytes) -> "List[Frame]":
        """Add the next bytes of the stream and return the messages that are complete now.

        A message whose payload is not kept is returned when its header has arrived.
        """
        dropped = min(self._dropped, len(data))
        self._dropped -= dropped
        rest = self._rest
        rest += data[dropped:]
        frames = []
        start, end = 0, len(rest)
        while end - start >= HEADER_SIZE:
            op, rq_id, tx_id, size = HEADER.unpack_from(rest, start)
            body = start + HEADER_SIZE
            if size > _KEPT_MAX:
                frames.append(Frame(op, rq_id, tx_id, size, None))
                start = min(body + size, end)
                self._dropped = body + size - start
                continue
            if body + size > end:
                break
            start = body + size
            frames.append(Frame(op, rq_id, tx_id, size, bytes(rest[body:start])))
        del rest[:start]
        return frames


class Exchange(
    namedtuple("Exchange", ["connection", "sent", "received", "request", "reply", "depth"])
):
    """A request and its reply, or an event."""

    __slots__ = ()

    connection: int
    sent: float  #: when the request came from the client, or the event from the daemon
    received: float  #: when the reply came from the daemon
    request: "Optional[Frame]"  #: ``None``: a reply that belongs to no request, or an event
    reply: "Optional[Frame]"  #: ``None``: the connection ended before it came
    #: How many replies this request had to wait for, one after the other, and its own: a request
    #: that is sent before the reply to another does not wait for that.
    depth: int

    @property
    def message(self) -> Frame:
        """The request, or what came from the daemon without one."""
        message = self.request or self.reply
        assert message is not None  # there is at least one of them
        return message


class Streams:
    """The two streams of one connection.

    :param connection: its number.
    """

    def __init__(self, connection: int) -> None:
        self._connection = connection
        self._from_client = Framer()
        self._from_daemon = Framer()
        # By rq_id, in the order of the requests. libxenstore gives all of them the same.
        self._waiting: Dict[int, Deque[Tuple[float, int, Frame]]] = {}
        #: How many replies the client had to wait for, one after the other.
        self.round_trips = 0

    def send(self, data: bytes, now: float) -> None:
        """Add bytes that the client sent.

        :param now: the time, in seconds.
        """
        for frame in self._from_client.feed(data):
            waiting = self._waiting.setdefault(frame.rq_id, deque())
            waiting.append((now, self.round_trips + 1, frame))

    def receive(self, data: bytes, now: float) -> "List[Exchange]":
        """Add bytes that the daemon sent, and return what is complete with them."""
        return [self._completed(frame, now) for frame in self._from_daemon.feed(data)]

    def end(self, now: float) -> "List[Exchange]":
        """Return the requests that have had no reply when the connection ends."""
        left = [
            Exchange(self._connection, sent, now, frame, None, depth)
            for waiting in self._waiting.values()
            for sent, depth, frame in waiting
        ]
        self._waiting.clear()
        return sorted(left, key=lambda exchange: exchange.sent)

    @property
    def unfinished(self) -> bool:
        """Whether the client or the daemon has sent a part of a message, and not its end."""
        return self._from_client.unfinished or self._from_daemon.unfinished

    def _completed(self, frame: Frame, now: float) -> Exchange:
        waiting = self._waiting.get(frame.rq_id)
        if frame.op == Op.WATCH_EVENT or waiting is None:
            return Exchange(self._connection, now, now, None, frame, 0)
        sent, depth, request = waiting.popleft()
        if not waiting:
            del self._waiting[frame.rq_id]
        self.round_trips = max(self.round_trips, depth)
        return Exchange(self._connection, sent, now, request, frame, depth)
