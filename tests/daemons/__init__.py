"""Starts real XenStore daemons without Xen, and the daemon of pyxs, for tests.

::

    import daemons

    with daemons.start("c") as daemon:
        client = Client(daemon.path)
        guest = Client(daemon.socket_for(7))

``"c"`` is xenstored and ``"ocaml"`` is oxenstored, of the installed ``xen-utils`` of Debian
(:mod:`xen_utils`). ``"memory"`` is :class:`pyxs.xenstored.XenStored`, and ``"memory-4.22"`` the
same like Xen 4.22. Each daemon has its own
socket and a new store, with only the nodes that the daemon itself creates. Any number of
daemons run at the same time, without root. A daemon takes about 10 ms to start, and ends with
the process that started it.
"""

import atexit
import functools
import os
import shutil
import socket
import struct
import subprocess
import tempfile
import time

import xen_utils
from pyxs import Client
from pyxs.xenstored import XenStored

from .ring import RingSocket

__all__ = ["DOMIDS", "KINDS", "missing", "start"]

_LIKE = {"memory": "4.17", "memory-4.22": "4.22"}

KINDS = (*_LIKE, "c", "ocaml")

#: The domains that exist besides domain 0 by default; see :func:`start`.
DOMIDS = (1, 2, 7)

_PROGRAMS = {"c": "xenstored", "ocaml": "oxenstored"}
_STUBS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "xen_stubs.c")
_START_SECONDS = 10
_READ_ROOT = struct.pack("=4I", 2, 0, 0, 2) + b"/\0"


def missing(kind):
    """Return why daemons of this *kind* cannot start here, or ``None`` if they can."""
    if kind in _LIKE:
        return None
    if shutil.which("cc") is None:
        return "a C compiler is missing: apt-get install gcc libc6-dev"
    return xen_utils.missing(_PROGRAMS[kind])


def start(kind, domids=DOMIDS):
    """Start a daemon and return it once it answers.

    :param kind: one of :data:`KINDS`.
    :param domids: the domains that exist besides domain 0, so that they can be introduced;
        in memory all domains exist.
    """
    return _InMemory(kind) if kind in _LIKE else _Process(kind, domids)


class _Daemon:
    """A running daemon; as a context manager it stops at the end of the block.

    ``kind`` is one of :data:`KINDS`, ``path`` the path of its socket, ``pid`` its process, or
    ``None`` if it runs in this process.
    """

    kind = None
    path = None
    pid = None

    @property
    def environ(self):
        """An environment in which C tools and the C extension find this daemon."""
        return dict(os.environ, XENSTORED_PATH=self.path)

    def alive(self):
        """Return whether the daemon answers a request within five seconds."""
        with socket.socket(socket.AF_UNIX) as probe:
            # Not settimeout(): both daemons listen with a backlog of 1. When that is full,
            # connect() on a socket with a time-out fails at once with EAGAIN.
            for option in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):
                probe.setsockopt(socket.SOL_SOCKET, option, struct.pack("@ll", 5, 0))
            try:
                probe.connect(self.path)
                probe.sendall(_READ_ROOT)
                return len(probe.recv(16)) == 16
            except OSError:
                return False

    def socket_for(self, domid):
        """Introduce a domain and return the path of a socket that speaks as that domain.

        With a real daemon, all connections to it use the domain's only ring. It serves one
        connection at a time, and the watches of earlier connections remain.
        """
        raise NotImplementedError

    def kill(self):
        """Kill the daemon, as in a crash; its socket file remains."""
        raise NotImplementedError

    def restart(self):
        """Stop the daemon if it runs; start it again with the same path and an empty store."""
        raise NotImplementedError

    def stop(self):
        """Stop the daemon and remove its files; a second call does nothing."""
        raise NotImplementedError

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.stop()

    def __repr__(self):
        return "<{} daemon at {}>".format(self.kind, self.path)


class _Process(_Daemon):
    def __init__(self, kind, domids):
        self.kind = kind
        self._domids = " ".join(map(str, domids))
        self._root = _directory()
        for directory in ("var/run/xen", "var/run/xenstored", "var/log/xen"):
            os.makedirs(os.path.join(self._root, directory))
        self.path = os.path.join(self._root, "var/run/xenstored/socket")
        self._process = None
        self._guests = {}  # by domid
        self._launch()

    def _launch(self):
        with open(self._root + "/output", "wb") as output:
            self._process = subprocess.Popen(
                [os.path.join(xen_utils.TOOLS, _PROGRAMS[self.kind]), "--no-fork"],
                stdin=subprocess.PIPE,  # the stubs end the daemon when this pipe closes
                stdout=output,
                stderr=output,
                env=dict(
                    # $XENSTORED_PATH would make this daemon use another daemon's socket.
                    {name: os.environ[name] for name in os.environ if name != "XENSTORED_PATH"},
                    LD_PRELOAD=_stubs(),
                    XEN_STUBS_DOMIDS=self._domids,
                    XEN_STUBS_ROOT=self._root,
                ),
            )
        self.pid = self._process.pid
        deadline = time.monotonic() + _START_SECONDS
        while not self.alive():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._fail()
            time.sleep(0.001)

    def _fail(self):
        self.kill()
        with open(self._root + "/output", errors="replace") as output:
            said = output.read()
        status = self._process.returncode
        self.stop()
        raise RuntimeError("{} did not start ({}): {}".format(self.kind, status, said))

    def alive(self):
        return self._process.poll() is None and super().alive()

    def socket_for(self, domid):
        with Client(self.path) as client:
            client.introduce_domain(domid, 1, 1)
        if domid in self._guests:  # it was released meanwhile
            self._end_guest(domid)
        self._guests[domid] = RingSocket(self._root, domid)
        return self._guests[domid].path

    def _end_guest(self, domid):
        guest = self._guests.pop(domid)
        guest.close()
        os.unlink(guest.path)
        return guest

    def kill(self):
        for domid in list(self._guests):
            os.unlink(self._end_guest(domid).ring)
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()

    def restart(self):
        self.kill()
        self._launch()

    def stop(self):
        self.kill()
        shutil.rmtree(self._root, ignore_errors=True)


class _InMemory(_Daemon):
    def __init__(self, kind):
        self.kind = kind
        self._root = _directory()
        self.path = os.path.join(self._root, "socket")
        self._make = functools.partial(XenStored, self.path, like=_LIKE[kind])
        self.server = self._make()
        self.server.start()

    def socket_for(self, domid):
        return self.server.socket_for(domid)

    def kill(self):
        self.server.stop()

    def restart(self):
        self.kill()
        self.server = self._make()
        self.server.start()

    def stop(self):
        self.kill()
        shutil.rmtree(self._root, ignore_errors=True)


def _directory():
    # The path of a socket has at most 107 bytes; TMPDIR may be too long for that.
    short = len(tempfile.gettempdir()) <= 50
    return tempfile.mkdtemp(prefix="pyxs-", dir=None if short else "/tmp")


@functools.lru_cache(maxsize=None)
def _stubs():
    """Compile the stubs of Xen's libraries, once in each process, and return the file's path."""
    directory = tempfile.mkdtemp(prefix="pyxs-stubs-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    library = os.path.join(directory, "xen_stubs.so")
    subprocess.check_call(["cc", "-shared", "-fPIC", "-o", library, _STUBS, "-ldl"])
    return library
