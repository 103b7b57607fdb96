"""Many requests on one channel, sent ahead of the replies."""

from collections import deque

from .._wire.packets import ERROR, HEADER_SIZE
from .._wire.refusals import refusal
from .channel import Channel
from .failures import too_long

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Deque, Dict, Iterable, List, Optional

    from .inbox import Answers, Due

#: Bytes of requests that may be unanswered: neither side can fill the other's buffers.
WINDOW_BYTES = 1 << 16


class Request:
    """A request, and the payload of its reply once that has arrived."""

    __slots__ = ("op", "payload", "refusal", "reply")

    refusal: bytes  #: once answered: the daemon's error, such as ``b"ENOENT"``, or ``b""``

    def __init__(self, op: int, payload: bytes) -> None:
        self.op = op
        self.payload = payload
        self.reply: Optional[bytes] = None

    def result(self) -> bytes:
        """Return the payload of the reply, for which somebody has waited.

        :raises PyXSError: the daemon refused the request.
        """
        if self.refusal:
            raise refusal(self.op, self.payload, self.refusal)
        assert self.reply is not None
        return self.reply


class Pipeline:
    """Sends requests in order, as long as there is room for them.

    :param tx_id: the transaction of all of them.
    :param answers: receives each reply first.
    """

    def __init__(self, channel: Channel, tx_id: int, answers: "Answers") -> None:
        self.channel = channel
        self._tx_id = tx_id
        self._answers = answers
        self._due: Due = {}
        self._sent: Dict[int, Request] = {}  # by id, the oldest first
        self._bytes = 0  # of the requests that are sent and unanswered
        self._unsent: Deque[Request] = deque()
        self._half = channel.max_outstanding // 2

    def exchange(self, requests: "Iterable[Request]") -> None:
        """Send requests and wait for all replies.

        :raises InvalidPayload: a payload is too long for the connection; nothing was sent.
        :raises ConnectionError: the connection is lost.
        """
        self.submit(requests)
        while self._sent:
            self._advance(0)

    def submit(self, requests: "Iterable[Request]") -> None:
        """Send requests, or keep them until there is room.

        :raises InvalidPayload: a payload is too long for the connection; nothing was sent.
        :raises ConnectionError: the connection is lost.
        """
        requests = list(requests)
        for request in requests:
            if len(request.payload) > self.channel.max_payload:
                raise too_long(request.op, request.payload, self.channel.max_payload)
        self._unsent.extend(requests)
        self._send()

    def wait(self, request: Request) -> None:
        """Wait for the reply to a request that was submitted.

        :raises ConnectionError: the connection is lost.
        """
        while request.reply is None:
            self._advance(len(self._due) - 1)

    def is_idle(self) -> bool:
        """Return whether no request waits for its reply."""
        return not self._sent and not self._unsent

    def _advance(self, left: int) -> None:
        """Wait until at most *left* requests are due, or half of the room is free for others."""
        if self._unsent:
            left = max(left, self._half)
        self.channel.collect(self._due, self._answers, max(0, min(left, len(self._due) - 1)))
        sent, answers = self._sent, self._answers
        for rq_id, (kind, _, _, payload) in answers.items():
            request = sent.pop(rq_id)
            request.refusal = payload[:-1] if kind == ERROR else b""
            request.reply = payload
            self._bytes -= HEADER_SIZE + len(request.payload)
        answers.clear()
        self._send()

    def _send(self) -> None:
        """Send what there is room for, unless half of the room is taken.

        So messages are sent together, and the daemon always has some to work on.
        """
        if len(self._due) > self._half:
            return
        unsent, free = self._unsent, WINDOW_BYTES - self._bytes
        room = self.channel.max_outstanding - len(self._due)
        batch: List[Request] = []
        while unsent and len(batch) < room:
            size = HEADER_SIZE + len(unsent[0].payload)
            if size > free:
                break
            free -= size
            batch.append(unsent.popleft())
        self._bytes = WINDOW_BYTES - free
        if batch:
            messages = [(request.op, request.payload) for request in batch]
            ids = self.channel.send(messages, self._tx_id, self._due, self._answers)
            self._sent.update(zip(ids, batch))
