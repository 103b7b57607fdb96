"""Subtrees as dicts, and values that are stored together with something else."""

import errno

import pytest

import pyxs
from pyxs import snapshot


def test_a_tree_comes_back_as_it_was_written(client, root):
    values = {"": "top", "a": "1", "b/c": "2", "b/d/e": ""}
    client.write_tree(root, values)
    assert client.read_tree(root) == dict(values, b="", **{"b/d": ""})
    assert client.read(root + "/b/c") == "2"


def test_a_tree_of_a_relative_path(client, relative):
    path, absolute = relative
    client.write_tree(path, {"x": 1})
    assert client.read(absolute + "/x") == "1"
    assert client.read_tree(path)["x"] == "1"


@pytest.mark.own_daemon
def test_the_tree_of_the_root(client):
    client.write_tree("/", {"vm/1": "web"})
    assert client.read_tree("/")["vm/1"] == "web"
    assert not any(path.startswith("/") for path in client.read_tree("/"))


def test_a_tree_keeps_what_it_does_not_name(client, root):
    client.write_tree(root, [("a", "1"), ("b", "1")])
    client.write_tree(root, {"a": "2"})
    assert client.read_tree(root) == {"": "", "a": "2", "b": "1"}


def test_a_tree_that_is_missing_is_no_empty_one(client, root):
    with pytest.raises(pyxs.NodeNotFound):
        client.read_tree(root + "/missing")


@pytest.mark.parametrize("key", ["/a", "a//b", "a/", "a b", None, 1])
def test_a_key_that_is_no_relative_path_is_refused(client, root, key):
    with pytest.raises(pyxs.InvalidPath):
        client.write_tree(root, {"good": "1", key: "2"})
    assert client.ls(root) == []


def test_a_tree_is_written_in_the_running_transaction(client, root):
    with client.transaction() as t:
        t.write_tree(root, {"a": "1"})
        assert client.ls(root) == []
        assert t.read_tree(root)["a"] == "1"
    assert client.ls(root) == ["a"]


def test_a_tree_is_written_at_once(client, make_client, root):
    """Another client sees all of it or nothing."""
    with client.monitor(root) as monitor:
        monitor.wait(timeout=5)
        client.write_tree(root, {"state": "1", "name": "web"})
        monitor.wait(timeout=5)
        assert make_client().read_tree(root) == {"": "", "state": "1", "name": "web"}


def test_a_value_is_written_with_its_permissions(client, root, store):
    owner = client.get_permissions(root)[0]
    client.write(root + "/key", "secret", perms=[owner, "r0"])
    assert client.get_permissions(root + "/key") == [owner, "r0"]
    assert client[root + "/key"] == "secret"
    with client.transaction() as t:
        t.write(root + "/key", "x", perms=iter([owner]))
        assert client.get_permissions(root + "/key") == [owner, "r0"]
    assert client.get_permissions(root + "/key") == [owner]


@pytest.mark.own_daemon
def test_a_domain_that_is_missing_is_no_missing_node(client, root, store):
    """The daemon answers ENOENT about either; oxenstored takes any owner."""
    if store.kind == "ocaml":
        client.write(root + "/a", "1", perms=["n33000"])
        return
    client[root + "/b"] = "old"
    saved = {root + "/a": {"value": "1", "perms": ["n33000"]}}
    unread = {root + "/a": {"perms": ["r33000", "r1"]}}
    for write in (
        lambda: client.write(root + "/a", "1", perms=["n33000"]),
        lambda: client.write(root + "/b", "new", perms=iter([b"b33000"])),
        lambda: snapshot.restore(client, saved),
        lambda: snapshot.restore(client, unread),
        lambda: client.run_transaction(lambda t: snapshot.restore(t, saved)),
    ):
        with pytest.raises(pyxs.PyXSError, match="; there is no domain 33000 to own") as caught:
            write()
        assert type(caught.value) is pyxs.PyXSError
        assert caught.value.errno == errno.ENOENT
        assert caught.value.path in (root + "/a", root + "/b")
    assert client.read_tree(root) == {"": "", "b": "old"}


def test_nothing_is_written_when_the_permissions_break_a_rule(client, root):
    with pytest.raises(pyxs.InvalidPermission):
        client.write(root + "/key", "x", perms=["x0"])
    assert not client.exists(root + "/key")


def test_get_and_ls_take_a_default(client, root):
    missing = root + "/missing"
    assert client.get(missing) is None
    assert client.get(missing, "0") == "0"
    assert client.get(root) == ""
    assert client.ls(missing, default=[]) == []
    assert client.ls(missing, None) is None
    assert client.ls(root, None) == []


def test_the_bytes_of_a_value(client, root):
    client[root] = b"\xff\x00\n"
    assert client.read_bytes(root) == b"\xff\x00\n"


def test_an_oversized_value_names_its_node(client, root, store):
    long = "x" * (store.max_payload + 1)
    for write in (
        lambda: client.write_many({root + "/a": "1", root + "/b": long}),
        lambda: client.write_tree(root, {"a": "1", "b": long}),
        lambda: client.write(root + "/b", long, perms=["n0"]),
    ):
        with pytest.raises(pyxs.InvalidPayload, match="^{}/b: payload of ".format(root)):
            write()
    assert client.ls(root) == []


def test_a_monitor_watches_at_once_what_it_is_asked_to(client, root):
    client.write_tree(root, {"a": "", "b": ""})
    with client.monitor(root + "/a", root + "/b") as monitor:
        heard = {monitor.wait(timeout=5) for _ in range(2)}
        assert heard == {(root + name, root + name) for name in ("/a", "/b")}
    with pytest.raises(pyxs.InvalidPath):
        client.monitor(root, "/a//b")


def test_domids_may_be_names_of_directories(client):
    assert client.get_domain_path("7") == client.get_domain_path(7)
