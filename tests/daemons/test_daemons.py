"""Tests of the module that starts the daemons."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time

import pytest

import daemons
import pyxs

REAL = ["c", "ocaml"]


def outside(daemon, *command):
    """Run one of the C tools against *daemon* and return what it printed."""
    return subprocess.check_output(command, env=daemon.environ, universal_newlines=True)


@pytest.mark.parametrize("kind", REAL)
def test_daemons_side_by_side_have_stores_of_their_own(kind, start_daemon):
    one, other = start_daemon(kind), start_daemon(kind)
    outside(one, "xenstore-write", "/key", "value")
    assert outside(one, "xenstore-read", "/key") == "value\n"
    assert "key" not in outside(other, "xenstore-ls")


@pytest.mark.parametrize("daemon", REAL, indirect=True)
def test_a_daemon_does_not_start_where_the_environment_leads(daemon, start_daemon, monkeypatch):
    monkeypatch.setenv("XENSTORED_PATH", daemon.path)
    other = start_daemon(daemon.kind)
    assert other.alive()
    assert daemon.alive()


@pytest.mark.parametrize("daemon", REAL, indirect=True)
def test_a_restarted_daemon_is_empty_and_at_the_same_path(daemon):
    path = daemon.path
    outside(daemon, "xenstore-write", "/key", "value")
    daemon.restart()
    assert daemon.path == path
    assert "key" not in outside(daemon, "xenstore-ls")


def test_a_socket_for_a_guest_speaks_as_that_guest(daemon):
    with pyxs.Client(daemon.path) as client, pyxs.Client(daemon.socket_for(7)) as guest:
        client.write("/local/domain/7/key", "value")
        client.set_permissions("/local/domain/7/key", ["r0"])
        assert client.is_domain_introduced(7)
        assert guest.read("key") == "value"
        with pytest.raises(pyxs.PyXSError, match="Permission denied"):
            guest.write("key", "new")


def test_a_killed_daemon_is_dead_until_restarted(daemon):
    assert daemon.alive()
    daemon.kill()
    assert not daemon.alive()
    daemon.restart()
    assert daemon.alive()


def test_a_stopped_daemon_leaves_nothing_behind(daemon):
    daemon.stop()
    assert not os.path.exists(os.path.dirname(daemon.path))
    if daemon.pid is not None:
        with pytest.raises(ProcessLookupError):
            os.kill(daemon.pid, 0)


@pytest.mark.parametrize("kind", REAL)
def test_a_daemon_started_by_a_thread_outlives_the_thread(kind, start_daemon):
    start_daemon(kind).stop()  # skips the test if there is no such daemon
    started = []
    thread = threading.Thread(target=lambda: started.append(start_daemon(kind)))
    thread.start()
    thread.join()
    time.sleep(0.05)
    assert started[0].alive()


@pytest.fixture
def short_tmp():
    """A directory for files of a killed process; its path is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="pyxs-", dir="/tmp") as path:
        yield path


def test_a_long_tmpdir_is_no_obstacle(start_daemon, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / ("long" * 25)))
    assert start_daemon("memory").alive()


@pytest.mark.parametrize("kind", REAL)
def test_a_daemon_dies_with_the_process_that_started_it(kind, start_daemon, short_tmp):
    start_daemon(kind).stop()  # skips the test if there is no such daemon
    program = "import daemons, time; print(daemons.start({!r}).pid, flush=True); time.sleep(60)"
    parent = subprocess.Popen(
        [sys.executable, "-c", program.format(kind)],
        env=dict(
            os.environ,
            PYTHONPATH=os.path.dirname(os.path.dirname(daemons.__file__)),
            TMPDIR=short_tmp,
        ),
        stdout=subprocess.PIPE,
    )
    with parent:
        pid = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
    assert ended_within(5, pid)


def ended_within(seconds, pid):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            with open("/proc/{}/stat".format(pid)) as stat:
                if stat.read().rpartition(")")[2].split()[0] == "Z":
                    return True  # it has ended, but its new parent has not reaped it yet
        except (FileNotFoundError, ProcessLookupError):  # it ended before or during the read
            return True
        time.sleep(0.01)
    return False
