"""``pyxs serve`` and ``pyxs run``."""

import contextlib
import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from command_lines import PYXS, start_pyxs
from forks import forkpty
from pyxs import Client, PyXSError, cli
from pyxs.xenstored._versions import VERSIONS

#: A program that prints the signals it gets, until SIGTERM.
LISTENER = """
import os, signal, sys, time
def told(number, frame):
    os.write(1, signal.Signals(number).name.encode() + b"\\n")
    if number == signal.SIGTERM:
        sys.exit(5)
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
    signal.signal(number, told)
os.write(1, b"ready\\n")
for _ in range(20 * 60):  # not for ever: a test that failed may have left this running
    time.sleep(0.05)
os.write(1, b"gave up\\n")
"""


# -- serve ---------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_serve_until_a_signal(number):
    with start_pyxs("serve") as process:
        name, _, path = process.stdout.readline().decode().rstrip("\n").partition("=")
        assert name == "XENSTORED_PATH"
        with Client(path) as client:
            client.write("/a", "1")
            process.send_signal(number)
            assert process.communicate(timeout=10) == (b"", b"")
    assert process.returncode == 0
    assert not os.path.exists(os.path.dirname(path))


@pytest.mark.parametrize(
    "words", [["serve", "--socket"], ["--socket"]], ids=["of the subcommand", "before it"]
)
def test_serve_at_a_path(words, tmp_path):
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(path)
    with start_pyxs(*words, path, *["serve"][: words == ["--socket"]]) as process:
        assert process.stdout.readline() == b"XENSTORED_PATH=" + path.encode() + b"\n"
        with start_pyxs("serve", "--socket", path) as second:
            assert b"another daemon serves this socket" in second.stderr.read()
        assert second.returncode == 1
        with Client(path) as client:
            assert client.exists("/")
        process.terminate()
    assert process.returncode == 0
    assert not os.path.exists(path)


def test_serve_a_snapshot(tmp_path):
    file = tmp_path / "host.json"
    file.write_text('{"/local/domain/3/name": "web"}')
    with start_pyxs("serve", "--load", str(file)) as process:
        _, _, path = process.stdout.readline().decode().rstrip("\n").partition("=")
        with Client(path) as client:
            assert client.read("/local/domain/3/name") == "web"
            assert client.is_domain_introduced(3)
        process.terminate()
    assert process.returncode == 0


@pytest.mark.parametrize("like", sorted(VERSIONS))
def test_serve_and_run_like_a_version(run, like):
    with start_pyxs("serve", "--like", like) as process:
        _, _, path = process.stdout.readline().decode().rstrip("\n").partition("=")
        with Client(path) as client:
            assert client.get_feature() == VERSIONS[like].features
        process.terminate()
    assert process.returncode == 0
    program = "import pyxs; print(pyxs.Client().get_feature())"
    words = ["--like", like, "--", sys.executable, "-c", program]
    assert run(*words) == (0, b"%d\n" % VERSIONS[like].features, b"")


def test_serve_like_no_version_there_is(run):
    status, out, err = run("--like", "3.0", "true")
    assert (status, out) == (2, b"")
    assert b"'3.0'" in err


def test_serve_guests_beside_domain_0(tmp_path):
    paths = {domid: str(tmp_path / "guest-{}".format(domid)) for domid in (3, 7)}
    words = ["--domid={}={}".format(domid, path) for domid, path in paths.items()]
    with start_pyxs("serve", *words) as process:
        _, _, path = process.stdout.readline().decode().rstrip("\n").partition("=")
        with Client(path) as dom0, Client(paths[3]) as third, Client(paths[7]) as seventh:
            third.write("data/a", "of 3")
            seventh.write("data/a", "of 7")
            assert dom0.read("/local/domain/3/data/a") == "of 3"
            assert dom0.read("/local/domain/7/data/a") == "of 7"
            with pytest.raises(PyXSError) as refused:
                third.write("/local/domain/7/data/a", "meddled with")
            assert refused.value.errno == errno.EACCES
        process.terminate()
    assert process.returncode == 0
    assert os.listdir(str(tmp_path)) == []


def test_serve_does_not_share_a_socket_among_guests(tmp_path):
    path = str(tmp_path / "socket")
    with start_pyxs("serve", "--domid", "3=" + path, "--domid", "7=" + path) as process:
        assert b"serves this socket" in process.stderr.read()
    assert process.returncode == 1


# -- run -----------------------------------------------------------------------------------


@pytest.fixture
def run(capfdbinary):
    """Run the command in this process; return its exit status, output and error output."""

    def run(*words):
        try:
            status = cli.main(("run",) + words)
        except SystemExit as exc:
            status = exc.code
        return (status, *capfdbinary.readouterr())

    return run


def test_run_lets_the_command_find_the_store(run):
    program = "from pyxs import Client; c = Client(); c['/a'] = '1'; print(c['/a'])"
    assert run(sys.executable, "-c", program) == (0, b"1\n", b"")


