"""The ``pyxs`` command; ``test_cli_like_c.py`` compares it with the C tools."""

import contextlib
import datetime
import io
import json
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import tty

import pytest

import xen_utils
from command_lines import PYXS, start_pyxs
from fakes import FakeServer, error_to, reply_to
from pyxs import Client, __version__, cli, connection
from pyxs._cli import console
from pyxs.connection import Op, UnixSocketConnection
from pyxs.xenstored import XenStored

SUBCOMMANDS = ["read", "write", "ls", "list", "rm", "mkdir", "exists", "chmod", "watch", "control"]
SUBCOMMANDS += ["perms", "quota", "feature", "wait", "dump", "load", "shell", "serve", "run"]
SUBCOMMANDS += ["completion", "help", "devices", "trace"]


def _shown(parameter):
    return " ".join(parameter)[:40] if isinstance(parameter, list) else ""


@pytest.fixture
def pyxs(xenstored, capfdbinary):
    """Run the command in this process; return its exit status, output and error output."""

    def run(*words):
        try:
            status = cli.main(words)
        except SystemExit as exc:
            status = exc.code
        return (status, *capfdbinary.readouterr())

    return run


# -- on a store ----------------------------------------------------------------------------


def test_a_written_value_is_read_back(pyxs):
    assert pyxs("write", "/a", r"two\nlines", "/a/b", "2") == (0, b"", b"")
    assert pyxs("read", "-p", "/a", "/a/b") == (0, b"/a: two\\nlines\n/a/b: 2\n", b"")
    assert pyxs("read", "-R", "/a") == (0, b"two\nlines", b"")
    assert pyxs("ls", "-p", "/") == (
        0,
        b'tool = ""  . . . . . . . . . . . . . . . . . . . . . . . . .  (n0)\n'
        b' xenstored = ""  . . . . . . . . . . . . . . . . . . . . . .  (n0)\n'
        b'a = "two\\nlines" . . . . . . . . . . . . . . . . . . . . . .  (n0)\n'
        b' b = "2" . . . . . . . . . . . . . . . . . . . . . . . . . .  (n0)\n',
        b"",
    )


def test_mkdir(pyxs, xenstore):
    xenstore.write("/there", "value")
    assert pyxs("mkdir", "/a/b", "/there") == (0, b"", b"")
    assert xenstore.read("/a/b") == ""
    assert xenstore.read("/there") == "value"


def test_a_command_changes_all_nodes_or_none(pyxs, xenstore):
    for words in (["write", "/a", "1", "/bad//path", "2"], ["mkdir", "/a", "/bad//path"]):
        assert pyxs(*words)[0] == 1
        assert not xenstore.exists("/a")


def test_values_need_not_be_text(pyxs, xenstore):
    raw = bytes(range(1, 256))
    assert pyxs("write", "-R", "/raw", os.fsdecode(raw))[0] == 0
    assert xenstore.read("/raw").encode("utf-8", "surrogateescape") == raw
    assert pyxs("read", "-R", "/raw") == (0, raw, b"")


def test_a_deep_tree(pyxs, xenstore):
    path = "/d" * 1000  # deeper than the recursion limit of Python
    xenstore.write(path, "deep")
    assert pyxs("chmod", "-r", "/d", "n0", "r5")[0] == 0
    status, out, err = pyxs("ls", "-fp", "/")
    assert (status, err) == (0, b"")
    assert out.count(b"(n0,r5)\n") == 1000
    assert pyxs("rm", "-t", path)[0] == 0
    assert not xenstore.exists("/d")


@pytest.fixture
def before(xenstored, tmp_path, monkeypatch):
    """Let a function run before the daemon gets a request with some bytes in it.

    With *until*, it runs after that request, when the daemon has answered with these bytes.
    """
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(tmp_path / "socket"))
        listener.listen(1)
        monkeypatch.setenv("XENSTORED_PATH", str(tmp_path / "socket"))
        threads = []

        def relay(mark, function, until):
            client = listener.accept()[0]
            with client, socket.socket(socket.AF_UNIX) as daemon:
                daemon.connect(xenstored.path)
                while True:
                    source = select.select([client, daemon], [], [])[0][0]
                    data = source.recv(65536)
                    if not data:
                        return
                    if source is client and mark in data:
                        if until:
                            end = data.index(mark) + len(mark)
                            daemon.sendall(data[:end])
                            data, answer = data[end:], b""
                            while until not in answer:
                                answer += daemon.recv(65536)
                            client.sendall(answer)
                        function()
                    (daemon if source is client else client).sendall(data)

        def start(mark, function, until=b""):
            threads.append(threading.Thread(target=relay, args=(mark, function, until)))
            threads[-1].start()

        yield start
        for thread in threads:
            thread.join()


