"""Waiting for a descriptor: in ``poll()``, and in the select loop of a program."""

import select
import selectors
import socket

from .deadlines import milliseconds
from .descriptor import Descriptor
from .failures import raised_by_handler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Optional


class Wakeup:
    """A descriptor that is readable after :meth:`set`: one of a pair of sockets."""

    __slots__ = ("_reader", "_writer")

    def __init__(self) -> None:
        reader, writer = socket.socketpair()
        reader.setblocking(False)
        writer.setblocking(False)
        self._reader, self._writer = Descriptor(reader), Descriptor(writer)

    def fileno(self) -> int:
        """Return the descriptor."""
        number: int = self._reader.file.fileno()
        return number

    def set(self) -> None:
        """Make it readable."""
        try:
            self._writer.file.send(b"!")
        except BlockingIOError:
            if raised_by_handler():
                raise  # otherwise it is full: nobody has cleared it for long

    def clear(self) -> None:
        """Make it readable no more."""
        try:
            while self._reader.file.recv(4096):
                pass
        except BlockingIOError:
            if raised_by_handler():
                raise


class Poller:
    """Waits in poll() for a descriptor."""

    __slots__ = ("_poll", "fd", "wakeup")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.wakeup: Optional[Wakeup] = None  #: ends a wait
        self._poll = select.poll()
        self._poll.register(fd, select.POLLIN)

    def make_wakeup(self) -> Wakeup:
        """Return what ends a wait. Look for work again after the first time."""
        wakeup = self.wakeup
        if wakeup is None:
            wakeup = Wakeup()
            self._poll.register(wakeup.fileno(), select.POLLIN)
            self.wakeup = wakeup
        return wakeup

    def wait(self, due: "Optional[float]") -> bool:
        """Wait; return ``False`` if the time has passed or something has ended the wait."""
        readable = False
        for fd, _ in self._poll.poll(milliseconds(due)):
            if fd == self.fd:
                readable = True
            elif self.wakeup is not None:
                self.wakeup.clear()
        return readable


class Readiness:
    """A descriptor for select loops: readable when a channel's is, or when there is an event.

    It is an epoll or kqueue descriptor over the channel's and one of its own, and stays the same
    while channels come and go.
    """

    def __init__(self) -> None:
        self._flag = Wakeup()
        self._selector = Descriptor(selectors.DefaultSelector())
        self._selector.file.register(self._flag.fileno(), selectors.EVENT_READ)

    def fileno(self) -> int:
        """Return the descriptor."""
        number: int = self._selector.file.fileno()
        return number

    def follow(self, channel: "Any") -> None:
        """Be readable when the descriptor of a :class:`Channel` is, until that is closed."""
        self.unfollow()
        channel.before_close = self.unfollow
        if channel.is_usable():
            self._selector.file.register(channel.poller.fd, selectors.EVENT_READ)

    def unfollow(self) -> None:
        """Let the channel's descriptor go before it is closed.

        A copy of it in a forked child would keep it registered.
        """
        selector = self._selector.file
        for key in list(selector.get_map().values()):
            if key.fd != self._flag.fileno():
                selector.unregister(key.fd)

    def show(self, is_ready: "Callable[[], bool]") -> None:
        """Be readable if ``is_ready()``; look again, for another thread may come in between."""
        shown = None
        while shown is not is_ready():
            shown = is_ready()
            (self._flag.set if shown else self._flag.clear)()
