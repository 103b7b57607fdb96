"""The rights of a guest, tested with a client that speaks as the guest."""

import pytest

import pyxs
from common import PATIENCE

from . import heard, outcome, refused

pytestmark = pytest.mark.own_daemon

DOMID = 7
HOME = "/local/domain/7"


@pytest.fixture
def home(client):
    """The home of the guest as a toolstack makes it, and a node that the guest may not use."""
    client.write(HOME + "/name", "guest")
    client.set_permissions(HOME, ["n7"])
    client.set_permissions(HOME + "/name", ["n0", "r7"])
    client.write("/secret/child", "hidden")


@pytest.fixture
def socket(store, home):
    return store.daemon.socket_for(DOMID)


@pytest.fixture
def guest(socket, cleanup):
    """A client that speaks as the guest."""
    return cleanup.enter_context(pyxs.Client(socket, socket_timeout=PATIENCE))


@pytest.fixture
def guest_monitor(socket, cleanup):
    """A monitor that speaks as the guest; over a ring it is the only connection."""
    monitor = pyxs.monitor(socket, socket_timeout=PATIENCE)
    cleanup.callback(monitor.close)
    return monitor


@pytest.fixture
def guest_handle(socket, cleanup, monkeypatch):
    """An ``xs`` that speaks as the guest: its transactions share the only connection."""
    monkeypatch.setenv("XENSTORED_PATH", socket)
    handle = pyxs.xs()
    cleanup.callback(handle.close)
    return handle


# ---- Its home --------------------------------------------------------------


def test_relative_paths_begin_at_the_home_of_the_guest(guest, client):
    guest.write("data/key", "value")
    assert guest.read("data/key") == guest.read(HOME + "/data/key") == "value"
    assert client.read(HOME + "/data/key") == "value"
    assert guest.ls("data") == ["key"]
    guest.rm("data")
    assert client.ls(HOME) == ["name"]


def test_a_guest_owns_the_nodes_it_creates(guest, client):
    guest.write("data/key", "value")
    for path in ("/data", "/data/key"):
        assert client.get_permissions(HOME + path) == ["n7"]


def test_a_guest_is_introduced(guest, client):
    assert client.is_domain_introduced(DOMID)
    assert guest.get_domain_path(DOMID) == HOME


def test_a_value_longer_than_the_ring_goes_through(guest, client):
    guest.write("data", "v" * 2000)
    assert guest.read("data") == client.read(HOME + "/data") == "v" * 2000


def test_a_transaction_of_a_guest(guest, client):
    with guest.transaction() as t:
        t.write("data", "value")
        assert not client.exists(HOME + "/data")
    assert client.read(HOME + "/data") == "value"


# ---- Permissions -----------------------------------------------------------


@pytest.mark.parametrize(
    ("perms", "reads", "writes"),
    [
        (["n0"], False, False),
        (["r0"], True, False),
        (["w0"], False, True),
        (["b0"], True, True),
        (["n0", "r7"], True, False),
        (["n0", "w7"], False, True),
        (["n0", "b7"], True, True),
        (["b0", "n7"], False, False),
        (["b0", "r7"], True, False),
        (["n0", "b1"], False, False),
        (["n7"], True, True),
        (["n7", "n0"], True, True),
        (["n1", "r7"], True, False),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, list) else "",
)
def test_permissions_decide_whether_a_guest_reads_and_writes(guest, client, perms, reads, writes):
    client.write("/node/child", "value")
    client.set_permissions("/node", perms)
    allowed = {"reads": reads, "writes": writes}
    for right, call in (
        ("reads", lambda: guest.read("/node")),
        ("reads", lambda: guest.ls("/node")),
        ("reads", lambda: guest.get_permissions("/node")),
        ("writes", lambda: guest.write("/node", "new")),
        ("writes", lambda: guest.mkdir("/node/new")),
    ):
        if allowed[right]:
            call()
        else:
            with refused("EACCES"):
                call()


