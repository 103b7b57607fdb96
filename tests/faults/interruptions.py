"""Runs an operation repeatedly, and raises an exception at a different point each time.

A trace or profile function raises the exception, as a signal handler would. A *point* is an
instruction of pyxs about to be executed (a line on 3.6, which traces no instructions), or the
return of a C function that pyxs called. The number of points is not known in advance: the runs
end with the first that finishes before it reaches its point.

The operation runs in a thread of its own, so that the main thread can report and abandon a run
that hangs.
"""

import contextlib
import dis
import errno
import gc
import os
import sys
import threading
import time
import traceback

import pyxs
from common import HandlerError, descriptors

HANG = 10  # seconds without a step
HANGS_MAX = 2  # after so many, the other points of an operation are left out
SHOWN_MAX = 12  # failures, in a message

_CLIENT = os.path.dirname(pyxs.__file__) + os.sep
_DAEMON = _CLIENT + "xenstored" + os.sep

#: How points are counted.
MODES = ("lines" if sys.version_info < (3, 7) else "opcodes", "c_returns")


# What a handler may raise that uses pyxs itself.


def lost():
    return pyxs.ConnectionError("from a handler")


def missing():
    return pyxs.helpers.error("ENOENT", "/from/a/handler")


def missing_for_xs():
    return pyxs.Error(errno.ENOENT, os.strerror(errno.ENOENT))


#: The exceptions to raise; each entry is called to make a new one.
KINDS = (
    KeyboardInterrupt,
    TimeoutError,
    HandlerError,
    ValueError,
    lost,
    missing,
    missing_for_xs,
)


def is_client_code(code):
    """Return whether the code belongs to pyxs, but not to its daemon."""
    name = code.co_filename
    return name.startswith(_CLIENT) and not name.startswith(_DAEMON)


class Points:
    """Counts the points that this thread passes in a function, and raises an exception at one."""

    def __init__(self, mode):
        self._mode = mode
        self._ours = {}
        self.passed = 0
        self.where = None  # the point where the exception was raised
        self.finalizing = False  # whether a finalizer was running: it drops exceptions

    def run(self, function, target=0, exception=None):
        """Call *function*; raise *exception* at point *target*, counted from 1."""
        self.passed, self._target, self._exception = 0, target, exception
        self.where, self.finalizing = None, False
        arm, hook = (
            (sys.setprofile, self._profile)
            if self._mode == "c_returns"
            else (sys.settrace, self._trace)
        )
        arm(hook)
        try:
            return function()
        finally:
            arm(None)
            # The traceback of the exception refers to this frame.
            exception = self._exception = None

    def _is_ours(self, code):
        ours = self._ours.get(code)
        if ours is None:
            ours = self._ours[code] = is_client_code(code)
        return ours

    def _profile(self, frame, event, arg):
        if event == "c_return" and self._is_ours(frame.f_code):
            self._pass(frame)

    def _trace(self, frame, event, arg):
        if not self._is_ours(frame.f_code):
            return None
        if self._mode == "opcodes":
            frame.f_trace = self._step  # 3.12 and later read it when f_trace_opcodes is set
            frame.f_trace_lines = False
            frame.f_trace_opcodes = True
        return self._step

    def _step(self, frame, event, arg):
        if event == "opcode" or (event == "line" and self._mode == "lines"):
            self._pass(frame)
        return self._step

    def _pass(self, frame):
        self.passed += 1
        if self.passed == self._target:
            self.where = _place(frame)
            self.finalizing = _is_finalizing(frame)
            raise self._exception


def _place(frame):
    """Describe where a frame is, and the frames of pyxs that called it."""
    offset = frame.f_lasti
    names = []
    here = frame
    while here is not None:
        code = here.f_code
        if code.co_filename.startswith(_CLIENT):
            names.append(
                "{}:{} {}".format(code.co_filename[len(_CLIENT) :], here.f_lineno, code.co_name)
            )
        here = here.f_back
    code = frame.f_code.co_code
    name = dis.opname[code[offset]] if 0 <= offset < len(code) else "start"
    return "{} at {} {}".format(" < ".join(names), offset, name)


def _is_finalizing(frame):
    while frame is not None:
        if frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False


