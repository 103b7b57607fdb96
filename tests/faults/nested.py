"""A program whose handlers call pyxs while its main thread is in pyxs; see test_nested.py.

``python nested.py SUBJECT CALLER SECONDS SOCKET`` prints how many calls were made. It exits
with a message if a call failed, and with the stacks of all threads if it hangs.
"""

import collections
import faulthandler
import gc
import os
import random
import signal
import sys
import time

import pyxs

STUCK = 30  # seconds after the time to run, then it hangs
DEPTH_MAX = 2  # how deep handlers interrupt handlers

FIRST, LAST = "/nested/first", "/nested/last"


#: Looked up before any handler runs: pyxs imports xs on first use.
ERRORS = (pyxs.PyXSError, pyxs.Error)


class Caller:
    """Makes the calls of a handler, and collects their failures."""

    def __init__(self, calls):
        self._calls = calls
        self._rng = random.Random(1)
        self._depth = 0
        self.failures = []
        self.counts = collections.Counter()

    def __call__(self, *unused):
        # Most handlers return at once, so that the main thread makes progress.
        if self._depth >= DEPTH_MAX or self._rng.random() < 0.7:
            return
        self._depth += 1
        name, call = self._rng.choice(self._calls)
        start = time.monotonic()
        try:
            call()
            self.counts[name + " completed"] += 1
        except ERRORS as exc:
            self.counts["{} refused: {}".format(name, exc)] += 1
            if not name.startswith("the same"):
                self.failures.append(exc)
        except BaseException as exc:
            self.failures.append(exc)
        finally:
            self._depth -= 1
        if time.monotonic() - start > 5:
            self.failures.append("{} took {} s".format(name, time.monotonic() - start))


def client_calls(client):
    def of_transaction():
        if client.running is not None:
            client.running.read(FIRST)

    client.running = None
    return [
        ("write", lambda: client.write(LAST, "1")),
        ("read", lambda: expect(client.read(FIRST), "1")),
        ("ls", lambda: client.ls("/nested")),
        ("the same transaction's read", of_transaction),
    ]


def client_work(client):
    monitor = client.monitor()
    monitor.watch(FIRST)
    while True:
        expect(client.read(FIRST), "1")
        yield
        client.write(FIRST, "1")
        expect(monitor.wait(timeout=STUCK), (FIRST, FIRST))
        yield
        expect(sum(path == FIRST for path, _, _ in client.walk("/nested")), 1)
        yield
        client.run_transaction(lambda t: in_transaction(client, t))
        expect(client.read_many([FIRST, FIRST]), {FIRST: "1"})
        monitor.check()
        yield


def in_transaction(client, transaction):
    client.running = transaction
    try:
        expect(transaction.read(FIRST), "1")
        transaction.write("/nested/transaction", "1")
    finally:
        client.running = None


def monitor_calls(client):
    monitor = client.monitor()
    client.watching = monitor
    return [
        ("the same monitor's watch", lambda: monitor.watch(LAST)),
        ("the same monitor's unwatch", lambda: monitor.unwatch(LAST)),
        ("the same monitor's check", monitor.check),
        ("the same monitor's fileno", monitor.fileno),
        ("the same monitor's wait", lambda: monitor.wait(timeout=0.001)),
        ("write", lambda: client.write(LAST, "1")),
    ]


def monitor_work(client):
    monitor = client.watching
    while True:
        monitor.watch(FIRST, "t")
        yield
        client.write(FIRST, "1")
        monitor.wait(timeout=0.01)
        yield
        monitor.unwatch(FIRST, "t")
        yield


class Handle:
    """An ``xs`` handle, and what the main thread is doing with it."""

    def __init__(self):
        self.xs = pyxs.xs()
        self.transaction = None
        self.awaited = False  # the main thread waits for an event that no handler may take


