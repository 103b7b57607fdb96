"""Connections: descriptors, time-outs, and XenBus with a fake device."""

import contextlib
import errno
import functools
import io
import os
import pty
import select
import socket
import struct
import threading
import time
import tty

import pytest

import pyxs
from common import PATIENCE, HandlerError, alarm, before_line, interrupt
from fakes import FakeServer, event, honest, reply_to
from pyxs import Client, ConnectionError, InvalidPayload, Monitor, PyXSError, UnexpectedPacket
from pyxs._wire.framing import Framer
from pyxs.connection import (
    Op,
    Packet,
    PacketConnection,
    SocketConnection,
    UnixSocketConnection,
    XenBusConnection,
)


class Bound(SocketConnection):
    """A connection over an open socket, whose other end the test has."""

    path = "bound"

    def __init__(self, sock, socket_timeout=None):
        super().__init__(socket_timeout)
        self._bound = sock

    def open(self):
        return self._bound

    def clone(self):
        raise NotImplementedError


@pytest.fixture
def ends():
    ours, theirs = socket.socketpair()
    yield ours, theirs
    ours.close()
    theirs.close()


@pytest.fixture
def daemon_end(ends):
    return ends[1]


@pytest.fixture
def connect(ends):
    connections = []

    def connect(socket_timeout=None):
        connections.append(Bound(ends[0], socket_timeout))
        connections[-1].connect()
        return connections[-1]

    yield connect
    for connection in connections:
        connection.disconnect()


# -- paths ---------------------------------------------------------------------------------


