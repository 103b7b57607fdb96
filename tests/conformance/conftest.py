"""The connection under test and the daemon behind it.

Each test runs on a fresh daemon of each kind. To run the tests on existing
connections, name these and the kind of daemon behind them::

    PYXS_CONFORMANCE=c@xenbus:/dev/xen/xenbus,c@socket:/run/xenstored/socket

Each test then uses a subtree of its own and removes it. Tests marked ``own_daemon``
are left out, and in a guest also those marked ``dom0``.
``PYXS_CONFORMANCE=c,ocaml`` runs the tests on fresh daemons of these kinds only.
"""

import contextlib
import itertools
import os
import shutil
from typing import NamedTuple, Optional

import pytest

import daemons
import pyxs
import xen_utils
from common import PATIENCE
from conftest import skip_or_fail

from .differences import DIFFERENCES

MARKS = {
    "own_daemon": "it may end the daemon, or change what all its users see",
    "dom0": "it does what only a privileged domain may, or exceeds a guest's quota",
    "tools": "it looks at the store with the C tools",
    "busy": "it makes a great many requests, or has many threads",
    "anywhere": "what it shows is the same on any connection: pyxs refuses, converts or puts "
    "together something, or the daemon has a way of its own",
}

_counter = itertools.count()


class Setting(NamedTuple):
    """The kind of daemon that a test runs on, and the connection to it."""

    kind: str
    backend: str = "socket"
    path: Optional[str] = None  # None: a fresh daemon for each test

    @classmethod
    def parse(cls, text):
        kind, _, place = text.strip().partition("@")
        backend, _, path = place.partition(":")
        reachable = not place or (backend in ("socket", "xenbus") and path)
        if kind not in daemons.KINDS or not reachable:
            raise pytest.UsageError(
                "PYXS_CONFORMANCE: {!r} is not KIND, KIND@socket:PATH or KIND@xenbus:PATH "
                "with a KIND of {}".format(text, ", ".join(daemons.KINDS))
            )
        return cls(kind, backend, path) if place else cls(kind)

    @property
    def in_guest(self):
        return self.path is not None and not pyxs.Client.SU

    def suits(self, item):
        """Return whether a test can run with this setting."""
        marks = {mark.name for mark in item.iter_markers()}
        if self.path is None:
            return True
        if self.in_guest:
            return not marks & {"own_daemon", "dom0"}
        # In dom0 the tools always use the socket.
        return not ("own_daemon" in marks or (self.backend == "xenbus" and "tools" in marks))

    def __str__(self):
        return self.kind if self.path is None else "{}@{}:{}".format(*self)


SETTINGS = [
    Setting.parse(text)
    for text in os.environ.get("PYXS_CONFORMANCE", ",".join(daemons.KINDS)).split(",")
]


def pytest_configure(config):
    for name, meaning in MARKS.items():
        config.addinivalue_line("markers", "{}: {}".format(name, meaning))


def pytest_generate_tests(metafunc):
    if "setting" in metafunc.fixturenames:
        metafunc.parametrize("setting", SETTINGS, ids=str)


def pytest_collection_modifyitems(config, items):
    unsuited = [
        item
        for item in items
        if "setting" in getattr(item, "fixturenames", ())
        and not item.callspec.params["setting"].suits(item)
    ]
    config.hook.pytest_deselected(items=unsuited)
    items[:] = [item for item in items if item not in set(unsuited)]


class Store:
    """The store under test, and how a test connects to it.

    ``kind`` is the kind of daemon, ``domid`` the domain of the connection,
    ``max_payload`` the longest payload that the connection takes, and ``daemon``
    the daemon if it was started for the test, else ``None``.
    """

    def __init__(self, setting, daemon, keepers):
        self.kind = setting.kind
        self.daemon = daemon
        self.path = setting.path if daemon is None else daemon.path
        self.max_payload = 4080 if setting.backend == "xenbus" else 4096
        self.where = {
            "xen_bus_path" if setting.backend == "xenbus" else "unix_socket_path": self.path
        }
        self._keepers = keepers
        self.domid = self._own_domid() if setting.in_guest else 0

    def _own_domid(self):
        with self.keeper() as client:
            return int(client.read("domid"))

    @contextlib.contextmanager
    def keeper(self):
        """Yield a client that prepares the test and cleans up after it.

        All tests on an existing daemon share one client.
        """
        if self.daemon is not None:
            with pyxs.Client(**self.where) as client:
                yield client
            return
        if self.path not in self._keepers:
            self._keepers[self.path] = pyxs.Client(**self.where)
        yield self._keepers[self.path]

    @property
    def rounds(self):
        """How often to repeat what fails rarely: less on an existing, perhaps emulated, daemon."""
        return 10 if self.daemon is None else 100

    @property
    def prefix(self):
        return "/local/domain/{}/data".format(self.domid) if self.domid else ""

    @property
    def environ(self):
        """The environment in which the C tools find this store."""
        return dict(os.environ) if self.daemon is None else self.daemon.environ


@pytest.fixture(scope="session")
def keepers():
    clients = {}
    yield clients
    for client in clients.values():
        client.close()


@pytest.fixture
def store(setting, start_daemon, keepers, request):
    """The store under test; a daemon started for the test must still run at its end."""
    if request.node.get_closest_marker("tools") and shutil.which("xenstore-ls") is None:
        skip_or_fail("xenstore-ls is missing: apt-get install xenstore-utils")
    daemon = start_daemon(setting.kind) if setting.path is None else None
    yield Store(setting, daemon, keepers)
    assert daemon is None or daemon.alive(), "the test killed the daemon"


@pytest.fixture
def known(store):
    """A function that looks up what this daemon does where daemons differ."""
    return lambda name: DIFFERENCES[name].answer(store.kind, xen_utils.VERSION)


@pytest.fixture
def cleanup():
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.fixture
def make_client(store, cleanup):
    """Make a client with a connection of its own; it is closed after the test."""

    def make(**options):
        options.setdefault("socket_timeout", PATIENCE)
        return cleanup.enter_context(pyxs.Client(**dict(store.where, **options)))

    return make


@pytest.fixture
def make_monitor(store, cleanup):
    """Make a monitor with a connection of its own; it is closed after the test."""

    def make():
        monitor = pyxs.monitor(socket_timeout=PATIENCE, **store.where)
        cleanup.callback(monitor.close)
        return monitor

    return make


@pytest.fixture
def client(make_client):
    return make_client()


@pytest.fixture
def other(make_client):
    """A second client, with a connection of its own."""
    return make_client()


@pytest.fixture
def monitor(make_monitor):
    return make_monitor()


@pytest.fixture
def root(store):
    """The path of an empty node for this test alone."""
    path = "{}/pyxs-test-{}-{}".format(store.prefix, os.getpid(), next(_counter))
    with store.keeper() as client:
        client.mkdir(path)
    yield path
    remove(store, path)


@pytest.fixture
def relative(store):
    """The relative path of a node for this test alone, and the absolute one."""
    path = "pyxs-test-{}-{}".format(os.getpid(), next(_counter))
    if store.domid:
        path = "data/" + path  # a guest may write to this part of its home
    yield path, "/local/domain/{}/{}".format(store.domid, path)
    remove(store, path)


def remove(store, path):
    if store.daemon is None:
        with store.keeper() as client:
            client.rm(path)
