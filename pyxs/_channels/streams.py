"""Streams to the daemon: how they are opened, and what is peculiar to some of them."""

import errno
import os

from .._wire.packets import Op
from ..connection import PacketConnection
from ..exceptions import PyXSError
from .deadlines import LateError, has_passed
from .failures import failure_of, raised_by_handler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Optional

    from .._annotations.types import Stream

_BRIEFLY = 0.01  # seconds


def open_stream(connection: PacketConnection, deadline: "Optional[float]") -> "Stream":
    """Return a new stream to the daemon.

    :raises ConnectionError: connecting failed.
    :raises LateError: the deadline has passed.
    """
    try:
        return connection.open()
    except OSError as exc:
        if isinstance(exc, PyXSError) or raised_by_handler(exc):
            raise
        if has_passed(deadline):
            raise LateError from exc
        raise failure_of(connection.path, exc, hint=connection.hint(exc)) from exc


def refusal_from_write(exc: OSError, op: int) -> bytes:
    """Return the payload of the daemon's ERROR that write() on a device stands for, or ``b""``.

    Linux sets watches itself: if xenstored refuses one, write() fails with its errno, and no
    reply comes. No daemon answers EAGAIN to a watch: a time-out of the stream, or of a signal
    handler that is not recognized, is no refusal.
    """
    name = errno.errorcode.get(exc.errno or 0, "EAGAIN")
    if name == "EAGAIN" or (name != "EINVAL" and op != Op.WATCH):
        return b""
    return name.encode("ascii") + b"\0"


def receive_briefly(stream: "Any", size: int) -> bytes:
    """Receive from a socket in Python. It may have no data though it is readable, as one of TLS."""
    stream.settimeout(_BRIEFLY)
    try:
        data: bytes = stream.recv(size)
        return data
    finally:
        stream.settimeout(None)


def closed(_argument: "Any") -> "Any":
    """Stand for the methods of a stream that is closed."""
    raise OSError(errno.EBADF, os.strerror(errno.EBADF))