def test_each_run_has_a_store_of_its_own_and_removes_it(run):
    script = 'test -S "$XENSTORED_PATH" && echo "$XENSTORED_PATH"'
    _, first, _ = run("sh", "-c", script)
    _, second, _ = run("sh", "-c", script)
    assert first != second
    assert not os.path.exists(os.path.dirname(first.strip()))


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["true"], 0),
        (["sh", "-c", "exit 7"], 7),
        (["--", "sh", "-c", "exit 8"], 8),
        (["sh", "-c", 'exit "$#"', "sh", "-x", "--", "-p", "--"], 4),
        (["sh", "-c", "kill -TERM $$"], 128 + signal.SIGTERM),
        (["sh", "-c", "kill -KILL $$"], 128 + signal.SIGKILL),
    ],
)
def test_run_ends_with_the_status_of_the_command(run, words, status):
    assert run(*words) == (status, b"", b"")


@pytest.mark.parametrize(
    ("words", "status", "err"),
    [
        (["no-such-command"], 127, b"pyxs run: no-such-command: No such file or directory\n"),
        (["/etc/passwd"], 126, b"pyxs run: /etc/passwd: Permission denied\n"),
    ],
)
def test_run_a_command_that_does_not_start(run, words, status, err):
    assert run(*words) == (status, b"", err)


def test_run_and_serve_where_tmpdir_is_too_long_for_a_socket(run, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / ("x" * 120)))
    os.mkdir(os.environ["TMPDIR"])
    words = [sys.executable, "-m", "pyxs", "exists", "/tool"]
    assert run(*words) == (0, b"", b"")


def test_run_on_a_snapshot(run, tmp_path):
    file = tmp_path / "host.json"
    file.write_text('{"/a": "1"}')
    words = [sys.executable, "-m", "pyxs", "read", "/a"]
    assert run("--load", str(file), "--", *words) == (0, b"1\n", b"")
    file.write_text('{"/a": 1.5}')
    status, out, err = run("--load", str(file), "true")
    assert (status, out) == (1, b"")
    assert err.decode() == "pyxs run: {}: line 1, column 2: /a: 1.5: {}\n".format(
        file, 'a value is a string, or {"base64": "\u2026"}'
    )


GUEST = """
import pyxs
with pyxs.Client() as c:
    print(c.read("name"), c.read("domid", default="no domid"))
    c.write(c.read("where"), "1")
"""


def test_run_as_a_guest_of_a_snapshot(run, tmp_path):
    home = "/local/domain/7"
    nodes = {
        home: {"value": "", "perms": ["n0", "r7"]},
        home + "/name": "web",
        home + "/mine": {"value": "", "perms": ["n7"]},
        home + "/where": home + "/mine",
    }
    file = tmp_path / "host.json"
    file.write_text(json.dumps(nodes))
    words = ["--domid", "7", "--load", str(file), "--", sys.executable, "-c", GUEST]
    assert run(*words) == (0, b"web no domid\n", b"")
    file.write_text(json.dumps(dict(nodes, **{home + "/where": home + "/name"})))
    status, _, err = run(*words)
    assert status == 1
    assert b"Permission denied" in err


def test_run_as_a_new_guest(run):
    program = (
        "from pyxs import Client as C; c = C(); c['data/x'] = '1'; print(c['name'], c['domid'])"
    )
    assert run("--domid=12", sys.executable, "-c", program) == (0, b"guest-12 12\n", b"")


@pytest.mark.parametrize("domid", ["0", "-1", "32752", "web", ""])
def test_domids_that_no_guest_has(run, domid):
    status, _, err = run("--domid=" + domid, "true")
    assert status == 2
    assert b"--domid" in err


def test_run_restores_the_signal_handlers(run):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    run("true")
    assert before == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGHUP, signal.SIGUSR1], ids=lambda number: number.name
)
def test_run_passes_signals_on(number):
    # In a session of its own, so that no terminal sends the signal to both.
    with start_pyxs("run", sys.executable, "-c", LISTENER, start_new_session=True) as process:
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(number)
        assert process.stdout.readline().decode() == number.name + "\n"
        process.terminate()
        assert process.communicate(timeout=10) == (b"SIGTERM\n", b"")
    assert process.returncode == 5


def test_a_failed_block_leaves_no_process_of_run_behind():
    reader, writer = os.pipe()
    with open(reader, "rb") as said:
        with contextlib.suppress(ZeroDivisionError), start_pyxs(
            "run", sys.executable, "-c", LISTENER, stdout=writer, start_new_session=True
        ):
            os.close(writer)
            assert said.readline() == b"ready\n"
            raise ZeroDivisionError
        assert said.read() == b""  # the end, when no process has the pipe any more


def test_a_key_on_the_terminal_reaches_the_command_once():
    pid, terminal = forkpty()
    if pid == 0:
        os.execv(sys.executable, PYXS + ["run", sys.executable, "-c", LISTENER])
    shown = b""

    def show_until(end):
        nonlocal shown
        while end not in shown:
            shown += os.read(terminal, 1024)

    show_until(b"ready")
    os.write(terminal, b"\x03")
    show_until(b"SIGINT")
    time.sleep(0.2)  # a second signal would have arrived by now
    os.kill(pid, signal.SIGTERM)
    with contextlib.suppress(OSError):  # EIO: the terminal's side is closed
        while True:
            show_until(b"more than there is")
    os.close(terminal)
    assert os.WEXITSTATUS(os.waitpid(pid, 0)[1]) == 5
    assert shown.count(b"SIGINT") == 1


def test_a_signal_that_is_ignored_stays_so():
    program = "import signal; print(signal.getsignal(signal.SIGHUP).name)"
    done = subprocess.check_output(["nohup"] + PYXS + ["run", sys.executable, "-c", program])
    assert done == b"SIG_IGN\n"
