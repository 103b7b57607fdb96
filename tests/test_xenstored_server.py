"""The in-memory daemon on its sockets."""

import contextlib
import fcntl
import os
import random
import resource
import select
import selectors
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import time

import pytest

from common import PATIENCE, descriptors, in_threads, until
from forks import fork
from pyxs import ConnectionError, PyXSError
from pyxs.exceptions import InvalidPayload
from pyxs.xenstored import XenStored, server
from wire import Op, Wire

OK = b"OK\0"


@pytest.fixture
def daemon():
    with XenStored() as running:
        yield running


@pytest.fixture
def connect():
    """Return a new connection to a path; it ends with the test."""
    with contextlib.ExitStack() as stack:
        yield lambda path: stack.enter_context(Wire(path))


@pytest.fixture
def client(daemon, connect):
    return connect(daemon.path)


# Start and stop


def test_a_daemon_leaves_nothing_behind(connect):
    threads, before = threading.active_count(), descriptors()
    with XenStored() as daemon:
        paths = [daemon.path, daemon.socket_for(1)]
        clients = [Wire(path) for path in paths]
        for each in clients:
            each.get(Op.TRANSACTION_START, b"\0")
    for each in clients:
        assert each.ended()
        each.close()
    assert not any(os.path.exists(os.path.dirname(path)) for path in paths)
    assert threading.active_count() == threads
    assert descriptors() == before


def test_a_client_that_has_gone_leaves_no_descriptor_behind(daemon):
    before = descriptors()
    for _ in range(50):
        with Wire(daemon.path) as client:
            client.get(Op.WATCH, b"/a\0t\0")
    until(lambda: descriptors() == before)


def test_only_this_user_reaches_the_socket(daemon):
    for path in (daemon.path, daemon.socket_for(1)):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        assert stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode) == 0o700


@pytest.mark.parametrize("length", [60, 79, 80, 81, 150])
def test_a_long_tmpdir_leaves_room_for_the_paths_of_sockets(length, monkeypatch, connect, tmp_path):
    directory = "/tmp/" + ("pyxs-" + tmp_path.name).ljust(length - 5, "x")
    os.mkdir(directory)
    try:
        monkeypatch.setattr(tempfile, "tempdir", directory)
        with XenStored() as daemon:
            for path in (daemon.path, daemon.socket_for(32751)):
                assert connect(path).get(Op.GET_DOMAIN_PATH, b"0\0") == b"/local/domain/0\0"
            assert daemon.path.startswith(directory) == (length <= 80)
        assert os.listdir(directory) == []
    finally:
        os.rmdir(directory)


def test_a_given_path_is_kept_and_only_the_socket_removed(tmp_path, connect):
    path = tmp_path / "socket"
    with XenStored(path) as daemon:
        assert daemon.path == str(path)
        assert connect(daemon.path).get(Op.DIRECTORY, b"/\0") == b"tool\0"
    assert list(tmp_path.iterdir()) == []


def test_a_relative_path_survives_a_change_of_directory(tmp_path, monkeypatch, connect):
    monkeypatch.chdir(tmp_path)
    with XenStored("socket") as daemon:
        monkeypatch.chdir("/")
        connect(daemon.path)
    assert list(tmp_path.iterdir()) == []


def test_each_start_begins_with_an_empty_store(tmp_path, connect):
    daemon = XenStored(str(tmp_path / "socket"))
    for _ in range(2):
        daemon.start()
        client = connect(daemon.path)
        assert client.get(Op.READ, b"/key\0") == "ENOENT"
        client.get(Op.WRITE, b"/key\0value")
        daemon.stop()


def test_start_and_stop_out_of_turn(daemon):
    with pytest.raises(ConnectionError, match="already running"):
        daemon.start()
    daemon.stop()
    daemon.stop()
    with pytest.raises(ConnectionError, match="not running"):
        _ = daemon.path
    with pytest.raises(ConnectionError, match="not running"):
        daemon.socket_for(1)


def test_daemons_side_by_side_have_stores_of_their_own(daemon, client, connect):
    with XenStored() as second:
        client.get(Op.WRITE, b"/key\0value")
        assert connect(second.path).get(Op.READ, b"/key\0") == "ENOENT"


def test_a_stale_socket_is_replaced(tmp_path, connect):
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(path)
    with XenStored(path) as daemon:
        assert connect(daemon.path).get(Op.READ, b"/\0") == b""


def test_a_live_socket_is_refused_and_stays_alive(daemon, client):
    with pytest.raises(ConnectionError, match="another daemon serves this socket") as caught:
        XenStored(daemon.path).start()
    assert daemon.path in str(caught.value)
    assert client.get(Op.READ, b"/\0") == b""