@pytest.fixture
def environ(monkeypatch):
    for name in ("XENSTORED_PATH", "XENSTORED_RUNDIR"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_the_socket_is_where_xen_puts_it(environ):
    assert UnixSocketConnection().path == "/var/run/xenstored/socket"


def test_xenstored_rundir_moves_the_socket(environ):
    environ.setenv("XENSTORED_RUNDIR", "/srv/xenstored")
    assert UnixSocketConnection().path == "/srv/xenstored/socket"


def test_xenstored_path_is_the_socket_itself(environ):
    environ.setenv("XENSTORED_RUNDIR", "/srv/xenstored")
    environ.setenv("XENSTORED_PATH", "/srv/other")
    assert UnixSocketConnection().path == "/srv/other"


def test_an_argument_comes_first(environ, tmp_path):
    environ.setenv("XENSTORED_PATH", "/srv/other")
    assert UnixSocketConnection("/a").path == "/a"
    assert UnixSocketConnection(b"/a").path == "/a"
    assert UnixSocketConnection(tmp_path).path == str(tmp_path)


@pytest.mark.parametrize(
    ("platform", "existing", "expected"),
    [
        ("linux", {"/dev/xen/xenbus", "/proc/xen/xenbus"}, "/dev/xen/xenbus"),
        ("linux", {"/proc/xen/xenbus"}, "/proc/xen/xenbus"),
        ("linux", set(), "/dev/xen/xenbus"),
        ("netbsd9", set(), "/kern/xen/xenbus"),
        ("freebsd13", set(), "/dev/xen/xenstore"),
        ("sunos5", set(), "/dev/xen/xenbus"),
    ],
)
def test_the_device_is_the_platforms(monkeypatch, platform, existing, expected):
    monkeypatch.setattr("sys.platform", platform)
    monkeypatch.setattr("os.path.exists", existing.__contains__)
    assert XenBusConnection().path == expected


@pytest.mark.parametrize("timeout", [0, -1, "1", float("nan"), float("inf"), 1e10])
@pytest.mark.parametrize("make", [UnixSocketConnection, Client, pyxs.monitor])
def test_a_time_out_is_a_positive_number_of_seconds(make, timeout):
    with pytest.raises(InvalidPayload, match="socket_timeout"):
        make("/socket", socket_timeout=timeout)


def test_a_client_chooses_its_connection(tmp_path):
    assert type(Client().connection) is UnixSocketConnection
    assert Client("/s", socket_timeout=3).connection.socket_timeout == 3
    device = Client(xen_bus_path="/x", socket_timeout=4).connection
    assert (type(device), device.path, device.socket_timeout) == (XenBusConnection, "/x", 4)
    assert Client("/s", xen_bus_path="/x").connection.path == "/s"
    given = UnixSocketConnection("/given")
    assert Client("/s", connection=given).connection is given
    with pytest.raises(TypeError, match="PacketConnection"):
        Client(connection="/s")


@pytest.fixture
def device():
    """The path of a character device."""
    ours, theirs = os.openpty()
    yield os.ttyname(theirs)
    os.close(theirs)
    os.close(ours)


@pytest.mark.parametrize("make", [Client, pyxs.monitor])
def test_xenstored_path_may_name_a_device(environ, device, make):
    environ.setenv("XENSTORED_PATH", device)
    chosen = make(socket_timeout=4).connection
    assert type(chosen) is XenBusConnection
    assert (chosen.path, chosen.socket_timeout) == (device, 4)


def test_a_path_that_is_given_may_be_a_device(device):
    assert type(Client(device).connection) is XenBusConnection
    assert type(Client(device.encode()).connection) is XenBusConnection


@pytest.mark.parametrize("path", ["/nonexistent", "/", "", "/a\0b"])
def test_a_path_that_is_no_device_is_used_as_a_socket(path):
    assert type(Client(path).connection) is UnixSocketConnection


def test_a_clone_leads_to_the_same_place_and_is_not_connected():
    clone = UnixSocketConnection("/s", 3).clone()
    assert (clone.path, clone.socket_timeout) == ("/s", 3)
    with pytest.raises(ConnectionError, match="not connected"):
        clone.fileno()
    device = XenBusConnection("/x")
    device.socket_timeout = 4
    assert (device.clone().path, device.clone().socket_timeout) == ("/x", 4)


# -- failing to connect --------------------------------------------------------------------


def test_a_missing_socket_is_named_with_what_would_help(tmp_path):
    path = str(tmp_path / "socket")
    with pytest.raises(ConnectionError) as caught:
        UnixSocketConnection(path).connect()
    message = str(caught.value)
    assert message.startswith(path + ": No such file or directory; ")
    assert "is xenstored running?" in message
    assert "xen_bus_path" in message
    assert isinstance(caught.value.__cause__, FileNotFoundError)


def _message(connection):
    with pytest.raises(ConnectionError) as caught:
        connection.connect()
    return str(caught.value)


@pytest.mark.parametrize("name", ["XENSTORED_PATH", "XENSTORED_RUNDIR"])
@pytest.mark.parametrize("make", [UnixSocketConnection, lambda: Client().connection])
@pytest.mark.parametrize("clone", [False, True])
def test_the_variable_that_named_the_path_is_named(environ, name, make, clone):
    environ.setenv(name, "/nonexistent")
    connection = make().clone() if clone else make()
    assert "; ${} names this path; is xenstored running?".format(name) in _message(connection)


def test_a_given_path_is_not_attributed_to_a_variable(environ):
    environ.setenv("XENSTORED_PATH", "/nonexistent")
    assert "XENSTORED_PATH" not in _message(Client("/nonexistent").connection)


@contextlib.contextmanager
def permission_denied(path):
    """Let nobody use a socket or a device, not even root."""
    os.chmod(path, 0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_the_variable_that_named_a_device_is_named(environ, device):
    environ.setenv("XENSTORED_PATH", device)
    connection = Client().connection
    for each in (connection, connection.clone()):
        with permission_denied(device):
            message = _message(each)
        assert "Permission denied; $XENSTORED_PATH names this path; opening" in message


def test_permission_denied_says_that_connecting_takes_root(tmp_path):
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(1)
        with permission_denied(path):
            message = _message(UnixSocketConnection(path))
    assert message.startswith(path + ": Permission denied; connecting takes root")
    assert "running?" not in message


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("", "the path is empty"),
        ("/", "this is a directory"),
        ("/" + "x" * 107, "the path of a socket has at most 107 bytes"),
        (__file__, "this is a file, not a socket"),
    ],
)
def test_a_path_that_cannot_be_a_socket_gets_a_hint_of_its_own(path, hint):
    message = _message(UnixSocketConnection(path))
    assert hint in message
    assert "running?" not in message


