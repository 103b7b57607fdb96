"""``pyxs trace``: what it forwards, unchanged, and what it prints about that."""

import contextlib
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading

import pytest

from command_lines import PYXS, start_pyxs
from common import PATIENCE, in_threads, until
from pyxs import cli
from pyxs._cli.relay import Observer, Relay
from pyxs._cli.trace_stream import Framer, Streams
from pyxs._cli.trace_text import Summary, json_line, plain_line
from pyxs.connection import Op

HUGE = 2**32 - 1


def message(op, payload, rq_id=0, tx_id=0, size=None):
    return struct.pack("=4I", op, rq_id, tx_id, len(payload) if size is None else size) + payload


# -- messages in a stream ------------------------------------------------------------------

MESSAGES = [(Op.READ, b"/a\0"), (Op.WRITE, b"/a\0\xff\0\n"), (4711, b""), (Op.ERROR, b"EIO\0")]
STREAM = b"".join(message(op, payload) for op, payload in MESSAGES)


@pytest.mark.parametrize("size", [1, 3, 16, 17, len(STREAM)])
def test_messages_are_found_in_pieces_of_any_size(size):
    framer = Framer()
    frames = []
    for start in range(0, len(STREAM), size):
        frames += framer.feed(STREAM[start : start + size])
    assert [(frame.op, frame.payload) for frame in frames] == MESSAGES
    assert not framer.unfinished


def test_a_payload_too_long_to_keep_is_passed_over():
    framer = Framer()
    size = 3 << 20
    data = message(Op.WRITE, b"x" * size) + STREAM
    frames = []
    for start in range(0, len(data), 4096):
        frames += framer.feed(data[start : start + 4096])
    assert (frames[0].size, frames[0].payload) == (size, None)
    assert [(frame.op, frame.payload) for frame in frames[1:]] == MESSAGES


@pytest.mark.parametrize("end", [b"\0" * 7, message(1, b"", size=9), message(1, b"", size=HUGE)])
def test_a_stream_may_end_inside_a_message(end):
    framer = Framer()
    framer.feed(STREAM + end)
    assert framer.unfinished


def lines(*exchanges):
    return [plain_line(exchange, 0) for exchange in exchanges]


def test_replies_in_another_order_belong_to_the_requests_with_their_ids():
    streams = Streams(1)
    streams.send(message(Op.READ, b"/a\0", 5) + message(Op.READ, b"/b\0", 6), 0)
    later = streams.receive(message(Op.READ, b"B", 6), 1)
    later += streams.receive(message(Op.READ, b"A", 5), 3)
    assert lines(*later) == [
        '00:00:00.000000 1 READ      /b -> "B"  1000000 us',
        '00:00:00.000000 1 READ      /a -> "A"  3000000 us',
    ]


def test_requests_with_one_id_are_answered_in_their_order():
    streams = Streams(2)
    streams.send(message(Op.READ, b"/a\0") + message(Op.MKDIR, b"/b\0"), 0)
    answered = streams.receive(message(Op.READ, b"1") + message(Op.ERROR, b"EACCES\0"), 0.00002)
    assert lines(*answered) == [
        '00:00:00.000000 2 READ      /a -> "1"  20 us',
        "00:00:00.000000 2 MKDIR     /b -> EACCES  20 us",
    ]


def test_what_has_no_reply_is_shown_when_the_connection_ends():
    streams = Streams(1)
    streams.send(message(Op.RM, b"/b\0", 2), 1)
    streams.send(message(Op.RM, b"/a\0", 1, size=HUGE), 2)
    assert lines(*streams.end(3)) == [
        "00:00:01.000000 1 RM        /b -> no reply",
        "00:00:02.000000 1 RM        <4294967295 bytes> -> no reply",
    ]
    assert streams.unfinished


def test_events_are_no_replies():
    streams = Streams(1)
    streams.send(message(Op.READ, b"/a\0", 9), 0)
    event = message(Op.WATCH_EVENT, b"/b\0token\0", 9, tx_id=77)
    assert lines(*streams.receive(event + message(Op.READ, b"", 8), 0)) == [
        "00:00:00.000000 1 WATCH_EVENT /b token",
        "00:00:00.000000 1 READ -> a reply to no request",
    ]


def test_round_trips_are_what_the_client_waited_for():
    streams = Streams(1)
    request, reply = message(Op.READ, b"/\0"), message(Op.READ, b"")
    streams.send(request * 10, 0)
    streams.receive(reply * 4, 0)
    assert streams.round_trips == 1
    streams.send(request, 0)  # it had to wait for the first replies, not for the others
    streams.receive(reply * 6, 0)
    assert streams.round_trips == 1
    streams.receive(reply, 0)
    assert streams.round_trips == 2


