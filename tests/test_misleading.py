"""Mistakes that would go unnoticed: what warns of them, and what the message says to do."""

import copy
import pickle

import pytest

import pyxs
from pyxs import snapshot
from pyxs._channels.watching import Watching
from pyxs.xenstored import XenStored


@pytest.fixture
def daemon():
    with XenStored(like="4.22") as running:
        yield running


@pytest.fixture
def client(daemon):
    with pyxs.Client(daemon.path) as connected:
        yield connected


def only(caught):
    """Return the text of the only warning, which points at this file."""
    (warning,) = caught
    assert warning.filename == __file__
    return str(warning.message)


@pytest.mark.parametrize("wait", [lambda c: c.wait(0), lambda c: c.monitor("/a").wait(0)])
def test_a_number_for_wait_is_no_time_out(client, wait):
    client.watch("/a")
    with pytest.warns(FutureWarning, match=r"write wait\(timeout=0\)") as caught:
        wait(client)
    only(caught)


def test_a_transaction_in_which_nothing_was_asked_warns(client):
    said = r"with client\.transaction\(\) as t"
    with pytest.warns(RuntimeWarning, match=said) as caught, client.transaction():
        client["/x"] = 1
    only(caught)
    assert client["/x"] == "1"


@pytest.mark.parametrize(
    "ask",
    [
        lambda t: t.read("/x"),
        lambda t: t.get_permissions("/x"),
        lambda t: t.read_many(["/x"]),
        lambda t: list(t.walk("/x")),
        lambda t: t.read_tree("/x"),
    ],
)
def test_a_transaction_in_which_something_was_asked_does_not_warn(client, ask):
    client["/x"] = 1
    with client.transaction() as t:
        ask(t)
    with client.transaction() as t:
        t["/x"] = 2
        ask(t)
    assert client["/x"] == "2"


def test_a_transaction_that_was_used_before_its_block_does_not_warn(client):
    t = client.transaction()
    t["/x"] = 3
    with t:
        pass
    assert client["/x"] == "3"


def test_a_block_that_wrote_nothing_is_not_said_to_have_written(client):
    said = "; if the block wrote with another client, that was written"
    with pytest.warns(RuntimeWarning, match=said) as caught, client.transaction():
        pass
    only(caught)


def test_a_transaction_that_ends_by_an_exception_does_not_warn(client):
    with pytest.raises(KeyError), client.transaction():
        raise KeyError


def test_run_transaction_does_not_warn(client):
    assert client.run_transaction(lambda t: 5) == 5


def test_the_warning_comes_after_the_commit(client):
    with pytest.raises(RuntimeWarning), client.transaction() as t:  # filterwarnings = error
        pass
    assert t.tx_id == 0


@pytest.mark.parametrize(
    "wait",
    [
        lambda c: c.wait(),
        lambda c: c.monitor().wait(),
        lambda c: next(c.monitor()),
        lambda c: next(iter(c.monitor())),
    ],
)
def test_waiting_for_ever_without_a_watch_warns(client, monkeypatch, wait):
    monkeypatch.setattr(Watching, "wait_event", lambda *_: pyxs.Event("/a", "/a"))
    with pytest.warns(RuntimeWarning, match="has no watch") as caught:
        wait(client)
    only(caught)


def test_a_monitor_without_a_watch_may_be_asked_for_events(client):
    with client.monitor() as monitor:
        assert monitor.wait(timeout=0) is None


@pytest.mark.parametrize("name", ["introduceDomain", b"releaseDomain", "releaseDomain/7"])
@pytest.mark.parametrize(
    "watch",
    [
        lambda c, name: c.watch(name),
        lambda c, name: c.monitor(name),
        lambda c, name: c.monitor().watch(name),
        lambda c, name: Mine(c.connection).watch(name),
    ],
)
def test_a_special_path_without_its_at_warns(client, name, watch):
    with pytest.warns(RuntimeWarning, match="the special path is '@") as caught:
        watch(client, name)
    only(caught)


class Mine(pyxs.Monitor):
    """A monitor of a program's own."""

    def watch(self, wpath):
        super().watch(wpath, "token")


def test_a_snapshot_that_cannot_be_restored_whole_warns(client):
    with pytest.warns(RuntimeWarning, match="left out") as caught:
        snapshot.restore(client, {"/a": {"value": "1", "perms": ["n0", "r32757"]}})
    only(caught)


