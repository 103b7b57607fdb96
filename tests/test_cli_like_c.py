"""``pyxs`` and the C tools give the same output and exit status for the same command lines."""

import os
import random
import shlex
import shutil
import subprocess
import sys

import pytest

import xen_utils
from command_lines import COMMAND_LINES, on_a_terminal, run_c_tool
from conftest import skip_or_fail
from pyxs import Client, cli

#: Command lines left out, by kind of daemon: pyxs refuses to remove the root.
REFUSED = {"ocaml": [["rm", "/"]]}

only_c = pytest.mark.parametrize("daemon", ["c"], indirect=True)


@pytest.fixture(autouse=True)
def c_tools():
    if shutil.which("xenstore-ls") is None:
        skip_or_fail("xenstore-ls is missing: apt-get install xenstore-utils")


@pytest.fixture
def pyxs(capfdbinary):
    """Run a command line in this process; return what it printed, and whether it succeeded."""

    def run(words):
        try:
            status = cli.main(words)
        except SystemExit as exc:
            status = exc.code
        return capfdbinary.readouterr().out, status == 0

    return run


def test_every_command_line(daemon, start_daemon, pyxs, monkeypatch):
    theirs = start_daemon(daemon.kind)
    monkeypatch.setenv("XENSTORED_PATH", daemon.path)
    for words in COMMAND_LINES:
        if words not in REFUSED.get(daemon.kind, []):
            assert (words, *pyxs(words)) == (words, *run_c_tool(words, theirs.environ))


def _guest_of(daemon):
    """Make nodes that domain 1 may and may not use, and return its socket."""
    with Client(daemon.path) as dom0:
        for path in ("/a/open", "/a/shut/below", "/a/shut/open", "/a/writable"):
            dom0.write(path, "value")
        dom0.mkdir("/a/room")
        for path, perms in {
            "/a": ["n0", "r1"],
            "/a/open": ["n0", "r1"],
            "/a/shut/open": ["n0", "r1"],
            "/a/writable": ["n0", "w1"],
            "/a/room": ["n0", "b1"],
        }.items():
            dom0.set_permissions(path, perms)
    return daemon.server.socket_for(1)


def test_what_a_guest_may_do(start_daemon, pyxs, monkeypatch):
    theirs = dict(os.environ, XENSTORED_PATH=_guest_of(start_daemon("memory")))
    monkeypatch.setenv("XENSTORED_PATH", _guest_of(start_daemon("memory")))
    for line in (
        "ls",
        "ls /a/open",
        "ls -p /a",
        "ls -f /a/shut",
        "ls /a/writable",
        "read /a/open /a/shut",
        "list /a /a/shut",
        "exists /a/shut",
        "exists /a/open /a",
        "write /a/writable/mine 1 /a/open 2",
        "write /a/writable/mine 1",
        "rm -t /a/writable/mine",
        "write /a/room/of/mine 1",
        "rm -t /a/room/of/mine",
        "exists /a/room",
        "chmod /a/open n1",
    ):
        words = line.split()
        assert (line, *pyxs(words)) == (line, *run_c_tool(words, theirs))


@only_c
@pytest.mark.parametrize(
    ("line", "theirs", "ours"),
    [
        # The C tool reports an unknown option and goes on.
        ("read -q /a", (b"1\n", True), (b"", False)),
        # The C tool ignores what follows a valid beginning of a permission.
        ("chmod /a rx", (b"", True), (b"", False)),
        ("chmod /a r1x", (b"", True), (b"", False)),
        ("chmod /a n0 r70000", (b"", True), (b"", False)),
        # The C tool does nothing then.
        ("chmod '' n0", (b"", True), (b"", False)),
        # It does the same for a number.
        ("watch -n few /a", (b"", True), (b"", False)),
        # The C tool writes a NUL at the end of a value, also for a final backslash.
        (r"write /a 1\\000", (b"", True), (b"", False)),
        (r"write /a C:\\", (b"", True), (b"", False)),
        # The C tool takes any path that begins with "@".
        ("watch -n 1 @elsewhere", (b"@elsewhere\n", True), (b"", False)),
    ],
)
def test_known_differences(daemon, pyxs, monkeypatch, line, theirs, ours):
    monkeypatch.setenv("XENSTORED_PATH", daemon.path)
    with Client(daemon.path) as client:
        client.write("/a", "1")
    words = shlex.split(line)
    assert run_c_tool(words, daemon.environ) == theirs
    assert pyxs(words) == ours


@only_c
@pytest.mark.parametrize(
    "line",
    [
        "read /missing",
        "read /a//b",
        "write /a//b 1",
        "rm /missing/node",
        "list /missing",
        "ls /missing",
        "chmod /missing n0",
        "chmod /missing x0",
        "watch /a/",
    ],
)
def test_an_error_begins_as_in_c(daemon, monkeypatch, capfd, line):
    words = line.split()
    tool = ["xenstore-" + words[0]] + words[1:]
    done = subprocess.run(tool, env=daemon.environ, stderr=subprocess.PIPE)
    theirs = done.stderr.decode().partition(": ")[2].splitlines()[0]
    monkeypatch.setenv("XENSTORED_PATH", daemon.path)
    assert cli.main(words) == 1
    ours = capfd.readouterr().err.partition(": ")[2]
    assert ours.replace("'x0'", "'x'").startswith(theirs)
    assert len(ours) > len("could not read path : ") + len(words[1])


