"""Finding a daemon, losing it, and finding it again."""

import os
import time

import pytest

import pyxs
from common import descriptors, in_threads, until

pytestmark = pytest.mark.own_daemon


@pytest.fixture
def environ(monkeypatch):
    for name in ("XENSTORED_PATH", "XENSTORED_RUNDIR"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_a_client_connects_when_it_is_entered(store):
    client = pyxs.Client(unix_socket_path=store.path)
    with client as entered:
        assert entered is client
        assert client.exists("/")


def test_a_client_connects_at_its_first_command(store):
    client = pyxs.Client(unix_socket_path=store.path)
    assert client.exists("/")
    client.close()


def test_a_client_can_be_entered_again(store):
    client = pyxs.Client(unix_socket_path=store.path)
    for number in range(3):
        with client:
            client.write("/key", number)
    with client:
        assert client.read("/key") == "2"


def test_the_socket_is_named_by_xenstored_path(store, environ):
    environ.setenv("XENSTORED_PATH", store.path)
    environ.setenv("XENSTORED_RUNDIR", "/nonexistent")
    with pyxs.Client() as client:
        assert client.exists("/")
    monitor = pyxs.monitor()
    monitor.watch("/")
    monitor.close()


def test_the_socket_is_found_in_xenstored_rundir(store, environ):
    environ.setenv("XENSTORED_RUNDIR", os.path.dirname(store.path))
    with pyxs.Client() as client:
        assert client.exists("/")


def test_a_connection_that_is_given_is_used(store):
    connection = pyxs.connection.UnixSocketConnection(store.path)
    with pyxs.Client(connection=connection) as client:
        assert client.connection is connection
        assert client.exists("/")
    monitor = pyxs.Monitor(connection)
    monitor.watch("/", "t")
    assert monitor.wait(timeout=5) == ("/", "t")
    monitor.close()


def test_a_daemon_that_is_not_there_is_a_connection_error(store):
    store.daemon.kill()
    client = pyxs.Client(unix_socket_path=store.path)
    with pytest.raises(ConnectionError, match=store.path) as caught:
        client.read("/")
    assert isinstance(caught.value, pyxs.ConnectionError)
    assert isinstance(caught.value, pyxs.PyXSError)
    with pytest.raises(pyxs.ConnectionError), client:
        pass
    with pytest.raises(pyxs.ConnectionError):
        pyxs.Client(unix_socket_path=store.path, transaction=True)
    store.daemon.restart()
    assert client.exists("/")
    client.close()


def test_a_missing_socket_is_not_reported_as_a_missing_node(tmp_path):
    with pytest.raises(pyxs.ConnectionError, match="No such file"):
        pyxs.Client(unix_socket_path=str(tmp_path / "socket")).read("/key", default="fallback")


def test_after_a_lost_connection_the_next_command_connects_again(client, store):
    client.write("/key", "value")
    store.daemon.restart()
    with pytest.raises(pyxs.ConnectionError):
        client.read("/key")
    assert not client.exists("/key")
    client.write("/key", "again")
    assert client.read("/key") == "again"


def test_the_death_of_the_daemon_wakes_every_thread(make_client, store):
    client = make_client()

    def read():
        while True:
            client.read("/")

    def work():
        with pytest.raises(pyxs.ConnectionError):
            read()

    def kill():
        time.sleep(0.1)
        store.daemon.kill()

    in_threads(kill, *[work] * 8)
    store.daemon.restart()
    assert client.exists("/")


def test_a_monitor_needs_no_daemon_before_it_watches(store):
    store.daemon.kill()
    monitor = pyxs.monitor(unix_socket_path=store.path)
    with pytest.raises(pyxs.ConnectionError):
        monitor.watch("/", "t")
    store.daemon.restart()
    monitor.watch("/", "t")
    assert monitor.wait(timeout=5) == ("/", "t")
    monitor.close()


def test_closing_closes_every_descriptor(store):
    before = descriptors()
    for _ in range(20):
        with pyxs.Client(unix_socket_path=store.path) as client:
            client.watch("/")
            client.wait()
            monitor = client.monitor()
            monitor.watch("/")
            monitor.close()
            with client.transaction() as t:
                t.write("/key", "")
    # The in-memory daemon runs in this process, and closes its own descriptors later.
    until(lambda: descriptors() <= before)
    assert descriptors() == before