def test_a_socket_that_nobody_serves_is_named(tmp_path):
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as abandoned:
        abandoned.bind(path)
    with pytest.raises(ConnectionError, match="Connection refused"):
        UnixSocketConnection(path).connect()


def test_a_path_too_long_for_a_socket_is_a_connection_error():
    with pytest.raises(ConnectionError, match="too long"):
        UnixSocketConnection("/" + "x" * 200).connect()


def test_a_missing_device_is_named(tmp_path):
    path = str(tmp_path / "xenbus")
    message = _message(XenBusConnection(path))
    assert message.startswith(path + ": No such file or directory; is this a domain of Xen?")


def test_a_directory_is_no_device(tmp_path):
    assert "; this is a directory, not a XenBus device" in _message(XenBusConnection(tmp_path))


@pytest.mark.parametrize("make", [UnixSocketConnection, XenBusConnection])
def test_a_connection_that_is_not_open_says_so(make):
    connection = make("/s")
    for use in (
        connection.fileno,
        connection.recv,
        lambda: connection.send(Packet(Op.READ, b"/\0")),
    ):
        with pytest.raises(ConnectionError, match="^/s: not connected$"):
            use()
    connection.wake()
    connection.disconnect()
    connection.disconnect(silent=False)


# -- a stream ------------------------------------------------------------------------------


def test_a_message_is_sent_whole(connect, daemon_end):
    packet = Packet(Op.WRITE, b"/a\0value", 3, 4)
    connect().send(packet)
    assert daemon_end.recv(9999) == bytes(packet)


def test_messages_sent_together_keep_their_order(connect, daemon_end):
    packets = [Packet(Op.READ, b"/%d\0" % number, number) for number in range(5)]
    connect().send_many(packets)
    assert daemon_end.recv(9999) == b"".join(map(bytes, packets))


@pytest.mark.parametrize("size", [1, 5, 16, 17, 1000])
def test_messages_arrive_in_pieces_of_any_size(connect, daemon_end, size):
    connection = connect()
    packets = [Packet(Op.READ, b"x" * length, length) for length in range(20)]
    stream = b"".join(map(bytes, packets))

    def dribble():
        for start in range(0, len(stream), size):
            daemon_end.sendall(stream[start : start + size])

    thread = threading.Thread(target=dribble)
    thread.start()
    assert [connection.recv(PATIENCE) for _ in packets] == packets
    thread.join()
    assert connection.recv(0) is None


def test_recv_returns_none_when_the_time_passes(connect, daemon_end):
    connection = connect()
    assert connection.recv(0.01) is None
    daemon_end.sendall(bytes(Packet(Op.READ, b"x"))[:10])
    assert connection.recv(0.01) is None
    daemon_end.sendall(bytes(Packet(Op.READ, b"x"))[10:])
    assert connection.recv(0.01) == Packet(Op.READ, b"x")


def test_begun_tells_of_a_message_in_part(connect, daemon_end):
    connection = connect()
    assert not connection.begun
    daemon_end.sendall(b"\0")
    assert connection.recv(0.01) is None
    assert connection.begun


def test_begun_tells_of_a_message_that_waits_behind_another(connect, daemon_end):
    connection = connect()
    daemon_end.sendall(bytes(Packet(Op.READ, b"one")) + bytes(Packet(Op.READ, b"two")))
    assert connection.recv() == Packet(Op.READ, b"one")
    assert connection.begun
    assert connection.recv() == Packet(Op.READ, b"two")
    assert not connection.begun


@pytest.mark.parametrize("timeout", [0.0109, 0.0209])
def test_recv_does_not_return_before_the_time_has_passed(connect, timeout):
    connection = connect()
    start = time.monotonic()
    assert connection.recv(timeout) is None
    assert time.monotonic() - start >= timeout


