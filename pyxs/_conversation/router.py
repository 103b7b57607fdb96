"""One conversation over one connection: request ids, replies, events, deadlines, threads.

There is no thread in the background. Of the threads that wait, one leads: it reads from
the connection and hands out what comes, to itself and to the others, who sleep. A thread
that stops waiting gives up the lead and wakes a successor.
"""

import collections
import os
import threading
import time
from typing import Callable, Deque, Dict, List, Optional, Sequence, TypeVar

from .. import helpers
from .._wire.packets import Op, Packet
from ..connection import PacketConnection
from ..exceptions import ConnectionError, InvalidPayload, PyXSError, UnexpectedPacket
from .events import EventQueue, RawEvent, Readiness
from .window import Request, Ticket, Waiter, Waiting, Window

_WATCH_EVENT = int(Op.WATCH_EVENT)
_ERROR = int(Op.ERROR)
_LOOK_AGAIN = 1.0  # seconds
T = TypeVar("T")


class Router:
    """A conversation over a connected connection, until its first failure."""

    def __init__(self, connection: PacketConnection) -> None:
        self._connection = connection
        self._max_payload = connection.max_payload
        self._trusts_ids = connection.trusts_ids
        self._timeout = connection.socket_timeout
        self._pid = os.getpid()
        #: Guards all fields below; never held while another thread does I/O.
        self._lock = threading.Lock()
        self._failure: Optional[ConnectionError] = None
        self._window = Window(connection.max_outstanding, connection.trusts_ids)
        self._leader: Optional[Waiting] = None
        #: Who sleeps, or has been woken to lead and is on the way; each on its own lock.
        self._sleepers: Dict[Waiting, threading.Lock] = {}
        self._event_waiters: Deque[Waiter] = collections.deque()
        self._events = EventQueue()
        #: Held while sending, so that messages do not mix; taken before _lock.
        self._send_lock = threading.Lock()
        #: Held by who adds or removes a watch, for the round trip.
        self.watch_lock = threading.Lock()
        self._gone = False  # the descriptor is closed
        # Held until then. Not an Event: that may keep its lock when a signal handler raises.
        self._gate = threading.Lock()
        self._gate.acquire()

    # -- state -------------------------------------------------------------------------

    def usable(self) -> bool:
        """Whether requests can be sent: it has not failed, and is of this process."""
        # The process first: in a forked child no lock here may ever be taken.
        return self._pid == os.getpid() and self._failure is None

    def is_own(self) -> bool:
        """Whether it is of this process, not inherited from a parent."""
        return self._pid == os.getpid()

    def check(self) -> None:
        """Raise why the conversation is not usable, if so.

        :raises ConnectionError: it failed, or belongs to a parent process.
        """
        self._check_process()
        if self._failure is not None:
            raise self._failed(self._failure)

    def _failed(self, failure: ConnectionError) -> ConnectionError:
        # A new exception for each thread; all have the same cause.
        exc = type(failure)(*failure.args)
        exc.__cause__ = failure
        return exc

    def _check_process(self) -> None:
        if not self.is_own():
            raise ConnectionError(
                "{}: the connection belongs to the parent process".format(self._connection.path)
            )

    def close(self, reason: str = "closed") -> None:
        """End the conversation: every thread in it gets a ``ConnectionError``."""
        if self.is_own():
            self._fail(self._ended(reason))
            self._retire()

    def join(self) -> None:
        """Wait until an ended conversation has left its connection."""
        if not self.is_own():
            return
        self._retire()
        deadline = self._deadline()
        while not self._gone:
            if self._gate.acquire(timeout=_LOOK_AGAIN):
                self._gate.release()  # for the next who waits
            # A signal handler that raised may have kept the thread that was to do it from it.
            self._retire()
            if deadline is not None and time.monotonic() >= deadline:
                self.check()

    def _ended(self, reason: str) -> ConnectionError:
        return ConnectionError("{}: {}".format(self._connection.path, reason))

    def _distrust(self, message: str) -> UnexpectedPacket:
        failure = UnexpectedPacket("{}: {}".format(self._connection.path, message))
        self._fail(failure)
        self._retire()
        return failure

    def _fail(self, failure: ConnectionError) -> None:
        """Keep the first failure, and wake every thread; to be finished if interrupted."""
        with self._lock:
            if self._failure is None:
                self._failure = failure
            self._window.pending.clear()
            self._events.lose()
            for bed in self._sleepers.values():
                _wake(bed)
            # Under the lock, so that the descriptor cannot be closed meanwhile.
            if not self._gone:
                self._connection.wake()

    def _retire(self) -> None:
        """Close the connection of a failed conversation when no thread is in its I/O.

        Every thread that leaves comes here, so the last one does it.
        """
        with self._lock:
            if self._leader is None and not self._send_lock.locked() and not self._gone:
                self._connection.disconnect()
                self._gone = True
                _wake(self._gate)

    # -- requests ----------------------------------------------------------------------

    def call(self, request: Request) -> None:
        """Send one request and wait until its reply is here.

        :raises ConnectionError: it will not come.
        """
        self.submit((request,))
        self.wait(request)

    def decoded(self, request: Request, decoder: "Callable[[bytes], T]") -> T:
        """Return what the reply says; one that makes no sense ends the conversation.

        :raises PyXSError: the daemon's answer.
        :raises UnexpectedPacket: the decoder found a ``ValueError``.
        """
        payload = request.result()
        try:
            return decoder(payload)
        except ValueError as exc:
            message = "a reply to {} that is none, {}: {:.80}".format(
                Op(request.op).name, exc, repr(payload)
            )
            raise self._distrust(message) from exc

    def submit(self, requests: "Sequence[Request]") -> None:
        """Send requests in order, as many at a time as the window has room for.

        :raises InvalidPayload: one is too long for the connection; nothing was sent.
        :raises ConnectionError: the connection is lost.
        """
        longest = self._max_payload
        for request in requests:
            if len(request.payload) > longest:
                raise InvalidPayload(
                    "payload of {} bytes: this connection carries at most {}".format(
                        len(request.payload), longest
                    )
                )
        sent = self._send_some(requests, None)
        if sent < len(requests):
            self._send_rest(requests[sent:])

    def wait(self, request: Request) -> None:
        """Wait until the reply to a request sent is here.

        :raises ConnectionError: it will not come.
        """
        if not (request.done or self._await(request, request.deadline)):
            self._time_out()

    def _send_some(self, requests: "Sequence[Request]", ticket: "Optional[Ticket]") -> int:
        """Send those that there is room for, and return how many."""
        try:
            with self._send_lock:
                try:
                    with self._lock:
                        if self._failure is not None:
                            raise self._failed(self._failure)
                        deadline = None if self._timeout is None else self._deadline()
                        admitted = self._window.admit(requests, ticket, deadline)
                    if admitted:
                        self._connection.send_many(admitted)
                except BaseException as exc:
                    self._not_sent(requests[0], exc)
        finally:
            if self._failure is not None:
                self._retire()
        return len(admitted)

    def _not_sent(self, request: Request, exc: BaseException) -> None:
        if isinstance(exc, ConnectionError):
            self._fail(exc)
            self.check()  # the first failure, which may have been another's
        if not isinstance(exc, PyXSError):
            self._fail(self._ended("interrupted while sending"))
            raise exc
        # The answer, at once: no reply will come.
        with self._lock:
            if self._failure is None:
                self._window.withdraw(request)
                request.error = exc
                self._settle(request)

    def _send_rest(self, requests: "Sequence[Request]") -> None:
        ticket = Ticket()
        half = max(1, self._connection.max_outstanding // 2)
        try:
            with self._lock:
                self._window.queue.append(ticket)
            while requests:
                with self._lock:
                    ticket.done = False
                    # Not for one place: messages sent together cost one system call.
                    ticket.wanted = min(len(requests), half)
                    self._grant()
                self._await_room(ticket)
                requests = requests[self._send_some(requests, ticket) :]
            self._leave_queue(ticket)
        except BaseException:
            self._leave_queue(ticket)
            raise

    def _await_room(self, ticket: Ticket) -> None:
        """Wait for room, which comes while replies do.

        It is too late when the request that was sent first is.
        """
        while not ticket.done:
            with self._lock:
                oldest = next(iter(self._window.pending.values()), None)
            deadline = self._deadline() if oldest is None else oldest.deadline
            if not self._await(ticket, deadline) and not (oldest and oldest.done):
                self._time_out()

    def _leave_queue(self, ticket: Ticket) -> None:
        with self._lock:
            if ticket in self._window.queue:
                self._window.queue.remove(ticket)
            self._grant()

    def _grant(self) -> None:
        """Wake the first in the queue for room, if it has come."""
        ticket = self._window.granted()
        if ticket is not None:
            self._finish(ticket)

    def _deadline(self) -> "Optional[float]":
        return None if self._timeout is None else time.monotonic() + self._timeout

    def _time_out(self) -> None:
        self.close("no reply within {} s".format(self._timeout))
        self.check()

    # -- waiting -----------------------------------------------------------------------
    #
    # A signal handler may raise between any two steps, in the main thread. Harmless is that
    # while the thread sleeps, or waits for bytes; anywhere else the conversation ends, and
    # what was to be done on leaving is done again.

    def _await(self, waiter: Waiting, deadline: "Optional[float]") -> bool:
        """Wait until *waiter* is done, reading for all if nobody does; False: too late."""
        try:
            # Not before the try: what is raised on the way back to the head of a loop,
            # Python 3.11 takes for raised just before that.
            asleep = False
            while not waiter.done:
                with self._lock:
                    if waiter.done:
                        break
                    if self._failure is not None:
                        raise self._failed(self._failure)
                    bed = self._lead_or_lie_down(waiter)
                if bed is None:
                    self._read(waiter, None if deadline is None else _remaining(deadline))
                    # Packets may come without end, and none for this one.
                    if deadline is None or time.monotonic() < deadline:
                        continue
                    break
                asleep = True
                if not bed.acquire(timeout=_remaining(deadline)):
                    break
                asleep = False
            if not waiter.done or self._leader is waiter or self._failure is not None:
                self._get_up(waiter)
        except BaseException as exc:
            self._give_up(waiter, exc, asleep)
            raise
        return waiter.done

    def _lead_or_lie_down(self, waiter: Waiting) -> "Optional[threading.Lock]":
        """Return ``None`` to who leads now, to others a lock to sleep on until woken."""
        if self._leader is waiter:
            self._leader = None
        if self._leader is None:
            if self._may_lead(waiter):
                self._leader = waiter
                self._sleepers.pop(waiter, None)
                return None
            self._rouse()
        bed = self._sleepers[waiter] = threading.Lock()
        bed.acquire()
        return bed

    def _may_lead(self, waiter: Waiting) -> bool:
        # A ticket is often done by another thread's doing, which cannot call a leader
        # back from reading: so it leads only while a reply is sure to come. Where
        # send() may bring the answer itself that is not sure before its return.
        return waiter.__class__ is not Ticket or (
            bool(self._window.pending) and (self._trusts_ids or not self._send_lock.locked())
        )

    def _rouse(self) -> None:
        """Wake the first sleeper that may lead; nobody does."""
        for waiter, bed in self._sleepers.items():
            if not waiter.done and self._may_lead(waiter):
                _wake(bed)
                return

    def _get_up(self, waiter: Waiting) -> None:
        with self._lock:
            self._sleepers.pop(waiter, None)
            if self._leader is waiter:
                self._leader = None
            # Also when it did not lead: it may have been woken to lead, too late.
            if self._leader is None:
                self._rouse()
        if self._failure is not None:
            self._retire()

    def _give_up(self, waiter: Waiting, exc: BaseException, asleep: bool) -> None:
        """Leave as :meth:`_get_up` does, by an exception."""
        if not isinstance(exc, PyXSError):
            harmless = asleep or (self._leader is waiter and self._connection.interruptible)
            # The late reply will find its request by its id; without ids it could be
            # taken for the next one's.
            late = isinstance(waiter, Request) and not self._trusts_ids
            if late or not harmless:
                self._fail(self._ended("interrupted while waiting"))
        self._get_up(waiter)

    def _read(self, waiter: Waiting, timeout: "Optional[float]") -> bool:
        """Take packets off the wire and hand them out; False: none came, or a failure.

        The leader steps down when it is done, or may lead no more.
        """
        try:
            packets = self._connection.recv_many(timeout)
            if not packets:
                return False
            with self._lock:
                for packet in packets:
                    self._dispatch(packet)
                if waiter.done or not self._may_lead(waiter):
                    self._leader = None
                    if self._sleepers:
                        self._rouse()
        except ConnectionError as exc:
            self._fail(exc)
            return False
        return True

    def _finish(self, waiter: Waiting) -> None:
        waiter.done = True
        if self._sleepers:
            bed = self._sleepers.get(waiter)
            if bed is not None:
                _wake(bed)
                del self._sleepers[waiter]

    # -- what comes in, under the lock ---------------------------------------------------

    def _dispatch(self, packet: Packet) -> None:
        op = packet.op
        if op == _WATCH_EVENT:
            self._take_event(packet.payload)
            return
        request = self._window.take(packet)
        if request is None:
            raise UnexpectedPacket(
                "{}: a reply that answers no request: {!r}".format(self._connection.path, packet)
            )
        if op == _ERROR:
            request.error = self._answer(packet.payload)
        else:
            request.reply = packet.payload
        self._settle(request)

    def _take_event(self, payload: bytes) -> None:
        try:
            wanted = self._events.push(payload)
        except ValueError as exc:
            message = "{}: an event that is none, {}: {:.80}".format(
                self._connection.path, exc, repr(payload)
            )
            raise UnexpectedPacket(message) from exc
        if wanted and self._event_waiters:
            self._finish(self._event_waiters.popleft())

    def _settle(self, request: Request) -> None:
        """Mark a request as answered, and give its room to the next."""
        request.done = True
        if self._sleepers:
            self._finish(request)
        if self._window.queue:
            self._grant()

    def _answer(self, payload: bytes) -> PyXSError:
        name = payload[:-1]
        if not (payload.endswith(b"\0") and name.isalnum()):
            raise UnexpectedPacket(
                "{}: an error that is no name: {!r}".format(self._connection.path, payload)
            )
        return helpers.error(name.decode("ascii"))

    # -- events ------------------------------------------------------------------------

    def add_watch(self, wpath: bytes, token: bytes) -> None:
        """Let events of a watch pass; before WATCH is sent, for they may precede its reply."""
        with self._lock:
            self._events.add(wpath, token)

    def discard_watch(self, wpath: bytes, token: bytes) -> None:
        """Let them pass no more, and drop those that wait."""
        with self._lock:
            self._events.discard(wpath, token)

    def watches(self) -> "List[RawEvent]":
        """Return the live watches, each a path and a token."""
        with self._lock:
            return self._events.watches()

    def wait_event(self, deadline: "Optional[float]") -> "Optional[RawEvent]":
        """Return the next event, waiting for it; ``None`` when the deadline passes.

        :raises ConnectionError: the connection is lost, and no event is left.
        """
        self._check_process()
        waiter = Waiter()
        try:
            event = self._take_or_queue(waiter)
            while event is None and self._await(waiter, deadline):
                event = self._take_or_queue(waiter)
            if event is None:
                self._leave_events(waiter)
            return event
        except BaseException:
            self._leave_events(waiter)
            raise

    def _take_or_queue(self, waiter: Waiter) -> "Optional[RawEvent]":
        """Return an event that is here; else let the waiter be woken for the next."""
        with self._lock:
            event = self._events.pop()
            if event is None:
                self.check()
                waiter.done = False
                self._event_waiters.append(waiter)
            return event

    def poll_event(self) -> "Optional[RawEvent]":
        """Return an event that is here, finishing a message that has begun to arrive.

        :raises ConnectionError: the connection is lost, and no event is left.
        """
        self._check_process()
        waiter = Waiter()
        try:
            while True:
                with self._lock:
                    event = self._events.pop()
                    if event is not None:
                        return event
                    self.check()
                    if self._leader is not None:
                        return None
                    self._leader = waiter
                got = self._read(waiter, 0.0) or (
                    self._connection.begun and self._read(waiter, None)
                )
                self._get_up(waiter)
                if not got:
                    self.check()
                    return None
        except BaseException as exc:
            self._give_up(waiter, exc, False)
            raise

    def attach(self, readiness: Readiness) -> None:
        """Keep the state of the conversation shown on a descriptor for select loops."""
        self._check_process()
        with self._lock:
            fd = self._connection.fileno() if self._failure is None else None
            self._events.attach(readiness, fd)

    def _leave_events(self, waiter: Waiter) -> None:
        with self._lock:
            if waiter in self._event_waiters:
                self._event_waiters.remove(waiter)
            elif self._events and self._event_waiters:
                # Woken for an event that it did not take: another may have it.
                self._finish(self._event_waiters.popleft())


def _wake(bed: threading.Lock) -> None:
    if bed.locked():  # else it has been done already
        bed.release()


def _remaining(deadline: "Optional[float]") -> float:
    return -1 if deadline is None else max(0.0, deadline - time.monotonic())
