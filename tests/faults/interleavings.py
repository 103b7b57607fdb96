"""Runs threads one at a time, in every order with up to a given number of preemptions.

Instead of a preemption, an exception may be raised in the running thread, as by a signal handler.

A *step* is an instruction of pyxs that may read or change what threads share: a call, an
assignment to an attribute, a change of a container (on 3.6 and 3.12, each line is a step). A
schedule says at which steps the scheduler stops the running thread and runs another. At all
other steps a thread runs until it blocks. When all threads are blocked, the scheduler lets time
pass. If no blocked thread has a deadline then, the threads are deadlocked and the scheduler
reports the schedule.
"""

import dis
import os
import sys
import threading
import traceback

import pyxs
from common import HandlerError

from .interruptions import is_client_code

_SHARING = tuple(
    os.path.join(os.path.dirname(pyxs.__file__), "_channels", name)
    for name in ("turns.py", "shared.py")
)
RAISE = -1  # in a schedule: no thread to run, but an exception

_SHARED = frozenset(
    number
    for name, number in dis.opmap.items()
    if name.startswith(("CALL", "STORE_ATTR", "STORE_SUBSCR", "DELETE_", "CONTAINS_OP", "FOR_ITER"))
)
#: CPython 3.6 cannot trace instructions, and 3.12 crashes when it does so in several threads.
_BY_LINE = sys.version_info < (3, 7) or sys.version_info[:2] == (3, 12)
_STUCK = 60  # seconds of real time without a step; then the test itself is at fault


class Stopped(BaseException):
    """Ends a thread after its run has ended."""


class DeadlockError(AssertionError):
    """Every thread is blocked, and nothing can unblock one."""


class _Thread:
    """A thread that the scheduler runs."""

    def __init__(self, scheduler, function):
        self._scheduler = scheduler
        self._function = function
        self.failure = None
        self.done = False
        self.ready = None  # when blocked: returns whether it can go on
        self.expires = None  # when blocked: the time of its time-out
        self.expired = False
        self.turn = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        self.turn.acquire()
        sys.settrace(self._scheduler.trace)
        try:
            if not self._scheduler.stopped:
                self._function()
        except Stopped:
            pass
        except BaseException as exc:
            self.failure = exc
        finally:
            sys.settrace(None)
            self.done = True
            self._scheduler.finished()

    def join(self):
        self._thread.join(_STUCK)
        assert not self._thread.is_alive()


