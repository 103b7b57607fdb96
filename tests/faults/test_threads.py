"""Many threads on one client, and on one monitor."""

import itertools
import random
import threading

import pytest

import pyxs
from common import PATIENCE, in_threads
from pyxs import Client, ConnectionError, PyXSError

from . import scaled

THREADS = 16


def mixed_calls(client, thread, count):
    """Make calls of every kind on nodes that only this thread changes."""
    rng = random.Random(thread)
    root = "/t/{}".format(thread)
    client.mkdir(root)
    values = {}
    for number in range(count):
        name = "n{}".format(rng.randrange(20))
        path = root + "/" + name
        choice = rng.randrange(10)
        if choice < 3:
            values[name] = "{}-{}".format(thread, number)
            client.write(path, values[name])
        elif choice < 6:
            assert client.read(path, None) == values.get(name)
        elif choice == 6:
            assert set(client.ls(root)) == set(values)
        elif choice == 7:
            client.rm(path)
            values.pop(name, None)
        elif choice == 8:
            paths = [root + "/" + each for each in values]
            assert list(client.read_many(paths).values()) == list(values.values())
        elif rng.randrange(10):
            with pytest.raises(PyXSError, match="No such file"):
                client.get_permissions(root + "/missing")
        else:
            client.get_domain_path(thread)
            visited = {path.rpartition("/")[2]: value for path, value, _ in client.walk(root)}
            assert {name: visited[name] for name in values} == values


@pytest.mark.parametrize("daemon", ["memory", "c", "ocaml"], indirect=True)
def test_16_threads_with_mixed_calls_on_one_client(daemon):
    count = scaled(200, 10000)
    with Client(daemon.path, socket_timeout=600) as client:
        in_threads(
            *[
                lambda thread=thread: mixed_calls(client, thread, count)
                for thread in range(THREADS)
            ],
            seconds=3600,
        )
    assert daemon.alive()


@pytest.mark.parametrize("daemon", ["memory", "c", "ocaml"], indirect=True)
def test_watchers_add_remove_wait_and_close_at_once(daemon):
    monitor = pyxs.monitor(daemon.path, socket_timeout=PATIENCE * 3)
    stop = threading.Event()
    seen = []

    def add_and_remove(thread):
        for number in itertools.count():
            if stop.is_set():
                return
            path = "/w/{}/{}".format(thread, number % 5)
            monitor.watch(path, "t")
            monitor.unwatch(path, "t")

    def wait():
        try:
            while True:
                seen.append(monitor.wait())
        except ConnectionError:
            assert stop.is_set()

    def write_and_close():
        with Client(daemon.path) as client:
            for number in range(scaled(300, 20000)):
                client.write("/w/all/{}".format(number), number)
        stop.set()
        for _ in range(2):
            monitor.close()

    def adding(thread):
        try:
            add_and_remove(thread)
        except PyXSError:  # ENOENT: another thread has watched after close()
            assert stop.is_set()

    monitor.watch("/w/all", "all")
    in_threads(
        *[lambda thread=thread: adding(thread) for thread in range(4)],
        *[wait] * 4,
        write_and_close,
        seconds=240,
    )
    monitor.close()
    assert {event.token for event in seen} <= {"all", "t"}
    assert any(event.token == "all" for event in seen)


@pytest.mark.parametrize("daemon", ["c"], indirect=True)
def test_a_client_closed_by_one_thread_serves_the_others_again(daemon):
    client = Client(daemon.path, socket_timeout=PATIENCE)
    client.write("/a", "value")
    stop = threading.Event()
    failures = []

    def read():
        while not stop.is_set():
            try:
                assert client.read("/a") == "value"
            except ConnectionError as exc:
                failures.append(str(exc))

    def close():
        for _ in range(scaled(200, 5000)):
            client.close()
        stop.set()

    in_threads(*[read] * 8, close, seconds=240)
    assert client.read("/a") == "value"
    assert {message.split(": ", 1)[1] for message in failures} <= {"closed"}
    client.close()
