"""What newer daemons have: DOMID_ANY in permissions, features, quotas and the depth of a watch."""

import json

import pytest

import pyxs
from pyxs import InvalidPermission, snapshot

from . import heard, outcome


@pytest.mark.anywhere
def test_domid_any_is_refused_over_a_socket_with_the_reason(client, root, store):
    if store.max_payload < 4096:
        pytest.skip("over XenBus the daemon decides")
    for perms in (["n0", "r32757"], ["n32757"]):
        with pytest.raises(InvalidPermission, match="DOMID_ANY.* over a socket .* would crash"):
            client.set_permissions(root, perms)
        with pytest.raises(InvalidPermission, match="DOMID_ANY"):
            client.write(root, "", perms=perms)


@pytest.mark.anywhere
def test_a_snapshot_with_domid_any_is_restored_but_for_that(client, root, store):
    owner = client.get_permissions(root)[0]
    saved = {
        root + "/a": {"value": "1", "perms": [owner, "r32757", "r0"]},
        root + "/b": {"value": "2", "perms": [owner]},
    }
    if store.max_payload < 4096:
        snapshot.restore(client, saved)
        return
    with pytest.warns(RuntimeWarning, match="left out.*: {}/a$".format(root)) as caught:
        assert snapshot.restore(client, snapshot.parse(json.dumps(saved)))
    assert caught[0].filename == __file__
    assert client.get_permissions(root + "/a") == [owner, "r0"]
    assert client.read_tree(root) == {"": "", "a": "1", "b": "2"}


@pytest.mark.anywhere
def test_domid_any_owns_nothing(client, root):
    saved = {root: {"value": "", "perms": ["n32757"]}}
    with pytest.raises(InvalidPermission, match="{}: .*DOMID_ANY".format(root)):
        snapshot.restore(client, saved)


@pytest.mark.anywhere
def test_one_path_is_no_list_of_them(client, root):
    with pytest.raises(pyxs.InvalidPath, match="a list of paths"):
        snapshot.lines(client, root)


def test_features_and_quotas_are_asked_for_without_harm(client, other, root):
    """Whatever the daemon answers, it answers, and goes on."""
    for ask in (client.get_feature, client.get_quota, lambda: client.get_quota("nodes")):
        outcome(ask)
    assert other.exists(root)


def test_a_depth_that_the_daemon_cannot_do_is_left_out(client, monitor, root):
    supported = outcome(lambda: monitor.watch(root, "exact", depth=0))
    assert supported in (None, "EINVAL", "ENOSYS")
    reported = [root] if supported is None else [root + "/a", root]
    monitor.watch(root, "t", try_depth=0)
    heard(monitor)
    client[root + "/a"] = 1
    client[root] = 2
    assert [event.path for event in heard(monitor) if event.token == "t"] == reported
