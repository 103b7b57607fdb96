"""Operations to interrupt while other threads use the same object."""

import contextlib
import sys
import threading
import time

import pyxs
from common import PATIENCE
from pyxs import ConnectionError, PyXSError

from .operations import CLIENT, ClientOperation, MonitorOperation, XsOperation, expect

_READERS = 2


class Bystander:
    """Runs a function in a thread; :meth:`finish` raises what the function raised."""

    def __init__(self, function):
        self._function = function
        self._failure = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        try:
            self._function()
        except BaseException as exc:
            self._failure = exc

    def until_blocked(self):
        """Wait until the thread stays at one instruction."""
        deadline = time.monotonic() + PATIENCE
        last = None
        while self._thread.is_alive():
            frame = sys._current_frames().get(self._thread.ident)
            here = frame and (frame.f_code, frame.f_lasti, _depth(frame))
            if here is not None and here == last:
                return
            last = here
            assert time.monotonic() < deadline, "it never waits"
            time.sleep(0.0005)

    def finish(self, nudge=None):
        """Wait until the thread ends, and call *nudge* repeatedly until then."""
        deadline = time.monotonic() + PATIENCE
        while self._thread.is_alive():
            if nudge is not None:
                nudge()
            self._thread.join(PATIENCE if nudge is None else 0.01)
            assert time.monotonic() < deadline, "another thread waits for ever"
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure


def _depth(frame):
    depth = 0
    while frame is not None:
        depth, frame = depth + 1, frame.f_back
    return depth


def unless_closed(call, *args):
    """Return what a call returns; repeat it once if the client was closed."""
    try:
        return call(*args)
    except ConnectionError as exc:
        if not str(exc).endswith(": closed"):
            raise
        return call(*args)


class BesideReaders(ClientOperation):
    """Two other threads wait for late replies."""

    def before(self):
        super().before()
        self._readers = [Bystander(self._read) for _ in range(_READERS)]
        deadline = time.monotonic() + PATIENCE
        while self.place.held() < _READERS:
            assert time.monotonic() < deadline, "the requests never came"

    def _read(self):
        expect(unless_closed(self.client.read, "slow"), "value")

    def after(self, told):
        super().after(told)
        self._finish()
        expect(self.client.read("key"), "value")
        self.client.close()  # the number of idle connections varies

    def _finish(self):
        while self._readers:
            self._readers.pop().finish(self.place.release)

    def close(self):
        self._finish()  # these threads would connect the client again
        super().close()


class BesideBusyReaders(ClientOperation):
    """Other threads read nodes all the time."""

    def before(self):
        self._stop = False
        super().before()
        self._readers = [Bystander(self._read) for _ in range(_READERS)]

    def _read(self):
        while not self._stop:
            expect(unless_closed(self.client.read, "few/1"), "1")

    def after(self, told):
        super().after(told)
        self._finish()
        self.client.close()  # the number of idle connections varies

    def _finish(self):
        self._stop = True
        while self._readers:
            self._readers.pop().finish()

    def close(self):
        self._finish()  # these threads would connect the client again
        super().close()


class BesideWait(MonitorOperation):
    """Another thread waits for an event."""

    def before(self):
        with contextlib.suppress(PyXSError):
            self.subject.unwatch("few/0", "token")
        self._watch()
        with contextlib.suppress(PyXSError):
            self.subject.unwatch("key", "token")
        self.subject.watch("key", "bystander")
        expect(self.subject.wait(timeout=PATIENCE), ("key", "bystander"))
        self._waiter = Bystander(self._wait)
        self._waiter.until_blocked()

    def _wait(self):
        with contextlib.suppress(ConnectionError):  # the watch ended with the connection
            event = self.subject.wait()
            assert event in (("key", "bystander"), ("few/0", "token")), event

    def after(self, told):
        with contextlib.suppress(PyXSError):  # EEXIST, unless all watches were reset
            self.subject.watch("key", "bystander")
        self._waiter.finish(self.place.change)
        self._waiter = None  # part of a cycle
        self.subject.close()
        super().after(told)


class BesideReadWatch(XsOperation):
    """Another thread waits in ``read_watch()``."""

    def before(self):
        super().before()
        handle = self.handle
        handle.watch("key", "bystander")
        expect(handle.read_watch(), ("key", "bystander"))
        self._waiter = Bystander(self._wait)
        self._waiter.until_blocked()

    def _wait(self):
        with contextlib.suppress(pyxs.Error):
            event = self.handle.read_watch()
            assert event in (("key", "bystander"), ("key", self._tokens[0])), event

    def after(self, told):
        with contextlib.suppress(pyxs.Error):
            self.handle.watch("key", "bystander")
        self._waiter.finish(self.place.change)
        self._waiter = None  # part of a cycle
        with contextlib.suppress(pyxs.Error):
            while self.handle.check_watch():
                pass
        for _ in range(2):
            with contextlib.suppress(pyxs.Error):
                self.handle.unwatch("key", "bystander")
        super().after(told)
        self.close()  # what read_watch() opens stays open until then
        self._open()


_CLIENT = {
    name: CLIENT[name]
    for name in ("read", "write", "ls", "read_many", "transaction_start", "close")
}
_MONITOR = {
    "watch": lambda m: m.watch("few/0", "token"),
    "unwatch": lambda m: m.unwatch("key", "bystander"),
    "check": lambda m: m.check(),
    "reset_watches": lambda m: m.reset_watches(),
    "fileno": lambda m: m.fileno(),
    "wait in time": lambda m: m.wait(timeout=0.001),
    "close": lambda m: m.close(),
}
_XS = {
    "read": lambda x: expect(x.handle.read("", "key"), b"value"),
    "watch": lambda x: x.handle.watch("key", x._tokens[0]),
    "unwatch": lambda x: x.handle.unwatch("key", "bystander"),
    "check_watch": lambda x: x.handle.check_watch(),
    "close": lambda x: x.close_it(),
}

GROUPS = [
    ("Client beside late readers", BesideReaders, _CLIENT, ()),
    ("Client beside busy readers", BesideBusyReaders, _CLIENT, ()),
    ("Monitor beside wait", BesideWait, _MONITOR, (False,)),
    ("xs beside read_watch", BesideReadWatch, _XS, ()),
]