def test_of_daemons_started_at_once_on_one_path_one_serves_it(tmp_path, connect):
    path = str(tmp_path / "socket")

    def start():
        daemon = XenStored(path)
        try:
            daemon.start()
        except ConnectionError as refusal:
            return str(refusal)
        return daemon

    for _ in range(20):
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(path)
        started = in_threads(*[start] * 4)
        (daemon,) = (each for each in started if isinstance(each, XenStored))
        for refusal in set(started) - {daemon}:
            assert "another daemon serves this socket" in refusal
        connect(path).get(Op.WRITE, b"/key\0")
        daemon.stop()
        assert list(tmp_path.iterdir()) == []


def test_a_daemon_starts_where_another_program_has_locked_the_directory(tmp_path, connect):
    directory = os.open(str(tmp_path), os.O_RDONLY)
    fcntl.flock(directory, fcntl.LOCK_EX)
    with XenStored(str(tmp_path / "socket")) as daemon:
        connect(daemon.path)
    os.close(directory)


def test_a_daemon_that_is_never_stopped_leaves_nothing_behind_at_exit(tmp_path):
    program = """
import os
from pyxs.xenstored import XenStored
daemons = [XenStored(), XenStored("given")]
for daemon in daemons:
    daemon.start()
    daemon.socket_for(7)
if not os.fork():
    raise SystemExit  # the daemons are its parent's
os.wait()
print(all(os.path.exists(daemon.path) for daemon in daemons))
"""
    out = subprocess.check_output(
        [sys.executable, "-c", program],
        env=dict(os.environ, TMPDIR=str(tmp_path)),
        cwd=str(tmp_path),
    )
    assert out == b"True\n"
    assert list(tmp_path.iterdir()) == []


def test_a_process_out_of_descriptors_does_not_spin_and_serves_again(monkeypatch):
    passes = []

    class Counting(selectors.DefaultSelector):
        def select(self, timeout=None):
            passes.append(timeout)
            return super().select(timeout)

    monkeypatch.setattr(selectors, "DefaultSelector", Counting)
    with XenStored() as daemon, Wire(daemon.path) as client:
        client.get(Op.READ, b"/\0")
        with socket.socket(socket.AF_UNIX) as waiting:
            with no_descriptors_left():
                waiting.connect(daemon.path)
                time.sleep(0.3)
                assert client.get(Op.READ, b"/\0") == b""
                assert len(passes) < 100  # a thread that spins makes many thousands
            waiting.settimeout(PATIENCE)
            waiting.sendall(struct.pack("=4I", Op.READ, 1, 0, 2) + b"/\0")
            assert len(waiting.recv(16)) == 16


@contextlib.contextmanager
def no_descriptors_left():
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    filling = [os.dup(0)]  # the lowest number that is free
    resource.setrlimit(resource.RLIMIT_NOFILE, (filling[0] + 1, limits[1]))
    with contextlib.suppress(OSError):
        while True:
            filling.append(os.dup(0))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for descriptor in filling:
            os.close(descriptor)


def test_a_file_in_the_way_is_refused_and_kept(tmp_path):
    path = tmp_path / "socket"
    path.write_text("precious")
    with pytest.raises(ConnectionError, match="not a socket"):
        XenStored(str(path)).start()
    assert path.read_text() == "precious"


@pytest.mark.parametrize("name", ["missing/socket", "s" * 120])
def test_a_socket_that_cannot_be_made_is_named(tmp_path, name):
    before = descriptors()
    daemon = XenStored(str(tmp_path / name))
    with pytest.raises(ConnectionError, match=name):
        daemon.start()
    daemon.stop()
    assert descriptors() == before


def test_a_socket_put_in_place_of_ours_is_not_removed(tmp_path):
    path = tmp_path / "socket"
    with XenStored(str(path)):
        path.unlink()
        with socket.socket(socket.AF_UNIX) as theirs:
            theirs.bind(str(path))
    assert path.exists()


# Domains


def test_a_domain_s_socket_speaks_as_that_domain(daemon, client, connect):
    guest = connect(daemon.socket_for(5))
    client.get(Op.MKDIR, b"/local/domain/5\0")
    client.get(Op.SET_PERMS, b"/local/domain/5\0n5\0")
    assert guest.get(Op.WRITE, b"key\0value") == OK
    assert guest.get(Op.READ, b"/tool\0") == "EACCES"
    assert guest.get(Op.RELEASE, b"5\0") == "EACCES"
    assert client.get(Op.READ, b"/local/domain/5/key\0") == b"value"
    assert client.get(Op.GET_PERMS, b"/local/domain/5/key\0") == b"n5\0"


