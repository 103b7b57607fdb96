"""``pyxs --timeout``, on a daemon that accepts connections and never answers."""

import pytest

from command_lines import start_pyxs
from common import PATIENCE
from fakes import FakeServer, honest


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("read", "/vm"), 1),
        (("ls",), 1),
        (("write", "/a", "1"), 1),
        (("dump",), 1),
        (("watch", "/vm"), 1),
        (("wait", "/vm"), 124),
        (("wait", "/vm", "--timeout", "60"), 124),
    ],
)
def test_a_silent_daemon_does_not_hold_a_subcommand(words, status, monkeypatch):
    with FakeServer(lambda peer: peer.linger()) as server:
        monkeypatch.setenv("XENSTORED_PATH", server.path)
        with start_pyxs("--timeout", "0.2", *words) as process:
            _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == status
    assert err == "pyxs {}: timed out after 0.2 seconds\n".format(words[0]).encode()


def test_wait_bounds_connecting_and_asking_too(monkeypatch):
    with FakeServer(lambda peer: peer.linger()) as server:
        monkeypatch.setenv("XENSTORED_PATH", server.path)
        with start_pyxs("wait", "/vm", "--timeout", "0.2") as process:
            _, err = process.communicate(timeout=PATIENCE)
    text = b"pyxs wait: /vm: timed out after 0.2 seconds; the daemon has not answered\n"
    assert (process.returncode, err) == (124, text)


def test_a_time_limit_that_is_not_reached_changes_nothing(monkeypatch):
    with FakeServer(honest) as server:
        monkeypatch.setenv("XENSTORED_PATH", server.path)
        with start_pyxs("--timeout", str(PATIENCE), "read", "/vm") as process:
            out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out, err) == (0, b"value\n", b"")


@pytest.mark.parametrize("seconds", ["0", "-1", "soon", "nan"])
def test_a_time_limit_is_a_positive_number_of_seconds(seconds):
    with start_pyxs("--timeout={}".format(seconds), "ls") as process:
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2
    assert b"--timeout" in err
