"""Permissions of nodes."""

import pytest

import pyxs

from . import outcome, refused


@pytest.mark.anywhere
def test_a_node_has_the_permissions_of_its_parent(client, root):
    client.write(root + "/key", "value")
    assert client.get_permissions(root + "/key") == client.get_permissions(root)


@pytest.mark.own_daemon
def test_a_node_of_dom0_is_dom0s_own(client, root):
    assert client.get_permissions("/") == ["n0"]
    assert client.get_permissions(root) == ["n0"]


@pytest.mark.anywhere
@pytest.mark.parametrize(
    "others", [[], ["r1"], ["w2"], ["r1", "w2", "b7", "n5"], ["r1", "w1"], ["b40000", "r65535"]]
)
@pytest.mark.parametrize("letter", "nrwb")
def test_permissions_come_back_as_they_were_set(client, store, root, letter, others):
    perms = ["{}{}".format(letter, store.domid)] + others
    assert client.set_permissions(root, perms) is None
    assert client.get_permissions(root) == perms


@pytest.mark.anywhere
def test_permissions_are_any_iterable_of_text_or_bytes(client, store, root):
    owner = "n{}".format(store.domid)
    for perms in ((owner, "r5"), iter([owner, "r5"]), [owner.encode(), b"r5"]):
        client.set_permissions(root, perms)
        assert client.get_permissions(root) == [owner, "r5"]


@pytest.mark.anywhere
def test_children_made_later_inherit(client, store, root):
    client.write(root + "/before", "")
    earlier = client.get_permissions(root + "/before")
    perms = ["b{}".format(store.domid), "r5"]
    client.set_permissions(root, perms)
    client.write(root + "/after/child", "")
    assert client.get_permissions(root + "/before") == earlier
    assert client.get_permissions(root + "/after/child") == perms


@pytest.mark.own_daemon
def test_a_node_can_be_given_to_another_domain(client, root):
    client.set_permissions(root, ["n7", "r1"])
    assert client.get_permissions(root) == ["n7", "r1"]
    client.write(root + "/key", "dom0 may do everything")
    assert client.get_permissions(root + "/key") == ["n7", "r1"]


@pytest.mark.own_daemon
def test_giving_a_node_to_a_domain_that_does_not_exist(client, root, known):
    expected = known("an owner that does not exist")
    assert outcome(client.set_permissions, root, ["n99"]) == expected
    assert client.get_permissions(root) == (["n99"] if expected is None else ["n0"])


@pytest.mark.anywhere
def test_a_leading_zero_does_not_matter(client, store, root):
    client.set_permissions(root, ["n{:05}".format(store.domid), "r005"])
    assert client.get_permissions(root) == ["n{}".format(store.domid), "r5"]


def test_permissions_of_a_missing_node_are_enoent(client, store, root):
    with refused("ENOENT"):
        client.get_permissions(root + "/missing")
    with refused("ENOENT"):
        client.set_permissions(root + "/missing", ["n{}".format(store.domid)])


@pytest.mark.anywhere
@pytest.mark.parametrize(
    "perms",
    [
        [],
        "n0",
        b"n0",
        ["n0", ""],
        ["n"],
        ["0"],
        ["x0"],
        ["N0"],
        ["n-1"],
        ["n 0"],
        ["n0\n"],
        ["n0\0"],
        ["n0,r1"],
        ["n\u0661"],
        ["n65536"],
        ["r99999999999"],
        ["n32757"],
        ["n0", "r32757"],
        ["n0", None],
        ["n0", 5],
        None,
        7,
    ],
)
def test_malformed_permissions_are_refused_and_change_nothing(client, root, perms):
    before = client.get_permissions(root)
    with pytest.raises(pyxs.InvalidPermission):
        client.set_permissions(root, perms)
    assert client.get_permissions(root) == before


def test_permissions_too_many_for_a_message_are_refused(client, store, root):
    with pytest.raises(pyxs.InvalidPayload):
        client.set_permissions(root, ["n{}".format(store.domid)] + ["r5"] * 2000)


@pytest.mark.anywhere
@pytest.mark.parametrize("path", ["@other", "@x/y", "@releaseDomain/1", "@introduceDomain/1"])
def test_a_path_that_begins_with_an_at_sign_has_no_permissions(client, root, path):
    client.write(root + "/key", "")
    client.rm(root + "/key")  # leaves the C daemon without an errno to answer: it would abort
    with refused("EINVAL"):
        client.set_permissions(path, ["n0"])
    assert client.exists(root)


@pytest.mark.own_daemon
def test_the_permissions_of_a_special_path(client, known):
    answer = outcome(client.get_permissions, "@releaseDomain")
    assert answer == known("permissions of a special path")
