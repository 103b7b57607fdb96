"""Signal handlers that raise or use pyxs, dropped objects, and connections of several clients."""

import contextlib
import errno
import gc
import socket
import threading

import pytest

import pyxs
from common import PATIENCE, HandlerError, alarm, descriptors
from fakes import FakeBus, FakeServer, event, honest, reply_to
from pyxs import Client, ConnectionError, Monitor, PyXSError
from pyxs._channels import settling
from pyxs._channels.turns import NestedCallError, Turns
from pyxs.connection import Op, UnixSocketConnection

from .places import Place

# -- handlers that raise -----------------------------------------------------------------


RAISED = [
    KeyboardInterrupt(),
    SystemExit(1),
    HandlerError(),
    TimeoutError("too late"),
    BlockingIOError("a handler's"),
    BrokenPipeError(errno.EPIPE, "a handler's pipe"),
    EOFError(),
    ValueError("a handler's"),
    ConnectionError("another client's"),
    pyxs.UnexpectedPacket("another client's"),
    pyxs.helpers.error("ENOENT"),
    NestedCallError(Turns()),  # as another client's call in the handler raises
]


def until_raised(exception, call):
    """Run a call that blocks until a handler raises; check that the call raises the same."""

    def handler():
        raise exception

    with pytest.raises(type(exception)) as caught, alarm(handler):
        call()
    assert caught.value is exception
    exception.__traceback__ = None  # other tests raise the same object


@pytest.fixture
def late():
    """A server that holds its first reply until ``release`` is set."""
    release = threading.Event()

    def script(peer):
        first = peer.receive()
        assert release.wait(PATIENCE)
        if first is not None:  # None if the handler ran before the request was sent
            peer.send(reply_to(first, b"late"))
        honest(peer)

    with FakeServer(script, honest) as server:
        server.release = release
        yield server
        release.set()


@pytest.mark.parametrize("raised", RAISED, ids=repr)
@pytest.mark.parametrize("timeout", [None, PATIENCE])
@pytest.mark.parametrize("make", [UnixSocketConnection, FakeBus])
def test_read_raises_the_exception_of_a_signal_handler(make, timeout, raised, late):
    client = Client(connection=make(late.path, timeout))
    until_raised(raised, lambda: client.read("/a", None))
    late.release.set()
    assert client.read("/a") == "value"
    client.close()


@pytest.mark.parametrize(
    "raised",
    [pyxs.Error(errno.ENOENT, "a handler's"), ConnectionError("another client's")],
    ids=repr,
)
def test_xs_raises_the_error_of_a_signal_handler_while_it_connects(raised, tmp_path, monkeypatch):
    monkeypatch.delenv("XENSTORED_PATH", raising=False)
    monkeypatch.setenv("XENSTORED_RUNDIR", str(tmp_path))
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as first:
        busy.bind(str(tmp_path / "socket"))
        busy.listen(0)
        first.connect(busy.getsockname())  # the next one waits
        until_raised(raised, pyxs.xs)


@pytest.fixture
def watched():
    """A server that sends an event of the first watch once ``release`` is set."""
    release = threading.Event()

    def script(peer):
        request = peer.receive()
        peer.send(reply_to(request))
        assert release.wait(PATIENCE)
        peer.send(reply_to(request, request.payload, op=Op.WATCH_EVENT, rq_id=0))
        honest(peer)

    with FakeServer(script) as server:
        server.release = release
        yield server
        release.set()


@pytest.mark.parametrize("raised", RAISED, ids=repr)
@pytest.mark.parametrize("timeout", [None, PATIENCE])
@pytest.mark.parametrize("make", [UnixSocketConnection, FakeBus])
def test_wait_raises_the_exception_of_a_signal_handler_and_keeps_its_watch(
    make, timeout, raised, watched
):
    monitor = Monitor(make(watched.path))
    monitor.watch("/a", "t")
    until_raised(raised, lambda: monitor.wait(timeout=timeout))
    watched.release.set()
    assert monitor.wait(timeout=PATIENCE) == ("/a", "t")
    assert len(watched.peers) == 1
    monitor.close()


