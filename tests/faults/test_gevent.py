"""Under gevent, patched first, greenlets use one client, one transaction and one monitor."""

import importlib.util
import os
import subprocess
import sys

import pytest

import pyxs

PROGRAM = """
from gevent import monkey
monkey.patch_all()

import sys
import gevent
import pyxs

path = sys.argv[1]
client = pyxs.Client(path)
names = ["/{}".format(number) for number in range(8)]
client.write_many((name, name) for name in names)


def use(name):
    for _ in range(20):
        assert client.read(name) == name
        assert client.read_many(names) == dict(zip(names, names))


def all_of(*functions):
    jobs = [gevent.spawn(function) for function in functions]
    gevent.joinall(jobs, timeout=20, raise_error=True)
    assert all(job.dead for job in jobs), "hangs"


all_of(*[lambda name=name: use(name) for name in names])
client.transaction_start()
all_of(*[lambda name=name: use(name) for name in names])
client.transaction_end()

monitor = client.monitor()
seen = []


def wait():
    while len(seen) < 5:
        seen.append(monitor.wait(timeout=20))


def watch():
    for name in names[:5]:
        monitor.watch(name, "t")


all_of(wait, watch)
assert [event.path for event in seen] == names[:5], seen


def blocked():
    try:
        monitor.wait()
    except pyxs.ConnectionError:
        return
    raise AssertionError("close() ended nothing")


def close():
    gevent.sleep(0.05)
    monitor.close()


all_of(blocked, close)
client.close()
"""


@pytest.mark.parametrize("daemon", ["c"], indirect=True)
def test_greenlets_use_one_client(daemon):
    # Not imported: pyxs minds greenlets once they are in the process.
    if importlib.util.find_spec("gevent") is None:
        pytest.skip("gevent is not installed")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, daemon.path],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
        env=dict(os.environ, PYTHONPATH=os.path.dirname(os.path.dirname(pyxs.__file__))),
    )
    assert done.returncode == 0, done.stdout
