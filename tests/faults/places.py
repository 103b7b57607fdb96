"""A daemon in a process of its own, for the operations to interrupt.

The operations run as a guest: a transaction or a watch left behind uses up its quotas.
"""

import os
import subprocess
import sys

import pyxs
from fakes import FakeBus
from pyxs.connection import UnixSocketConnection

DOMID = 7
HOME = "/local/domain/7"

#: Names of children; it takes several messages to list them.
MANY_NAMES = ["{:03}{}".format(number, "n" * 60) for number in range(80)]

TRANSPORTS = ("socket", "bus")


class NarrowConnection(UnixSocketConnection):
    """A socket that takes four requests at a time, so that few requests fill it."""

    max_outstanding = 4


# The daemon holds replies to READs of "slow" until a client writes to "release". A READ of
# "held" returns how many it holds.
_DAEMON = """
import sys
from pyxs.connection import Op, Packet
from pyxs.xenstored import XenStored, server

answer, held = server.answer, []

def answer_when_released(store, session, packet):
    if packet.op == Op.READ and packet.payload == b"slow\\0":
        held.append((store, session, packet))
        return
    if packet.op == Op.READ and packet.payload == b"held\\0":
        count = sum(not session.ended for _, session, _ in held)
        session.reply(bytes(Packet(Op.READ, str(count), packet.rq_id)))
        return
    answer(store, session, packet)
    if packet.op == Op.WRITE and packet.payload.startswith(b"release\\0"):
        while held:
            answer(*held.pop(0))

server.answer = answer_when_released
with XenStored() as daemon:
    print(daemon.path, daemon.socket_for({}), flush=True)
    sys.stdin.read()
""".format(DOMID)


class Place:
    """A running daemon; a context manager that stops it.

    ``admin`` is a client of domain 0, for what a test prepares.
    """

    def __init__(self):
        root = os.path.dirname(os.path.dirname(pyxs.__file__))
        self._process = subprocess.Popen(
            [sys.executable, "-c", _DAEMON],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            universal_newlines=True,
            env=dict(os.environ, PYTHONPATH=root),
        )
        path, self.path = self._process.stdout.readline().split()
        self.admin = pyxs.Client(path)
        self.admin.mkdir(HOME)
        self.admin.set_permissions(HOME, ["n7"])
        guest = pyxs.Client(self.path)
        guest.write_many({"key": "value", "slow": "value", "empty": ""})
        guest.write_many({"few/{}".format(number): number for number in range(5)})
        guest.write_many({"tree/{}/leaf".format(number): number for number in range(2)})
        guest.close()
        self.admin.mkdir(HOME + "/many")
        self.admin.set_permissions(HOME + "/many", ["n0", "r7"])
        self.admin.write_many({HOME + "/many/" + name: "" for name in MANY_NAMES})

    def connection(self, transport):
        """Return a new connection of the guest."""
        return (FakeBus if transport == "bus" else NarrowConnection)(self.path)

    def change(self, name="key"):
        """Change a node, so that its watches fire."""
        self.admin.write(HOME + "/" + name, "value")

    def held(self):
        """Return how many requests wait for :meth:`release`."""
        return int(self.admin.read("held"))

    def release(self):
        """Send the replies to READs of ``slow``."""
        self.admin.write("release", "")

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.admin.close()
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
