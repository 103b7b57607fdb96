"""The requests that wait to be sent, that are being sent, and that are unanswered."""

import errno
import time
from collections import deque
from itertools import chain, repeat

from .._wire.packets import HEADER, HEADER_SIZE, Op
from .._wire.replies import MalformedError
from ..connection import PacketConnection
from ..exceptions import ConnectionError, PyXSError
from ..helpers import raised_here
from .request import Request
from .roles import Roles

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Deque, Dict, List, Optional

#: Bytes of requests that may be unanswered: neither side can fill the other's buffers.
WINDOW_BYTES = 1 << 16

_ERROR = int(Op.ERROR)
_pack = HEADER.pack
_IDS = range(1, 2**32)  # uint32_t req_id, xs_wire.h


class Outbox:
    """The requests of all threads, until the daemon answers them.

    Any thread may append to :attr:`waiting`; only the thread with the role SEND calls :meth:`send`.
    """

    def __init__(self, connection: PacketConnection, roles: Roles) -> None:
        self._connection = connection
        self._roles = roles
        self._limit = connection.max_outstanding
        self._timeout = connection.socket_timeout
        self._ids = chain.from_iterable(repeat(_IDS))
        self.waiting: Deque[Request] = deque()
        self.batch: List[Request] = []  #: being sent
        self._counts: List[int] = []  # the result of each system call for the batch
        self.pending: Dict[int, Request] = {}  #: unanswered, by id, in the order sent

    def has_room(self) -> bool:
        """Return whether there is room for the first request that waits."""
        pending = list(self.pending.values())
        if len(pending) >= self._limit:
            return False
        try:
            first = self.waiting[0]
        except IndexError as exc:
            if not raised_here(exc):
                raise
            return False  # another thread has sent it
        return not pending or _bytes_of(pending) + _bytes_of([first]) <= WINDOW_BYTES

    def send(self) -> "Optional[ConnectionError]":
        """Send a batch, or the rest of the last one if an exception interrupted sending it.

        :returns: the failure if the connection is lost, else ``None``.
        """
        batch, waiting, pending = self.batch, self.waiting, self.pending
        if not batch:
            self._counts = []
            if len(waiting) == 1 and not (pending or waiting[0].abandoned):
                # As most often: a single request, which is sent whatever its size.
                batch.append(waiting[0])
                waiting.popleft()
            else:
                self._fill()
                if not batch:
                    return None  # another thread has sent what waited
        elif waiting and waiting[0] is batch[-1]:
            waiting.popleft()  # an exception came between the two steps of moving it
        deadline = None if self._timeout is None else time.monotonic() + self._timeout
        data: List[bytes] = []
        for request in batch:
            if request.rq_id < 0:
                request.deadline = deadline
                request.rq_id = next(self._ids)
            pending[request.rq_id] = request
            if request.answer is not None:
                # An interrupted call has sent it, and another thread got the reply. The
                # answer comes before it leaves `pending`, so no moment is missed here.
                pending.pop(request.rq_id, None)
            payload = request.payload
            # The same as bytes(request), without the call: each request passes here.
            data.append(_pack(request.op, request.rq_id, request.tx_id, len(payload)) + payload)
        answer = self._connection.transmit(batch, data, self._counts)
        if answer is not None:
            if isinstance(answer, ConnectionError):
                return answer
            self._refuse(batch[0], answer)
        batch.clear()
        return None

    def _fill(self) -> None:
        """Move requests that wait to the batch, as many as there is room for."""
        batch, waiting = self.batch, self.waiting
        unanswered = list(self.pending.values())
        room, free = self._limit - len(unanswered), WINDOW_BYTES - _bytes_of(unanswered)
        while waiting:
            request = waiting[0]
            if not request.abandoned:
                room -= 1
                free -= HEADER_SIZE + len(request.payload)
                if (room < 0 or free < 0) and (unanswered or batch):
                    return
                batch.append(request)
            waiting.popleft()

    def _refuse(self, request: Request, answer: PyXSError) -> None:
        """Make an error of sending the answer to a request: the daemon sends none."""
        name = errno.errorcode.get(answer.errno or errno.EINVAL, "EINVAL").encode("ascii")
        request.answer = _ERROR, request.rq_id, request.tx_id, name + b"\0"
        self.pending.pop(request.rq_id, None)
        self._roles.wake(request)

    def undo(self, request: Request) -> bool:
        """Queue the request that undoes an answered one; return whether there is one."""
        answer = request.answer
        if answer is None or request.refusal:
            return False
        undo, request.undo = request.undo, None
        if undo is None:
            return False
        try:
            self.waiting.append(undo(answer[3]))
        except MalformedError:
            return False  # a malformed reply: there is nothing to undo
        return True


def _bytes_of(requests: "List[Request]") -> int:
    return sum([HEADER_SIZE + len(request.payload) for request in requests])
