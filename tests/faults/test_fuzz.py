"""Random bytes for the parser, the client and the in-memory daemon, and unexpected objects for
every public method.

A failure shows its seed; ``PYXS_SEED`` repeats it.
"""

import gc
import logging
import os
import random
import socket
import struct

import pytest

import pyxs
from common import PATIENCE, descriptors
from fakes import REPLIES
from pyxs import Client, ConnectionError, PyXSError, UnexpectedPacket
from pyxs._wire.framing import Framer
from pyxs.connection import Op, Packet, SocketConnection
from pyxs.xenstored import XenStored

from . import resident_kib, scaled

SEED = int(os.environ.get("PYXS_SEED", str(random.randrange(1 << 32))))

FRAGMENTS = [b"", b"/", b"/a", b"/a/b", b"a", b"/a\0", b"t", b"n0", b"r5", b"T", b"F", b"OK", b"0"]
FRAGMENTS += [b"1", b"7", b"65535", b"4294967296", b"-1", b"@releaseDomain", b"//", b"\xff", b"\n"]
FRAGMENTS += [b"ENOENT", b"EAGAIN", b"E2BIG", b"x" * 300, b"/" + b"y" * 3000, b"print", b"quota"]


@pytest.fixture
def rng():
    print("PYXS_SEED={}".format(SEED))  # pytest shows it when the test fails
    return random.Random(SEED)


def a_payload(rng):
    if rng.random() < 0.2:
        return bytes(rng.getrandbits(8) for _ in range(rng.randrange(40)))
    parts = [rng.choice(FRAGMENTS) for _ in range(rng.randrange(4))]
    return b"\0".join(parts) + rng.choice([b"", b"\0", b"\0\0"])


def a_message(rng):
    """Return a message that is mostly well-framed, with random contents."""
    payload = a_payload(rng)
    op = rng.randrange(28) if rng.random() < 0.9 else rng.getrandbits(32)
    size = len(payload)
    if rng.random() < 0.05:
        size = rng.choice([size + 1, max(0, size - 1), 4097, (1 << 20) + 1, rng.getrandbits(32)])
    tx_id = rng.choice([0, 0, 0, 1, 2, rng.getrandbits(32)])
    return struct.pack("=4I", op, rng.randrange(4), tx_id, size) + payload


def a_stream(rng):
    if rng.random() < 0.1:
        return bytes(rng.getrandbits(8) for _ in range(rng.randrange(100)))
    return b"".join(a_message(rng) for _ in range(rng.randrange(4)))


def pieces_of(stream, rng):
    while stream:
        size = rng.randrange(1, len(stream) + 1)
        yield stream[:size]
        stream = stream[size:]


# -- the parser ----------------------------------------------------------------------------


def test_the_parser_takes_any_bytes(rng):
    for _ in range(scaled(20000, 1000000)):
        stream = a_stream(rng)
        framer = Framer(limit=5000)
        taken = b""
        for piece in pieces_of(stream, rng):
            try:
                packets = framer.feed(piece)
            except UnexpectedPacket:
                break
            for packet in packets:
                taken += struct.pack("=4I", packet.op, packet.rq_id, packet.tx_id, packet.size)
                taken += packet.payload
        if framer.refused is not None:
            (announced,) = struct.unpack_from("=I", stream, len(taken) + 12)
            assert announced > 5000
        else:
            assert bool(framer.begun) == (taken != stream)
        assert stream.startswith(taken)


# -- the client ----------------------------------------------------------------------------


class Bound(SocketConnection):
    path = "bound"

    def __init__(self, sock):
        super().__init__(PATIENCE)
        self._bound = sock

    def open(self):
        return self._bound

    def clone(self):
        raise NotImplementedError


CALLS = [
    (lambda c: c.read("/a"), str),
    (lambda c: c.exists("/a"), bool),
    (lambda c: c.write("/a", 1), type(None)),
    (lambda c: c.ls("/a"), list),
    (lambda c: c.get_permissions("/a"), list),
    (lambda c: c.get_domain_path(1), str),
    (lambda c: c.is_domain_introduced(1), bool),
    (lambda c: c.transaction_start(), int),
    (lambda c: c.get_quota("nodes"), int),
    (lambda c: c.control("help"), str),
    (lambda c: list(c.walk("/a")), list),
    (lambda c: c.read_many(["/a", "/b"]), dict),
]