def test_the_socket_for_a_domain_introduces_it(daemon, client):
    client.get(Op.WATCH, b"@introduceDomain\0t\0")
    client.heard()
    path = daemon.socket_for(5)
    assert client.get(Op.IS_DOMAIN_INTRODUCED, b"5\0") == b"T\0"
    with Wire(path) as guest:
        tx_id = int(guest.get(Op.TRANSACTION_START, b"\0")[:-1])
        assert daemon.socket_for(5) == path
        assert guest.get(Op.TRANSACTION_END, b"T\0", tx_id) == OK
    assert client.heard() == [b"@introduceDomain\0t\0"]


def test_the_socket_for_domain_0_is_the_daemon_s(daemon):
    assert daemon.socket_for(0) == daemon.path


def test_clients_of_a_daemon():
    daemon = XenStored()
    daemon.start()
    with daemon.client() as client, daemon.client(7) as guest:
        client.mkdir("/local/domain/7/data")
        client.set_permissions("/local/domain/7/data", ["n7"])
        guest.write("data/key", "1")
        assert client.read("/local/domain/7/data/key") == "1"
        with pytest.raises(PyXSError, match="Permission denied"):
            guest.write("/tool", "1")
        assert client.is_domain_introduced(7)
    with pytest.raises(InvalidPayload):
        daemon.client(40000)
    daemon.close()
    daemon.close()
    with pytest.raises(ConnectionError, match="not running"):
        daemon.client()


@pytest.mark.parametrize("domid", [-1, 32752, "32752", "1x", 1.0, None, True])
def test_a_domid_that_no_domain_can_have(daemon, domid):
    with pytest.raises(InvalidPayload, match="domid"):
        daemon.socket_for(domid)


def test_a_domid_of_the_daemon_may_be_its_digits(daemon):
    daemon.introduce("3")
    with daemon.client() as client:
        client.mkdir("/local/domain/12")
        for domid in client.ls("/local/domain"):
            with daemon.client(domid) as guest:
                assert guest.connection.path == daemon.socket_for(int(domid))
                assert client.is_domain_introduced(domid)
        daemon.release(b"3")
        assert not client.is_domain_introduced(3)
    assert daemon.socket_for("0") == daemon.path


def test_a_released_domain_cannot_speak_until_it_is_introduced_again(daemon, client, connect):
    path = daemon.socket_for(5)
    guest = connect(path)
    assert guest.get(Op.READ, b"key\0") == "EACCES"
    assert client.get(Op.RELEASE, b"5\0") == OK
    assert guest.ended()
    assert connect(path).ended()
    assert client.get(Op.INTRODUCE, b"5\0001\0001\0") == OK
    assert connect(path).get(Op.READ, b"key\0") == "EACCES"


def test_domains_are_served_while_the_store_is_busy(daemon, client):
    done = threading.Event()

    def write():
        with Wire(daemon.path) as busy:
            while not done.is_set():
                busy.get(Op.WRITE, b"/key\0value")

    thread = threading.Thread(target=write)
    thread.start()
    try:
        paths = {daemon.socket_for(domid) for domid in range(1, 20)}
    finally:
        done.set()
        thread.join()
    assert len(paths) == 19


# Bad clients


@pytest.mark.parametrize(
    "garbage",
    [
        struct.pack("=4I", Op.READ, 0, 0, 4097) + b"/" * 4096 + b"\0",
        struct.pack("=4I", Op.READ, 0, 0, 0xFFFFFFFF),
        b"GET / HTTP/1.1\r\nHost: xenstored\r\n\r\n",
        b"\xff" * 100,
    ],
)
def test_a_client_that_sends_garbage_loses_its_connection_and_nobody_else(
    daemon, client, connect, garbage
):
    bad = connect(daemon.path)
    assert bad.get(Op.WATCH, b"/\0t\0") == OK
    bad.sock.sendall(garbage)
    assert bad.ended()
    assert client.get(Op.WRITE, b"/key\0value") == OK


def test_a_client_that_leaves_in_the_middle_of_a_message(daemon, client):
    message = struct.pack("=4I", Op.WRITE, 0, 0, 10) + b"/key\0value"
    for length in range(1, len(message)):
        with Wire(daemon.path) as gone:
            gone.sock.sendall(message[:length])
    assert client.get(Op.READ, b"/key\0") == "ENOENT"


def test_a_message_may_come_byte_by_byte(client):
    message = struct.pack("=4I", Op.READ, 3, 0, 6) + b"/tool\0"
    for position in range(len(message)):
        client.sock.sendall(message[position : position + 1])
        time.sleep(0.0005)
    reply = client.receive()
    assert (reply.op, reply.rq_id, reply.payload) == (Op.READ, 3, b"")


