"""What has arrived on a channel, without I/O: replies and events."""

from collections import deque

from .._wire.framing import Framer
from .._wire.packets import ERROR, Op, packet_from_wire
from .._wire.replies import MalformedError, decode_event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Tuple

    from .._annotations.types import Frame

    #: Replies, by the id of the request.
    Answers = Dict[int, Frame]
    #: Type, id and transaction of each unanswered request, by its id, the oldest first.
    Due = Dict[int, Tuple[int, int, int]]
    #: The path and the token of an event.
    Event = Tuple[bytes, bytes]

_WATCH_EVENT = int(Op.WATCH_EVENT)
_HEAD = (0,)  # an index


class Inbox:
    """Sorts the messages that have arrived.

    An exception at any instruction loses nothing: the next call goes on.

    :param trusts_ids: whether a reply carries the id of its request.
    :param events: a list or deque to which events are appended; ``None``: they are dropped.
    """

    def __init__(self, trusts_ids: bool, events: "Any") -> None:
        self.framer = Framer()
        self._trusts_ids = trusts_ids
        self.events = deque(maxlen=0) if events is None else events
        self._taken: Optional[Frame] = None  # the last reply

    def sort(self, due: "Due", answers: "Answers") -> str:
        """Move each reply to *answers*, and its request out of *due*; append the events.

        :returns: why the rest of the stream cannot be trusted; empty if it can.
        """
        framer = self.framer
        # An exception may have left messages that have to go before others are framed.
        while framer.state[0] or (framer.state[1] and framer.frame()):
            frames: List[Any] = framer.state[0]
            while frames:
                frame = frames[0]
                if self._trusts_ids and due.get(frame[1]) == frame[:3]:  # as most often
                    self._take(frames, frame[1], due, answers)
                    continue
                problem = self._sort_first(frames, due, answers)
                if problem:
                    frames.clear()
                    return problem
        return str(framer.refused or "")

    def _sort_first(self, frames: "List[Any]", due: "Due", answers: "Answers") -> str:
        frame = frames[0]
        if len(frame) == 4 and frame[0] == _WATCH_EVENT:
            try:
                frames[0] = frame = decode_event(frame[3])
            except MalformedError as exc:
                return "an event that is none, {}: {:.80}".format(exc, repr(frame[3]))
        if len(frame) == 2:
            # One call in C: an exception cannot come between the two and lose the event.
            self.events.extend(map(frames.pop, _HEAD))
            return ""
        rq_id = frame[1]
        if frame is self._taken or answers.get(rq_id) == frame:
            del frames[0]  # an exception came in between
            return ""
        key = rq_id if self._trusts_ids else next(iter(due), 0)
        problem = self._mismatch(frame, due, key)
        if not problem:
            self._take(frames, key, due, answers)
        return problem

    def _take(self, frames: "List[Any]", key: int, due: "Due", answers: "Answers") -> None:
        answers[key] = self._taken = frames[0]
        due.pop(key, None)
        del frames[0]

    def _mismatch(self, frame: "Frame", due: "Due", key: int) -> str:
        """Return why a message is not the reply to a request; empty if it is."""
        op, _, tx_id, payload = frame
        wanted, _, in_tx = due.get(key, (None, 0, 0))
        if op not in (wanted, ERROR) or wanted is None or (self._trusts_ids and tx_id != in_tx):
            return "a reply that answers no request: {!r}".format(packet_from_wire(*frame))
        if op == ERROR and not (payload[-1:] == b"\0" and payload[:-1].isalnum()):
            return "an error that is no name: {!r}".format(payload)
        return ""
