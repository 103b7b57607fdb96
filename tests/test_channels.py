"""Open connections as their users see them: replies, windows, time-outs, threads and events."""

import _thread
import contextlib
import errno
import functools
import gc
import os
import select
import signal
import socket
import threading
import time

import pytest

import pyxs
from common import (
    PATIENCE,
    HandlerError,
    alarm,
    before_line,
    descriptors,
    in_threads,
    interrupt,
    until,
)
from fakes import FakeConnection, FakeServer, answer_one, error_to, event, honest, reply_to
from pyxs import (
    Client,
    ConnectionError,
    InvalidOperation,
    Monitor,
    PyXSError,
    UnexpectedPacket,
    snapshot,
    xs,
)
from pyxs._channels import channel, readiness, shared, turns
from pyxs._channels.descriptor import Descriptor
from pyxs._channels.failures import raised_by_handler
from pyxs._channels.inbox import Inbox
from pyxs._channels.shared import Shared
from pyxs._channels.transaction import start_transaction
from pyxs._channels.waiting import within
from pyxs._channels.watching import Watching
from pyxs.connection import Op, UnixSocketConnection


def echo(request):
    """Return the reply whose payload is the request's path."""
    return reply_to(request, request.payload.split(b"\0")[0] if request.op == Op.READ else None)


def honest_to(request):
    """Return what answers a request correctly."""
    return [reply_to(request)]


@pytest.fixture
def serve():
    """Make a server of scripts and a client of it; both are closed after the test."""
    with contextlib.ExitStack() as stack:

        def serve(*scripts, socket_timeout=PATIENCE):
            server = stack.enter_context(FakeServer(*(scripts or (honest,))))
            client = Client(server.path, socket_timeout=socket_timeout)
            stack.callback(client.close)
            return client, server

        yield serve


@pytest.fixture
def connect():
    """Make a client of a fake connection with such answers, and the connection."""
    with contextlib.ExitStack() as stack:

        def connect(answer, **attributes):
            connection = FakeConnection(answer)
            vars(connection).update(attributes)
            client = Client(connection=connection)
            stack.callback(client.close)
            return client, connection

        yield connect


@pytest.fixture
def patience(monkeypatch):
    """Let no thread look again by itself: one that nobody wakes sleeps for ever."""
    monkeypatch.setattr(turns, "_LOOK_AGAIN", 1000.0)


def paths(count):
    return ["/{}".format(number) for number in range(count)]


# -- requests and replies ------------------------------------------------------------------


def test_replies_in_reverse_order_reach_their_requests(serve):
    def backwards(peer):
        requests = [peer.receive() for _ in range(50)]
        peer.send(*map(echo, reversed(requests)))
        peer.linger()

    client, _ = serve(backwards)
    assert client.read_many(paths(50)) == {path: path for path in paths(50)}


def test_requests_under_way_have_different_ids(connect):
    client, connection = connect(lambda request: [echo(request)])
    client.read_many(paths(200))
    assert len({sent.rq_id for sent in connection.sent}) == 200


def test_after_the_last_identifier_that_fits_the_header_the_first_comes_again(connect, monkeypatch):
    monkeypatch.setattr(channel, "_IDS", channel._IDS[-2:])
    client, connection = connect(lambda request: [echo(request)])
    for path in paths(3):
        assert client.read(path) == path
    assert [sent.rq_id for sent in connection.sent] == [2**32 - 2, 2**32 - 1, 2**32 - 2]


USES = [
    pytest.param(lambda client: client.read("/a"), id="one"),
    pytest.param(lambda client: client.read_many(["/a", "/b"]), id="many"),
    pytest.param(lambda client: client.walk("/a").__next__(), id="walk"),
]


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize(
    ("name", "number"),
    [(b"EIO\0", errno.EIO), (b"ENOSPC\0", errno.ENOSPC), (b"ENEWS\0", errno.EINVAL)],
)
def test_an_error_is_the_answer_and_the_connection_stays(connect, use, name, number):
    client, connection = connect(lambda request: [error_to(request, name)])
    with pytest.raises(PyXSError) as caught:
        use(client)
    assert caught.value.is_answer
    assert caught.value.errno == number
    connection.answer = honest_to
    assert client.read("/b") == "value"
    assert len(connection.streams) == 1


def test_an_error_that_errno_does_not_know_keeps_its_name(connect):
    client, _ = connect(lambda request: [error_to(request, b"ENEWS\0")])
    with pytest.raises(PyXSError, match="ENEWS"):
        client.read("/a")


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize(
    "wrong",
    [
        {"rq_id": 99},
        {"tx_id": 3},
        {"op": Op.WRITE},
        {"op": 4711},
        {"op": Op.INVALID},
        {"op": Op.ERROR, "payload": b"ENOENT"},
        {"op": Op.ERROR, "payload": b""},
        {"op": Op.ERROR, "payload": b"\0"},
        {"op": Op.ERROR, "payload": b"E NOENT\0"},
        {"op": Op.ERROR, "payload": b"EN\xd6\0"},
        {"op": Op.ERROR, "payload": b"ENOENT\0\0"},
        {"op": Op.ERROR, "payload": b"ENOENT\0", "rq_id": 99},
        {"op": Op.ERROR, "payload": b"ENOENT\0", "tx_id": 99},
    ],
    ids=str,
)
def test_a_wrong_reply_ends_the_connection(connect, use, wrong):
    client, connection = connect(lambda request: [reply_to(request, **wrong)])
    with pytest.raises(UnexpectedPacket, match="^fake: "):
        use(client)
    assert "not connected" in repr(client)
    connection.answer = honest_to
    assert client.read("/a") == "value"
    assert len(connection.streams) == 2


def test_a_wrong_reply_in_a_transaction_loses_it(connect):
    client, connection = connect(honest_to)
    transaction = client.transaction()
    connection.answer = lambda request: [reply_to(request, tx_id=8)]
    with pytest.raises(UnexpectedPacket):
        transaction.read("/a")
    with pytest.raises(ConnectionError, match="transaction 7 was lost"):
        transaction.transaction_end()


def test_a_second_reply_to_a_request_is_never_taken_for_that_to_another(connect):
    def read_two():
        for path in paths(2):
            values.append(client.read(path))

    client, _ = connect(lambda request: [reply_to(request, b"one"), reply_to(request, b"two")])
    values = []
    with pytest.raises(UnexpectedPacket):
        read_two()
    assert values in ([], ["one"])