def test_ls_leaves_out_what_was_removed_since_it_was_listed(pyxs, xenstored, before):
    with Client(xenstored.path) as client:
        client.write_many({"/a/1": "", "/a/gone": "", "/a/gone/below": "", "/a/z": ""})
        before(b"/a/gone\0", lambda: client.rm("/a/gone"))
        assert pyxs("ls", "-fp", "/a") == (0, b'/a/1 = ""   (n0)\n/a/z = ""   (n0)\n', b"")


@pytest.mark.parametrize("options", [[], ["-p"]])
def test_ls_leaves_out_what_was_removed_since_it_was_read(pyxs, xenstored, before, options):
    with Client(xenstored.path) as client:
        client.write_many({"/a/1": "", "/a/gone": "soon removed", "/a/z": ""})
        before(b"/a/gone\0", lambda: client.rm("/a/gone"), until=b"soon removed")
        status, out, err = pyxs("ls", *options, "/a")
        assert (status, [line.split()[0] for line in out.splitlines()], err) == (
            0,
            [b"1", b"z"],
            b"",
        )


@pytest.mark.parametrize(
    ("words", "out"),
    [
        (["read", "-p", "/a/*"], b"/a/1: one\n/a/z: last\n"),
        (
            ["list", "--json", "/a/*"],
            b'{"path": "/a/1", "children": []}\n{"path": "/a/z", "children": ["below"]}\n',
        ),
        (["perms", "-p", "/a/*"], b"/a/1: n0\n/a/z: n0\n"),
        (["ls", "-f", "/a/*"], b'/a/z/below = ""\n'),
    ],
)
def test_what_was_removed_since_a_pattern_found_it_is_left_out(pyxs, xenstored, before, words, out):
    with Client(xenstored.path) as client:
        client.write_many({"/a/1": "one", "/a/gone/below": "", "/a/z": "last", "/a/z/below": ""})
        before(b"/a/gone\0", lambda: client.rm("/a/gone"))
        assert pyxs(*words) == (0, out, b"")


def test_ls_shows_what_it_may_read_until_it_is_refused(pyxs, xenstored, xenstore):
    xenstore.write_many({"/a/1": "", "/a/shut/below": "", "/a/z": ""})
    for path in ("/a", "/a/1", "/a/z"):
        xenstore.set_permissions(path, ["n0", "r1"])
    assert pyxs("--socket", xenstored.socket_for(1), "ls", "/a") == (
        1,
        b'1 = ""\nshut:\n\n',
        b"pyxs ls: xs_directory (/a/shut): Permission denied\n",
    )


def test_a_large_directory(pyxs, xenstore):
    xenstore.write_many({"/large/node-{}".format(n): n for n in range(2000)})
    status, out, err = pyxs("list", "/large")
    assert (status, err) == (0, b"")
    assert sorted(out.split()) == sorted(b"node-%d" % n for n in range(2000))


@pytest.fixture
def conflicting_write(xenstored, monkeypatch):
    """Let another client write ``/a`` just before the command commits for the first time."""
    conflicts = []

    class Stream:
        def __init__(self, sock):
            self._sock = sock
            self.recv, self.fileno, self.close = sock.recv, sock.fileno, sock.close

        def send(self, data):
            op = int.from_bytes(data[:4], sys.byteorder)
            if op == Op.TRANSACTION_END and not conflicts:
                with Client(xenstored.path) as other:
                    other.write("/a", "meddled with")
                conflicts.append(data)
            return self._sock.send(data)

    class ConflictingConnection(UnixSocketConnection):
        def open(self):
            return Stream(super().open())

    monkeypatch.setattr("pyxs._choice.UnixSocketConnection", ConflictingConnection)
    return conflicts


def test_a_command_repeats_its_transaction_after_a_conflict(pyxs, xenstore, conflicting_write):
    xenstore.write_many({"/a": "1", "/b": "2"})
    assert pyxs("read", "/a", "/b") == (0, b"meddled with\n2\n", b"")
    assert conflicting_write


# -- values --------------------------------------------------------------------------------


def test_a_value_from_standard_input_is_stored_as_it_comes(xenstore):
    raw = bytes(range(1, 256)) + b"\\n\n"
    with start_pyxs("write", "/b", "2", "/a", "--stdin", stdin=subprocess.PIPE) as process:
        assert process.communicate(raw) == (b"", b"")
    assert process.returncode == 0
    assert xenstore.read("/a").encode("utf-8", "surrogateescape") == raw
    assert xenstore.read("/b") == "2"


