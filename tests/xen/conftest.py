"""Tests that need a real Xen. ``run``, beside this file, boots one for them.

``run`` sets ``PYXS_XEN`` to the domain in which the tests run (``dom0`` or ``guest``) and
``PYXS_XENSTORED`` to the kind of daemon.
"""

import contextlib
import itertools
import os
import pathlib
import subprocess
import sys

import pytest

import pyxs
from common import PATIENCE

HERE = pathlib.Path(__file__).parent
DOMAIN = os.environ.get("PYXS_XEN")
#: In dom0 all tests also use the second path, the old name of the device.
DEVICES = ["/dev/xen/xenbus"] + ["/proc/xen/xenbus"] * (DOMAIN == "dom0")

_counter = itertools.count()


def pytest_collection_modifyitems(items):
    if DOMAIN is not None:
        return
    reason = "needs a real Xen, which tests/xen/run boots: tox -e xen-bookworm"
    for item in items:
        if HERE in pathlib.Path(str(item.fspath)).parents:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture
def kind():
    """The daemon behind every connection: ``c`` or ``ocaml``."""
    return os.environ["PYXS_XENSTORED"]


@pytest.fixture(params=DEVICES)
def where(request):
    """The arguments of a client for the connection under test."""
    return {"xen_bus_path": request.param}


@pytest.fixture
def cleanup():
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.fixture
def make_client(where, cleanup):
    """Make a client with a connection of its own; it is closed after the test."""

    def make(**options):
        options.setdefault("socket_timeout", PATIENCE)
        return cleanup.enter_context(pyxs.Client(**dict(where, **options)))

    return make


@pytest.fixture
def make_monitor(where, cleanup):
    """Make a monitor with a connection of its own; it is closed after the test."""

    def make():
        return cleanup.enter_context(pyxs.monitor(socket_timeout=PATIENCE, **where))

    return make


@pytest.fixture
def client(make_client):
    return make_client()


@pytest.fixture
def monitor(make_monitor):
    return make_monitor()


@pytest.fixture
def root(client):
    """The path of an empty node for this test alone, where a guest may write too."""
    path = "data/test-{}-{}".format(os.getpid(), next(_counter))
    client.mkdir(path)
    yield path
    client.rm(path)


class Process:
    """A running Python program that prints a line for each event."""

    def __init__(self, program, *args):
        self._popen = subprocess.Popen(
            [sys.executable, "-c", program] + list(args),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            universal_newlines=True,
        )

    def line(self):
        return self._popen.stdout.readline().rstrip("\n")

    def tell(self, line):
        self._popen.stdin.write(line + "\n")
        self._popen.stdin.flush()

    def kill(self):
        self._popen.kill()
        self._popen.communicate()


@pytest.fixture
def start_process(cleanup):
    def start(program, *args):
        process = Process(program, *args)
        cleanup.callback(process.kill)
        return process

    return start
