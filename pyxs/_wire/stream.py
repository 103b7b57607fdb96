"""The receiving side of a descriptor: bytes in, packets out."""

import errno
import select
import socket
import time
from itertools import islice, repeat
from typing import Callable, Iterator, List, Optional

from .framing import Framer
from .packets import Packet

_RECV_SIZE = 1 << 16


class Stream:
    """Reads from a descriptor until a packet is whole.

    :param fd: the descriptor.
    :param read: reads up to so many bytes from it.
    :param patience: seconds for the rest of a message begun, or ``None``.
    :param woken: a socket; when it becomes readable a wait ends.
    """

    def __init__(
        self,
        fd: int,
        read: "Callable[[int], bytes]",
        patience: "Optional[float]",
        woken: "Optional[socket.socket]" = None,
    ) -> None:
        self._fd = fd
        self._reads: Iterator[bytes] = map(read, repeat(_RECV_SIZE))
        self._patience = patience
        #: Whether a read may wait by itself: nothing but bytes is to end the wait.
        self._blocks = patience is None and woken is None
        self._poll = select.poll()
        self._poll.register(fd, select.POLLIN)
        if woken is not None:
            self._poll.register(woken, select.POLLIN)
        self._framer = Framer()
        self._pieces: List[bytes] = []  # read, not yet fed
        self._kept: List[Packet] = []  # whole, not yet returned
        self._rest_due: Optional[float] = None  # when the message begun must be whole
        self.interruptible = False

    def recv(self, timeout: "Optional[float]") -> "Optional[Packet]":
        packets = self.recv_many(timeout)
        if not packets:
            return None
        self._kept = packets[1:]
        return packets[0]

    def recv_many(self, timeout: "Optional[float]") -> "List[Packet]":
        if self._kept:
            self.interruptible = False
            packets, self._kept = self._kept, []
            return packets
        framer, pieces = self._framer, self._pieces
        if framer.refused is not None:
            raise framer.refused
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            if not pieces:
                self.interruptible = True
                if (deadline is not None or not self._blocks) and not self._wait(deadline):
                    return []
                # One call in C reads and keeps: a signal handler that raises cannot
                # come between the two and lose bytes.
                pieces.extend(islice(self._reads, 1))
            self.interruptible = False
            piece = pieces.pop()
            if not piece:
                raise EOFError
            packets = framer.feed(piece)
            if packets:
                self._rest_due = None
                return packets

    @property
    def begun(self) -> bool:
        """Whether more is here than was returned: a part of a message, or whole ones."""
        return bool(self._framer.rest or self._kept)

    def _wait(self, deadline: "Optional[float]") -> bool:
        if self._rest_due is None and self._patience is not None and self._framer.rest:
            self._rest_due = time.monotonic() + self._patience
        due = self._rest_due
        if deadline is not None and (due is None or deadline < due):
            due = deadline
        timeout = None if due is None else max(0.0, due - time.monotonic())
        # poll() counts in milliseconds: rounded up, so as not to spin at the end.
        ready = self._poll.poll(None if timeout is None else int(timeout * 1000 + 0.999))
        if any(fd == self._fd for fd, _ in ready):
            return True
        if not ready and due is self._rest_due and due is not None:
            raise TimeoutError(errno.ETIMEDOUT, "the rest of a message did not come in time")
        return False
