"""A descriptor for select loops."""

import selectors

from .descriptor import Descriptor
from .wakeup import Wakeup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Optional


class Readiness:
    """A descriptor for select loops: readable when a channel's is, or when there is an event.

    It is an epoll or kqueue descriptor over the channel's and a pair of sockets of its own, and
    stays the same while channels come and go.
    """

    def __init__(self) -> None:
        self._selector = Descriptor(selectors.DefaultSelector())
        self._flag = Wakeup()
        self._selector.file.register(self._flag.fileno(), selectors.EVENT_READ)

    def fileno(self) -> int:
        """Return the descriptor to select on."""
        number: int = self._selector.file.fileno()
        return number

    def follow(self, fd: "Optional[int]") -> None:
        """Be readable when *fd* is; it takes the place of the last one."""
        # That is still open: a copy in a forked child would keep a closed one registered.
        selector = self._selector.file
        for key in list(selector.get_map().values()):
            if key.fd not in (fd, self._flag.fileno()):
                selector.unregister(key.fd)
        if fd is not None and fd not in selector.get_map():
            selector.register(fd, selectors.EVENT_READ)

    def show(self, is_ready: "Callable[[], bool]") -> None:
        """Be readable if ``is_ready()``, without any bytes from the daemon."""
        shown = None
        while shown is not is_ready():  # another thread may come in between
            shown = is_ready()
            if shown:
                self._flag.set()
            else:
                self._flag.clear()
