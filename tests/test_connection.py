"""Connections: where they lead, the streams they open, and XenBus with a fake device."""

import contextlib
import errno
import io
import os
import pty
import select
import socket
import struct
import subprocess
import sys
import threading
import time
import tty

import pytest

import pyxs
from common import PATIENCE, HandlerError, alarm, before_line, descriptors, in_threads, interrupt
from fakes import Bound, FakeConnection, FakeServer, event, honest, reply_to
from forks import fork
from pyxs import Client, ConnectionError, InvalidPayload, Monitor, PyXSError, UnexpectedPacket
from pyxs._wire.framing import Framer
from pyxs.connection import Op, Packet, SocketConnection, UnixSocketConnection, XenBusConnection


class Piped:
    """The stream of a socket, by ``read()`` and ``write()`` as of any descriptor."""

    def __init__(self, sock):
        self._fd = os.dup(sock.fileno())

    def send(self, data):
        return os.write(self._fd, data)

    def recv(self, size):
        return os.read(self._fd, size)

    def fileno(self):
        return self._fd

    def close(self):
        os.close(self._fd)


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
def bound(ends):
    """Return a function that makes a connection over our end, as a socket or another stream."""

    def bound(socket_timeout=None, make=socket.socket):
        ours = ends[0]
        return Bound(ours if make is socket.socket else make(ours), socket_timeout)

    return bound


@contextlib.contextmanager
def running(function, stop):
    """Run a function in a thread; set *stop* at the end."""
    thread = threading.Thread(target=function)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


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


@pytest.mark.parametrize("timeout", [0, -1, "1", float("nan"), float("inf"), 2000001])
@pytest.mark.parametrize("make", [UnixSocketConnection, Client, pyxs.monitor])
def test_a_time_out_is_a_positive_number_of_seconds(make, timeout):
    with pytest.raises(InvalidPayload, match="socket_timeout"):
        make("/socket", socket_timeout=timeout)


@pytest.mark.parametrize("timeout", [1e-9, 0.5, 2000000])
@pytest.mark.parametrize("make", [UnixSocketConnection, Client, pyxs.monitor])
def test_a_time_out_may_be_as_short_or_as_long_as_the_kernel_takes(make, timeout):
    made = make("/socket", socket_timeout=timeout)
    assert getattr(made, "connection", made).socket_timeout == timeout


@pytest.mark.parametrize("option", [socket.SO_SNDTIMEO, socket.SO_RCVTIMEO])
def test_the_kernel_limits_what_a_socket_waits_to_the_time_out(option, xenstored):
    def limit(seconds):
        stream = UnixSocketConnection(xenstored.path, seconds).open()
        with stream:
            return struct.unpack("@ll", stream.getsockopt(socket.SOL_SOCKET, option, 16))

    assert limit(None) == (0, 0)
    assert limit(1.5) == (1, 500000)
    assert (0, 0) < limit(1e-9) < (0, 100000)  # 0 would be none; the kernel rounds it up


def test_a_client_chooses_its_connection(tmp_path):
    assert type(Client().connection) is UnixSocketConnection
    assert Client("/s", socket_timeout=3).connection.socket_timeout == 3
    device = Client(xen_bus_path="/x", socket_timeout=4).connection
    assert (type(device), device.path, device.socket_timeout) == (XenBusConnection, "/x", 4)
    with pytest.warns(RuntimeWarning, match="xen_bus_path has no effect"):
        assert Client("/s", xen_bus_path="/x").connection.path == "/s"
    given = UnixSocketConnection("/given")
    with pytest.warns(RuntimeWarning, match="unix_socket_path has no effect"):
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


CONNECT = """
import os, sys
from pyxs.connection import XenBusConnection

stream = XenBusConnection(sys.argv[1]).open()
try:
    os.open("/dev/tty", os.O_RDWR)
except OSError:
    print("no terminal")
"""


def test_a_terminal_that_is_opened_as_a_device_is_not_that_of_a_daemon(device):
    said = subprocess.check_output(
        [sys.executable, "-c", CONNECT, device], start_new_session=True, universal_newlines=True
    )
    assert said == "no terminal\n"


@pytest.mark.parametrize("path", ["/nonexistent", "/", "", "/a\0b"])
def test_a_path_that_is_no_device_is_used_as_a_socket(path):
    assert type(Client(path).connection) is UnixSocketConnection


