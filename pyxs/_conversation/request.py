"""What a thread may wait for: the answer to a request, an event, the end of a conversation."""

from .. import helpers
from .._wire.packets import Message, Op
from .._wire.requests import path_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Deque, Optional

    from .._annotations.types import Frame

_ERROR = int(Op.ERROR)


class Request(Message):
    """A message to be sent, and what came of it.

    :param undo: makes, of the reply to this request, the request that undoes it; called
        when its thread has left before the reply came.
    """

    __slots__ = ("abandoned", "answer", "deadline", "undo")

    def __init__(
        self,
        op: int,
        payload: bytes,
        tx_id: int = 0,
        undo: "Optional[Callable[[bytes], Request]]" = None,
    ) -> None:
        self.op = op
        self.payload = payload
        self.tx_id = tx_id
        self.rq_id = -1  # until it is sent
        self.deadline: Optional[float] = None
        self.answer: Optional[Frame] = None
        self.abandoned = False  # its thread has left
        self.undo = undo

    def result(self) -> bytes:
        """Return the payload of the answer.

        :raises PyXSError: the daemon refused the request.
        """
        assert self.answer is not None  # the conversation has seen to it
        op, _, _, payload = self.answer
        if op == _ERROR:
            # Made here and not kept: an exception holds the frames that it has passed.
            raise helpers.error(payload[:-1].decode("ascii"), self.path)
        return payload

    @property
    def path(self) -> "Optional[str]":
        """The path that is asked for, or ``None`` where the request names none."""
        return path_of(self.op, self.payload)

    @property
    def refusal(self) -> bytes:
        """The name of the errno with which the daemon refused the request; empty: it did not."""
        if self.answer is None:
            return b""
        op, _, _, payload = self.answer
        return payload[:-1] if op == _ERROR else b""


class Arrival:
    """An event to come.

    :param queue: where it will be: empty until then.
    """

    __slots__ = ("answer",)

    rq_id = 0  # it needs no sending

    def __init__(self, queue: "Deque[Any]") -> None:
        self.answer = queue


class Ending:
    """The end of a conversation, or of an attempt to connect."""

    __slots__ = ("answer",)

    rq_id = 0

    def __init__(self) -> None:
        self.answer = None
