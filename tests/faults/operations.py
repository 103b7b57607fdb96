"""The public operations to interrupt, and what must hold after each."""

import contextlib
import errno
import os
import select

import pytest

import pyxs
from common import PATIENCE
from pyxs import Client, Monitor, PyXSError

from .places import MANY_NAMES

#: More requests than a connection of these tests takes at a time.
MANY_PATHS = ["few/0", "few/1", "few/2", "few/3", "few/4", "key", "empty"]


def expect(found, wanted):
    assert found == wanted, "{!r}, not {!r}".format(found, wanted)


class ClientOperation:
    """An operation of a connected client."""

    def __init__(self, place, transport, operation):
        self.place = place
        self.client = Client(connection=place.connection(transport))
        self._operation = operation

    def before(self):
        expect(self.client.read("key"), "value")

    def run(self):
        self._operation(self.client)

    def after(self, told):
        client = self.client
        client.transaction_end(commit=False)
        expect(client.read("key"), "value")
        expect(client.read("few/1"), "1")
        expect(client.ls("few"), ["0", "1", "2", "3", "4"])
        client.write("key", "value")
        with client.transaction() as t:
            expect(t.read("key"), "value")

    def close(self):
        self.client.close()


class Connecting(ClientOperation):
    """An operation of a closed client, which connects."""

    def before(self):
        self.client.close()


class InTransaction(ClientOperation):
    """An operation of a client in a transaction."""

    def before(self):
        super().before()
        self.client.transaction_start()
        self.client.write("key", "value")


class Watching:
    """An operation of a monitor, with or without a watch that has an event."""

    def __init__(self, place, transport, operation, watched):
        self.place = place
        self.subject = self.make(place.connection(transport))
        self._operation = operation
        self._watched = watched

    make = Monitor

    def before(self):
        with contextlib.suppress(PyXSError):
            self.subject.unwatch("key", "token")
        if self._watched:
            self._watch()
            self.place.change()

    def _watch(self):
        self.subject.watch("key", "token")
        expect(self.subject.wait(timeout=PATIENCE), ("key", "token"))

    def run(self):
        self._operation(self.subject)

    def after(self, told):
        subject = self.subject
        with contextlib.suppress(PyXSError):  # ENOENT if the watch is lost
            subject.unwatch("key", "token")
        self._watch()
        self.place.change()
        expect(subject.wait(timeout=PATIENCE), ("key", "token"))
        subject.unwatch("key", "token")
        expect(subject.wait(timeout=0), None)
        for number in range(5):  # the events of another watch come in order
            subject.watch("few/{}".format(number), "few")
        for number in range(5):
            expect(subject.wait(timeout=PATIENCE), ("few/{}".format(number), "few"))
        for number in range(5):
            subject.unwatch("few/{}".format(number), "few")

    def close(self):
        self.subject.close()


class MonitorOperation(Watching):
    """An operation of a monitor whose ``fileno()`` is in use."""

    def after(self, told):
        super().after(told)
        subject = self.subject
        fileno = subject.fileno()
        expect(_readable(fileno), False)
        subject.watch("key", "other")
        expect(_readable(fileno, PATIENCE), True)
        expect(subject.check(), ("key", "other"))
        expect(_readable(fileno), False)
        expect(subject.fileno(), fileno)
        subject.unwatch("key", "other")


def _readable(fileno, seconds=0):
    return bool(select.select([fileno], [], [], seconds)[0])


class ClientWatch(Watching):
    """An operation of a client's own monitor."""

    @staticmethod
    def make(connection):
        return Client(connection=connection)

    def after(self, told):
        super().after(told)
        expect(self.subject.read("key"), "value")


