"""Transactions in all their forms."""

import errno

import pytest

import pyxs
from common import in_threads
from pyxs.helpers import error

from . import outcome, refused


def conflict(t, other, path):
    """Change a node that *t* has read and written, so that its commit fails on every daemon."""
    before = t.read(path)
    t.write(path, before + "+")
    other.write(path, before + " changed")


def write_and_fail(t, path):
    t.write(path, "value")
    raise ZeroDivisionError


# ---- transaction_start() and transaction_end() -----------------------------


def test_a_transaction_has_an_id_until_it_ends(client):
    assert client.tx_id == 0
    tx_id = client.transaction_start()
    assert isinstance(tx_id, int)
    assert tx_id != 0
    assert client.tx_id == tx_id
    client.transaction_end()
    assert client.tx_id == 0


def test_changes_show_at_the_commit_and_not_before(client, other, root):
    client.write(root + "/old", "before")
    client.transaction_start()
    client.write(root + "/old", "after")
    client.write(root + "/new", "value")
    assert other.read(root + "/old") == "before"
    assert not other.exists(root + "/new")
    client.transaction_end(commit=True)
    assert other.read(root + "/old") == "after"
    assert other.read(root + "/new") == "value"


def test_an_aborted_transaction_changes_nothing(client, other, root):
    client.write(root + "/key", "before")
    client.transaction_start()
    client.write(root + "/key", "after")
    client.rm(root)
    client.transaction_end(commit=False)
    assert client.tx_id == 0
    assert client.read(root + "/key") == other.read(root + "/key") == "before"


def test_a_transaction_sees_its_own_changes(client, root):
    client.write(root + "/gone/child", "")
    client.transaction_start()
    client.write(root + "/new/child", "value")
    client.rm(root + "/gone")
    assert client.read(root + "/new/child") == "value"
    assert client.ls(root) == ["new"]
    assert not client.exists(root + "/gone/child")
    client.transaction_end()
    assert client.ls(root) == ["new"]


def test_a_transaction_does_not_see_later_changes_of_others(client, other, root):
    client.write(root + "/key", "before")
    client.transaction_start()
    assert client.read(root + "/key") == "before"
    other.write(root + "/key", "after")
    assert client.read(root + "/key") == "before"
    client.transaction_end(commit=False)
    assert client.read(root + "/key") == "after"


@pytest.mark.anywhere
def test_permissions_are_part_of_a_transaction(client, other, store, root):
    before = other.get_permissions(root)
    perms = ["w{}".format(store.domid), "r5"]
    client.transaction_start()
    client.set_permissions(root, perms)
    assert client.get_permissions(root) == perms
    assert other.get_permissions(root) == before
    client.transaction_end()
    assert other.get_permissions(root) == perms


@pytest.mark.anywhere
def test_a_second_start_is_ealready(client, root):
    client.transaction_start()
    with pytest.raises(pyxs.PyXSError) as caught:
        client.transaction_start()
    assert caught.value.errno == errno.EALREADY
    client.write(root + "/key", "value")  # the first goes on
    client.transaction_end()
    assert client.read(root + "/key") == "value"


@pytest.mark.parametrize("commit", [True, False])
def test_ending_a_transaction_that_has_not_begun_does_nothing(client, root, commit):
    client.transaction_end(commit)
    client.write(root + "/key", "value")
    assert client.read(root + "/key") == "value"


@pytest.mark.anywhere
def test_a_failed_command_leaves_the_transaction_running(client, root):
    client.transaction_start()
    with refused("ENOENT"):
        client.read(root + "/missing")
    with pytest.raises(pyxs.InvalidPath):
        client.read("//")
    client.write(root + "/key", "value")
    client.transaction_end()
    assert client.read(root + "/key") == "value"


def test_a_conflict_is_eagain_and_the_client_is_out_of_the_transaction(client, other, root):
    client.write(root + "/key", "before")
    client.transaction_start()
    conflict(client, other, root + "/key")
    with refused("EAGAIN"):
        client.transaction_end()
    assert client.tx_id == 0
    assert client.read(root + "/key") == "before changed"
    client.transaction_start()
    client.write(root + "/key", "again")
    client.transaction_end()
    assert other.read(root + "/key") == "again"


@pytest.mark.busy
def test_700_transactions_in_a_row(client, root):
    for number in range(700):
        client.transaction_start()
        client.write(root + "/key", number)
        client.transaction_end()
    assert client.read(root + "/key") == "699"


