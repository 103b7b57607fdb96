"""A program that works while the handler of a timer raises; see test_timer.py.

``python timer.py SUBJECT SECONDS INTERVAL SOCKET`` prints how often the handler raised, how many
transactions were lost, and how often a monitor or an ``xs`` connected again. It exits with a
message after any other error, and with the stacks of all threads if it hangs.
"""

import errno
import faulthandler
import gc
import os
import random
import signal
import sys
import time
import warnings

import pyxs
from common import HandlerError
from faults.interruptions import is_client_code
from pyxs import ConnectionError
from pyxs._channels.watching import Watching

STUCK = 30  # seconds after the time to run, then it hangs

KEY, TREE, SUM = "/timer/key", "/timer/tree", "/timer/sum"


class Tally:
    """Counts what was lost, by the interruptions."""

    def __init__(self):
        self.interruptions = 0
        self.steps = 0
        self.transactions = 0  # begun
        self.lost = 0  # of these
        self.reconnections = 0

    def __str__(self):
        return (
            "{0.interruptions} interruptions, {0.steps} steps, {0.lost} of {0.transactions} "
            "transactions lost, {0.reconnections} reconnections".format(self)
        )


def expect(found, wanted):
    assert found == wanted, "{!r}, not {!r}".format(found, wanted)


class Work:
    """Calls to make in any order; ``end`` checks that all is well without interruptions."""

    def settle(self):
        """Look at what the last call has left, without interruptions."""


class ClientWork(Work):
    """Reads, writes, lists, walks, transacts and waits with a client."""

    def __init__(self, path, tally):
        self.client = pyxs.Client(path)
        self.tally = tally
        self.steps = [self.read, self.write, self.many, self.walk, self.wait_for, self.transact]
        self.transaction = None
        self.number = 0  # of the last transaction
        self.ending = False  # whether it may have ended

    def read(self):
        expect(self.client.read(KEY), "1")

    def write(self):
        self.client.write(KEY, "1")

    def many(self):
        expect(self.client.read_many([KEY, TREE + "/2"]), {KEY: "1", TREE + "/2": "2"})
        expect(self.client.ls(TREE), ["0", "1", "2"])

    def walk(self):
        expect([value for _, value, _ in self.client.walk(TREE)], ["", "0", "1", "2"])

    def wait_for(self):
        expect(self.client.wait_for(KEY, "1", timeout=STUCK), "1")

    def transact(self):
        """Do the next part of a transaction, which goes on after an interruption."""
        if self.transaction is None:
            self.transaction = self.client.transaction()
            self.tally.transactions += 1
            self.number += 1
        transaction = self.transaction
        try:
            transaction.write(SUM, self.number)
            expect(transaction.read(SUM), str(self.number))
        except ConnectionError as exc:
            expect("was lost" in str(exc), True)
            self.tally.lost += 1
            self.transaction = None
            return
        self.transaction = None  # transaction_end() ends it, also when it is interrupted
        self.ending = True
        transaction.transaction_end()

    def settle(self):
        """Count the transaction whose end was interrupted, if it was lost."""
        if self.ending and self.client.read(SUM) != str(self.number):
            self.tally.lost += 1
        self.ending = False

    def end(self):
        if self.transaction is not None:
            self.transact()  # it may be lost
        for step in self.steps:
            step()
        self.client.close()


class BlockWork(ClientWork):
    """Transacts in a ``with`` block, which aborts when the handler raises."""

    def __init__(self, path, tally):
        super().__init__(path, tally)
        self.steps = [self.block]

    def block(self):
        self.tally.transactions += 1
        with self.client.transaction() as transaction:
            transaction.write(KEY, "1")
            expect(transaction.read(KEY), "1")


class MonitorWork(Work):
    """Watches, waits and checks with a monitor."""

    def __init__(self, path, tally):
        self.client = pyxs.Client(path)
        self.monitor = pyxs.monitor(path)
        self.steps = [self.change, self.wait, self.check, self.watch, self.unwatch]
        self.monitor.watch(KEY, "t")
        expect(self.monitor.wait(timeout=STUCK), (KEY, "t"))
        self.fileno = self.monitor.fileno()

    def change(self):
        self.client.write(KEY, "1")

    def wait(self):
        event = self.monitor.wait(timeout=0.001)
        assert event in (None, (KEY, "t"), (TREE, "u")), event

    def check(self):
        event = self.monitor.check()
        assert event in (None, (KEY, "t"), (TREE, "u")), event

    def watch(self):
        try:
            self.monitor.watch(TREE, "u")
        except pyxs.PyXSError as exc:
            expect(exc.errno, errno.EEXIST)

    def unwatch(self):
        try:
            self.monitor.unwatch(TREE, "u")
        except pyxs.PyXSError as exc:
            expect(exc.errno, errno.ENOENT)

    def end(self):
        monitor = self.monitor
        self.watch()
        self.unwatch()
        while monitor.check() is not None:
            pass
        expect(monitor.fileno(), self.fileno)
        self.change()  # its watch was never lost for good
        expect(monitor.wait(timeout=STUCK), (KEY, "t"))
        self.client.close()
        monitor.close()


