"""Tests of dom0 over each of its connections, with guests that start, answer and end."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

import pyxs
from common import PATIENCE
from conformance import refused

from . import pyxs_command, taken

CONNECTIONS = [
    {"unix_socket_path": "/run/xenstored/socket"},
    {"xen_bus_path": "/dev/xen/xenbus"},
    {"xen_bus_path": "/proc/xen/xenbus"},
]
#: The domid of a domain that never runs.
PAUSED = """
name = "paused"
type = "pv"
kernel = "/boot/vmlinux"
memory = 128
"""


@pytest.fixture(params=CONNECTIONS, ids=lambda where: next(iter(where.values())))
def where(request):
    return request.param


@contextlib.contextmanager
def monitors_on_each_connection():
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(pyxs.monitor(socket_timeout=PATIENCE, **where))
            for where in CONNECTIONS
        ]


def domid_of(name):
    return int(subprocess.check_output(["xl", "domid", name]))


def wait_for(monitor, client, path, value):
    """Wait until the monitor, which watches the node, has reported this value."""
    deadline = time.monotonic() + PATIENCE
    while client.read(path, default=None) != value:
        assert monitor.wait(timeout=PATIENCE) is not None
        assert time.monotonic() < deadline


@pytest.fixture(scope="module")
def guest():
    """The domid of a guest that runs ``agent.py``."""
    with monitors_on_each_connection() as monitors:
        for monitor in monitors:
            monitor.watch("@introduceDomain", "come")
            taken(monitor, 1)
        subprocess.check_call(["guest", "start", "agent", "python3 tests/xen/agent.py"])
        for monitor in monitors:
            assert taken(monitor, 1) == [("@introduceDomain", "come")]
    domid = domid_of("agent")
    ready = "/local/domain/{}/data/ready".format(domid)
    with pyxs.monitor() as monitor, pyxs.Client() as client:
        monitor.watch(ready)
        wait_for(monitor, client, ready, "yes")
    yield domid
    subprocess.call(["xl", "destroy", "agent"], stderr=subprocess.DEVNULL)


@pytest.fixture
def home(guest):
    return "/local/domain/{}".format(guest)


@pytest.fixture
def paused(tmp_path):
    """Make a domain that exists but never runs; return its domid."""
    config = tmp_path / "config"
    config.write_text(PAUSED)

    def create():
        subprocess.check_call(["xl", "create", "-p", "-q", str(config)])
        return domid_of("paused")

    yield create
    subprocess.call(["xl", "destroy", "paused"], stderr=subprocess.DEVNULL)


# -- domains -----------------------------------------------------------------------


def test_dom0_may_do_everything():
    assert pyxs.Client.SU is True


def test_a_domain_comes_and_goes(paused):
    with monitors_on_each_connection() as monitors, pyxs.Client() as client:
        for monitor in monitors:
            monitor.watch("@introduceDomain", "come")
            monitor.watch("@releaseDomain", "gone")
            taken(monitor, 2)

        domid = paused()
        for monitor in monitors:
            assert taken(monitor, 1) == [("@introduceDomain", "come")]
        assert client.is_domain_introduced(domid) is True
        assert client.read("/local/domain/{}/name".format(domid)) == "paused"

        subprocess.check_call(["xl", "destroy", "paused"])
        for monitor in monitors:
            assert taken(monitor, 1) == [("@releaseDomain", "gone")]
        assert client.is_domain_introduced(domid) is False


def test_a_domain_is_released_and_introduced_again(paused, kind):
    # A toolstack does this when a guest has reset itself.
    domid = paused()
    for where in CONNECTIONS:
        with pyxs.Client(**where) as client, pyxs.monitor(**where) as monitor:
            store = "/local/domain/{}/store/".format(domid)
            mfn, port = int(client.read(store + "ring-ref")), int(client.read(store + "port"))
            monitor.watch("@introduceDomain", "come")
            monitor.watch("@releaseDomain", "gone")
            taken(monitor, 2)

            client.release_domain(domid)
            assert taken(monitor, 1) == [("@releaseDomain", "gone")]
            assert client.is_domain_introduced(domid) is False

            if kind == "ocaml":  # the daemon does not introduce a domain again after its release
                with refused("EINVAL"):
                    client.introduce_domain(domid, mfn, port)
                return
            client.introduce_domain(domid, mfn, port)
            assert taken(monitor, 1) == [("@introduceDomain", "come")]
            assert client.is_domain_introduced(domid) is True


def test_a_live_guest_is_introduced(client, guest, home):
    assert client.is_domain_introduced(guest) is True
    assert client.get_domain_path(guest) == home
    assert client.read(home + "/name") == "agent"
    assert client.read(home + "/domid") == str(guest)
    assert client.is_domain_introduced(guest + 1000) is False


def test_a_live_guest_is_resumed(client, guest):
    client.resume_domain(guest)
    assert client.is_domain_introduced(guest) is True


def test_a_live_guest_gets_a_target(guest):
    with pyxs.Client() as client:
        client.set_target(guest, 0)


# -- a conversation with a guest ---------------------------------------------------


def test_dom0_and_a_guest_get_events_of_each_other(client, monitor, home):
    # The monitor of the guest gets the question, and ours the answer.
    monitor.watch(home + "/data/answer", "answer")
    taken(monitor, 1)
    for word in ("one", "two", "three"):
        client.write(home + "/data/question", word)
        assert taken(monitor, 1) == [(home + "/data/answer", "answer")]
        assert client.read(home + "/data/answer") == word.upper()


def test_a_guests_node_belongs_to_the_guest(client, guest, home):
    assert client.get_permissions(home + "/data/ready")[0] == "n{}".format(guest)


def test_a_guest_answers_control_shutdown(client, monitor, home):
    path = home + "/control/shutdown"
    client.write(path, "s3")
    monitor.watch(path)
    wait_for(monitor, client, path, "")


# -- control -----------------------------------------------------------------------


def test_control_reaches_the_daemon(client):
    assert client.control("print", "a text") == "OK"


def test_the_command_controls_the_daemon_over_the_device():
    done = pyxs_command("--xenbus", "control", "print", "a text")
    assert (done.returncode, done.stdout, done.stderr) == (0, "OK\n", "")


# -- the daemon --------------------------------------------------------------------


@pytest.fixture
def pause_daemon():
    pid = int(pathlib.Path("/run/xenstored/xenstored.pid").read_text())

    @contextlib.contextmanager
    def pause():
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    return pause


def test_a_daemon_that_does_not_answer_in_time_is_a_connection_error(make_client, pause_daemon):
    client = make_client(socket_timeout=0.3)
    client.read("/local/domain/0/name")
    with pause_daemon(), pytest.raises(pyxs.ConnectionError):
        client.read("/local/domain/0/name")
    for _ in range(100):  # the daemon first answers the requests of the meantime
        with contextlib.suppress(pyxs.ConnectionError):
            assert client.read("/local/domain/0/name") == "Domain-0"
            return
    pytest.fail("no answer ever came")


# -- the end -----------------------------------------------------------------------


def test_a_guest_shuts_down_when_it_is_asked_to(guest, home):
    # The last test of the guest, because it ends the guest.
    with monitors_on_each_connection() as monitors, pyxs.Client() as client:
        for monitor in monitors:
            monitor.watch("@releaseDomain", "gone")
            taken(monitor, 1)
        client.write(home + "/control/shutdown", "poweroff")
        for monitor in monitors:
            while client.is_domain_introduced(guest):
                assert monitor.wait(timeout=PATIENCE) == ("@releaseDomain", "gone")
        with refused("ENOENT"):
            client.read(home + "/name")


# -- snapshots ---------------------------------------------------------------------


@pytest.mark.parametrize("how", ["run --load", "load"])
def test_a_dump_of_this_host_fills_the_daemon_in_memory(home, tmp_path, how):
    dump = tmp_path / "host.json"
    dump.write_text(pyxs_command("dump").stdout)
    there = subprocess.check_output(["xenstore-ls", "-p"], universal_newlines=True)
    # oxenstored lists the special watch paths; a snapshot has nodes only.
    there = "".join(line for line in there.splitlines(True) if not line.startswith("@"))
    if how == "load":
        script = '"$0" -m pyxs load "$1" && xenstore-ls -p'
        copy = pyxs_command("run", "--", "sh", "-c", script, sys.executable, str(dump))
    else:
        copy = pyxs_command("run", "--load", str(dump), "--", "xenstore-ls", "-p")
    assert (copy.stderr, in_order(copy.stdout)) == ("", in_order(there))


def in_order(listing):
    """Return the lines of ``xenstore-ls``, with siblings sorted by name."""
    paths, place = {}, []
    for line in listing.splitlines():
        depth = len(line) - len(line.lstrip(" "))
        place[depth:] = [line.split()[0]]
        paths[tuple(place)] = line
    return [paths[path] for path in sorted(paths)]