def test_an_exception_between_reading_and_framing_loses_nothing(connect, daemon_end):
    connection = connect()
    daemon_end.sendall(bytes(Packet(Op.READ, b"value")))
    line = "frames, pieces, counted, missing = self.state"
    with pytest.raises(HandlerError), before_line(Framer.frame, line, interrupt):
        connection.recv()
    assert connection.recv(1) == Packet(Op.READ, b"value")


def test_recv_does_not_wait_when_the_time_has_already_passed(connect):
    assert connect().recv(-1) is None


def test_the_rest_of_a_message_must_come_in_time(connect, daemon_end):
    connection = connect(socket_timeout=0.1)
    daemon_end.sendall(b"\0" * 5)
    with pytest.raises(ConnectionError, match="the rest of a message"):
        connection.recv()


def test_the_rest_of_a_message_behind_another_must_come_in_time(connect, daemon_end):
    connection = connect(socket_timeout=0.1)
    daemon_end.sendall(bytes(Packet(Op.READ, b"value")) + b"\0" * 5)
    assert connection.recv() == Packet(Op.READ, b"value")
    with pytest.raises(ConnectionError, match="the rest of a message"):
        connection.recv()


def test_a_message_byte_by_byte_must_be_whole_in_time(connect, daemon_end):
    connection = connect(socket_timeout=0.2)
    stop = threading.Event()

    def dribble():
        for byte in struct.pack("=4I", 2, 1, 0, 1000) + b"x" * 1000:
            if stop.wait(0.02):
                return
            daemon_end.sendall(bytes([byte]))

    thread = threading.Thread(target=dribble)
    thread.start()
    try:
        with pytest.raises(ConnectionError, match="the rest of a message"):
            connection.recv()
    finally:
        stop.set()
        thread.join()


def test_an_idle_connection_does_not_time_out(connect):
    assert connect(socket_timeout=0.01).recv(0.1) is None


@pytest.mark.parametrize("part", [0, 5, 16, 18])
def test_the_end_of_the_stream_is_an_error(connect, daemon_end, part):
    connection = connect()
    daemon_end.sendall(bytes(Packet(Op.READ, b"value"))[:part])
    daemon_end.close()
    with pytest.raises(ConnectionError, match="^bound: the daemon closed the connection$"):
        connection.recv()


def test_a_daemon_that_ends_without_reading_a_request_is_an_error(connect, daemon_end):
    connection = connect()
    connection.send(Packet(Op.READ, b"/\0"))
    daemon_end.close()
    with pytest.raises(ConnectionError, match="^bound: Connection reset by peer$"):
        connection.recv()


def test_too_long_a_message_is_unexpected(connect, daemon_end):
    connection = connect()
    daemon_end.sendall(struct.pack("=4I", 2, 1, 0, (1 << 20) + 1))
    with pytest.raises(UnexpectedPacket, match="^bound: .* 1048577 bytes"):
        connection.recv()


def test_sending_to_a_daemon_that_does_not_read_times_out(connect):
    connection = connect(socket_timeout=0.1)
    flood = [Packet(Op.WRITE, b"x" * 4096)] * 1000
    with pytest.raises(ConnectionError, match="^bound: timed out"):
        connection.send_many(flood)


def test_sending_to_a_daemon_that_is_gone_is_an_error(connect, daemon_end):
    connection = connect()
    daemon_end.close()
    with pytest.raises(ConnectionError, match="^bound: Broken pipe$"):
        connection.send(Packet(Op.READ, b"/\0"))


def test_wake_ends_a_blocked_recv(connect):
    connection = connect()
    timer = threading.Timer(0.05, connection.wake)
    timer.start()
    with pytest.raises(ConnectionError):
        connection.recv()
    timer.join()


def test_disconnecting_closes_and_does_not_shut_down(connect, ends):
    connection = connect()
    with socket.socket(fileno=os.dup(ends[0].fileno())) as inherited:
        connection.disconnect()
        inherited.sendall(b"still open")
        assert ends[1].recv(99) == b"still open"


