"""Sockets, locks and openers that are written in Python fail as the usual ones do."""

import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from unittest.mock import patch

import pytest

import pyxs
from common import PATIENCE, HandlerError, alarm, in_threads, interrupt
from fakes import FakeServer, answer_one, honest, reply_to
from pyxs import Client, ConnectionError, Monitor
from pyxs.connection import SocketConnection, UnixSocketConnection

from . import openers, scaled


class PythonSocket(socket.socket):
    """A socket whose methods are functions in Python, as those of ssl and gevent are."""

    def send(self, data, *flags):
        return socket.socket.send(self, data, *flags)

    def recv(self, size, *flags):
        return socket.socket.recv(self, size, *flags)


class PythonConnection(SocketConnection):
    def __init__(self, path, socket_timeout=None):
        super().__init__(socket_timeout)
        self.path = path

    def open(self):
        return openers.opened(self.path, PythonSocket)


class HelpedConnection(PythonConnection):
    """Its ``open()`` calls a function of another module."""

    def open(self):
        return openers.opened(self.path)


class InheritedConnection(openers.Opener, PythonConnection):
    """Its ``open()`` is of another module."""


MAKERS = [UnixSocketConnection, PythonConnection, HelpedConnection, InheritedConnection]


@pytest.mark.parametrize("daemon", ["memory", "c"], indirect=True)
@pytest.mark.parametrize("make", MAKERS)
def test_calls_connect_again_after_the_daemon_has_restarted(make, daemon):
    client = Client(connection=make(daemon.path))
    monitor = Monitor(client.connection)
    for _ in range(2):
        client.write("/a", "1")
        monitor.watch("/a", "t")
        assert monitor.wait(timeout=PATIENCE) == ("/a", "t")
        t = client.transaction()
        client.read("/a")  # over another connection than the transaction's
        daemon.restart()
        for call, args in ((client.read, ["/a"]), (monitor.wait, []), (t.read, ["/a"])):
            with pytest.raises(ConnectionError):
                call(*args)
        t.close()
    client.close()
    monitor.close()


def closed_during(call, *args):
    """Check that a method ends when another thread closes its object."""
    closing = threading.Timer(0.1, call.__self__.close)
    closing.start()
    with pytest.raises(ConnectionError, match="closed"):
        call(*args)
    closing.join()


@pytest.mark.parametrize("make", MAKERS)
def test_close_of_another_thread_ends_a_read_and_a_wait(make):
    with FakeServer(lambda peer: peer.linger(), honest) as server:
        client = Client(connection=make(server.path))
        closed_during(client.read, "/a")
        assert client.read("/a") == "value"
        client.close()
        closed_during(client.wait_for, "/a", "another value")
        client.close()
        monitor = Monitor(make(server.path))
        monitor.watch("/a")
        closed_during(monitor.wait)


def test_close_of_another_thread_ends_a_monitor_that_connects_again():
    with FakeServer(answer_one, lambda peer: peer.linger()) as server:
        monitor = Monitor(UnixSocketConnection(server.path))
        monitor.watch("/a")
        with pytest.raises(HandlerError), alarm(interrupt):
            monitor.watch("/b")
        closed_during(monitor.wait)


def test_a_monitor_that_is_closed_while_it_opens_its_stream_is_closed():
    class Slow(UnixSocketConnection):
        def open(self):
            stream = super().open()
            in_threads(monitor.close)
            return stream

    with FakeServer(honest) as server:
        monitor = Monitor(Slow(server.path))
        with pytest.raises(ConnectionError, match="closed"):
            monitor.watch("/a")
        assert "not connected" in repr(monitor)


@pytest.mark.parametrize("make", MAKERS)
def test_a_missing_daemon_is_a_connection_error(make, tmp_path):
    client = Client(connection=make(str(tmp_path / "missing")))
    for _ in range(2):
        with pytest.raises(ConnectionError) as caught:
            client.read("/a")
        assert isinstance(caught.value.__cause__, FileNotFoundError)


def test_a_patched_connect_is_a_connection_error():
    with patch("socket.socket.connect", side_effect=ConnectionRefusedError):
        for call in (Client("/daemon").read, pyxs.monitor("/daemon").watch):
            with pytest.raises(ConnectionError) as caught:
                call("/a")
            assert isinstance(caught.value.__cause__, ConnectionRefusedError)


# -- TLS -------------------------------------------------------------------------------------


def test_what_may_have_been_sent_when_an_exception_came_gets_no_later_reply():
    sockets = []

    class Interrupted(PythonSocket):
        def send(self, data, *flags):
            sent = super().send(data, *flags)
            if len(sockets) == 1:
                raise HandlerError  # as a signal handler would, before the count is stored
            return sent

    class Connection(PythonConnection):
        def open(self):
            sockets.append(openers.opened(self.path, Interrupted))
            return sockets[-1]

    def script(peer):
        for request in peer:
            peer.send(reply_to(request, request.payload[:-1]))

    with FakeServer(script) as server, Client(connection=Connection(server.path)) as client:
        with pytest.raises(HandlerError):
            client.read("/a")
        assert sockets[0].fileno() < 0
        assert client.read("/b") == "/b"


def test_an_error_of_a_socket_in_python_ends_the_connection():
    class Broken(PythonSocket):
        def recv(self, size, *flags):
            raise ConnectionResetError(104, "Connection reset by peer")

    class Connection(PythonConnection):
        kinds = [Broken, PythonSocket]

        def open(self):
            return openers.opened(self.path, self.kinds.pop(0))

    with FakeServer(honest) as server, Client(connection=Connection(server.path)) as client:
        with pytest.raises(ConnectionError, match="reset by peer"):
            client.read("/a")
        assert client.read("/a") == "value"


