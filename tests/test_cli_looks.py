"""What the command prints on a terminal, as JSON, and for patterns."""

import json
import os

import pytest

import xen_utils
from command_lines import PYXS, on_a_terminal, start_pyxs
from pyxs import cli

HOST = {
    "/local/domain/5/name": "caf\u00e9",
    "/local/domain/5/device/vif/0/backend": "/local/domain/0/backend/vif/5/0",
    "/local/domain/5/device/vif/0/state": "4",
    "/local/domain/5/device/vif/10/state": "1",
    "/local/domain/7/name": "web",
    "/local/domain/7/description": "a line of text that is much too long for eighty columns " * 2,
    "/local/domain/7/state": "9",
}


@pytest.fixture
def host(xenstore):
    xenstore.write_many(HOST)
    xenstore.set_permissions("/local/domain/5", ["n5", "r0"])


@pytest.fixture
def pyxs(host, capfdbinary):
    def run(*words):
        try:
            status = cli.main(words)
        except SystemExit as exc:
            status = exc.code
        out, err = capfdbinary.readouterr()
        return status, out.decode(), err.decode()

    return run


# -- on a terminal -------------------------------------------------------------------------

AT_80 = """\
domain = ""
 5 = ""
  name = "café"
  device = ""
   vif = ""
    0 = ""
     backend = "/local/domain/0/backend/vif/5/0"
     state = "4" (Connected)
    10 = ""
     state = "1" (Initialising)
 7 = ""
  name = "web"
  description = "a line of text that is much too long for eighty columns a\\..."
  state = "9"
"""
AT_160_WITH_PERMISSIONS = """\
domain = ""  . . . . . . . . . . . . . . . . . . . . . . . .  (n0)
 5 = ""  . . . . . . . . . . . . . . . . . . . . . . . . . .  (n5,r0)
  name = "café"  . . . . . . . . . . . . . . . . . . . . . .  (n0)
  device = ""  . . . . . . . . . . . . . . . . . . . . . . .  (n0)
   vif = ""  . . . . . . . . . . . . . . . . . . . . . . . .  (n0)
    0 = "" . . . . . . . . . . . . . . . . . . . . . . . . .  (n0)
     backend = "/local/domain/0/backend/vif/5/0" . . . . . .  (n0)
     state = "4" (Connected) . . . . . . . . . . . . . . . .  (n0)
    10 = ""  . . . . . . . . . . . . . . . . . . . . . . . .  (n0)
     state = "1" (Initialising)  . . . . . . . . . . . . . .  (n0)
 7 = ""  . . . . . . . . . . . . . . . . . . . . . . . . . .  (n0)
  name = "web" . . . . . . . . . . . . . . . . . . . . . . .  (n0)
  description = "a line of text that is much too long for eighty columns a line of text \
that is much too long for eighty columns "   (n0)
  state = "9"  . . . . . . . . . . . . . . . . . . . . . . .  (n0)
"""

IN_COLOUR = """\
{bold}vif{plain}{dim} = ""{plain}
 {bold}0{plain}{dim} = ""{plain}
  backend = "/local/domain/0/backend/vif/5/0"
  state = "4"{green} (Connected){plain}
 {bold}10{plain}{dim} = ""{plain}
  state = "1"{yellow} (Initialising){plain}
"""


def terminal(columns, *words, **environ):
    environ = dict(os.environ, PYTHONIOENCODING="utf-8", TERM="xterm", **environ)
    return on_a_terminal(columns, PYXS + list(words), environ).decode().replace("\r", "")


def test_a_terminal_of_80_columns(host):
    assert terminal(80, "ls", "/local", NO_COLOR="1") == AT_80


def test_a_terminal_of_160_columns(host):
    assert terminal(160, "ls", "-p", "--color=never", "/local") == AT_160_WITH_PERMISSIONS