def test_many_clients_with_time_outs_connect_at_once(tmp_path):
    # Both real daemons listen with a backlog of one.
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(0)
        failures = []

        def connect():
            connection = UnixSocketConnection(path, PATIENCE)
            try:
                connection.connect()
            except ConnectionError as exc:
                failures.append(exc)
            connection.disconnect()

        threads = [threading.Thread(target=connect) for _ in range(20)]
        for thread in threads:
            thread.start()
        for _ in threads:
            listener.accept()[0].close()
        for thread in threads:
            thread.join()
    assert failures == []


def test_connecting_to_a_daemon_that_accepts_nobody_times_out(tmp_path):
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(0)
        first, second = UnixSocketConnection(path), UnixSocketConnection(path, 0.1)
        first.connect()
        with pytest.raises(ConnectionError, match="timed out"):
            second.connect()
        first.disconnect()


# -- subclasses ----------------------------------------------------------------------------


class TcpConnection(SocketConnection):
    def __init__(self, address):
        super().__init__(socket_timeout=PATIENCE)
        self.address = address
        self.path = "{}:{}".format(*address)

    def open(self):
        return socket.create_connection(self.address)

    def clone(self):
        return TcpConnection(self.address)


@pytest.mark.parametrize("daemon", ["memory", "c"], indirect=True)
def test_a_client_works_over_tcp(daemon):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(5)
        forwarding = threading.Thread(target=forward, args=(listener, daemon.path, 2))
        forwarding.start()
        with Client(connection=TcpConnection(listener.getsockname())) as client:
            monitor = client.monitor()
            monitor.watch("/a", "t")
            assert monitor.wait(timeout=PATIENCE) == ("/a", "t")
            client["/a"] = "value"
            assert client["/a"] == "value"
            assert monitor.wait(timeout=PATIENCE) == ("/a", "t")
            monitor.close()
        forwarding.join(PATIENCE)


def forward(listener, path, count):
    """Forward that many TCP connections to a daemon's socket, until they end."""
    pairs = {}
    for _ in range(count):
        ours = listener.accept()[0]
        theirs = socket.socket(socket.AF_UNIX)
        theirs.connect(path)
        pairs.update({ours: theirs, theirs: ours})
    while pairs:
        for sock in select.select(list(pairs), [], [])[0]:
            data = sock.recv(65536)
            if data:
                pairs[sock].sendall(data)
            elif sock in pairs:
                other = pairs.pop(sock)
                del pairs[other]
                sock.close()
                other.close()
                break


class Answering(PacketConnection):
    """A minimal connection class of a user: it has no descriptor and no stream."""

    path = "answering"

    def __init__(self):
        self._replies = None
        self._woken = threading.Event()

    def connect(self):
        self._replies = []
        self._woken.clear()

    def disconnect(self, silent=True):
        self._replies = None

    def send(self, packet):
        self._replies.append(Packet(packet.op, b"OK\0", packet.rq_id, packet.tx_id))

    def recv(self, timeout=None):
        if self._replies:
            return self._replies.pop(0)
        self._woken.wait(timeout)
        return None

    def fileno(self):
        raise ConnectionError("answering: has no descriptor")

    def wake(self):
        self._woken.set()

    def clone(self):
        return Answering()


def test_a_users_connection_class_need_not_be_a_socket():
    with Client(connection=Answering()) as client:
        assert client.get_domain_path(1) == "OK"
        client.write_many({"/{}".format(number): number for number in range(200)})
    client.mkdir("/again")
    client.close()


# -- XenBus --------------------------------------------------------------------------------


class Bus:
    """The kernel's side of a fake XenBus device: one message per ``write()``.

    It records the data of each write(), and the test answers.
    """

    def __init__(self, sock):
        self.sock = sock
        self.sock.settimeout(PATIENCE)
        self.writes = []

    def receive(self):
        data = self.sock.recv(99999)
        if not data:
            return None
        self.writes.append(data)
        op, rq_id, tx_id, size = struct.unpack_from("=4I", data)
        assert len(data) == 16 + size, "not one message in one write()"
        return Packet(op, data[16:], rq_id, tx_id)

    def send(self, *packets):
        self.sock.send(b"".join(map(bytes, packets)))

    def serve(self):
        for request in iter(self.receive, None):
            with_wrong_ids = reply_to(request, rq_id=0xDEAD, tx_id=0xBEEF)
            garbage = struct.pack("=4I", Op.WATCH_EVENT, 0x5A5A, 0xA5A5, 5) + b"/w\0t\0"
            readable, _, _ = select.select([self.sock], [], [], 0)
            assert not readable, "a second request before the reply to the first"
            self.sock.send(garbage + bytes(with_wrong_ids))


