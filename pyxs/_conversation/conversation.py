"""One conversation over one connection: requests, replies, events, deadlines, threads.

There is no thread in the background, and there are no locks. A thread that waits takes the
role READ, reads from the connection, and hands out what comes, to itself and to the others,
which sleep. The role SEND is to empty the outbox, for all. A thread that gives back a role
goes on itself or wakes a thread that sleeps, so that as long as threads wait, one of them
reads.

An exception may interrupt a thread at any instruction: a signal handler raises it. So every
step here is one of three kinds: one call in C that does all or nothing; one that may be
repeated; or one that a later step makes good. The outermost ``except BaseException`` of each
call gives back the caller's roles and wakes the others.
"""

import errno
import itertools
import os
import time
from collections import deque
from itertools import islice
from threading import get_ident
from typing import Any, Callable, Deque, Dict, List, Optional, Sequence, TypeVar, Union

from .._wire.packets import HEADER_SIZE, Op, Packet, packet_from_wire
from .._wire.replies import MalformedError
from ..connection import PacketConnection
from ..exceptions import ConnectionError, InvalidPayload, PyXSError, UnexpectedPacket
from ..helpers import raised_here
from .events import Events, Notice
from .readiness import Readiness
from .request import Arrival, Ending, Request
from .roles import Roles

#: Bytes of requests that may be unanswered: neither side can fill the other's buffers.
WINDOW_BYTES = 1 << 16

_WATCH_EVENT = int(Op.WATCH_EVENT)
_ERROR = int(Op.ERROR)
_ID_MASK = 0xFFFFFFFF  # uint32_t req_id, xs_wire.h
_READ, _SEND, _WAKE = "read", "send", "wake"
_IN_CONNECTION = (_READ, _SEND, _WAKE)  # a thread with one of these may use the connection
T = TypeVar("T")
_Waiter = Union[Request, Arrival]