def test_many_clients_and_monitors_may_have_one_connection(xenstored):
    connection = UnixSocketConnection(xenstored.path)
    with contextlib.ExitStack() as stack:
        one, two = [stack.enter_context(Client(connection=connection)) for _ in range(2)]
        monitors = [stack.enter_context(each) for each in (one.monitor(), Monitor(connection))]
        for monitor in monitors:
            monitor.watch("/a", "t")
            assert monitor.wait(timeout=PATIENCE) == ("/a", "t")
        one["/a"] = "value"
        assert two["/a"] == "value"
        for monitor in monitors:
            assert monitor.wait(timeout=PATIENCE) == ("/a", "t")


# -- failing to connect --------------------------------------------------------------------


def test_a_missing_socket_is_named_with_what_would_help(tmp_path):
    path = str(tmp_path / "socket")
    with pytest.raises(ConnectionError) as caught:
        Client(path).read("/")
    message = str(caught.value)
    assert message.startswith(path + ": No such file or directory; ")
    assert "is xenstored running?" in message
    assert "xen_bus_path" in message
    assert isinstance(caught.value.__cause__, FileNotFoundError)


def _message(connection):
    with pytest.raises(ConnectionError) as caught:
        Client(connection=connection).read("/")
    return str(caught.value)


@pytest.mark.parametrize("name", ["XENSTORED_PATH", "XENSTORED_RUNDIR"])
@pytest.mark.parametrize("make", [UnixSocketConnection, lambda: Client().connection])
def test_the_variable_that_named_the_path_is_named(environ, name, make):
    environ.setenv(name, "/nonexistent")
    assert "; ${} names this path; is xenstored running?".format(name) in _message(make())


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
    with permission_denied(device):
        message = _message(connection)
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
        Client(path).read("/")


def test_a_path_too_long_for_a_socket_is_a_connection_error():
    with pytest.raises(ConnectionError, match="too long"):
        Client("/" + "x" * 200).read("/")


def test_a_missing_device_is_named(tmp_path):
    path = str(tmp_path / "xenbus")
    message = _message(XenBusConnection(path))
    assert message.startswith(path + ": No such file or directory; is this a domain of Xen?")


def test_a_directory_is_no_device(tmp_path):
    assert "; this is a directory, not a XenBus device" in _message(XenBusConnection(tmp_path))


@pytest.mark.parametrize("make", [Client, pyxs.monitor])
def test_a_file_is_no_device_and_stays_as_it_is(make, tmp_path):
    path = tmp_path / "file"
    path.write_text("precious")
    before = descriptors()
    with pytest.raises(ConnectionError) as caught:
        make(xen_bus_path=str(path)).__enter__()
    assert str(caught.value).startswith("{}: this is a file, not a XenBus device".format(path))
    assert path.read_text() == "precious"
    assert descriptors() == before


def test_a_file_of_the_kernels_may_be_the_device():
    """On old kernels ``/proc/xen/xenbus`` is a regular file."""
    stream = XenBusConnection("/proc/self/comm").open()
    assert os.path.samefile("/proc/self/fd/{}".format(stream.fileno()), "/proc/self/comm")
    stream.close()


def test_the_null_device_ends_the_connection():
    with pytest.raises(ConnectionError, match="^/dev/null: the daemon closed the connection"):
        Client(xen_bus_path="/dev/null").read("/a")


# -- a stream ------------------------------------------------------------------------------


def replies(*payloads, op=Op.READ):
    """Return the bytes of replies to the first requests on a connection."""
    return b"".join(
        bytes(Packet(op, payload, number)) for number, payload in enumerate(payloads, 1)
    )


def test_a_message_is_sent_whole(bound, daemon_end):
    daemon_end.sendall(replies(b"OK\0", op=Op.WRITE))
    Client(connection=bound()).write("/a", "value")
    assert daemon_end.recv(9999) == bytes(Packet(Op.WRITE, b"/a\0value", 1))


def test_messages_sent_together_keep_their_order(bound, daemon_end):
    paths = ["/{}".format(number) for number in range(5)]
    daemon_end.sendall(replies(*[b""] * 5))
    Client(connection=bound()).read_many(paths)
    sent = [Packet(Op.READ, b"/%d\0" % number, number + 1) for number in range(5)]
    assert daemon_end.recv(9999) == b"".join(map(bytes, sent))


