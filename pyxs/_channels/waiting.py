"""Waits for the value of one node, on a channel of its own."""

import copy
import time

from .._wire.packets import MISSING, Op
from .._wire.requests import strings
from ..connection import PacketConnection
from ..helpers import RELATIVE, decode_text
from .channel import Channel
from .deadlines import LateError, has_passed
from .failures import accepted
from .pool import Pool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Iterator, Optional

_TOKEN = b"w"
_ASK = 1.0  # seconds for the answer if the timeout is 0: it asks once all the same


def wait_for_value(
    pool: Pool,
    path: bytes,
    satisfied: "Callable[[str], object]",
    timeout: "Optional[float]",
) -> str:
    """Return the value of a node, once there is one that satisfies.

    :param pool: gives a channel.
    :param timeout: seconds for all of it; ``None``: without limit.
    :raises TimeoutError: the time has passed.
    :raises PyXSError: the daemon's answer.
    :raises ConnectionError: the daemon cannot be reached, or the connection was lost.
    """
    deadline = None if timeout is None else time.monotonic() + (timeout or _ASK)
    state = "the daemon has not answered"
    try:
        channel = pool.open(within(pool.connection, deadline), deadline, [])
        try:
            for value in _values(channel, path, deadline):
                if value is not None and satisfied(value):
                    return value
                state = _state(value, path)
                if timeout == 0:
                    break
        finally:
            channel.close()
    except LateError:
        pass
    text = "{}: waited for {} s, and {}"
    raise TimeoutError(text.format(decode_text(path), timeout, state))


def within(connection: PacketConnection, deadline: "Optional[float]") -> PacketConnection:
    """Return the connection, or one like it that waits no longer than until the deadline."""
    if deadline is None:
        return connection
    hurried = copy.copy(connection)
    left, timeout = max(0.001, deadline - time.monotonic()), connection.socket_timeout
    hurried.socket_timeout = left if timeout is None else min(left, timeout)
    return hurried


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


def _state(value: "Optional[str]", path: bytes) -> str:
    if value is not None:
        return "the value is {:.80}".format(repr(value))
    return "there is no such node" + ("" if path.startswith(b"/") else "; " + RELATIVE)


def _read(channel: Channel, path: bytes) -> "Optional[str]":
    payload = path + b"\0"
    reply = channel.exchange({}, Op.READ, payload)
    return None if reply == MISSING else decode_text(accepted(Op.READ, payload, reply))


def _watch(channel: Channel, path: bytes) -> None:
    payload = strings(path, _TOKEN)
    accepted(Op.WATCH, payload, channel.exchange({}, Op.WATCH, payload))


def _receive(channel: Channel, deadline: "Optional[float]") -> None:
    if channel.is_readable(deadline):
        channel.receive_events()
    elif has_passed(deadline):
        raise LateError
