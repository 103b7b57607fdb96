"""The connection of an :class:`~pyxs.xs` in one process, with its watches."""

import errno
import os
from typing import Any, Callable, Dict, List, Optional, Tuple, TypeVar, Union

from .._channels.channel import Channel
from .._channels.failures import decoded, raised_by_handler
from .._channels.pool import Pool
from .._channels.turns import NestedCallError
from .._channels.watch import Watch
from .._channels.watching import Watching
from .._choice import connection_at
from .._wire.packets import ERROR, MISSING, Op
from .._wire.replies import (
    MalformedError,
    decode_ack,
    decode_names,
    decode_part,
    decode_transaction,
    join_parts,
)
from .._wire.requests import strings
from ..connection import PacketConnection, UnixSocketConnection, XenBusConnection
from ..exceptions import ConnectionError, UnexpectedPacket
from ..helpers import decode_text, error
from .arguments import Error, make_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .._channels.channel import Reply
    from .._channels.inbox import Answers

T = TypeVar("T")


def open_handle() -> "Handle":
    """Connect as xs_open() of *xs.c* does: to the socket, else to the device.

    :raises Error: the errno of connecting.
    """
    path = os.environ.get("XENSTORED_PATH")
    if path is not None:
        return Handle(_at(path))
    try:
        return Handle(UnixSocketConnection())
    except Error as exc:
        if raised_by_handler(exc):
            raise
        return Handle(XenBusConnection())


def _at(path: str) -> PacketConnection:
    try:
        os.stat(path)
    except OSError as exc:
        if raised_by_handler(exc):
            raise
        raise make_error(exc.errno or errno.ENOENT) from exc
    return connection_at(path)


