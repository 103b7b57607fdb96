"""A conversation over one connection: calls, and the threads that wait in them.

There is no thread in the background, and there are no locks. A thread that waits takes the
role READ, reads from the connection, and hands out what comes, to itself and to the other
threads, which sleep. A thread with the role SEND empties the outbox, for all threads. A
thread that gives back a role goes on itself or wakes a sleeping thread, so that as long as
threads wait, one of them reads.

An exception may interrupt a thread at any instruction: a signal handler raises it. So every
step here is one of three kinds: one call in C that does all or nothing; one that may be
repeated; or one that a later step makes good. The outermost ``except BaseException`` of each
call gives back the caller's roles and wakes the other threads.
"""

import os
import time
from threading import get_ident

from .._wire.packets import Op
from .._wire.replies import MalformedError
from ..connection import PacketConnection
from ..exceptions import InvalidPayload, UnexpectedPacket
from .events import Events, Notice
from .inbox import Inbox
from .lifetime import Lifetime
from .outbox import Outbox
from .readiness import Readiness
from .request import Arrival, Ending, Request
from .roles import READ, SEND, Roles, nested_call

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, List, Optional, Sequence, TypeVar, Union

    T = TypeVar("T")
    _Waiter = Union[Request, Arrival]


class Conversation:
    """A conversation over a connected connection, until its first failure."""

    def __init__(self, connection: PacketConnection) -> None:
        connection.begin()
        self._connection = connection
        self._max_payload = connection.max_payload
        self._timeout = connection.socket_timeout
        self._some = max(1, connection.max_outstanding // 2)
        self.roles = Roles()
        self.events = Events()
        self.lifetime = Lifetime(connection, self.roles, self.events)
        self.failures = self.lifetime.failures
        self.pid = self.lifetime.pid
        self._outbox = Outbox(connection, self.roles)
        self._waiting = self._outbox.waiting
        self._batch = self._outbox.batch
        self._pending = self._outbox.pending
        self._inbox = Inbox(connection, self._outbox, self.events, self.roles)

    # -- state -------------------------------------------------------------------------

    def usable(self) -> bool:
        """Whether requests can be sent: it has not failed, and is of this process."""
        return not self.failures and self.pid == os.getpid()

    def check(self) -> None:
        """Raise why the conversation is not usable, if so.

        :raises ConnectionError: it failed, or belongs to a parent process.
        """
        self.lifetime.check()

    def tells_of_failure(self, exc: BaseException) -> bool:
        """Whether *exc* says why this conversation has ended, and is not a signal handler's."""
        return bool(self.failures) and exc.__cause__ is self.failures[0]

    def is_inside(self) -> bool:
        """Whether this thread is inside a call, which has been interrupted to call pyxs."""
        return get_ident() in self.roles

    def close(self) -> None:
        """End the conversation: every thread in it gets a ``ConnectionError``."""
        self.lifetime.end(self.lifetime.failure("closed"))

    def join(self) -> None:
        """Wait until no thread uses the connection of an ended conversation any more.

        :raises ConnectionError: a thread does not leave it in time.
        """
        self.lifetime.join(self._timeout)

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
                self._waiting.append(request)
                self._wait(request, None)
                self._leave(request)
        except BaseException:
            self._abandon(request, (request,))
            raise
        if request.answer is None and not inside:
            self.check()
        return not inside

    def submit(self, requests: "Sequence[Request]") -> None:
        """Send requests in order, as far as there is room for them now.

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
                self._waiting.extend(requests)
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
        some = self._some
        try:
            for start in range(0, len(requests) + some, some):
                self.submit(requests[start : start + some])
                self.wait_all(requests[max(0, start - some) : start])
        except BaseException:
            self._abandon(Ending(), requests)
            raise
        return True

    def ask(self, request: Request, decoder: "Callable[[bytes], T]") -> "T":
        """Send a request that only this connection can take, and return what its reply says.

        :raises PyXSError: the daemon's answer, or ``EDEADLK`` as :func:`nested_call` says.
        """
        if not self.call(request):
            raise nested_call()
        return self.decoded(request, decoder)

    def post(self, request: Request) -> None:
        """Send a request whose reply concerns nobody, if the conversation still goes on."""
        if len(request.payload) <= self._max_payload:
            self._waiting.append(request)
            self._push()

    def undo(self, request: Request) -> None:
        """Undo what a request has done, if it has been answered."""
        if self._outbox.undo(request):
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

    def decoded(self, request: Request, decoder: "Callable[[bytes], T]") -> "T":
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
        self.lifetime.end(failure)
        raise self.lifetime.failed()

    def _too_long(self, request: Request) -> InvalidPayload:
        return InvalidPayload(
            request.payload,
            "payload of {} bytes: this connection carries at most {}".format(
                len(request.payload), self._max_payload
            ),
        )

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
        while not self.events.take(hold) and on_time and not self.failures:
            on_time = wait(me)
        if not inside:
            self._leave(me)
        return inside

    def attach(self, readiness: Readiness) -> None:
        """Keep the state of the conversation shown on a descriptor for select loops."""
        if self.pid != os.getpid():
            self.check()
        self.events.attach(readiness, None if self.failures else self._connection.fileno())

    # -- waiting, sending and receiving, in turns ----------------------------------------

    def _wait(self, waiter: "_Waiter", deadline: "Optional[float]") -> bool:
        """Return when *waiter* is answered, at its deadline, or when the conversation ends.

        :returns: ``False`` at the deadline.
        """
        roles = self.roles
        while not (waiter.answer or self.failures):
            if self._waiting or self._batch:
                self._flush(waiter)
            if waiter.rq_id < 0 and SEND in roles:
                on_time = self._sleep(waiter, deadline)
            elif roles.setdefault(READ, waiter) is waiter:
                on_time = self._read(waiter, deadline)
                del roles[READ]
            else:
                on_time = self._sleep(waiter, deadline)
            if not on_time:
                return False
        return True

    def _read(self, waiter: "_Waiter", deadline: "Optional[float]") -> bool:
        """Hand out what comes until *waiter* is answered; it has the role READ.

        :returns: ``False`` when it is too late.
        """
        timed = deadline is not None or self._timeout is not None
        # Of a request that is not sent and has none before it nothing will come.
        while not (waiter.answer or self.failures) and (waiter.rq_id >= 0 or self._pending):
            due = self._due(waiter, deadline) if timed else None
            failure = self._inbox.receive(None if due is None else _remaining(due))
            if failure is not None:
                self.lifetime.fail(waiter, failure)
            if self._waiting:
                self._flush(waiter)
            # Messages may come without end, and none for this one.
            if timed and not waiter.answer and not self._on_time(waiter, deadline):
                return False
        return True

    def _poll(self, me: Arrival) -> bool:
        """Read what is here; return whether there is an event now."""
        roles = self.roles
        if roles.setdefault(READ, me) is me:
            timeout: Optional[float] = 0.0
            while not self.failures:
                failure = self._inbox.receive(timeout)
                if failure is not None:
                    self.lifetime.fail(me, failure)
                if me.answer or not self._connection.begun:
                    break
                timeout = None  # the rest of a message will come
            if self._waiting:
                self._flush(me)
            del roles[READ]
        return bool(me.answer)

    def _flush(self, me: "Any") -> None:
        """Send what is in the outbox, for all threads, as far as there is room.

        What others add while this thread has the role, and room that comes meanwhile, is
        seen after the role is given back: the others rely on that.
        """
        roles = self.roles
        while self._batch or (self._waiting and (not self._pending or self._outbox.has_room())):
            if self.failures or roles.setdefault(SEND, me) is not me:
                return
            # Again: the connection may have been closed meanwhile.
            failure = None if self.failures else self._outbox.send()
            if failure is not None:
                self.lifetime.fail(me, failure)
            del roles[SEND]

    def _sleep(self, waiter: "_Waiter", deadline: "Optional[float]") -> bool:
        """Sleep until the answer is here or this thread has to go on itself.

        :returns: ``False`` when it is too late.
        """
        roles = self.roles

        def another_goes_on() -> bool:
            if waiter.answer or self.failures:
                return False
            return READ in roles or (waiter.rq_id < 0 and SEND in roles)

        due = self._due(waiter, deadline)
        return roles.sleep(waiter, another_goes_on, _remaining(due)) or self._on_time(
            waiter, deadline
        )

    def _due(self, waiter: "_Waiter", deadline: "Optional[float]") -> "Optional[float]":
        """Return when it is too late for *waiter*.

        A request that waits for room is late when the one that was sent first is.
        """
        if self._timeout is None or isinstance(waiter, Arrival):
            return deadline
        if waiter.rq_id >= 0:
            return waiter.deadline
        for oldest in list(self._pending.values()):
            return oldest.deadline
        return time.monotonic() + self._timeout

    def _on_time(self, waiter: "_Waiter", deadline: "Optional[float]") -> bool:
        """Whether it is not too late; when it is, for a request, the conversation ends."""
        due = self._due(waiter, deadline)
        if due is None or time.monotonic() < due:
            return True
        if not isinstance(waiter, Arrival):
            late = "no reply within {} s".format(self._timeout)
            self.lifetime.fail(waiter, self.lifetime.failure(late))
        return False

    # -- leaving -----------------------------------------------------------------------

    def _leave(self, me: "Any") -> None:
        """Leave after a call that went as it should; another thread may have to go on."""
        roles = self.roles
        del roles[get_ident()]
        if roles.sleepers and READ not in roles:
            roles.wake_one()
        if self.failures:
            self.lifetime.retire(me)

    def _abandon(self, me: "Any", requests: "Sequence[Request]" = ()) -> None:
        """Leave by an exception; what is not sent yet never will be, a late reply is dropped."""
        for request in requests:
            request.abandoned = True
            if request.answer is None and request.rq_id >= 0 and not self._connection.trusts_ids:
                # Without ids its reply could be taken for the next one's.
                self._interrupted()
        try:
            self._give_back(me)
            self.roles.setdefault(get_ident(), me)
            for request in requests:
                self._outbox.undo(request)
            self._flush(me)
        finally:
            self._give_back(me)

    def _give_back(self, me: "Any") -> None:
        """Release what *me* has, and let other threads do what it has left undone."""
        roles = self.roles
        if me in (roles.get(READ), roles.get(SEND)) and not self._connection.interruptible:
            self._interrupted()
        if roles.get(READ) is me:
            self._inbox.sweep()
        self.lifetime.give_back(me)

    def _interrupted(self) -> None:
        self.lifetime.note(self.lifetime.failure("interrupted"))


def _remaining(deadline: "Optional[float]") -> float:
    return -1 if deadline is None else max(0.0, deadline - time.monotonic())
