"""How threads share one connection: they take turns in sending and receiving.

There is no thread in the background, and there are no locks. A thread that waits takes the
role READ, reads from the connection, and hands out what arrives, to itself and to the other
threads, which sleep. A thread with the role SEND sends what is in the outbox, for all
threads. A thread that gives back a role goes on itself or wakes a sleeping thread, so that
one thread reads as long as any thread waits.

A signal handler may raise an exception at any instruction. So each step here is one call in
C that does all or nothing, or can be repeated, or is completed by a later step. The outermost
``except BaseException`` of each call gives back its roles and wakes the other threads; see
:meth:`Turns.abandon`.
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
    """Lets the threads in one conversation take turns; *me* stands for the calling one."""

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

    def wait(self, waiter: "_Waiter") -> bool:
        """Wait until *waiter* is answered, its deadline passes, or the conversation ends.

        :returns: ``False`` if the deadline has passed.
        """
        roles = self._roles
        while not (waiter.answer or self._failures):
            if self._waiting or self._batch:
                self.flush(waiter)
            if waiter.rq_id < 0 and SEND in roles:
                on_time = self._sleep(waiter)
            elif roles.setdefault(READ, waiter) is waiter:
                on_time = self._read(waiter)
                del roles[READ]
            else:
                on_time = self._sleep(waiter)
            if not on_time:
                return False
        return True

    def _read(self, waiter: "_Waiter") -> bool:
        """Hand out what arrives until *waiter*, which has the role READ, is answered.

        :returns: ``False`` if the deadline has passed.
        """
        timed = waiter.deadline is not None or self._timeout is not None
        # If the request is not sent yet, and none is unanswered, nothing will arrive.
        while not (waiter.answer or self._failures) and (waiter.rq_id >= 0 or self._pending):
            due = self._due(waiter) if timed else None
            failure = self._inbox.receive(None if due is None else _remaining(due))
            if failure is not None:
                self._lifetime.fail(waiter, failure)
            if self._waiting:
                self.flush(waiter)
            # Messages may arrive all the time, and none of them answers this waiter.
            if timed and not waiter.answer and not self._on_time(waiter):
                return False
        return True

    def poll(self, me: Arrival) -> bool:
        """Hand out what has arrived; return whether there is an event now."""
        roles = self._roles
        if roles.setdefault(READ, me) is me:
            timeout: Optional[float] = 0.0
            while not self._failures:
                failure = self._inbox.receive(timeout)
                if failure is not None:
                    self._lifetime.fail(me, failure)
                if me.answer or not self._connection.begun:
                    break
                timeout = None  # the rest of a message is to arrive
            if self._waiting:
                self.flush(me)
            del roles[READ]
        return bool(me.answer)

    def flush(self, me: "Any") -> None:
        """Send what is in the outbox, for all threads, as far as there is room.

        Other threads may add requests while this one has the role SEND, and replies may make
        room. This thread looks once more after it has given the role back: the others rely
        on that.
        """
        roles = self._roles
        while self._batch or (self._waiting and (not self._pending or self._outbox.has_room())):
            if self._failures or roles.setdefault(SEND, me) is not me:
                return
            # Checked again, now with the role: another thread may have closed the connection.
            failure = None if self._failures else self._outbox.send()
            if failure is not None:
                self._lifetime.fail(me, failure)
            del roles[SEND]

    def _sleep(self, waiter: "_Waiter") -> bool:
        """Sleep until *waiter* is answered, or its thread has to read or send itself.

        :returns: ``False`` if the deadline has passed.
        """
        roles = self._roles

        def another_thread_works() -> bool:
            if waiter.answer or self._failures:
                return False
            return READ in roles or (waiter.rq_id < 0 and SEND in roles)

        remaining = _remaining(self._due(waiter))
        return roles.sleep(waiter, another_thread_works, remaining) or self._on_time(waiter)

    def _due(self, waiter: "_Waiter") -> "Optional[float]":
        """Return the deadline of *waiter*.

        That of a request that waits for room is the one of the oldest unanswered request.
        """
        if waiter.rq_id >= 0 or self._timeout is None:
            return waiter.deadline
        for oldest in list(self._pending.values()):
            return oldest.deadline
        return time.monotonic() + self._timeout

    def _on_time(self, waiter: "_Waiter") -> bool:
        """Return whether the deadline has not passed; a late request ends the conversation."""
        due = self._due(waiter)
        if due is None or time.monotonic() < due:
            return True
        if not isinstance(waiter, Arrival):
            late = "no reply within {} s".format(self._timeout)
            self._lifetime.fail(waiter, self._lifetime.failure(late))
        return False

    # -- leaving -----------------------------------------------------------------------

    def leave(self, me: "Any") -> None:
        """End a call that succeeded; wake a thread if none reads."""
        roles = self._roles
        del roles[get_ident()]
        if roles.sleepers and READ not in roles:
            roles.wake_one()
        if self._failures:
            self._lifetime.retire(me)

    def abandon(self, me: "Any", requests: "Sequence[Request]" = ()) -> None:
        """End a call by an exception.

        Its requests that are not sent yet are dropped, and so are late replies to the others.
        """
        for request in requests:
            request.abandoned = True
            if request.answer is None and request.rq_id >= 0 and not self._connection.trusts_ids:
                # Without ids, its reply could be taken for that of the next request.
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
        """Release the roles of *me*, and let other threads do what it has not finished."""
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