def test_a_monitor_takes_no_reply_without_a_request(connect):
    client, connection = connect(honest_to)
    with client.monitor() as monitor:
        monitor.watch("/a", "t")
        connection.streams[-1].deliver(reply_to(connection.sent[-1]))
        with pytest.raises(UnexpectedPacket, match="^fake: "):
            monitor.wait()


def test_where_ids_are_not_trusted_order_and_type_count(connect):
    def answer(request):
        return [reply_to(request, request.payload, op=answers.pop(), rq_id=99, tx_id=98)]

    answers = [Op.WRITE, Op.READ, Op.READ]
    client, _ = connect(answer, trusts_ids=False, max_outstanding=1)
    for _ in range(2):
        assert client.read("/a") == "/a\0"
    with pytest.raises(UnexpectedPacket):
        client.read("/a")


def test_restrict_is_refused_because_it_would_confine_one_connection_of_several(connect):
    client, connection = connect(honest_to)
    with pytest.raises(InvalidOperation):
        client.execute_command(Op.RESTRICT, 5)
    assert connection.sent == []


# -- room for requests ---------------------------------------------------------------------


@pytest.mark.parametrize(("count", "size", "most"), [(300, 5, 64), (400, 4096, 15)])
def test_no_more_than_64_requests_and_64_kib_are_unanswered(serve, count, size, most):
    def script(peer):
        unanswered, left = [], count
        while left:
            # Waits until the window is full.
            while len(unanswered) < min(most, left):
                unanswered.append(peer.receive())
            too_many.append(peer.has_more())
            half = max(1, len(unanswered) // 2)
            peer.send(*map(reply_to, unanswered[:half]))
            del unanswered[:half]
            left -= half
        peer.linger()

    too_many = []
    client, server = serve(script)
    names = ["/{:03}".format(number) for number in range(count)]
    client.write_many([(name, "x" * (size - 5)) for name in names])
    assert not any(too_many)
    assert [request.payload[:4].decode() for request in server.requests] == names


@pytest.mark.parametrize(("last", "together"), [(3840, 16), (3841, 15)])
def test_unanswered_requests_may_have_64_kib_to_the_byte(serve, last, together):
    """A request counts with its header of 16 bytes."""

    def script(peer):
        requests = [peer.receive() for _ in range(together)]
        too_many.append(peer.has_more())
        peer.send(*map(reply_to, requests))
        honest(peer)

    too_many = []
    client, server = serve(script)
    sizes = [4096] * 15 + [last]
    client.write_many([(path, "x" * (size - 4)) for path, size in zip(paths(99)[10:], sizes)])
    assert too_many == [False]
    assert len(server.requests) == 16


def test_where_one_request_is_allowed_the_next_waits_for_its_reply(connect):
    client, connection = connect(lambda request: [echo(request)], max_outstanding=1)
    assert client.read_many(paths(10)) == {path: path for path in paths(10)}
    assert connection.batches == [1] * 10


@pytest.mark.parametrize("count", [1, 5])
def test_too_long_a_payload_is_refused_and_nothing_is_sent(connect, count):
    client, connection = connect(honest_to, max_payload=100)
    items = [(path, "x") for path in paths(count)] + [("/long", "x" * 95)]
    with pytest.raises(pyxs.InvalidPayload, match="^/long: .* 101 bytes: .* at most 100$"):
        client.write_many(items)
    with pytest.raises(pyxs.InvalidPayload, match="^/long: .* 101 bytes: .* at most 100$"):
        client.write("/long", "x" * 95)
    assert connection.sent == []
    client.write("/long", "x" * 94)
    assert len(connection.streams) == 1


# -- time-outs -----------------------------------------------------------------------------


def silent(peer):
    """Answer nothing: a script."""
    peer.linger()


@pytest.mark.parametrize("use", USES)
def test_without_a_reply_in_time_the_call_fails_and_the_next_connects_again(serve, use):
    client, _ = serve(silent, honest, socket_timeout=0.2)
    with pytest.raises(ConnectionError, match="socket: no reply within 0.2 s$"):
        use(client)
    client.connection.socket_timeout = PATIENCE
    assert client.read("/a") == "value"


def slow(peer):
    """Answer a request every 100 ms: a script."""
    for request in peer:
        time.sleep(0.1)
        peer.send(reply_to(request))


def test_a_time_out_is_time_without_a_byte_from_the_daemon(serve):
    client, _ = serve(slow, socket_timeout=0.8)
    assert len(client.read_many(paths(10))) == 10


def test_the_time_in_which_the_caller_of_a_walk_pauses_does_not_count(serve):
    def tree(peer):
        for request in peer:
            top = request.payload == b"/\0"
            names = b"".join(b"%d\0" % number for number in range(200)) if top else b""
            peer.send(reply_to(request, names if request.op == Op.DIRECTORY else b"x" * 4000))

    client, _ = serve(tree, socket_timeout=1)
    for visited, _ in enumerate(client.walk("/")):
        if visited == 10:
            time.sleep(1.2)
    assert visited == 200


def test_a_wait_for_an_event_has_no_time_out(serve):
    def script(peer):
        peer.send(reply_to(peer.receive()))
        time.sleep(1.2)
        peer.send(event("/a", "t"))
        peer.linger()

    client, _ = serve(script, socket_timeout=1)
    with client.monitor() as monitor:
        monitor.watch("/a", "t")
        assert monitor.wait() == ("/a", "t")


def answering(*ops):
    """Return a script: it answers only these requests; there is no node."""

    def script(peer):
        for request in peer:
            if request.op in ops:
                missing = request.op == Op.READ
                peer.send(error_to(request, b"ENOENT\0") if missing else reply_to(request))

    return script


@pytest.mark.parametrize("socket_timeout", [None, PATIENCE])
@pytest.mark.parametrize("ops", [[], [Op.WATCH], [Op.READ], [Op.READ, Op.WATCH]])
def test_wait_for_ends_in_time_whatever_the_daemon_does_not_answer(serve, ops, socket_timeout):
    client, _ = serve(answering(*ops), socket_timeout=socket_timeout)
    with pytest.raises(TimeoutError, match="^/a: waited for 0.1 s, and "):
        client.wait_for("/a", timeout=0.1)


@pytest.mark.parametrize("socket_timeout", [None, PATIENCE])
def test_wait_for_ends_in_time_if_the_daemon_accepts_nobody(tmp_path, socket_timeout):
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(0)
        with Client(path), pytest.raises(TimeoutError, match="^/a: waited for 0.1 s, and "):
            Client(path, socket_timeout).wait_for("/a", timeout=0.1)


def test_wait_for_without_time_asks_once(serve):
    client, server = serve(answering(Op.READ), honest)
    with pytest.raises(TimeoutError, match="there is no such node"):
        client.wait_for("/a", timeout=0)
    assert [request.op for request in server.requests] == [Op.READ]
    assert client.wait_for("/a", timeout=0) == "value"


def fail(_value):
    raise ZeroDivisionError


def watch_refused(client):
    with client.monitor() as monitor:
        monitor.watch("/refused", "t")


@pytest.mark.parametrize(
    ("use", "failure"),
    [
        (lambda c: c.wait_for("/a", "1", timeout=0.01), TimeoutError),
        (lambda c: c.wait_for("/a", timeout=0, condition=fail), ZeroDivisionError),
        (lambda c: c.wait_for("/missing", timeout=0), TimeoutError),
        (lambda c: c.wait_for("/refused", timeout=PATIENCE), PyXSError),
        (lambda c: c.read("/refused"), PyXSError),
        (lambda c: list(c.walk("/refused")), PyXSError),
        (lambda c: c.transaction(), PyXSError),
        (watch_refused, PyXSError),
    ],
)
def test_a_call_that_failed_keeps_no_descriptor_though_its_exception_is_kept(connect, use, failure):
    def answer(request):
        if request.op == Op.TRANSACTION_START or request.payload.startswith(b"/refused"):
            return [error_to(request, b"ENOSPC\0")]
        missing = request.payload == b"/missing\0"
        return [error_to(request, b"ENOENT\0") if missing else reply_to(request)]

    before = descriptors()
    client, _ = connect(answer)
    with pytest.raises(failure) as caught:
        use(client)
    client.close()
    assert descriptors() == before
    assert caught.value


@pytest.mark.parametrize("length", [2048, 3071, 3072])
def test_wait_for_takes_a_path_as_long_as_paths_may_be(serve, length):
    def script(peer):
        peer.send(error_to(peer.receive(), b"ENOENT\0"))
        watch = peer.receive()
        peer.send(reply_to(watch), event(path, watch.payload.split(b"\0")[1].decode()))
        honest(peer)

    path = "/" + (length - 1) * "a"
    client, server = serve(script)
    assert client.wait_for(path, timeout=PATIENCE) == "value"
    assert [request.payload.split(b"\0")[0] for request in server.requests] == [path.encode()] * 3


def test_wait_for_does_not_poll(serve):
    client, server = serve()
    with pytest.raises(TimeoutError, match="the value is 'value'$"):
        client.wait_for("/a", "another", timeout=0.2)
    assert [request.op for request in server.requests] == [Op.READ, Op.WATCH, Op.READ]


@pytest.mark.parametrize(("path", "hint"), [("/a", "$"), ("a", "; a path without '/' in front")])
def test_wait_for_says_where_it_looked_for_a_relative_path(connect, path, hint):
    client, _ = connect(lambda request: [error_to(request, b"ENOENT\0")])
    with pytest.raises(TimeoutError, match="there is no such node" + hint):
        client.wait_for(path, timeout=0)


# -- many connections ----------------------------------------------------------------------


def test_a_restart_of_the_daemon_is_told_once(serve):
    def once(peer):
        request = peer.receive()
        together.wait(PATIENCE)
        peer.send(reply_to(request))
        restarted.wait(PATIENCE)

    together, restarted = threading.Barrier(4), threading.Event()
    client, server = serve(*[once] * 4, honest)
    in_threads(*[lambda: client.read("/a")] * 4)
    restarted.set()
    until(lambda: all(peer.finished.is_set() for peer in server.peers))
    with pytest.raises(ConnectionError):
        client.read("/a")
    for _ in range(4):
        assert client.read("/a") == "value"
    assert len(server.peers) == 5


def test_calls_of_other_threads_need_not_wait_for_one_that_waits(serve):
    def wait_for_the_other(peer):
        request = peer.receive()
        answered.wait(PATIENCE)
        peer.send(reply_to(request))
        peer.linger()

    def read_second():
        until(lambda: server.requests)
        value = client.read("/second")
        answered.set()
        return value

    answered = threading.Event()
    client, server = serve(wait_for_the_other, honest)
    assert in_threads(lambda: client.read("/first"), read_second) == ["value"] * 2


CALLS = [
    pytest.param(lambda client: client.read("/a"), id="read"),
    pytest.param(lambda client: client.read_many(paths(100)), id="read_many"),
    pytest.param(lambda client: list(client.walk("/")), id="walk"),
    pytest.param(lambda client: client.transaction(), id="transaction"),
    pytest.param(lambda client: client.transaction_start(), id="transaction_start"),
]


@pytest.mark.parametrize("use", CALLS)
def test_close_ends_a_call_in_progress_of_another_thread(serve, use):
    def close():
        until(lambda: server.requests)
        client.close()

    def call():
        with pytest.raises(ConnectionError, match="closed$"):
            use(client)

    client, server = serve(silent, honest)
    in_threads(call, close)
    assert client.read("/a") == "value"


def test_close_ends_a_call_in_a_transaction_of_another_thread(serve):
    def close():
        until(lambda: len(server.requests) == 2)
        client.close()

    def call():
        with pytest.raises(ConnectionError, match="closed$"):
            client.read("/a")

    client, server = serve(answer_one, honest)
    client.transaction_start()
    in_threads(call, close)


# -- sockets, locks and functions that others have replaced ------------------------------------


class PythonSocket(socket.socket):
    """Sends and receives by functions in Python, as the sockets of ssl and gevent do."""

    def send(self, *args):
        return super().send(*args)

    def recv(self, *args):
        return super().recv(*args)


class PythonConnection(UnixSocketConnection):
    def open(self):
        sock = PythonSocket(socket.AF_UNIX)
        sock.connect(self.path)
        return sock


class Wrapper:
    """The stream of a socket, by methods of its own."""

    def __init__(self, sock):
        self._sock = sock

    def send(self, data):
        return self._sock.send(data)

    def recv(self, size):
        return self._sock.recv(size)

    def fileno(self):
        return self._sock.fileno()

    def close(self):
        self._sock.close()


class WrappedConnection(UnixSocketConnection):
    def open(self):
        return Wrapper(super().open())


@pytest.mark.parametrize("connection", [PythonConnection, WrappedConnection])
def test_a_restart_is_told_once_whatever_the_socket_is_made_of(start_daemon, connection):
    daemon = start_daemon("memory")
    with Client(connection=connection(daemon.path)) as client, client.monitor() as monitor:
        client["/a"] = "1"
        monitor.watch("/a", "t")
        assert monitor.wait() == ("/a", "t")
        transaction = client.transaction()
        client.read("/a")
        daemon.restart()
        for use in (lambda: client.exists("/a"), monitor.wait, lambda: transaction.read("/a")):
            with pytest.raises(ConnectionError):
                use()
        client["/a"] = "2"
        assert client["/a"] == "2"
        monitor.watch("/a", "t")
        assert monitor.wait() == ("/a", "t")


class PythonLock:
    """A lock in Python, as profilers of locks make them."""

    def __init__(self):
        self._lock = _thread.allocate_lock()

    def acquire(self, *args, **kwargs):
        return self._lock.acquire(*args, **kwargs)

    def release(self):
        self._lock.release()

    def locked(self):
        return self._lock.locked()

    def __enter__(self):
        return self.acquire()

    def __exit__(self, *exc_info):
        self.release()


def test_threads_may_have_locks_in_python(xenstored, monkeypatch):
    def work():
        for _ in range(100):
            assert client.read("/a") == "1"
            assert client.read_many(["/a", "/a"]) == {"/a": "1"}
            assert transaction.read("/a") == "1"
            assert handle.read("", "/a") == b"1"

    monkeypatch.setenv("XENSTORED_PATH", xenstored.path)
    with Client(xenstored.path) as client, contextlib.closing(xs()) as handle:
        client["/a"] = "1"
        with client.transaction() as transaction, monkeypatch.context() as patch:
            patch.setattr("threading.Lock", PythonLock)
            in_threads(*[work] * 4)


@pytest.mark.parametrize("failure", [ConnectionRefusedError(), FileNotFoundError(2, "missing")])
@pytest.mark.parametrize("make", [Client, pyxs.monitor])
def test_a_failure_of_connect_is_a_connection_error_also_if_connect_is_replaced(
    monkeypatch, make, failure
):
    def connect(*_):
        raise failure

    monkeypatch.setattr("socket.socket.connect", connect)
    with pytest.raises(ConnectionError) as caught:
        make("/socket").__enter__()
    assert caught.value.__cause__ is failure


# -- transactions --------------------------------------------------------------------------


def test_of_two_threads_that_start_a_transaction_one_is_refused(serve):
    def start():
        together.wait(PATIENCE)
        try:
            return client.transaction_start()
        except PyXSError as exc:
            return exc.errno

    together = threading.Barrier(2)
    client, server = serve()
    for _ in range(50):
        assert set(in_threads(start, start)) == {7, errno.EALREADY}
        client.transaction_end(commit=False)
    assert len(server.requests) == 100


def test_a_call_that_waits_for_its_turn_while_the_transaction_ends_raises(serve):
    """The daemon would say ENOENT about the transaction, as about a node that is missing."""

    def script(peer):
        peer.send(reply_to(peer.receive()))
        end = peer.receive()
        ending.set()
        time.sleep(0.05)
        peer.send(reply_to(end))
        honest(peer)

    def use(call):
        ending.wait(PATIENCE)
        with pytest.raises(PyXSError, match="has ended") as caught:
            call()
        assert caught.value.errno == errno.EINVAL

    ending = threading.Event()
    client, server = serve(script, honest)
    client.transaction_start()
    running = client._channels()
    calls = [functools.partial(running.exchange, Op.READ, b"/a\0")] * 3
    in_threads(client.transaction_end, *[functools.partial(use, call) for call in calls])
    assert [request.op for request in server.requests] == [Op.TRANSACTION_START, Op.TRANSACTION_END]


@pytest.mark.parametrize("iterate", [lambda c: c.walk("/"), snapshot.lines])
@pytest.mark.parametrize("started", [0, 2])
def test_a_walk_goes_on_in_its_transaction_or_fails(xenstored, iterate, started):
    with Client(xenstored.path) as client:
        client.write_many({"/t/{}".format(number): number for number in range(300)})
        with client.transaction() as transaction:
            transaction.exists("/")
            items = iter(iterate(transaction))
            for _ in range(started):
                next(items)
        with pytest.raises(PyXSError, match="has ended"):
            list(items)


# -- watches and events --------------------------------------------------------------------


@pytest.fixture
def watching(connect):
    """Return a function that makes a monitor with a watch, and delivers events to it."""
    with contextlib.ExitStack() as stack:

        def watching(wpath="/", token="t"):
            client, connection = connect(honest_to)
            monitor = stack.enter_context(client.monitor())
            monitor.watch(wpath, token)
            return monitor, connection.streams[-1].deliver

        yield watching


@pytest.mark.parametrize(
    ("path", "token"), [("/ab", "t"), ("/", "t"), ("/a", "u"), ("/a/b", "/a"), ("@other", "t")]
)
def test_an_event_that_no_live_watch_covers_is_dropped(watching, path, token):
    monitor, deliver = watching("/a", "t")
    deliver(event(path, token), event("/a", "t"))
    assert monitor.check() == ("/a", "t")
    assert monitor.check() is None


@pytest.mark.parametrize(
    ("wpath", "path"),
    [
        ("/", "/a/b"),
        ("/", "@introduceDomain"),
        ("a", "a/b"),
        ("@releaseDomain", "@releaseDomain"),
        ("@releaseDomain/5", "@releaseDomain"),
        ("@releaseDomain/5", "@releaseDomain/5"),
    ],
)
def test_an_event_of_a_path_that_a_watch_covers_is_returned(watching, wpath, path):
    monitor, deliver = watching(wpath, "t")
    deliver(event(path, "t"))
    assert monitor.check() == (path, "t")


def test_events_met_behind_a_reply_are_kept_and_make_fileno_readable(connect):
    def answer(request):
        return [reply_to(request), *(event(path, "t") for path in paths(50))]

    client, _ = connect(answer)
    with client.monitor() as monitor:
        number = monitor.fileno()
        monitor.watch("/", "t")
        for path in paths(50):
            assert select.select([number], [], [], 0)[0]
            assert monitor.check() == (path, "t")
        assert not select.select([number], [], [], 0)[0]


def test_a_thread_that_waits_lets_the_requests_of_others_through(serve, patience):
    def script(peer):
        for request in peer:
            peer.send(reply_to(request))
            if request.op == Op.UNWATCH:
                peer.send(event("/a", "t"))

    def others():
        time.sleep(0.05)  # until the first waits; it is right also if that takes longer
        assert monitor.check() is None
        monitor.watch("/b", "u")
        monitor.unwatch("/b", "u")

    client, _ = serve(script)
    with client.monitor() as monitor:
        monitor.watch("/a", "t")
        assert in_threads(monitor.wait, others)[0] == ("/a", "t")


def test_a_turn_is_not_waited_for_after_its_deadline():
    queue, first = turns.Turns(), turns.Turn()
    assert queue.enter(first)
    late = functools.partial(queue.enter, turns.Turn(), deadline=time.monotonic() - 5)
    assert in_threads(late) == [False]
    queue.leave(first)
    assert in_threads(late) == [True]


def test_a_second_thread_that_waits_ends_in_time(watching, patience):
    def second():
        time.sleep(0.05)
        assert monitor.wait(timeout=0.05) is None
        deliver(event("/a", "t"))

    monitor, deliver = watching()
    assert in_threads(monitor.wait, second)[0] == ("/a", "t")


def test_each_event_goes_to_one_of_the_threads_that_wait(watching, patience):
    monitor, deliver = watching()
    deliver_all = functools.partial(deliver, *(event(path, "t") for path in paths(10)))
    seen = in_threads(*[monitor.wait] * 10, deliver_all)[:10]
    assert sorted(each.path for each in seen) == paths(10)


@pytest.mark.parametrize("line", ["while self._events", "held.extend("])
def test_a_wait_goes_on_if_another_thread_takes_its_event(watching, line):
    def take():
        assert in_threads(monitor.check) == [("/1", "t")]
        deliver(event("/2", "t"))

    monitor, deliver = watching()
    deliver(event("/0", "t"), event("/1", "t"))
    assert monitor.wait() == ("/0", "t")
    with before_line(Watching._take, line, take):
        assert monitor.wait() == ("/2", "t")


def test_what_a_handler_raises_in_the_clean_up_comes_out_though_there_is_an_event(
    watching, monkeypatch
):
    def handler(*_):
        raise ConnectionError("another client's")

    def interrupted(*_):
        os.kill(os.getpid(), signal.SIGUSR1)

    monitor, deliver = watching()
    deliver(event("/1", "t"))
    old = signal.signal(signal.SIGUSR1, handler)
    try:
        monkeypatch.setattr(channel.Channel, "finish", interrupted)
        twice = before_line(Shared.wait, "while not (take()", interrupt, passes=2)
        with twice, pytest.raises(ConnectionError, match="another client's"):
            monitor.wait()
    finally:
        monkeypatch.undo()
        signal.signal(signal.SIGUSR1, old)
    assert monitor.wait() == ("/1", "t")


@pytest.mark.parametrize(
    "use", [lambda m: m.watch("/c", "c"), lambda m: m.unwatch("/a", "a"), lambda m: m.wait()]
)
def test_the_call_after_an_interrupted_clean_up_takes_another_connection_once(
    daemon, monkeypatch, use
):
    class Counted(UnixSocketConnection):
        opened = 0

        def open(self):
            self.opened += 1
            return super().open()

    connection = Counted(daemon.path)
    with Monitor(connection) as monitor:
        monitor.watch("/a", "a")
        assert monitor.wait() == ("/a", "a")
        with monkeypatch.context() as patch:
            patch.setattr(shared, "settle", lambda *_: interrupt())
            answered = before_line(channel.Channel.exchange, "pieces = self._framer", interrupt)
            with answered, pytest.raises(HandlerError):
                monitor.watch("/b", "b")
        use(monitor)
        monitor.watch("/d", "d")
        assert connection.opened == 2


def test_a_lost_connection_fails_every_thread_that_waits(serve, patience):
    def script(peer):
        peer.send(reply_to(peer.receive()))
        waiting.wait(PATIENCE)
        peer.finish()

    def wait():
        with pytest.raises(ConnectionError, match="the daemon closed the connection"):
            monitor.wait()

    def lose():
        time.sleep(0.05)
        waiting.set()

    waiting = threading.Event()
    client, _ = serve(script)
    with client.monitor() as monitor:
        monitor.watch("/", "t")
        in_threads(*[wait] * 5, lose)


def test_closing_a_monitor_ends_every_thread_that_waits(watching, patience):
    def wait():
        with pytest.raises(ConnectionError, match="closed$"):
            monitor.wait()

    def close():
        time.sleep(0.05)
        monitor.close()

    monitor, _ = watching()
    in_threads(*[wait] * 5, close)


def test_events_that_arrived_before_a_loss_are_returned_after_it(serve):
    def script(peer):
        peer.send(reply_to(peer.receive()))
        request = peer.receive()
        peer.send(event("/a", "t"), reply_to(request), event("/b", "t"))
        peer.finish()

    client, _ = serve(script)
    with client.monitor() as monitor:
        monitor.watch("/", "t")
        monitor.watch("/x", "u")
        assert monitor.wait() == ("/a", "t")
        assert monitor.wait() == ("/b", "t")
        for use in (monitor.wait, monitor.check):
            with pytest.raises(ConnectionError, match="the daemon closed the connection"):
                use()


def open_monitor(path):
    return Monitor(UnixSocketConnection(path))


def open_handle(path):
    os.environ["XENSTORED_PATH"] = path
    return xs()


class Flood(FakeConnection):
    """The daemon answers so many requests, and sends events without a pause."""

    def __init__(self, answers):
        replies = [b"0"] * answers
        super().__init__(lambda packet: [reply_to(packet, replies.pop())] if replies else [])

    def open(self):
        stream, receive = super().open(), self.streams[-1].recv
        stream.deliver(event("/other", "none"))

        def receive_and_send(size):
            data = receive(size)
            stream.deliver(event("/other", "none"))
            return data

        stream.recv = receive_and_send
        return stream


@pytest.mark.parametrize("answers", [1, 2])
def test_wait_for_ends_in_time_though_bytes_keep_coming(answers):
    client = Client(connection=Flood(answers))
    with pytest.raises(TimeoutError, match="waited for 0.1 s"):
        client.wait_for("/a", "1", timeout=0.1)
    client.close()


def test_wait_ends_in_time_though_bytes_keep_coming():
    monitor = Monitor(Flood(0))
    monitor.connection.answer = lambda packet: [reply_to(packet)]
    monitor.watch("/a")
    assert monitor.wait(timeout=0.1) is None
    monitor.close()


@pytest.mark.parametrize("line", ["readiness.follow(channel)", "self._readiness = readiness"])
def test_fileno_works_after_an_interruption_in_the_first(watching, line):
    monitor, deliver = watching()
    with pytest.raises(HandlerError), before_line(Watching._fileno, line, interrupt):
        monitor.fileno()
    descriptor = monitor.fileno()
    assert not select.select([descriptor], [], [], 0)[0]
    deliver(event("/a", "t"))
    assert select.select([descriptor], [], [], PATIENCE)[0]


@pytest.mark.parametrize("line", ["self._readiness.follow(channel)", "self._connecting = None"])
def test_fileno_is_readable_after_an_interruption_while_it_connects_again(serve, line):
    def tell(peer):
        for request in peer:
            peer.send(reply_to(request), event("/a", "/a"))

    client, _ = serve(answer_one, tell)
    monitor = client.monitor("/a")
    descriptor = monitor.fileno()
    with pytest.raises(HandlerError), alarm(interrupt):
        monitor.watch("/b")
    with pytest.raises(HandlerError), before_line(Watching._connect, line, interrupt):
        monitor.check()
    assert select.select([descriptor], [], [], PATIENCE)[0]
    assert monitor.wait(timeout=PATIENCE) == ("/a", "/a")
    monitor.close()


def test_an_exception_while_fileno_is_brought_up_to_date_leaves_the_event(watching):
    monitor, deliver = watching()
    monitor.fileno()
    deliver(event("/1", "t"))
    with pytest.raises(HandlerError), before_line(Watching._refresh, "readiness.show", interrupt):
        monitor.wait()
    assert monitor.wait() == ("/1", "t")


def test_close_of_another_thread_while_fileno_is_brought_up_to_date(watching):
    monitor, deliver = watching()
    monitor.fileno()
    deliver(event("/1", "t"))
    with before_line(Watching._refresh, "readiness.show", lambda: in_threads(monitor.close)):
        assert monitor.check() == ("/1", "t")


def test_a_watch_that_is_refused_when_it_is_set_again_ends_the_monitor_with_the_reason(serve):
    def refuse(peer):
        for request in peer:
            peer.send(error_to(request, b"ENOSPC\0"))

    client, _ = serve(answer_one, refuse)
    monitor = client.monitor("/a")
    with pytest.raises(HandlerError), alarm(interrupt):
        monitor.watch("/b")
    for _ in range(2):
        with pytest.raises(ConnectionError, match="No space left on device") as failed:
            monitor.wait(timeout=PATIENCE)
    assert failed.value.__cause__.errno == errno.ENOSPC
    monitor.close()


def test_an_interrupted_watch_is_ended_outside_of_any_transaction(serve):
    client, server = serve()
    monitor = client.monitor()
    line = "watch.is_set = reply"
    with pytest.raises(HandlerError), before_line(Watching._watch, line, interrupt):
        monitor.watch("/a", "t")
    sent = [(request.op, request.payload, request.tx_id) for request in server.requests]
    assert sent == [(op, b"/a\0t\0", 0) for op in (Op.WATCH, Op.UNWATCH)]
    monitor.close()


@pytest.mark.parametrize(
    ("method", "read"),
    [
        (channel.Channel.exchange, lambda client: client.read("/a")),
        (channel.Channel.send, lambda client: client.read_many(["/a", "/b"])),
    ],
    ids=["exchange", "send"],
)
def test_an_exception_before_anything_was_sent_keeps_the_connection(serve, method, read):
    client, server = serve()
    client.read("/a")
    line = "counts.extend(map(self._send, (data,)))"
    with pytest.raises(HandlerError), before_line(method, line, interrupt):
        read(client)
    assert client.read("/a") == "value"
    assert (len(server.peers), len(server.requests)) == (1, 2)


def test_a_wait_ends_in_time_though_only_the_header_of_an_event_has_come(serve):
    def script(peer):
        peer.send(reply_to(peer.receive()))
        for part, due in zip((message[:16], message[16:]), (watched, waited)):
            assert due.wait(PATIENCE)
            peer.send(part)
        peer.linger()

    message, watched, waited = bytes(event("/a", "/a")), threading.Event(), threading.Event()
    client, _ = serve(script, socket_timeout=None)
    monitor = client.monitor("/a")
    watched.set()
    assert monitor.wait(timeout=0.05) is None
    assert monitor.wait(timeout=0) is None
    waited.set()
    assert monitor.wait(timeout=PATIENCE) == ("/a", "/a")
    monitor.close()


def test_where_ids_are_not_trusted_replies_are_in_the_order_of_the_requests(connect):
    asked = []

    def answer(request):
        asked.append(request)
        if len(asked) < 3:
            return []
        ids = [each.rq_id for each in asked]
        return [
            reply_to(each, each.payload[:-1], rq_id=rq_id)
            for each, rq_id in zip(asked, reversed(ids))
        ]

    client, _ = connect(answer, trusts_ids=False)
    assert client.read_many(paths(3)) == {path: path for path in paths(3)}


def test_a_commit_inside_a_call_of_the_transaction_is_refused_and_changes_nothing(connect):
    def commit():
        with pytest.raises(PyXSError) as caught:
            t.transaction_end()
        assert caught.value.errno == errno.EDEADLK

    client, connection = connect(honest_to)
    t = client.transaction()
    line = "counts.extend(map(self._send, (data,)))"
    with before_line(channel.Channel.exchange, line, commit):
        assert t.read("/a") == "value"
    t.transaction_end()
    assert connection.sent[-1].payload == b"T\0"


def test_a_commit_of_another_thread_waits_for_the_call_in_the_transaction(serve):
    def script(peer):
        peer.send(reply_to(peer.receive()))
        read = peer.receive()
        asked.set()
        assert not peer.has_more()
        peer.send(reply_to(read))
        honest(peer)

    def commit():
        assert asked.wait(PATIENCE)
        t.transaction_end()

    asked = threading.Event()
    client, server = serve(script)
    t = client.transaction()
    assert in_threads(functools.partial(t.read, "/a"), commit)[0] == "value"
    assert [request.op for request in server.requests][1:] == [Op.READ, Op.TRANSACTION_END]


def test_a_refusal_to_start_a_transaction_comes_out_as_it_is(connect):
    client, connection = connect(lambda request: [error_to(request, b"EBUSY\0")])
    for _ in range(2):
        with pytest.raises(pyxs.QuotaExceeded, match="too many transactions") as caught:
            client.transaction()
        assert caught.value.errno == errno.EBUSY
    assert len(connection.streams) == 1


@pytest.mark.parametrize("answer", [None, b"EAGAIN\0"])
def test_an_ended_transaction_gives_its_connection_back(connect, answer):
    def script(request):
        if request.op == Op.TRANSACTION_END and answer is not None:
            return [error_to(request, answer)]
        return [reply_to(request)]

    client, connection = connect(script)
    for _ in range(3):
        t = client.transaction()
        t.read("/a")
        with contextlib.suppress(pyxs.Conflict):
            t.transaction_end()
    client.read("/a")
    assert len(connection.streams) == 1


def test_four_connections_stay_open_and_no_more(serve):
    def together(peer):
        for request in peer:
            here.wait()
            peer.send(reply_to(request))

    here = threading.Barrier(6, timeout=PATIENCE)
    client, server = serve(together)
    in_threads(*[functools.partial(client.read, "/a")] * 6)
    until(lambda: sum(peer.gone.is_set() for peer in server.peers) == 2)
    here = threading.Barrier(4, timeout=PATIENCE)
    in_threads(*[functools.partial(client.read, "/a")] * 4)
    assert len(server.peers) == 6


def two_idle(serve, until_then):
    """Return a client with two idle connections to a server that then does so with each."""

    def script(peer):
        request = peer.receive()
        here.wait()
        peer.send(reply_to(request))
        until_then(peer)

    here = threading.Barrier(2, timeout=PATIENCE)
    client, server = serve(script, script, honest)
    in_threads(*[functools.partial(client.read, "/a")] * 2)
    return client, server


FIRST_CALLS = [*USES, pytest.param(lambda client: client.transaction(), id="transaction")]


@pytest.mark.parametrize("call", FIRST_CALLS)
def test_that_the_daemon_has_gone_is_told_once(serve, call):
    client, server = two_idle(serve, lambda peer: peer.finish())
    until(lambda: all(peer.finished.is_set() for peer in server.peers))
    with pytest.raises(ConnectionError):
        call(client)
    assert client.read("/a") == "value"
    assert len(server.peers) == 3


@pytest.mark.parametrize("call", FIRST_CALLS)
def test_an_exception_of_a_handler_costs_at_most_the_connection_of_its_call(serve, call):
    client, server = two_idle(serve, silent)
    with pytest.raises(HandlerError), alarm(interrupt):
        call(client)
    until(lambda: any(peer.gone.is_set() for peer in server.peers))
    assert [peer.gone.is_set() for peer in server.peers].count(False) == 1


@pytest.mark.parametrize("call", FIRST_CALLS)
def test_an_exception_of_a_handler_comes_out_though_the_daemon_goes_meanwhile(serve, call):
    def handler():
        server.peers[0].finish()
        interrupt()

    client, server = serve(silent, honest)
    with pytest.raises(HandlerError), alarm(handler):
        call(client)
    assert client.read("/a") == "value"


def test_an_error_of_pyxs_comes_out_of_open_as_it_is():
    class Refusing(UnixSocketConnection):
        def open(self):
            raise failure

    failure = ConnectionError("mine")
    with pytest.raises(ConnectionError) as caught:
        Client(connection=Refusing("/socket")).read("/a")
    assert caught.value is failure


def test_a_deadline_that_has_passed_is_no_time_to_wait():
    past = time.monotonic() - 5
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert not readiness.Poller(ours.fileno()).wait(past)
    assert 0 < within(UnixSocketConnection("/socket"), past).socket_timeout < 1


def test_a_wakeup_that_nobody_clears_takes_no_time_and_is_cleared_at_once():
    wakeup = readiness.Wakeup()
    for _ in range(10000):  # more than the buffer of a socket takes
        wakeup.set()
    assert select.select([wakeup], [], [], 0)[0]
    wakeup.clear()
    assert not select.select([wakeup], [], [], 0)[0]


def test_what_has_ended_a_wait_does_not_end_the_next_one():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        poller = readiness.Poller(ours.fileno())
        wakeup = poller.make_wakeup()
        wakeup.set()
        assert not poller.wait(None)
        theirs.send(b"!")
        wakeup.set()
        assert poller.wait(None)
        assert not select.select([wakeup], [], [], 0)[0]


@pytest.mark.parametrize("number", [1, 64])
def test_a_handler_of_each_signal_is_known_by_what_it_raises(number):
    def handler(*_):
        raise OSError("mine")

    old = signal.signal(number, handler)
    try:
        with pytest.raises(OSError, match="mine") as caught:
            os.kill(os.getpid(), number)
        assert raised_by_handler(caught.value)
    finally:
        signal.signal(number, old)


@pytest.mark.parametrize("line", ["due.pop(key, None)", "del frames[0]"])
def test_replies_that_came_together_are_told_apart_after_an_interruption(serve, line):
    def together(peer):
        requests = [peer.receive() for _ in range(3)]
        peer.send(*map(echo, requests))
        honest(peer)

    client, server = serve(together)
    with pytest.raises(HandlerError), before_line(Inbox._take, line, interrupt):
        client.read_many(paths(3))
    assert client.read("/a") == "value"
    assert len(server.peers) == 1


def test_an_event_of_a_watch_that_has_ended_is_none_of_a_later_one_like_it(watching):
    monitor, deliver = watching("/a", "t")
    deliver(event("/a", "t"), event("/b", "u"))
    monitor.watch("/b", "u")  # receives both
    monitor.unwatch("/a", "t")
    monitor.watch("/a", "t")
    assert monitor.check() == ("/b", "u")
    assert monitor.check() is None


def test_an_unwatch_goes_on_if_another_thread_takes_an_event_of_its_watch(watching):
    def take():
        assert in_threads(monitor.check) == [("/b", "u")]

    monitor, deliver = watching("/a", "t")
    deliver(event("/a", "t"), event("/a", "t"), event("/b", "u"))
    monitor.watch("/b", "u")  # receives all
    with before_line(Watching._drop_strays, "self._events.remove", take):
        monitor.unwatch("/a", "t")
    assert monitor.check() is None


def test_an_event_that_arrived_before_the_loss_comes_first(serve):
    def script(peer):
        peer.send(reply_to(peer.receive()))
        peer.send(event("/a", "/a"), reply_to(peer.receive()))
        peer.receive()

    def lose():
        monitor.watch("/b")  # with its reply comes the event
        with pytest.raises(ConnectionError):
            monitor.watch("/c")

    client, _ = serve(script)
    monitor = client.monitor("/a")
    with before_line(Watching._next, "wait(take)", lambda: in_threads(lose)):
        assert monitor.wait(timeout=PATIENCE) == ("/a", "/a")
    with pytest.raises(ConnectionError):
        monitor.wait(timeout=PATIENCE)
    monitor.close()


def test_all_watches_but_the_interrupted_one_are_set_again(serve):
    def refuse_b(peer):
        for request in peer:
            if request.payload.startswith(b"/b"):
                peer.send(error_to(request, b"EACCES\0"))
            elif not request.payload.startswith(b"/d"):
                peer.send(reply_to(request))

    client, server = serve(refuse_b, honest)
    monitor = client.monitor("/a")
    line = "self.forget([watch])"
    with pytest.raises(HandlerError), before_line(Watching._watch, line, interrupt):
        monitor.watch("/b")
    monitor.watch("/c")
    with pytest.raises(HandlerError), alarm(interrupt):
        monitor.watch("/d")  # has no reply
    assert monitor.check() is None
    again = [request.payload for request in server.peers[1].requests]
    assert again == [b"/a\0/a\0", b"/c\0/c\0"]
    monitor.close()


def test_a_watch_that_was_refused_and_interrupted_may_be_set_again(serve):
    def script(peer):
        for request in peer:
            peer.send(error_to(request, b"EACCES\0"))

    client, _ = serve(script)
    monitor = client.monitor()
    with pytest.raises(HandlerError), before_line(
        Watching._watch, "self.forget([watch])", interrupt
    ):
        monitor.watch("/a")
    with pytest.raises(PyXSError, match="Permission denied"):
        monitor.watch("/a")
    monitor.close()


def test_a_descriptor_is_closed_though_something_refers_to_it():
    ours, theirs = socket.socketpair()
    descriptor = Descriptor(ours)
    descriptor.close()
    assert theirs.recv(1) == b""
    theirs.close()


def test_close_closes_an_idle_connection_whatever_refers_to_it(serve):
    # As a debugger may, or on Python 3.12 a frame in which the collector ran.
    class Recording(UnixSocketConnection):
        def open(self):
            stream = super().open()
            self.number = stream.fileno()
            return stream

    _, server = serve(honest)
    connection = Recording(server.path)
    with Client(connection=connection) as client:
        client.read("/a")
        held = [each for each in gc.get_objects() if isinstance(each, Descriptor)]
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(connection.number)
    assert held


def test_a_daemon_that_has_closed_before_is_no_error_of_shutting_down():
    class Stream(socket.socket):
        def shutdown(self, how):
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))

    ours, theirs = socket.socketpair()
    with theirs:
        held = Descriptor(Stream(fileno=ours.detach()))
        held.shut_down()
        held = None
        assert theirs.recv(1) == b""


