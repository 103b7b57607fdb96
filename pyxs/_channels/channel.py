"""Channel: one open connection, which one call at a time uses."""

import _socket
import errno
import os
import struct
from functools import partial
from itertools import chain, repeat
from types import BuiltinMethodType

from .._wire.framing import REPLY_MAX
from .._wire.packets import ERROR, HEADER, HEADER_SIZE
from ..connection import PacketConnection, limit_waiting
from ..exceptions import ConnectionError, PyXSError, UnexpectedPacket
from .deadlines import LateError, has_passed, sooner
from .descriptor import Descriptor
from .failures import again, failure_of, raised_by_handler, too_long
from .inbox import Inbox
from .readiness import Poller
from .streams import closed, open_stream, receive_briefly, refusal_from_write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterable, Iterator, List, NoReturn, Optional, Tuple

    from .inbox import Answers, Due

    #: The type and the payload of a reply; an ERROR is a reply.
    Reply = Tuple[int, bytes]

_IDS = range(1, 2**32)  # uint32_t req_id, xs_wire.h
_RECV_SIZE = (1 << 16,)

_pack = HEADER.pack
_size_in = struct.Struct("=12xI").unpack  # the last field of a header


class Channel:
    """One open connection. One call at a time uses it; any thread may call :meth:`end`.

    An exception may leave a call at any instruction; only :meth:`finish` and :meth:`close` may
    come next. What was sent and received is recorded by the very step in C that does it.

    :param connection: where to connect.
    :param deadline: when its calls wait no longer, connecting included; ``None``: no limit.
    :param events: a list or deque to which events are appended; ``None``: they are dropped.
    :raises ConnectionError: connecting failed.
    :raises LateError: the deadline has passed.
    """

    def __init__(
        self,
        connection: PacketConnection,
        deadline: "Optional[float]" = None,
        events: "Any" = None,
    ) -> None:
        stream = open_stream(connection, deadline)
        self._descriptor: Optional[Descriptor] = Descriptor(stream)
        self._send: Callable[[bytes], int] = stream.send
        self._recv: Callable[[int], bytes] = stream.recv
        self.path = connection.path
        self.max_payload = connection.max_payload
        self.max_outstanding = connection.max_outstanding
        self.pid = os.getpid()
        #: Why it has ended; ``None``: it has not, or an exception has ended it.
        self.failure: Optional[ConnectionError] = None
        self.before_close: Callable[[], object] = bool  #: called before the descriptor is closed
        self._trusts_ids = connection.trusts_ids
        self._timeout = connection.socket_timeout
        self._deadline = deadline
        self.inbox = Inbox(connection.trusts_ids, events)
        self._framer = self.inbox.framer
        self._ids: Iterator[int] = chain.from_iterable(repeat(_IDS))
        # What was sent last, and how much by each call; the requests that are due, the replies
        # to them, and the ids of those sent last.
        self._flight: Tuple[bytes, List[int], Due, Answers, Iterable[int]] = (b"", [], {}, {}, ())
        self.poller = Poller(stream.fileno())
        # Whether an exception may come between sending or receiving and recording that.
        self._is_python = not type(stream.send) is type(stream.recv) is BuiltinMethodType
        self._in_doubt = False  # whether it is receiving, and that may be so
        # Whether to wait in poll() before recv(). On a plain socket the kernel limits recv(), and
        # shutdown() ends it.
        self._polls = deadline is not None
        if isinstance(stream, _socket.socket):
            stream.settimeout(None)
            limit_waiting(stream, connection.socket_timeout)
        if self._is_python or not isinstance(stream, _socket.socket):
            self._polls = True
            self.poller.make_wakeup()
        if self._is_python and isinstance(stream, _socket.socket):
            self._recv = partial(receive_briefly, stream)

    # -- requests ----------------------------------------------------------------------

    def exchange(self, answers: "Answers", op: int, payload: bytes, tx_id: int = 0) -> "Reply":
        """Send one request and return the reply.

        :param answers: an empty dict. The reply is added, for an exception that comes later.
        :raises InvalidPayload: the payload is too long for the connection; nothing was sent.
        :raises ConnectionError: the connection is lost.
        :raises LateError: the deadline has passed.
        """
        if len(payload) > self.max_payload:
            raise too_long(op, payload, self.max_payload)
        rq_id = next(self._ids)
        data = _pack(op, rq_id, tx_id, len(payload)) + payload
        counts: List[int] = []
        due = {rq_id: (op, rq_id, tx_id)}
        self._flight = data, counts, due, answers, due
        try:
            counts.extend(map(self._send, (data,)))
            pieces = self._framer.state[1]
            if not (self._polls or pieces) and counts[0] == len(data):
                # As most often: the reply comes, and nothing else. Otherwise collect() goes on.
                pieces.extend(map(self._recv, _RECV_SIZE))
                if len(pieces[0]) == HEADER_SIZE and 0 < _size_in(pieces[0])[0] <= REPLY_MAX:
                    # The C daemon writes header and payload apart.
                    pieces.extend(map(self._recv, _RECV_SIZE))
                message = b"".join(pieces)
                size = len(message) - HEADER_SIZE
                if size >= 0 and message.startswith(_pack(op, rq_id, tx_id, size)):
                    result = message[HEADER_SIZE:]
                    answers[rq_id] = op, rq_id, tx_id, result
                    due.clear()
                    pieces.clear()
                    return op, result
            self._send_rest(data, counts)
        except OSError as exc:
            if not self._take_refusal(exc, op, due, answers):
                raise
        self.collect(due, answers)
        kind, _, _, result = answers[rq_id]
        return kind, result

    def send(
        self, messages: "List[Tuple[int, bytes]]", tx_id: int, due: "Due", answers: "Answers"
    ) -> "Iterable[int]":
        """Send requests and return their ids; :meth:`collect` waits for the replies.

        :param messages: types and payloads; one alone if only one may be unanswered.
        :param due: all unanswered requests; these are added.
        :raises ConnectionError: the connection is lost.
        """
        sent: Due = {}
        parts = []
        for op, payload in messages:
            rq_id = next(self._ids)
            sent[rq_id] = op, rq_id, tx_id
            parts += [_pack(op, rq_id, tx_id, len(payload)), payload]
        data = b"".join(parts)
        counts: List[int] = []
        self._flight = data, counts, due, answers, sent
        due.update(sent)
        try:
            counts.extend(map(self._send, (data,)))
            self._send_rest(data, counts)
        except OSError as exc:
            if not self._take_refusal(exc, messages[0][0], due, answers):
                raise
        return sent

    def collect(
        self, due: "Due", answers: "Answers", left: int = 0, deadline: "Optional[float]" = None
    ) -> None:
        """Wait for replies until at most *left* requests are due.

        :param deadline: when to wait no longer; ``None``: the channel's own.
        :raises ConnectionError: the connection is lost.
        :raises LateError: the deadline has passed.
        """
        deadline = self._deadline if deadline is None else deadline
        self._sort(due, answers)
        while len(due) > left:
            self.check()
            if self._polls or deadline is not None:
                self._await_reply(deadline)
            self._receive()
            self._sort(due, answers)

    def _send_rest(self, data: bytes, counts: "List[int]") -> None:
        while sum(counts) < len(data):
            if not self._trusts_ids:
                text = "the device took only {} of {} bytes of a message"
                raise OSError(errno.EIO, text.format(sum(counts), len(data)))
            counts.extend(map(self._send, (data[sum(counts) :],)))

    def _take_refusal(self, exc: OSError, op: int, due: "Due", answers: "Answers") -> bool:
        """Take an exception from sending for the daemon's answer, if it is one.

        :returns: ``False`` if a signal handler raised it.
        :raises ConnectionError: the connection is lost.
        """
        if isinstance(exc, PyXSError) or raised_by_handler(exc):
            return False
        refused = b"" if self._trusts_ids or self._flight[1] else refusal_from_write(exc, op)
        if not refused:
            self.fail(exc)
        for rq_id in list(due):
            answers[rq_id] = ERROR, rq_id, 0, refused
        due.clear()
        return True

    # -- receiving ---------------------------------------------------------------------

    def receive_events(self, may_block: bool = False) -> None:
        """Receive the events that have arrived, while no request is due.

        :param may_block: whether to wait for the rest of a message without a time limit.
        :raises ConnectionError: the connection is lost, or another message has arrived.
        """
        self._receive()
        pieces = self._framer.state[1]
        alone = len(pieces) == 1 and len(pieces[0]) == HEADER_SIZE and _size_in(pieces[0])[0]
        if may_block and alone and not self._polls:
            self._receive()  # the C daemon writes header and payload apart
        self._sort({}, {})

    def is_readable(self, deadline: "Optional[float]") -> bool:
        """Wait in poll() for bytes; return ``False`` if something else has ended the wait.

        That may be the deadline, or the poller's ``wakeup``.

        :raises ConnectionError: the rest of a message has not come within the timeout.
        """
        begun = self._timeout is not None and self._framer.begun
        due = sooner(deadline, self._timeout) if begun else deadline
        if self._wait(due):
            return True
        if begun and due != deadline and has_passed(due):
            self.fail(TimeoutError(errno.ETIMEDOUT, "the rest of a message did not come in time"))
        return False

    def _await_reply(self, deadline: "Optional[float]") -> None:
        """Wait in poll() for bytes.

        :raises ConnectionError: none came within the timeout.
        :raises LateError: the deadline has passed.
        """
        if has_passed(deadline):
            raise LateError
        due = sooner(deadline, self._timeout)
        while not self._wait(due):
            if has_passed(due):
                if due == deadline:
                    raise LateError
                self.fail(BlockingIOError())

    def _wait(self, due: "Optional[float]") -> bool:
        readable = self.poller.wait(due)
        self.check()
        return readable

    def _receive(self) -> None:
        pieces = self._framer.state[1]
        self._in_doubt = self._is_python
        try:
            pieces.extend(map(self._recv, _RECV_SIZE))
            if not pieces[-1]:
                self.fail(EOFError("the daemon closed the connection"))
        except OSError as exc:
            if isinstance(exc, PyXSError) or raised_by_handler(exc):
                raise
            if not (self._is_python and isinstance(exc, _socket.timeout)):
                self.fail(exc)
        self._in_doubt = False

    def _sort(self, due: "Due", answers: "Answers") -> None:
        problem = self.inbox.sort(due, answers)
        if problem:
            self._record(UnexpectedPacket(problem))
            if due:  # otherwise the replies that came before are good
                self.check()

    # -- the end -----------------------------------------------------------------------

    def check(self) -> None:
        """Raise an exception if the channel can be used no more.

        :raises ConnectionError: it is lost, or belongs to a parent process.
        """
        if self.pid != os.getpid():
            text = "{}: the connection belongs to the parent process"
            raise ConnectionError(text.format(self.path))
        if self.failure is not None:
            raise again(self.failure)

    def is_usable(self) -> bool:
        """Return whether it is open, and belongs to this process."""
        return self._descriptor is not None and self.failure is None and self.pid == os.getpid()

    def finish(self, deadline: float) -> bool:
        """After an exception, wait for the replies that are due.

        :returns: whether that is all that was under way; otherwise close the channel.
        :raises ConnectionError: the connection is lost.
        :raises LateError: the deadline has passed.
        """
        data, counts, due, answers, ids = self._flight
        if not counts:
            self._in_doubt = self._in_doubt or (self._is_python and bool(data))
            for rq_id in list(ids):
                due.pop(rq_id, None)
        if self._in_doubt or sum(counts) not in (0, len(data)) or not self.is_usable():
            return False
        self.collect(due, answers, deadline=deadline)
        return True

    def fail(self, cause: Exception) -> "NoReturn":
        """End the channel, by the call that uses it.

        :raises ConnectionError: always; *cause* is its cause.
        """
        self._record(cause)
        assert self.failure is not None
        raise again(self.failure)

    def _record(self, cause: Exception) -> None:
        reason = ""
        if isinstance(cause, BlockingIOError) and self._timeout is not None:
            reason = "no reply within {} s".format(self._timeout)
        if self.failure is None:
            # Without the traceback, whose frames refer to what refers to this channel.
            self.failure = failure_of(self.path, cause.with_traceback(None), reason)
        self.close()

    def end(self, why: str) -> None:
        """End the channel: the call that uses it raises ConnectionError. Any thread may do this."""
        if self.pid != os.getpid():
            return
        if self.failure is None:
            self.failure = ConnectionError("{}: {}".format(self.path, why))
        descriptor, wakeup = self._descriptor, self.poller.wakeup
        if wakeup is not None:
            wakeup.set()
        if descriptor is not None:
            descriptor.shut_down()

    def close(self) -> None:
        """Close the connection, by the call that uses it."""
        last, self._descriptor = self._descriptor, None
        if last is not None and self.pid == os.getpid():
            self.before_close()
            last.close()
        self.before_close = bool
        self._send = self._recv = closed
        self.poller.wakeup = None