class XsWork(Work):
    """Reads, writes, transacts and watches with an ``xs`` handle."""

    def __init__(self, path, tally):
        os.environ["XENSTORED_PATH"] = path
        self.xs = pyxs.xs()
        self.tally = tally
        self.steps = [self.read, self.write, self.ls, self.transact, self.watch, self.events]
        self.transaction = None
        self.number = 0
        self.ending = False  # whether an interruption may have come after its end
        self.watched = False

    def read(self):
        expect(self.xs.read("", KEY), b"1")

    def write(self):
        self.xs.write("", KEY, "1")

    def ls(self):
        expect(self.xs.ls("", TREE), ["0", "1", "2"])

    def transact(self):
        """Do the next part of a transaction, which goes on after an interruption."""
        if self.transaction is None:
            self.transaction = self.xs.transaction_start()
            self.tally.transactions += 1
            self.number += 1
        try:
            if not self.ending:
                self.xs.write(self.transaction, SUM, str(self.number))
                expect(self.xs.read(self.transaction, SUM), str(self.number).encode())
                self.ending = True
            expect(self.xs.transaction_end(self.transaction), True)
        except pyxs.Error as exc:
            expect(exc.args[0], errno.ENOENT)
            self.transaction = None
            if not self.ending:
                self.tally.lost += 1
        else:
            self.transaction = None
            self.ending = False

    def settle(self):
        """Count the transaction whose end was refused, if it was lost."""
        if self.ending and self.transaction is None:
            if self.xs.read("", SUM) != str(self.number).encode():
                self.tally.lost += 1
            self.ending = False

    def watch(self):
        if not self.watched:
            self.xs.watch(KEY, "t")
            self.watched = True

    def events(self):
        if not self.watched:
            return
        event = self.xs.check_watch()
        assert event in (None, (KEY, "t")), event
        self.xs.write("", KEY, "1")
        expect(self.xs.read_watch(), (KEY, "t"))

    def end(self):
        for step in self.steps:
            step()
        self.settle()
        self.watch()
        self.events()
        self.xs.close()


class XsTransactions(XsWork):
    """Transacts alone."""

    def __init__(self, path, tally):
        super().__init__(path, tally)
        self.steps = [self.transact]


SUBJECTS = {
    "client": ClientWork,
    "blocks": BlockWork,
    "monitor": MonitorWork,
    "xs": XsWork,
    "xs transactions": XsTransactions,
}


def is_in_client(frame):
    """Return whether pyxs runs, and not only this program."""
    while frame is not None:
        if is_client_code(frame.f_code):
            return True
        frame = frame.f_back
    return False


def main(name, seconds, interval, path):
    tally = Tally()
    with pyxs.Client(path) as client:
        client.write_many(
            {KEY: "1", SUM: "0", TREE + "/0": "0", TREE + "/1": "1", TREE + "/2": "2"}
        )
    work = SUBJECTS[name](path, tally)
    for step in work.steps:  # so that all modules are imported
        step()
        work.settle()
    connect = Watching._connect

    def counting(watching):
        tally.reconnections += 1
        return connect(watching)

    Watching._connect = counting
    armed = False
    rng = random.Random(1)

    def handler(_, frame):
        if armed and is_in_client(frame):
            tally.interruptions += 1
            raise HandlerError

    dropped = []

    def in_finalizer(unraisable):
        if unraisable.exc_type is not HandlerError:
            dropped.append(repr(unraisable.exc_value))

    sys.unraisablehook = in_finalizer
    # If the exception comes before the program has the client, the transaction is aborted.
    warnings.filterwarnings("ignore", "transaction .* was neither", RuntimeWarning)
    signal.signal(signal.SIGALRM, handler)
    # Python drops an exception raised in a finalizer that the collector runs.
    gc.disable()
    signal.setitimer(signal.ITIMER_REAL, interval, interval)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        step = rng.choice(work.steps)
        armed = True
        try:
            step()
            tally.steps += 1
        except HandlerError:
            pass
        armed = False
        work.settle()
    signal.setitimer(signal.ITIMER_REAL, 0)
    work.end()
    expect(dropped, [])
    print(tally)


if __name__ == "__main__":
    seconds = float(sys.argv[2])
    faulthandler.dump_traceback_later(seconds + STUCK, exit=True)
    main(sys.argv[1], seconds, float(sys.argv[3]), sys.argv[4])