class Scheduler:
    """Runs threads once, by a schedule.

    :param schedule: pairs of a step and a thread, in ascending order: at that step, counted
        over all threads, the scheduler switches to the thread of that number, or raises.
    :param raises: whether an exception may be raised.
    """

    def __init__(self, schedule=(), raises=False):
        self._schedule = list(schedule)
        self._raises = raises
        self.step = 0
        self.choices = []  # for each step: the other threads that could have run
        self.now = 0.0
        self.stopped = False
        self._threads = []
        self._current = None
        self._over = threading.Semaphore(0)
        self._deadlock = None

    def run(self, functions):
        """Run functions, each in a thread; raise the first failure."""
        self._threads = [_Thread(self, function) for function in functions]
        self._go_to(self._threads[0])
        assert self._over.acquire(timeout=_STUCK), "a thread blocks outside of the scheduler"
        self._stop()
        for thread in self._threads:
            if thread.failure is not None:
                raise thread.failure
        if self._deadlock is not None:
            raise DeadlockError(self._deadlock)

    def _stop(self):
        self.stopped = True
        for thread in self._threads:
            thread.turn.release()
        for thread in self._threads:
            thread.join()

    def trace(self, frame, event, arg):
        """The trace function of each thread."""
        if not is_client_code(frame.f_code):
            return None
        if not frame.f_code.co_filename.endswith(_SHARING):
            return None
        if not _BY_LINE:
            frame.f_trace = self._trace_frame
            frame.f_trace_lines = False
            frame.f_trace_opcodes = True
        return self._trace_frame

    def _trace_frame(self, frame, event, arg):
        if (event == "line" and _BY_LINE) or (
            event == "opcode" and frame.f_code.co_code[frame.f_lasti] in _SHARED
        ):
            self.at_step()
        return self._trace_frame

    def at_step(self):
        """Switch to another thread if the schedule says so."""
        me = self._current
        if self.stopped:
            return
        self.step += 1
        others = [
            number
            for number, thread in enumerate(self._threads)
            if thread is not me and self._can_run(thread)
        ]
        self.choices.append(others + [RAISE] * self._raises)
        if self._schedule and self._schedule[0][0] == self.step:
            number = self._schedule.pop(0)[1]
            if number == RAISE:
                raise HandlerError
            if number in others:
                self._switch(me, self._threads[number])

    def _can_run(self, thread):
        return not thread.done and (thread.ready is None or thread.ready())

    def _switch(self, me, other):
        self._go_to(other)
        me.turn.acquire()

    def _go_to(self, thread):
        self._current = thread
        thread.turn.release()

    def block(self, ready, timeout=None):
        """Block the running thread until *ready* is true; return ``False`` on a time-out."""
        me = self._current
        if self.stopped:
            raise Stopped
        if ready():
            return True
        me.ready, me.expired = ready, False
        me.expires = None if timeout is None else self.now + timeout
        if self._choose_next():
            me.turn.acquire()
        me.ready = me.expires = None
        if self.stopped:
            raise Stopped
        return not me.expired

    def finished(self):
        """Switch to another thread when the running one has ended."""
        if not self.stopped:
            self._choose_next()

    def _choose_next(self):
        """Switch to a thread that can run; return ``False`` if it is the running one."""
        me = self._current
        while True:
            for thread in self._threads:
                if self._can_run(thread):
                    if thread is me:
                        return False
                    self._go_to(thread)
                    return True
            if all(thread.done for thread in self._threads):
                self._over.release()
                return True
            late = [t for t in self._threads if not t.done and t.expires is not None]
            if not late:
                self._deadlock = self._stacks()
                self._over.release()
                return True
            first = min(late, key=lambda thread: thread.expires)
            self.now = first.expires
            first.expired, first.ready = True, lambda: True

    def _stacks(self):
        frames = sys._current_frames()
        return "\n".join(
            "thread {}:\n{}".format(
                number, "".join(traceback.format_stack(frames[thread._thread.ident])[-9:-2])
            )
            for number, thread in enumerate(self._threads)
            if not thread.done and thread._thread.ident in frames
        )

    # -- replaces the modules threading and time ---------------------------------------------

    def Lock(self):  # noqa: N802
        return _Lock(self)

    def monotonic(self):
        return self.now


class _Lock:
    """A lock that blocks in the scheduler; its other methods are those of a real lock."""

    def __init__(self, scheduler):
        self._scheduler = scheduler
        self._lock = threading.Lock()
        self.release = self._lock.release
        self.locked = self._lock.locked

    def acquire(self, blocking=True, timeout=-1):
        if self._lock.acquire(False):
            return True
        seconds = None if timeout < 0 else timeout
        return (
            blocking
            and self._scheduler.block(lambda: not self._lock.locked(), seconds)
            and self._lock.acquire(False)
        )


def explore(prepare, strides):
    """Run threads by schedules with at most as many preemptions as there are strides.

    :param prepare: returns a fresh scheduler for a schedule, the functions of the threads, and
        a function that checks what they have done.
    :param strides: for each preemption, the distance of the steps at which to try it.
    :returns: how many schedules were run.
    """
    count = 0
    waiting = [()]
    while waiting:
        schedule = waiting.pop()
        count += 1
        scheduler, functions, check = prepare(schedule)
        try:
            scheduler.run(functions)
            check()
        except BaseException as exc:
            raise AssertionError("schedule {}: {!r}\n{}".format(schedule, exc, exc)) from exc
        if len(schedule) == len(strides):
            continue
        first = schedule[-1][0] if schedule else 0
        stride = strides[len(schedule)]
        for number in range(first + 1 + count % stride, scheduler.step + 1, stride):
            for other in scheduler.choices[number - 1]:
                waiting.append(schedule + ((number, other),))
    return count
