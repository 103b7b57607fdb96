"""Directories too long for one message."""

import pytest

from . import in_threads

COUNT = 1500


def name(number):
    return "child-{:05}".format(number)


@pytest.fixture
def crowded(client, root):
    """A node with so many children that their names take 18,000 bytes."""
    client.write_many(("{}/{}".format(root, name(number)), "") for number in range(COUNT))
    return root


pytestmark = pytest.mark.dom0  # a guest's quota is 1,000 nodes


def test_a_long_list_is_complete(client, crowded):
    assert sorted(client.ls(crowded)) == [name(number) for number in range(COUNT)]


def test_a_long_list_is_complete_in_a_transaction(client, crowded):
    with client.transaction() as t:
        t.rm("{}/{}".format(crowded, name(7)))
        t.write("{}/new".format(crowded), "")
        expected = {name(number) for number in range(COUNT)} - {name(7)} | {"new"}
        assert set(t.ls(crowded)) == expected
    assert set(client.ls(crowded)) == expected


def test_a_long_list_is_a_state_that_existed(client, other, crowded):
    # Another client moves one mark from node to node: a list pieced together
    # from two states would show both marks, or none.
    steps = 200
    lists = []

    def marks(number):
        return "{}/mark-{:05}".format(crowded, number)

    client.write(marks(0), "")

    def move():
        for number in range(steps):
            with other.transaction() as t:
                t.write(marks(number + 1), "")
                t.rm(marks(number))

    def read():
        while not lists or "mark-{:05}".format(steps) not in lists[-1]:
            lists.append(client.ls(crowded))

    in_threads(move, read)
    for names in lists:
        assert len(names) == len(set(names)) == COUNT + 1
        assert len([entry for entry in names if entry.startswith("mark")]) == 1
