"""Waits for the value of one node, on a channel of its own."""

import time

from .._wire.packets import Op
from .._wire.requests import strings
from ..connection import PacketConnection
from ..helpers import decode_text, error
from .channel import Channel
from .deadlines import LateError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Iterator, Optional

_ERROR = int(Op.ERROR)
_MISSING = _ERROR, b"ENOENT\0"
_TOKEN = b"w"
_ASK = 1.0  # seconds for the answer if the timeout is 0: it asks once all the same


def wait_for_value(
    connection: PacketConnection,
    path: bytes,
    satisfied: "Callable[[str], object]",
    timeout: "Optional[float]",
) -> str:
    """Return the value of a node, once there is one that satisfies.

    :param timeout: seconds for all of it; ``None``: without limit.
    :raises TimeoutError: the time has passed.
    :raises PyXSError: the daemon's answer.
    :raises ConnectionError: the daemon cannot be reached, or the connection was lost.
    """
    deadline = None if timeout is None else time.monotonic() + (timeout or _ASK)
    state = "the daemon has not answered"
    try:
        channel = Channel(connection, deadline, [])
        try:
            for value in _values(channel, path, deadline):
                if value is not None and satisfied(value):
                    return value
                state = _state(value)
                if timeout == 0:
                    break
        finally:
            channel.close()
    except LateError:
        pass
    text = "{}: waited for {} s, and {}"
    raise TimeoutError(text.format(decode_text(path), timeout, state))


def _values(
    channel: Channel, path: bytes, deadline: "Optional[float]"
) -> "Iterator[Optional[str]]":
    """Yield the value of a node, and again when it may have changed; ``None``: no such node."""
    yield _read(channel, path)
    _watch(channel, path)
    while True:
        channel.inbox.events.clear()
        yield _read(channel, path)
        while not channel.inbox.events:
            _receive(channel, deadline)


def _state(value: "Optional[str]") -> str:
    return "there is no such node" if value is None else "the value is {:.80}".format(repr(value))


def _read(channel: Channel, path: bytes) -> "Optional[str]":
    kind, payload = channel.exchange(Op.READ, path + b"\0", 0, {})
    return None if (kind, payload) == _MISSING else decode_text(_accepted(kind, payload, path))


def _watch(channel: Channel, path: bytes) -> None:
    kind, payload = channel.exchange(Op.WATCH, strings(path, _TOKEN), 0, {})
    _accepted(kind, payload, path)


def _accepted(kind: int, payload: bytes, path: bytes) -> bytes:
    if kind == _ERROR:
        raise error(payload[:-1], decode_text(path))
    return payload


def _receive(channel: Channel, deadline: "Optional[float]") -> None:
    if channel.is_readable(deadline):
        channel.receive_events()
    elif deadline is not None and time.monotonic() >= deadline:
        raise LateError
