"""Turns: threads use something one after the other, in the order in which they came.

No lock is held. A call enters the queue by one step in C, and has the turn while it is the
first there. The queue has only a weak reference to it: a call that an exception has ended, at
any instruction, has no turn any more, even if its clean-up was interrupted too.
"""

import errno
import os
import sys
import threading
import time
import weakref
from itertools import count
from threading import get_ident

from ..exceptions import PyXSError
from .deadlines import has_passed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any, Dict, List, Optional

    from .readiness import Wakeup

_LOOK_AGAIN = 1.0  # seconds; in case that an interrupted call has woken nobody


class NestedCallError(PyXSError):
    """``EDEADLK``: a call inside another of its thread, which uses the same thing.

    :param turns: of that thing.
    """

    def __init__(self, turns: "Turns") -> None:
        super().__init__(
            errno.EDEADLK,
            "{}: a signal handler or a finalizer has interrupted a call on the same connection, "
            "and what it asks for can be done on no other".format(os.strerror(errno.EDEADLK)),
        )
        self.turns = turns


class Turn:
    """A call in the queue.

    The call has the only lasting reference to it, in a local variable named ``turn``, and has it
    before it enters the queue: a signal handler may look for it after any instruction.
    """

    __slots__ = ("__weakref__", "number", "pid", "thread", "wakeup", "yields")

    number: int  #: its place
    pid: int
    thread: int
    wakeup: "Optional[Wakeup]"  #: ends its wait for an event
    yields: bool  #: it waits for an event, and lets the calls go first that do not


class Turns:
    """The queue of the calls that want a turn."""

    __slots__ = ("_locks", "_numbers", "_queue")

    def __init__(self) -> None:
        self._numbers = count()
        self._queue: Dict[int, weakref.ref[Turn]] = {}
        self._locks: Dict[int, Any] = {}  # of the calls that sleep

    def enter(self, turn: Turn, yields: bool = False, deadline: "Optional[float]" = None) -> bool:
        """Wait for the turn of a call; return ``False`` when the deadline passes.

        :raises NestedCallError: this thread has the turn already.
        """
        turn.number, turn.pid, turn.thread = next(self._numbers), os.getpid(), get_ident()
        turn.yields, turn.wakeup = yields, None
        queue = self._queue
        has_turn = False
        try:
            queue[turn.number] = weakref.ref(turn)
            has_turn = len(queue) == 1 or self._wait(turn, deadline)
        finally:
            if not has_turn:
                self.leave(turn)
        return has_turn

    def leave(self, turn: Turn) -> None:
        """End a turn; the next call has it then."""
        queue = self._queue
        queue.pop(turn.number, None)
        if self._locks:
            self._locks.pop(turn.number, None)
        if queue:
            self._wake_first()

    def is_wanted(self) -> bool:
        """Return whether a call waits that does not yield."""
        if len(self._queue) == 1:
            return False
        # Not a generator: Python drops an exception that is raised while it closes one.
        return False in [each.yields for each in self._waiting()]

    def step_back(self, turn: Turn, deadline: "Optional[float]") -> bool:
        """Go to the end of the queue and wait; return ``False`` when the deadline passes."""
        self.leave(turn)
        turn.number = next(self._numbers)
        self._queue[turn.number] = weakref.ref(turn)
        return self._wait(turn, deadline)

    # -- waiting -----------------------------------------------------------------------

    def _wait(self, turn: Turn, deadline: "Optional[float]") -> bool:
        while True:
            waiting = self._waiting()
            first = waiting[0]
            if first is turn:
                return True
            for each in waiting:
                if each is not turn and each.thread == turn.thread:
                    self._end_unless_nested(each)
            patience = _LOOK_AGAIN
            if deadline is not None:
                patience = max(0.0, min(patience, deadline - time.monotonic()))
            if self._sleep(turn, patience):
                continue
            if has_passed(deadline):
                return False
            if self._has_ended(first):
                self._queue.pop(first.number, None)

    def _sleep(self, turn: Turn, seconds: float) -> bool:
        """Sleep until another thread wakes this one; return ``False`` when the time has passed."""
        lock = threading.Lock()  # a new one, because a late waker may still release the last
        lock.acquire()
        self._locks[turn.number] = lock
        first = self._waiting()[0]  # again: who leaves from now on finds the lock
        if first is turn:
            return True
        wakeup = first.wakeup
        if wakeup is not None and not turn.yields:
            wakeup.set()
        return bool(lock.acquire(timeout=seconds))

    def _wake_first(self) -> None:
        for first in self._waiting()[:1]:
            lock = self._locks.pop(first.number, None)
            if lock is not None:  # nobody else can have it, and so release it
                lock.release()

    def _waiting(self) -> "List[Turn]":
        """Return the calls in the queue; remove those that are gone or a parent process's."""
        turns = []
        for number, reference in list(self._queue.items()):
            turn = reference()
            if turn is None or turn.pid != os.getpid():
                self._queue.pop(number, None)
                self._locks.pop(number, None)
            else:
                turns.append(turn)
        return turns

    # -- calls that have ended by an exception whose traceback still refers to them ---------

    def refuse_nested(self) -> None:
        """Raise an exception if this thread has the turn.

        :raises NestedCallError: it has.
        """
        for first in self._waiting()[:1]:
            if first.thread == get_ident():
                self._end_unless_nested(first)

    def _end_unless_nested(self, first: Turn) -> None:
        """Remove *first*, a call of this thread that has ended.

        :raises NestedCallError: it has not ended.
        """
        if self._is_on_stack(first, sys._getframe()) or "greenlet" in sys.modules:
            raise NestedCallError(self)
        self._queue.pop(first.number, None)

    def _has_ended(self, owner: Turn) -> bool:
        """Return whether a call of another thread has ended."""
        if "greenlet" in sys.modules:
            return False  # a suspended greenlet is on no thread's stack
        return not self._is_on_stack(owner, sys._current_frames().get(owner.thread))

    def _is_on_stack(self, owner: Turn, frame: "Optional[FrameType]") -> bool:
        while frame is not None:
            if (frame.f_globals.get("__package__") or "").startswith("pyxs"):  # noqa: SIM102
                if frame.f_locals.get("turn") is owner:
                    return True
            frame = frame.f_back
        return False
