"""Roles, which threads take instead of locks.

A thread takes a role by ``roles.setdefault(role, me) is me``: one step in C that takes the
role and records its owner. So a call that an exception leaves, at any instruction, finds the
roles that it owns, and :meth:`Roles.release` gives them back; calling it twice does no harm.
A lock has no owner, and Python may run a signal handler between taking a lock and entering
the ``with`` block.

*me* is an object that each call makes for itself. A thread's identifier is a role too: its
owner is the call that the thread is in. So a call that a signal handler or a finalizer makes
finds that its thread is in another call.
"""

import errno
import os
import threading

from ..exceptions import PyXSError
from ..helpers import raised_here

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict

    _Owners = Dict[Any, Any]
else:  # before 3.9 dict takes no parameters
    _Owners = dict

#: Reading from the connection; sending; waking a thread that waits in the connection.
READ, SEND, WAKE = "read", "send", "wake"


class Roles(_Owners):
    """The owner of each role that is taken, and the sleeping threads."""

    __slots__ = ("sleepers",)

    def __init__(self) -> None:
        super().__init__()
        self.sleepers: Dict[Any, threading.Lock] = {}

    def release(self, me: "Any") -> None:
        """Give back all roles of *me*."""
        for role, owner in list(self.items()):
            if owner is me:
                self.pop(role, None)

    def give_back(self, me: "Any") -> None:
        """Release the roles of *me*, and wake all sleeping threads, which look for work."""
        self.release(me)
        self.wake_all()

    def sleep(self, me: "Any", may_sleep: "Callable[[], object]", timeout: float) -> bool:
        """Sleep until another thread wakes this one.

        :param may_sleep: called after this thread is among :attr:`sleepers`. It returns
            false if the thread need not sleep any more: no other thread would wake it.
        :param timeout: seconds; -1: no limit.
        :returns: ``False`` when the time has passed.
        """
        lock = threading.Lock()
        lock.acquire()
        try:
            self.sleepers[me] = lock
            woken = not may_sleep() or lock.acquire(timeout=timeout)
            self.sleepers.pop(me, None)
        except BaseException:
            self.sleepers.pop(me, None)
            raise
        return woken

    def wake(self, sleeper: "Any") -> None:
        """Wake one thread, if it sleeps."""
        lock = self.sleepers.get(sleeper)
        if lock is not None:
            _release(lock)

    def wake_one(self) -> None:
        """Wake one of the threads that sleep."""
        for lock in list(self.sleepers.values()):
            if lock.locked():  # else another thread has woken it, but it has not run yet
                _release(lock)
                return

    def wake_all(self) -> None:
        """Wake all threads that sleep."""
        for lock in list(self.sleepers.values()):
            _release(lock)


class NestedCallError(PyXSError):
    """``EDEADLK``: a call that can use no other connection was made inside a call on it."""


def nested_call() -> NestedCallError:
    """Return why a call that must use this connection cannot: its thread is using it."""
    return NestedCallError(
        errno.EDEADLK,
        "{}: a signal handler or a finalizer has interrupted a call on the same connection, "
        "and what it asks for can be done on no other".format(os.strerror(errno.EDEADLK)),
    )


def _release(lock: threading.Lock) -> None:
    try:
        lock.release()
    except RuntimeError as exc:  # another thread has released it
        if not raised_here(exc):
            raise