def test_a_dash_is_a_value_and_leaves_the_standard_input_alone(xenstore):
    script = 'while read name; do "$@" write "/$name" -; done'
    with subprocess.Popen(["sh", "-c", script, "sh"] + PYXS, stdin=subprocess.PIPE) as process:
        process.communicate(b"a\nb\nc\n")
    assert process.returncode == 0
    assert xenstore.read_many(["/a", "/b", "/c"]) == {"/a": "-", "/b": "-", "/c": "-"}


def test_utf8_is_shown_as_it_is_when_asked_for(pyxs, xenstore):
    xenstore.write("/a", "h\u00e9 \u20ac\u0085\\\n".encode() + b"\xff")
    assert pyxs("read", "-u", "/a")[1] == "h\u00e9 \u20ac\\xc2\\x85\\\\\\n\\xff\n".encode()
    shown = pyxs("ls", "-u", "/")[1]
    assert shown.endswith('a = "h\u00e9 \u20ac\\xc2\\x85\\\\\\n\\xff"\n'.encode())
    assert pyxs("read", "/a")[1].startswith(rb"h\xc3\xa9 \xe2")


# -- watching ------------------------------------------------------------------------------


def test_watch_shows_values(xenstored, xenstore):
    xenstore.write_many({"/a": "two\nlines", "/empty": ""})
    with start_pyxs("watch", "-v", "-n", "4", "/a", "/empty") as process:
        assert process.stdout.readline() == b"/a: two\\nlines\n"
        assert process.stdout.readline() == b"/empty: \n"
        xenstore.write("/a/b", "1")
        assert process.stdout.readline() == b"/a/b: 1\n"
        xenstore.rm("/empty")
        assert process.stdout.readline() == b"/empty, was \n"
        assert process.stderr.read() == b""


def _utc_now():
    return datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)


@pytest.mark.filterwarnings("default")
def test_what_the_library_warns_of_is_one_line(pyxs, tmp_path):
    status, _, err = pyxs("watch", "-n", "1", "releaseDomain/3")
    said = b"is watched as a node; the special path is '@releaseDomain/3'"
    assert (status, err) == (0, b"pyxs watch: 'releaseDomain/3' " + said + b"\n")
    file = tmp_path / "nodes.json"
    file.write_text('{"/b": {"value": "2", "perms": ["n0", "w32757"]}}')
    status, _, err = pyxs("load", str(file))
    assert status == 0
    assert err.startswith(b"pyxs load: permissions of DOMID_ANY (32757) were left out")
    assert err.endswith(b": /b\n")


def test_watch_shows_the_time(pyxs):
    before = _utc_now() - datetime.timedelta(seconds=1)
    status, out, _ = pyxs("watch", "-n", "1", "--time", "-v", "/")
    shown, _, rest = out.decode().partition(" ")
    then = datetime.datetime.strptime(shown, "%Y-%m-%dT%H:%M:%S.%fZ")
    assert before < then < _utc_now()
    assert (status, rest) == (0, "/: \n")


def test_watch_prints_json(xenstored, xenstore, pyxs):
    xenstore.write_many({"/a": "h\u00e9\n", "/a/bin": b"\xff", "/a/shut": "1"})
    before = time.time()
    status, out, _ = pyxs("watch", "--json", "-n", "4", "/a", "/a/bin", "/gone", "@releaseDomain")
    events = [json.loads(line) for line in out.decode().splitlines()]
    assert status == 0
    assert all(before - 1 < event.pop("time") < time.time() + 1 for event in events)
    assert events == [
        {"path": "/a", "token": "/a", "value": "h\u00e9\n"},
        {"path": "/a/bin", "token": "/a/bin", "value": {"base64": "/w=="}},
        {"path": "/gone", "token": "/gone", "value": None},
        {"path": "@releaseDomain", "token": "@releaseDomain", "value": None},
    ]
    status, out, _ = pyxs("--socket", xenstored.socket_for(1), "watch", "--json", "-n1", "/a/shut")
    assert json.loads(out.decode())["value"] == {"unreadable": True}


def test_wait_for_a_node(xenstored, xenstore):
    with start_pyxs("wait", "/a", "--timeout", "20") as process:
        xenstore.write("/a", "")
        assert process.communicate() == (b"", b"")
    assert process.returncode == 0


def test_wait_for_a_value(xenstored, xenstore):
    xenstore.write("/a", "1")
    with start_pyxs("wait", "/a", r"two\nlines") as process:
        xenstore.write("/a", "two")
        xenstore.write("/a", "two\nlines")
        assert process.communicate() == (b"", b"")
    assert process.returncode == 0