def test_permissions_stand_in_one_column_behind_wide_characters(xenstore):
    xenstore.write_many(
        {"/t/wide": "\u65e5\u672c" * 3, "/t/combining": "e\u0301" * 3, "/t/plain": "x"}
    )
    lines = terminal(80, "ls", "-p", "--color=never", "/t").splitlines()
    # A wide character takes two columns, a combining one none.
    extra = {"wide": -6, "combining": 3, "plain": 0}
    for line in lines:
        assert line.index("(n0)") == 62 + extra[line.split()[0]], line


def test_colours(host):
    codes = {"bold": 1, "dim": 2, "green": 32, "yellow": 33, "plain": ""}
    styles = {name: "\x1b[{}m".format(code) for name, code in codes.items()}
    assert terminal(80, "ls", "/local/domain/5/device") == IN_COLOUR.format(**styles)


def test_a_pipe_gets_what_the_c_program_prints(pyxs):
    plain = pyxs("ls", "/local")[1]
    assert r'name = "caf\xc3\xa9"' in plain
    assert "\x1b" not in plain
    assert "Connected" not in plain
    assert "\x1b[1mdomain" in pyxs("ls", "--color=always", "/local")[1]


def test_a_terminal_gets_utf8_as_it_is(host):
    assert terminal(80, "read", "-p", "/local/domain/5/name") == "/local/domain/5/name: café\n"
    ascii = dict(os.environ, PYTHONIOENCODING="ascii")
    shown = on_a_terminal(80, PYXS + ["read", "/local/domain/5/name"], ascii)
    assert shown == b"caf\\xc3\\xa9\r\n"


def test_a_dumb_terminal_gets_no_colours(host):
    environ = dict(os.environ, TERM="dumb")
    assert b"\x1b" not in on_a_terminal(80, PYXS + ["ls"], environ)


# -- JSON ----------------------------------------------------------------------------------


def objects(result):
    status, out, err = result
    assert (status, err) == (0, "")
    return [json.loads(line) for line in out.splitlines()]


def test_json_of_ls(pyxs, xenstored, xenstore):
    xenstore.write_many({"/a/bytes": b"\xff", "/a/shut": "1"})
    assert objects(pyxs("ls", "--json", "-p", "/a")) == [
        {"path": "/a/bytes", "value": {"base64": "/w=="}, "perms": ["n0"]},
        {"path": "/a/shut", "value": "1", "perms": ["n0"]},
    ]
    xenstore.set_permissions("/a", ["n0", "r1"])
    status, out, _ = pyxs("--socket", xenstored.socket_for(1), "ls", "--json", "/a")
    assert (status, json.loads(out)) == (1, {"path": "/a/bytes", "value": {"unreadable": True}})


def test_json_of_read_list_perms_and_exists(pyxs):
    assert objects(pyxs("read", "--json", "/local/domain/5/name", "/local")) == [
        {"path": "/local/domain/5/name", "value": "café"},
        {"path": "/local", "value": ""},
    ]
    assert objects(pyxs("list", "--json", "/local/domain", "/local/domain/7/name")) == [
        {"path": "/local/domain", "children": ["5", "7"]},
        {"path": "/local/domain/7/name", "children": []},
    ]
    assert objects(pyxs("perms", "--json", "/local/domain/5")) == [
        {"path": "/local/domain/5", "perms": ["n5", "r0"]}
    ]
    assert objects(pyxs("exists", "--json", "/local")) == [{"path": "/local", "exists": True}]
    assert pyxs("exists", "--json", "/no", "/local", "/local/*/6") == (
        1,
        '{"path": "/no", "exists": false}\n{"path": "/local", "exists": true}\n'
        '{"path": "/local/*/6", "exists": false}\n',
        "",
    )


