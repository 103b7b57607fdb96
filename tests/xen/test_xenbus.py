"""Tests of pyxs for what XenBus on Linux does differently from a socket."""

import itertools
import os
import select
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import pyxs
import xen_utils
from common import PATIENCE
from conformance import refused
from conformance.differences import DIFFERENCES
from forks import fork

from . import taken

#: ``sys.argv``: device, path, token. Prints each event, and after a line of input
#: stops watching.
WATCHER = """
import sys, threading, pyxs
device, path, token = sys.argv[1:]
monitor = pyxs.monitor(xen_bus_path=device)
monitor.watch(path, token)
def obey():
    sys.stdin.readline()
    monitor.reset_watches()
    print("reset", flush=True)
threading.Thread(target=obey, daemon=True).start()
for event in monitor:
    print(*event, flush=True)
"""


@pytest.fixture
def start_watcher(start_process, where):
    """Start another process that watches a path, and wait for its first event."""

    def start(path, token):
        process = start_process(WATCHER, where["xen_bus_path"], path, token)
        assert process.line() == "{} {}".format(path, token)
        return process

    return start


# -- one request at a time ---------------------------------------------------------


def test_16_threads_write_many_values_through_one_client(client, make_client, where, root, kind):
    # In the kernel, a second request before the reply to the first corrupts that reply.
    # Under emulation many requests take long. The test makes all of them only once, on the two
    # CPUs that dom0 has besides that of xenstored, and fewer elsewhere.
    in_full = pyxs.Client.SU and kind == "c" and where["xen_bus_path"] == "/dev/xen/xenbus"
    assert os.cpu_count() == 2 or not in_full
    numbers = itertools.count()

    def spread():
        # Only programs that ask for it run on the second CPU; see run. One thread there is
        # enough, because emulated CPUs are slow to wake each other.
        os.sched_setaffinity(0, {1 if in_full and next(numbers) == 0 else 0})

    paths = ["{}/{}".format(root, number) for number in range(200 if in_full else 60)]
    # Reading over the socket takes less time, because it takes many requests at once.
    other = pyxs.Client() if in_full else make_client()
    with ThreadPoolExecutor(16, initializer=spread) as pool:
        for turn in range(3 if in_full else 1):
            values = {
                path: "{} {}, ".format(path, turn) * (1 + (turn + number) % 40)
                for number, path in enumerate(paths)
            }
            list(pool.map(client.write, values.keys(), values.values()))
            assert other.read_many(paths) == values
    other.close()


def test_threads_that_wait_for_replies_and_for_events_share_a_monitor(client, make_monitor, root):
    monitor = make_monitor()
    monitor.watch(root, "root")
    monitor.wait(timeout=PATIENCE)

    def watch_and_unwatch(thread):
        path = "{}/{}".format(root, thread)
        for _ in range(20):
            monitor.watch(path, "of a thread")
            monitor.unwatch(path, "of a thread")

    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(watch_and_unwatch, thread) for thread in range(3)]
        client.write(root + "/key", "")
        while monitor.wait(timeout=PATIENCE) != (root + "/key", "root"):
            pass
        for future in futures:
            future.result()


# -- what the kernel refuses -------------------------------------------------------


def test_a_refused_watch_is_the_daemons_answer_and_the_connection_stays_good(
    client, monitor, root, kind
):
    if (
        kind == "ocaml"
        or DIFFERENCES["a path of 2,049 bytes"].answer(kind, xen_utils.VERSION) is None
    ):
        pytest.skip("this daemon refuses dom0 no watch that gets past the checks of pyxs")
    # The kernel returns the error of the daemon as the errno of write(); no reply comes.
    too_long = "/" + "a" * 3000
    monitor.watch(root, "t")
    with refused("EINVAL"):
        monitor.watch(too_long, "t")
    client.write(root + "/key", "value")
    # A new connection would report the first watch once more.
    assert taken(monitor, 2) == [(root, "t"), (root + "/key", "t")]
    with refused("ENOENT"):
        monitor.unwatch(too_long, "t")


def test_a_payload_of_4080_bytes_reaches_the_daemon(client, root, kind):
    value = "x" * (4080 - len(root + "/key\0"))
    if kind == "c" and pyxs.Client.SU:
        client.write(root + "/key", value)
        assert client.read(root + "/key") == value
        return
    # oxenstored applies the quota of guests to dom0 too.
    with refused({"c": "ENOSPC", "ocaml": "E2BIG"}[kind]):
        client.write(root + "/key", value)


