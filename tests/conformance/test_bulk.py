"""read_many and write_many: many nodes, few round trips."""

import pytest

import pyxs

from . import refused


def paths_below(root, count):
    return ["{}/key-{}".format(root, number) for number in range(count)]


@pytest.mark.parametrize(
    "count",
    [pytest.param(count, marks=pytest.mark.anywhere) for count in (0, 1, 2, 64)]
    + [65, pytest.param(500, marks=pytest.mark.busy)],
)
def test_read_many_returns_what_write_many_wrote(client, root, count):
    values = {path: "value of " + path for path in paths_below(root, count)}
    assert client.write_many(values) is None
    assert client.read_many(values) == values
    assert len(client.ls(root)) == count


@pytest.mark.anywhere
def test_pairs_are_written_as_well_as_a_dict(client, root):
    one, two = paths_below(root, 2)
    client.write_many([(one, "1"), (two, b"2")])
    client.write_many(pair for pair in [(two, 3)])
    assert client.read_many([one, two]) == {one: "1", two: "3"}


@pytest.mark.anywhere
def test_the_later_of_two_values_for_one_path_stays(client, root):
    client.write_many([(root + "/key", "1"), (root + "/other", ""), (root + "/key", "2")])
    assert client.read(root + "/key") == "2"


@pytest.mark.anywhere
def test_the_result_has_the_order_asked(client, root):
    paths = paths_below(root, 100)
    client.write_many({path: path for path in paths})
    paths.reverse()
    assert list(client.read_many(paths)) == paths
    assert list(client.read_many(iter(paths)).values()) == paths


@pytest.mark.anywhere
def test_the_keys_are_the_paths_as_given(client, root):
    path = (root + "/key").encode()
    client.write(path, "value")
    assert client.read_many([path]) == {path: "value"}


@pytest.mark.busy
def test_values_larger_than_the_socket_buffers_do_not_deadlock(client, root):
    # Far more than the socket buffers of both sides hold.
    values = dict.fromkeys(paths_below(root, 900), "v" * 1900)
    client.write_many(values)
    assert client.read_many(values) == values


@pytest.mark.anywhere
def test_a_default_stands_for_each_missing_node(client, root):
    client.write(root + "/key", "value")
    paths = [root + "/missing", root + "/key", root + "/gone/child"]
    assert client.read_many(paths, default=None) == dict(zip(paths, [None, "value", None]))


@pytest.mark.anywhere
def test_without_a_default_the_first_missing_node_is_an_error(client, root):
    client.write(root + "/key", "value")
    with refused("ENOENT"):
        client.read_many([root + "/key", root + "/missing", root + "/key"])
    assert client.read(root + "/key") == "value"


def test_the_first_error_in_the_order_asked_is_raised_after_all_is_done(client, root, known):
    refusal = known("a path of 2,049 bytes")
    if refusal is None:
        pytest.skip("this daemon refuses dom0 no write that pyxs sends")
    client.write(root + "/before", "old")
    too_long = "/" + "a" * 2048
    with refused(refusal):
        client.write_many([(root + "/before", "new"), (too_long, ""), (root + "/after", "new")])
    with refused("ENOENT"):
        client.read_many([root + "/before", root + "/missing", too_long])
    with refused(refusal):
        client.read_many([too_long, root + "/missing"], default=None)
    assert client.read_many([root + "/before", root + "/after"]) == {
        root + "/before": "new",
        root + "/after": "new",
    }


@pytest.mark.anywhere
@pytest.mark.parametrize("bad", [("//", ""), ("/a", "x\0"), ("/a", "v" * 5000), (None, "")])
def test_one_bad_item_keeps_all_from_being_sent(client, root, bad):
    with pytest.raises((pyxs.InvalidPath, pyxs.InvalidPayload)):
        client.write_many([(root + "/key", "value"), bad])
    assert client.ls(root) == []


@pytest.mark.anywhere
@pytest.mark.parametrize("bad", [None, ["1"], "x\0", b"v" * 5000, "\ud800"])
def test_a_value_that_is_refused_names_its_node(client, root, bad):
    with pytest.raises(pyxs.InvalidPayload, match="^{}/bad: ".format(root)):
        client.write_many({root + "/good": "1", root + "/bad": bad})
    with pytest.raises(pyxs.InvalidPayload, match="^{}/bad: ".format(root)):
        client.write_tree(root, {"good": "1", "bad": bad})
    assert client.ls(root) == []


@pytest.mark.anywhere
@pytest.mark.parametrize("path", ["/key", "key", b"/key", ""])
def test_one_path_is_not_taken_for_a_list_of_letters(client, path):
    with pytest.raises(pyxs.InvalidPath, match="list"):
        client.read_many(path)


@pytest.mark.busy
def test_write_many_in_a_transaction_takes_effect_at_the_commit(client, other, root):
    values = dict.fromkeys(paths_below(root, 200), "value")
    with client.transaction() as t:
        t.write_many(values)
        assert t.read_many(values) == values
        assert other.ls(root) == []
    assert other.read_many(values) == values
