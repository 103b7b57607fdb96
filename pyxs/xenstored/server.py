"""The in-memory daemon: one thread serves a :class:`~.store.Store` on Unix sockets."""

import atexit
import contextlib
import errno
import logging
import os
import selectors
import shutil
import socket
import threading
from collections import deque
from concurrent.futures import Future
from typing import (
    Any,
    Callable,
    Deque,
    Dict,
    Iterable,
    List,
    Optional,
    Tuple,
)

from .._records import Record
from .._wire.framing import Framer
from .._wire.packets import PAYLOAD_MAX, Op
from .._wire.refusals import refusal
from ..exceptions import ConnectionError, UnexpectedPacket
from ._errors import Refused
from ._permissions import DOM0
from ._session import Session
from ._snapshot import fill
from ._sockets import listen, private_directory, remove_own, shut_down
from ._versions import Version
from .requests import answer
from .store import Store

__all__ = ["Server"]

_CHUNK = 1 << 16  # bytes received or sent at once
#: Errors of accept() while the client goes on waiting.
_SHORT_OF_DESCRIPTORS = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
_RETRY_SECONDS = 0.1
_BACKLOG_MAX = 1 << 20  # if a client has more bytes to read, its requests have to wait

_log = logging.getLogger(__name__)


class _Client:
    """One client's connection."""

    __slots__ = ("events", "framer", "session", "sock", "unsent")

    def __init__(self, sock: socket.socket, session: Session) -> None:
        self.sock = sock
        self.session = session
        self.framer = Framer(limit=PAYLOAD_MAX)
        self.unsent = b""  # output of the session that the socket has not taken yet
        self.events = selectors.EVENT_READ  # the events registered with the selector


