"""Channel: one open connection, which one call at a time uses."""

import _socket
import errno
import os
import select
import socket
import struct
import time
from itertools import chain, repeat

from .._wire.framing import Framer
from .._wire.packets import HEADER, HEADER_SIZE, Op, packet_from_wire
from .._wire.replies import MalformedError, decode_event
from ..connection import PacketConnection, limit_waiting
from ..exceptions import ConnectionError, InvalidPayload, PyXSError, UnexpectedPacket
from .deadlines import LateError, milliseconds, sooner
from .descriptor import Descriptor
from .failures import again, failure_of, open_stream, raised_by_handler, within
from .wakeup import Wakeup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import (
        Any,
        Callable,
        Dict,
        Iterable,
        Iterator,
        List,
        NoReturn,
        Optional,
        Tuple,
    )

    from .._annotations.types import Frame

    #: The type and the payload of a reply; an ERROR is a reply.
    Reply = Tuple[int, bytes]
    #: Replies, by the id of the request.
    Answers = Dict[int, Frame]
    #: The type and the transaction of each unanswered request, by its id, the oldest first.
    Due = Dict[int, Tuple[int, int]]
    #: Returns what undoes a request, given its reply: a type, a payload and a transaction.
    Undo = Callable[[bytes], Optional[Tuple[int, bytes, int]]]

_ERROR = int(Op.ERROR)
_WATCH_EVENT = int(Op.WATCH_EVENT)
_IDS = range(1, 2**32)  # uint32_t req_id, xs_wire.h
_RECV_SIZE = (1 << 16,)
_GRACE = 0.1  # seconds to wait for a reply after an exception

_pack = HEADER.pack
_size_in = struct.Struct("=12xI").unpack  # the last field of a header


