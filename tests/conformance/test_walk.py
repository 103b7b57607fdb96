"""Walking through a subtree, as os.walk does."""

import types

import pytest

import pyxs

TREE = {
    "a": "1",
    "a/x": "2",
    "a/x/deep": "3",
    "a/y": "",
    "b": "h\u00e9",
    "c/only": "5",
}


@pytest.fixture
def tree(client, root):
    client.write_many(("{}/{}".format(root, path), value) for path, value in TREE.items())
    return root


def below(top, steps):
    """Return what a walk yielded, with relative paths and sorted names."""
    return [(path[len(top) :], value, sorted(children)) for path, value, children in steps]


ALL = [
    ("", "", ["a", "b", "c"]),
    ("/a", "1", ["x", "y"]),
    ("/a/x", "2", ["deep"]),
    ("/a/x/deep", "3", []),
    ("/a/y", "", []),
    ("/b", "h\u00e9", []),
    ("/c", "", ["only"]),
    ("/c/only", "5", []),
]


def test_a_walk_yields_every_node_once(client, tree):
    assert sorted(below(tree, client.walk(tree))) == ALL


@pytest.mark.anywhere
def test_top_down_a_node_comes_before_its_children(client, tree):
    seen = []
    for path, _, children in client.walk(tree):
        assert path == tree or path.rpartition("/")[0] in seen
        assert all("{}/{}".format(path, child) not in seen for child in children)
        seen.append(path)


@pytest.mark.anywhere
def test_bottom_up_a_node_comes_after_its_children(client, tree):
    steps = list(client.walk(tree, topdown=False))
    assert sorted(below(tree, steps)) == ALL
    seen = []
    for path, _, children in steps:
        assert all("{}/{}".format(path, child) in seen for child in children)
        seen.append(path)


@pytest.mark.anywhere
@pytest.mark.parametrize("topdown", [True, False])
def test_a_subtree_is_walked_in_one_go_in_the_order_of_its_names(client, tree, topdown):
    # As os.walk: depth first, children in the order of the list.
    steps = list(client.walk(tree, topdown=topdown))
    order = [path for path, _, _ in steps]

    def expected(path):
        children = next(names for place, _, names in steps if place == path)
        if topdown:
            yield path
        for child in children:
            yield from expected("{}/{}".format(path, child))
        if not topdown:
            yield path

    assert order == list(expected(tree))


@pytest.mark.anywhere
def test_a_leaf_is_walked_too(client, tree):
    assert list(client.walk(tree + "/b")) == [(tree + "/b", "h\u00e9", [])]


@pytest.mark.anywhere
def test_names_removed_from_children_are_not_visited(client, tree):
    seen = []
    for path, _, children in client.walk(tree):
        seen.append(path)
        if "a" in children:
            children.remove("a")
    assert sorted(seen) == [tree, tree + "/b", tree + "/c", tree + "/c/only"]


@pytest.mark.anywhere
def test_bottom_up_nothing_is_pruned(client, tree):
    seen = []
    for path, _, children in client.walk(tree, topdown=False):
        seen.append(path)
        del children[:]
    assert len(seen) == len(ALL)


@pytest.mark.anywhere
def test_a_walk_reads_only_as_far_as_it_is_asked(client, tree):
    steps = client.walk(tree)
    assert isinstance(steps, types.GeneratorType)
    next(steps)
    for name in client.ls(tree):
        client.rm("{}/{}".format(tree, name))
    assert list(steps) == []


@pytest.mark.anywhere
def test_a_node_that_vanishes_meanwhile_is_passed_over(client, tree):
    steps = client.walk(tree)
    next(steps)
    client.rm(tree + "/a")
    assert sorted(below(tree, steps)) == [step for step in ALL[1:] if not step[0].startswith("/a")]


@pytest.mark.anywhere
@pytest.mark.parametrize("topdown", [True, False])
def test_walk_of_a_missing_node_yields_nothing_as_os_walk_does(client, root, topdown):
    assert list(client.walk(root + "/missing", topdown=topdown)) == []


@pytest.mark.anywhere
def test_walk_of_an_invalid_path_raises(client):
    with pytest.raises(pyxs.InvalidPath):
        list(client.walk("/a/"))


@pytest.mark.own_daemon
@pytest.mark.parametrize("topdown", [True, False])
def test_paths_under_the_root_have_one_slash(client, tree, topdown):
    paths = [path for path, _, _ in client.walk("/", topdown=topdown)]
    assert "/" in paths
    assert tree + "/a/x/deep" in paths
    assert not any("//" in path for path in paths)
    assert len(paths) == len(set(paths))


@pytest.mark.anywhere
def test_a_walk_in_a_transaction_sees_its_changes(client, tree):
    with client.transaction() as t:
        t.rm(tree + "/a")
        t.write(tree + "/new", "value")
        paths = [path[len(tree) :] for path, _, _ in t.walk(tree)]
    assert sorted(paths) == ["", "/b", "/c", "/c/only", "/new"]