# ---- What conflicts --------------------------------------------------------

# For each case: calls in a transaction, and a call outside it before its commit.
CONFLICTS = {
    "read and written, rewritten": (
        lambda t, p: t.write(p + "/key", t.read(p + "/key") + "+"),
        lambda c, p: c.write(p + "/key", "2"),
    ),
    "found missing, created": (
        lambda t, p: (t.exists(p + "/new"), t.write(p + "/mine", "")),
        lambda c, p: c.write(p + "/new", ""),
    ),
    "listed, child created": (
        lambda t, p: (t.ls(p), t.write(p + "/mine", "")),
        lambda c, p: c.write(p + "/new", ""),
    ),
}
SOMETIMES_CONFLICTS = {
    "commit: read, rewritten": (
        lambda t, p: t.read(p + "/key"),
        lambda c, p: c.write(p + "/key", "2"),
    ),
    "commit: read, rewritten with the same value": (
        lambda t, p: t.read(p + "/key"),
        lambda c, p: c.write(p + "/key", "1"),
    ),
    "commit: written, rewritten": (
        lambda t, p: t.write(p + "/key", "3"),
        lambda c, p: c.write(p + "/key", "2"),
    ),
    "commit: written, removed": (
        lambda t, p: t.write(p + "/key", "3"),
        lambda c, p: c.rm(p + "/key"),
    ),
    "commit: written, removed and made again": (
        lambda t, p: t.write(p + "/key", "3"),
        lambda c, p: (c.rm(p + "/key"), c.write(p + "/key", "1")),
    ),
    "commit: found missing and another written, created": (
        lambda t, p: (t.exists(p + "/new"), t.write(p + "/dir/x", "")),
        lambda c, p: c.write(p + "/new", ""),
    ),
    "commit: read, child created": (
        lambda t, p: t.read(p + "/dir"),
        lambda c, p: c.write(p + "/dir/new", ""),
    ),
    "commit: created, sibling created": (
        lambda t, p: t.write(p + "/mine", ""),
        lambda c, p: c.write(p + "/new", ""),
    ),
    "commit: permissions set, permissions set": (
        lambda t, p: t.set_permissions(p + "/key", t.get_permissions(p)),
        lambda c, p: c.set_permissions(p + "/key", c.get_permissions(p)),
    ),
}


@pytest.fixture(params=["another client", "the same client"])
def outsider(request, client, other):
    """The client that makes the change outside the transaction; either conflicts."""
    return other if request.param == "another client" else client


@pytest.mark.anywhere
@pytest.mark.parametrize("name", CONFLICTS)
def test_a_change_that_keeps_a_transaction_from_being_committed(client, outsider, root, name):
    inside, outside = CONFLICTS[name]
    client.write_many({root + "/key": "1", root + "/dir/x": "1"})
    t = client.transaction()
    inside(t, root)
    outside(outsider, root)
    with refused("EAGAIN"):
        t.transaction_end()


@pytest.mark.anywhere
@pytest.mark.parametrize("name", SOMETIMES_CONFLICTS)
def test_a_change_that_matters_to_one_daemon(client, outsider, root, known, name):
    inside, outside = SOMETIMES_CONFLICTS[name]
    client.write_many({root + "/key": "1", root + "/dir/x": "1"})
    t = client.transaction()
    inside(t, root)
    outside(outsider, root)
    assert outcome(t.transaction_end) == known(name)


@pytest.mark.anywhere
def test_a_change_elsewhere_keeps_no_transaction_from_being_committed(client, other, root):
    client.write_many({root + "/key": "1", root + "/dir/x": "1"})
    with client.transaction() as t:
        t.write(root + "/key", t.read(root + "/key") + "+")
        other.write(root + "/dir/x", "2")
        client.write(root + "/dir/x", "3")
    assert client.read_many([root + "/key", root + "/dir/x"]) == {
        root + "/key": "1+",
        root + "/dir/x": "3",
    }


# ---- Client(transaction=True) ----------------------------------------------


def test_leaving_the_block_commits(store, other, root):
    with pyxs.Client(transaction=True, **store.where) as t:
        assert t.tx_id != 0
        t.write(root + "/key", "value")
        assert not other.exists(root + "/key")
    assert other.read(root + "/key") == "value"


