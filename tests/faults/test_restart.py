"""A daemon is killed and started again while clients and monitors use it."""

import threading
import time

import pytest

import pyxs
from common import PATIENCE, descriptors, in_threads
from pyxs import Client, ConnectionError, PyXSError

from . import scaled

RESTARTS = 10


@pytest.mark.parametrize("daemon", ["c", "ocaml"], indirect=True)
def test_clients_and_monitors_recover_when_the_daemon_restarts(daemon):
    open_before = descriptors()
    shared = Client(daemon.path, socket_timeout=PATIENCE)
    stop = threading.Event()
    progress = [0] * 8  # successes since the last restart
    reported = [0, 0]  # losses seen by each monitor

    def read_and_write(thread, client):
        path = "/{}".format(thread)
        while not stop.is_set():
            try:
                value = "{}-{}".format(thread, progress[thread])
                client.write(path, value)
                # After a restart the store is empty, but a value is never another one.
                assert client.read(path, value) == value
                progress[thread] += 1
            except ConnectionError:
                time.sleep(0.001)

    def transact(thread, client):
        path = "/tx/{}".format(thread)

        def increase(transaction):
            transaction.write(path, int(transaction.read(path, "0")) + 1)

        while not stop.is_set():
            try:
                client.run_transaction(increase)
                progress[thread] += 1
            except ConnectionError:
                time.sleep(0.001)
            except PyXSError as exc:
                # A restart must not show as any other error.
                raise AssertionError("not a ConnectionError: {!r}".format(exc)) from exc

    def watch(index):
        with pyxs.monitor(daemon.path) as monitor:
            while not stop.is_set():
                try:
                    monitor.watch("/0", "t")
                    while not stop.is_set():
                        monitor.wait(timeout=0.2)
                except ConnectionError:
                    with pytest.raises(ConnectionError):
                        monitor.wait(timeout=0)  # until it watches again
                    reported[index] += 1
                    while not stop.is_set() and not daemon.alive():
                        time.sleep(0.005)

    def restart():
        try:
            for _ in range(scaled(RESTARTS, RESTARTS * 10)):
                time.sleep(0.05)
                losses = list(reported)
                daemon.restart()
                before = list(progress)
                deadline = time.monotonic() + 3 * PATIENCE
                while not all(
                    [now > then for now, then in zip(progress, before)]
                    + [now > then for now, then in zip(reported, losses)]
                ):
                    assert time.monotonic() < deadline, (before, progress, losses, reported)
                    time.sleep(0.005)
        finally:
            stop.set()

    own = [Client(daemon.path, socket_timeout=PATIENCE) for _ in range(2)]
    in_threads(
        *[lambda thread=thread: read_and_write(thread, shared) for thread in range(3)],
        *[lambda thread=thread: transact(thread, shared) for thread in range(3, 6)],
        *[lambda: read_and_write(6, own[0]), lambda: transact(7, own[1])],
        *[lambda: watch(0), lambda: watch(1), restart],
        seconds=240,
    )
    for client in [shared, *own]:
        client.close()
    assert descriptors() <= open_before + 2  # the restarted daemon may hold more