def test_a_message_that_the_socket_takes_in_parts_is_sent_whole(ends):
    class Reluctant:
        """Takes five bytes at a time."""

        def __init__(self, sock):
            self._sock = sock
            self.recv, self.fileno, self.close = sock.recv, sock.fileno, sock.close

        def send(self, data):
            return self._sock.send(data[:5])

    ours, theirs = ends
    answers = replies(*[b"OK\0"] * 3, op=Op.WRITE)
    theirs.sendall(answers[:19])
    client = Client(connection=Bound(Reluctant(ours)))
    client.write("/0", "value")
    theirs.sendall(answers[19:])
    client.write_many({"/1": "one", "/2": "two"})
    payloads = [b"/0\0value", b"/1\0one", b"/2\0two"]
    assert theirs.recv(9999) == replies(*payloads, op=Op.WRITE)


@pytest.mark.parametrize("size", [1, 5, 16, 17, 1000])
@pytest.mark.parametrize("make", [socket.socket, Piped])
def test_messages_arrive_in_pieces_of_any_size(bound, daemon_end, size, make):
    values = ["x" * length for length in range(20)]
    stream = replies(*map(str.encode, values))

    def dribble():
        for start in range(0, len(stream), size):
            daemon_end.sendall(stream[start : start + size])

    client = Client(connection=bound(make=make))
    paths = ["/{}".format(number) for number in range(20)]
    result, _ = in_threads(lambda: client.read_many(paths), dribble)
    assert result == dict(zip(paths, values))


@pytest.fixture
def monitor(bound, daemon_end):
    """Return a function that makes a monitor with the watch ``/w``, ``t``."""

    def monitor(socket_timeout=None, make=socket.socket):
        made = Monitor(bound(socket_timeout, make))
        daemon_end.sendall(replies(b"OK\0", op=Op.WATCH))
        made.watch("/w", "t")
        return made

    return monitor


WATCH_EVENT = bytes(event("/w", "t"))


@pytest.mark.parametrize("make", [socket.socket, Piped])
def test_a_wait_returns_none_when_the_time_passes(monitor, daemon_end, make):
    waiting = monitor(make=make)
    assert waiting.wait(timeout=0.01) is None
    daemon_end.sendall(WATCH_EVENT[:10])
    assert waiting.wait(timeout=0.01) is None
    daemon_end.sendall(WATCH_EVENT[10:])
    assert waiting.wait(timeout=PATIENCE) == ("/w", "t")


def test_check_waits_for_the_rest_of_a_message(monitor, daemon_end):
    looking = monitor(PATIENCE)
    daemon_end.sendall(WATCH_EVENT[:10])
    timer = threading.Timer(0.05, daemon_end.sendall, [WATCH_EVENT[10:]])
    timer.start()
    assert looking.check() == ("/w", "t")
    timer.join()


def test_check_returns_what_is_complete_and_in_order(monitor, daemon_end):
    looking = monitor(PATIENCE)
    events = b"".join(bytes(event("/w/{}".format(number), "t")) for number in range(5))
    daemon_end.sendall(events[:30])  # one, and a part of the next
    timer = threading.Timer(0.05, daemon_end.sendall, [events[30:]])
    timer.start()
    seen = [looking.check() for _ in range(5)]
    timer.join()
    assert seen == [("/w/{}".format(number), "t") for number in range(5)]
    assert looking.check() is None


@pytest.mark.parametrize("timeout", [0.0109, 0.0209])
def test_a_wait_does_not_return_before_the_time_has_passed(monitor, timeout):
    waiting = monitor()
    start = time.monotonic()
    assert waiting.wait(timeout=timeout) is None
    assert time.monotonic() - start >= timeout


def test_an_exception_between_reading_and_framing_loses_nothing(monitor, daemon_end):
    waiting = monitor()
    daemon_end.sendall(WATCH_EVENT)
    line = "frames, pieces, counted, missing = self.state"
    with pytest.raises(HandlerError), before_line(Framer.frame, line, interrupt):
        waiting.wait()
    assert waiting.wait(timeout=PATIENCE) == ("/w", "t")