@pytest.mark.anywhere
def test_an_exception_in_the_block_aborts_and_passes_through(store, other, root):
    with pytest.raises(ZeroDivisionError), pyxs.Client(transaction=True, **store.where) as t:
        write_and_fail(t, root + "/key")
    assert not other.exists(root + "/key")


@pytest.mark.anywhere
def test_a_transaction_starts_where_the_client_is_made(store, root):
    t = pyxs.Client(transaction=True, **store.where)
    assert t.tx_id != 0
    with t:
        t.write(root + "/key", "value")
    assert t.tx_id == 0


@pytest.mark.anywhere
def test_a_conflict_passes_through_the_end_of_the_block(store, other, root):
    other.write(root + "/key", "before")
    with refused("EAGAIN"), pyxs.Client(transaction=True, **store.where) as t:
        conflict(t, other, root + "/key")
    assert other.read(root + "/key") == "before changed"


@pytest.mark.anywhere
def test_a_transaction_may_be_ended_in_the_block(store, other, root):
    with pyxs.Client(transaction=True, **store.where) as t:
        t.write(root + "/key", "value")
        t.transaction_end(commit=False)
        assert t.tx_id == 0
        t.write(root + "/other", "outside it")
    assert other.ls(root) == ["other"]


# ---- transaction() ---------------------------------------------------------


def test_a_transaction_of_its_own_leaves_the_client_outside(client, root):
    with client.transaction() as t:
        assert isinstance(t, pyxs.Client)
        assert t.tx_id != 0
        assert client.tx_id == 0
        t.write(root + "/key", "value")
        assert not client.exists(root + "/key")
    assert client.read(root + "/key") == "value"


@pytest.mark.anywhere
def test_an_exception_aborts_the_transaction_and_leaves_the_connection_open(client, root):
    with pytest.raises(ZeroDivisionError), client.transaction() as t:
        write_and_fail(t, root + "/key")
    assert client.ls(root) == []
    with client.transaction() as t:
        t.write(root + "/key", "value")
    assert client.ls(root) == ["key"]


def test_several_transactions_run_at_once(client, root):
    transactions = [client.transaction() for _ in range(5)]
    for number, t in enumerate(transactions):
        t.write("{}/{}/key".format(root, number), number)
        assert t.ls(root) == [str(number)]
    for t in transactions:
        t.transaction_end(commit=False)
    assert client.ls(root) == []


@pytest.mark.anywhere
def test_a_transaction_does_not_start_within_another(client):
    t = client.transaction()
    with pytest.raises(pyxs.PyXSError) as caught:
        t.transaction()
    t.transaction_end()
    assert caught.value.errno == errno.EALREADY
    client.transaction_start()
    with pytest.raises(pyxs.PyXSError) as caught:
        client.transaction()
    assert caught.value.errno == errno.EALREADY
    client.transaction_end()


@pytest.mark.anywhere
def test_a_transaction_has_no_id_after_its_block(client, root):
    with client.transaction() as t:
        t.write(root + "/key", "1")
    assert t.tx_id == 0


# ---- run_transaction() -----------------------------------------------------


def test_run_transaction_commits_and_returns_what_the_function_returned(client, other, root):
    def change(t):
        t.write(root + "/key", "value")
        assert not other.exists(root + "/key")
        return t.ls(root)

    assert client.run_transaction(change) == ["key"]
    assert other.read(root + "/key") == "value"
    assert client.tx_id == 0


@pytest.mark.anywhere
def test_run_transaction_starts_over_when_the_commit_conflicts(client, other, root):
    client.write(root + "/key", "0")
    calls = []

    def change(t):
        calls.append(t.read(root + "/key"))
        t.write(root + "/key", calls[-1] + "+")
        if len(calls) < 4:
            other.write(root + "/key", len(calls))

    client.run_transaction(change)
    assert calls == ["0", "1", "2", "3"]
    assert client.read(root + "/key") == "3+"


@pytest.mark.anywhere
def test_run_transaction_starts_over_when_the_function_meets_eagain(client, root):
    calls = []

    def change(t):
        t.write("{}/{}".format(root, len(calls)), "")
        calls.append(t.tx_id)
        if len(calls) < 3:
            raise error("EAGAIN")
        return "done"

    assert client.run_transaction(change) == "done"
    assert len(set(calls)) == 3
    assert client.ls(root) == ["2"]