# -- patterns ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("/local/domain/*/name", ["/local/domain/5/name", "/local/domain/7/name"]),
        ("/local/domain/[6-9]/n*", ["/local/domain/7/name"]),
        ("/local/domain/[!7]/na?e", ["/local/domain/5/name"]),
        ("/*/*/7/state", ["/local/domain/7/state"]),
        (
            "/local/domain/*/device/vif/*/state",
            ["/local/domain/5/device/vif/0/state", "/local/domain/5/device/vif/10/state"],
        ),
    ],
)
def test_a_pattern_stands_for_the_nodes_that_match(pyxs, pattern, found):
    lines = ["{}: {}\n".format(path, HOST[path].replace("é", r"\xc3\xa9")) for path in found]
    assert pyxs("read", "-p", pattern) == (0, "".join(lines), "")
    assert pyxs("exists", pattern) == (0, "", "")


def test_patterns_and_paths_in_other_subcommands(pyxs):
    assert pyxs("ls", "-f", "/local/domain/*/device/*/1?", "/local/domain/7/name") == (
        0,
        '/local/domain/5/device/vif/10/state = "1"\n',
        "",
    )
    assert pyxs("list", "-p", "/loc*")[1] == "/local/domain\n"
    assert pyxs("perms", "-p", "/local/domain/*")[1] == (
        "/local/domain/5: n5 r0\n/local/domain/7: n0\n"
    )
    assert pyxs("exists", "/local/*/8") == (1, "", "")


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("/local/*/8", "/local/*/8: no node matches this pattern"),
        ("*/name", "*/name: a pattern begins with '/' or a whole name"),
        ("/local//*", "/local//*: a path may not contain '//'"),
    ],
)
def test_a_pattern_that_fails(pyxs, pattern, message):
    for subcommand in ("read", "ls", "list", "perms"):
        assert pyxs(subcommand, pattern) == (1, "", "pyxs {}: {}\n".format(subcommand, message))


def test_a_pattern_leaves_out_what_a_guest_may_not_see(pyxs, xenstored, xenstore):
    xenstore.set_permissions("/local/domain", ["n0", "r5"])
    xenstore.set_permissions("/local/domain/5/name", ["n5"])
    socket = ["--socket", xenstored.socket_for(5)]
    assert pyxs(*socket, "read", "-p", "/local/domain/*/name")[:2] == (
        0,
        "/local/domain/5/name: caf\\xc3\\xa9\n",
    )


def test_a_pattern_leaves_out_what_it_finds_and_may_not_be_read(pyxs, xenstored, xenstore):
    xenstore.write_many(dict.fromkeys(["/x/a", "/x/hidden", "/x/z"], "1"))
    for path in ("/x", "/x/a", "/x/z"):
        xenstore.set_permissions(path, ["n0", "r5"])
    xenstore.set_permissions("/x/hidden", ["n0"])
    socket = ["--socket", xenstored.socket_for(5)]
    assert pyxs(*socket, "read", "-p", "/x/*") == (0, "/x/a: 1\n/x/z: 1\n", "")
    assert pyxs(*socket, "perms", "-p", "/x/*")[:2] == (0, "/x/a: n0 r5\n/x/z: n0 r5\n")
    assert pyxs(*socket, "list", "/x/*")[::2] == (0, "")
    assert pyxs(*socket, "read", "/x/*", "/x/hidden")[0] == 1


def test_a_pattern_below_what_may_not_be_listed_says_so(pyxs, xenstored):
    socket = ["--socket", xenstored.socket_for(5)]
    for subcommand in ("read", "ls", "exists"):
        status, out, err = pyxs(*socket, subcommand, "/local/domain/*/name")
        assert (status, out) == (1, "")
        assert err.endswith("/local/domain/*/name: Permission denied\n")


# -- changes -------------------------------------------------------------------------------


