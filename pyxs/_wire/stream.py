"""The receiving side of a descriptor: bytes in, messages out."""

import errno
import select
import socket
import time
from itertools import islice, repeat

from ..helpers import raised_here
from .framing import Framer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Iterator, List, Optional

    from .._annotations.types import Frame

_RECV_SIZE = 1 << 16


class Stream:
    """Reads from a descriptor until a message is complete.

    An exception at any instruction, as a signal handler may raise it, loses nothing.

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
        #: Whether a read may block without poll(): only bytes end the wait.
        self._blocks = patience is None and woken is None
        self._poll = select.poll()
        self._poll.register(fd, select.POLLIN)
        if woken is not None:
            self._poll.register(woken, select.POLLIN)
        self._framer = Framer()
        self._rest_due: Optional[float] = None  # the deadline for the rest of a message
        #: The error after which nothing more arrives, or ``None``.
        self.fault: Optional[Exception] = None

    def receive(self, timeout: "Optional[float]") -> "List[Frame]":
        """Return the messages that have arrived; wait for the first if there are none.

        The caller removes those that it uses; the next call returns the others again.

        :returns: no messages if the time has passed, or if there is a :attr:`fault`.
        """
        framer = self._framer
        frames, pieces, _, _ = framer.state
        if frames:
            return frames
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            if pieces:  # an exception interrupted the last call between reading and framing
                frames = framer.frame()
                pieces = framer.state[1]
            while not frames:
                if (deadline is not None or not self._blocks) and not self._wait(deadline):
                    return frames
                # One call in C reads bytes and keeps them: a signal handler cannot raise
                # in between and lose them.
                pieces.extend(islice(self._reads, 1))
                frames = framer.frame()
                if not frames:
                    if self._is_over(pieces[-1]):
                        return frames
                    pieces = framer.state[1]
        except OSError as exc:
            if not raised_here(exc):
                raise
            self.fault = exc.with_traceback(None)  # which would hold this frame
            return frames
        self._rest_due = None
        return frames

    def _is_over(self, last: bytes) -> bool:
        """Set :attr:`fault` if nothing more arrives after these bytes; return whether it is set."""
        self.fault = self._framer.refused if last else EOFError()
        return self.fault is not None

    @property
    def begun(self) -> bool:
        """Whether messages have arrived that the caller has not removed, or a part of one."""
        return bool(self._framer.state[0] or self._framer.begun)

    def _wait(self, deadline: "Optional[float]") -> bool:
        """Wait until the descriptor is readable; ``False`` if something else ended the wait."""
        if self._rest_due is None and self._patience is not None and self._framer.begun:
            self._rest_due = time.monotonic() + self._patience
        due = self._rest_due
        if deadline is not None and (due is None or deadline < due):
            due = deadline
        timeout = None if due is None else max(0.0, due - time.monotonic())
        # poll() counts in milliseconds; rounded up, so that it does not return too early.
        ready = dict(self._poll.poll(None if timeout is None else int(timeout * 1000 + 0.999)))
        # Not a generator: Python drops an exception that is raised while it closes one.
        if self._fd in ready:
            return True
        if not ready and due is self._rest_due and due is not None:
            self.fault = TimeoutError(errno.ETIMEDOUT, "the rest of a message did not come in time")
        return False
