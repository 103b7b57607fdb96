"""What stands for a call: the request or the event that it waits for, or neither."""

from .. import helpers
from .._wire.packets import Message, Op
from .._wire.requests import path_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Deque, Optional

    from .._annotations.types import Frame

_ERROR = int(Op.ERROR)


class Request(Message):
    """A request, and its answer once there is one.

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
        self.abandoned = False  # its call has ended by an exception
        self.undo = undo

    def result(self) -> bytes:
        """Return the payload of the answer.

        :raises PyXSError: the daemon refused the request.
        """
        assert self.answer is not None  # the caller has waited for it
        op, _, _, payload = self.answer
        if op == _ERROR:
            # Not kept in the request: an exception refers to the frames that it has passed.
            raise helpers.error(payload[:-1].decode("ascii"), self.path)
        return payload

    @property
    def path(self) -> "Optional[str]":
        """The path in the request, or ``None`` if it has none."""
        return path_of(self.op, self.payload)

    @property
    def refusal(self) -> bytes:
        """The name of the daemon's error, such as ``b"ENOENT"``; empty if there is none."""
        if self.answer is None:
            return b""
        op, _, _, payload = self.answer
        return payload[:-1] if op == _ERROR else b""


class Arrival:
    """An event to come.

    :param queue: where it will be: empty until then.
    :param deadline: when to wait no longer; ``None``: without limit.
    """

    __slots__ = ("answer", "deadline")

    rq_id = 0  # it needs no sending

    def __init__(self, queue: "Deque[Any]", deadline: "Optional[float]" = None) -> None:
        self.answer = queue
        self.deadline = deadline


class Ending:
    """A call that waits for no answer; it only owns roles."""

    __slots__ = ()