@pytest.mark.parametrize("before", [b"", WATCH_EVENT], ids=["alone", "behind another"])
@pytest.mark.parametrize("use", [Monitor.check, Monitor.wait])
def test_the_rest_of_a_message_must_come_in_time(monitor, daemon_end, before, use):
    waiting = monitor(socket_timeout=0.1)
    daemon_end.sendall(before + b"\0" * 5)
    if before:
        assert use(waiting) == ("/w", "t")
    with pytest.raises(ConnectionError, match="the rest of a message"):
        use(waiting)


def test_each_byte_of_a_message_renews_the_time_for_the_rest(monitor, daemon_end):
    waiting = monitor(socket_timeout=0.5)
    stop = threading.Event()

    def dribble():
        for number in range(len(WATCH_EVENT)):
            daemon_end.sendall(WATCH_EVENT[number : number + 1])
            stop.wait(0.05)

    with running(dribble, stop):
        assert waiting.wait(timeout=PATIENCE) == ("/w", "t")


def test_an_idle_connection_does_not_time_out(monitor):
    assert monitor(socket_timeout=0.01).wait(timeout=0.1) is None


@pytest.mark.parametrize("part", [0, 5, 16, 18])
@pytest.mark.parametrize("make", [socket.socket, Piped])
def test_the_end_of_the_stream_is_an_error(bound, daemon_end, part, make):
    daemon_end.sendall(replies(b"value")[:part])
    daemon_end.shutdown(socket.SHUT_WR)
    with pytest.raises(ConnectionError, match="^bound: the daemon closed the connection$"):
        Client(connection=bound(make=make)).read("/a")


def test_a_daemon_that_ends_without_reading_a_request_is_an_error(bound, daemon_end):
    client = Client(connection=bound())
    timer = threading.Timer(0.05, daemon_end.close)
    timer.start()
    with pytest.raises(ConnectionError, match="^bound: Connection reset by peer$"):
        client.read("/a")
    timer.join()


def test_too_long_a_message_is_unexpected(bound, daemon_end):
    daemon_end.sendall(struct.pack("=4I", Op.READ, 1, 0, (1 << 20) + 1) + b"x")
    with pytest.raises(UnexpectedPacket, match="^bound: .* 1048577 bytes"):
        Client(connection=bound()).read("/a")


def test_sending_to_a_daemon_that_does_not_read_times_out(ends, bound):
    ours, _ = ends
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    with pytest.raises(ConnectionError, match="^bound: no reply within 0.1 s$"):
        Client(connection=bound(0.1)).write_many(
            ("/{}".format(number), b"x" * 4000) for number in range(20)
        )


def test_sending_to_a_daemon_that_is_gone_is_an_error(bound, daemon_end):
    daemon_end.close()
    with pytest.raises(ConnectionError, match="^bound: Broken pipe$"):
        Client(connection=bound()).read("/a")


@pytest.mark.parametrize("make", [socket.socket, Piped])
def test_close_ends_a_call_in_another_thread(bound, daemon_end, make):
    client = Client(connection=bound(make=make))
    with pytest.raises(ConnectionError, match="^bound: closed$"):
        in_threads(lambda: client.read("/a"), lambda: daemon_end.recv(99) and client.close())


def test_disconnecting_in_another_process_closes_and_does_not_shut_down(ends, bound, daemon_end):
    daemon_end.sendall(replies(b"value"))
    client = Client(connection=bound())
    client.read("/a")
    pid = fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            client.close()
            os._exit(0)
        os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0
    daemon_end.sendall(bytes(Packet(Op.READ, b"another", 2)))
    assert client.read("/a") == "another"


def test_many_clients_with_time_outs_connect_at_once(tmp_path):
    # Both real daemons listen with a backlog of one.
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(0)

        def connect():
            with Client(path, socket_timeout=PATIENCE):
                pass

        def accept():
            for _ in range(20):
                listener.accept()[0].close()

        in_threads(accept, *[connect] * 20)


@pytest.mark.parametrize("timeout", [None, PATIENCE])
def test_a_quiet_signal_handler_does_not_disturb_the_wait_for_a_busy_daemon(tmp_path, timeout):
    path = str(tmp_path / "socket")
    handled = threading.Event()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(0)

        def accept():
            assert handled.wait(PATIENCE)
            for _ in range(2):
                listener.accept()[0].close()

        with Client(path), alarm(handled.set):
            accepting = threading.Thread(target=accept)
            accepting.start()
            with Client(path, socket_timeout=timeout):
                pass
            accepting.join()