def test_wait_ends_when_the_time_has_passed(pyxs, xenstore):
    assert pyxs("wait", "/a", "--timeout", "0.1") == (
        124,
        b"",
        b"pyxs wait: /a: timed out after 0.1 seconds; there is no such node\n",
    )
    xenstore.write("/a", "1")
    assert pyxs("wait", "/a", "2", "--timeout", "0.1") == (
        124,
        b"",
        b"pyxs wait: /a: timed out after 0.1 seconds; the value is '1'\n",
    )
    assert pyxs("wait", "/a", "1", "--timeout", "20")[0] == 0


# -- settings ------------------------------------------------------------------------------


def test_quotas(pyxs, xenstore):
    status, out, err = pyxs("quota")
    assert (status, err) == (0, b"")
    assert b"nodes: 1000\n" in out
    assert pyxs("quota", "nodes", "2000") == (0, b"", b"")
    assert pyxs("quota", "nodes") == (0, b"2000\n", b"")
    assert xenstore.get_quota("nodes") == 2000


def test_a_quota_of_one_domain(pyxs, xenstored, xenstore):
    xenstored.introduce(5)
    assert pyxs("quota", "nodes", "7", "--domid", "5") == (0, b"", b"")
    assert b"nodes: 7\n" in pyxs("quota", "--domid", "5")[1]
    assert xenstore.get_quota("nodes") == 1000
    said = b"Invalid argument; there is no such quota; without a name, all are listed\n"
    assert pyxs("quota", "nonsense") == (1, b"", b"pyxs quota: quota nonsense: " + said)


def test_features(pyxs, xenstore):
    names = pyxs("feature")[1].decode().split()
    known = ["reconnection", "error", "watch-depth", "domid-any"]
    assert sum(1 << known.index(name) for name in names) == xenstore.get_feature()


@pytest.mark.parametrize(("bits", "warned"), [(15, True), (4, True), (11, False), (None, False)])
def test_a_live_update_warns_of_watches_with_a_depth(pyxs, monkeypatch, bits, warned):
    def script(peer):
        for request in peer:
            if request.op == Op.READ:  # the domain of the daemon
                peer.send(reply_to(request, b"0"))
            elif request.op != Op.GET_FEATURE:
                peer.send(reply_to(request, b"OK\0"))
            elif bits is None:
                peer.send(error_to(request, b"ENOSYS\0"))
            else:
                peer.send(reply_to(request, b"%d\0" % bits))

    with FakeServer(script) as server:
        monkeypatch.setenv("XENSTORED_PATH", server.path)
        status, out, err = pyxs("control", "live-update", "FILE")
    assert (status, out) == (0, b"")
    assert (b"4.22.0 loses its clients" in err) == warned
    assert err.count(b"\n") == warned


@pytest.mark.parametrize("daemon", ["c", "ocaml"], indirect=True)
def test_a_daemon_without_quotas_and_features(daemon, pyxs, monkeypatch):
    if xen_utils.VERSION >= (4, 21):
        pytest.skip("this daemon has them")
    monkeypatch.setenv("XENSTORED_PATH", daemon.path)
    message = "this daemon does not know the request, which came with Xen"
    for words in (["quota"], ["quota", "nodes"], ["quota", "nodes", "1"], ["feature"]):
        status, out, err = pyxs(*words)
        assert (status, out) == (1, b"")
        assert message in err.decode()


# -- snapshots -----------------------------------------------------------------------------


def test_dump_and_load(pyxs, xenstore, tmp_path):
    xenstore.write_many({"/a/b": "h\u00e9", "/c": b"\xff"})
    xenstore.set_permissions("/a/b", ["n0", "r1"])
    status, out, err = pyxs("dump")
    assert (status, err) == (0, b"")
    assert out.decode().splitlines() == [
        "{",
        '"/": {"value": "", "perms": ["n0"]},',
        '"/a": {"value": "", "perms": ["n0"]},',
        '"/a/b": {"value": "h\u00e9", "perms": ["n0", "r1"]},',
        '"/c": {"value": {"base64": "/w=="}, "perms": ["n0"]},',
        '"/tool": {"value": "", "perms": ["n0"]},',
        '"/tool/xenstored": {"value": "", "perms": ["n0"]}',
        "}",
    ]
    (tmp_path / "dump.json").write_bytes(out)
    xenstore.rm("/a")
    assert pyxs("load", str(tmp_path / "dump.json")) == (0, b"", b"")
    assert pyxs("dump") == (0, out, b"")
    assert pyxs("dump", "/c", "/a/b", "/a")[1].count(b"\n") == 5


def test_load_from_standard_input(xenstore):
    with start_pyxs("load", stdin=subprocess.PIPE) as process:
        assert process.communicate(b'{"/a": "1"}') == (b"", b"")
    assert xenstore.read("/a") == "1"


DUMP = """
import sys, tracemalloc
from pyxs.cli import main

main(["dump", "/top/d0"])  # imports what it takes
tracemalloc.start()
main(["dump", "/top"])
print(tracemalloc.get_traced_memory()[1], file=sys.stderr)
"""


