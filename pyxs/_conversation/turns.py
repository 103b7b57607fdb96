"""How threads share one connection: they take turns in sending and receiving.

There is no thread in the background, and there are no locks. A thread that waits takes the
role READ, reads from the connection, and hands out what arrives, to itself and to the other
threads, which sleep. A thread with the role SEND empties the outbox, for all threads. A
thread that gives back a role goes on itself or wakes a sleeping thread, so that as long as
threads wait, one of them reads.

An exception may interrupt a thread at any instruction: a signal handler raises it. So every
step here is one of three kinds: one call in C that does all or nothing; one that may be
repeated; or one that a later step makes good. The outermost ``except BaseException`` of each
call gives back the caller's roles and wakes the other threads: :meth:`Turns.abandon`.
"""

import time
from threading import get_ident

from ..connection import PacketConnection
from .events import Events
from .inbox import Inbox
from .lifetime import Lifetime
from .outbox import Outbox
from .request import Arrival, Request
from .roles import READ, SEND, Roles

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Optional, Sequence, Union

    _Waiter = Union[Request, Arrival]


class Turns:
    """The threads in one conversation; each call is represented by an object of its own, *me*."""

    def __init__(
        self,
        connection: PacketConnection,
        roles: Roles,
        events: Events,
        lifetime: Lifetime,
        outbox: Outbox,
    ) -> None:
        self._connection = connection
        self._timeout = connection.socket_timeout
        self._roles = roles
        self._lifetime = lifetime
        self._failures = lifetime.failures
        self._outbox = outbox
        self._waiting = outbox.waiting
        self._batch = outbox.batch
        self._pending = outbox.pending
        self._inbox = Inbox(connection, outbox, events, roles)

    def wait(self, waiter: "_Waiter", deadline: "Optional[float]") -> bool:
        """Return when *waiter* is answered, at its deadline, or when the conversation ends.

        :returns: ``False`` at the deadline.
        """
        roles = self._roles
        while not (waiter.answer or self._failures):
            if self._waiting or self._batch:
                self.flush(waiter)
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
        while not (waiter.answer or self._failures) and (waiter.rq_id >= 0 or self._pending):
            due = self._due(waiter, deadline) if timed else None
            failure = self._inbox.receive(None if due is None else _remaining(due))
            if failure is not None:
                self._lifetime.fail(waiter, failure)
            if self._waiting:
                self.flush(waiter)
            # Messages may come without end, and none for this one.
            if timed and not waiter.answer and not self._on_time(waiter, deadline):
                return False
        return True

    def poll(self, me: Arrival) -> bool:
        """Read what is here; return whether there is an event now."""
        roles = self._roles
        if roles.setdefault(READ, me) is me:
            timeout: Optional[float] = 0.0
            while not self._failures:
                failure = self._inbox.receive(timeout)
                if failure is not None:
                    self._lifetime.fail(me, failure)
                if me.answer or not self._connection.begun:
                    break
                timeout = None  # the rest of a message will come
            if self._waiting:
                self.flush(me)
            del roles[READ]
        return bool(me.answer)

    def flush(self, me: "Any") -> None:
        """Send what is in the outbox, for all threads, as far as there is room.

        What others add while this thread has the role, and room that comes meanwhile, is
        seen after the role is given back: the others rely on that.
        """
        roles = self._roles
        while self._batch or (self._waiting and (not self._pending or self._outbox.has_room())):
            if self._failures or roles.setdefault(SEND, me) is not me:
                return
            # Again: the connection may have been closed meanwhile.
            failure = None if self._failures else self._outbox.send()
            if failure is not None:
                self._lifetime.fail(me, failure)
            del roles[SEND]

    def _sleep(self, waiter: "_Waiter", deadline: "Optional[float]") -> bool:
        """Sleep until the answer is here or this thread has to go on itself.

        :returns: ``False`` when it is too late.
        """
        roles = self._roles

        def another_goes_on() -> bool:
            if waiter.answer or self._failures:
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
            self._lifetime.fail(waiter, self._lifetime.failure(late))
        return False

    # -- leaving -----------------------------------------------------------------------

    def leave(self, me: "Any") -> None:
        """Leave after a call that went as it should; another thread may have to go on."""
        roles = self._roles
        del roles[get_ident()]
        if roles.sleepers and READ not in roles:
            roles.wake_one()
        if self._failures:
            self._lifetime.retire(me)

    def abandon(self, me: "Any", requests: "Sequence[Request]" = ()) -> None:
        """Leave by an exception; what is not sent yet never will be, a late reply is dropped."""
        for request in requests:
            request.abandoned = True
            if request.answer is None and request.rq_id >= 0 and not self._connection.trusts_ids:
                # Without ids its reply could be taken for the next one's.
                self._interrupted()
        try:
            self.give_back(me)
            self._roles.setdefault(get_ident(), me)
            for request in requests:
                self._outbox.undo(request)
            self.flush(me)
        finally:
            self.give_back(me)

    def give_back(self, me: "Any") -> None:
        """Release what *me* has, and let other threads do what it has left undone."""
        roles = self._roles
        if me in (roles.get(READ), roles.get(SEND)) and not self._connection.interruptible:
            self._interrupted()
        if roles.get(READ) is me:
            self._inbox.sweep()
        self._lifetime.give_back(me)

    def _interrupted(self) -> None:
        self._lifetime.note(self._lifetime.failure("interrupted"))


def _remaining(deadline: "Optional[float]") -> float:
    return -1 if deadline is None else max(0.0, deadline - time.monotonic())
