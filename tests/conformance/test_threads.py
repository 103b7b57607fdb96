"""Many threads on one client."""

import pytest

import pyxs
from common import in_threads

from . import refused

THREADS = 12
PAIRS = 400


@pytest.mark.busy
def test_12_threads_write_and_read_their_own_values(client, root):
    def work(thread):
        def run():
            path = "{}/thread-{}".format(root, thread)
            for number in range(PAIRS):
                value = "{} of {}".format(number, thread)
                client.write(path, value)
                assert client.read(path) == value

        return run

    in_threads(*[work(thread) for thread in range(THREADS)])


@pytest.mark.busy
def test_threads_get_the_errors_of_their_own_requests(client, root):
    client.write(root + "/key", "value")

    def missing():
        for _ in range(200):
            with refused("ENOENT"):
                client.read(root + "/missing")

    def present():
        for _ in range(200):
            assert client.read(root + "/key") == "value"

    def invalid():
        for _ in range(200):
            with pytest.raises(pyxs.InvalidPath):
                client.read("//")

    in_threads(missing, present, invalid, missing, present)


@pytest.mark.busy
def test_threads_may_mix_single_and_bulk_requests(client, root):
    values = {"{}/{}".format(root, number): str(number) for number in range(150)}
    client.write_many(values)

    def bulk():
        for _ in range(10):
            assert client.read_many(values) == values

    def single():
        for path, value in values.items():
            assert client.read(path) == value

    def names():
        for _ in range(50):
            assert len(client.ls(root)) == len(values)

    in_threads(bulk, bulk, single, single, names)


def test_threads_share_the_transaction_of_their_client(client, other, root):
    client.transaction_start()
    in_threads(
        *[
            lambda number=number: client.write("{}/{}".format(root, number), "")
            for number in range(8)
        ]
    )
    assert other.ls(root) == []
    client.transaction_end()
    assert sorted(other.ls(root)) == sorted(map(str, range(8)))


@pytest.mark.busy
def test_threads_with_transactions_of_their_own(client, root):
    def work(thread):
        def run():
            path = "{}/thread-{}/key".format(root, thread)
            for number in range(20):
                client.run_transaction(lambda t, value=number: t.write(path, value))
                assert client.read(path) == str(number)

        return run

    in_threads(*[work(thread) for thread in range(6)])


def test_threads_that_use_a_client_first_at_once_share_its_connection(make_client, root):
    client = make_client()
    in_threads(*[lambda: client.exists(root)] * 8)
    with client.transaction() as t:
        t.write(root + "/key", "")
    assert client.ls(root) == ["key"]


@pytest.mark.own_daemon
def test_many_clients_with_time_outs_connect_at_once(make_client):
    # Both daemons listen with a backlog of 1.
    def connect():
        for _ in range(5):
            assert make_client(socket_timeout=5).exists("/")

    in_threads(*[connect] * 12)