def test_dump_does_not_hold_what_it_prints():
    nodes = {"/top/d{}/n{}".format(n // 25, n): "value {}".format(n) for n in range(10000)}
    with XenStored(snapshot=nodes) as daemon:
        done = subprocess.run(
            [sys.executable, "-c", DUMP],
            env=dict(os.environ, XENSTORED_PATH=daemon.path),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            check=True,
        )
    printed = done.stdout.partition(b"}\n{\n")[2]
    assert printed.count(b"\n") > len(nodes)
    assert int(done.stderr) < len(printed)


def test_a_bad_file_changes_nothing(pyxs, xenstore, tmp_path):
    file = tmp_path / "bad.json"
    file.write_text('{\n"/a": "1",\n"/b//c": "2"\n}\n')
    assert pyxs("load", str(file)) == (
        1,
        b"",
        "pyxs load: {}: line 3, column 1: '/b//c': a path may not contain '//'\n".format(
            file
        ).encode(),
    )
    assert not xenstore.exists("/a")


def test_load_says_when_one_transaction_is_not_possible(pyxs, xenstored, xenstore, tmp_path):
    home = "/local/domain/1"
    xenstore.mkdir(home)
    xenstore.set_permissions(home, ["n1"])
    (tmp_path / "many.json").write_text(
        json.dumps({"{}/{}".format(home, n): "x" for n in range(50)})
    )
    xenstore.control("quota", "set", "transaction-nodes", "20")
    status, out, err = pyxs(
        "--socket", xenstored.socket_for(1), "load", str(tmp_path / "many.json")
    )
    assert (status, out) == (0, b"")
    assert err.startswith(b"pyxs load: too much for one transaction")
    assert len(xenstore.ls(home)) == 50


def test_progress_is_shown_on_a_terminal(xenstore, monkeypatch):
    shown = io.StringIO()
    shown.isatty = lambda: True
    monkeypatch.setattr("sys.stderr", shown)
    monkeypatch.setattr("sys.stdout", io.StringIO())
    clock = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: clock[0])
    progress = console.Progress("nodes")
    for _ in range(250):
        progress.step()
    assert shown.getvalue() == ""  # progress appears only after a second
    clock[0] = 1.5
    for _ in range(1250):
        progress.step()
    progress.end()
    assert shown.getvalue() == "\r\x1b[K300 nodes\r\x1b[K"


# -- which store ---------------------------------------------------------------------------


@pytest.fixture
def device(xenstored):
    """A character device that gives access to the same store, as ``/dev/xen/xenbus`` does."""
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    relay = socket.socket(socket.AF_UNIX)
    relay.connect(xenstored.path)

    def pump():
        with contextlib.suppress(OSError):
            while True:
                for source in select.select([ours, relay], [], [])[0]:
                    if source is relay:
                        os.write(ours, relay.recv(65536))
                    else:
                        relay.sendall(os.read(ours, 65536))

    thread = threading.Thread(target=pump)
    thread.start()
    yield os.ttyname(theirs)
    relay.shutdown(socket.SHUT_RDWR)
    os.close(theirs)
    thread.join()
    relay.close()
    os.close(ours)


def test_socket_option(pyxs, xenstored, monkeypatch):
    monkeypatch.delenv("XENSTORED_PATH")
    assert pyxs("--socket", xenstored.path, "exists", "/")[0] == 0
    assert pyxs("exists", "--socket", xenstored.path, "/")[0] == 0
    assert pyxs("exists", "/", "--socket=" + xenstored.path)[0] == 0
    assert pyxs("watch", "-n", "1", "/", "--socket", xenstored.path)[1] == b"/\n"


def test_device_option(pyxs, xenstore, device, monkeypatch):
    xenstore.write("/a", "1")
    monkeypatch.setenv("XENSTORED_PATH", "/nonexistent")
    assert pyxs("--device", device, "read", "/a") == (0, b"1\n", b"")
    assert pyxs("watch", "-n", "1", "--device", device, "/a") == (0, b"/a\n", b"")


def test_xenbus_option(pyxs, xenstore, device, monkeypatch):
    xenstore.write("/a", "1")
    monkeypatch.setattr(connection, "_default_device", lambda: device)
    monkeypatch.setenv("XENSTORED_PATH", "/nonexistent")
    assert pyxs("--xenbus", "read", "/a") == (0, b"1\n", b"")


def test_xenstored_path_may_name_a_device(pyxs, xenstore, device, monkeypatch):
    xenstore.write("/a", "1")
    monkeypatch.setenv("XENSTORED_PATH", device)
    assert pyxs("read", "/a") == (0, b"1\n", b"")


def test_the_device_serves_where_no_socket_answers(pyxs, xenstore, device, monkeypatch, tmp_path):
    xenstore.write("/a", "1")
    monkeypatch.delenv("XENSTORED_PATH")
    monkeypatch.setenv("XENSTORED_RUNDIR", str(tmp_path))
    monkeypatch.setattr(connection, "_default_device", lambda: device)
    assert pyxs("read", "/a") == (0, b"1\n", b"")
    assert pyxs("read", "-s", "/a")[:2] == (1, b"")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "socket"))
    assert pyxs("read", "/a") == (0, b"1\n", b"")


