"""Threads that use one object never deadlock, in any order with up to two preemptions.

Each step stands for a moment at which the interpreter may switch threads. ``PYXS_LONG=1`` runs
every order; otherwise the first preemption is tried at one in 11 steps, the second at one in 97.
"""

import contextlib

import pytest

from fakes import FakeConnection, event, reply_to
from pyxs import Client, ConnectionError, Monitor
from pyxs.connection import Op

from . import scaled
from .interleavings import Daemon, Scheduler, explore

STRIDES = scaled((17, 97), (1, 1))


class Connection(FakeConnection):
    """Receives a message when the scheduler delivers one."""

    def __init__(self, daemon, scheduler, limit, trusts_ids):
        super().__init__()
        self._daemon = daemon
        self._scheduler = scheduler
        self.max_outstanding = limit
        self.trusts_ids = trusts_ids
        self.unanswered_max = 0
        self.inbox = []
        self.open = False
        daemon.connection = self

    @property
    def interruptible(self):
        return True

    def connect(self):
        assert not self.open, "connected twice"
        self.open = True
        self.connected += 1
        self.inbox = []

    def disconnect(self, silent=True):
        assert self.open, "closed twice"
        super().disconnect(silent)
        self.open = False

    def send_many(self, packets):
        assert self.open, "sent on a closed connection"
        for packet in packets:
            self.sent.append(packet)
            self._daemon.take(packet)

    def recv(self, timeout=None):
        assert self.open, "received on a closed connection"
        assert self.receiving == 0, "two threads in recv()"
        self.receiving += 1
        try:
            if not self._scheduler.block(lambda: self.inbox, timeout):
                return None
            return self.inbox.pop(0)
        finally:
            self.receiving -= 1

    def wake(self):
        assert self.open, "woken when closed"
        self.inbox.append(None)


def replies(packet):
    """Return what the daemon sends: the reply, and after that of a WATCH its event."""
    if packet.op == Op.WATCH:
        return [reply_to(packet), event("/a", "t")]
    if packet.op == Op.READ:
        return [reply_to(packet, packet.payload[:-1])]
    return [reply_to(packet)]


@pytest.fixture(params=["socket", "narrow", "bus"])
def kind(request):
    return request.param


@pytest.fixture(params=[False, True], ids=["late", "at once"])
def at_once(request):
    return request.param


@pytest.fixture
def run(kind, at_once, monkeypatch):
    """Explore threads; *threads* returns their functions and a check of the results."""
    limit, trusts_ids = {"socket": (64, True), "narrow": (2, True), "bus": (1, False)}[kind]

    def run(make, threads, connected=True):
        def prepare(schedule):
            daemon = Daemon(replies, at_once)
            scheduler = Scheduler(schedule, daemon.answer)
            monkeypatch.setattr("pyxs._conversation.roles.threading", scheduler)
            for module in ("lifetime", "outbox", "turns"):
                monkeypatch.setattr("pyxs._conversation.{}.time".format(module), scheduler)
            connection = Connection(daemon, scheduler, limit, trusts_ids)
            subject = make(connection=connection)
            if connected:
                connection_ready(subject, scheduler)
            functions, check = threads(subject)

            def check_all():
                check()
                assert connection.receiving == 0
                subject.close()
                assert connection.connected == connection.disconnected
                assert not connection.open

            return scheduler, functions, check_all

        count = explore(prepare, STRIDES)
        print(count, "schedules")

    return run


def connection_ready(subject, scheduler):
    """Connect before the threads start."""
    subject.__enter__()


def closed(call):
    """Run a call that may find the connection closed."""
    with contextlib.suppress(ConnectionError):
        return call()


def expecting(call, wanted, results):
    def thread():
        found = call()
        assert found == wanted, found
        results.append(found)

    return thread


def test_two_reads(run):
    def threads(client):
        results = []
        return [
            expecting(lambda: client.read("/a"), "/a", results),
            expecting(lambda: client.read("/b"), "/b", results),
        ], lambda: None

    run(Client, threads)


def test_three_reads(run):
    def threads(client):
        results = []
        return [
            expecting(lambda path=path: client.read(path), path, results)
            for path in ("/a", "/b", "/c")
        ], lambda: None

    run(Client, threads)


def test_a_read_beside_writes(run):
    def threads(client):
        return [
            lambda: client.write("/a", "1"),
            expecting(lambda: client.read("/b"), "/b", []),
            lambda: client.write("/c", "1"),
        ], lambda: None

    run(Client, threads)


def test_a_read_beside_many(run):
    def threads(client):
        paths = ["/1", "/2", "/3", "/4", "/5"]
        return [
            expecting(lambda: client.read_many(paths), {path: path for path in paths}, []),
            expecting(lambda: client.read("/b"), "/b", []),
        ], lambda: None

    run(Client, threads)


def test_reads_that_connect(run):
    def threads(client):
        def check():
            assert client.connection.connected == 1

        return [
            expecting(lambda: client.read("/a"), "/a", []),
            expecting(lambda: client.read("/b"), "/b", []),
        ], check

    run(Client, threads, connected=False)


def test_reads_beside_close(run):
    def threads(client):
        return [
            lambda: closed(lambda: client.read("/a")),
            client.close,
            lambda: closed(lambda: client.read("/b")),
        ], lambda: None

    run(Client, threads)


def test_two_closes_beside_a_read(run):
    def threads(client):
        return [lambda: closed(lambda: client.read("/a")), client.close, client.close], lambda: None

    run(Client, threads)


def test_a_wait_beside_a_watch(run):
    def threads(monitor):
        return [
            expecting(monitor.wait, ("/a", "t"), []),
            lambda: monitor.watch("/a", "t"),
        ], lambda: None

    run(Monitor, threads)


def test_two_waits_beside_two_watches(run):
    def threads(monitor):
        results = []

        def watch():
            monitor.watch("/a", "t")
            monitor.unwatch("/a", "t")
            monitor.watch("/a", "t")

        return [
            expecting(monitor.wait, ("/a", "t"), results),
            watch,
        ], lambda: None

    run(Monitor, threads)


def test_two_waiting_threads_get_one_event_each(run):
    def threads(monitor):
        results = []

        def watch():
            monitor.watch("/a", "t")
            # The same event again, as if the node had been written.
            monitor.connection.inbox.append(event("/a", "t"))

        return [
            expecting(monitor.wait, ("/a", "t"), results),
            expecting(monitor.wait, ("/a", "t"), results),
            watch,
        ], lambda: None

    run(Monitor, threads)


def test_a_wait_beside_close(run):
    def threads(monitor):
        return [lambda: closed(monitor.wait), monitor.close], lambda: None

    run(Monitor, threads)


def test_a_wait_beside_a_watch_and_close(run):
    def threads(monitor):
        return [
            lambda: closed(monitor.wait),
            lambda: closed(lambda: monitor.watch("/a", "t")),
            monitor.close,
        ], lambda: None

    run(Monitor, threads)


def test_a_check_beside_a_wait(run):
    def threads(monitor):
        results = []

        def check():
            results.append(monitor.check())

        def wait():
            results.append(monitor.wait(timeout=1))

        def taken():
            # check() or wait() took the event, or it is still queued.
            assert [result for result in results if result] or monitor.check()

        return [wait, check, lambda: monitor.watch("/a", "t")], taken

    run(Monitor, threads)