@pytest.mark.parametrize("raised", RAISED, ids=repr)
def test_read_watch_raises_the_exception_of_a_signal_handler_and_keeps_its_watch(
    raised, watched, monkeypatch
):
    monkeypatch.setenv("XENSTORED_PATH", watched.path)
    handle = pyxs.xs()
    token = object()
    handle.watch("/a", token)
    until_raised(raised, handle.read_watch)
    watched.release.set()
    assert handle.read_watch() == ("/a", token)
    assert handle.read("", "/a") == b"value"
    assert len(watched.peers) == 1
    handle.close()


def test_a_request_whose_reply_comes_soon_after_the_exception_keeps_its_connection(
    late, monkeypatch
):
    """Over another one, a later request could overtake it."""

    def handler():
        late.release.set()
        raise HandlerError

    monkeypatch.setattr(settling, "_GRACE", PATIENCE)
    client = Client(late.path)
    with pytest.raises(HandlerError), alarm(handler):
        client.write("/a", "value")
    assert client.read("/a") == "value"
    assert len(late.peers) == 1
    client.close()


def test_wait_returns_the_event_that_comes_while_it_connects_again():
    def first(peer):
        peer.send(reply_to(peer.receive()), event("/a", "/a"))
        peer.receive()
        peer.linger()

    def second(peer):
        for request in peer:
            peer.send(event("/a", "/a"), reply_to(request))

    with FakeServer(first, second) as server:
        monitor = pyxs.monitor(server.path)
        monitor.watch("/a")
        assert monitor.wait(timeout=PATIENCE) == ("/a", "/a")
        until_raised(HandlerError(), lambda: monitor.watch("/b"))
        assert monitor.wait(timeout=PATIENCE) == ("/a", "/a")
        assert monitor.wait(timeout=0) is None
        monitor.close()


# -- handlers that use pyxs ----------------------------------------------------------------


def test_a_handler_that_closes_the_monitor_ends_the_loop_over_its_events(watched):
    monitor = pyxs.monitor(watched.path)
    monitor.watch("/a", "t")
    with alarm(monitor.close), contextlib.suppress(ConnectionError):
        for _event in monitor:
            raise AssertionError("there was no event")
    watched.release.set()
    assert watched.peers[0].gone.wait(PATIENCE)


def test_a_handler_that_closes_the_client_ends_its_read():
    with FakeServer(lambda peer: peer.linger(), honest) as server:
        client = Client(server.path)
        with alarm(client.close), pytest.raises(ConnectionError, match="closed"):
            client.read("/a")
        assert server.peers[0].gone.wait(PATIENCE)
        assert client.read("/a") == "value"
        client.close()


def test_a_handler_that_closes_the_handle_ends_its_read_watch(watched, monkeypatch):
    monkeypatch.setenv("XENSTORED_PATH", watched.path)
    handle = pyxs.xs()
    handle.watch("/a", "t")
    with alarm(handle.close), pytest.raises(pyxs.Error, match="Invalid argument"):
        handle.read_watch()
    watched.release.set()
    assert watched.peers[0].gone.wait(PATIENCE)


@pytest.mark.parametrize("make", [UnixSocketConnection, FakeBus])
def test_a_handler_that_reads_while_its_thread_waits_for_a_reply_gets_its_own(make, late):
    client = Client(connection=make(late.path))
    found = []

    def handler():
        found.append(client.read("/b"))
        late.release.set()

    with alarm(handler):
        assert client.read("/a") == "late"
    assert found == ["value"]
    client.close()


# -- dropped objects -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def place():
    with Place() as place:
        yield place


@pytest.fixture
def no_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def refused(call, *args):
    with pytest.raises((PyXSError, pyxs.Error)):
        call(*args)


def conflict(client, place):
    t = client.transaction()
    t.read("key")
    place.admin.write("/local/domain/7/key", "value")
    t.write("key", "value")
    with pytest.raises(PyXSError, match="again|unavailable"):
        t.transaction_end()


