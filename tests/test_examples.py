"""The programs in docs/examples/, run as a user runs them, on the in-memory daemon."""

import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import textwrap
import threading

import pytest

from pyxs import Client, snapshot
from pyxs._cli.guests import with_guests
from pyxs.xenstored import XenStored

EXAMPLES = pathlib.Path(__file__).parent.parent / "docs" / "examples"


def run(name, *args):
    """Run an example to its end and return what it printed."""
    command = [sys.executable, str(EXAMPLES / name), *args]
    result = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True, timeout=60
    )
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


@contextlib.contextmanager
def running(name, *args, **environ):
    """Run an example in the background, and end it in any case."""
    with subprocess.Popen(
        [sys.executable, str(EXAMPLES / name), *args],
        env=dict(os.environ, **environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def table():
    """Return the commands of the page, by the program that each is for."""
    page = (EXAMPLES.parent / "examples.rst").read_text(encoding="utf-8")
    blocks = re.findall(r"^      - ::\n\n((?: {12}.*\n|\n)+)", page, re.M)
    commands = [textwrap.dedent(block).strip() for block in blocks]
    return {re.findall(r"python (\w+\.py)", command)[-1]: command for command in commands}


#: In a line that the command of the table prints on the store that the page serves. The other two
#: need socat, and an ssh server: see below, and test_ssh.py.
SHOWN = {
    "tour.py": "read /pyxs-tour/1/name        -> 'web'",
    "tree.py": "    name = web",
    "watcher.py": "/local/domain = ''",
    "callbacks.py": "/local/domain/1 = ''",
    "async_watch.py": "/local/domain/1 = ''",
    "signals.py": "/tool/demo",
    "across_restarts.py": "web",
    "domains.py": "domain 2 is there",
    "balloon.py": "domain 1 gets 786432 KiB",
    "stuck_devices.py": "domain 2: vif/0: frontend Initialising, backend InitWait",
    "repeated_requests.py": "READ /pyxs-tour/1/memory/target",
    "guest_agent.py": "asked for poweroff",
}


def test_the_table_has_a_command_for_each_program():
    assert set(table()) == {path.name for path in EXAMPLES.glob("*.py")}
    assert set(table()) - set(SHOWN) == {"fleet.py", "tcp_connection.py"}


@pytest.fixture
def served(tmp_path):
    """The store that the page serves, in which the guest is asked to end."""
    nodes = with_guests(json.loads((EXAMPLES / "host.json").read_text()), [7])
    with XenStored(str(tmp_path / "store"), snapshot=nodes) as daemon, daemon.client() as client:
        daemon.socket_for(7, str(tmp_path / "guest"))
        client.write("/local/domain/7/control/shutdown", "poweroff")
        yield daemon


@contextlib.contextmanager
def in_the_shell(command, directory):
    """Run a command of the table in the background; end its processes in any case."""
    for name, words in [("python", ""), ("pyxs", "-m pyxs")]:
        program = directory / name
        program.write_text('#!/bin/sh\nexec {} {} "$@"\n'.format(sys.executable, words))
        program.chmod(0o755)
    environ = dict(os.environ, XENSTORED_PATH=str(directory / "store"))
    environ["PATH"] = "{}:{}".format(directory, environ["PATH"])
    with subprocess.Popen(
        ["sh", "-c", command.replace("/tmp/", "{}/".format(directory))],
        cwd=str(EXAMPLES),
        env=environ,
        stdout=subprocess.PIPE,
        universal_newlines=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.parametrize("name", sorted(SHOWN))
def test_the_command_of_the_table_works(served, tmp_path, name):
    command = table()[name].replace("stuck_devices.py 5", "stuck_devices.py 0.1")
    with in_the_shell(command, tmp_path) as process:
        assert any(SHOWN[name] in line for line in process.stdout)


@pytest.mark.parametrize("name", sorted(set(table()) - {"tour.py", "domains.py"}))
def test_wrong_arguments_are_answered_with_the_usage(name):
    command = [sys.executable, str(EXAMPLES / name), "--no-such-option"]
    done = subprocess.run(command, stderr=subprocess.PIPE, universal_newlines=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: " + name)


def until(monitor, path):
    """Wait for an event of *path*."""
    for event in monitor:
        if event.path == path:
            return


@pytest.fixture
def balloon(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import balloon

    return balloon


def test_the_tour_shows_reads_a_retried_transaction_and_events(xenstore):
    shown = run("tour.py")
    assert "read /pyxs-tour/1/name        -> 'web'" in shown
    assert "read /pyxs-tour/3/name        -> [Errno 2] No such file or directory" in shown
    assert "try 2: web has 1048576 KiB, database 3145728 KiB" in shown
    assert "/pyxs-tour/1/memory/target  786432\n" in shown
    assert "/pyxs-tour/2/memory/target  3407872\n" in shown
    assert [line.split()[1] for line in shown.splitlines() if line.startswith("event ")] == [
        "/pyxs-tour/1/state",
        "/pyxs-tour/2",
        "/pyxs-tour/done",
    ]
    assert not xenstore.exists("/pyxs-tour")


def test_the_tree_is_indented_by_depth(xenstore):
    xenstore.write_many([("/vm/web/name", "web"), ("/vm/web/note", "two\nlines"), ("/vm/db", "")])
    assert run("tree.py", "/vm").splitlines() == [
        "/vm",
        "    db",
        "    web",
        "        name = web",
        "        note = two\\nlines",
    ]


def test_the_tree_begins_at_the_root(xenstore):
    xenstore.write("/vm/db", "x")
    assert run("tree.py").splitlines()[0] == "/"
    assert "    vm\n        db = x\n" in run("tree.py")


def test_the_watcher_prints_changes_until_a_signal(xenstore):
    xenstore.write("/vm/web", "on")
    with running("watcher.py", "/vm") as watcher:
        assert watcher.stdout.readline() == "/vm = ''\n"
        xenstore.write("/vm/web", "off")
        assert watcher.stdout.readline() == "/vm/web = 'off'\n"
        xenstore.rm("/vm/web")
        assert watcher.stdout.readline() == "/vm/web = None\n"
        watcher.send_signal(signal.SIGTERM)
        assert watcher.communicate(timeout=60) == ("", "")
        assert watcher.returncode == 0


def test_the_watcher_says_when_nothing_happens(xenstore):
    with running("watcher.py", "/vm", "--idle", "0.1") as watcher:
        assert watcher.stdout.readline() == "/vm = None\n"
        assert watcher.stdout.readline() == "nothing for 0.1 s\n"


def test_the_guest_agent_publishes_and_answers_a_shutdown(xenstored, xenstore):
    snapshot.restore(xenstore, with_guests({}, [7]))
    home = "/local/domain/7"
    with xenstore.monitor() as monitor:
        monitor.watch(home)
        with running("guest_agent.py", "--socket", xenstored.socket_for(7)) as agent:
            until(monitor, home + "/data/updated")
            assert xenstore[home + "/data/os_name"] == os.uname().sysname
            assert int(xenstore[home + "/data/meminfo_total"]) > 0
            assert xenstore[home + "/control/feature-poweroff"] == "1"
            xenstore.write(home + "/control/shutdown", "poweroff")
            assert agent.communicate(timeout=60) == ("asked for poweroff\n", "")
            assert agent.returncode == 0
    assert xenstore[home + "/control/shutdown"] == ""


def write_guest(client, domid, used):
    home = "/local/domain/{}/memory/".format(domid)
    client.write_many(
        [(home + "dynamic-min", 100), (home + "static-max", 1000), (home + "meminfo", used)]
    )


def test_the_balancer_gives_memory_to_the_one_that_uses_it(xenstore):
    write_guest(xenstore, 1, 100)
    write_guest(xenstore, 2, 500)
    with running("balloon.py", "--budget", "800") as balancer:
        first = {balancer.stdout.readline(), balancer.stdout.readline()}
        assert first == {"domain 1 gets 100 KiB\n", "domain 2 gets 500 KiB\n"}
        xenstore.write("/local/domain/1/memory/meminfo", 300)
        assert balancer.stdout.readline() == "domain 1 gets 300 KiB\n"
        assert xenstore["/local/domain/1/memory/target"] == "300"


def test_the_balancer_skips_nodes_that_are_no_guests(xenstore, balloon):
    xenstore.write("/local/domain/0/name", "Domain-0")
    write_guest(xenstore, 1, 100)
    assert xenstore.run_transaction(lambda t: balloon.balance(t, 800)) == {"1": 100}
    assert xenstore.ls("/local/domain/0") == ["name"]


@pytest.mark.parametrize(
    ("budget", "targets"),
    [
        (2000, {"1": 1000, "2": 300}),  # enough memory: what each uses, up to its maximum
        (650, {"1": 460, "2": 180}),  # too little: in proportion to what each lacks
        (100, {"1": 100, "2": 100}),  # less than the minimum of all: the minimum of each
    ],
)
def test_shares(balloon, budget, targets):
    guests = {"1": balloon.Guest(1500, 100, 1000), "2": balloon.Guest(300, 100, 1000)}
    shares = balloon.share(budget, guests)
    if budget == 650:
        assert sum(shares.values()) <= budget
        assert shares["1"] - 100 == pytest.approx((shares["2"] - 100) * 4.5, abs=5)
    else:
        assert shares == targets


def pump(source, sink):
    """Copy a stream until it ends."""
    for data in iter(lambda: source.recv(65536), b""):
        sink.sendall(data)
    sink.shutdown(socket.SHUT_WR)


@pytest.fixture
def tcp_port(xenstored):
    """A TCP port of loopback that forwards one connection to the daemon."""

    def forward():
        tcp, _ = listener.accept()
        with tcp, socket.socket(socket.AF_UNIX) as unix:
            unix.connect(xenstored.path)
            back = threading.Thread(target=pump, args=(unix, tcp))
            back.start()
            pump(tcp, unix)
            back.join()

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        thread = threading.Thread(target=forward)
        thread.start()
        yield str(listener.getsockname()[1])
        thread.join()


def test_a_users_connection_class_lists_the_guests_over_tcp(xenstored, tcp_port):
    with Client(xenstored.path) as client:
        client.write("/local/domain/3/name", "web")
        client.mkdir("/local/domain/12")
    lines = run("tcp_connection.py", "127.0.0.1", tcp_port).splitlines()
    assert sorted(lines) == ["    3  web", "   12  (no name)"]


def test_a_function_is_called_for_each_change(xenstore):
    xenstore.write("/vm/web", "on")
    with running("callbacks.py", "/vm/web", "/vm/db") as program:
        shown = {program.stdout.readline(), program.stdout.readline()}
        assert shown == {"/vm/web = 'on'\n", "/vm/db = None\n"}
        xenstore.write("/vm/db", "1")
        assert program.stdout.readline() == "/vm/db = '1'\n"
        xenstore.write("/callbacks/stop", "")
        assert program.communicate(timeout=60) == ("", "")
        assert program.returncode == 0


def test_domains_are_told_as_they_come_and_go(xenstore):
    xenstore.mkdir("/local/domain/0")
    with running("domains.py") as program:
        assert program.stdout.readline() == "domain 0 is there\n"
        xenstore.write("/local/domain/7/name", "web")
        xenstore.introduce_domain(7, 1, 1)
        assert program.stdout.readline() == "domain 7 is there\n"
        xenstore.release_domain(7)
        assert program.stdout.readline() == "domain 7 is gone\n"


def test_an_asyncio_program_shows_changes(xenstore):
    xenstore.write("/vm/web", "on")
    with running("async_watch.py", "/vm") as program:
        assert program.stdout.readline() == "/vm = ''\n"
        xenstore.write("/vm/web", "off")
        assert program.stdout.readline() == "/vm/web = 'off'\n"
        xenstore.write("/vm/done", "")
        assert program.communicate(timeout=60) == ("/vm/done = ''\n", "")
        assert program.returncode == 0


def test_an_asyncio_program_ends_with_its_daemon(xenstored, xenstore):
    with running("async_watch.py", "/vm") as program:
        assert program.stdout.readline() == "/vm = None\n"
        xenstored.stop()
        error = program.communicate(timeout=60)[1]
    assert error.splitlines()[-1].startswith("pyxs.exceptions.ConnectionError: ")


def test_a_signal_handler_writes_while_the_program_waits(xenstore):
    with running("signals.py", "/vm") as program:
        xenstore.wait_for("/vm/state", "running", timeout=60)
        for count in ("1", "2", "3"):
            program.send_signal(signal.SIGHUP)
            xenstore.wait_for("/vm/reloads", count, timeout=60)
        program.send_signal(signal.SIGTERM)
        assert program.communicate(timeout=60)[1] == ""
        assert program.returncode == 0
    assert xenstore["/vm/state"] == "stopped"


def test_values_are_printed_across_restarts(tmp_path):
    path = str(tmp_path / "socket")
    command = ["across_restarts.py", "/vm/web"]
    with XenStored(path, snapshot={"/vm/web": "1"}) as daemon, Client(path) as client, running(
        *command, XENSTORED_PATH=path
    ) as program:
        assert program.stdout.readline() == "1\n"
        client.write("/vm/web", "2")
        assert program.stdout.readline() == "2\n"
        daemon.stop()
        daemon.start()
        assert program.stdout.readline() == "1\n"


def test_requests_that_are_repeated_are_counted(xenstore, tmp_path):
    file = str(tmp_path / "requests.json")
    program = "import pyxs; c = pyxs.Client(); [c.read(p) for p in ('/', '/', '/tool', '/')]"
    trace = [sys.executable, "-m", "pyxs", "trace", "--json", "-o", file, "--"]
    subprocess.check_call(trace + [sys.executable, "-c", program])
    (line,) = run("repeated_requests.py", file).splitlines()
    assert line.split()[:2] == ["3", "times"]
    assert line.split()[-2:] == ["READ", "/"]


def test_a_device_that_stays_stuck_is_reported(xenstore):
    pyxs = [sys.executable, "-m", "pyxs"]
    host = str(EXAMPLES / "host.json")
    subprocess.check_call(pyxs + ["load", host])
    with subprocess.Popen(
        pyxs + ["devices", "--watch", "--json"], stdout=subprocess.PIPE
    ) as devices, subprocess.Popen(
        [sys.executable, str(EXAMPLES / "stuck_devices.py"), "0.1"],
        stdin=devices.stdout,
        stdout=subprocess.PIPE,
        universal_newlines=True,
    ) as program:
        shown = {program.stdout.readline(), program.stdout.readline()}
        devices.kill()
    assert shown == {
        "domain 2: vif/0: frontend Initialising, backend InitWait\n",
        "domain 3: vbd/51712: frontend None, backend Closing\n",
    }