class TlsConnection(PythonConnection):
    def open(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context.wrap_socket(openers.opened(self.path))


@pytest.fixture
def tls(tmp_path):
    """Return what makes the server's end of a connection one of TLS."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate")
    key, certificate = str(tmp_path / "key"), str(tmp_path / "certificate")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=pyxs"]
        + ["-keyout", key, "-out", certificate, "-days", "2"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def secured(script):
        def serve(peer):
            secure(peer, context)
            script(peer)

        return serve

    return secured


def secure(peer, context):
    peer._sock = context.wrap_socket(peer._sock, server_side=True)
    peer._stream.close()
    peer._stream = peer._sock.makefile("rb")


def test_over_tls_calls_connect_again_after_a_loss(tls):
    def one(peer):
        peer.send(reply_to(peer.receive()))

    with FakeServer(tls(one), tls(honest)) as server:
        client = Client(connection=TlsConnection(server.path))
        assert client.read("/a") == "value"
        with pytest.raises(ConnectionError):
            client.read("/a")
        assert client.read("/a") == "value"
        client.close()


@pytest.mark.parametrize(
    "call",
    [
        lambda client, monitor: client.read("/a"),
        lambda client, monitor: client.wait_for("/a", timeout=0.2),
        lambda client, monitor: monitor.watch("/b"),
    ],
)
def test_over_tls_a_silent_daemon_is_not_waited_for_longer_than_the_time_out(tls, call):
    """What TLS 1.3 sends behind its handshake makes the socket readable, and is no data."""
    with FakeServer(tls(lambda peer: peer.linger())) as server:
        connection = TlsConnection(server.path, 0.2)
        client = Client(connection=connection)
        with pytest.raises((ConnectionError, TimeoutError)):
            call(client, client.monitor())
        client.close()


def test_over_tls_wait_ends_in_time_and_check_does_not_wait(tls):
    with FakeServer(tls(honest)) as server:
        monitor = Monitor(TlsConnection(server.path))
        monitor.watch("/a")
        assert monitor.check() is None
        assert monitor.wait(timeout=0.05) is None
        monitor.close()


def test_over_tls_close_of_another_thread_ends_a_read(tls):
    with FakeServer(tls(lambda peer: peer.linger()), tls(honest)) as server:
        client = Client(connection=TlsConnection(server.path))
        closed_during(client.read, "/a")
        assert client.read("/a") == "value"
        client.close()


# -- locks -----------------------------------------------------------------------------------


class PythonLock:
    """A lock in Python, as profilers of locks put in the place of threading.Lock."""

    made = threading.Lock

    def __init__(self):
        self._lock = PythonLock.made()

    def acquire(self, blocking=True, timeout=-1):
        return self._lock.acquire(blocking, timeout)

    def release(self):
        self._lock.release()

    def locked(self):
        return self._lock.locked()

    __enter__ = acquire

    def __exit__(self, *exc_info):
        self.release()


@pytest.fixture
def python_locks(monkeypatch):
    monkeypatch.setattr("threading.Lock", PythonLock)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.parametrize("daemon", ["memory", "c"], indirect=True)
@pytest.mark.parametrize("transaction", [False, True], ids=["plain", "in a transaction"])
def test_threads_use_one_client_with_locks_in_python(transaction, daemon, python_locks):
    names = ["/{}".format(number) for number in range(8)]
    with Client(daemon.path, socket_timeout=PATIENCE) as client:
        client.write_many((name, name) for name in names)
        if transaction:
            client.transaction_start()

        def use(name):
            for _ in range(scaled(40, 1000)):
                assert client.read(name) == name
                assert client.read_many(names) == dict(zip(names, names))

        in_threads(*[lambda name=name: use(name) for name in names])


@pytest.mark.parametrize("daemon", ["memory", "c"], indirect=True)
def test_threads_use_one_monitor_with_locks_in_python(daemon, python_locks):
    with pyxs.monitor(daemon.path) as monitor:

        def wait():
            while monitor.wait(timeout=0.05):
                pass

        in_threads(*[lambda name=name: watch_and_unwatch(monitor, name) for name in "abcd"], wait)
        monitor.watch("/kept", "t")
        assert ("/kept", "t") in monitor


def watch_and_unwatch(monitor, name):
    for _ in range(scaled(40, 1000)):
        monitor.watch("/" + name, name)
        monitor.unwatch("/" + name, name)


# -- the first call of two threads ----------------------------------------------------------------


@pytest.mark.parametrize("daemon", ["memory", "c"], indirect=True)
def test_of_two_threads_that_start_a_transaction_one_is_refused(daemon):
    with Client(daemon.path) as client:
        for _ in range(scaled(100, 1000)):
            barrier = threading.Barrier(2)

            def start(barrier=barrier):
                barrier.wait()
                try:
                    return client.transaction_start()
                except pyxs.PyXSError as exc:
                    return exc

            outcomes = in_threads(start, start)
            assert sum(isinstance(outcome, int) for outcome in outcomes) == 1, outcomes
            client.transaction_end(commit=False)


@pytest.mark.parametrize("daemon", ["c"], indirect=True)
@pytest.mark.parametrize("subject", ["monitor", "xs"])
def test_two_threads_get_the_same_descriptor(subject, daemon, monkeypatch):
    monkeypatch.setenv("XENSTORED_PATH", daemon.path)
    for _ in range(scaled(50, 500)):
        watching = pyxs.xs() if subject == "xs" else pyxs.monitor(daemon.path)
        barrier = threading.Barrier(2)

        def fileno(barrier=barrier, watching=watching):
            barrier.wait()
            return watching.fileno()

        one, other = in_threads(fileno, fileno)
        assert one == other
        os.fstat(one)
        watching.close()