# -- errors --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["mkdir", "/a//b"], ": /a//b: a path may not contain '//'"),
        (["dump", "/tool", "/nope"], ": /nope: No such file or directory"),
        (["rm", "/"], "/: Invalid argument; pyxs refuses this: the OCaml daemon would empty"),
        (["write", "/a", "ends with \\"], "ends with \\: the backslash at its end escapes nothing"),
        (["write", "/a/b", r"\0"], "could not write path /a/b: value b'\\x00': may not end"),
        (["write", "/a", "x" * 5000], "could not write path /a: "),
        (["chmod", "/", "q0"], "'q0': a permission is one of"),
        (["chmod", "-r", "/", "n0"], "/: -r may not change the whole store"),
        (["chmod", "-u", "a/b", "n0"], "a/b: -u needs a path that begins with '/'"),
        (["watch", "/", "/"], "/: File exists"),
        (["control", "nope", "x"], "Command not supported: nope x; see 'pyxs control help'"),
        (["--socket", "/nope", "ls"], "/nope: No such file or directory; is xenstored running?"),
        (["--device", "/nope", "ls"], "/nope: No such file or directory; is this a domain of Xen?"),
        (["--device", "/dev/null", "ls"], "/dev/null: the daemon closed the connection"),
        (["serve", "--socket", "/nope/socket"], "/nope/socket: No such file or directory"),
        (["serve", "--socket", "/etc/passwd"], "/etc/passwd: this file exists and is not a socket"),
    ],
    ids=_shown,
)
def test_an_error_is_one_line(pyxs, words, message):
    status, out, err = pyxs(*words)
    assert (status, out) == (1, b"")
    assert err.startswith(b"pyxs " + words[0 if words[0] in SUBCOMMANDS else 2].encode() + b": ")
    assert message in err.decode()
    assert err.count(b"\n") == 1


def test_an_error_of_load_names_the_node(pyxs, xenstored, xenstore, tmp_path):
    file = tmp_path / "guest.json"
    home = "/local/domain/1"
    xenstore.mkdir(home)
    xenstore.set_permissions(home, ["n1"])
    file.write_text(json.dumps({home + "/a": "1", "/vm/b": "2"}))
    words = ["--socket", xenstored.socket_for(1), "load", str(file)]
    assert pyxs(*words) == (1, b"", b"pyxs load: /vm/b: Permission denied\n")
    file.write_text(json.dumps({"/a": {"value": "1", "perms": ["n32752"]}}))
    said = b"pyxs load: /a: No such file or directory; there is no domain 32752 to own it\n"
    assert pyxs("load", str(file)) == (1, b"", said)


