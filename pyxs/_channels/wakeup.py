"""Ends a wait in ``poll()`` from another thread or from a signal handler."""

import select
import socket

from .descriptor import Descriptor


class Wakeup:
    """A pair of sockets, one of which a wait has in its ``poll()``."""

    __slots__ = ("_reader", "_writer")

    def __init__(self) -> None:
        reader, writer = socket.socketpair()
        reader.setblocking(False)
        writer.setblocking(False)
        self._reader, self._writer = Descriptor(reader), Descriptor(writer)

    def fileno(self) -> int:
        """Return the descriptor that is readable after :meth:`set`."""
        number: int = self._reader.file.fileno()
        return number

    def set(self) -> None:
        """End the wait, or the next one."""
        if not is_ready(self):
            self._writer.file.send(b"!")

    def clear(self) -> None:
        """Let the next wait last."""
        while is_ready(self):
            self._reader.file.recv(64)


def is_ready(file: Wakeup) -> bool:
    """Return whether a wait would end at once."""
    waiting = select.poll()
    waiting.register(file.fileno(), select.POLLIN)
    return bool(waiting.poll(0))