@pytest.mark.parametrize(
    ("request_", "reply", "shown"),
    [
        (
            message(Op.WRITE, b"/a\0\x1b[2J\xff"),
            message(Op.WRITE, b"OK\0"),
            r'/a "\x1b[2J\xff" -> OK',
        ),
        (message(Op.WRITE, b"/a\0x\0y"), message(Op.WRITE, b"OK\0"), r'/a "x\000y" -> OK'),
        (message(Op.WRITE, b"/a"), message(Op.ERROR, b"EINVAL\0"), "/a -> EINVAL"),
        (message(Op.READ, b""), message(Op.ERROR, b"\x1b"), r"READ -> \x1b"),
        (message(Op.RM, b"/\x07"), message(Op.RM, b"OK\0"), r"/\007 -> OK"),
        (message(Op.DIRECTORY, b"/a\0"), message(Op.DIRECTORY, b"b\0c\0"), "/a -> [b c]"),
        (message(Op.DIRECTORY, b"/a\0"), message(Op.DIRECTORY, b""), "/a -> []"),
        (message(Op.SET_PERMS, b"/a\0n1\0r2\0"), message(Op.SET_PERMS, b"OK\0"), "/a n1 r2 -> OK"),
        (message(Op.TRANSACTION_START, b"\0"), message(6, b"12\0"), "TRANSACTION_START -> 12"),
        (message(Op.TRANSACTION_END, b"F\0", 0, 12), message(7, b"OK\0"), "_END tx=12 F -> OK"),
        (message(Op.READ, b"/a\0", 0, 12), message(Op.READ, b"1"), 'READ      tx=12 /a -> "1"'),
        (message(99, b"\0a\0"), message(99, b""), "99        a -> "),
        (message(2, b"/a\0"), message(2, b"v" * 300), "v" * 200 + '... (300 bytes)"'),
    ],
)
def test_lines(request_, reply, shown):
    streams = Streams(1)
    streams.send(request_, 0)
    (exchange,) = streams.receive(reply, 0)
    (line,) = lines(exchange)
    assert shown in line
    assert line.isprintable()
    json.loads(json_line(exchange, 0))


def test_json_has_all_of_a_binary_value():
    streams = Streams(3)
    streams.send(message(Op.WRITE, b"/a\0\xff" + b"x" * 300, 4, 5), 1)
    (exchange,) = streams.receive(message(Op.WRITE, b"OK\0", 4, 5), 1.5)
    line = json.loads(json_line(exchange, 10))
    assert len(line.pop("value")["base64"]) == 404
    assert line == {
        "time": 11,
        "connection": 3,
        "op": "WRITE",
        "rq_id": 4,
        "tx_id": 5,
        "path": "/a",
        "args": [],
        "result": "OK",
        "error": None,
        "us": 500000,
    }


@pytest.mark.parametrize(
    ("op", "payload", "result"),
    [
        (Op.READ, b"", ""),
        (Op.READ, b"a\0", "a\0"),
        (Op.DIRECTORY, b"", []),
        (Op.DIRECTORY, b"a\0", ["a"]),
        (Op.GET_PERMS, b"n0\0r1\0", ["n0", "r1"]),
        (Op.MKDIR, b"OK\0", "OK"),
        (Op.CONTROL, b"\xff\0", {"base64": "/w=="}),
        (Op.CONTROL, b"", ""),
        (Op.ERROR, b"EIO\0", None),
    ],
)
def test_results_in_json(op, payload, result):
    streams = Streams(1)
    streams.send(message(op, b"/a\0"), 0)
    (exchange,) = streams.receive(message(op, payload), 0)
    assert json.loads(json_line(exchange, 0))["result"] == result


def test_the_summary_lists_operations_by_their_time_and_the_slowest_requests():
    streams, summary = Streams(1), Summary()
    for number in range(1, 6):
        streams.send(message(Op.READ, b"/%d\0" % number), 0)
        for exchange in streams.receive(message(Op.READ, b""), number * 0.0001):
            summary.add(exchange)
    streams.send(message(Op.RM, b"/a\0"), 0)
    for exchange in streams.receive(message(Op.ERROR, b"EIO\0"), 1):
        summary.add(exchange)
    summary.add_connection(streams.round_trips)
    assert summary.plain().splitlines() == [
        "6 requests, 6 round trips, 0 events, 1 connection",
        "requests   errors         us   mean us    max us",
        "       1        1    1000000   1000000   1000000  RM",
        "       5        0       1500       300       500  READ",
        "slowest:",
        " 1000000 us  1 RM        /a",
        "     500 us  1 READ      /5",
        "     400 us  1 READ      /4",
    ]
    shown = json.loads(summary.json(0))["summary"]
    assert shown["ops"]["READ"] == {"requests": 5, "errors": 0, "us": 1500, "us_max": 500}
    assert [slow["path"] for slow in shown["slowest"]] == ["/a", "/5", "/4"]