def test_a_new_domain_has_none_of_the_rights_of_the_one_before(client, store, cleanup):
    def new_guest():
        return cleanup.enter_context(
            pyxs.Client(store.daemon.socket_for(DOMID), socket_timeout=PATIENCE)
        )

    new_guest().close()
    for path, perms in (("/read", "r7"), ("/both", "b7")):
        client.write(path, "value")
        client.set_permissions(path, ["n0", perms])
    client.release_domain(DOMID)
    # xenstored takes the node that was changed last for younger than the new domain.
    client.write("/another", "value")
    guest = new_guest()
    client.write("/read/child", "value")  # it gets the entries of its parent
    client.write("/both", "new")
    for call in (
        lambda: guest.read("/read"),
        lambda: guest.read("/read/child"),
        lambda: guest.write("/both", "value"),
    ):
        with refused("EACCES"):
            call()
    client.set_permissions("/read", ["n0", "r7"])
    assert guest.read("/read") == "value"


def test_a_new_domain_does_not_hear_of_domains_because_the_one_before_could(client, store, cleanup):
    store.daemon.socket_for(DOMID)
    client.set_permissions("@releaseDomain", ["n0", "r7"])
    client.release_domain(DOMID)
    # The C daemon takes the node changed last before an introduction for younger than the domain.
    client.write("/younger", "")
    monitor = pyxs.monitor(store.daemon.socket_for(DOMID), socket_timeout=PATIENCE)
    cleanup.callback(monitor.close)
    monitor.watch("@releaseDomain", "token")
    assert len(heard(monitor)) == 1
    client.introduce_domain(1, 1, 1)
    client.release_domain(1)
    assert heard(monitor) == []


def test_a_new_domain_has_not_the_target_of_the_one_before(client, store, cleanup):
    client.introduce_domain(1, 1, 1)
    store.daemon.socket_for(DOMID)
    client.set_target(DOMID, 1)
    client.write("/of-1", "value")
    client.set_permissions("/of-1", ["n1"])
    client.release_domain(DOMID)
    guest = cleanup.enter_context(
        pyxs.Client(store.daemon.socket_for(DOMID), socket_timeout=PATIENCE)
    )
    with refused("EACCES"):
        guest.read("/of-1")


def test_exists_of_a_node_that_the_guest_may_not_read_is_refused(guest):
    with refused("EACCES"):
        guest.exists("/secret")


def test_a_refused_relative_path_says_where_it_was_looked_for(guest, client):
    client.write(HOME + "/hidden", "")
    client.set_permissions(HOME + "/hidden", ["n0"])
    for ask in (guest.read, guest.ls, guest.get_permissions, lambda path: guest.write(path, "")):
        with pytest.raises(PermissionError, match="'hidden'; .* begins at the domain's own home"):
            ask("hidden")
        with pytest.raises(PermissionError, match="denied: '{}/hidden'$".format(HOME)):
            ask(HOME + "/hidden")


def test_a_default_does_not_hide_a_refusal(guest):
    with refused("EACCES"):
        guest.read("/secret", default="fallback")


def test_permissions_of_a_missing_node_below_one_that_the_guest_may_write(client, guest):
    client["/open"] = ""
    client.set_permissions("/open", ["w0"])
    with refused("ENOENT"):
        guest.set_permissions("/open/missing", ["n1"])


def test_a_missing_node_below_one_that_the_guest_may_not_read(guest, known):
    expected = known("a missing node below one that may not be read")
    assert outcome(guest.read, "/secret/missing") == expected


def test_a_guest_changes_permissions_of_its_own_nodes_only(guest, client, known):
    guest.write("data", "")
    guest.set_permissions("data", ["n7", "r1"])
    assert client.get_permissions(HOME + "/data") == ["n7", "r1"]
    with refused("EACCES"):
        guest.set_permissions("name", ["b0"])
    assert outcome(guest.set_permissions, "data", ["n1"]) == known("giving a node away")
    assert client.get_permissions(HOME + "/data") == ["n7", "r1"]


def test_a_guest_removes_its_own_nodes_only(guest, client):
    guest.write("data/child", "")
    guest.rm("data")
    for path in ("/secret", "/secret/child", "name"):
        with refused("EACCES"):
            guest.rm(path)
    assert client.read(HOME + "/name") == "guest"


