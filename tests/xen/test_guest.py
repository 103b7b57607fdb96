"""Tests in a guest: its rights, and its connection to the store without a socket."""

import errno
import os

import pytest

import pyxs
from conformance import refused
from pyxs.connection import XenBusConnection

from . import pyxs_command, taken


@pytest.fixture
def domid(client):
    return int(client.read("domid"))


# -- its own domain, and others ----------------------------------------------------


def test_relative_paths_lead_to_its_own_domain(client, root, domid):
    home = client.get_domain_path(domid)
    assert home == "/local/domain/{}".format(domid)
    assert client.read("domid") == client.read(home + "/domid") == str(domid)
    assert client.read("name") == "tests"
    client.write(root + "/key", "value")
    assert client.read("{}/{}/key".format(home, root)) == "value"
    assert client.get_permissions(root) == client.get_permissions(home + "/" + root)
    assert [path for path, _, _ in client.walk(root)] == [root, root + "/key"]


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.read("/local/domain/0/name"),
        lambda client: client.read("/local/domain/0/no-such-node"),
        lambda client: client.exists("/local/domain/0/name"),
        lambda client: client.ls("/local/domain/0"),
        lambda client: client.get_permissions("/local/domain/0"),
        lambda client: client.write("/local/domain/0/name", "mine"),
        lambda client: client.write("/mine", ""),
        lambda client: client.mkdir("/local/mine"),
        lambda client: client.rm("/tool"),
        lambda client: client.write("name", "mine"),
        lambda client: client.rm("name"),
        lambda client: client.set_permissions("name", ["b0"]),
    ],
    ids=[
        "read",
        "read what is missing",
        "exists",
        "list",
        "get permissions",
        "write",
        "create in the root",
        "make a directory",
        "remove",
        "write its own name",
        "remove its own name",
        "set permissions",
    ],
)
def test_nodes_of_dom0_are_refused_to_a_guest(client, call):
    with refused("EACCES"):
        call(client)


def test_a_guest_shares_a_node_and_withdraws_it(client, root, domid):
    client.write(root + "/key", "")
    assert client.get_permissions(root + "/key")[0] == "n{}".format(domid)
    shared = ["n{}".format(domid), "r0"]
    client.set_permissions(root + "/key", shared)
    assert client.get_permissions(root + "/key") == shared


def test_a_guest_cannot_give_a_node_to_another_domain(client, root):
    client.write(root + "/key", "")
    with refused("EACCES", "EPERM"):
        client.set_permissions(root + "/key", ["n0"])


# -- privileges --------------------------------------------------------------------


class Recorder(XenBusConnection):
    """Records the calls of its methods."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def connect(self):
        self.calls.append("connect")
        super().connect()

    def send(self, packet):
        self.calls.append(packet)
        super().send(packet)


def test_requests_of_dom0_are_refused_in_a_guest_without_a_byte_sent():
    assert pyxs.Client.SU is False
    connection = Recorder()
    client = pyxs.Client(connection=connection)
    for call in (
        lambda: client.introduce_domain(7, 1, 1),
        lambda: client.release_domain(7),
        lambda: client.resume_domain(7),
        lambda: client.set_target(7, 0),
    ):
        with refused("EPERM"):
            call()
    assert connection.calls == []
    client.close()


def test_the_daemon_refuses_them_too(client):
    client.SU = True
    for call in (
        lambda: client.introduce_domain(7, 1, 1),
        lambda: client.release_domain(7),
        lambda: client.resume_domain(7),
    ):
        with refused("EACCES", "EPERM"):
            call()


# -- quotas ------------------------------------------------------------------------


def test_a_guest_has_so_many_transactions_and_no_more(make_client, client, root):
    # The quota is 10; xenstored takes one more and refuses the one after that.
    transactions = [client.transaction() for _ in range(11)]
    for number, transaction in enumerate(transactions):
        transaction.write("{}/{}".format(root, number), "")
    with refused("ENOSPC"):
        client.transaction()
    with refused("ENOSPC"):
        make_client(transaction=True)
    transactions.pop().transaction_end(commit=False)
    make_client(transaction=True).transaction_end(commit=False)
    client.close()  # ends the other transactions too
    assert client.ls(root) == []


def test_too_many_children_are_refused(client, root):
    # A node and the names of its children may have 2,048 bytes together.
    with refused("ENOSPC"):
        for number in range(40):
            client.write("{}/{}".format(root, str(number) * 50), "")
    client.rm(root)
    client.mkdir(root)
    client.write(root + "/key", "value")
    assert client.read(root + "/key") == "value"


def test_too_many_watches_are_refused(monitor, client, root):
    # The kernel returns the error of xenstored as the errno of write().
    with refused("E2BIG"):
        for number in range(2000):
            monitor.watch(root, "token-{}".format(number))
    assert taken(monitor, 1) == [(root, "token-0")]
    monitor.reset_watches()
    monitor.watch(root, "again")
    client.write(root + "/key", "")
    assert taken(monitor, 2) == [(root, "again"), (root + "/key", "again")]


# -- getting there -----------------------------------------------------------------


def test_the_error_without_a_socket_names_the_device():
    for use in (
        lambda: pyxs.Client().read("name"),
        lambda: pyxs.Client(transaction=True),
        lambda: pyxs.monitor().watch("name"),
    ):
        with pytest.raises(pyxs.ConnectionError, match="in a guest use XenBus: xen_bus_path"):
            use()


def test_a_connection_needs_no_path(domid):
    with pyxs.Client(connection=XenBusConnection()) as client:
        assert client.connection.path == "/dev/xen/xenbus"
        assert client.read("domid") == str(domid)


def test_the_old_device_serves_too(domid):
    with pyxs.Client(xen_bus_path="/proc/xen/xenbus") as client:
        assert client.read("domid") == str(domid)


def test_the_command_lists_over_the_device(client, root):
    client.write(root + "/key", "value")
    listed = pyxs_command("--xenbus", "ls", root)
    assert (listed.returncode, listed.stderr) == (0, "")
    assert "key" in listed.stdout


def test_the_command_finds_the_device_by_itself():
    done = pyxs_command("read", "name")
    assert (done.returncode, done.stdout, done.stderr) == (0, "tests\n", "")


def test_the_command_says_in_one_line_that_it_may_not():
    done = pyxs_command("read", "/local/domain/0/name")
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert os.strerror(errno.EACCES) in done.stderr or "EACCES" in done.stderr


def test_xs_falls_back_to_the_device(domid):
    from pyxs import xs

    store = xs()
    assert store.read("", "domid") == str(domid).encode()
    assert store.ls("", "data") == []
    store.close()