def test_an_error_of_the_commit(pyxs, xenstored, xenstore):
    xenstore.mkdir("/a")
    xenstore.set_permissions("/a", ["n1"])
    xenstore.control("quota", "set", "nodes", "2")
    assert pyxs("--socket", xenstored.socket_for(1), "mkdir", "/a/b", "/a/c", "/a/d") == (
        1,
        b"",
        b"pyxs mkdir: couldn't end transaction: No space left on device; over a quota of the "
        b"daemon for this domain: too many nodes, or too large a node (its value, permissions "
        b"and children's names)\n",
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "SUBCOMMAND"),
        (["frobnicate"], "frobnicate: no such subcommand; see 'pyxs -h'"),
        (["wrtie", "/a", "1"], "wrtie: no such subcommand; did you mean 'write'?"),
        (["tree", "/a"], "tree: no such subcommand; did you mean 'ls'?"),
        (["get", "/a"], "get: no such subcommand; did you mean 'read'?"),
        (["set", "/a", "1"], "set: no such subcommand; did you mean 'write'?"),
        (["cat", "/a"], "cat: no such subcommand; did you mean 'read'?"),
        (["remove", "/a"], "remove: no such subcommand; did you mean 'rm'?"),
        (["del", "/a"], "del: no such subcommand; did you mean 'rm'?"),
        (["LS"], "LS: no such subcommand; did you mean 'ls'?"),
        (["Tree"], "Tree: no such subcommand; did you mean 'ls'?"),
        (["--devcie=/a", "ls"], "--devcie: no such option; did you mean '--device'?"),
        (
            ["--socket", "/a", "--xnebus", "ls"],
            "--xnebus: no such option; did you mean '--xenbus'?",
        ),
        (["-R", "ls"], "-R: no such option; see 'pyxs -h'"),
        (["-vx"], "-v: no such option; see 'pyxs -h'"),
        (["--sock"], "expected one argument"),
        (["feature", "--domid", "web"], "--domid: web: must be a number"),
        (["--timeout", "soon", "ls"], "--timeout: soon: must be a number"),
        (["serve", "--domid", "web=/a"], "--domid: web: must be a number"),
        (["run", "--domid", "7.5", "true"], "--domid: 7.5: must be a number"),
        (["completion"], "SHELL"),
        (["completion", "fish"], "SHELL"),
        (["help", "wrtie"], "wrtie: no such subcommand; did you mean 'write'?"),
        (["write", "--stdin", "/a", "1"], "--stdin: the last path has a value, 1"),
        (["write", "--stdin"], "PATH VALUE"),
        (["wait", "/a", "--timeout", "-1"], "-1: must be 0"),
        (["wait", "/a", "--timeout", "soon"], "soon"),
        (["read"], "PATH"),
        (["read", "-q", "/a"], "-q: no such option"),
        (["read", "-f", "/a"], "-f: no such option"),
        (["read", "-spq", "/a"], "-spq: no such option"),
        (["read", "--flat", "/a"], "--flat: no such option"),
        (
            ["write", "/a", "-5"],
            "-5: no such option; an operand that begins with '-' goes after '--'",
        ),
        (["write", "/a", "-x y"], "-x y: no such option"),
        (["write", "/a", "1", "/b"], "/b: this path has no value"),
        (["chmod", "/a"], "PERMISSION"),
        (["watch", "-n", "few", "/a"], "few"),
        (["watch", "-n", "-1", "/a"], "-1: must be 0 or more"),
        (["watch", "/a", "-n"], "expected one argument"),
        (["run"], "COMMAND"),
        (["--xenbus", "read", "--socket", "/a", "/"], "--socket and --xenbus: only one"),
        (["--xenbus", "serve"], "--xenbus: serve makes its own store"),
        (["--socket", "/a", "run", "true"], "--socket: run makes its own store"),
        (["--timeout", "5", "run", "true"], "--timeout: run has no time limit"),
        (["--timeout=5", "trace", "true"], "--timeout: trace has no time limit"),
        (["--timeout", "5", "serve"], "--timeout: serve has no time limit"),
        (["read", "--timeout", "5", "/a"], "--timeout: stands before the subcommand"),
        (["watch", "/a", "--timeout=5"], "--timeout: stands before the subcommand"),
    ],
    ids=_shown,
)
def test_a_usage_error_is_one_line(pyxs, words, message):
    status, out, err = pyxs(*words)
    assert (status, out) == (2, b"")
    assert message in err.decode()
    assert err.count(b"\n") == 1


@pytest.mark.parametrize(
    ("path", "perms", "owner"),
    [
        ("@releaseDomain", ["n7"], b"domain 7"),
        ("@introduceDomain", ["r12", "n0"], b"domain 12"),
        ("@releaseDomain", ["n0", "r7"], None),
        ("/a", ["n7"], None),
    ],
)
def test_a_guest_that_gets_a_special_path_is_warned_of(pyxs, xenstore, path, perms, owner):
    xenstore.write("/a", "")
    for domid in (7, 12):
        xenstore.introduce_domain(domid, 1, 1)
    status, out, err = pyxs("chmod", path, *perms)
    assert (status, out) == (0, b"")
    assert err.count(b"\n") == (owner is not None)
    if owner is not None:
        assert b"crash when " + owner in err


def test_an_operand_too_many_is_refused_by_its_subcommand(pyxs):
    message = "pyxs {0}: unrecognized arguments: {1}; see 'pyxs {0} -h'\n"
    for words, surplus in ((["feature", "7"], "7"), (["quota", "--", "nodes", "1", "-2"], "-2")):
        assert pyxs(*words) == (2, b"", message.format(words[0], surplus).encode())


def test_the_last_option_of_a_cluster_takes_the_next_word(pyxs):
    assert pyxs("watch", "-vn", "1", "/") == (0, b"/: \n", b"")
    # The in-memory daemon does not know this request, so the options were understood.
    assert pyxs("control", "live-update", "-Ft", "10", "FILE")[0] == 1