def test_a_walk_lists_an_unreadable_node_with_an_empty_value(guest, client):
    client.write(HOME + "/a", "1")
    client.write(HOME + "/hidden/child", "2")
    client.set_permissions(HOME + "/a", ["n7"])
    client.set_permissions(HOME + "/hidden", ["n0"])
    assert sorted(guest.walk(HOME)) == [
        (HOME, "", guest.ls(HOME)),
        (HOME + "/a", "1", []),
        (HOME + "/hidden", "", []),
        (HOME + "/name", "guest", []),
    ]


def test_a_guest_is_refused_the_methods_of_dom0(guest, client):
    for call in (
        lambda: guest.introduce_domain(2, 1, 1),
        lambda: guest.release_domain(DOMID),
        lambda: guest.resume_domain(DOMID),
        lambda: guest.set_target(DOMID, 2),
    ):
        with refused("EACCES"):
            call()
    assert not client.is_domain_introduced(2)
    assert client.is_domain_introduced(DOMID)


def test_control_is_not_for_a_guest(guest, known):
    assert outcome(guest.control, "print", "text") == known("control by a guest")


def test_a_guest_has_the_rights_of_its_target(guest, client):
    client.introduce_domain(1, 1, 1)
    client.write("/of/1", "value")
    client.set_permissions("/of/1", ["n1"])
    with refused("EACCES"):
        guest.read("/of/1")
    client.set_target(DOMID, 1)
    assert guest.read("/of/1") == "value"


# ---- Watches ---------------------------------------------------------------


def test_a_relative_watch_of_a_guest_reports_relative_paths(guest_monitor, client):
    guest_monitor.watch("data", "t")
    assert heard(guest_monitor) == [("data", "t")]
    client.write(HOME + "/data/key", "")
    assert heard(guest_monitor) == [("data/key", "t")]


def test_changes_that_a_guest_may_not_read_are_not_reported(guest_monitor, client):
    guest_monitor.watch("/", "t")
    heard(guest_monitor)
    client.write("/secret/child", "")
    client.write(HOME + "/data", "")
    assert heard(guest_monitor) == [(HOME + "/data", "t")]


def test_a_guest_hears_of_other_domains_only_where_the_daemon_lets_all(
    guest_monitor, client, known
):
    for path in ("@introduceDomain", "@releaseDomain"):
        outcome(guest_monitor.watch, path, "t")
    heard(guest_monitor)
    client.introduce_domain(1, 1, 1)
    client.release_domain(1)
    heard_of = [path for path, _ in heard(guest_monitor)]
    assert heard_of == known("a guest that may not hear of domains")


# ---- Quotas ----------------------------------------------------------------


def count_until_refused(call):
    """Return how many calls succeed before the daemon refuses one, and the errno."""
    for number in range(3000):
        try:
            call(number)
        except pyxs.PyXSError as answer:
            return number, answer.strerror
    raise AssertionError("no limit")


def test_a_value_over_the_quota(guest, known):
    assert outcome(guest.write, "data", "v" * 2049) == known("a guest's value of 2,049 bytes")


def test_the_quota_of_nodes(guest, client, known):
    limit, answer = known("a guest's nodes")
    # In several directories, because the names of children count towards the size of a node.
    made = count_until_refused(
        lambda number: guest.mkdir("data/{}/{}".format(number // 50, number % 50))
    )
    above = 2 + (made[0] - 1) // 50 + 1  # the home, which the guest owns, data, and the nodes below
    assert (made[0] + above, made[1]) == (limit, answer)
    guest.rm("data/0/0")
    guest.mkdir("data/0/again")
    client.mkdir(HOME + "/by-dom0")


def test_the_quota_of_transactions(guest_handle, known):
    def start(_):
        try:
            running.append(guest_handle.transaction_start())
        except pyxs.Error as answer:
            raise pyxs.PyXSError(*answer.args) from None

    running = []
    assert count_until_refused(start) == known("a guest's transactions")
    guest_handle.transaction_end(running[0], True)
    start(0)


def test_the_quota_of_watches(guest_monitor, known):
    set_ = count_until_refused(lambda number: guest_monitor.watch("data", str(number)))
    assert set_ == known("a guest's watches")
    guest_monitor.unwatch("data", "0")
    guest_monitor.watch("data", "again")