@pytest.fixture
def bus(monkeypatch):
    """The other end of every device that is opened under the path ``bus``."""
    kernel, device = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    real_open = os.open

    def fake_open(path, *args, **kwargs):
        return os.dup(device.fileno()) if path == "bus" else real_open(path, *args, **kwargs)

    monkeypatch.setattr("pyxs.connection.os.open", fake_open)
    yield Bus(kernel)
    kernel.close()
    device.close()


@pytest.fixture
def serving(bus):
    thread = threading.Thread(target=bus.serve, daemon=True)
    thread.start()
    yield bus
    bus.sock.shutdown(socket.SHUT_RDWR)
    thread.join(PATIENCE)


def test_over_xenbus_each_message_is_one_write(serving):
    with Client(xen_bus_path="bus") as client:
        client.write("/a", "value")
        assert client.read_many(["/a", "/b", "/c"]) == {"/a": "value", "/b": "value", "/c": "value"}
    assert [data[16:] for data in serving.writes] == [b"/a\0value", b"/a\0", b"/b\0", b"/c\0"]


def test_over_xenbus_threads_take_turns(serving):
    with Client(xen_bus_path="bus") as client:
        threads = [threading.Thread(target=client.read_many, args=[["/a"] * 50]) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(serving.writes) == 400


def test_over_xenbus_ids_in_replies_mean_nothing(serving):
    with Client(xen_bus_path="bus") as client:
        assert client.ls("/") == ["a", "b"]
        with client.transaction() as transaction:
            assert transaction.tx_id == 7
            transaction.write("/a", 1)


def test_over_xenbus_an_events_header_means_nothing(serving):
    monitor = pyxs.monitor(xen_bus_path="bus")
    monitor.watch("/w", "t")
    assert monitor.wait(timeout=PATIENCE) == ("/w", "t")
    monitor.close()


def test_over_xenbus_header_and_payload_fit_4096_bytes(serving):
    with Client(xen_bus_path="bus") as client:
        client.write("/a", b"x" * (4080 - 3))
        with pytest.raises(InvalidPayload, match="4081 bytes: .* at most 4080"):
            client.write("/a", b"x" * (4081 - 3))
        with pytest.raises(InvalidPayload):
            client.write_many([("/a", "good"), ("/a", b"x" * (4081 - 3))])
    assert len(serving.writes) == 1


def test_over_xenbus_watches_are_known_here(serving):
    monitor = pyxs.monitor(xen_bus_path="bus")
    monitor.watch("/w", "t")
    for refused, name in ((monitor.watch, "EEXIST"), (monitor.unwatch, "ENOENT")):
        with pytest.raises(PyXSError) as caught:
            refused("/w", "t" if refused == monitor.watch else "u")
        assert errno.errorcode[caught.value.errno] == name
    with pytest.raises(PyXSError) as caught:
        monitor.watch("/x", depth=1)
    assert caught.value.errno == errno.ENOSYS
    monitor.close()
    assert [data[16:] for data in serving.writes] == [b"/w\0t\0"]


def test_over_xenbus_resetting_watches_ends_only_ones_own(serving):
    monitor = pyxs.monitor(xen_bus_path="bus")
    monitor.watch("/w", "t")
    monitor.watch("/x", "u")
    monitor.reset_watches()
    monitor.close()
    ops = [struct.unpack_from("=I", data)[0] for data in serving.writes]
    assert ops == [Op.WATCH, Op.WATCH, Op.UNWATCH, Op.UNWATCH]


@pytest.fixture
def write_to(monkeypatch):
    """Return a function: the next devices opened write to these descriptors first, once each."""

    def write_to(*descriptors):
        writes = [functools.partial(os.write, fd) for fd in descriptors]

        class Diverted(io.FileIO):
            @property
            def write(self):
                # A function in C, like the real one, which has no frame.
                return writes.pop(0) if writes else super().write

        monkeypatch.setattr("pyxs.connection.io.FileIO", Diverted)

    return write_to


def test_over_xenbus_einval_from_write_is_the_daemons_answer(serving, write_to):
    with select.epoll() as refusing:  # write() to an epoll descriptor is EINVAL
        write_to(refusing.fileno())
        monitor = pyxs.monitor(xen_bus_path="bus")
        with pytest.raises(PyXSError) as caught:
            monitor.watch("/w", "t")
        assert type(caught.value) is PyXSError
        assert caught.value.errno == errno.EINVAL
        monitor.watch("/w", "t")
        assert monitor.wait(timeout=PATIENCE) == ("/w", "t")
        monitor.close()


def test_over_xenbus_any_other_failure_of_write_is_a_lost_connection(bus, write_to, tmp_path):
    (tmp_path / "file").touch()
    with (tmp_path / "file").open() as readable:
        write_to(readable.fileno())
        client = Client(xen_bus_path="bus")
        with pytest.raises(ConnectionError, match="^bus: Bad file descriptor$"):
            client.read("/a")
        with pytest.raises(ConnectionError, match="not connected"):
            client.connection.fileno()


def test_over_xenbus_close_wakes_a_thread_that_waits(bus):
    monitor = pyxs.monitor(xen_bus_path="bus")
    monitor.__enter__()
    outcome = []

    def wait():
        try:
            outcome.append(monitor.wait())
        except ConnectionError as exc:
            outcome.append(exc)

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.05)
    monitor.close()
    thread.join(PATIENCE)
    assert isinstance(outcome[0], ConnectionError)
    assert "closed" in str(outcome[0])


