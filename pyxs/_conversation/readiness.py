"""A descriptor for select loops."""

import os
import selectors
import socket

from ..helpers import raised_here

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Dict, Optional, Tuple

    _State = Tuple[bool, Optional[int]]

_CLOSED = (False, -1)


class Readiness:
    """A descriptor for select loops: readable when another one is, or when :meth:`show` says so.

    It is an epoll or kqueue descriptor over the other one and a socket pair of its own,
    and stays the same while connections come and go.
    """

    _closed = True  # until __init__ has finished

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._selector = selectors.DefaultSelector()
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._selector.register(self._reader, selectors.EVENT_READ)
        self._shown: Optional[_State] = (False, None)  # None: not known
        self._owner: Dict[str, object] = {}  # the call that shows the state, as in Roles
        self._closed = False

    def __del__(self) -> None:
        if not self._closed:
            self.close()  # the selector is part of a reference cycle

    def usable(self) -> bool:
        """Return whether it is open and of this process: a child would change its parent's."""
        return not self._closed and self._pid == os.getpid()

    def fileno(self) -> int:
        """Return the descriptor to select on."""
        return self._selector.fileno()

    def show(self, state: "Callable[[], _State]") -> None:
        """Be readable if *state* says so, or if the descriptor that it names is.

        One thread does it for all: it looks once more when it is done.

        :param state: returns whether to be readable, and a descriptor to follow.
        """
        me = object()
        try:
            while self._wanted(state) != self._shown and self._owner.setdefault("", me) is me:
                self._become(self._wanted(state))
                del self._owner[""]
        except BaseException:
            if self._owner.get("") is me:
                del self._owner[""]
            raise

    def close(self) -> None:
        """Close the descriptors that this object has made."""
        self._closed = True
        self.show(lambda: _CLOSED)

    def _wanted(self, state: "Callable[[], _State]") -> "_State":
        return _CLOSED if self._closed else state()

    def _become(self, state: "_State") -> None:
        sure = self._shown is not None
        self._shown = None  # unknown, if an exception interrupts this
        if state == _CLOSED:
            self._selector.close()
            self._reader.close()
            self._writer.close()
        else:
            ready, fd = state
            self._follow(fd, sure)
            try:
                if ready:
                    self._writer.send(b"!")
                else:
                    self._reader.recv(4096)
            except BlockingIOError as exc:  # it is full, or empty, already
                if not raised_here(exc):
                    raise
        self._shown = state

    def _follow(self, fd: "Optional[int]", sure: bool) -> None:
        # This unregisters a descriptor before it is closed: a copy of it in a forked child
        # would keep it registered.
        selector = self._selector
        for key in list(selector.get_map().values()):
            if key.fileobj is not self._reader and not (sure and key.fd == fd):
                selector.unregister(key.fd)
        if fd is not None and fd not in selector.get_map():
            selector.register(fd, selectors.EVENT_READ)
