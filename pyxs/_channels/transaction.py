"""A transaction: it has a channel for itself until it ends."""

from .._wire.packets import ERROR, Op
from .._wire.refusals import refusal
from .._wire.replies import decode_transaction
from ..exceptions import ConnectionError
from ..helpers import error
from .channel import Channel
from .failures import decoded, raised_by_handler
from .pool import Pool
from .shared import Shared, exchange_many

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Optional

    from .channel import Reply
    from .inbox import Answers
    from .pipeline import Request


def start_transaction(pool: Pool) -> "Transaction":
    """Start a transaction on a channel of a pool.

    :raises PyXSError: the daemon's answer.
    :raises ConnectionError: the daemon cannot be reached, or the connection was lost.
    """
    channel = pool.take()
    op = Op.TRANSACTION_START
    try:
        kind, payload = channel.exchange({}, op, b"\0")
        if kind != ERROR:
            return Transaction(pool, channel, decoded(pool, decode_transaction, op, payload))
    except BaseException as exc:
        pool.discard(channel, exc)
        raise
    pool.put_back(channel)
    raise refusal(op, b"\0", payload[:-1])


class Transaction:
    """A running transaction, whose channel goes back to the pool when it ends.

    If this object is dropped before, or an exception closes the channel in the middle of a call,
    the daemon aborts the transaction.
    """

    __slots__ = ("_ended", "_pool", "_shared", "is_used", "path", "tx_id")

    def __init__(self, pool: Pool, channel: Channel, tx_id: int) -> None:
        self.tx_id = tx_id
        self._pool = pool
        self.path = channel.path
        self.is_used = True  #: whether a request was made; transaction() sets it to False first
        self._ended = False
        self._shared = Shared(channel)

    def is_running(self) -> bool:
        """Return whether it has neither ended nor been lost."""
        channel = self._shared.channel
        return not self._ended and channel is not None and channel.is_usable()

    def exchange(self, op: int, payload: bytes) -> "Reply":
        """Send one request and return the reply.

        :raises PyXSError: ``EINVAL`` the transaction has ended; ``EDEADLK`` the call is inside
            another one in the transaction.
        :raises ConnectionError: the transaction is lost, or the connection was.
        """
        self.is_used = True
        return self._shared.use(self._ready, Channel.exchange, op, payload, self.tx_id)

    def exchange_many(self, requests: "List[Request]") -> None:
        """Send many requests and wait for all replies; see :meth:`exchange`."""
        self.is_used = True
        self._shared.use(self._ready, exchange_many, requests, self.tx_id)

    def distrust(self) -> None:
        """Close the channel, because a malformed reply came from it."""
        self._shared.close()

    def refuse_nested(self) -> None:
        """Raise ``EDEADLK`` if this thread is inside a call in the transaction."""
        self._shared.refuse_nested()

    def end(self, commit: bool) -> "Optional[Reply]":
        """Commit or abort; return the reply, or ``None`` if the daemon has aborted it already.

        :raises ConnectionError: the transaction is lost, or the connection was; only if *commit*
            is true.
        """
        try:
            return self._shared.use(self._ready, self._end, commit)
        except ConnectionError as exc:
            if commit or self.is_running() or raised_by_handler(exc):
                raise
            return None

    def _end(self, channel: Channel, answers: "Answers", commit: bool) -> "Reply":
        self._ended = True
        payload = b"T\0" if commit else b"F\0"
        reply = channel.exchange(answers, Op.TRANSACTION_END, payload, self.tx_id)
        self._shared.channel = None
        if reply[0] == ERROR or reply[1] == b"OK\0":
            self._pool.put_back(channel)
        else:
            channel.close()
        return reply

    def _ready(self) -> Channel:
        channel = self._shared.channel
        if self._ended:
            raise error("EINVAL", why="transaction {} has ended".format(self.tx_id))
        if channel is not None and channel.is_usable():
            return channel
        self._pool.drop_idle()
        raise ConnectionError(
            "{}: transaction {} was lost with the connection on which it began".format(
                self.path, self.tx_id
            )
        )
