"""Directories too long for one message."""

import threading

import pytest

from common import in_threads

from . import outcome

COUNT = 120


def name(number):
    return "child-{:05}-{}".format(number, "x" * 140)


@pytest.fixture
def crowded(client, store, known, root):
    """A node whose children have names of 18,000 bytes together."""
    client.write_many(("{}/{}".format(root, name(number)), "") for number in range(COUNT))
    if store.max_payload != 4096 and known("a long list over XenBus") is not None:
        assert outcome(client.ls, root) == known("a long list over XenBus")
        pytest.skip("this daemon has no way to tell a long list over XenBus")
    return root


pytestmark = pytest.mark.dom0  # a guest's node may have 2,048 bytes with the names of children


@pytest.mark.busy
def test_a_long_list_is_complete(client, crowded):
    assert sorted(client.ls(crowded)) == [name(number) for number in range(COUNT)]


def test_a_long_list_is_complete_in_a_transaction(client, crowded):
    with client.transaction() as t:
        t.rm("{}/{}".format(crowded, name(7)))
        t.write("{}/new".format(crowded), "")
        expected = {name(number) for number in range(COUNT)} - {name(7)} | {"new"}
        assert set(t.ls(crowded)) == expected
    assert set(client.ls(crowded)) == expected


@pytest.mark.busy
def test_a_long_list_is_a_state_that_existed(client, other, crowded):
    # Another client moves one child after the other to the end of the C daemon's
    # list, each in a transaction. A list pieced together from two states would
    # lack some, have some twice, or cut names in two.
    done = threading.Event()

    def move():
        try:
            for number in range(100):
                with other.transaction() as t:
                    t.rm("{}/{}".format(crowded, name(number)))
                    t.write("{}/{}".format(crowded, name(number)), "")
        finally:
            done.set()

    def read():
        while not done.is_set():
            assert sorted(client.ls(crowded)) == [name(number) for number in range(COUNT)]

    in_threads(move, read)
