"""Snapshots: taking and restoring a part of the store."""

import pytest

from pyxs import PyXSError, snapshot

from . import outcome, refused

NODES = {
    "a": "1",
    "a/x": "two\nlines",
    "a/x/deep": "h\u00e9",
    "a-b": "beside a, not below",
    "b": b"\xff\x00.",
    "c/only": "",
}


@pytest.fixture
def tree(client, root):
    client.write_many(("{}/{}".format(root, path), value) for path, value in NODES.items())
    client.set_permissions(root + "/a/x", ["b{}".format(_own_domid(client)), "r1"])
    return root


def _own_domid(client):
    return int(client.get_permissions("data" if client.exists("data") else "/")[0][1:])


def test_a_snapshot_has_values_and_permissions(client, tree):
    taken = snapshot.take(client, tree)
    assert [path[len(tree) :] for path in taken] == [
        *("", "/a", "/a/x", "/a/x/deep", "/a-b", "/b", "/c", "/c/only")
    ]
    assert taken[tree + "/a/x/deep"]["value"] == "h\u00e9"
    assert taken[tree + "/b"]["value"] == {"base64": "/wAu"}
    assert {path: entry["perms"] for path, entry in taken.items()} == {
        path: client.get_permissions(path) for path in taken
    }


def test_restore_brings_back_the_nodes_of_a_snapshot(client, tree):
    taken = snapshot.take(client, tree)
    client.rm(tree)
    assert snapshot.restore(client, taken) is True
    assert snapshot.take(client, tree) == taken


def test_nodes_that_are_not_in_the_snapshot_stay(client, tree):
    taken = snapshot.take(client, tree)
    client.write_many({tree + "/new": "kept", tree + "/a": "changed"})
    snapshot.restore(client, taken)
    assert client.read(tree + "/new") == "kept"
    assert client.read(tree + "/a") == "1"


def test_the_text_parses_to_the_snapshot(client, tree):
    text = "".join(snapshot.lines(client, [tree]))
    assert snapshot.parse(text) == snapshot.take(client, tree)
    assert list(snapshot.parse(text)) == list(snapshot.take(client, tree))
    assert text.count("\n") == 2 + len(NODES) + 2  # the braces; the root and "c"


@pytest.mark.anywhere
def test_each_node_is_in_the_text_once(client, tree):
    text = "".join(snapshot.lines(client, [tree + "/a/x", tree + "/b", tree + "/a", tree + "/b"]))
    assert [path[len(tree) :] for path in snapshot.parse(text)] == [
        *("/a", "/a/x", "/a/x/deep", "/b")
    ]


def test_permissions_that_are_left_out_are_those_above(client, root):
    domid = _own_domid(client)
    snapshot.restore(
        client,
        {
            root + "/a/b": "written by hand",
            root + "/a": {"perms": ["r{}".format(domid)]},
            root + "/a/n": 5,
        },
    )
    assert client.read(root + "/a/b") == "written by hand"
    assert client.read(root + "/a/n") == "5"
    assert client.get_permissions(root + "/a/b") == ["r{}".format(domid)]


@pytest.mark.anywhere
def test_a_large_directory_is_in_order(client, root):
    client.write_many({"{}/n{}".format(root, n): str(n) for n in reversed(range(1500))})
    taken = snapshot.take(client, root)
    assert list(taken)[1:] == sorted("{}/n{}".format(root, n) for n in range(1500))


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"/a//b": "x"}, "'/a//b': a path may not contain '//'"),
        ({"@special": "x"}, "a node's path does not begin with '@'"),
        ({"/a": None}, "/a: null: a value is a string"),
        ({"/a": True}, "/a: true: XenStore has no booleans; most programs store 1 and 0"),
        ({"/a": {"value": "x", "perm": ["n0"]}}, "/a: 'perm': an entry is a value, or"),
        ({"/a": {"value": "x", "perms": "n0"}}, "/a: 'n0': permissions are a list"),
        ({"/a": {"perms": ["x0"]}}, "/a: 'x0': a permission is one of"),
        ({"/a": {"base64": "not that"}}, "/a: 'not that': not base64"),
        ({"/a": {"value": {"base64": 5}}}, "/a: 5: not base64"),
        ({"/a": "\ud800"}, "/a: value '\\ud800': has a surrogate"),
        ({"/a": "x" * 5000}, "/a: the value has 5000 bytes; a message with this path carries"),
        (["/a"], "a snapshot is a dict of paths"),
    ],
)
@pytest.mark.anywhere
def test_a_bad_entry_changes_nothing(client, root, entry, message):
    good = {root + "/good": "1"}
    bad = {**good, **entry} if isinstance(entry, dict) else entry
    with pytest.raises(PyXSError) as caught:
        snapshot.restore(client, bad)
    assert message in str(caught.value)
    assert not client.exists(root + "/good")


@pytest.mark.busy
def test_more_than_5_000_nodes_are_written_without_a_transaction(client, root):
    nodes = {"{}/d{}/n{}".format(root, n // 100, n): str(n) for n in range(5001)}
    assert snapshot.restore(client, nodes) is False
    assert client.read(root + "/d50/n5000") == "5000"
    assert sum(1 for _ in client.walk(root)) == 1 + 51 + 5001


def test_a_refusal_changes_nothing(client, root):
    value = {"value": "1", "perms": ["n32759"]}  # DOMID_IDLE can own no node
    if outcome(snapshot.restore, client, {root + "/a": "1", root + "/b": value}) is not True:
        assert not client.exists(root + "/a")


def test_a_snapshot_of_a_missing_node_is_refused(client, root):
    with refused("ENOENT"):
        snapshot.take(client, root + "/missing")


def test_in_a_transaction(client, other, root):
    with client.transaction() as t:
        snapshot.restore(t, {root + "/a": "1"})
        assert snapshot.take(t, root)[root + "/a"]["value"] == "1"
        assert not other.exists(root + "/a")
    assert other.exists(root + "/a")