@pytest.mark.parametrize("timeout", [0.1, 1.1])
def test_connecting_to_a_daemon_that_accepts_nobody_times_out(tmp_path, timeout):
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(0)
        with Client(path), pytest.raises(ConnectionError, match="timed out"):
            Client(path, socket_timeout=timeout).read("/a")


def test_a_stream_that_failed_leaves_no_descriptor(tmp_path):
    before = descriptors()
    for path in (tmp_path / "socket", tmp_path):
        for make in (Client, pyxs.monitor):
            with pytest.raises(ConnectionError):
                make(str(path)).__enter__()
            with pytest.raises(ConnectionError):
                make(xen_bus_path=str(path)).__enter__()
    assert descriptors() == before


# -- subclasses ----------------------------------------------------------------------------


class TcpConnection(SocketConnection):
    def __init__(self, address):
        super().__init__(socket_timeout=PATIENCE)
        self.address = address
        self.path = "{}:{}".format(*address)

    def open(self):
        return socket.create_connection(self.address)


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


def test_a_users_connection_class_need_not_be_a_socket():
    connection = FakeConnection()
    with Client(connection=connection) as client:
        assert client.get_domain_path(1) == "/local/domain/1"
        client.write_many({"/{}".format(number): number for number in range(200)})
    client.mkdir("/again")
    client.close()
    assert len(connection.streams) == 2
    with Monitor(connection) as monitor:
        monitor.watch("/w", "t")
        connection.streams[-1].deliver(event("/w", "t"))
        assert monitor.wait() == ("/w", "t")


@pytest.mark.parametrize("error", [OSError(errno.EHOSTUNREACH, "No route to host"), EOFError()])
def test_an_oserror_of_a_users_open_is_a_failure_to_connect_and_no_other_is(error):
    class Failing(FakeConnection):
        def open(self):
            raise error

        def hint(self, cause):
            assert cause is error
            return "; is the tunnel up?"

    client = Client(connection=Failing())
    with pytest.raises(ConnectionError if isinstance(error, OSError) else EOFError) as caught:
        client.read("/a")
    if isinstance(error, OSError):
        assert str(caught.value) == "fake: No route to host; is the tunnel up?"
        assert caught.value.__cause__ is error


# -- XenBus --------------------------------------------------------------------------------


class Bus:
    """The kernel's side of a fake XenBus device: one message per ``write()``.

    It records the data of each write().

    :param answers: whether it answers requests.
    """

    def __init__(self, answers):
        self._answers = answers
        self._kernels = []
        self._threads = []
        self.writes = []

    def open(self):
        """Return the descriptor of a device."""
        kernel, device = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._kernels.append(kernel)
        if self._answers:
            self._threads.append(threading.Thread(target=self._serve, args=[kernel], daemon=True))
            self._threads[-1].start()
        return device.detach()

    def _serve(self, kernel):
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            self._answer(kernel)

    def _answer(self, kernel):
        for data in iter(lambda: kernel.recv(99999), b""):
            self.writes.append(data)
            op, rq_id, tx_id, size = struct.unpack_from("=4I", data)
            assert len(data) == 16 + size, "not one message in one write()"
            reply = reply_to(Packet(op, data[16:], rq_id, tx_id), rq_id=0xDEAD, tx_id=0xBEEF)
            garbage = struct.pack("=4I", Op.WATCH_EVENT, 0x5A5A, 0xA5A5, 5) + b"/w\0t\0"
            readable, _, _ = select.select([kernel], [], [], 0)
            assert not readable, "a second request before the reply to the first"
            kernel.send(garbage + bytes(reply))

    def close(self):
        for kernel in self._kernels:
            with contextlib.suppress(OSError):
                kernel.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE)
        for kernel in self._kernels:
            kernel.close()


@contextlib.contextmanager
def opened_as_bus(monkeypatch, bus):
    """Let the path ``bus`` name a device."""
    real_open = os.open

    def fake_open(path, *args, **kwargs):
        return bus.open() if path == "bus" else real_open(path, *args, **kwargs)

    with contextlib.closing(bus), monkeypatch.context() as patch:
        patch.setattr("pyxs.connection.os.open", fake_open)
        yield bus


@pytest.fixture
def bus(monkeypatch):
    """Let the path ``bus`` name a device that never answers."""
    with opened_as_bus(monkeypatch, Bus(answers=False)) as bus:
        yield bus