class XsOperation:
    """An operation of an ``xs`` handle."""

    def __init__(self, place, transport, operation, state=""):
        self.place = place
        self._operation = operation
        self._state = state
        self._closes = False  # whether the operation closes the handle
        self.handle = self.transaction = None
        self._tokens = [object(), object()]
        self._open()

    def _open(self):
        self.handle = pyxs.xs()

    def before(self):
        if self._state == "anew":
            self._open()
        handle = self.handle
        if self._state == "transaction":
            self.transaction = handle.transaction_start()
            handle.write(self.transaction, "key", "value")
        elif self._state == "watched":
            handle.watch("key", self._tokens[0])
            expect(handle.read_watch(), ("key", self._tokens[0]))
            self.place.change()
        expect(handle.read("", "key"), b"value")

    def run(self):
        self._operation(self)

    def close_it(self):
        self._closes = True
        self.handle.close()

    def after(self, told):
        handle = self.handle
        try:
            self._use(handle)
        except pyxs.Error as exc:
            if not told:
                expect((self._closes, exc.args[0]), (True, errno.EINVAL))
            self._lost(handle, exc.args[0])
            self._open()
            self._use(self.handle)

    def _use(self, handle):
        expect(handle.read("", "key"), b"value")
        with contextlib.suppress(pyxs.Error):
            if self.transaction:
                handle.transaction_end(self.transaction, 1)
        self.transaction = None
        expect(handle.ls("", "few"), ["0", "1", "2", "3", "4"])
        for token in self._tokens:
            for _ in range(2):
                with contextlib.suppress(pyxs.Error):
                    handle.unwatch("key", token)
        token = self._tokens[1]
        handle.watch("few", token)
        expect(handle.read_watch(), ("few", token))
        handle.unwatch("few", token)
        fileno = handle.fileno()
        expect(handle.check_watch(), None)
        expect(_readable(fileno), False)
        t = handle.transaction_start()
        expect(handle.read(t, "key"), b"value")
        expect(handle.transaction_end(t), True)

    def _lost(self, handle, number):
        """Check that a lost or closed handle refuses every call."""
        assert number in (errno.EBADF, errno.EPIPE, errno.EINVAL), os.strerror(number)
        for _ in range(2):
            with pytest.raises(pyxs.Error, match="Bad file descriptor|Invalid argument"):
                handle.read("", "key")
        with contextlib.suppress(pyxs.Error):
            handle.close()

    def close(self):
        with contextlib.suppress(pyxs.Error):
            self.handle.close()


class XsOpening(XsOperation):
    """The constructor of ``xs``."""

    def before(self):
        self._closes = True
        self.close()


def _transaction_block(client):
    with client.transaction() as t:
        expect(t.read("key"), "value")
        t.write("key", "value")


def _client_block(client):
    with client:
        client.read("key")


def _committing_block(client):
    with client:
        client.transaction_start()
        client.write("key", "value")


def _walk(client, **options):
    expect(sum(1 for _node in client.walk("tree", **options)), 5)


