"""An exception of a signal handler ends every wait, and later replies reach their requests."""

import contextlib
import random
import threading

import pytest

import pyxs
from common import PATIENCE, HandlerError, alarm, interrupt
from fakes import FakeBus, FakeServer, event, honest, reply_to
from pyxs import Client, PyXSError

from . import scaled

pytestmark = [
    # If the signal strikes before pyxs has stored a new socket, a finalizer closes it.
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    # Python reports an exception in a finalizer and drops it.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.mark.parametrize("timeout", [None, PATIENCE])
@pytest.mark.parametrize("make", [pyxs.connection.UnixSocketConnection, FakeBus])
def test_a_wait_for_a_reply_is_interrupted_and_the_late_reply_dropped(make, timeout):
    release = threading.Event()

    def script(peer):
        late = peer.receive()
        assert release.wait(PATIENCE)
        peer.send(reply_to(late, b"late"))
        honest(peer)

    with FakeServer(script, honest) as server:
        client = Client(connection=make(server.path, timeout))
        with pytest.raises(HandlerError), alarm(interrupt):
            client.read("/a")
        release.set()
        for _ in range(100):
            assert client.read("/a") == "value"
        assert len(server.peers) == 2
        client.close()


@pytest.mark.parametrize("timeout", [None, PATIENCE])
def test_a_wait_for_an_event_is_interrupted_and_the_event_not_lost(timeout):
    release = threading.Event()

    def script(peer):
        peer.send(reply_to(peer.receive()))
        assert release.wait(PATIENCE)
        peer.send(event("/a", "t"))
        peer.linger()

    with FakeServer(script) as server:
        monitor = pyxs.monitor(server.path)
        monitor.watch("/a", "t")
        with pytest.raises(HandlerError), alarm(interrupt):
            monitor.wait(timeout=timeout)
        release.set()
        assert monitor.wait(timeout=PATIENCE) == ("/a", "t")
        monitor.close()


def test_read_watch_is_interrupted():
    def script(peer):
        peer.send(reply_to(peer.receive()))
        peer.linger()

    with FakeServer(script) as server:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("XENSTORED_PATH", server.path)
            handle = pyxs.xs()
        handle.watch("/a", "t")
        with pytest.raises(HandlerError), alarm(interrupt):
            handle.read_watch()
        handle.close()


@pytest.mark.parametrize("daemon", ["memory", "c"], indirect=True)
def test_a_watch_that_was_interrupted_can_be_set_again(daemon):
    # At whatever point the signal struck, daemon and monitor must agree on the watch.
    rng = random.Random(1)
    monitor = pyxs.monitor(daemon.path, socket_timeout=PATIENCE)
    interrupted = 0
    for _ in range(scaled(300, 20000)):
        try:
            with alarm(interrupt, rng.uniform(1e-5, 4e-4)):
                monitor.watch("/a", "t")
                monitor.unwatch("/a", "t")
        except HandlerError:
            interrupted += 1
        with contextlib.suppress(PyXSError):  # ENOENT: it is not set
            monitor.unwatch("/a", "t")
        monitor.watch("/a", "t")
        assert monitor.wait(timeout=PATIENCE) == ("/a", "t")
        monitor.unwatch("/a", "t")
        assert monitor.check() is None
    assert interrupted
    monitor.close()


@pytest.mark.parametrize("daemon", ["memory", "c"], indirect=True)
@pytest.mark.parametrize("others", [0, 3])
def test_a_signal_at_any_moment_causes_no_hang_and_no_wrong_value(daemon, others):
    rng = random.Random(2)
    client = Client(daemon.path, socket_timeout=PATIENCE)
    client.write_many({"/{}".format(number): number for number in range(50)})
    stop = threading.Event()
    failures = []

    def read_beside():
        while not stop.is_set():
            number = rng.randrange(50)
            try:
                assert client.read("/{}".format(number)) == str(number)
            except BaseException as exc:
                failures.append(exc)

    threads = [threading.Thread(target=read_beside) for _ in range(others)]
    for thread in threads:
        thread.start()
    interrupted = 0
    try:
        for round_ in range(scaled(300, 50000)):
            try:
                with alarm(interrupt, rng.uniform(1e-5, 1e-3)):
                    for number in range(round_ % 50, 50):
                        assert client.read("/{}".format(number)) == str(number)
            except HandlerError:
                interrupted += 1
    finally:
        stop.set()
        for thread in threads:
            thread.join(PATIENCE)
    assert interrupted
    assert failures == []
    client.close()