def test_any_bytes_at_all_leave_the_daemon_serving(daemon, client, caplog):
    random_ = random.Random(3)
    for _ in range(300):
        with Wire(daemon.path) as hostile:
            pieces = []
            for _ in range(random_.randrange(1, 8)):
                payload = random_.choice([b"/a\0", b"/a\0t\0", b"", os.urandom(20), b"1\0"])
                size = len(payload) + random_.choice([0, 0, 0, 0, 1, -1, 5000])
                op = random_.choice([*range(28), 1 << 31])
                pieces.append(struct.pack("=4I", op, 1, 0, max(size, 0)) + payload)
            with contextlib.suppress(OSError):  # the daemon closed the connection first
                hostile.sock.sendall(b"".join(pieces))
                hostile.sock.shutdown(socket.SHUT_WR)
                while hostile.sock.recv(1 << 16):
                    pass
    assert client.get(Op.READ, b"/\0") == b""
    assert not caplog.records


def test_a_defect_costs_one_client_its_connection(daemon, client, connect, caplog, monkeypatch):
    def defective(store, session, packet):
        if packet.payload == b"/defect\0":
            raise ZeroDivisionError
        real(store, session, packet)

    real = server.answer
    monkeypatch.setattr(server, "answer", defective)
    unlucky = connect(daemon.path)
    unlucky.send(Op.READ, b"/defect\0")
    assert unlucky.ended()
    assert client.get(Op.READ, b"/\0") == b""
    assert caplog.records[0].exc_info[0] is ZeroDivisionError


# Slow clients


def test_a_client_that_reads_no_events_delays_no_other_client_and_loses_no_event(
    daemon, client, connect
):
    slow = connect(daemon.path)
    slow.get(Op.WATCH, b"/n\0t\0")
    for number in range(20000):
        client.send(Op.WRITE, b"/n/%d\0" % number)
        if number % 100 == 99:  # the client sends 100 requests at once
            assert [client.receive().op for _ in range(100)] == [Op.WRITE] * 100
    assert slow.heard() == [b"/n\0t\0"] + [b"/n/%d\0t\0" % number for number in range(20000)]


def test_events_that_wait_unread_are_merged_when_they_are_the_same(daemon, client, connect):
    slow = connect(daemon.path)
    slow.get(Op.WATCH, b"/busy\0t\0")
    for _ in range(20000):
        client.get(Op.WRITE, b"/busy\0value")
    client.get(Op.WRITE, b"/busy/last\0")
    events = slow.heard()
    assert len(events) < 10000
    assert set(events[:-1]) == {b"/busy\0t\0"}
    assert events[-1] == b"/busy/last\0t\0"


def test_replies_that_are_not_fetched_make_only_their_client_wait(daemon, client, connect):
    client.get(Op.WRITE, b"/long\0" + b"v" * 4000)
    greedy = connect(daemon.path)
    greedy.sock.setblocking(False)
    sent = 0
    while select.select([], [greedy.sock], [], 0.5)[1] and sent < 50000:
        with contextlib.suppress(BlockingIOError):
            greedy.send(Op.READ, b"/long\0")
            sent += 1
    assert sent < 50000  # the daemon no longer reads its requests
    assert client.get(Op.READ, b"/tool\0") == b""
    greedy.sock.setblocking(True)
    replies = [greedy.receive() for _ in range(sent)]
    assert {reply.payload for reply in replies} == {b"v" * 4000}
    assert greedy.get(Op.READ, b"/tool\0") == b""


# Forks


def in_child(function):
    """Run a function in a forked process; return its exit status, 0 if nothing was raised."""
    pid = fork()
    if not pid:
        signal.alarm(PATIENCE)
        status = 1
        try:
            function()
            status = 0
        finally:
            os._exit(status)
    return os.waitpid(pid, 0)[1]


def test_a_forked_child_leaves_the_daemon_alone(daemon, client):
    client.get(Op.READ, b"/\0")  # the daemon has accepted the connection

    def stops():
        before = descriptors()
        daemon.stop()
        assert descriptors() <= before - 5

    def uses():
        with pytest.raises(ConnectionError, match="not in this one"):
            daemon.socket_for(1)
        with Wire(daemon.path) as own:
            assert own.get(Op.WRITE, b"/child\0") == OK

    assert in_child(stops) == 0
    assert in_child(uses) == 0
    assert client.get(Op.READ, b"/child\0") == b""
    assert os.path.exists(daemon.path)


def test_a_child_may_start_a_daemon_of_its_own(daemon):
    def child():
        daemon.stop()
        with XenStored() as own, Wire(own.path) as client:
            assert client.get(Op.READ, b"/\0") == b""

    assert in_child(child) == 0


def test_stop_ends_connections_of_which_a_child_holds_a_copy(daemon, client):
    reading, writing = os.pipe()
    pid = fork()
    if not pid:
        os.close(writing)
        os.read(reading, 1)  # until the parent closes its end
        os._exit(0)
    try:
        daemon.stop()
        assert client.ended()
    finally:
        os.close(writing)
        os.close(reading)
        os.waitpid(pid, 0)
