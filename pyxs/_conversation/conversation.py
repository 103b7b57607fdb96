"""A conversation over one connection: the calls that send requests and wait for answers."""

import os
from threading import get_ident

from .._wire.packets import Op
from .._wire.replies import MalformedError
from ..connection import PacketConnection
from ..exceptions import InvalidPayload, UnexpectedPacket
from .events import Events
from .lifetime import Lifetime
from .outbox import Outbox
from .readiness import Readiness
from .request import Arrival, Ending, Request
from .roles import Roles, nested_call
from .turns import Turns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, List, Optional, Sequence, TypeVar

    from .events import Notice

    T = TypeVar("T")


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
        self._turns = Turns(connection, self.roles, self.events, self.lifetime, self._outbox)

    # -- state -------------------------------------------------------------------------

    def usable(self) -> bool:
        """Return whether requests can be sent: it has not failed, and is of this process."""
        return not self.failures and self.pid == os.getpid()

    def check(self) -> None:
        """Raise an exception if the conversation is not usable.

        :raises ConnectionError: it failed, or belongs to a parent process.
        """
        self.lifetime.check()

    def tells_of_failure(self, exc: BaseException) -> bool:
        """Return whether *exc* was raised because this conversation has ended."""
        return bool(self.failures) and exc.__cause__ is self.failures[0]

    def is_inside(self) -> bool:
        """Return whether this thread is in another call, which this one has interrupted."""
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
        """Send one request and wait for its answer.

        :returns: ``False`` if this thread is in another call, which this one has
            interrupted; nothing was sent.
        :raises InvalidPayload: the request is too long for the connection.
        :raises ConnectionError: the connection is lost.
        """
        if len(request.payload) > self._max_payload:
            raise self._too_long(request)
        try:
            inside = self.roles.setdefault(get_ident(), request) is not request
            if not inside:
                self._waiting.append(request)
                self._turns.wait(request)
                self._turns.leave(request)
        except BaseException:
            self._turns.abandon(request, (request,))
            raise
        if request.answer is None and not inside:
            self.check()
        return not inside

    def submit(self, requests: "Sequence[Request]") -> None:
        """Send requests in order, as far as there is room for them now.

        Waiting threads send the others when there is room.

        :raises InvalidPayload: a request is too long for the connection; nothing was sent.
        :raises ConnectionError: the connection is lost.
        """
        self._check_lengths(requests)
        self._submit(requests)

    def _submit(self, requests: "Sequence[Request]") -> None:
        self.check()
        me = Ending()
        try:
            inside = self.roles.setdefault(get_ident(), me) is not me
            if not inside:
                self._waiting.extend(requests)
                self._turns.flush(me)
                self._turns.leave(me)
        except BaseException:
            self._turns.abandon(me, requests)
            raise
        if inside:
            raise nested_call()

    def call_many(self, requests: "Sequence[Request]") -> None:
        """Send requests in order and wait for all answers.

        Some more are sent when half of the window is answered, so the daemon always has
        something to do, and other threads get their turn.

        :raises InvalidPayload: a request is too long for the connection; nothing was sent.
        :raises ConnectionError: the connection is lost.
        :raises PyXSError: ``EDEADLK`` as :func:`nested_call` says; nothing was sent.
        """
        self._check_lengths(requests)
        if self.is_inside():
            raise nested_call()
        some = self._some
        try:
            for start in range(0, len(requests) + some, some):
                self._submit(requests[start : start + some])
                self.wait_all(requests[max(0, start - some) : start])
        except BaseException:
            self._turns.abandon(Ending(), requests)
            raise

    def ask(self, request: Request, decoder: "Callable[[bytes], T]") -> "T":
        """Send a request that no other connection can carry, and return the decoded reply.

        :raises PyXSError: the daemon's answer, or ``EDEADLK`` as :func:`nested_call` says.
        """
        if not self.call(request):
            raise nested_call()
        return self.decoded(request, decoder)

    def post(self, request: Request) -> None:
        """Send a request without waiting for its reply, unless the conversation has ended."""
        if len(request.payload) <= self._max_payload:
            self._waiting.append(request)
            self._push()

    def undo(self, request: Request) -> None:
        """Send the request that undoes an answered one."""
        if self._outbox.undo(request):
            self._push()

    def _push(self) -> None:
        me = Ending()
        try:
            self.roles.setdefault(get_ident(), me)
            self._turns.flush(me)
        finally:
            self._turns.give_back(me)

    def wait_all(self, requests: "Sequence[Request]") -> None:
        """Wait for the answers to requests that were submitted.

        :raises ConnectionError: the connection is lost.
        """
        # The last one first: a daemon answers in order.
        for request in reversed(requests):
            if request.answer is None:
                self.wait(request)

    def wait(self, request: Request) -> None:
        """Wait for the answer to a request that was submitted.

        :raises ConnectionError: the connection is lost.
        :raises PyXSError: ``EDEADLK``: as :func:`nested_call` says.
        """
        if request.answer is not None:
            return
        try:
            inside = self.roles.setdefault(get_ident(), request) is not request
            if not inside:
                self._turns.wait(request)
                self._turns.leave(request)
        except BaseException:
            self._turns.abandon(request, (request,))
            raise
        if inside:
            raise nested_call()
        if request.answer is None:
            self.check()

    def decoded(self, request: Request, decoder: "Callable[[bytes], T]") -> "T":
        """Return the decoded reply; a malformed one ends the conversation.

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

    def _check_lengths(self, requests: "Sequence[Request]") -> None:
        for request in requests:
            if len(request.payload) > self._max_payload:
                raise self._too_long(request)

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

        :param make: called with the event; its result is returned.
        :raises ConnectionError: the connection is lost, and no event is left.
        """
        return self._next_event(make, Arrival(self.events.queue, deadline), self._turns.wait)

    def poll_event(self, make: "Callable[[Notice], T]") -> "Optional[T]":
        """Return an event that has arrived; wait only for the rest of a message.

        :raises ConnectionError: the connection is lost, and no event is left.
        """
        return self._next_event(make, Arrival(self.events.queue), self._turns.poll)

    def _next_event(
        self, make: "Callable[[Notice], T]", me: Arrival, wait: "Callable[[Arrival], bool]"
    ) -> "Optional[T]":
        if self.pid != os.getpid():
            self.check()
        hold: List[Notice] = []
        try:
            # No branches and no loops here: the tables of Python 3.14 leave some of their
            # instructions out of a try.
            inside = self._take_event(me, hold, wait)
            made = list(map(make, hold))
        except BaseException:
            self.events.put_back(hold)
            self._turns.abandon(me)
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
        """Move the next event to *hold*; return whether this call has interrupted another."""
        inside = self.roles.setdefault(get_ident(), me) is not me
        on_time = not inside
        while not (me.answer and self.events.take(hold)) and on_time and not self.failures:
            on_time = wait(me)
        if not inside:
            self._turns.leave(me)
        return inside

    def attach(self, readiness: Readiness) -> None:
        """Make a descriptor for select loops show the state of the conversation."""
        if self.pid != os.getpid():
            self.check()
        self.events.attach(readiness, None if self.failures else self._connection.fileno())