def test_over_xenbus_no_reply_is_a_time_out(bus):
    client = Client(xen_bus_path="bus", socket_timeout=0.1)
    with pytest.raises(ConnectionError, match="^bus: no reply within 0.1 s$"):
        client.read("/a")
    with pytest.raises(ConnectionError, match="not connected"):
        client.connection.fileno()


@pytest.mark.parametrize("timeout", [None, PATIENCE])
def test_over_xenbus_a_signal_handler_that_raises_ends_the_wait(bus, timeout):
    client = Client(xen_bus_path="bus", socket_timeout=timeout)
    with pytest.raises(HandlerError), alarm(interrupt):
        client.read("/a")
    with pytest.raises(ConnectionError, match="not connected"):
        client.connection.fileno()  # without ids a late reply could be taken for another


def test_xenbus_over_a_terminal_in_raw_mode():
    kernel, device = pty.openpty()
    tty.setraw(device)
    path = os.ttyname(device)

    def serve():
        with io.FileIO(kernel, "r+", closefd=False) as stream:
            data = b""
            while True:
                try:
                    data += stream.read(4096)
                except OSError:  # the device is closed
                    return
                while len(data) >= 16:
                    op, rq_id, tx_id, size = struct.unpack_from("=4I", data)
                    if len(data) < 16 + size:
                        break
                    request = Packet(op, data[16 : 16 + size], rq_id, tx_id)
                    data = data[16 + size :]
                    stream.write(bytes(event("/w", "t")) + bytes(reply_to(request)))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    with Client(xen_bus_path=path, socket_timeout=PATIENCE) as client:
        client.write("/a", b"\0\1\2\3\4\xff\x7f\r\n.")
        assert client.ls("/") == ["a", "b"]
    monitor = Monitor(client.connection)
    monitor.watch("/w", "t")
    assert monitor.check() == ("/w", "t")
    monitor.close()
    os.close(device)
    thread.join(PATIENCE)
    os.close(kernel)


def test_a_socket_is_used_again_after_the_daemon_came_back():
    with FakeServer(lambda peer: peer.receive() and None, honest) as server:
        client = Client(server.path)
        with pytest.raises(ConnectionError, match="closed the connection"):
            client.read("/a")
        assert client.read("/a") == "value"
        client.close()