def a_reply_stream(rng):
    """Return replies, some well-formed and some random."""
    replies = [a_stream(rng)] if rng.random() < 0.3 else []
    for number in range(1, rng.randrange(1, 4)):
        op = rng.choice(list(REPLIES))
        payload = REPLIES[op] if rng.random() < 0.5 else a_payload(rng)
        op = rng.choice([op, op, Op.ERROR, Op.WATCH_EVENT, Op.READ, Op.DIRECTORY])
        replies.append(struct.pack("=4I", op, number, 0, len(payload)) + payload)
    return b"".join(replies)


def test_a_client_takes_any_bytes(rng):
    gc.collect()  # so that descriptors left by earlier tests are not counted
    open_before = descriptors()
    memory = None
    for number in range(scaled(4000, 100000)):
        if number == 2000:
            memory = resident_kib()
        ours, theirs = socket.socketpair()
        theirs.sendall(a_reply_stream(rng))
        theirs.shutdown(socket.SHUT_WR)
        client = Client(connection=Bound(ours))
        call, kind = rng.choice(CALLS)
        try:
            assert isinstance(call(client), kind)
        except PyXSError as exc:
            failure = exc
        else:
            failure = None
        if isinstance(failure, ConnectionError):
            assert ours.fileno() == -1, "the descriptor is still open"
        elif failure is not None:
            assert failure.is_answer
        client.close()
        theirs.close()
        ours.close()
    assert descriptors() == open_before
    assert resident_kib() < memory + 20000


# -- the in-memory daemon ------------------------------------------------------------------


def test_the_in_memory_daemon_takes_any_bytes(rng, caplog):
    with XenStored() as daemon:
        honest = Client(daemon.path, socket_timeout=PATIENCE)
        honest.write("/honest", "value")
        open_before = descriptors()
        memory = None
        for number in range(scaled(2000, 100000)):
            if number == 1500:
                memory = resident_kib()
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(PATIENCE)
                sock.connect(daemon.path if rng.random() < 0.8 else daemon.socket_for(5))
                try:
                    for piece in pieces_of(a_stream(rng), rng):
                        sock.sendall(piece)
                    sock.shutdown(socket.SHUT_WR)
                    framer = Framer()
                    replies = []
                    for data in iter(lambda: sock.recv(65536), b""):
                        replies += framer.feed(data)
                except (BrokenPipeError, ConnectionResetError):
                    continue  # the daemon closed the connection; had it hung, recv() would time out
                assert all(isinstance(reply.op, Op) for reply in replies)
                assert not framer.begun, "a reply was cut"
            if number % 100 == 0:
                honest.write("/honest", number)
                assert honest.read("/honest") == str(number)
        honest.close()
        assert resident_kib() < memory + 20000
        assert descriptors() < open_before + 50
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


# -- objects -------------------------------------------------------------------------------


class Strange:
    """An object that no method accepts."""

    def __repr__(self):
        return "<strange>"


# fmt: off
OBJECTS = [
    None, True, False, 0, 1, -1, 5, 7, 32757, 65535, 65536, 2**31, 2**32, 2**64, -(2**70),
    1.0, float("nan"), float("inf"), 2j, Strange(), Strange, object, len, ...,
    "", "/", "a", "/a", "/a/b", "/a/", "//", "/a\n", "/a\0", "\0", "/\u0663", "/\u00e9", "\udcff",
    "\ud800", "@introduceDomain", "@releaseDomain", "@releaseDomain/5", "@x", "x" * 5000,
    "/" + "x" * 3071, "/" + "x" * 5000, "n0", "r5", "w32757", "t", "T", "F", "OK", "0", "1",
    b"", b"/", b"/a", b"/a\0", b"\0", b"\xff", b"x" * 4097, bytearray(b"/a"), memoryview(b"/a"),
    [], ["n0"], ["n0", "r5"], ["r5", None], [b"b1"], ["n0"] * 2000, ("n0",), {"n0"}, {},
    {"/a": 1}, {"/a": "\0"}, {None: None}, [("/a", 1)], [("/a",)], ["/a", "/b"], [[]], range(3),
    {"dom": 0, "read": True, "write": True}, [{"dom": 0, "read": 1, "write": 1}], [{"dom": "x"}],
    [{"dom": 32757, "read": 1, "write": 0}], [{}], iter(()), (n for n in ()), Op.READ, Op.RM,
]
# fmt: on

