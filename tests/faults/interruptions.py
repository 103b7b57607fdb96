"""Runs an operation repeatedly, and raises an exception at a different point each time.

A trace or profile function raises the exception, as a signal handler would. A *point* is an
instruction of pyxs about to be executed (a line on 3.6, which traces no instructions), or the
return of a C function that pyxs called. The number of points is not known in advance: the runs
end with the first that finishes before it reaches its point. A second exception can follow, at a
point of the clean-up after the first.

The operation runs in a thread of its own, so that the main thread can report and abandon a run
that hangs.
"""

import contextlib
import dis
import errno
import gc
import os
import signal
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

# Python runs no signal handler between these, and a trace function that raises there confuses it.
_CLOSED = (
    "COPY",
    "END_FINALLY",
    "POP_BLOCK",
    "POP_EXCEPT",
    "PUSH_EXC_INFO",
    "RERAISE",
)

#: How points are counted.
MODES = ("lines" if sys.version_info < (3, 7) else "opcodes", "c_returns")


# What a handler may raise that uses pyxs itself.


def lost():
    return pyxs.ConnectionError("from a handler")


def missing():
    return pyxs.helpers.error("ENOENT", "/from/a/handler")


def missing_for_xs():
    return pyxs.Error(errno.ENOENT, os.strerror(errno.ENOENT))


def hidden():
    """Make an exception of a handler that is none that is set."""
    return BlockingIOError(errno.EAGAIN, "a hidden handler's")


#: The exceptions to raise; each entry is called to make a new one.
KINDS = (
    KeyboardInterrupt,
    TimeoutError,
    HandlerError,
    ValueError,
    lost,
    missing,
    missing_for_xs,
    hidden,
)

_TYPES = {type(kind()) for kind in KINDS}


def handler(exceptions, _frame=None):
    """Remove an exception from a list and raise it: a signal handler that is set."""
    raise exceptions.pop()  # a variable of this frame would be part of a cycle


def is_client_code(code):
    """Return whether the code belongs to pyxs, but not to its daemon."""
    name = code.co_filename
    return name.startswith(_CLIENT) and not name.startswith(_DAEMON)


class Points:
    """Counts the points that this thread passes in a function, and raises an exception at one.

    It may raise another at a point of the clean-up. Python removes a trace function that has
    raised an exception, so a profile function sets it again, at the first call after that.
    """

    def __init__(self, mode):
        self._mode = mode
        self._ours = {}
        self.passed = 0
        self.places = []  # where the exceptions were raised
        self.finalizing = False  # whether a finalizer was running: it drops exceptions

    def run(self, function, *raises):
        """Call *function*.

        :param raises: points, and the exceptions to raise there. They are counted from 1, the
            second from the first exception on.
        """
        self.passed, self._raises = 0, list(raises)
        self.places, self.finalizing = [], False
        if self._mode == "c_returns":
            sys.setprofile(self._profile)
        else:
            sys.settrace(self._trace)
            if len(raises) > 1:
                sys.setprofile(self._set_again)
        try:
            return function()
        finally:
            sys.settrace(None)
            sys.setprofile(None)
            # The tracebacks of the exceptions refer to this frame.
            raises = self._raises = None

    def _is_ours(self, code):
        ours = self._ours.get(code)
        if ours is None:
            ours = self._ours[code] = is_client_code(code)
        return ours

    def _profile(self, frame, event, arg):
        if event == "c_return" and self._is_ours(frame.f_code):
            self._pass(frame)

    def _set_again(self, frame, event, arg):
        if self.places and self._is_ours(frame.f_code):
            sys.setprofile(None)
            sys.settrace(self._trace)
            if event == "call":
                frame.f_trace = self._trace(frame, event, arg)

    def _trace(self, frame, event, arg):
        if not self._is_ours(frame.f_code):
            return None
        if self._mode == "opcodes":
            frame.f_trace = self._step  # 3.12 and later read it when f_trace_opcodes is set
            frame.f_trace_lines = False
            frame.f_trace_opcodes = True
        return self._step

    def _step(self, frame, event, arg):
        if event == ("line" if self._mode == "lines" else "opcode") and (
            event == "line" or _opcode(frame) not in _CLOSED
        ):
            self._pass(frame)
        return self._step

    def _pass(self, frame):
        self.passed += 1
        if self._raises and self.passed == self._raises[0][0]:
            exceptions = [self._raises.pop(0)[1]]
            self.passed = 0
            self.places.append(_place(frame))
            self.finalizing = self.finalizing or _is_finalizing(frame)
            if isinstance(exceptions[0], BlockingIOError):
                raise exceptions.pop()
            handler(exceptions)


def _place(frame):
    """Describe where a frame is, and the frames of pyxs that called it."""
    names = []
    here = frame
    while here is not None:
        code = here.f_code
        if code.co_filename.startswith(_CLIENT):
            names.append(
                "{}:{} {}".format(code.co_filename[len(_CLIENT) :], here.f_lineno, code.co_name)
            )
        here = here.f_back
    return "{} at {} {}".format(" < ".join(names), frame.f_lasti, _opcode(frame))


def _opcode(frame):
    code, offset = frame.f_code.co_code, frame.f_lasti
    return dis.opname[code[offset]] if 0 <= offset < len(code) else "start"


def _is_finalizing(frame):
    while frame is not None:
        if frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False