class Channel:
    """One open connection. One call at a time uses it; any thread may call :meth:`end`.

    An exception may leave a call at any instruction; only :meth:`settle` and :meth:`close` may
    come next. What was sent and received is recorded by the very step in C that does it.

    :param connection: where to connect.
    :param deadline: when its calls wait no longer, connecting included; ``None``: no limit.
    :param listener: takes the events, by ``deliver(frames)``, and lets go of the descriptor before
        it is closed, by ``follow(None)``; ``None``: events are dropped.
    :raises ConnectionError: connecting failed.
    :raises LateError: the deadline has passed.
    """

    def __init__(
        self,
        connection: PacketConnection,
        deadline: "Optional[float]" = None,
        listener: "Any" = None,
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
        self._trusts_ids = connection.trusts_ids
        self._timeout = connection.socket_timeout
        self._deadline = deadline
        self._listener = listener
        self._ids: Iterator[int] = chain.from_iterable(repeat(_IDS))
        self._framer = Framer()
        self._taken: Optional[Frame] = None  # the last reply taken from the framer
        # What was sent last, and by how many bytes each call; the requests that are due, the
        # replies to them, and the ids of those sent last.
        self._flight: Tuple[bytes, List[int], Due, Answers, Iterable[int]] = b"", [], {}, {}, ()
        self._fd: int = stream.fileno()
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN)
        self.wakeup: Optional[Wakeup] = None  #: ends a wait in poll()
        # Whether to wait in poll() before recv(). The kernel can limit recv() on a socket, and
        # shutdown() ends it. gevent's sockets are none of these.
        self._polls = deadline is not None or not isinstance(stream, _socket.socket)
        if isinstance(stream, _socket.socket):
            stream.settimeout(None)
            limit_waiting(stream, within(connection, deadline).socket_timeout)
        else:
            self.make_wakeup()

    def make_wakeup(self) -> Wakeup:
        """Return what ends a wait in poll(). Look for work again after the first time."""
        wakeup = self.wakeup
        if wakeup is None:
            wakeup = Wakeup()
            self._poll.register(wakeup.fileno(), select.POLLIN)
            self.wakeup = wakeup
        return wakeup

    # -- requests ----------------------------------------------------------------------

    def exchange(self, op: int, payload: bytes, tx_id: int, answers: "Answers") -> "Reply":
        """Send one request and return the reply.

        :param answers: an empty dict. The reply is added, for an exception that comes later.
        :raises InvalidPayload: the payload is too long for the connection; nothing was sent.
        :raises ConnectionError: the connection is lost.
        :raises LateError: the deadline has passed.
        """
        if len(payload) > self.max_payload:
            raise self.too_long(payload)
        rq_id = next(self._ids)
        data = _pack(op, rq_id, tx_id, len(payload)) + payload
        counts: List[int] = []
        due = {rq_id: (op, tx_id)}
        self._flight = data, counts, due, answers, due
        try:
            counts.extend(map(self._send, (data,)))
            if counts[0] == len(data) and not self._polls:
                # As most often: the reply comes, and nothing else. Otherwise collect() goes on.
                pieces = self._framer.state[1]
                pieces.extend(map(self._recv, _RECV_SIZE))
                if len(pieces[0]) == HEADER_SIZE and _size_in(pieces[0])[0]:
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
            if self._is_answer(exc, op, counts):
                return _ERROR, _refusal(exc)
            self._lost(exc)
            raise
        self.collect(due, answers)
        kind, _, _, result = answers[rq_id]
        return kind, result

    def send(
        self, messages: "List[Tuple[int, bytes]]", tx_id: int, due: "Due", answers: "Answers"
    ) -> "List[int]":
        """Send requests and return their ids; :meth:`collect` waits for the replies.

        :param messages: types and payloads; one alone if only one may be unanswered.
        :param due: all unanswered requests; these are added.
        :raises ConnectionError: the connection is lost.
        """
        ids = [next(self._ids) for _ in messages]
        data = b"".join(
            [
                _pack(op, rq_id, tx_id, len(payload)) + payload
                for rq_id, (op, payload) in zip(ids, messages)
            ]
        )
        counts: List[int] = []
        self._flight = data, counts, due, answers, ids
        due.update(zip(ids, [(op, tx_id) for op, _ in messages]))
        try:
            counts.extend(map(self._send, (data,)))
            self._send_rest(data, counts)
        except OSError as exc:
            if not self._is_answer(exc, messages[0][0], counts):
                self._lost(exc)
                raise
            answers[ids[0]] = _ERROR, ids[0], tx_id, _refusal(exc)
            due.clear()
        return ids

    def collect(
        self, due: "Due", answers: "Answers", left: int = 0, deadline: "Optional[float]" = None
    ) -> None:
        """Wait for replies until at most *left* requests are due.

        :param deadline: when to wait no longer; ``None``: the channel's own.
        :raises ConnectionError: the connection is lost.
        :raises LateError: the deadline has passed.
        """
        deadline = self._deadline if deadline is None else deadline
        frames, pieces, _, _ = self._framer.state
        if pieces and not frames:
            self._framer.frame()
        while True:
            self._take_all(due, answers)
            if len(due) <= left:
                return
            self.check()
            if self._polls or deadline is not None:
                self._await_reply(deadline)
            self.receive()

    def too_long(self, payload: bytes) -> InvalidPayload:
        """Return why a payload is not sent."""
        return InvalidPayload(
            payload,
            "payload of {} bytes: this connection carries at most {}".format(
                len(payload), self.max_payload
            ),
        )

    def _send_rest(self, data: bytes, counts: "List[int]") -> None:
        while sum(counts) < len(data):
            if not self._trusts_ids:
                text = "the device took only {} of {} bytes of a message"
                raise OSError(errno.EIO, text.format(sum(counts), len(data)))
            counts.extend(map(self._send, (data[sum(counts) :],)))

    def _is_answer(self, exc: OSError, op: int, counts: "List[int]") -> bool:
        """Return whether an exception from sending is the daemon's answer.

        Linux sets watches itself: if xenstored refuses one, write() on the device fails with its
        errno, and no reply comes.
        """
        if self._trusts_ids or counts or isinstance(exc, PyXSError) or raised_by_handler(exc):
            return False
        return exc.errno == errno.EINVAL or op == Op.WATCH

    # -- receiving ---------------------------------------------------------------------

    def receive(self) -> None:
        """Receive bytes and frame the messages that are complete.

        :raises ConnectionError: the connection is lost.
        """
        framer = self._framer
        if framer.refused is not None:
            self.fail(framer.refused)
        pieces = framer.state[1]
        try:
            pieces.extend(map(self._recv, _RECV_SIZE))
        except OSError as exc:
            self._lost(exc)
            raise
        if not pieces[-1]:
            self.fail(EOFError("the daemon closed the connection"))
        if not framer.frame() and framer.refused is not None:
            self.fail(framer.refused)

    def deliver_events(self) -> None:
        """Deliver the events that have been received; no request is due.

        :raises ConnectionError: there is another message, or a malformed one.
        """
        self._take_all({}, {})

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._fd

    def has_begun(self) -> bool:
        """Return whether only a part of a message has arrived."""
        return self._framer.begun

    def is_readable(self, deadline: "Optional[float]") -> bool:
        """Wait in poll() for bytes; return ``False`` if something else has ended the wait.

        That may be the deadline, or ``wakeup``.

        :raises ConnectionError: the rest of a message has not come within the time-out.
        """
        rest_due = None
        if self._timeout is not None and self.has_begun():
            rest_due = time.monotonic() + self._timeout
        due = sooner(deadline, rest_due)
        if self._wait(due):
            return True
        if due is not None and due == rest_due and time.monotonic() >= due:
            self.fail(TimeoutError(errno.ETIMEDOUT, "the rest of a message did not come in time"))
        return False

    def _await_reply(self, deadline: "Optional[float]") -> None:
        """Wait in poll() for bytes.

        :raises ConnectionError: none came within the time-out.
        :raises LateError: the deadline has passed.
        """
        limit = None if self._timeout is None else time.monotonic() + self._timeout
        due = sooner(deadline, limit)
        while not self._wait(due):
            if due is not None and time.monotonic() >= due:
                if due == deadline:
                    raise LateError
                self.fail(BlockingIOError())

    def _wait(self, due: "Optional[float]") -> bool:
        try:
            ready = dict(self._poll.poll(milliseconds(due)))
        except OSError as exc:
            self._lost(exc)
            raise
        if self.wakeup is not None and self.wakeup.fileno() in ready:
            self.wakeup.clear()
        self.check()
        return self._fd in ready

    def _take_all(self, due: "Due", answers: "Answers") -> None:
        """Deliver each event, and move each reply to *answers*."""
        frames = self._framer.state[0]
        while frames:
            frame = frames[0]
            op, rq_id, _, payload = frame
            key = rq_id if self._trusts_ids else next(iter(due), 0)
            wanted = due.get(key)
            if frame is self._taken or answers.get(rq_id) == frame:
                del frames[0]  # an exception came in between
            elif op == _WATCH_EVENT:
                self._take_event(frames, payload)
            elif wanted is None or not self._is_reply(frame, *wanted):
                text = "a reply that answers no request: {!r}".format(packet_from_wire(*frame))
                self.fail(UnexpectedPacket(text))
            elif op == _ERROR and not (payload[-1:] == b"\0" and payload[:-1].isalnum()):
                self.fail(UnexpectedPacket("an error that is no name: {!r}".format(payload)))
            else:
                answers[key] = self._taken = frame
                due.pop(key, None)
                del frames[0]

    def _is_reply(self, frame: "Frame", op: int, tx_id: int) -> bool:
        kind, _, for_tx, _ = frame
        return (kind in (op, _ERROR)) and (for_tx == tx_id or not self._trusts_ids)

    def _take_event(self, frames: "List[Any]", payload: "Any") -> None:
        try:
            if self._listener is not None:
                self._listener.deliver(frames)
            else:
                decode_event(payload)
                del frames[0]
        except MalformedError as exc:
            frames.clear()
            text = "an event that is none, {}: {:.80}".format(exc, repr(payload))
            self._end(UnexpectedPacket(text))  # the replies before it are good

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

    def settle(self, answers: "Answers", undo: "Optional[Undo]") -> None:
        """After an exception, wait a little for the replies that are due; else close.

        :param undo: as in :meth:`Shared.use`.
        """
        settled = False
        deadline = time.monotonic() + _GRACE
        try:
            data, counts, due, replies, ids = self._flight
            if not sum(counts):
                for rq_id in list(ids):
                    due.pop(rq_id, None)
            if self.is_usable() and sum(counts) in (0, len(data)):
                self.collect(due, replies, deadline=deadline)
                if undo is not None:
                    self._undo(undo, answers, deadline)
                settled = True
        except (LateError, MalformedError):
            pass
        except ConnectionError:
            if self.failure is None:
                raise  # a signal handler raised it
        finally:
            if not settled:
                self.close()

    def _undo(self, undo: "Undo", answers: "Answers", deadline: float) -> None:
        for kind, _, _, result in list(answers.values()):
            request = None if kind == _ERROR else undo(result)
            if request is not None:
                op, payload, tx_id = request
                due: Due = {}
                self.send([(op, payload)], tx_id, due, {})
                self.collect(due, {}, deadline=deadline)

    def fail(self, cause: Exception) -> "NoReturn":
        """End the channel, by the call that uses it.

        :raises ConnectionError: always; *cause* is its cause.
        """
        self._end(cause)
        assert self.failure is not None
        raise again(self.failure)

    def _end(self, cause: Exception) -> None:
        reason = ""
        if isinstance(cause, BlockingIOError) and self._timeout is not None:
            reason = "no reply within {} s".format(self._timeout)
        if self.failure is None:
            # Without the traceback, whose frames refer to what refers to this channel.
            self.failure = failure_of(self.path, cause.with_traceback(None), reason)
        self.close()

    def _lost(self, exc: OSError) -> None:
        """End the channel because of an exception, unless a signal handler raised it."""
        if not (isinstance(exc, PyXSError) or raised_by_handler(exc)):
            self.fail(exc)

    def end(self, failure: ConnectionError) -> None:
        """End the channel: the call that uses it raises *failure*. Any thread may do this."""
        if self.failure is None:
            self.failure = failure
        descriptor, wakeup = self._descriptor, self.wakeup
        if wakeup is not None:
            wakeup.set()
        if descriptor is None or not hasattr(descriptor.file, "shutdown"):
            return
        try:
            descriptor.file.shutdown(socket.SHUT_RDWR)
        except OSError as exc:  # the daemon has closed the connection already
            if isinstance(exc, PyXSError) or raised_by_handler(exc):
                raise

    def close(self) -> None:
        """Close the connection, by the call that uses it."""
        if self._listener is not None:
            self._listener.follow(None)
        self._send = self._recv = _closed
        self._descriptor = None


def _closed(_argument: "Any") -> "Any":
    raise OSError(errno.EBADF, os.strerror(errno.EBADF))


def _refusal(exc: OSError) -> bytes:
    return errno.errorcode.get(exc.errno or errno.EINVAL, "EINVAL").encode("ascii") + b"\0"
