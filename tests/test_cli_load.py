"""``pyxs load --dry-run`` and ``pyxs load --replace``, on every daemon."""

import json

import pytest

from pyxs import Client, cli, snapshot

BEFORE = {
    "/t": {"value": "top", "perms": ["n0", "r1"]},
    "/t/changed": {"value": "old", "perms": ["n0"]},
    "/t/granted": {"value": "", "perms": ["n0"]},
    "/t/removed": {"value": "x", "perms": ["n0"]},
    "/t/removed/below": {"value": "\x1b[2J", "perms": ["n0", "b2"]},
    "/t/same": {"value": "1", "perms": ["n0"]},
}
AFTER = {
    "/t": {"value": "top", "perms": ["n0", "r1"]},
    "/t/added": {"value": {"base64": "/wo="}, "perms": ["n0"]},
    "/t/changed": {"value": "new", "perms": ["n0"]},
    "/t/granted": {"value": "", "perms": ["n0", "r7"]},
    "/t/same": {"value": "1", "perms": ["n0"]},
}
WRITTEN = r"""
+/t/added = "\xff\n"   (n0)
-/t/changed = "old"   (n0)
+/t/changed = "new"   (n0)
-/t/granted = ""   (n0)
+/t/granted = ""   (n0,r7)
"""
REMOVED = r"""
-/t/removed = "x"   (n0)
-/t/removed/below = "\x1b[2J"   (n0,b2)
"""


@pytest.fixture
def client(daemon):
    with Client(daemon.path) as client:
        for domid in (1, 2, 7):
            client.introduce_domain(domid, domid, domid)
        snapshot.restore(client, BEFORE)
        yield client


@pytest.fixture
def load(client, daemon, tmp_path, capfd):
    """Load a snapshot with options; return what the command prints."""

    def run(nodes, *options):
        file = tmp_path / "nodes.json"
        file.write_text(json.dumps(nodes))
        words = ["load", "--socket", str(client.connection.path), *options, str(file)]
        assert cli.main(words) == 0
        out, err = capfd.readouterr()
        assert err == ""
        return out

    return run


def test_a_dry_run_prints_what_would_change(load, client):
    assert load(AFTER, "--dry-run") == WRITTEN.lstrip()
    assert load(AFTER, "--dry-run", "--replace") == WRITTEN.lstrip() + REMOVED.lstrip()
    assert snapshot.take(client, "/t") == BEFORE


def test_replace_makes_the_subtree_that_of_the_file(load, client):
    assert load(AFTER, "--replace") == ""
    assert snapshot.take(client, "/t") == AFTER
    assert load(AFTER, "--replace", "--dry-run") == ""


def test_without_replace_nothing_is_removed(load, client):
    assert load(AFTER) == ""
    assert snapshot.take(client, "/t") == {
        **AFTER,
        "/t/removed": BEFORE["/t/removed"],
        "/t/removed/below": BEFORE["/t/removed/below"],
    }


def test_replace_writes_only_what_differs(load, client):
    with client.monitor() as monitor:
        monitor.watch("/t", "events")
        assert monitor.wait(timeout=20).path == "/t"
        load({**BEFORE, "/t/same": {"value": "2", "perms": ["n0"]}}, "--replace")
        client.write("/t/end", "")
        changed = set()
        while "/t/end" not in changed:
            changed.add(monitor.wait(timeout=20).path)
    assert changed == {"/t/same", "/t/end"}


def test_permissions_that_are_left_out_are_no_difference(load, client, daemon, tmp_path, capfd):
    nodes = {**BEFORE, "/t/same": {"value": "1", "perms": ["n0", "r32757"]}}
    file = tmp_path / "nodes.json"
    file.write_text(json.dumps(nodes))
    with client.monitor("/t/same") as monitor:
        assert monitor.wait(timeout=20).path == "/t/same"
        for option in ("--dry-run", "--replace"):
            assert cli.main(["load", "--socket", str(daemon.path), option, str(file)]) == 0
            out, err = capfd.readouterr()
            assert (out, err.count("DOMID_ANY"), err[-10:]) == ("", 1, ": /t/same\n")
        assert monitor.check() is None


@pytest.mark.parametrize("daemon", ["memory"], indirect=True)
@pytest.mark.parametrize("option", ["--dry-run", "--replace"])
def test_a_guest_loads_into_its_home(daemon, client, tmp_path, capfd, option):
    client.write("/local/domain/7", "", ["n7"])
    client.set_permissions("/local/domain", ["n0"])  # which it may not read
    file = tmp_path / "nodes.json"
    file.write_text('{"/local/domain/7/data/x": "1"}')
    words = ["load", "--socket", daemon.socket_for(7), option, str(file)]
    assert cli.main(words) == 0
    shown = '+/local/domain/7/data = ""\n+/local/domain/7/data/x = "1"\n'
    assert capfd.readouterr() == (shown if option == "--dry-run" else "", "")
    written = client.read("/local/domain/7/data/x", None)
    assert written == (None if option == "--dry-run" else "1")


def test_a_file_of_several_subtrees(load, client):
    client.write_many({"/t/same/a": "1", "/t/changed/b": "2"})
    file = {"/t/same": "1", "/t/changed": "new", "/new/top": "3"}
    assert load(file, "--replace", "--dry-run").splitlines() == [
        '+/new = ""',
        '+/new/top = "3"',
        '-/t/changed = "old"   (n0)',
        '+/t/changed = "new"   (n0)',
        '-/t/changed/b = "2"   (n0)',
        '-/t/same/a = "1"   (n0)',
    ]
    load(file, "--replace")
    assert client.ls("/t/same") == client.ls("/t/changed") == []
    assert client["/new/top"] == "3"
    assert client.exists("/t/removed/below")


def test_nodes_that_lead_to_others_are_kept_and_made(load, client):
    file = {"/t": "top", "/t/removed/below": "2", "/t/far/away/node": "3"}
    assert load(file, "--replace", "--dry-run").splitlines() == [
        '-/t/changed = "old"   (n0)',
        '+/t/far = ""',
        '+/t/far/away = ""',
        '+/t/far/away/node = "3"',
        '-/t/granted = ""   (n0)',
        r'-/t/removed/below = "\x1b[2J"   (n0,b2)',
        '+/t/removed/below = "2"   (n0,b2)',
        '-/t/same = "1"   (n0)',
    ]
    load(file, "--replace")
    assert client["/t/removed"] == "x"
    assert sorted(client.ls("/t")) == ["far", "removed"]


def test_what_the_dump_could_not_read_stays(load, client):
    file = {"/t": {"value": "top", "perms": ["n0", "r1"]}, "/t/removed": {"unreadable": True}}
    load(file, "--replace")
    assert client.ls("/t") == ["removed"]
    assert client["/t/removed/below"] == "\x1b[2J"


def test_a_large_subtree_is_replaced_without_a_transaction(load, client, monkeypatch, capfd):
    monkeypatch.setattr(snapshot, "_TRANSACTION_MAX", 3)
    assert cli.main(["dump", "--socket", str(client.connection.path), "/t"]) == 0
    file = json.loads(capfd.readouterr().out)
    del file["/t/same"]
    with pytest.raises(AssertionError, match="too much for one transaction"):
        load(file, "--replace")
    assert not client.exists("/t/same")
