"""Many events and reads: no event is lost, and descriptors and memory do not grow."""

import threading

import pytest

import pyxs
from common import PATIENCE, descriptors, in_threads
from pyxs import Client

from . import resident_kib, scaled

#: How much more memory a run may use at its end, in KiB.
SLACK = 16384


@pytest.mark.parametrize("daemon", ["memory", "c", "ocaml"], indirect=True)
def test_no_event_is_lost(daemon):
    count = scaled(10000, 1000000)
    batch = 500  # each path has one queued event at most, so that no daemon merges events
    monitor = pyxs.monitor(daemon.path)
    monitor.watch("/soak", "t")
    assert monitor.wait(timeout=PATIENCE) == ("/soak", "t")
    client = Client(daemon.path)
    client.mkdir("/soak")
    assert monitor.wait(timeout=PATIENCE) == ("/soak", "t")
    room = threading.Semaphore(batch)
    figures = []

    def write():
        for number in range(count):
            assert room.acquire(timeout=PATIENCE * 3)
            client.write("/soak/{}".format(number % batch), number)

    def wait():
        for number in range(count):
            event = monitor.wait(timeout=PATIENCE * 3)
            assert event == ("/soak/{}".format(number % batch), "t"), number
            room.release()
            if number in (count // 4, count - 1):
                figures.append((descriptors(), resident_kib()))

    in_threads(write, wait, seconds=3600)
    assert monitor.check() is None
    (open_before, memory_before), (open_after, memory_after) = figures
    assert open_after == open_before
    assert memory_after < memory_before + SLACK
    monitor.close()
    client.close()


@pytest.mark.parametrize("daemon", ["memory", "c", "ocaml"], indirect=True)
def test_reads_do_not_leak_memory_or_descriptors(daemon):
    count = scaled(10000, 1000000)
    with Client(daemon.path) as client:
        client.write_many({"/{}".format(number): number for number in range(100)})
        figures = []
        for number in range(count):
            assert client.read("/{}".format(number % 100)) == str(number % 100)
            if number in (count // 4, count - 1):
                figures.append((descriptors(), resident_kib()))
    (open_before, memory_before), (open_after, memory_after) = figures
    assert open_after == open_before
    assert memory_after < memory_before + SLACK