# -- forwarding ----------------------------------------------------------------------------


@pytest.fixture
def listener(tmp_path):
    """The socket of a daemon that the test plays itself."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "daemon"))
        sock.listen(5)
        yield sock


@pytest.fixture
def relay(listener):
    with Relay(listener.getsockname(), Observer()) as relay:
        thread = threading.Thread(target=relay.run, daemon=True)
        thread.start()
        yield relay
        relay.stop()
        thread.join()


def connect(relay, listener):
    """Return the sockets of a client and of the daemon, with the relay between them."""
    client = socket.socket(socket.AF_UNIX)
    client.connect(relay.path)
    return client, listener.accept()[0]


def test_all_bytes_are_forwarded_in_both_directions_at_the_same_time(relay, listener):
    client, daemon = connect(relay, listener)
    chance = random.Random(24)
    up, down = (bytes(chance.getrandbits(8) for _ in range(500000)) for _ in range(2))

    def send(sock, data):
        while data:
            size = chance.randrange(1, 100000)
            sock.sendall(data[:size])
            data = data[size:]
        sock.shutdown(socket.SHUT_WR)

    def receive(sock):
        return b"".join(iter(lambda: sock.recv(3000), b""))

    with client, daemon:
        _, _, at_daemon, at_client = in_threads(
            lambda: send(client, up),
            lambda: send(daemon, down),
            lambda: receive(daemon),
            lambda: receive(client),
        )
    assert at_daemon == up
    assert at_client == down


def test_what_a_daemon_sent_before_it_closed_arrives(relay, listener):
    client, daemon = connect(relay, listener)
    with client:
        daemon.sendall(b"last words")
        daemon.close()
        with contextlib.suppress(OSError):  # a reset or a broken pipe
            for _ in range(1000):
                client.sendall(b"x" * 1000)
        assert client.recv(100) == b"last words"


def test_a_client_that_disconnects_is_disconnected_from_the_daemon(relay, listener):
    client, daemon = connect(relay, listener)
    with daemon:
        client.close()
        assert daemon.recv(1) == b""


def test_nobody_else_can_connect(relay):
    assert stat.S_IMODE(os.stat(os.path.dirname(relay.path)).st_mode) == 0o700


def test_a_long_temporary_directory(listener, tmp_path, monkeypatch):
    long = tmp_path / ("x" * 120)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    with Relay(listener.getsockname(), Observer()) as relay:
        assert len(os.fsencode(relay.path)) <= 107
        assert stat.S_IMODE(os.stat(os.path.dirname(relay.path)).st_mode) == 0o700
    assert not os.path.exists(os.path.dirname(relay.path))
    assert not os.listdir(str(long))


def test_clients_beyond_the_limit_of_descriptors_wait(listener):
    relay = Relay(listener.getsockname(), Observer())
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with relay:
        thread = threading.Thread(target=relay.run, daemon=True)
        thread.start()
        first, at_daemon = connect(relay, listener)
        second = socket.socket(socket.AF_UNIX)
        free = os.dup(second.fileno())
        os.close(free)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
            second.connect(relay.path)
            with first, at_daemon:
                first.sendall(b"still served")
                assert at_daemon.recv(100) == b"still served"
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        second.sendall(b"now served")
        with second, listener.accept()[0] as at_daemon:
            assert at_daemon.recv(100) == b"now served"
        relay.stop()
        thread.join()


# -- the command ---------------------------------------------------------------------------


@pytest.fixture
def trace(xenstored, capfdbinary):
    """Run ``pyxs trace`` in this process; return its exit status, output and error output."""

    def run(*words):
        try:
            status = cli.main(("trace",) + words)
        except SystemExit as exc:
            status = exc.code
        return (status, *capfdbinary.readouterr())

    return run


def words_of(text):
    """Return the words of each line, without time and microseconds."""
    return [line.split()[1:-2] for line in text.decode().splitlines()]


def test_requests_and_events_are_printed_on_the_standard_error(trace, xenstore):
    status, out, err = trace(*PYXS, "watch", "-n", "1", "/a")
    assert (status, out) == (0, b"/a\n")
    watch, event, *summary = err.decode().splitlines()
    assert watch.split()[2:-2] == ["WATCH", "/a", "/a", "->", "OK"]
    assert event.split()[2:] == ["WATCH_EVENT", "/a", "/a"]
    assert summary[0].startswith("1 request, 1 round trip, 1 event, ")


def test_a_file_for_the_lines(trace, tmp_path):
    file = tmp_path / "lines"
    status, out, err = trace("-o", str(file), "--", *PYXS, "write", "/a", "1", "/b", "2")
    assert (status, out, err) == (0, b"", b"")
    lines = [line.split()[2:-2] for line in file.read_text().splitlines()[:4]]
    tx = lines[1][1]
    assert tx.startswith("tx=")
    assert lines == [
        ["TRANSACTION_START", "->", tx[3:]],
        ["WRITE", tx, "/a", '"1"', "->", "OK"],
        ["WRITE", tx, "/b", '"2"', "->", "OK"],
        ["TRANSACTION_END", tx, "T", "->", "OK"],
    ]


def test_json(trace):
    status, _, err = trace("--json", *PYXS, "read", "/missing")
    read, summary = [json.loads(line) for line in err.splitlines() if line.startswith(b"{")]
    assert status == 1
    assert (read["op"], read["path"], read["error"]) == ("READ", "/missing", "ENOENT")
    assert summary["summary"]["ops"]["READ"]["errors"] == 1


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["true"], 0),
        (["sh", "-c", "exit 7"], 7),
        (["sh", "-c", "kill -TERM $$"], 128 + signal.SIGTERM),
        (["no-such-command"], 127),
        (["/etc/passwd"], 126),
    ],
)
def test_the_exit_status_is_that_of_the_command(trace, words, status):
    assert trace(*words)[0] == status


def test_a_trace_that_cannot_be_written_does_not_end_the_command(trace, xenstore):
    status, out, err = trace("-o", "/dev/full", "--", *PYXS, "write", "/a", "1")
    assert (status, out) == (0, b"")
    assert err.count(b"/dev/full: No space left on device") == 1
    assert xenstore["/a"] == "1"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/nowhere/socket", b"pyxs trace: /nowhere/socket: No such file or directory; "),
        ("/dev/null", b"pyxs trace: /dev/null: a XenBus device; "),
    ],
)
def test_without_the_socket_of_a_daemon(trace, monkeypatch, path, message):
    monkeypatch.setenv("XENSTORED_PATH", path)
    status, out, err = trace("echo", "it ran")
    assert (status, out) == (1, b"")
    assert message in err


def test_inside_run():
    script = '"$0" -m pyxs write /a 1; exit 5'
    command = PYXS + ["trace", "--", "sh", "-c", script, sys.executable]
    with start_pyxs("run", "--", *command) as process:
        err = process.stderr.read()
    assert b'WRITE     /a "1" -> OK' in err
    assert process.returncode == 5


#: A program that ends with status 3 when a child that it leaves behind is connected.
LEAVES_ONE_BEHIND = """
import os, sys
from pyxs import Client
end, connected = os.pipe()
if os.fork():
    os.read(end, 1)
    os._exit(3)
