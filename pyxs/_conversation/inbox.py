"""Hands each reply to its request, and each event to the watches."""

from .._wire.packets import Op, packet_from_wire
from .._wire.replies import MalformedError
from ..connection import PacketConnection
from ..exceptions import ConnectionError, UnexpectedPacket
from .events import Events
from .outbox import Outbox
from .request import Arrival, Request
from .roles import Roles

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List, Optional

    from .._annotations.types import Frame

_WATCH_EVENT = int(Op.WATCH_EVENT)
_ERROR = int(Op.ERROR)


class Inbox:
    """Receives messages and hands them out; only the thread with the role READ calls."""

    def __init__(
        self, connection: PacketConnection, outbox: Outbox, events: Events, roles: Roles
    ) -> None:
        self._connection = connection
        self._receive = connection.receiver()
        self._trusts_ids = connection.trusts_ids
        self._outbox = outbox
        self._pending = outbox.pending
        self._events = events
        self._roles = roles
        self._arrived: List[Any] = []  # frames that are not handed out yet

    def receive(self, timeout: "Optional[float]") -> "Optional[ConnectionError]":
        """Hand out the messages that have arrived; wait for the first if there are none.

        If an exception interrupts this, the next call hands out the message again that this
        one has not finished with.

        :param timeout: seconds to wait; ``None``: without limit.
        :returns: the failure after which nothing more arrives, or ``None``.
        """
        frames = self._arrived = self._receive(timeout)
        if not frames:
            return self._connection.fault
        pending, roles = self._pending, self._roles
        while frames:
            frame = frames[0]
            op, rq_id, tx_id, _ = frame
            request = pending.get(rq_id) if self._trusts_ids else self._oldest(frame)
            if request is None or op != request.op or tx_id != request.tx_id:
                if op == _WATCH_EVENT:
                    problem = self._take_event(frames)
                    if not problem:
                        continue
                else:
                    problem = self._mismatch(frame, request)
                if request is None or problem:
                    return UnexpectedPacket("{}: {}".format(self._connection.path, problem))
            request.answer = frame
            del frames[0]
            pending.pop(request.rq_id, None)
            if roles.sleepers:
                roles.wake(request)
            if request.abandoned:
                self._outbox.undo(request)
        return None

    def sweep(self) -> None:
        """Forget the answered requests, except the one whose reply is handed out again."""
        head = self._arrived[0] if self._arrived else None
        for request in list(self._pending.values()):
            if request.answer is not None and request.answer is not head:
                self._pending.pop(request.rq_id, None)

    def _take_event(self, frames: "List[Any]") -> str:
        """Queue the first message, an event; return an error message if it is malformed."""
        payload = frames[0][3]
        try:
            wanted = self._events.take_in(frames)
        except MalformedError as exc:
            return "an event that is none, {}: {:.80}".format(exc, repr(payload))
        if wanted and self._roles.sleepers:
            for sleeper in list(self._roles.sleepers):
                if isinstance(sleeper, Arrival):
                    self._roles.wake(sleeper)
        return ""

    def _oldest(self, frame: "Frame") -> "Optional[Request]":
        """Return the oldest unanswered request: where ids are not trusted, replies are in order."""
        for request in list(self._pending.values()):
            if request.answer is None or request.answer is frame:
                return request
        return None

    def _mismatch(self, frame: "Frame", request: "Optional[Request]") -> str:
        """Return an error message if a frame is not a reply to *request*, else an empty string."""
        op, _, tx_id, payload = frame
        if (
            request is None
            or (op != request.op and op != _ERROR)
            or (tx_id != request.tx_id and self._trusts_ids)
        ):
            return "a reply that answers no request: {!r}".format(packet_from_wire(*frame))
        if op == _ERROR and not (payload[-1:] == b"\0" and payload[:-1].isalnum()):
            return "an error that is no name: {!r}".format(payload)
        return ""