def test_watch_shows_old_and_new_values(host, xenstore):
    state = "/local/domain/5/device/vif/0/state"
    with start_pyxs("watch", "-v", "/local/domain/5") as process:
        assert process.stdout.readline() == b"/local/domain/5: \n"
        xenstore.write(state, "5")
        assert process.stdout.readline().decode() == state + ": 5, was 4\n"
        xenstore.write(state, "5")
        assert process.stdout.readline().decode() == state + ": 5\n"
        xenstore.write("/local/domain/5/new", "a\nb")
        assert process.stdout.readline() == b"/local/domain/5/new: a\\nb\n"
        xenstore.rm("/local/domain/5/new")
        assert process.stdout.readline() == b"/local/domain/5/new, was a\\nb\n"
        xenstore.rm("/local/domain/5/device")
        assert process.stdout.readline() == b"/local/domain/5/device, was \n"
        xenstore.write(state, "1")
        assert process.stdout.readline().decode() == state + ": 1\n"
        process.terminate()


def test_watch_shows_the_old_value_as_json(host, xenstore):
    with start_pyxs("watch", "--json", "-v", "-n", "3", "/local/domain/7/name") as process:
        first = json.loads(process.stdout.readline().decode())
        assert (first["value"], first["old"]) == ("web", "web")
        xenstore.write("/local/domain/7/name", "mail")
        second = json.loads(process.stdout.readline().decode())
        assert (second["value"], second["old"]) == ("mail", "web")
        xenstore.rm("/local/domain/7/name")
        third = json.loads(process.stdout.readline().decode())
        assert (third["value"], third["old"]) == (None, "mail")


def test_watch_takes_patterns(host, xenstore):
    patterns = ["/local/domain/*/name", "/local/domain/5/device/vif/1*/state"]
    with start_pyxs("watch", "-n", "5", *patterns) as process:
        assert process.stdout.readline() == b"/local/domain\n"
        assert process.stdout.readline() == b"/local/domain/5/device/vif\n"
        xenstore.write("/local/domain/7/description", "short")
        xenstore.write("/local/domain/7/name", "mail")
        assert process.stdout.readline() == b"/local/domain/7/name\n"
        xenstore.write("/local/domain/5/device/vif/0/state", "5")
        xenstore.write("/local/domain/5/device/vif/10/state", "5")
        assert process.stdout.readline() == b"/local/domain/5/device/vif/10/state\n"
        xenstore.rm("/local/domain/7")  # above a node that matches
        assert process.stdout.readline() == b"/local/domain/7\n"


def test_watch_takes_a_depth(host, xenstore):
    with start_pyxs("watch", "-d", "1", "-n", "2", "/local/domain") as process:
        assert process.stdout.readline() == b"/local/domain\n"
        xenstore.write("/local/domain/5/name", "deep")
        xenstore.write("/local/domain/9", "")
        assert process.stdout.readline() == b"/local/domain/9\n"


@pytest.mark.parametrize("depth", [0, 1])
def test_watch_counts_the_depth_from_the_nodes_that_match(host, xenstore, depth):
    with start_pyxs("watch", "-d", str(depth), "-n", "3", "/local/domain/*/x") as process:
        assert process.stdout.readline() == b"/local/domain\n"
        xenstore.write("/local/domain/5/x", "")
        xenstore.write("/local/domain/5/x/1", "")
        xenstore.write("/local/domain/5/x/1/2", "")
        xenstore.write("/local/domain/7/x", "")
        assert process.stdout.readline() == b"/local/domain/5/x\n"
        assert (
            process.stdout.readline() == [b"/local/domain/7/x\n", b"/local/domain/5/x/1\n"][depth]
        )


@pytest.mark.parametrize("daemon", ["c"], indirect=True)
def test_watch_says_which_depth_was_refused(daemon, capfd, monkeypatch):
    if xen_utils.VERSION >= (4, 22):
        pytest.skip("this daemon supports depth")
    monkeypatch.setenv("XENSTORED_PATH", daemon.path)
    assert cli.main(["watch", "-n", "1", "-d", "1", "/local"]) == 1
    assert capfd.readouterr().err == (
        "pyxs watch: Unable to add watch on /local with depth 1: Invalid argument; a daemon before "
        "Xen 4.22 has no depth of watches\n"
    )