class Explorer:
    """Interrupts one operation at its points.

    :param make: returns the operation, an object with ``before()``, which prepares a run,
        ``run()``, ``after(told)``, which raises unless the object still works after an
        interruption, and ``close()``. ``told`` says whether the connection may be lost, because
        a hidden handler has raised.
    :param mode: one of :data:`MODES`.
    :param runs: an iterable of the runs to make; each is a list of points and :data:`KINDS`, one
        for the first exception and perhaps one for the second. The first points ascend. For each
        first point the second points ascend; the rest of them is left out after the first run
        that ends before.
    """

    def __init__(self, make, mode, runs):
        self._make = make
        self._points = Points(mode)
        self._runs = iter(runs)
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
        old = signal.signal(signal.SIGUSR1, handler)
        hook = getattr(sys, "unraisablehook", None)  # not on 3.7; that of pytest keeps objects
        sys.unraisablehook = self._dropped
        gc.disable()  # objects must be freed by their reference counts alone
        _freeze()
        try:
            return self._explore()
        finally:
            _unfreeze()
            gc.enable()
            sys.unraisablehook = hook
            signal.signal(signal.SIGUSR1, old)
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

    def _dropped(self, unraisable):
        """Take an exception that a finalizer raised; only those of handlers may come there."""
        if not self._points.places:
            self.failures.append("a finalizer raised {!r}".format(unraisable.exc_value))
        elif unraisable.exc_type not in _TYPES:
            self.failures.append(
                "{}: a finalizer raised {!r}".format(self._points.places, unraisable.exc_value)
            )

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
        done = 0  # the first point whose second points have all been tried
        try:
            for count, run in enumerate(self._runs):
                if run[0][0] == done:
                    continue
                if operation is None:
                    operation, level, before = self._begin()
                missed, problem = self._interrupt(operation, run, level)
                if me in self._abandoned:
                    return
                if problem is not None:
                    self.failures.append("{}: {}".format(self._now[0], problem))
                    operation = _dispose(operation)
                elif missed == len(run):
                    break
                elif missed:
                    done = run[0][0]
                if count % 500 == 0:
                    _collect()
            if operation is not None:
                operation = None
                if len(run) > 1:
                    gc.collect()  # as after each run
                if descriptors() != before:
                    self.failures.append(
                        "{} descriptors after the last reference, not {}".format(
                            descriptors(), before
                        )
                    )
        except BaseException:
            self.failures.append("{}: {}".format(self._now[0], traceback.format_exc()))

    def _begin(self):
        self._now = ("at the start", time.monotonic())
        before = descriptors()
        operation = self._make()
        operation.before()
        self._points.run(operation.run)
        self.passed = self._points.passed
        operation.after(False)
        return operation, descriptors(), before

    def _interrupt(self, operation, run, level):
        """Run the operation once; return how many points it has not reached, and any problem."""
        points = self._points
        what = ", ".join("point {}, {}".format(number, kind.__name__) for number, kind in run)
        self._now = (what, time.monotonic())
        raises, came = [(number, kind()) for number, kind in run], None
        try:
            operation.before()
        except Exception as exc:
            return 0, "before it {!r}".format(exc)
        try:
            points.run(operation.run, *raises)
        except BaseException as exc:
            came = exc
        missed = len(run) - len(points.places)
        if missed == len(run):
            operation.after(False)
            return missed, None if came is None else "uninterrupted: {!r}".format(came)
        self.interruptions += 1
        self._now = ("{} {}".format(what, " AND THEN ".join(points.places)), time.monotonic())
        raised = [exception for _, exception in raises[: len(points.places)]]
        told = any(isinstance(exc, BlockingIOError) for exc in raised)
        if (
            not _is_caused_by(came, raised)
            and came is not _latest(raised)
            and not points.finalizing
        ):
            return missed, "{!r} came out".format(came)
        # Its traceback refers to the frames of the operation.
        came = raised = raises = None
        try:
            operation.after(told)
        except Exception as exc:
            return missed, "then {}".format(
                "".join(traceback.format_exception(type(exc), exc, exc.__traceback__)[-4:])
            )
        # A second exception may leave a cycle of the first and the frame that caught it, and so may
        # tracing that goes on after the first. The selectors of Python are part of cycles, if
        # nobody closes them.
        if points.finalizing or len(run) > 1:
            gc.collect()
        if descriptors() != level:
            return missed, "{} descriptors, not {}".format(descriptors(), level)
        return missed, None


def _latest(raised):
    """Return the exception that must come out.

    That of a hidden handler is taken for a failure of the connection, which the clean-up of
    another and the abort of a transaction are silent about.
    """
    return next((exc for exc in reversed(raised) if not isinstance(exc, BlockingIOError)), None)


def _is_caused_by(exc, raised):
    """Return whether an exception is that of a hidden handler, or is caused by it."""
    while exc is not None:
        if isinstance(exc, BlockingIOError) and exc in raised:
            return True
        exc = exc.__cause__
    return False


def _collect():
    """Free the cycles of recent objects only: pytest keeps a great many old ones."""
    gc.collect(1)


# A collection then does not look at all that pytest keeps. 3.6 has no freeze().
_freeze = getattr(gc, "freeze", bool)
_unfreeze = getattr(gc, "unfreeze", bool)


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