def test_what_a_handler_raises_comes_out_of_shutting_down():
    class Stream(socket.socket):
        def shutdown(self, how):
            raise ConnectionError("mine")

    ours, theirs = socket.socketpair()
    with theirs, pytest.raises(ConnectionError, match="mine"):
        Descriptor(Stream(fileno=ours.detach())).shut_down()


def test_a_file_that_cannot_be_closed_does_not_stop_a_child():
    class Stream(socket.socket):
        def close(self):
            super().close()
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    ours, theirs = socket.socketpair()
    with theirs:
        Descriptor(Stream(fileno=ours.detach())).forked()
        assert theirs.recv(1) == b""


def test_a_descriptor_that_another_thread_shuts_down_is_closed_after_that():
    class Stream(socket.socket):
        def shutdown(self, how):
            held.close()
            assert self.fileno() >= 0
            super().shutdown(how)

    ours, theirs = socket.socketpair()
    held = Descriptor(Stream(fileno=ours.detach()))
    number = held.file.fileno()
    held.shut_down()
    os.fstat(number)
    held = None
    with theirs, pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)


def test_calls_that_have_waited_for_their_turn_leave_nothing_behind():
    queue, going_on = turns.Turns(), threading.Event()

    def hold():
        turn = turns.Turn()
        queue.enter(turn)
        going_on.wait(PATIENCE)
        queue.leave(turn)

    thread = threading.Thread(target=hold, daemon=True)
    thread.start()
    until(lambda: queue._queue)
    for _ in range(3):
        turn = turns.Turn()
        assert not queue.enter(turn, deadline=time.monotonic() + 0.01)
    assert len(queue._queue) == 1
    assert queue._locks == {}
    going_on.set()
    thread.join()


@pytest.mark.parametrize("make", [open_monitor, open_handle])
def test_two_threads_that_first_ask_for_fileno_get_the_same_open_descriptor(
    xenstored, monkeypatch, make
):
    def ask():
        together.wait(PATIENCE)
        return watching.fileno()

    monkeypatch.setenv("XENSTORED_PATH", "")  # undone after the test
    together = threading.Barrier(2)
    for _ in range(50):
        with contextlib.closing(make(xenstored.path)) as watching:
            one, other = in_threads(ask, ask)
            assert one == other
            os.fstat(one)


@pytest.mark.parametrize("line", ["if kind != ERROR", "return Transaction("])
def test_a_transaction_whose_start_is_interrupted_behind_the_reply_is_not_left_open(
    xenstored, line
):
    with Client(xenstored.socket_for(1)) as guest:
        for _ in range(2 * 10):  # a guest has 10 transactions at most
            with before_line(start_transaction, line, interrupt), pytest.raises(HandlerError):
                guest.transaction()
        assert guest.run_transaction(lambda transaction: transaction.get_domain_path(1))
