"""Watch events: which are wanted, which wait to be taken, and a descriptor to select on."""

import collections
import os
import selectors
import socket
from typing import Deque, Dict, List, Optional, Tuple

RawEvent = Tuple[bytes, bytes]  # path and token, as on the wire


class EventQueue:
    """The live watches of one conversation, and the events that came for them.

    It has no lock of its own: its router's lock guards it.
    """

    def __init__(self) -> None:
        self._readiness: Optional[Readiness] = None
        self._watches: Dict[bytes, List[bytes]] = {}  # by token: the watched paths
        self._queue: Deque[RawEvent] = collections.deque()
        self._lost = False

    def __len__(self) -> int:
        return len(self._queue)

    def watches(self) -> "List[RawEvent]":
        """Return the live watches, each a path and a token."""
        return [(wpath, token) for token, wpaths in self._watches.items() for wpath in wpaths]

    def add(self, wpath: bytes, token: bytes) -> None:
        """Let the events of a watch pass from now on."""
        wpaths = self._watches.setdefault(token, [])
        if wpath not in wpaths:
            wpaths.append(wpath)

    def discard(self, wpath: bytes, token: bytes) -> None:
        """Let them pass no more, and drop those that only this watch let in."""
        wpaths = self._watches.get(token, [])
        if wpath in wpaths:
            wpaths.remove(wpath)
        if not wpaths:
            self._watches.pop(token, None)
        self._queue = collections.deque(event for event in self._queue if self._wanted(*event))
        self._signal()

    def push(self, payload: bytes) -> bool:
        """Take in a WATCH_EVENT; return whether it is one for a live watch.

        :raises ValueError: the payload is not a path and a token.
        """
        parts = payload.split(b"\0")
        if len(parts) != 3 or parts[2]:
            raise ValueError("not a path and a token")
        path, token, _ = parts
        if not self._wanted(path, token):
            return False
        self._queue.append((path, token))
        self._signal()
        return True

    def pop(self) -> "Optional[RawEvent]":
        """Take the oldest event, or ``None``."""
        event = self._queue.popleft() if self._queue else None
        self._signal()
        return event

    def attach(self, readiness: "Readiness", fd: "Optional[int]") -> None:
        """Keep the state of this queue, and of descriptor *fd*, shown there."""
        if self._readiness is readiness:
            return
        self._readiness = readiness
        readiness.follow(fd)
        self._signal()

    def lose(self) -> None:
        """Show that the conversation has ended; its descriptor is about to be closed."""
        self._lost = True
        if self._readiness is not None:
            self._readiness.follow(None)
            self._signal()

    def _wanted(self, path: bytes, token: bytes) -> bool:
        return any(_covers(wpath, path) for wpath in self._watches.get(token, ()))

    def _signal(self) -> None:
        if self._readiness is not None:
            self._readiness.show(bool(self._queue) or self._lost)


def _covers(wpath: bytes, path: bytes) -> bool:
    if path == wpath or wpath == b"/":
        return True
    if wpath.startswith(b"@"):  # @releaseDomain/<domid> may be reported without the domid
        return wpath.startswith(path)
    return path.startswith(wpath + b"/")


class Readiness:
    """A descriptor for select loops: readable when a descriptor is, or while told to be.

    It is an epoll or kqueue descriptor over the one followed and a socket pair of its own,
    and stays the same while connections come and go.
    """

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._selector = selectors.DefaultSelector()
        self._reader, self._writer = socket.socketpair()
        self._selector.register(self._reader, selectors.EVENT_READ)
        self._shown = False
        self._followed: Optional[int] = None

    def is_own(self) -> bool:
        """Whether it is of this process: a forked child would change its parent's."""
        return self._pid == os.getpid()

    def fileno(self) -> int:
        """Return the descriptor to select on."""
        return self._selector.fileno()

    def follow(self, fd: "Optional[int]") -> None:
        """Be readable when *fd* is; the one followed before is left.

        To be called before that one is closed: a copy of it in a forked child would
        keep it registered.
        """
        if self._followed is not None:
            self._selector.unregister(self._followed)
        if fd is not None:
            self._selector.register(fd, selectors.EVENT_READ)
        self._followed = fd

    def show(self, ready: bool) -> None:
        """Be readable, or not, whatever the descriptor followed is."""
        if ready == self._shown:
            return
        self._shown = ready
        if ready:
            self._writer.send(b"!")
        else:
            self._reader.recv(1)

    def close(self) -> None:
        """Close the descriptors that are this object's own."""
        self._selector.close()
        self._reader.close()
        self._writer.close()
