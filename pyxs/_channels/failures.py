"""Failures of connections, refused requests, and exceptions of signal handlers."""

import _signal  # type: ignore[import-not-found]
import sys

from .._wire.packets import ERROR, Op
from .._wire.refusals import refusal
from .._wire.replies import MalformedError
from .._wire.requests import path_of
from ..exceptions import ConnectionError, InvalidPayload, UnexpectedPacket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Optional, Tuple, TypeVar

    T = TypeVar("T")


def raised_by_handler(exc: "Optional[BaseException]" = None) -> bool:
    """Return whether a signal handler raised *exc*, not what was called.

    That is so if a frame of the traceback runs the code of a handler that is set. A handler that
    is no function, or sets another one before it raises, is not recognized.

    :param exc: by default the one that is being handled. The caller then has no name for it,
        which would be part of a cycle of references if another exception came.
    """
    exc = sys.exc_info()[1] if exc is None else exc
    traceback = None if exc is None else exc.__traceback__
    codes = set()
    while traceback is not None:
        codes.add(traceback.tb_frame.f_code)
        traceback = traceback.tb_next
    if len(codes) < 2:
        return False  # there is no frame below the one that has caught it
    # Not signal.getsignal(), which leaves a cycle with the exception in it on Python 3.7.
    handlers = [_signal.getsignal(number) for number in range(1, _signal.NSIG)]
    return not codes.isdisjoint([getattr(handler, "__code__", None) for handler in handlers])


def failure_of(path: str, cause: Exception, reason: str = "", hint: str = "") -> ConnectionError:
    """Return the exception for a failure of a connection.

    :param reason: the cause in words; by default its own.
    """
    kind = UnexpectedPacket if isinstance(cause, UnexpectedPacket) else ConnectionError
    if isinstance(cause, BlockingIOError):
        reason = reason or "timed out"
    reason = reason or getattr(cause, "strerror", None) or str(cause)
    failure = kind("{}: {}{}".format(path, reason, hint))
    failure.__cause__ = cause
    return failure


def accepted(op: int, payload: bytes, reply: "Tuple[int, bytes]") -> bytes:
    """Return the payload of a reply.

    :param payload: of the request.
    :raises PyXSError: the daemon refused the request.
    """
    kind, result = reply
    if kind == ERROR:
        raise refusal(op, payload, result[:-1])
    return result


def decoded(channels: "Any", decoder: "Callable[[bytes], T]", op: int, payload: bytes) -> "T":
    """Return the decoded payload of a reply.

    :param channels: where it came from; has ``path``, and ``distrust()``, which is called if the
        reply has another form than *xenstore.txt* defines.
    :raises UnexpectedPacket: it has.
    """
    try:
        return decoder(payload)
    except MalformedError as exc:
        channels.distrust()
        text = "{}: a reply to {} that is none, {}: {:.80}"
        raise UnexpectedPacket(
            text.format(channels.path, Op(op).name, exc, repr(payload))
        ) from None


def too_long(op: int, payload: bytes, most: int) -> InvalidPayload:
    """Return the exception for a request that a connection does not carry; nothing was sent."""
    text = "{}: payload of {} bytes: this connection carries at most {}{}"
    hint = "; a shorter token may be given" if op == Op.WATCH else ""
    return InvalidPayload(
        payload, text.format(path_of(op, payload) or Op(op).name, len(payload), most, hint)
    )


def again(failure: ConnectionError) -> ConnectionError:
    """Return a new exception for an earlier failure: each call raises its own."""
    exc = type(failure)(*failure.args)
    exc.__cause__ = failure.__cause__
    return exc