class Conversation:
    """A conversation over a connected connection, until its first failure."""

    #: Why it has ended, once it has; set once.
    failure: "Optional[ConnectionError]" = None

    def __init__(self, connection: PacketConnection) -> None:
        connection.begin()
        self._connection = connection
        self._receiver = connection.receiver()
        self._max_payload = connection.max_payload
        self._limit = connection.max_outstanding
        self._trusts_ids = connection.trusts_ids
        self._timeout = connection.socket_timeout
        self.pid = os.getpid()
        self.roles = Roles()
        self.closed = False  # the descriptor is
        self._ids = itertools.count(1)
        self._outbox: Deque[Request] = deque()
        self._batch: List[Request] = []  # out of the outbox, perhaps not sent
        self._pending: Dict[int, Request] = {}  # by id, in the order sent
        self._arrived: Deque[Any] = deque()  # off the wire, not handed out yet
        self.events = Events()

    # -- state -------------------------------------------------------------------------

    def usable(self) -> bool:
        """Whether requests can be sent: it has not failed, and is of this process."""
        return self.failure is None and self.pid == os.getpid()

    def check(self) -> None:
        """Raise why the conversation is not usable, if so.

        :raises ConnectionError: it failed, or belongs to a parent process.
        """
        if self.pid != os.getpid():
            raise self._ended("the connection belongs to the parent process")
        failure = self.failure
        if failure is not None:
            raise self._failed(failure)

    def _failed(self, failure: ConnectionError) -> ConnectionError:
        # A new exception for each thread; all have the same cause.
        exc = type(failure)(*failure.args)
        exc.__cause__ = failure
        return exc

    def tells_of_failure(self, exc: BaseException) -> bool:
        """Whether *exc* says why this conversation has ended, and is not a signal handler's."""
        return self.failure is not None and exc.__cause__ is self.failure

    def is_inside(self) -> bool:
        """Whether this thread is inside a call, which has been interrupted to call pyxs."""
        return get_ident() in self.roles

    def close(self) -> None:
        """End the conversation: every thread in it gets a ``ConnectionError``."""
        self._end(self._ended("closed"))

    def _end(self, failure: ConnectionError) -> None:
        me = Ending()
        try:
            self.roles.setdefault(get_ident(), me)
            self._fail(me, failure)
            self._retire(me)
            self.roles.release(me)
        except BaseException:
            self._abandon(me)
            raise

    def join(self) -> None:
        """Wait until no thread uses the connection of an ended conversation any more.

        :raises ConnectionError: a thread does not leave it in time.
        """
        me = Ending()
        try:
            self._wait_until_closed(me, self._deadline())
        except BaseException:
            self._abandon(me)
            raise

    def _wait_until_closed(self, me: Any, deadline: "Optional[float]") -> None:
        self.roles.setdefault(get_ident(), me)
        self._retire(me)
        while not self.closed:
            if not self.roles.sleep(me, lambda: not self.closed, _remaining(deadline)):
                self.check()
        self.roles.release(me)

    def _ended(self, reason: str) -> ConnectionError:
        return ConnectionError("{}: {}".format(self._connection.path, reason))

    def _fail(self, me: Any, failure: ConnectionError) -> None:
        """Keep the first failure, and wake every thread, also those in the connection."""
        vars(self).setdefault("failure", failure)
        self.events.lose()
        if self.roles.setdefault(_WAKE, me) is me:
            if not self.closed:
                self._connection.wake()
            del self.roles[_WAKE]
        self.roles.wake_all()

    def _retire(self, me: Any) -> None:
        """Disconnect unless a thread uses the connection; then that one will, on leaving."""
        roles = self.roles
        while not self.closed:
            mine = [role for role in _IN_CONNECTION if roles.setdefault(role, me) is me]
            if len(mine) == len(_IN_CONNECTION) and not self.closed:
                self._connection.disconnect()
                self.closed = True
            for role in _IN_CONNECTION:
                if roles.get(role) is me:
                    del roles[role]
            if not roles.keys().isdisjoint(_IN_CONNECTION):
                return
        roles.wake_all()

    # -- leaving -----------------------------------------------------------------------

    def _leave(self, me: Any) -> None:
        """Leave after a call that went as it should; another thread may have to go on."""
        roles = self.roles
        del roles[get_ident()]
        if roles.sleepers and _READ not in roles:
            roles.wake_one()
        if self.failure is not None:
            self._retire(me)

    def _abandon(self, me: Any, requests: "Sequence[Request]" = ()) -> None:
        """Leave by an exception; what is not sent yet never will be, a late reply is dropped."""
        for request in requests:
            request.abandoned = True
            if request.answer is None and request.rq_id >= 0 and not self._trusts_ids:
                # Without ids its reply could be taken for the next one's.
                self._interrupted()
        try:
            self._give_back(me)
            self.roles.setdefault(get_ident(), me)
            for request in requests:
                self._undo(request)
            self._flush(me)
        finally:
            self._give_back(me)

    def _give_back(self, me: Any) -> None:
        """Release what *me* has, and let the others look after what it has left undone."""
        roles = self.roles
        if me in (roles.get(_READ), roles.get(_SEND)) and not self._connection.interruptible:
            self._interrupted()
        if roles.get(_READ) is me:
            self._sweep()
        roles.release(me)
        self.events.refresh()
        if self.failure is not None:
            self._fail(me, self.failure)
            self._retire(me)
        roles.wake_all()

    def _interrupted(self) -> None:
        vars(self).setdefault("failure", self._ended("interrupted"))

    def _sweep(self) -> None:
        """Forget the answered requests, but for one whose answer is still to be taken."""
        head = self._arrived[0] if self._arrived else None
        for request in list(self._pending.values()):
            if request.answer is not None and request.answer is not head:
                self._pending.pop(request.rq_id, None)

    def _undo(self, request: Request) -> bool:
        """Queue what undoes an abandoned request that was answered; nobody waits for it."""
        answer = request.answer
        if answer is None or request.refusal:
            return False
        undo, request.undo = request.undo, None
        if undo is None:
            return False
        try:
            self._outbox.append(undo(answer.payload))
        except MalformedError:
            return False  # the reply makes no sense, so there is nothing to undo
        return True

    # -- requests ----------------------------------------------------------------------

    def call(self, request: Request) -> bool:
        """Send one request and wait until its answer is here.

        :returns: ``False`` when this thread is inside another call, which has been
            interrupted to make this one; nothing was done.
        :raises InvalidPayload: it is too long for the connection.
        :raises ConnectionError: the connection is lost.
        """
        if len(request.payload) > self._max_payload:
            raise self._too_long(request)
        try:
            inside = self.roles.setdefault(get_ident(), request) is not request
            if not inside:
                self._outbox.append(request)
                self._wait(request, None)
                self._leave(request)
        except BaseException:
            self._abandon(request, (request,))
            raise
        if request.answer is None and not inside:
            self.check()
        return not inside

    def submit(self, requests: "Sequence[Request]") -> None:
        """Send requests in order, as far as the window has room for them now.

        The others are sent when there is room, by the threads that wait.

        :raises InvalidPayload: one is too long for the connection; nothing was sent.
        :raises ConnectionError: the connection is lost.
        """
        for request in requests:
            if len(request.payload) > self._max_payload:
                raise self._too_long(request)
        self.check()
        me = Ending()
        try:
            inside = self.roles.setdefault(get_ident(), me) is not me
            if not inside:
                self._outbox.extend(requests)
                self._flush(me)
                self._leave(me)
        except BaseException:
            self._abandon(me, requests)
            raise
        if inside:
            raise nested_call()

    def call_many(self, requests: "Sequence[Request]") -> bool:
        """Send requests in order and wait until all answers are here.

        Some more are sent when half of the window is answered, so the daemon always has
        something to do, and other threads get their turn.

        :returns: as :meth:`call`.
        """
        for request in requests:
            if len(request.payload) > self._max_payload:
                raise self._too_long(request)
        if self.is_inside():
            return False
        some = max(1, self._limit // 2)
        try:
            for start in range(0, len(requests) + some, some):
                self.submit(requests[start : start + some])
                self.wait_all(requests[max(0, start - some) : start])
        except BaseException:
            self._abandon(Ending(), requests)
            raise
        return True

    def ask(self, request: Request, decoder: "Callable[[bytes], T]") -> T:
        """Send a request that only this connection can take, and return what its reply says.

        :raises PyXSError: the daemon's answer, or ``EDEADLK`` as :func:`nested_call` says.
        """
        if not self.call(request):
            raise nested_call()
        return self.decoded(request, decoder)

    def post(self, request: Request) -> None:
        """Send a request whose reply concerns nobody, if the conversation still goes on."""
        if len(request.payload) <= self._max_payload:
            self._outbox.append(request)
            self._push()

    def undo(self, request: Request) -> None:
        """Undo what a request has done, if it has been answered."""
        if self._undo(request):
            self._push()

    def _push(self) -> None:
        me = Ending()
        try:
            self.roles.setdefault(get_ident(), me)
            self._flush(me)
        finally:
            self._give_back(me)

    def wait_all(self, requests: "Sequence[Request]") -> None:
        """Wait until the answers to requests submitted are here.

        :raises ConnectionError: they will not come.
        """
        # The last one first: a daemon answers in order.
        for request in reversed(requests):
            if request.answer is None:
                self.wait(request)

    def wait(self, request: Request) -> None:
        """Wait until the answer to a request submitted is here.

        :raises ConnectionError: it will not come.
        :raises PyXSError: ``EDEADLK``: as :func:`nested_call` says.
        """
        if request.answer is not None:
            return
        try:
            inside = self.roles.setdefault(get_ident(), request) is not request
            if not inside:
                self._wait(request, None)
                self._leave(request)
        except BaseException:
            self._abandon(request, (request,))
            raise
        if inside:
            raise nested_call()
        if request.answer is None:
            self.check()

    def decoded(self, request: Request, decoder: "Callable[[bytes], T]") -> T:
        """Return what the reply says; one that makes no sense ends the conversation.

        :raises PyXSError: the daemon's answer.
        :raises UnexpectedPacket: the decoder found it malformed.
        """
        payload = request.result()
        try:
            return decoder(payload)
        except MalformedError as exc:
            failure = UnexpectedPacket(
                "{}: a reply to {} that is none, {}: {:.80}".format(
                    self._connection.path, Op(request.op).name, exc, repr(payload)
                )
            )
        self._end(failure)
        raise self._failed(failure)

    def _too_long(self, request: Request) -> InvalidPayload:
        return InvalidPayload(
            request.payload,
            "payload of {} bytes: this connection carries at most {}".format(
                len(request.payload), self._max_payload
            ),
        )

    def _deadline(self) -> "Optional[float]":
        return None if self._timeout is None else time.monotonic() + self._timeout

    # -- sending -----------------------------------------------------------------------

    def _flush(self, me: Any) -> None:
        """Send what is in the outbox, for all threads, as far as there is room.

        What others add while this thread has the role, and room that comes meanwhile, is
        seen after the role is given back: the others rely on that.
        """
        roles = self.roles
        while self._batch or (self._outbox and (not self._pending or self._has_room())):
            if self.failure is not None or roles.setdefault(_SEND, me) is not me:
                return
            if self.failure is None:  # still: else the connection may be closed already
                self._send(me)
            del roles[_SEND]

    def _has_room(self) -> bool:
        pending = list(self._pending.values())
        if len(pending) >= self._limit:
            return False
        try:
            first = self._outbox[0]
        except IndexError as exc:
            if not raised_here(exc):
                raise
            return False  # another thread has sent it
        used = sum([HEADER_SIZE + len(request.payload) for request in pending])
        return used + HEADER_SIZE + len(first.payload) <= WINDOW_BYTES

    def _fill(self, batch: "List[Request]") -> None:
        """Move requests from the outbox to a batch, as many as there is room for."""
        outbox, pending = self._outbox, list(self._pending.values())
        room, free = self._limit - len(pending), WINDOW_BYTES
        for request in pending:
            free -= HEADER_SIZE + len(request.payload)
        while outbox:
            request = outbox[0]
            if request.abandoned:
                outbox.popleft()
                continue
            room -= 1
            free -= HEADER_SIZE + len(request.payload)
            if (room < 0 or free < 0) and (pending or batch):
                return
            # One call in C: an exception cannot come between the two and lose a request.
            batch.extend(islice(iter(outbox.popleft, None), 1))

    def _send(self, me: Any) -> None:
        """Send a batch; one of which the sending was interrupted is continued."""
        batch, outbox = self._batch, self._outbox
        if not batch and len(outbox) == 1 and not (self._pending or outbox[0].abandoned):
            batch.extend(islice(iter(outbox.popleft, None), 1))
        elif not batch:
            self._fill(batch)
        deadline = None if self._timeout is None else self._deadline()
        for request in batch:
            if request.rq_id < 0:
                request.deadline = deadline
                request.rq_id = next(self._ids) & _ID_MASK
            if request.answer is None:
                self._pending[request.rq_id] = request
        answer = self._connection.transmit(batch)
        self._batch = []
        if isinstance(answer, ConnectionError):
            self._fail(me, answer)
        elif answer is not None:
            self._refuse(batch[0], answer)

    def _refuse(self, request: Request, answer: PyXSError) -> None:
        """Take what came from sending a request for its answer; no reply will come."""
        name = errno.errorcode.get(answer.errno or errno.EINVAL, "EINVAL").encode("ascii")
        request.answer = packet_from_wire(_ERROR, request.rq_id, request.tx_id, name + b"\0")
        self._pending.pop(request.rq_id, None)
        self.roles.wake(request)

    # -- waiting -----------------------------------------------------------------------

    def _wait(self, waiter: _Waiter, deadline: "Optional[float]") -> bool:
        """Return when *waiter* is answered, at its deadline, or when the conversation ends.

        :returns: ``False`` at the deadline.
        """
        roles = self.roles
        while waiter.answer is None and self.failure is None:
            if self._outbox or self._batch:
                self._flush(waiter)
            if waiter.rq_id < 0 and _SEND in roles:
                on_time = self._sleep(waiter, deadline)
            elif roles.setdefault(_READ, waiter) is waiter:
                on_time = self._read(waiter, deadline)
                del roles[_READ]
            else:
                on_time = self._sleep(waiter, deadline)
            if not on_time:
                return False
        return True

    def _sleep(self, waiter: _Waiter, deadline: "Optional[float]") -> bool:
        """Sleep until the answer is here or this thread has to go on itself.

        :returns: ``False`` when it is too late.
        """
        roles = self.roles

        def another_goes_on() -> bool:
            if waiter.answer is not None or self.failure is not None:
                return False
            return _READ in roles or (waiter.rq_id < 0 and _SEND in roles)

        due = self._due(waiter, deadline)
        return roles.sleep(waiter, another_goes_on, _remaining(due)) or self._on_time(
            waiter, deadline
        )

    def _read(self, waiter: _Waiter, deadline: "Optional[float]") -> bool:
        """Hand out what comes until *waiter* is answered.

        :returns: ``False`` when it is too late.
        """
        while True:
            if self._outbox:
                self._flush(waiter)
            if waiter.answer is not None or self.failure is not None:
                return True
            if waiter.rq_id < 0 and not self._pending:
                return True  # nothing will come before it is sent
            due = None
            if deadline is not None or self._timeout is not None:
                due = self._due(waiter, deadline)
            packets = self._arrived = self._receiver(None if due is None else _remaining(due))
            if packets:
                self._deliver(waiter, packets)
            else:
                self._look_for_fault(waiter)
            # Packets may come without end, and none for this one.
            if due is not None and waiter.answer is None and not self._on_time(waiter, deadline):
                return False

    def _due(self, waiter: _Waiter, deadline: "Optional[float]") -> "Optional[float]":
        """Return when it is too late for *waiter*.

        A request that waits for room is late when the one that was sent first is.
        """
        if self._timeout is None or isinstance(waiter, Arrival):
            return deadline
        if waiter.rq_id >= 0:
            return waiter.deadline
        for oldest in list(self._pending.values()):
            return oldest.deadline
        return self._deadline()

    def _on_time(self, waiter: _Waiter, deadline: "Optional[float]") -> bool:
        """Whether it is not too late; when it is, for a request, the conversation ends."""
        due = self._due(waiter, deadline)
        if due is None or time.monotonic() < due:
            return True
        if not isinstance(waiter, Arrival):
            self._fail(waiter, self._ended("no reply within {} s".format(self._timeout)))
        return False

    # -- what comes in, for the reader ---------------------------------------------------

    def _receive(self, me: Any, timeout: "Optional[float]") -> None:
        """Take packets off the connection and hand them out."""
        packets = self._arrived = self._receiver(timeout)
        if packets:
            self._deliver(me, packets)
        else:
            self._look_for_fault(me)

    def _look_for_fault(self, me: Any) -> None:
        fault = self._connection.fault
        if fault is not None:
            self._fail(me, fault)

    def _deliver(self, me: Any, packets: "Deque[Any]") -> None:
        """Hand out packets; one whose delivery was interrupted is handed out again."""
        while packets:
            packet = packets[0]
            op = packet.op
            if op == _WATCH_EVENT:
                try:
                    wanted = self.events.take_in(packets)
                except MalformedError as exc:
                    payload = repr(packet.payload)
                    self._distrust(me, "an event that is none, {}: {:.80}".format(exc, payload))
                    return
                if wanted and self.roles.sleepers:
                    self._wake_for_event()
                continue
            request = self._pending.get(packet.rq_id) if self._trusts_ids else self._oldest(packet)
            if request is None or op != request.op or packet.tx_id != request.tx_id:
                mismatch = self._mismatch(packet, request)
                if request is None or mismatch:
                    self._distrust(me, mismatch)
                    return
            request.answer = packet
            packets.popleft()
            self._pending.pop(request.rq_id, None)
            if self.roles.sleepers:
                self.roles.wake(request)
            if request.abandoned:
                self._undo(request)

    def _oldest(self, packet: Packet) -> "Optional[Request]":
        """Return the request that *packet* answers where ids are not trusted."""
        for request in list(self._pending.values()):
            if request.answer is None or request.answer is packet:
                return request
        return None

    def _mismatch(self, packet: Packet, request: "Optional[Request]") -> str:
        """Return why a packet is no answer to a request, empty if it is one."""
        if (
            request is None
            or (packet.op != request.op and packet.op != _ERROR)
            or (packet.tx_id != request.tx_id and self._trusts_ids)
        ):
            return "a reply that answers no request: {!r}".format(packet)
        payload = packet.payload
        if packet.op == _ERROR and not (payload[-1:] == b"\0" and payload[:-1].isalnum()):
            return "an error that is no name: {!r}".format(payload)
        return ""

    def _wake_for_event(self) -> None:
        for sleeper in list(self.roles.sleepers):
            if isinstance(sleeper, Arrival):
                self.roles.wake(sleeper)

    def _distrust(self, me: Any, message: str) -> None:
        self._fail(me, UnexpectedPacket("{}: {}".format(self._connection.path, message)))

    # -- events ------------------------------------------------------------------------

    def wait_event(
        self, make: "Callable[[Notice], T]", deadline: "Optional[float]"
    ) -> "Optional[T]":
        """Return the next event, waiting for it; ``None`` when the deadline passes.

        :param make: makes what is returned.
        :raises ConnectionError: the connection is lost, and no event is left.
        """
        return self._next_event(make, lambda me: self._wait(me, deadline))

    def poll_event(self, make: "Callable[[Notice], T]") -> "Optional[T]":
        """Return an event that is here, finishing a message that has begun to arrive.

        :raises ConnectionError: the connection is lost, and no event is left.
        """
        return self._next_event(make, self._poll)

    def _next_event(
        self, make: "Callable[[Notice], T]", wait: "Callable[[Arrival], bool]"
    ) -> "Optional[T]":
        if self.pid != os.getpid():
            self.check()
        hold: List[Notice] = []
        me = Arrival(self.events.queue)
        try:
            # No branches and no loops here: the tables of Python 3.14 leave some of their
            # instructions out of a try.
            inside = self._take_event(me, hold, wait)
            made = list(map(make, hold))
        except BaseException:
            self.events.put_back(hold)
            self._abandon(me)
            raise
        if made:
            return made[0]
        self.check()
        if inside:
            raise nested_call()
        return None

    def _take_event(
        self, me: Arrival, hold: "List[Notice]", wait: "Callable[[Arrival], bool]"
    ) -> bool:
        """Move an event to *hold*, if one comes; return whether this is a call inside a call."""
        inside = self.roles.setdefault(get_ident(), me) is not me
        on_time = not inside
        while not self.events.take(hold) and on_time and self.failure is None:
            on_time = wait(me)
        if not inside:
            self._leave(me)
        return inside

    def _poll(self, me: Arrival) -> bool:
        """Read what is here; return whether there is an event now."""
        roles = self.roles
        if roles.setdefault(_READ, me) is me:
            if self.failure is None:
                self._receive(me, 0.0)
            while me.answer is None and self._connection.begun and self.failure is None:
                self._receive(me, None)
            if self._outbox:
                self._flush(me)
            del roles[_READ]
        return me.answer is not None

    def attach(self, readiness: Readiness) -> None:
        """Keep the state of the conversation shown on a descriptor for select loops."""
        if self.pid != os.getpid():
            self.check()
        self.events.attach(readiness, self._connection.fileno() if self.failure is None else None)


class NestedCallError(PyXSError):
    """``EDEADLK``: a call that can use no other connection was made inside a call on it."""


def nested_call() -> NestedCallError:
    """Return why a call that must use this connection cannot: its thread is using it."""
    return NestedCallError(
        errno.EDEADLK,
        "{}: a signal handler or a finalizer has interrupted a call on the same connection, "
        "and what it asks for can be done on no other".format(os.strerror(errno.EDEADLK)),
    )


def _remaining(deadline: "Optional[float]") -> float:
    return -1 if deadline is None else max(0.0, deadline - time.monotonic())
