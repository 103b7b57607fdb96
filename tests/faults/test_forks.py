"""A child process never touches its parent's connections."""

import functools
import multiprocessing
import os
import select
import signal
import stat
import sys
import threading
import time
import warnings

import pytest

import pyxs
from common import PATIENCE, in_threads, until
from fakes import FakeServer, event, honest, reply_to
from forks import fork
from pyxs import Client, ConnectionError
from pyxs._channels import turns

from . import scaled


def in_child(function):
    """Run the function in a forked child; fail if it fails or hangs."""
    reader, writer = os.pipe()
    pid = fork()
    if pid == 0:
        status = 1
        try:
            os.close(reader)
            signal.alarm(PATIENCE)  # a child that hangs on a lock must not outlive the test
            function()
            status = 0
        except BaseException as failure:
            os.write(writer, "{!r}, caused by {!r}".format(failure, failure.__cause__).encode())
        finally:
            os._exit(status)
    os.close(writer)
    with open(reader, "rb") as said:
        message = said.read().decode()
    _, status = os.waitpid(pid, 0)
    assert status == 0, message or "the child hung"


def sockets():
    """Return the sockets that this process has open."""
    names = ["/proc/self/fd/" + name for name in os.listdir("/proc/self/fd")]
    links = [os.readlink(name) for name in names if os.path.lexists(name)]
    return {link for link in links if link.startswith("socket:")}


@pytest.mark.parametrize("daemon", ["memory", "c", "ocaml"], indirect=True)
def test_a_child_gets_a_connection_of_its_own(daemon):
    before = sockets()
    client = Client(daemon.path, socket_timeout=PATIENCE)
    client.write("/a", "parent")
    inherited = sockets() - before  # and the end of the memory daemon, which runs in this process

    def child():
        assert client.read("/a") == "parent"
        assert len(sockets() & inherited) <= 1
        client.write("/b", "child")
        client.close()

    in_child(child)
    assert client.read("/b") == "child"
    client.close()


def test_a_child_does_not_shut_down_the_connection_of_its_parent():
    with FakeServer(honest) as server:
        client = Client(server.path, socket_timeout=PATIENCE)
        client.read("/a")

        def child():
            for use in (lambda: client.read("/a"), client.close):
                use()

        in_child(child)
        assert client.read("/a") == "value"
        assert len(server.peers) == 2
        assert not server.peers[0].gone.is_set()
        client.close()


def test_a_child_that_only_closes_touches_nothing():
    with FakeServer(honest) as server:
        client = Client(server.path, socket_timeout=PATIENCE)
        before = sockets()
        client.read("/a")
        inherited = sockets() - before  # and the server's end

        def child():
            client.close()
            assert len(sockets() & inherited) == 1

        in_child(child)
        assert client.read("/a") == "value"
        assert len(server.peers) == 1
        client.close()


@pytest.mark.parametrize("daemon", ["memory", "c"], indirect=True)
def test_a_transaction_stays_with_the_parent(daemon):
    client = Client(daemon.path, socket_timeout=PATIENCE)
    client.transaction_start()
    client.write("/a", "in the transaction")

    def child():
        with pytest.raises(ConnectionError):
            client.write("/a", "from the child")
        with pytest.raises(ConnectionError):
            client.transaction_end()
        assert client.read("/a", None) is None

    in_child(child)
    client.transaction_end()
    assert client.read("/a") == "in the transaction"
    client.close()


def test_a_child_that_leaves_the_block_does_not_end_the_parents_transaction():
    with FakeServer(honest) as server:
        with Client(server.path, socket_timeout=PATIENCE, transaction=True) as client:
            sent = len(server.requests)
            in_child(lambda: client.transaction_end(commit=False))
            in_child(client.close)
            assert len(server.requests) == sent
            client.read("/a")
        assert [request.tx_id for request in server.requests[1:]] == [7, 7]


@pytest.mark.parametrize("daemon", ["memory", "c", "ocaml"], indirect=True)
def test_a_monitor_in_a_child_raises_until_it_watches_again(daemon):
    monitor = pyxs.monitor(daemon.path, socket_timeout=PATIENCE)
    monitor.watch("/a", "t")
    assert monitor.wait() == ("/a", "t")

    def child():
        for use in (monitor.wait, monitor.check, monitor.fileno):
            with pytest.raises(ConnectionError):
                use()
        with pytest.raises(ConnectionError):
            monitor.unwatch("/a", "t")
        monitor.watch("/a", "u")
        assert monitor.wait() == ("/a", "u")
        monitor.close()

    in_child(child)
    with Client(daemon.path) as client:
        client.write("/a", 1)
    assert monitor.wait(timeout=PATIENCE) == ("/a", "t")
    assert monitor.check() is None
    monitor.close()


def test_a_child_waits_for_no_call_of_its_parents_threads(monkeypatch):
    monkeypatch.setattr(turns, "_LOOK_AGAIN", 10 * PATIENCE)
    with FakeServer(lambda peer: peer.linger(), honest) as server:
        client = Client(server.path)

        def start():
            with pytest.raises(ConnectionError):
                client.transaction_start()

        def child():
            client.transaction_start()
            assert client.read("/a") == "value"

        thread = threading.Thread(target=start, daemon=True)
        thread.start()
        until(lambda: server.requests)
        in_child(child)
        client.close()
        thread.join()


