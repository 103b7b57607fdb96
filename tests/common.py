"""Helpers of many tests: waiting, threads, signals, single lines, and open descriptors."""

import contextlib
import faulthandler
import gc
import inspect
import os
import signal
import sys
import threading
import time

#: Seconds that a test waits for what should happen at once; then it fails.
PATIENCE = int(os.environ.get("PYXS_PATIENCE", 20))


def until(condition, message="it did not happen"):
    """Wait until *condition()* is true; another thread or process makes it so."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, message
        time.sleep(0.001)


def in_threads(*functions, seconds=PATIENCE):
    """Run each function in a thread of its own; return their results or raise the first failure.

    If threads do not end in time, fail and show their stacks.
    """
    results = [None] * len(functions)
    failures = []

    def run(index):
        try:
            results[index] = functions[index]()
        except BaseException as failure:
            failures.append(failure)

    threads = [
        threading.Thread(target=run, args=(index,), daemon=True) for index in range(len(functions))
    ]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0, deadline - time.monotonic()))
    hang = sum(thread.is_alive() for thread in threads)
    if hang:
        faulthandler.dump_traceback(file=sys.__stderr__, all_threads=True)
        raise AssertionError("a deadlock: {} threads hang".format(hang))
    if failures:
        raise failures[0]
    return results


class HandlerError(Exception):
    """An exception of the program, raised by its signal handler."""


def interrupt():
    """Raise what a signal handler raises."""
    raise HandlerError


@contextlib.contextmanager
def alarm(handler, seconds=0.05):
    """Call *handler* once from a signal handler in the body, after some seconds.

    The collector is off: Python drops an exception raised in a finalizer that it runs.
    """
    spent = False

    def once(*_):
        nonlocal spent
        if not spent:
            spent = True
            handler()

    old = signal.signal(signal.SIGALRM, once)
    gc.disable()
    try:
        try:
            # It repeats: a signal that comes just before a system call blocks is handled only
            # after the call returns.
            signal.setitimer(signal.ITIMER_REAL, seconds, 0.5)
            yield
        finally:
            spent = True  # another thread may have got the signal; it is handled later then
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        gc.enable()
        signal.signal(signal.SIGALRM, old)


@contextlib.contextmanager
def before_line(function, text, action, passes=1):
    """Call *action* once in the body, before the line of *function* that contains *text*.

    What it raises comes out of that line, as from a signal handler. What it lets another
    thread do happens at that line.

    :param passes: how often the line is reached then.
    """
    lines, first = inspect.getsourcelines(function)
    (number,) = [first + index for index, line in enumerate(lines) if text in line]
    passed = 0

    def trace(frame, event, arg):
        nonlocal passed
        if frame.f_code is not function.__code__:
            return None
        if event == "line" and frame.f_lineno == number:
            passed += 1
            if passed == passes:
                action()
        return trace

    old = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(old)
    assert passed >= passes, "the line was not reached"


def descriptors():
    """Return how many descriptors this process has open."""
    return len(os.listdir("/proc/self/fd"))