@pytest.fixture
def serving(monkeypatch):
    """Let the path ``bus`` name a device that answers."""
    with opened_as_bus(monkeypatch, Bus(answers=True)) as bus:
        yield bus


def test_over_xenbus_each_message_is_one_write(serving):
    with Client(xen_bus_path="bus") as client:
        client.write("/a", "value")
        assert client.read_many(["/a", "/b", "/c"]) == {"/a": "value", "/b": "value", "/c": "value"}
    assert [data[16:] for data in serving.writes] == [b"/a\0value", b"/a\0", b"/b\0", b"/c\0"]


def test_over_xenbus_each_request_of_many_threads_waits_for_its_reply(serving):
    with Client(xen_bus_path="bus") as client:
        in_threads(*[lambda: client.read_many(["/a"] * 50)] * 8)
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
def fail_write(monkeypatch):
    """Return a function: the next ``write()`` on a device raises this exception."""
    failures = []

    class Failing(pyxs.connection._Device):
        def send(self, data):
            if failures:
                raise failures.pop()
            return super().send(data)

    monkeypatch.setattr("pyxs.connection._Device", Failing)
    return failures.append


@pytest.fixture
def refuse_write(fail_write):
    """Return a function: the next ``write()`` on a device fails with this errno."""
    return lambda number: fail_write(OSError(number, os.strerror(number)))


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSPC, errno.E2BIG])
def test_over_xenbus_a_failure_of_write_is_the_answer_to_a_watch(serving, refuse_write, number):
    with pyxs.monitor(xen_bus_path="bus") as monitor:
        refuse_write(number)
        with pytest.raises(PyXSError) as caught:
            monitor.watch("/w", "t")
        assert caught.value.is_answer
        assert caught.value.errno == number
        monitor.watch("/w", "t")
        assert monitor.wait(timeout=PATIENCE) == ("/w", "t")
    assert [data[16:] for data in serving.writes] == [b"/w\0t\0"]


@pytest.mark.parametrize(
    "use",
    [lambda c: c.read("/a"), lambda c: c.read_many(["/a", "/b"]), lambda c: c.transaction_start()],
)
def test_over_xenbus_einval_is_the_answer_to_any_request(serving, refuse_write, use):
    with Client(xen_bus_path="bus") as client:
        refuse_write(errno.EINVAL)
        with pytest.raises(PyXSError) as caught:
            use(client)
        assert type(caught.value) is PyXSError
        assert caught.value.errno == errno.EINVAL
        assert client.read("/c") == "value"


@pytest.mark.parametrize(
    "failure", [TimeoutError("late"), BlockingIOError(errno.EAGAIN, "late"), OSError(9999, "late")]
)
def test_over_xenbus_a_timeout_of_write_is_no_answer_to_a_watch(serving, fail_write, failure):
    with pyxs.monitor(xen_bus_path="bus") as monitor:
        fail_write(failure)
        with pytest.raises(ConnectionError) as caught:
            monitor.watch("/w", "t")
        assert caught.value.__cause__ is failure


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.E2BIG, errno.EIO, errno.EBADF])
def test_over_xenbus_any_other_failure_of_write_is_a_lost_connection(bus, refuse_write, number):
    with Client(xen_bus_path="bus") as client:
        refuse_write(number)
        with pytest.raises(ConnectionError, match="^bus: " + os.strerror(number)):
            client.read("/a")
        assert "not connected" in repr(client)


def test_over_xenbus_a_message_taken_in_part_is_a_lost_connection(bus, monkeypatch):
    class Short(pyxs.connection._Device):
        def send(self, data):
            return super().send(data[:17])

    monkeypatch.setattr("pyxs.connection._Device", Short)
    client = Client(xen_bus_path="bus")
    with pytest.raises(ConnectionError, match="^bus: .* took only 17 of 19 bytes"):
        client.read("/a")
    client.close()


@pytest.mark.filterwarnings("ignore:this monitor has no watch")
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
    assert "not connected" in repr(client)


@pytest.mark.parametrize("timeout", [None, PATIENCE])
def test_over_xenbus_a_signal_handler_that_raises_ends_the_wait(bus, timeout):
    client = Client(xen_bus_path="bus", socket_timeout=timeout)
    with pytest.raises(HandlerError), alarm(interrupt):
        client.read("/a")
    # Without ids a late reply could be taken for another.
    assert "not connected" in repr(client)


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