def test_a_payload_of_4081_bytes_is_refused_before_it_is_sent(client, root):
    with pytest.raises(pyxs.InvalidPayload, match="4080"):
        client.write(root + "/key", "x" * (4081 - len(root + "/key\0")))
    assert not client.exists(root + "/key")


def test_a_watch_with_a_depth_is_refused(monitor, root):
    with refused("ENOSYS"):
        monitor.watch(root, "t", depth=1)
    monitor.watch(root, "t")
    assert taken(monitor, 1) == [(root, "t")]


# -- one kernel, many processes ----------------------------------------------------


def test_reset_watches_leaves_the_watches_of_another_process(client, monitor, root, start_watcher):
    watcher = start_watcher(root, "theirs")
    monitor.watch(root, "ours")
    monitor.reset_watches()
    client.write(root + "/key", "")
    assert watcher.line() == root + "/key theirs"
    assert monitor.check() is None


def test_two_processes_have_the_same_watch(client, monitor, root, start_watcher):
    watcher = start_watcher(root, "same")
    monitor.watch(root, "same")
    client.write(root + "/both", "")
    assert watcher.line() == root + "/both same"
    assert taken(monitor, 2) == [(root, "same"), (root + "/both", "same")]

    watcher.tell("reset")
    assert watcher.line() == "reset"
    client.write(root + "/one", "")
    assert taken(monitor, 1) == [(root + "/one", "same")]

    monitor.unwatch(root, "same")
    client.write(root + "/none", "")
    assert monitor.wait(timeout=0.2) is None


def test_a_process_that_dies_takes_only_its_own_watches_along(client, monitor, root, start_watcher):
    monitor.watch(root, "same")
    start_watcher(root, "same").kill()
    client.write(root + "/key", "")
    assert taken(monitor, 2) == [(root, "same"), (root + "/key", "same")]


def test_a_forked_child_leaves_its_parents_connection_alone(client, monitor, root):
    monitor.watch(root, "t")
    transaction = client.transaction()
    transaction.write(root + "/of-parent", "")
    child = fork()
    if child == 0:
        try:
            client.write(root + "/of-child", "")
            monitor.close()
            client.close()
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    assert taken(monitor, 2) == [(root, "t"), (root + "/of-child", "t")]
    transaction.transaction_end(commit=False)
    assert client.ls(root) == ["of-child"]


# -- events ------------------------------------------------------------------------


def test_a_select_loop_gets_an_event_of_every_change(client, monitor, root):
    monitor.watch(root, "t")
    descriptor = monitor.fileno()
    names = {"node-{}".format(number) for number in range(60)}

    def change():
        for name in sorted(names):
            client.write("{}/{}".format(root, name), "")

    thread = threading.Thread(target=change)
    thread.start()
    heard = set()
    deadline = time.monotonic() + PATIENCE
    while heard != names and time.monotonic() < deadline:
        if select.select([descriptor], [], [], 1)[0]:
            event = monitor.check()
            assert event is not None, "readable, and there is nothing"
            heard.add(event.path[len(root) + 1 :])
            heard.discard("")
    thread.join()
    assert heard == names
    assert select.select([descriptor], [], [], 0)[0] == []


def test_close_wakes_a_thread_that_waits(monitor, root):
    # Closing the device would not wake a thread that is blocked reading it.
    monitor.watch(root, "t")
    monitor.wait(timeout=PATIENCE)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(monitor.wait)
        time.sleep(0.5)
        assert not waiting.done()
        monitor.close()
        assert isinstance(waiting.exception(PATIENCE), pyxs.ConnectionError)


def test_wait_keeps_to_its_time_out(monitor, root):
    monitor.watch(root, "t")
    monitor.wait(timeout=PATIENCE)
    assert monitor.wait(timeout=0) is None
    before = time.monotonic()
    assert monitor.wait(timeout=0.3) is None
    assert time.monotonic() - before >= 0.3


# -- connections -------------------------------------------------------------------


def test_a_transaction_ends_with_its_connection(where, client, root):
    # A guest may have ten at a time, so that transactions left behind would exceed the quota.
    for number in range(12):
        lost = pyxs.Client(transaction=True, **where)
        lost.write(root + "/key", number)
        lost.close()
    assert client.ls(root) == []
    with client.transaction() as transaction:
        transaction.write(root + "/key", "kept")
    assert client.read(root + "/key") == "kept"


def test_a_device_that_is_not_there_is_a_connection_error():
    with pytest.raises(pyxs.ConnectionError, match="/dev/xen/none: No such file or directory"):
        pyxs.Client(xen_bus_path="/dev/xen/none").read("name")