class Server:
    """The store, the sockets and the thread of a running daemon.

    Other threads may call :meth:`call` and :meth:`stop` only.
    """

    def __init__(
        self, path: "Optional[str]", records: "Iterable[Record]", version: Version
    ) -> None:
        self._pid = os.getpid()
        self._store = Store(version)
        self._clients: Dict[Session, _Client] = {}
        self._listeners: Dict[str, Tuple[socket.socket, os.stat_result]] = {}
        self._directory: Optional[str] = None
        self._calls: Deque[Tuple[Callable[[], Any], Future[Any]]] = deque()
        self._lock = threading.Lock()  # guards _calls, _stopping and _ended
        self._stopping = False
        self._ended = False
        #: Listeners that select() would find ready until this process has a descriptor left.
        self._paused: List[selectors.SelectorKey] = []
        self._selector = selectors.DefaultSelector()
        # Other threads write to one end; the selector of the daemon's thread reads the other.
        self._waker, self._woken = socket.socketpair()
        self._waker.setblocking(False)
        self._woken.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ, self._run_calls)
        try:
            fill(self._store, records)
            self.path = path or self._private("socket")
            self._listen(self.path, DOM0)
        except BaseException:
            self._clean_up()
            raise
        self._thread = threading.Thread(target=self._run, name="pyxs-xenstored", daemon=True)
        self._thread.start()
        atexit.register(self.stop)

    # -- called by other threads -------------------------------------------------------

    def call(self, func: "Callable[[], Any]") -> Any:
        """Run *func* in the daemon's thread and return its result.

        :raises ConnectionError: the daemon is stopped, or runs in another process.
        """
        if os.getpid() != self._pid:
            raise ConnectionError(
                "{}: the daemon runs in process {}, not in this one".format(self.path, self._pid)
            )
        future: Future[Any] = Future()
        with self._lock:
            if self._ended:
                raise ConnectionError("{}: the daemon is stopped".format(self.path))
            self._calls.append((func, future))
            self._wake()
        return future.result()

    def stop(self) -> None:
        """End the thread, which ends all connections."""
        atexit.unregister(self.stop)
        if os.getpid() != self._pid:
            # A fork copies the descriptors but not the thread. The daemon's process shares
            # them, so they are only closed, neither shut down nor unregistered.
            self._close_descriptors()
            return
        with self._lock:
            self._stopping = True
            if not self._ended:
                self._wake()
        self._thread.join()

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):  # full of earlier wake-ups
            self._waker.send(b"\0")

    # -- run by the daemon's thread ----------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._stopping:
                paused, self._paused = self._paused, []
                retry = _RETRY_SECONDS if paused else None
                for key, events in self._selector.select(retry):
                    key.data(events)
                for key in paused:
                    self._selector.register(key.fileobj, key.events, key.data)
        finally:
            self._clean_up()

    def _run_calls(self, _events: int) -> None:
        self._woken.recv(_CHUNK)
        while self._calls:
            func, future = self._calls.popleft()
            try:
                future.set_result(func())
            except Exception as error:
                future.set_exception(error)
        self._flush_all()

    def socket_for(self, domid: int, given: "Optional[str]") -> str:
        """Introduce a domain, unless it is introduced, and return the path of its socket."""
        self.introduce(domid)
        path = given or self._private("domain-{}".format(domid))
        if given is not None or path not in self._listeners:
            self._listen(path, domid)
        return path

    def introduce(self, domid: int) -> None:
        """Introduce a domain, unless it is introduced."""
        if not self._store.domains.is_introduced(domid):
            self._store.introduce(domid)

    def release(self, domid: int) -> None:
        """Release a domain."""
        try:
            self._store.release(domid)
        except Refused as refused:
            raise refusal(Op.RELEASE, b"", refused.name.encode("ascii")) from None

    def _private(self, name: str) -> str:
        if self._directory is None:
            self._directory = private_directory()
        return os.path.join(self._directory, name)

    def _listen(self, path: str, domid: int) -> None:
        self._listeners[path] = listener, _ = listen(path)
        listener.setblocking(False)
        self._selector.register(
            listener, selectors.EVENT_READ, lambda _events: self._accept(listener, domid)
        )

    def _accept(self, listener: socket.socket, domid: int) -> None:
        try:
            sock, _address = listener.accept()
        except OSError as error:  # perhaps the client has disconnected
            if error.errno in _SHORT_OF_DESCRIPTORS:
                self._paused.append(self._selector.unregister(listener))
            return
        if not self._store.domains.is_introduced(domid):
            sock.close()
            return
        sock.setblocking(False)
        client = _Client(sock, self._store.connect(domid))
        self._clients[client.session] = client
        self._selector.register(sock, client.events, lambda events: self._serve(client, events))

    def _serve(self, client: _Client, events: int) -> None:
        try:
            if events & selectors.EVENT_READ:
                self._receive(client)
            self._flush(client)
        except (EOFError, OSError, UnexpectedPacket):
            self._drop(client)
        except Exception:
            # This is a bug of pyxs. Only this client loses its connection.
            _log.exception("a bug of pyxs: a request could not be answered")
            self._drop(client)
        self._flush_all()

    def _receive(self, client: _Client) -> None:
        try:
            data = client.sock.recv(_CHUNK)
        except BlockingIOError:
            return
        if not data:
            raise EOFError  # the client has disconnected
        for packet in client.framer.feed(data):
            answer(self._store, client.session, packet)
        if client.framer.refused is not None:
            raise client.framer.refused

    def _flush_all(self) -> None:
        ready = self._store.ready
        while ready:
            session, _ = ready.popitem()
            client = self._clients.get(session)
            if client is None:
                continue
            try:
                self._flush(client)
            except OSError:
                self._drop(client)
            else:
                if session.ended:
                    self._drop(client)

    def _flush(self, client: _Client) -> None:
        """Send as much output as the client's socket takes without blocking."""
        while client.unsent or client.session.has_output:
            client.unsent = client.unsent or client.session.take_output(_CHUNK)
            try:
                sent = client.sock.send(client.unsent)
            except BlockingIOError:
                break
            client.unsent = client.unsent[sent:]
        events = selectors.EVENT_READ
        if client.unsent:
            events = selectors.EVENT_WRITE
            if client.session.backlog < _BACKLOG_MAX:
                events |= selectors.EVENT_READ
        if events != client.events:
            client.events = events
            key = self._selector.get_key(client.sock)
            self._selector.modify(client.sock, events, key.data)

    def _drop(self, client: _Client) -> None:
        if self._clients.pop(client.session, None) is None:
            return
        self._store.disconnect(client.session)
        self._selector.unregister(client.sock)
        shut_down(client.sock)

    def _clean_up(self) -> None:
        with self._lock:
            self._ended = True
        for _func, future in self._calls:
            future.set_exception(ConnectionError("{}: the daemon is stopped".format(self.path)))
        for client in list(self._clients.values()):
            self._drop(client)
        for path, (listener, status) in self._listeners.items():
            remove_own(path, status)
            shut_down(listener)
        self._close_descriptors()
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)

    def _close_descriptors(self) -> None:
        for client in self._clients.values():
            client.sock.close()
        for listener, _status in self._listeners.values():
            listener.close()
        self._selector.close()
        self._waker.close()
        self._woken.close()