CLIENT = {
    "read": lambda c: expect(c.read("key"), "value"),
    "read of a missing node": lambda c: expect(c.read("missing", None), None),
    "write": lambda c: c.write("key", "value"),
    "mkdir": lambda c: c.mkdir("empty"),
    "rm": lambda c: c.rm("missing"),
    "ls": lambda c: expect(len(c.ls("few")), 5),
    "ls in parts": lambda c: expect(len(c.ls("many")), len(MANY_NAMES)),
    "exists": lambda c: expect(c.exists("missing"), False),
    "wait_for": lambda c: expect(c.wait_for("key", "value", timeout=PATIENCE), "value"),
    "get_permissions": lambda c: expect(c.get_permissions("key"), ["n7"]),
    "set_permissions": lambda c: c.set_permissions("key", ["n7"]),
    "walk": _walk,
    "walk bottom up": lambda c: _walk(c, topdown=False),
    "read_many": lambda c: expect(len(c.read_many(MANY_PATHS[:3])), 3),
    "read_many of more than a window": lambda c: expect(len(c.read_many(MANY_PATHS)), 7),
    "write_many": lambda c: c.write_many({"key": "value", "empty": ""}),
    "transaction_start": lambda c: c.transaction_start(),
    "with transaction": _transaction_block,
    "run_transaction": lambda c: c.run_transaction(lambda t: t.write("key", "value")),
    "close": lambda c: c.close(),
}
CONNECTING = {
    "connect": lambda c: c.__enter__(),
    "the first read": lambda c: c.read("key"),
    "with client": _client_block,
    "with client in a transaction": _committing_block,
}
IN_TRANSACTION = {
    "commit": lambda c: c.transaction_end(),
    "abort": lambda c: c.transaction_end(commit=False),
    "close in a transaction": lambda c: c.close(),
}
UNWATCHED = {
    "watch": lambda m: m.watch("key", "token"),
    "wait with a time-out": lambda m: m.wait(timeout=0.001),
}
WATCHED = {
    "wait": lambda m: expect(m.wait(), ("key", "token")),
    "wait for an event in time": lambda m: expect(m.wait(timeout=PATIENCE), ("key", "token")),
    "unwatch": lambda m: m.unwatch("key", "token"),
}
MONITOR_UNWATCHED = {
    "check without an event": lambda m: expect(m.check(), None),
}
MONITOR_WATCHED = {
    "check": lambda m: m.check(),
    "next": lambda m: expect(next(m), ("key", "token")),
    "reset_watches": lambda m: m.reset_watches(),
    "fileno": lambda m: m.fileno(),
    "close": lambda m: m.close(),
}
XS = {
    "read": lambda x: expect(x.handle.read("", "key"), b"value"),
    "read of a missing node": lambda x: expect(x.handle.read("", "missing"), None),
    "write": lambda x: x.handle.write("", "key", "value"),
    "mkdir": lambda x: x.handle.mkdir("", "empty"),
    "rm": lambda x: x.handle.rm("", "missing"),
    "ls": lambda x: expect(len(x.handle.ls("", "few")), 5),
    "ls in parts": lambda x: expect(len(x.handle.ls("", "many")), len(MANY_NAMES)),
    "get_permissions": lambda x: x.handle.get_permissions("", "key"),
    "set_permissions": lambda x: x.handle.set_permissions("", "key", [{"dom": 7}]),
    "watch": lambda x: x.handle.watch("key", x._tokens[0]),
    "check_watch without an event": lambda x: expect(x.handle.check_watch(), None),
    "close": lambda x: x.close_it(),
}
#: An exception may take the number of a transaction with it, and a connection may have few.
XS_ANEW = {
    "transaction_start": lambda x: setattr(x, "transaction", x.handle.transaction_start()),
}
XS_WATCHED = {
    "unwatch": lambda x: x.handle.unwatch("key", x._tokens[0]),
    "read_watch": lambda x: expect(x.handle.read_watch(), ("key", x._tokens[0])),
    "check_watch": lambda x: x.handle.check_watch(),
    "fileno": lambda x: x.handle.fileno(),
    "close with a watch": lambda x: x.close_it(),
}
XS_IN_TRANSACTION = {
    "commit": lambda x: expect(x.handle.transaction_end(x.transaction), True),
    "abort": lambda x: expect(x.handle.transaction_end(x.transaction, 1), True),
}


#: Names of groups, the class and operations of each, and more arguments for the class.
GROUPS = [
    ("Client", ClientOperation, CLIENT, ()),
    ("Client", Connecting, CONNECTING, ()),
    ("Client", InTransaction, IN_TRANSACTION, ()),
    ("Client", ClientWatch, UNWATCHED, (False,)),
    ("Client", ClientWatch, WATCHED, (True,)),
    ("Monitor", MonitorOperation, dict(UNWATCHED, **MONITOR_UNWATCHED), (False,)),
    ("Monitor", MonitorOperation, dict(WATCHED, **MONITOR_WATCHED), (True,)),
    ("xs", XsOperation, XS, ()),
    ("xs", XsOperation, XS_ANEW, ("anew",)),
    ("xs", XsOperation, XS_WATCHED, ("watched",)),
    ("xs", XsOperation, XS_IN_TRANSACTION, ("transaction",)),
    ("xs", XsOpening, {"constructor": lambda x: x._open()}, ()),
]