#: Methods and their numbers of arguments. Methods that wait or close are left out.
CLIENT_METHODS = {
    "execute_command": 4,
    "read": 2,
    "write": 2,
    "mkdir": 1,
    "rm": 1,
    "ls": 1,
    "exists": 1,
    "__getitem__": 1,
    "__setitem__": 2,
    "__delitem__": 1,
    "get_permissions": 1,
    "set_permissions": 2,
    "get": 2,
    "read_bytes": 1,
    "read_tree": 1,
    "write_tree": 2,
    "walk": 2,
    "read_many": 2,
    "write_many": 1,
    "get_domain_path": 1,
    "is_domain_introduced": 1,
    "introduce_domain": 3,
    "release_domain": 1,
    "resume_domain": 1,
    "set_target": 2,
    "control": 3,
    "get_feature": 1,
    "set_feature": 2,
    "get_quota": 2,
    "set_quota": 3,
    "transaction_start": 0,
    "transaction_end": 1,
    "transaction": 0,
    "run_transaction": 2,
    "watch": 2,
    "unwatch": 2,
}
MONITOR_METHODS = {"watch": 3, "unwatch": 2, "check": 0, "fileno": 0, "reset_watches": 0}
XS_METHODS = {
    "read": 2,
    "write": 3,
    "ls": 2,
    "mkdir": 2,
    "rm": 2,
    "get_permissions": 2,
    "set_permissions": 3,
    "watch": 2,
    "unwatch": 2,
    "check_watch": 0,
    "transaction_start": 0,
    "transaction_end": 2,
    "introduce_domain": 3,
    "set_target": 2,
    "release_domain": 1,
    "resume_domain": 1,
    "get_domain_path": 1,
    "fileno": 0,
}


#: The C extension parses arguments by PyArg_ParseTuple(), which raises these.
DOCUMENTED = {
    Client: (PyXSError, TypeError),
    pyxs.Monitor: (PyXSError, TypeError),
    pyxs.xs: (pyxs.Error, TypeError, ValueError, OverflowError),
}


def public_methods(kind):
    return {
        name
        for name in vars(kind)
        if callable(getattr(kind, name, None))  # the names of 0.4 raise AttributeError
        and (not name.startswith("_") or name in ("__getitem__", "__setitem__", "__delitem__"))
    }


def test_every_public_method_is_tried():
    assert public_methods(Client) - set(CLIENT_METHODS) == {"close", "monitor", "wait", "wait_for"}
    assert public_methods(pyxs.Monitor) - set(MONITOR_METHODS) == {"close", "wait"}
    assert public_methods(pyxs.xs) - set(XS_METHODS) == {"close", "read_watch"}


@pytest.mark.parametrize("daemon", ["memory", "c"], indirect=True)
def test_no_object_as_an_argument_harms_a_daemon(daemon, rng, monkeypatch):
    monkeypatch.setenv("XENSTORED_PATH", daemon.path)
    outside = Client(daemon.path, socket_timeout=PATIENCE)
    client = Client(daemon.path, socket_timeout=PATIENCE)
    monitor = client.monitor()
    monitor.watch("/", "all")  # the worst defects of the C daemon show only while a watch is set
    handle = pyxs.xs()
    targets = [(client, CLIENT_METHODS), (monitor, MONITOR_METHODS), (handle, XS_METHODS)]
    for number in range(scaled(3000, 100000)):
        target, methods = rng.choice(targets)
        name = rng.choice(list(methods))
        arguments = [rng.choice(OBJECTS) for _ in range(rng.randint(0, methods[name]))]
        if name == "execute_command" and arguments:
            arguments[0] = rng.randrange(28)
        said = "{}.{}{!r:.300}".format(type(target).__name__, name, tuple(arguments))
        try:
            result = getattr(target, name)(*arguments)
            if name == "walk":
                list(result)
            if isinstance(result, Client):
                result.close()
        except ConnectionError as failure:
            raise AssertionError("{} lost its connection".format(said)) from failure
        except DOCUMENTED[type(target)]:
            pass
        except Exception as failure:
            raise AssertionError("{} raised something undocumented".format(said)) from failure
        if rng.random() < 0.02:
            client.transaction_end(commit=False)
            while monitor.check() is not None:
                pass
        if number % 50 == 0:
            outside.write("/alive", number)
            assert outside.read("/alive") == str(number), said
    handle.close()
    monitor.close()
    client.close()
    outside.close()
    assert daemon.alive()


def test_no_object_makes_an_invalid_packet(rng):
    for _ in range(scaled(5000, 100000)):
        arguments = [rng.choice(OBJECTS) for _ in range(rng.randint(0, 5))]
        try:
            data = bytes(Packet(*arguments))
        except (PyXSError, TypeError):
            continue
        (packet,) = Framer().feed(data)
        assert bytes(packet) == data
