"""The receiving side of a descriptor: bytes in, packets out."""

import contextlib
import errno
import itertools
import select
import socket
import time
from typing import Callable, Iterator, List, Optional

from ._internal import Framer, Packet
from .exceptions import UnexpectedPacket

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
        read: Callable[[int], bytes],
        patience: Optional[float],
        woken: Optional[socket.socket] = None,
    ) -> None:
        self._fd = fd
        self._reads: Iterator[bytes] = map(read, itertools.repeat(_RECV_SIZE))
        self._patience = patience
        #: Whether a read may wait by itself: nothing but bytes is to end the wait.
        self._blocks = patience is None and woken is None
        self._poll = select.poll()
        self._poll.register(fd, select.POLLIN)
        if woken is not None:
            self._poll.register(woken, select.POLLIN)
        self.framer = Framer()
        self._pieces: List[bytes] = []
        self._rest_due: Optional[float] = None  # when the message begun must be whole
        self.interruptible = False

    def recv(self, timeout: Optional[float]) -> Optional[Packet]:
        self.interruptible = False
        framer, pieces = self.framer, self._pieces
        packet = framer.take() if framer.begun else None
        if packet is not None:
            return packet
        deadline = None if timeout is None else time.monotonic() + timeout
        while packet is None:
            if not pieces and not self._fill(deadline):
                return None
            piece = pieces.pop()
            if not piece:
                raise EOFError
            framer.feed(piece)
            packet = framer.take()
        self._rest_due = None
        return packet

    def recv_many(self, timeout: Optional[float]) -> List[Packet]:
        packets = []
        packet = self.recv(timeout)
        # What came before bad bytes is good; the next call will meet those again.
        with contextlib.suppress(UnexpectedPacket):
            while packet is not None:
                packets.append(packet)
                packet = self.framer.take() if self.framer.begun else None
        return packets

    def _fill(self, deadline: Optional[float]) -> bool:
        """Wait for bytes and keep them in _pieces; False when there are none to be had."""
        self.interruptible = True
        readable = (self._blocks and deadline is None) or self._wait(deadline)
        if readable:
            # One call in C reads and keeps: a signal handler that raises cannot
            # come between the two and lose bytes.
            self._pieces.extend(itertools.islice(self._reads, 1))
        self.interruptible = False
        return readable

    def _wait(self, deadline: Optional[float]) -> bool:
        if self._rest_due is None and self._patience is not None and self.framer.begun:
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