def xs_calls(subject):
    handle = subject.xs

    def of_transaction():
        if subject.transaction is not None:
            handle.read(subject.transaction, FIRST)

    def check_watch():
        if not subject.awaited:
            handle.check_watch()

    return [
        ("write", lambda: handle.write("", LAST, "1")),
        ("read", lambda: expect(handle.read("", FIRST), b"1")),
        ("ls", lambda: handle.ls("", "/nested")),
        ("the same transaction's read", of_transaction),
        ("the same handle's watch", lambda: handle.watch(LAST, "h")),
        ("the same handle's unwatch", lambda: handle.unwatch(LAST, "h")),
        ("the same handle's check_watch", check_watch),
    ]


def xs_work(subject):
    handle = subject.xs
    while True:
        expect(handle.read("", FIRST), b"1")
        handle.write("", FIRST, "1")
        yield
        subject.awaited = True
        handle.watch(FIRST, "t")
        while handle.read_watch() != (FIRST, "t"):
            pass
        subject.awaited = False
        handle.unwatch(FIRST, "t")
        yield
        expect(FIRST.rpartition("/")[2] in handle.ls("", "/nested"), True)
        transaction = subject.transaction = handle.transaction_start()
        expect(handle.read(transaction, FIRST), b"1")
        subject.transaction = None
        handle.transaction_end(transaction)
        yield


SUBJECTS = {
    "client": (pyxs.Client, client_calls, client_work),
    "monitor": (pyxs.Client, monitor_calls, monitor_work),
    "xs": (lambda path: Handle(), xs_calls, xs_work),
}


def expect(found, wanted):
    if found != wanted:
        raise AssertionError("{!r}, not {!r}".format(found, wanted))


def by_signal(caller, steps):
    """Call from a signal handler, every 100 microseconds."""
    signal.signal(signal.SIGALRM, caller)
    signal.setitimer(signal.ITIMER_REAL, 1e-4, 1e-4)
    try:
        return take(steps)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


class Finalized:
    """An object in a reference cycle; it calls when the collector frees it."""

    def __init__(self, caller):
        self.cycle = self
        self.caller = caller

    def __del__(self):
        self.caller()


def by_finalizer(caller, steps):
    """Call from finalizers that the collector runs."""
    old = gc.get_threshold()
    gc.set_threshold(5)
    try:
        return take(steps, lambda: [Finalized(caller) for _ in range(20)])
    finally:
        gc.set_threshold(*old)
        gc.collect()


def by_trace(caller, steps):
    """Call from a trace function."""

    def trace(frame, event, arg):
        if "pyxs" not in frame.f_code.co_filename:
            return None
        caller()
        return trace

    sys.settrace(trace)
    try:
        return take(steps)
    finally:
        sys.settrace(None)


CALLERS = {"signal": by_signal, "finalizer": by_finalizer, "trace": by_trace}


def take(steps, between=lambda: None):
    """Run steps until the time has passed; return how many there were."""
    end = time.monotonic() + seconds
    for number, _step in enumerate(steps, 1):
        between()
        if time.monotonic() > end:
            return number
    return 0


def main(subject, by, path):
    os.environ["XENSTORED_PATH"] = path
    pyxs.Client(path).write_many({FIRST: "1", LAST: "1"})
    make, calls, work = SUBJECTS[subject]
    target = make(path)
    caller = Caller(calls(target))
    steps = CALLERS[by](caller, work(target))
    print(steps, "steps")
    for name, count in sorted(caller.counts.items()):
        print(count, name)
    if caller.failures:
        raise SystemExit(
            "{} failures, {!r:.2000}".format(len(caller.failures), caller.failures[:3])
        )
    if not any("completed" in name for name in caller.counts):
        raise SystemExit("no call was made")


if __name__ == "__main__":
    seconds = float(sys.argv[3])
    faulthandler.dump_traceback_later(seconds + STUCK, exit=True)
    main(sys.argv[1], sys.argv[2], sys.argv[4])