@only_c
def test_the_children_of_the_root_are_listed_as_in_4_22(daemon, pyxs, monkeypatch):
    monkeypatch.setenv("XENSTORED_PATH", daemon.path)
    slashes = b"/" if xen_utils.VERSION >= (4, 22) else b"//"
    assert run_c_tool(["list", "-p", "/"], daemon.environ) == (slashes + b"tool\n", True)
    assert pyxs(["list", "-p", "/"]) == (b"/tool\n", True)


@only_c
def test_help_succeeds_as_in_4_22(daemon, pyxs):
    assert run_c_tool(["ls", "-h"], daemon.environ) == (b"", xen_utils.VERSION >= (4, 22))
    output, succeeded = pyxs(["ls", "-h"])
    assert output.startswith(b"usage: pyxs ls ")
    assert succeeded


@only_c
@pytest.mark.parametrize("columns", [0, 4, 25, 61, 80, 132])
@pytest.mark.parametrize("options", [["-p"], ["-fp"]], ids=" ".join)
def test_the_width_of_a_terminal(daemon, columns, options):
    with Client(daemon.path) as client:
        for size in (0, 1, 10, 11, 12, 45, 46, 47, 50, 60, 66, 67, 68, 117, 118, 119, 120):
            client.write("/n{}".format(size), b"v" * size)
            client.write("/below/the/root/a_name_of_many_letters/n{}".format(size), b"\n" * size)
        client.set_permissions("/below/the", ["n0", "r1", "b7"])
    ours = [sys.executable, "-m", "pyxs", "ls", "--color=never"] + options
    assert on_a_terminal(columns, ours, daemon.environ) == on_a_terminal(
        columns, ["xenstore-ls"] + options, daemon.environ
    )


@only_c
def test_reading_escapes_every_byte(daemon, pyxs, monkeypatch):
    monkeypatch.setenv("XENSTORED_PATH", daemon.path)
    with Client(daemon.path) as client:
        client.write("/bytes", bytes(range(256)) + b"\0.")
    for line in ("read /bytes", "read -R /bytes", "ls -f"):
        words = line.split()
        assert pyxs(words) == run_c_tool(words, daemon.environ)


@only_c
def test_writing_takes_escapes(daemon, pyxs, monkeypatch):
    monkeypatch.setenv("XENSTORED_PATH", daemon.path)
    # Left out: other numbers that scanf() accepts, such as \x-1, \x 1 and \x0x.
    pieces = [r"\x", r"\1", r"\x4", r"\x41", r"\xfe", r"\101", r"\400", r"\8", r"\n", r"\t", r"\r"]
    pieces += [r"\\", r"\"", r"\q", r"\X", "x", "A", "1", "7", "9", "'", os.fsdecode(b"\xc3\xa9")]
    texts = ["".join(random.choices(pieces, k=random.randint(1, 9))) + "." for _ in range(300)]
    texts = [text for text in texts if r"\x0x" not in text]
    for top, write in (
        ("/ours", pyxs),
        ("/theirs", lambda words: run_c_tool(words, daemon.environ)),
    ):
        words = ["write"]
        for n, text in enumerate(texts):
            words += ["{}/{}".format(top, n), text]
        assert write(words) == (b"", True)
    with Client(daemon.path) as client:
        for n, text in enumerate(texts):
            ours, theirs = client.read("/ours/{}".format(n)), client.read("/theirs/{}".format(n))
            assert (text, ours) == (text, theirs)


@only_c
@pytest.mark.skipif(xen_utils.VERSION < (4, 15), reason="live update is newer than this Xen")
def test_live_update(daemon, pyxs, monkeypatch):
    monkeypatch.setenv("XENSTORED_PATH", daemon.path)
    words = ["control", "live-update", "-t", "1", os.path.join(xen_utils.TOOLS, "xenstored")]
    with Client(daemon.path) as client, client.monitor() as monitor:
        client.write("/a", "kept")
        monitor.watch("/a")
        with client.transaction() as transaction:
            transaction.write("/b", "1")
            assert pyxs(words) == run_c_tool(words, daemon.environ) == (b"", False)
        assert pyxs(words) == run_c_tool(words, daemon.environ) == (b"", True)
        assert client.read("/a") == "kept"
        while monitor.check() is not None:
            pass
        client.write("/a", "changed")
        assert monitor.wait(timeout=10) == ("/a", "/a")
    versioned = words[:-1] + ["-v", "1", words[-1]]
    assert pyxs(versioned)[1] == (xen_utils.VERSION >= (4, 21))
    for bad in (["-t", "soon", "file"], ["-c"], [], ["/nonexistent"]):
        words = ["control", "live-update"] + bad
        assert (words, *pyxs(words)) == (words, *run_c_tool(words, daemon.environ))
