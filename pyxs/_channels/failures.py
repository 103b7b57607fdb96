"""Failures to connect and of open connections, and exceptions of signal handlers."""

import copy
import time

from .._wire.packets import Op
from .._wire.replies import MalformedError
from ..connection import PacketConnection
from ..exceptions import ConnectionError, PyXSError, UnexpectedPacket
from .deadlines import LateError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional

    from .._annotations.types import Stream


def raised_by_handler(exc: BaseException) -> bool:
    """Return whether a signal handler raised *exc*, not what was called.

    That is so if a frame of the traceback runs the code of a handler that is set. A handler that
    is no function, or sets another one before it raises, is not recognized.
    """
    import signal  # here, because most programs never need it

    handlers = [signal.getsignal(number) for number in range(1, signal.NSIG)]
    codes = {getattr(handler, "__code__", None) for handler in handlers}
    traceback = exc.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code in codes:
            return True
        traceback = traceback.tb_next
    return False


def open_stream(connection: PacketConnection, deadline: "Optional[float]" = None) -> "Stream":
    """Return a new stream to the daemon.

    :raises ConnectionError: connecting failed.
    :raises LateError: the deadline has passed.
    """
    connection = within(connection, deadline)
    try:
        return connection.open()
    except OSError as exc:
        if isinstance(exc, PyXSError) or raised_by_handler(exc):
            raise
        if deadline is not None and time.monotonic() >= deadline:
            raise LateError from exc
        raise failure_of(connection.path, exc, hint=connection.hint(exc)) from exc


def within(connection: PacketConnection, deadline: "Optional[float]") -> PacketConnection:
    """Return the connection, or one like it that waits no longer than until the deadline."""
    if deadline is None:
        return connection
    left = max(0.001, deadline - time.monotonic())
    patience = connection.socket_timeout
    hurried = copy.copy(connection)
    hurried.socket_timeout = left if patience is None else min(left, patience)
    return hurried


def failure_of(path: str, cause: Exception, reason: str = "", hint: str = "") -> ConnectionError:
    """Return the exception for a failure of a connection.

    :param reason: the cause in words; by default its own.
    """
    kind = UnexpectedPacket if isinstance(cause, UnexpectedPacket) else ConnectionError
    if not reason:
        timed_out = isinstance(cause, BlockingIOError)
        reason = "timed out" if timed_out else getattr(cause, "strerror", None) or str(cause)
    failure = kind("{}: {}{}".format(path, reason, hint))
    failure.__cause__ = cause
    return failure


def closed(path: str) -> ConnectionError:
    """Return the exception for a connection that the program has closed."""
    return ConnectionError("{}: closed".format(path))


def malformed(path: str, op: int, payload: bytes, exc: MalformedError) -> UnexpectedPacket:
    """Return the exception for a reply that has another form than *xenstore.txt* defines."""
    return UnexpectedPacket(
        "{}: a reply to {} that is none, {}: {:.80}".format(path, Op(op).name, exc, repr(payload))
    )


def again(failure: ConnectionError) -> ConnectionError:
    """Return a new exception for an earlier failure: each call raises its own."""
    exc = type(failure)(*failure.args)
    exc.__cause__ = failure.__cause__
    return exc
