"""A user's code for ``mypy --strict``; tox -e lint checks it, and nothing runs it."""

import socket
from pathlib import PurePosixPath
from typing import Dict, List, Optional, Tuple, Union

from typing_extensions import assert_type

import pyxs
from pyxs import snapshot
from pyxs.client import Event
from pyxs.connection import (
    PacketConnection,
    SocketConnection,
    UnixSocketConnection,
    XenBusConnection,
)
from pyxs.xenstored import XenStored


def nodes(c: pyxs.Client) -> None:
    assert_type(c.read("/a"), str)
    assert_type(c.read(b"/a", default=None), Optional[str])
    assert_type(c["/a"], str)
    assert_type(c.get("/a"), Optional[str])
    assert_type(c.get(b"/a", 0), Union[str, int])
    assert_type(c.read_bytes("/a"), bytes)
    assert_type(c.ls("/a"), List[str])
    assert_type(c.ls("/a", default=None), Optional[List[str]])
    assert_type(c.exists("/a"), bool)
    assert_type("/a" in c, bool)
    assert_type(c.wait_for("/a", "4", timeout=1.5), str)
    assert_type(c.wait_for(b"/a", lambda value: int(value) > 3), str)
    assert_type(c.get_permissions("/a"), List[str])
    assert_type(c.read_many(["/a", "/b"]), Dict[str, str])
    assert_type(c.read_many(["/a"], default=0), Dict[str, Union[str, int]])
    assert_type(c.read_tree("/a"), Dict[str, str])
    assert_type(c.wait_for("/a", 4), str)
    c.write("/a", 1)
    c.write("/a", PurePosixPath("/b"), perms=["n0", b"r5"])
    c["/a"] = memoryview(b"1")
    c.set_permissions("/a", ("n0",))
    c.set_permissions("/a", c.get_permissions("/b"))
    c.set_permissions("/a", (letter + "0" for letter in "nr"))
    c.write_tree("/a", {"": 1, "b/c": "2"})
    c.write_tree("/a", c.read_tree("/b"))
    c.write_many({"/a": 1})
    c.write_many([("/a", b"1")])
    for visit in c.walk("/"):
        assert_type(visit, Tuple[str, str, List[str]])


def snapshots(c: pyxs.Client) -> None:
    saved = snapshot.take(c, "/vm")
    entry = saved["/vm"]
    if "perms" in entry:  # it is not if the node is unreadable
        assert_type(entry["perms"], List[str])
    snapshot.restore(c, saved)
    snapshot.restore(c, {"/a": 1, b"/b": {"value": "x"}})


def domains(c: pyxs.Client) -> None:
    assert_type(c.get_domain_path(1), str)
    assert_type(c.is_domain_introduced("1"), bool)
    assert_type(c.control("help"), str)
    assert_type(c.get_quota(), List[str])
    assert_type(c.get_quota("nodes"), int)
    assert_type(c.tx_id, int)
    assert_type(c.connection, PacketConnection)


def transactions(c: pyxs.Client) -> None:
    assert_type(c.run_transaction(lambda t: int(t["/a"])), int)
    with c.transaction() as t:
        assert_type(t, pyxs.Client)
    assert_type(c.transaction_start(), int)


def events(c: pyxs.Client) -> None:
    with c.monitor("/a", b"/b") as m:
        assert_type(m, pyxs.Monitor)
        assert_type(m.wait(timeout=1), Optional[Event])
        assert_type(m.check(), Optional[Event])
        assert_type(m.fileno(), int)
        for event in m:
            assert_type(event.path, str)
            assert_type(event.token, str)


def modules(c: pyxs.Client) -> None:
    assert_type(pyxs.snapshot.restore(c, pyxs.snapshot.take(c)), bool)
    pyxs.xenstored.XenStored().stop()


def connections() -> None:
    pyxs.Client(connection=UnixSocketConnection("/a", socket_timeout=1.5))
    pyxs.Client(connection=XenBusConnection())
    pyxs.Monitor(Tunnel(socket_timeout=3))
    with XenStored() as daemon:
        assert_type(daemon.path, str)
        assert_type(daemon.socket_for(1), str)
        assert_type(daemon.client(1), pyxs.Client)
        assert_type(daemon.socket_for("1"), str)
        daemon.introduce("1")
        daemon.release(b"1")


class Tunnel(SocketConnection):
    path = "tunnel"

    def open(self) -> socket.socket:
        return socket.create_connection(("localhost", 7007), self.socket_timeout)


def drop_in(x: pyxs.xs) -> None:
    assert_type(x.read("", "/a"), Optional[bytes])
    assert_type(x.ls("", "/a"), Optional[List[str]])
    assert_type(x.transaction_start(), str)
    assert_type(x.transaction_end("1"), bool)
    assert_type(x.get_permissions("", "/a"), List[Dict[str, int]])


def errors(error: pyxs.PyXSError, lost: pyxs.ConnectionError) -> None:
    assert_type(error.errno, Optional[int])
    assert_type(error.path, Optional[str])
    assert_type(error.why, Optional[str])
    assert_type(error.is_answer, bool)
    failure: OSError = lost
    missing: KeyError = pyxs.NodeNotFound(2, "No such file or directory")
    denied: PermissionError = pyxs.PermissionDenied(13, "Permission denied")
    wrong: ValueError = pyxs.InvalidPath("/a//b")
    print(failure, wrong, missing, denied, pyxs.Conflict, pyxs.QuotaExceeded)


def mistakes(c: pyxs.Client) -> None:
    c.read(1)  # type: ignore[call-overload]
    c.list("/a")  # type: ignore[attr-defined]
    c.wait_for("/a", ["4"])  # type: ignore[arg-type]
    c.write("/a", None)  # type: ignore[arg-type]
    c["/a"] = c.get("/b")  # type: ignore[assignment]
    c.write_many({"/a": None})  # type: ignore[dict-item]
    c.write("/a", ["1"])  # type: ignore[arg-type]
    c.write("/a", "1", "n0")  # type: ignore[arg-type]
    c.set_permissions("/a", "n0")  # type: ignore[arg-type]
    c.set_permissions("/a", [1])  # type: ignore[list-item]
    pyxs.Client(connection="/a")  # type: ignore[arg-type]