def test_the_argument_that_has_no_effect_is_named(daemon):
    connection = pyxs.UnixSocketConnection(daemon.path)
    for call, said in [
        (lambda: pyxs.Client(daemon.path, xen_bus_path="/dev/xen/xenbus"), "xen_bus_path has no"),
        (lambda: pyxs.Client("/a", 1.5, connection=connection), "unix_socket_path and socket_time"),
        (lambda: pyxs.monitor("/a", connection=connection), "connection is used; unix_socket_path"),
    ]:
        with pytest.warns(RuntimeWarning, match=said) as caught:
            made = call()
        only(caught)
        assert made.connection.path == daemon.path


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("items", r"read_tree\(\)"),
        ("keys", r"ls\(\)"),
        ("update", r"write_tree\(\)"),
        ("pop", r"read\(\) and rm\(\)"),
        ("setdefault", r"get\(\) and write\(\)"),
        ("list", r"since pyxs 1\.0 it is ls\(\)"),
    ],
)
def test_methods_of_a_dict_have_hints(client, name, hint):
    with pytest.raises(AttributeError, match="no attribute '{}'; .*{}".format(name, hint)):
        getattr(client, name)
    assert name not in dir(client)
    assert not hasattr(pyxs.Client, name)


def test_nothing_with_a_connection_can_be_copied_or_pickled(daemon, client, monkeypatch):
    monkeypatch.setenv("XENSTORED_PATH", daemon.path)
    t = client.transaction()
    for each in (client, t, client.monitor(), pyxs.xs()):
        for twin in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError, match="make one in each process"):
                twin(each)
    t["/x"] = 1
    t.transaction_end()
    assert client["/x"] == "1"


def test_a_commit_tells_that_the_daemon_had_ended_the_transaction(xenstored, xenstore):
    xenstore.introduce_domain(7, 1, 1)
    xenstore.write("/local/domain/7/name", "guest", ["n7"])
    guest = pyxs.Client(xenstored.socket_for(7))
    t = guest.transaction()
    t.write("name", "mine")
    xenstore.introduce_domain(7, 1, 1)  # its sessions begin anew
    with pytest.raises(pyxs.PyXSError, match="daemon had ended the transaction before") as caught:
        t.transaction_end()
    assert type(caught.value) is pyxs.PyXSError
    guest.close()


class Sub(pyxs.Client):
    """A subclass with a signature, a slot and attributes of its own."""

    __slots__ = ("__hidden", "note")

    def __new__(cls, host, note):
        return super().__new__(cls)

    def __init__(self, host, note):
        super().__init__(host.path)
        self.host = host
        self.note = self.__hidden = note

    def hidden(self):
        return self.__hidden


def test_the_client_of_a_transaction_is_like_the_one_that_made_it(daemon):
    client = Sub(daemon, "n")
    client.SU = False
    with client.transaction() as t:
        assert (type(t), t.host, t.note, t.hidden(), t.SU) == (Sub, daemon, "n", "n", False)
        t["/x"] = 1
    client.watch("/x")
    t = client.transaction()
    t.transaction_end()
    assert client.wait(timeout=5).path == "/x"  # ending the other left its monitor alone


class Tunnel(pyxs.UnixSocketConnection):
    """A subclass of a connection."""

    opened = 0

    def open(self):
        type(self).opened += 1
        return super().open()


def test_a_connection_of_a_subclass_is_opened_wherever_it_is_used(daemon):
    client = pyxs.Client(connection=Tunnel(daemon.path))
    client["/x"] = 1
    with client.transaction() as t:
        assert t["/x"] == "1"
    with client.monitor("/x"):
        assert client.wait_for("/x", 1, timeout=5) == "1"
    assert Tunnel.opened >= 3
    assert isinstance(client.monitor().connection, Tunnel)


def test_the_names_of_the_internal_module_of_0_3():
    from pyxs._internal import Op, Packet

    assert Packet(Op.READ, b"/a\0", 1).op == 2


def test_restrict_is_refused(client):
    with pytest.raises(pyxs.InvalidOperation, match="would confine one connection of several"):
        client.execute_command(pyxs.connection.Op.RESTRICT, 7)
