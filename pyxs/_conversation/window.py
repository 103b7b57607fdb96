"""The requests that are unanswered, and the threads that wait for room to send theirs."""

import collections
from typing import Deque, Dict, Optional, Sequence, Union

from .._wire.packets import HEADER_SIZE, Op, Packet
from ..exceptions import PyXSError

#: Bytes of requests that may be unanswered: neither side can fill the other's buffers.
WINDOW_BYTES = 1 << 16

_ERROR = int(Op.ERROR)
_ID_MASK = 0xFFFFFFFF  # uint32_t req_id, xs_wire.h


class Waiter:
    """What a thread waits for, other than a reply."""

    __slots__ = ("done",)

    def __init__(self) -> None:
        self.done = False


class Request(Packet):
    """A message to be sent and, once *done*, what came of it."""

    __slots__ = ("deadline", "done", "error", "reply")

    def __init__(self, op: int, payload: bytes, tx_id: int = 0) -> None:
        # Not by Packet's own: what comes here has been validated.
        self.op = op
        self.payload = payload
        self.rq_id = 0
        self.tx_id = tx_id
        self.done = False
        self.reply = b""
        self.error: Optional[PyXSError] = None
        self.deadline: Optional[float] = None

    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def result(self) -> bytes:
        """Return the payload of the reply, once done.

        :raises PyXSError: the daemon's answer.
        """
        if self.error is not None:
            raise self.error
        return self.reply


class Ticket(Waiter):
    """A place in the queue for room in the window."""

    __slots__ = ("wanted",)

    def __init__(self) -> None:
        self.done = False
        self.wanted = 1


Waiting = Union[Waiter, Request]


class Window:
    """What may be sent, and which request a reply belongs to.

    It has no lock of its own: its router's lock guards it.

    :param limit: how many requests may be unanswered.
    :param trusts_ids: whether replies carry the ids of their requests.
    """

    def __init__(self, limit: int, trusts_ids: bool) -> None:
        self._limit = limit
        self._trusts_ids = trusts_ids
        self._next_id = 0
        self._unanswered = 0  # bytes of the requests in pending
        self.pending: Dict[int, Request] = {}  # by id, in the order sent
        self.queue: Deque[Ticket] = collections.deque()

    def admit(
        self, requests: "Sequence[Request]", ticket: "Optional[Ticket]", deadline: "Optional[float]"
    ) -> "Sequence[Request]":
        """Register as many requests as there is room for, and return them."""
        if self.queue and self.queue[0] is not ticket:
            return requests[:0]
        pending = self.pending
        admitted = 0
        for request in requests:
            size = HEADER_SIZE + len(request.payload)
            if pending and not self._has_room(1, size):
                break
            request.rq_id = self._next_id = rq_id = (self._next_id + 1) & _ID_MASK
            request.deadline = deadline
            pending[rq_id] = request
            self._unanswered += size
            admitted += 1
        if ticket is not None:
            self.queue.rotate(-1)  # the rest of a batch waits behind others
        return requests[:admitted]

    def take(self, packet: Packet) -> "Optional[Request]":
        """Return the request that a reply belongs to, unanswered no more, or ``None``."""
        trusted = self._trusts_ids
        request = self.pending.pop(packet.rq_id if trusted else next(iter(self.pending), 0), None)
        if (
            request is None
            or (packet.op != request.op and packet.op != _ERROR)
            or (packet.tx_id != request.tx_id and trusted)
        ):
            return None
        self._unanswered -= HEADER_SIZE + len(request.payload)
        return request

    def withdraw(self, request: Request) -> None:
        """Give up the room of a request, to which no reply will come."""
        del self.pending[request.rq_id]
        self._unanswered -= HEADER_SIZE + len(request.payload)

    def granted(self) -> "Optional[Ticket]":
        """Return the first in the queue if there is room for it, else ``None``."""
        if self.queue and self._has_room(self.queue[0].wanted, WINDOW_BYTES // 2):
            return self.queue[0]
        return None

    def _has_room(self, count: int, size: int) -> bool:
        return not self.pending or (
            len(self.pending) + count <= self._limit and self._unanswered + size <= WINDOW_BYTES
        )