@pytest.mark.anywhere
@pytest.mark.parametrize("attempts", [1, 2, 5])
def test_run_transaction_gives_up_after_so_many_attempts(client, other, root, attempts):
    client.write(root + "/key", "0")
    calls = []

    def change(t):
        calls.append(t)
        conflict(t, other, root + "/key")

    with refused("EAGAIN"):
        client.run_transaction(change, attempts=attempts)
    assert len(calls) == attempts
    assert client.read(root + "/key") == "0" + " changed" * attempts


@pytest.mark.anywhere
def test_run_transaction_aborts_on_any_other_exception(client, root):
    with pytest.raises(ZeroDivisionError):
        client.run_transaction(lambda t: write_and_fail(t, root + "/key"))
    assert client.ls(root) == []
    with refused("ENOENT"):
        client.run_transaction(lambda t: t.read(root + "/missing"))


@pytest.mark.anywhere
@pytest.mark.parametrize("attempts", [0, -1, 1.5, "3"])
def test_an_invalid_number_of_attempts_is_refused(client, attempts):
    with pytest.raises(ValueError, match="attempts"):
        client.run_transaction(lambda t: None, attempts=attempts)


@pytest.mark.busy
def test_no_increment_of_a_counter_by_several_threads_is_lost(client, root):
    client.write(root + "/counter", 0)

    def increase(t):
        t.write(root + "/counter", int(t.read(root + "/counter")) + 1)

    def run():
        for _ in range(25):
            client.run_transaction(increase)

    in_threads(*[run] * 4)
    assert client.read(root + "/counter") == "100"


# ---- Transactions and their connection -------------------------------------


def test_a_transaction_belongs_to_its_connection(client, make_client, root):
    # Each connection numbers its own transactions: another one may have the same id.
    with client.transaction() as t:
        t.write(root + "/key", "value")
        stranger = make_client()
        assert not stranger.exists(root + "/key")
        with stranger.transaction() as u:
            assert not u.exists(root + "/key")


@pytest.mark.own_daemon
def test_a_transaction_whose_connection_died_fails_until_it_is_ended(client, store):
    client.transaction_start()
    client.write("/key", "value")
    store.daemon.restart()
    for _ in range(3):
        with pytest.raises(pyxs.ConnectionError):
            client.write("/key", "must never go out as a plain write")
        with pytest.raises(pyxs.ConnectionError):
            client.read("/")
    with pytest.raises(pyxs.ConnectionError):
        client.transaction_end()
    assert client.tx_id == 0
    assert not client.exists("/key")


@pytest.mark.own_daemon
def test_a_lost_transaction_stays_lost_when_others_have_reconnected(client, store):
    t = client.transaction()
    t.write("/key", "value")
    store.daemon.restart()
    assert not client.exists("/key")  # on another connection
    fresh = client.transaction()  # likely with the same id
    with pytest.raises(pyxs.ConnectionError):
        t.write("/key", "value")
    with pytest.raises(pyxs.ConnectionError):
        t.transaction_end()
    fresh.write("/other", "value")
    fresh.transaction_end()
    assert client.exists("/other")
    assert not client.exists("/key")


@pytest.mark.own_daemon
def test_aborting_a_lost_transaction_is_silent(client, store):
    client.transaction_start()
    store.daemon.restart()
    with pytest.raises(pyxs.ConnectionError):
        client.write("/key", "value")
    client.transaction_end(commit=False)
    assert client.tx_id == 0
    t = client.transaction()
    store.daemon.restart()
    with pytest.raises(ZeroDivisionError), t:
        raise ZeroDivisionError


@pytest.mark.own_daemon
def test_a_commit_that_the_daemon_never_saw_is_an_error(client, store):
    t = client.transaction()
    t.write("/key", "value")
    store.daemon.restart()
    with pytest.raises(pyxs.ConnectionError), t:
        pass
    assert not client.exists("/key")


@pytest.mark.anywhere
def test_removing_a_node_whose_child_another_client_removed(client, other, known, root):
    children = [root + "/dir/a", root + "/dir/gone", root + "/dir/z"]
    client.write_many((path, "") for path in children)
    t = client.transaction()
    t.ls(root + "/dir")
    other.rm(root + "/dir/gone")
    expected = known("removing what lists a child that is gone")
    assert outcome(t.rm, root + "/dir") == expected
    if expected is not None:  # the children before it are removed, later ones are not
        assert t.ls(root + "/dir") == ["gone", "z"]
    t.transaction_end(commit=False)