with Client() as client:
    client.read("/")
    os.write(connected, b"1")
    os.write(1, b"ready\\n")
    sys.stdin.readline()
    client["/left"] = "behind"
"""


def test_it_forwards_until_the_last_connection_ends(xenstore, xenstored):
    command = [sys.executable, "-c", LEAVES_ONE_BEHIND]
    with start_pyxs("trace", "--", *command, stdin=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        _, err = process.communicate(b"\n", timeout=20)
    assert process.returncode == 3
    assert b'WRITE     /left "behind" -> OK' in err
    assert xenstore["/left"] == "behind"


def test_a_signal_ends_it_when_the_command_has_ended(xenstore, xenstored):
    command = [sys.executable, "-c", LEAVES_ONE_BEHIND]
    with start_pyxs("trace", "--", *command, stdin=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        children = pathlib.Path("/proc/{0}/task/{0}/children".format(process.pid))
        until(lambda: not children.exists() or not children.read_text())
        for _ in range(PATIENCE):  # the first may come before the trace knows of the end
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=1)
                break
        _, err = process.communicate(timeout=20)
    assert process.returncode == 3
    assert b"1 request, 1 round trip" in err


@pytest.mark.parametrize(
    "words",
    [
        ["xenstore-ls", "-fp"],
        ["xenstore-watch", "-n", "2", "/tool"],
        ["xenstore-write", "/t/a", "1", "/t/b", "2"],
        ["xenstore-read", "/missing"],
    ],
    ids=lambda words: words[0],
)
def test_c_programs(daemon, words):
    if shutil.which(words[0]) is None:
        pytest.skip("xenstore-utils is missing")
    command = words
    if words[0] == "xenstore-watch":
        command = [
            "sh",
            "-c",
            "xenstore-watch -n 2 /tool | (read a; xenstore-write /tool/x 1; cat)",
        ]
    plain = subprocess.run(
        command, env=daemon.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=20
    )
    traced = subprocess.run(
        PYXS + ["trace", "--"] + command,
        env=daemon.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        timeout=20,
    )
    assert (traced.returncode, traced.stdout) == (plain.returncode, plain.stdout)
    assert b" round trip" in traced.stderr
