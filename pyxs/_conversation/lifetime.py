"""The end of a conversation: its first failure, and closing the connection."""

import os
import time
from threading import get_ident

from ..connection import PacketConnection
from ..exceptions import ConnectionError
from .events import Events
from .request import Ending
from .roles import READ, SEND, WAKE, Roles

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List, Optional

_IN_CONNECTION = (READ, SEND, WAKE)  # a thread with one of these may use the connection


class Lifetime:
    """Ends a conversation, and closes the connection once no thread uses it."""

    def __init__(self, connection: PacketConnection, roles: Roles, events: Events) -> None:
        self._connection = connection
        self._roles = roles
        self._events = events
        self.pid = os.getpid()
        #: The failure that ended the conversation; empty before.
        self.failures: List[ConnectionError] = []
        self._closed = False  # the connection is disconnected

    def check(self) -> None:
        """Raise an exception if the conversation is not usable.

        :raises ConnectionError: it failed, or belongs to a parent process.
        """
        if self.pid != os.getpid():
            raise self.failure("the connection belongs to the parent process")
        if self.failures:
            raise self.failed()

    def failed(self) -> ConnectionError:
        """Return a new exception whose cause is the first failure; each thread raises its own."""
        first = self.failures[0]
        exc = type(first)(*first.args)
        exc.__cause__ = first
        return exc

    def failure(self, reason: str) -> ConnectionError:
        """Return an exception for a failure of this connection."""
        return ConnectionError("{}: {}".format(self._connection.path, reason))

    def note(self, failure: ConnectionError) -> None:
        """Keep a failure if it is the first; :meth:`give_back` completes the end."""
        if not self.failures:
            self.failures.append(failure)

    def fail(self, me: "Any", failure: ConnectionError) -> None:
        """Keep a failure and wake all threads, those too that are blocked in the connection."""
        roles = self._roles
        self.note(failure)
        self._events.lose()
        if roles.setdefault(WAKE, me) is me:
            if not self._closed:
                self._connection.wake()
            del roles[WAKE]
        roles.wake_all()

    def retire(self, me: "Any") -> None:
        """Disconnect, unless a thread uses the connection: it calls this on leaving."""
        roles = self._roles
        while not self._closed:
            mine = [role for role in _IN_CONNECTION if roles.setdefault(role, me) is me]
            if len(mine) == len(_IN_CONNECTION) and not self._closed:
                self._connection.disconnect()
                self._closed = True
            for role in _IN_CONNECTION:
                if roles.get(role) is me:
                    del roles[role]
            if not roles.keys().isdisjoint(_IN_CONNECTION):
                return
        roles.wake_all()

    def give_back(self, me: "Any") -> None:
        """Release the roles of *me*, complete the end if it failed, and wake all threads."""
        self._roles.release(me)
        self._events.refresh()
        if self.failures:
            self.fail(me, self.failures[0])
            self.retire(me)
        self._roles.wake_all()

    def end(self, failure: ConnectionError) -> None:
        """End the conversation, from outside any call."""
        me = Ending()
        try:
            self._end(me, failure)
        except BaseException:
            self.give_back(me)
            raise

    def _end(self, me: Ending, failure: ConnectionError) -> None:
        self._roles.setdefault(get_ident(), me)
        self.fail(me, failure)
        self.retire(me)
        self._roles.release(me)

    def join(self, timeout: "Optional[float]") -> None:
        """Wait until no thread uses the connection of an ended conversation any more.

        :param timeout: seconds; ``None``: no limit.
        :raises ConnectionError: a thread still uses the connection then.
        """
        me = Ending()
        try:
            self._join(me, timeout)
        except BaseException:
            self.give_back(me)
            raise

    def _join(self, me: Ending, timeout: "Optional[float]") -> None:
        self._roles.setdefault(get_ident(), me)
        self.retire(me)
        due = None if timeout is None else time.monotonic() + timeout
        while not self._closed:
            left = -1 if due is None else max(0.0, due - time.monotonic())
            if not self._roles.sleep(me, lambda: not self._closed, left):
                self.check()
        self._roles.release(me)