@pytest.mark.parametrize("option", ["-c", "-Fc"])
def test_the_value_of_an_option_may_look_like_one(pyxs, option):
    # The in-memory daemon does not know this request, so the options were understood.
    assert pyxs("control", "live-update", option, "-E -M", "FILE")[0] == 1
    assert pyxs("control", "live-update", option, "-E", "FILE")[0] == 1
    status, _, err = pyxs("read", "--socket", "-x", "/a")
    assert (status, err[:29]) == (1, b"pyxs read: xs_open: -x: No su")


def test_what_was_read_before_an_error_is_printed(pyxs, xenstore):
    xenstore.write("/a", "1")
    status, out, err = pyxs("read", "/a", "/nope")
    assert (status, out) == (1, b"1\n")
    assert err == b"pyxs read: couldn't read path /nope: No such file or directory\n"


def on_a_full_disk(words, **environ):
    environ = dict(os.environ, **environ)
    with open("/dev/full", "wb") as full:
        done = subprocess.run(PYXS + words, stdout=full, stderr=subprocess.PIPE, env=environ)
    return done.returncode, done.stderr.decode()


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", [["ls"], ["read", "/", "/nope"]], ids=" ".join)
def test_a_full_disk(xenstored, words, unbuffered):
    assert on_a_full_disk(words, PYTHONUNBUFFERED=unbuffered) == (
        1,
        "pyxs {}: standard output: No space left on device\n".format(words[0]),
    )


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "words",
    [["write", "/a", "1"], ["mkdir", "/b"], ["exists", "/"], ["chmod", "/", "n0"], ["rm", "/tool"]],
    ids=" ".join,
)
def test_what_prints_nothing_does_not_mind_a_full_disk(xenstored, words, unbuffered):
    assert on_a_full_disk(words, PYTHONUNBUFFERED=unbuffered) == (0, "")


def test_no_standard_output_at_all(xenstored, xenstore):
    done = subprocess.run(["sh", "-c", 'exec "$@" >&- 2>&-', "sh"] + PYXS + ["write", "/a", "1"])
    assert done.returncode == 0
    assert xenstore.read("/a") == "1"
    done = subprocess.run(["sh", "-c", 'exec "$@" >&- 2>&-', "sh"] + PYXS + ["read", "/nope"])
    assert done.returncode == 1


def test_a_closed_pipe_ends_the_command_silently(xenstore):
    xenstore.write_many({"/many/nodes/{}".format(n): "x" * 100 for n in range(2000)})
    for words in (["ls"], ["read", "/many", "/nope"]):
        with start_pyxs(*words) as process:
            process.stdout.close()
            assert process.stderr.read() == b""
        assert process.returncode == -signal.SIGPIPE


def test_an_interrupt_ends_the_command_silently(xenstored):
    with start_pyxs("watch", "/") as process:
        assert process.stdout.readline() == b"/\n"
        # Repeated, because Python may notice a signal only after the system call that it is
        # about to make.
        while process.poll() is None:
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(1)
        assert process.stderr.read() == b""
    assert process.returncode == -signal.SIGINT


def test_a_daemon_that_dies_ends_a_watch(daemon):
    with start_pyxs("watch", "/", env=daemon.environ) as process:
        assert process.stdout.readline() == b"/\n"
        daemon.kill()
        err = process.stderr.read()
    assert process.returncode == 1
    assert err.startswith(b"pyxs watch: " + daemon.path.encode())
    assert err.count(b"\n") == 1


def test_events_are_printed_at_once(xenstore):
    with start_pyxs("watch", "/a", "/b") as process:
        assert process.stdout.readline() == b"/a\n"
        assert process.stdout.readline() == b"/b\n"
        xenstore.write("/a/below", "1")
        assert process.stdout.readline() == b"/a/below\n"
        process.terminate()


# -- help ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_help_has_an_example(pyxs, name):
    status, out, err = pyxs(name, "--help")
    assert (status, err) == (0, b"")
    assert b"example:\n  pyxs " + name.encode() + b" " in out


def test_the_parser_is_there_for_tools(pyxs):
    parser = cli.get_parser()
    assert parser.prog == "pyxs"
    for name in SUBCOMMANDS:
        assert " {} ".format(name) in parser.format_help()


def test_python_m_pyxs(xenstored):
    assert subprocess.check_output(PYXS + ["list", "/"]) == b"tool\n"


def test_help_about_a_subcommand(pyxs):
    assert pyxs("help", "write") == pyxs("write", "-h")
    assert pyxs("help") == pyxs("-h")
    assert pyxs("--version") == (0, "pyxs {}\n".format(__version__).encode(), b"")


def test_options_before_the_subcommand_may_be_shortened(pyxs, xenstored, xenstore):
    xenstore.write("/a", "1")
    assert pyxs("--sock", xenstored.path, "read", "/a") == (0, b"1\n", b"")