def test_a_child_that_watches_again_leaves_the_parents_descriptor_alone():
    def script(peer):
        for request in peer:
            events = [event("/b", "t")] * 2 if request.payload == b"/b\0t\0" else []
            peer.send(reply_to(request), *events)

    with FakeServer(script) as server:
        monitor = pyxs.monitor(server.path, socket_timeout=PATIENCE)
        monitor.watch("/a", "t")
        descriptor = monitor.fileno()

        def child():
            monitor.watch("/b", "t")
            assert monitor.wait() == ("/b", "t")
            assert select.select([monitor.fileno()], [], [], PATIENCE)[0]

        in_child(child)
        assert not select.select([descriptor], [], [], 0)[0]
        server.peers[0].send(event("/a", "t"))
        assert select.select([descriptor], [], [], PATIENCE)[0]
        assert monitor.check() == ("/a", "t")
        assert not select.select([descriptor], [], [], 0)[0]
        monitor.close()


@pytest.mark.parametrize("number", [0, 1])
def test_fileno_follows_a_connection_with_the_number_of_a_standard_stream(number):
    go_on, again = os.pipe()

    def script(peer):
        peer.send(reply_to(peer.receive()))
        assert os.read(go_on, 1)
        peer.send(event("/a", "t"))
        peer.linger()

    def child():
        os.close(number)  # as a daemon does
        monitor = pyxs.monitor(server.path, socket_timeout=PATIENCE)
        monitor.watch("/a", "t")
        assert stat.S_ISSOCK(os.fstat(number).st_mode)
        assert not select.select([monitor.fileno()], [], [], 0)[0]
        os.write(again, b"x")
        assert select.select([monitor.fileno()], [], [], PATIENCE)[0]
        assert monitor.check() == ("/a", "t")

    with FakeServer(script) as server:
        in_child(child)
    os.close(go_on)
    os.close(again)


def test_a_walk_that_is_forked_ends_in_the_child():
    def script(peer):
        for request in peer:
            names = b"".join(b"%d\0" % number for number in range(40))
            is_root = request.payload == b"/\0" and request.op == 1
            peer.send(pyxs.connection.Packet(request.op, names if is_root else b"", request.rq_id))

    with FakeServer(script) as server:
        client = Client(server.path, socket_timeout=PATIENCE)
        walk = client.walk("/")
        next(walk)

        def child():
            with pytest.raises(ConnectionError):
                list(walk)

        in_child(child)
        assert len(list(walk)) == 40
        assert client.read("/a") == ""
        client.close()


@pytest.mark.skipif(sys.version_info < (3, 7), reason="3.6 tells nobody that it has forked")
@pytest.mark.parametrize("daemon", ["memory"], indirect=True)
def test_threads_of_a_child_may_be_the_first_to_call(daemon):
    client = Client(daemon.path)
    monitor = client.monitor("/a")
    assert client.read("/") == ""

    def child():
        sys.setswitchinterval(1e-6)
        calls = [lambda: client.read("/")] * 2
        watches = [functools.partial(monitor.watch, path) for path in ("/b", "/c")]
        in_threads(*calls, *watches)
        assert {monitor.wait().path, monitor.wait().path} == {"/b", "/c"}

    for _ in range(scaled(20, 400)):
        in_child(child)
    client.close()
    monitor.close()


@pytest.mark.parametrize("daemon", ["memory", "c"], indirect=True)
def test_forks_while_threads_are_in_calls(daemon):
    client = Client(daemon.path, socket_timeout=PATIENCE)
    monitor = client.monitor()
    monitor.watch("/counter", "t")
    stop = threading.Event()
    failures = []

    def guard(work):
        try:
            while not stop.is_set():
                work()
        except BaseException as failure:
            failures.append(failure)

    def count(thread):
        path = "/counter/{}".format(thread)
        client.write(path, client.read(path, "0") and "1")
        assert client.read(path) == "1"

    def add():
        def increase(transaction):
            transaction.write("/sum", int(transaction.read("/sum", "0")) + 1)

        client.run_transaction(increase)

    def child():
        for number in range(5):
            client.write("/child", number)
            assert client.read("/child") == str(number)
        monitor.watch("/child", "child")
        assert monitor.wait() == ("/child", "child")

    threads = [threading.Thread(target=guard, args=[lambda n=n: count(n)]) for n in range(4)]
    threads.append(threading.Thread(target=guard, args=[add]))
    threads.append(threading.Thread(target=guard, args=[lambda: monitor.wait(timeout=0.1)]))
    for thread in threads:
        thread.start()
    try:
        for _ in range(scaled(15, 300)):
            in_child(child)
            time.sleep(0.001)
    finally:
        stop.set()
        for thread in threads:
            thread.join(PATIENCE)
    assert failures == []
    assert client.read("/child") == "4"
    client.close()
    monitor.close()


def square_of_stored_value(number):
    return int(shared.read("/{}".format(number))) ** 2


shared = None


@pytest.mark.parametrize("daemon", ["memory", "c"], indirect=True)
def test_multiprocessing_workers_share_a_client_made_before_the_fork(daemon):
    global shared
    shared = Client(daemon.path, socket_timeout=PATIENCE)
    shared.write_many({"/{}".format(number): number for number in range(50)})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        with multiprocessing.get_context("fork").Pool(4) as pool:
            squares = pool.map(square_of_stored_value, range(50))
    assert squares == [number**2 for number in range(50)]
    assert shared.read("/7") == "7"
    shared.close()