class Handle:
    """The connection of an :class:`xs` in one process, with its watches.

    :param connection: where to connect.
    :param orphaned: whether a parent process had watches, which this process does not have.
    :raises Error: the errno of connecting.
    """

    def __init__(self, connection: PacketConnection, orphaned: bool = False) -> None:
        self._watching = Watching(connection)
        self._spare = Pool(connection)  # for calls inside another call of a thread
        self._max_payload = connection.max_payload
        self._orphaned = orphaned
        self._closed = False
        self._watched = False  # whether watch() was ever called
        self._known_lost = False  # whether a call has failed because the connection is lost
        #: The channel on which each transaction began; also those lost with theirs.
        self._started: Dict[int, Channel] = {}
        try:
            self._watching.connect()
        except ConnectionError as exc:
            if raised_by_handler(exc):
                raise
            code: Optional[int] = getattr(exc.__cause__, "errno", None)
            raise make_error(code or errno.EINVAL) from exc

    def child(self) -> "Handle":
        """Return a new handle for a forked child; the parent keeps this one."""
        watched = bool(self._watching.watches())
        return Handle(self._watching.connection, self._orphaned or watched)

    def close(self) -> None:
        """Disconnect; calls in progress raise ``EINVAL``."""
        self._closed = True
        self._spare.close()
        self._watching.close()

    def ask(self, decoder: "Callable[[bytes], T]", op: Op, payload: bytes, tx_id: int = 0) -> T:
        """Send a request and return its decoded reply.

        A signal handler or a finalizer may call this inside another call of the same thread.
        The request then goes over a spare connection.

        :raises Error: the daemon's answer; ``E2BIG`` the request does not fit a message;
            ``ENOENT`` the transaction is lost, because an exception has closed its connection;
            ``EDEADLK`` a call in a transaction inside another call; ``EPIPE`` or ``EBADF`` the
            connection is lost.
        """
        return self._decoded(decoder, op, self._exchange(op, payload, tx_id))

    def find(
        self, decoder: "Callable[[bytes], T]", op: Op, payload: bytes, tx_id: int = 0
    ) -> "Optional[T]":
        """Do as :meth:`ask`, but return ``None`` if the daemon answers ``ENOENT``."""
        reply = self._exchange(op, payload, tx_id)
        return None if reply == MISSING else self._decoded(decoder, op, reply)

    def names(self, path: bytes, tx_id: int) -> "Optional[List[str]]":
        """Return the names of a node's children, however many; ``None``: no such node."""
        reply = self._exchange(Op.DIRECTORY, path, tx_id)
        if reply == MISSING:
            return None
        if reply != (ERROR, b"E2BIG\0"):
            return self._decoded(decode_names, Op.DIRECTORY, reply)
        return join_parts(
            lambda offset: self.find(decode_part, Op.DIRECTORY_PART, path + b"%d\0" % offset, tx_id)
        )

    def start_transaction(self) -> int:
        """Start a transaction and return its id.

        :raises Error: as :meth:`ask`.
        """
        reply = self._translated(self._watching.use, self._start, undo=_abort)
        return self._decoded(decode_transaction, Op.TRANSACTION_START, reply)

    def _start(self, channel: Channel, answers: "Answers") -> "Reply":
        # The number may be that of a lost transaction, which the program may still use.
        for _ in range(len(self._started) + 1):
            answers.clear()
            reply = channel.exchange(answers, Op.TRANSACTION_START, b"\0")
            if reply[0] == ERROR:
                return reply
            tx_id = _number(reply[1])
            if self._started.setdefault(tx_id, channel) is channel:
                return reply
            channel.exchange({}, Op.TRANSACTION_END, b"F\0", tx_id)
        return channel.fail(UnexpectedPacket("a transaction has the number of another"))

    def end_transaction(self, tx_id: int, commit: bool) -> bool:
        """End a transaction; return ``False`` if the daemon answers ``EAGAIN``.

        :raises Error: as :meth:`ask`.
        """
        op, payload = Op.TRANSACTION_END, b"T\0" if commit else b"F\0"
        reply = self._translated(self._watching.use, self._request, op, payload, tx_id)
        self._started.pop(tx_id, None)
        if reply == (ERROR, b"EAGAIN\0"):
            return False
        self._decoded(decode_ack, op, reply)
        return True

    def _exchange(self, op: Op, payload: bytes, tx_id: int) -> "Reply":
        self._check_length(payload)
        try:
            return self._watching.use(self._request, op, payload, tx_id)
        except (NestedCallError, ConnectionError) as exc:
            if tx_id or not self._watching.refuses(exc):
                self._translate(exc)
                raise
        try:
            return self._spare.exchange(op, payload)
        except ConnectionError as exc:
            if raised_by_handler(exc):
                raise
            raise self._lost(exc) from exc

    def _request(
        self, channel: Channel, answers: "Answers", op: Op, payload: bytes, tx_id: int
    ) -> "Reply":
        if self._started.get(tx_id, channel) is not channel:
            raise make_error(errno.ENOENT)
        return channel.exchange(answers, op, payload, tx_id)

    def _translated(self, call: "Callable[..., T]", *args: Any, **options: Any) -> T:
        """Return what *call* returns; raise the errors of the C extension."""
        try:
            return call(*args, **options)
        except (NestedCallError, ConnectionError) as exc:
            self._translate(exc)
            raise

    def _check_length(self, payload: bytes) -> None:
        if len(payload) > self._max_payload:
            raise make_error(errno.E2BIG)

    def _decoded(self, decoder: "Callable[[bytes], T]", op: Op, reply: "Reply") -> T:
        kind, payload = reply
        if kind == ERROR:
            raise make_error(error(payload[:-1]).errno or errno.EINVAL)
        try:
            return decoded(self._watching, decoder, op, payload)
        except UnexpectedPacket as exc:
            raise self._lost(exc) from exc

    def _translate(self, exc: "Union[ConnectionError, NestedCallError]") -> None:
        """Raise the error of the C extension for *exc*, unless a signal handler raised it."""
        if self._watching.refuses(exc):
            raise make_error(errno.EDEADLK) from None
        if isinstance(exc, ConnectionError) and self._is_loss(exc):
            raise self._lost(exc) from exc

    def _is_loss(self, exc: ConnectionError) -> bool:
        """Return whether *exc* says that the connection is lost; a signal handler may raise it."""
        return not (self._watching.is_connected() or raised_by_handler(exc))

    def _lost(self, exc: ConnectionError) -> Error:
        """Return the error that libxenstore (*xs.c*) gives when its connection is lost.

        A call that fails to send gets EPIPE. All later calls get EBADF. After the first watch
        all calls get EBADF, because libxenstore's reading thread notices the loss first.
        """
        if self._closed:
            return make_error(errno.EINVAL)
        known, self._known_lost = self._known_lost or self._watched, True
        first_noticed = isinstance(exc.__cause__, BrokenPipeError) and not known
        return make_error(errno.EPIPE if first_noticed else errno.EBADF)

    # -- watches -----------------------------------------------------------------------

    def watch(self, path: bytes, token: Any) -> None:
        """Set a watch.

        :raises Error: as :meth:`ask`.
        """
        self._watched = True
        # One token may be in several watches. As in the C extension, an event belongs to any
        # watch with its token, whatever the path (anywhere=True).
        watch = Watch(path, _token_bytes(token), label=token, anywhere=True)
        self._check_length(watch.payload)
        self._acknowledge(Op.WATCH, lambda: self._watching.watch(watch))
        self._orphaned = False

    def unwatch(self, path: bytes, token: Any) -> None:
        """End a watch; also after an error, one watch with this token is forgotten.

        :raises Error: as :meth:`ask`.
        """
        wanted = _token_bytes(token)
        known = [watch for watch in self._watching.watches() if watch.token == wanted][-1:]
        payload = strings(path, wanted)
        if len(payload) > self._max_payload:
            self._watching.forget(known)
        self._check_length(payload)
        self._acknowledge(Op.UNWATCH, lambda: self._watching.end(Op.UNWATCH, payload, known))

    def _acknowledge(self, op: Op, send: "Callable[[], Reply]") -> None:
        """Call *send*, which returns a reply; raise an error unless it is OK."""
        self._decoded(decode_ack, op, self._translated(send))

    def wait_event(self) -> "Tuple[str, Any]":
        """Wait for the next event and return its path and token.

        :raises Error: ``EINVAL`` the connection is lost.
        """
        event = self._next_event(self._watching.wait_event, None)
        assert event is not None  # None means a timeout, and there is none
        return event

    def poll_event(self) -> "Optional[Tuple[str, Any]]":
        """Return the path and token of an event that has arrived, or ``None``.

        :raises Error: ``EINVAL`` the connection is lost.
        """
        return self._next_event(self._watching.poll_event)

    def _next_event(
        self, take: "Callable[..., Optional[Tuple[str, Any]]]", *deadline: Any
    ) -> "Optional[Tuple[str, Any]]":
        if self._orphaned:
            raise make_error(errno.EINVAL)
        try:
            return take(_event, *deadline)
        except (NestedCallError, ConnectionError) as exc:
            if isinstance(exc, ConnectionError) and self._is_loss(exc):
                raise make_error(errno.EINVAL) from exc
            self._translate(exc)
            raise

    def fileno(self) -> int:
        """Return a descriptor that is readable while an event has arrived."""
        return self._translated(self._watching.fileno)


def _event(path: bytes, watch: Watch) -> "Tuple[str, Any]":
    return decode_text(path), watch.label


def _abort(reply: bytes) -> "Tuple[int, bytes, int]":
    """Return the request that undoes a TRANSACTION_START, given its reply."""
    return Op.TRANSACTION_END, b"F\0", decode_transaction(reply)


def _number(reply: bytes) -> int:
    """Return the id of a new transaction, 0 if the reply is malformed."""
    try:
        return decode_transaction(reply)
    except MalformedError:
        return 0


def _token_bytes(token: Any) -> bytes:
    # The id is unique while the object lives. The Watch and the caller keep it alive.
    return b"%d" % id(token)