CLIENT_ANSWERS = {
    "a value": lambda c, place: c.read("key"),
    "no such node": lambda c, place: refused(c.read, "missing"),
    "a default": lambda c, place: c.read("missing", None),
    "a missing directory": lambda c, place: refused(c.ls, "missing"),
    "a directory in parts": lambda c, place: c.ls("many"),
    "not allowed": lambda c, place: refused(c.write, "many/x", ""),
    "many, one missing": lambda c, place: refused(c.read_many, ["key", "missing"]),
    "many written, one refused": lambda c, place: refused(
        c.write_many, {"key": "value", "many/x": ""}
    ),
    "a conflict": conflict,
    "no such domain": lambda c, place: refused(c.set_permissions, "key", ["n9999"]),
    "a walk": lambda c, place: list(c.walk("tree")),
    "no watch": lambda c, place: refused(c.unwatch, "key"),
}


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("answer", CLIENT_ANSWERS)
@pytest.mark.parametrize("make", [UnixSocketConnection, FakeBus])
def test_a_dropped_client_is_closed_at_its_last_reference(make, answer, place, no_collector):
    place.admin.read("/")
    before = descriptors()
    client = Client(connection=make(place.path))
    CLIENT_ANSWERS[answer](client, place)
    del client
    assert descriptors() == before


def xs_wrong_transaction(handle, place):
    assert handle.read("77", "key") is None  # ENOENT, as with the C extension
    refused(handle.transaction_end, "77")


def xs_conflict(handle, place):
    t = handle.transaction_start()
    handle.read(t, "key")
    place.admin.write("/local/domain/7/key", "value")
    handle.write(t, "key", "value")
    assert handle.transaction_end(t) is False


XS_ANSWERS = {
    "a value": lambda h, place: h.read("", "key"),
    "no such node": lambda h, place: h.read("", "missing"),
    "a missing directory": lambda h, place: h.ls("", "missing"),
    "a directory in parts": lambda h, place: h.ls("", "many"),
    "not allowed": lambda h, place: refused(h.write, "", "many/x", ""),
    "a malformed path": lambda h, place: refused(h.read, "", "//"),
    "rm of nothing": lambda h, place: h.rm("", "missing/x/y"),
    "a wrong transaction": xs_wrong_transaction,
    "a conflict": xs_conflict,
    "no watch": lambda h, place: refused(h.unwatch, "key", "t"),
    "a watch": lambda h, place: h.watch("key", "t"),
    "an event": lambda h, place: (h.watch("key", "t"), h.read_watch()),
    "a descriptor": lambda h, place: (h.watch("key", "t"), h.fileno()),
    "a descriptor and no event": lambda h, place: h.fileno(),
}


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("answer", XS_ANSWERS)
def test_a_dropped_xs_is_closed_at_its_last_reference(answer, place, no_collector, monkeypatch):
    monkeypatch.setenv("XENSTORED_PATH", place.path)
    place.admin.read("/")
    before = descriptors()
    handle = pyxs.xs()
    XS_ANSWERS[answer](handle, place)
    del handle
    assert descriptors() == before


MONITOR_ANSWERS = {
    "a watch": lambda m: m.watch("key"),
    "an event": lambda m: (m.watch("key"), m.wait()),
    "no watch": lambda m: refused(m.unwatch, "key"),
    "a watch twice": lambda m: (m.watch("key"), refused(m.watch, "key")),
    "a descriptor": lambda m: (m.watch("key"), m.fileno()),
    "a descriptor and no event": lambda m: m.fileno(),
    "a loop": lambda m: (m.watch("key"), next(iter(m))),
}


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("answer", MONITOR_ANSWERS)
@pytest.mark.parametrize("make", [UnixSocketConnection, FakeBus])
def test_a_dropped_monitor_is_closed_at_its_last_reference(make, answer, place, no_collector):
    before = descriptors()
    monitor = Monitor(make(place.path))
    MONITOR_ANSWERS[answer](monitor)
    del monitor
    assert descriptors() == before


# -- a connection of several clients -----------------------------------------------------------


@pytest.mark.parametrize("make", [UnixSocketConnection, FakeBus])
def test_a_connection_serves_clients_and_monitors_at_once(make, place):
    connection = make(place.path)
    with Client(connection=connection) as client, Monitor(connection) as monitor:
        t = client.transaction()
        t.write("shared", "in a transaction")
        other = Client(connection=connection, transaction=True)
        assert other.read("shared", None) is None
        other.transaction_end()
        monitor.watch("shared", "t")
        assert monitor.wait(timeout=PATIENCE) == ("shared", "t")
        t.transaction_end()
        assert monitor.wait(timeout=PATIENCE) == ("shared", "t")
        other.close()
        assert client.read("shared") == "in a transaction"
        client.rm("shared")