class Explorer:
    """Interrupts one operation at its points.

    :param make: returns the operation, an object with ``before()``, which prepares a run,
        ``run()``, ``after()``, which raises unless the object still works after an
        interruption, and ``close()``.
    :param mode: one of :data:`MODES`.
    :param kinds: returns the :data:`KINDS` to raise at a point.
    :param points: an iterable of point numbers, in ascending order.
    """

    def __init__(self, make, mode, kinds, points):
        self._make = make
        self._points = Points(mode)
        self._kinds = kinds
        self._numbers = iter(points)
        self.passed = 0  #: points of the uninterrupted run
        self.interruptions = 0  #: runs that were interrupted
        self.failures = []
        self._hangs = 0
        self._now = ("at the start", time.monotonic())
        self._abandoned = set()

    def explore(self):
        """Interrupt the operation at all points; return the failures as texts."""
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-4)  # other threads run during the operation
        gc.disable()  # objects must be freed by their reference counts alone
        try:
            return self._explore()
        finally:
            gc.enable()
            _collect()
            sys.setswitchinterval(interval)

    def _explore(self):
        while True:
            worker = threading.Thread(target=self._work, daemon=True)
            worker.start()
            while worker.is_alive():
                worker.join(0.5)
                what, since = self._now
                if worker.is_alive() and time.monotonic() - since > HANG:
                    self._abandoned.add(worker.ident)
                    self._hangs += 1
                    self.failures.append("{}: hangs\n{}".format(what, _stacks(worker.ident)))
                    break
            else:
                return self.failures
            if self._hangs >= HANGS_MAX:
                self.failures.append("given up after {} hangs".format(self._hangs))
                return self.failures

    def report(self):
        """Return the failures as one text."""
        shown = self.failures[:SHOWN_MAX]
        if self._hangs and not any("hangs\n" in failure for failure in shown):
            shown += [failure for failure in self.failures if "hangs\n" in failure][:1]
        return "{} failures after {} interruptions at {} points\n{}".format(
            len(self.failures), self.interruptions, self.passed, "\n".join(shown)
        )

    def _work(self):
        operation = None
        me = threading.get_ident()
        try:
            for number in self._numbers:
                for kind in self._kinds(number):
                    if operation is None:
                        operation, level = self._begin()
                    ended, problem = self._interrupt(operation, number, kind, level)
                    if me in self._abandoned:
                        return
                    if problem is not None:
                        self.failures.append("{}: {}".format(self._now[0], problem))
                        operation = _dispose(operation)
                    elif ended:
                        operation = _dispose(operation)
                        return
                if number % 500 == 0:
                    _collect()
        except BaseException:
            self.failures.append("{}: {}".format(self._now[0], traceback.format_exc()))

    def _begin(self):
        self._now = ("at the start", time.monotonic())
        operation = self._make()
        operation.before()
        self._points.run(operation.run)
        self.passed = self._points.passed
        operation.after()
        return operation, descriptors()

    def _interrupt(self, operation, number, kind, level):
        """Run the operation once; return whether it ended before the point, and any problem."""
        points = self._points
        self._now = ("point {}, {}".format(number, kind.__name__), time.monotonic())
        exception, came = kind(), None
        try:
            operation.before()
        except Exception as exc:
            return False, "before it {!r}".format(exc)
        try:
            points.run(operation.run, number, exception)
        except BaseException as exc:
            came = exc
        if points.where is None:
            return True, None if came is None else "uninterrupted: {!r}".format(came)
        self.interruptions += 1
        self._now = ("{} {}".format(self._now[0], points.where), time.monotonic())
        if came is not exception and not points.finalizing:
            return False, "{!r} came out".format(came)
        # Its traceback refers to the frames of the operation.
        came = exception = None
        try:
            operation.after()
        except Exception as exc:
            return False, "then {}".format(
                "".join(traceback.format_exception(type(exc), exc, exc.__traceback__)[-4:])
            )
        if descriptors() != level:
            return False, "{} descriptors, not {}".format(descriptors(), level)
        return False, None


def _collect():
    """Free the cycles of recent objects only: pytest keeps a great many old ones."""
    gc.collect(1)


def _dispose(operation):
    with contextlib.suppress(Exception):  # it has failed already
        operation.close()
    _collect()


def _stacks(ident):
    frames = sys._current_frames()
    return "\n".join(
        "thread {}{}:\n{}".format(
            thread,
            " (under test)" if thread == ident else "",
            "".join(traceback.format_stack(frame)[-8:]),
        )
        for thread, frame in frames.items()
        if thread == ident or _in_pyxs(frame)
    )


def _in_pyxs(frame):
    while frame is not None:
        if frame.f_code.co_filename.startswith(_CLIENT):
            return True
        frame = frame.f_back
    return False
