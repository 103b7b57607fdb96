"""Forwards connections on a socket of ours to the socket of a daemon, byte by byte."""

import contextlib
import functools
import os
import selectors
import shutil
import socket
import tempfile
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict

__all__ = ["Observer", "Relay"]

_CHUNK = 1 << 16  # bytes received at once
_PATH_MAX = 107  # bytes of a socket's path: sun_path of struct sockaddr_un on Linux, without NUL


class Observer:
    """Is told what a relay forwards. Times are those of :func:`time.monotonic`."""

    def opened(self, number: int) -> None:
        """A client has connected, and this is the number of its connection."""

    def refused(self, number: int, error: OSError) -> None:
        """The daemon could not be reached for a client that has connected."""

    def sent(self, number: int, data: bytes, now: float) -> None:
        """The client has sent bytes."""

    def received(self, number: int, data: bytes, now: float) -> None:
        """The daemon has sent bytes."""

    def closed(self, number: int, now: float) -> None:
        """The connection has ended."""


class Relay:
    """A socket that only this user can connect to, and its connections.

    One thread calls :meth:`run`. Other threads and signal handlers may call :meth:`finish` and
    :meth:`stop`.

    :param daemon_path: the socket of the daemon.
    :raises OSError: the socket cannot be created.
    """

    def __init__(self, daemon_path: str, observer: Observer) -> None:
        self._daemon_path = daemon_path
        self._observer = observer
        self._links: Dict[int, _Link] = {}
        self._number = 0
        self._accepting = True
        self._finishing = False
        self._stopped = False
        self._selector = selectors.DefaultSelector()
        self._waker, self._woken = socket.socketpair()
        self._waker.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ, self._wake_up)
        self._directory = _private_directory()
        self.path = os.path.join(self._directory, "socket")  #: the path of the socket
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._listener.bind(self.path)
            self._listener.listen(128)
        except OSError:
            self.close()
            raise
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)

    def __enter__(self) -> "Relay":
        """Return the relay; leaving the block closes it."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Call :meth:`close`."""
        self.close()

    def close(self) -> None:
        """End all connections and remove the socket."""
        for link in list(self._links.values()):
            self._drop(link)
        for sock in (self._listener, self._waker, self._woken):
            sock.close()
        self._selector.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    def finish(self) -> None:
        """Let :meth:`run` return when there is no connection."""
        self._finishing = True
        self._wake()

    def stop(self) -> None:
        """Let :meth:`run` return now."""
        self._stopped = True
        self._wake()

    def run(self) -> None:
        """Forward until :meth:`finish` or :meth:`stop` ends it."""
        while not self._stopped:
            if self._finishing and not self._links:
                self._accept()  # what connected just before
                if not self._links:
                    return
            for key, events in self._selector.select():
                key.data(events)

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):  # full of earlier wake-ups
            self._waker.send(b"\0")

    def _wake_up(self, _events: int) -> None:
        self._woken.recv(_CHUNK)

    def _accept(self, _events: int = 0) -> None:
        try:
            client = self._listener.accept()[0]
        except BlockingIOError:
            return
        except OSError:
            # This process has no descriptor left. The next client waits until a connection ends.
            if self._links:
                self._selector.unregister(self._listener)
                self._accepting = False
            return
        self._number += 1
        try:
            daemon = _connected(self._daemon_path)
        except OSError as exc:
            client.close()
            self._observer.refused(self._number, exc)
            return
        link = _Link(self._number, client, daemon)
        self._links[link.number] = link
        self._observer.opened(link.number)
        self._update(link)

    def _serve(self, link: "_Link", way: "_Way", back: "_Way", events: int) -> None:
        """Serve a socket, the source of *way* and the sink of *back*."""
        if events & selectors.EVENT_WRITE:
            back.flush()
        if events & selectors.EVENT_READ:
            data = way.receive()
            now = time.monotonic()
            way.flush()
            if data and way is link.to_daemon:
                self._observer.sent(link.number, data, now)
            elif data:
                self._observer.received(link.number, data, now)
        if link.to_daemon.open or link.to_client.open:
            self._update(link)
        else:
            self._drop(link)

    def _update(self, link: "_Link") -> None:
        """Let the selector wait for what the connection needs next."""
        for way, back in ((link.to_daemon, link.to_client), (link.to_client, link.to_daemon)):
            events = selectors.EVENT_READ if way.open and not way.unsent else 0
            if back.unsent:
                events |= selectors.EVENT_WRITE
            if events == way.events:
                continue
            if way.events:
                self._selector.unregister(way.source)
            if events:
                self._selector.register(
                    way.source, events, functools.partial(self._serve, link, way, back)
                )
            way.events = events

    def _drop(self, link: "_Link") -> None:
        del self._links[link.number]
        for way in (link.to_daemon, link.to_client):
            if way.events:
                self._selector.unregister(way.source)
            way.source.close()
        self._observer.closed(link.number, time.monotonic())
        if not self._accepting:
            self._accepting = True
            self._selector.register(self._listener, selectors.EVENT_READ, self._accept)


class _Link:
    """A client's connection and the connection to the daemon that is made for it."""

    def __init__(self, number: int, client: socket.socket, daemon: socket.socket) -> None:
        self.number = number
        self.to_daemon = _Way(client, daemon)
        self.to_client = _Way(daemon, client)


class _Way:
    """One direction of a connection."""

    def __init__(self, source: socket.socket, sink: socket.socket) -> None:
        source.setblocking(False)
        self.source = source
        self.open = True
        self.unsent = b""  # what the sink has not taken yet; the source is not read meanwhile
        self.events = 0  # those of the source that are registered with the selector
        self._sink = sink

    def receive(self) -> bytes:
        """Receive from the source; the bytes are then in :attr:`unsent`."""
        try:
            self.unsent = self.source.recv(_CHUNK)
        except BlockingIOError:
            return b""
        except OSError:
            self.unsent = b""
        if not self.unsent:
            self._end()
        return self.unsent

    def flush(self) -> None:
        """Send as much as the sink takes without blocking."""
        if not self.unsent:
            return
        try:
            sent = self._sink.send(self.unsent)
        except BlockingIOError:
            return
        except OSError:
            self._end()
            return
        self.unsent = self.unsent[sent:]

    def _end(self) -> None:
        """End this direction alone; what the other end has still sent is forwarded."""
        self.open = False
        self.unsent = b""
        with contextlib.suppress(OSError):  # the other end has closed it
            self._sink.shutdown(socket.SHUT_WR)
        with contextlib.suppress(OSError):
            self.source.shutdown(socket.SHUT_RD)


def _connected(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.connect(path)
    except OSError:
        sock.close()
        raise
    return sock


def _private_directory() -> str:
    """Make a directory that only this user can enter, with a path that a socket's path can hold."""
    directory = tempfile.mkdtemp(prefix="pyxs-")
    if len(os.fsencode(directory)) + len("/socket") <= _PATH_MAX:
        return directory
    os.rmdir(directory)
    return tempfile.mkdtemp(prefix="pyxs-", dir="/tmp")
