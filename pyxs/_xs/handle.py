"""What an :class:`~pyxs.xs` has in one process: a connection with its watches."""

import errno
import os
from typing import Any, Callable, List, Optional, Tuple, TypeVar

from .._choice import connection_at
from .._conversation.conversation import Conversation
from .._conversation.events import Notice, Watch
from .._conversation.readiness import Readiness
from .._conversation.request import Request
from .._conversation.roles import NestedCallError
from .._conversation.watching import end_watches, set_watch
from .._wire.packets import Op
from .._wire.replies import decode_ack, decode_names, decode_part, decode_transaction, join_parts
from .._wire.requests import strings
from ..connection import PacketConnection, UnixSocketConnection, XenBusConnection
from ..exceptions import ConnectionError
from ..helpers import decode_text, error, raised_here
from .arguments import Error, make_error

T = TypeVar("T")


def open_connection() -> PacketConnection:
    """Connect as xs_open() does: to the socket, else to the device."""
    path = os.environ.get("XENSTORED_PATH")
    if path is not None:
        return _connected(_at(path))
    try:
        return _connected(UnixSocketConnection())
    except Error:
        return _connected(XenBusConnection())


def _at(path: str) -> PacketConnection:
    try:
        os.stat(path)
    except OSError as exc:
        if not raised_here(exc):
            raise  # a signal handler's
        raise make_error(exc.errno or errno.ENOENT) from exc
    return connection_at(path)


def _connected(connection: PacketConnection) -> PacketConnection:
    try:
        connection.connect()
    except ConnectionError as exc:
        if not raised_here(exc, calls=1):
            raise  # a signal handler's
        code: Optional[int] = getattr(exc.__cause__, "errno", None)
        raise make_error(code or errno.EINVAL) from exc
    return connection


class Handle:
    """One connection with its watches: what an :class:`xs` has in one process.

    :param connection: connected.
    :param orphaned: whether there were watches in a parent process, which are not here.
    """

    def __init__(self, connection: PacketConnection, orphaned: bool = False) -> None:
        self._connection = connection
        self._conversation = Conversation(connection)
        self._orphaned = orphaned
        self._closed = False
        self._watched = False  # ever
        self._known_lost = False
        self._readiness: Optional[Readiness] = None
        self._spare: Optional[Handle] = None  # for calls inside calls

    def child(self) -> "Handle":
        """Return a handle of the same kind for a forked child; this one stays the parent's."""
        watched = bool(self._conversation.events.watches())
        return Handle(_connected(self._connection.clone()), self._orphaned or watched)

    def close(self) -> None:
        """End all calls in progress and disconnect."""
        self._closed = True
        if self._spare is not None:
            self._spare.close()
        self._conversation.close()
        self._close_readiness()

    def abandon(self) -> None:
        """Close the descriptors, no more: in a forked child they are the parent's too."""
        if self._spare is not None:
            self._spare.abandon()
        self._connection.disconnect()
        self._close_readiness()

    def _close_readiness(self) -> None:
        if self._readiness is not None:
            self._readiness.close()

    def ask(self, decoder: "Callable[[bytes], T]", op: Op, payload: bytes, tx_id: int = 0) -> T:
        """Send a request and return what its reply says.

        One made inside another call of this thread, by a signal handler or a finalizer,
        goes over a connection of its own.

        :raises Error: the daemon's answer, ``E2BIG`` for what does not fit a message,
            ``EDEADLK`` for a call inside a call in a transaction, or what a lost connection
            gives.
        """
        return self._decoded(*self._exchange(op, payload, tx_id), decoder)

    def find(
        self, decoder: "Callable[[bytes], T]", op: Op, payload: bytes, tx_id: int = 0
    ) -> "Optional[T]":
        """Do as :meth:`ask`, but return ``None`` where the daemon answers ``ENOENT``."""
        conversation, request = self._exchange(op, payload, tx_id)
        if request.refusal == b"ENOENT":
            return None
        return self._decoded(conversation, request, decoder)

    def names(self, path: bytes, tx_id: int) -> "Optional[List[str]]":
        """Return the names of a node's children, however many; ``None``: no such node."""
        conversation, request = self._exchange(Op.DIRECTORY, path, tx_id)
        if request.refusal == b"ENOENT":
            return None
        if request.refusal != b"E2BIG":
            return self._decoded(conversation, request, decode_names)
        try:
            return join_parts(
                lambda offset: self.ask(
                    decode_part, Op.DIRECTORY_PART, path + b"%d\0" % offset, tx_id
                )
            )
        except Error as exc:
            if exc.args[0] != errno.ENOENT:
                raise
            return None

    def start_transaction(self) -> int:
        """Start a transaction and return its id."""
        request = Request(Op.TRANSACTION_START, b"\0", undo=_abort)
        try:
            self._call(request)
            return self._decoded(self._conversation, request, decode_transaction)
        except BaseException:
            self._conversation.undo(request)
            raise

    def end_transaction(self, tx_id: int, commit: bool) -> bool:
        """End a transaction; ``False``: it met a change by someone else."""
        request = Request(Op.TRANSACTION_END, b"T\0" if commit else b"F\0", tx_id)
        inside = self._conversation.is_inside()
        try:
            self._call(request)
        except BaseException:
            if request.answer is None and not inside:
                # A signal handler raised, perhaps before anything was sent.
                self._conversation.post(Request(Op.TRANSACTION_END, b"F\0", tx_id))
            raise
        if request.refusal == b"EAGAIN":
            return False
        self._decoded(self._conversation, request, decode_ack)
        return True

    def _exchange(self, op: Op, payload: bytes, tx_id: int) -> "Tuple[Conversation, Request]":
        self._check_length(payload)
        if not tx_id and self._conversation.is_inside():
            return self._other()._exchange(op, payload, 0)
        request = Request(op, payload, tx_id)
        self._call(request)
        return self._conversation, request

    def _check_length(self, payload: bytes) -> None:
        if len(payload) > self._connection.max_payload:
            raise make_error(errno.E2BIG)

    def _call(self, request: Request) -> None:
        if not self._translated(lambda: self._conversation.call(request)):
            raise make_error(errno.EDEADLK)

    def _decoded(
        self, conversation: Conversation, request: Request, decoder: "Callable[[bytes], T]"
    ) -> T:
        if request.refusal:
            raise make_error(error(request.refusal.decode("ascii")).errno or errno.EINVAL)
        return self._translated(lambda: conversation.decoded(request, decoder))

    def _other(self) -> "Handle":
        if self._spare is None:
            self._spare = Handle(_connected(self._connection.clone()))
        return self._spare

    def _translated(self, call: "Callable[[], T]") -> T:
        """Call, and raise as the C extension would when the connection is lost."""
        try:
            return call()
        except ConnectionError as exc:
            if not self._conversation.tells_of_failure(exc):
                raise  # a signal handler's
            raise self._lost(exc) from exc
        except NestedCallError:
            raise make_error(errno.EDEADLK) from None

    def _lost(self, exc: ConnectionError) -> Error:
        """Return what libxenstore gives when its connection is gone.

        EPIPE if it is sending that finds out, and EBADF ever after. Once there was a
        watch, its thread finds out first.
        """
        if self._closed:
            return make_error(errno.EINVAL)
        known, self._known_lost = self._known_lost or self._watched, True
        cause: Optional[BaseException] = exc
        while isinstance(cause, ConnectionError):
            cause = cause.__cause__
        found_out = isinstance(cause, BrokenPipeError) and not known
        return make_error(errno.EPIPE if found_out else errno.EBADF)

    # -- watches -----------------------------------------------------------------------

    def watch(self, path: bytes, token: Any) -> None:
        """Set a watch."""
        self._watched = True
        # Events are told apart by the token alone, as the C extension does: there one
        # token may be in several watches.
        watch = Watch(path, _name(token), label=token, anywhere=True)
        self._check_length(strings(path, watch.token))
        request = self._translated(lambda: set_watch(self._conversation, watch))
        self._decoded(self._conversation, request, decode_ack)
        self._orphaned = False

    def unwatch(self, path: bytes, token: Any) -> None:
        """End a watch; whatever the answer, one with this token is forgotten."""
        name = _name(token)
        known = [watch for watch in self._conversation.events.watches() if watch.token == name]
        payload = strings(path, name)
        self._check_length(payload)
        request = self._translated(
            lambda: end_watches(self._conversation, Op.UNWATCH, payload, known[-1:])
        )
        self._decoded(self._conversation, request, decode_ack)

    def wait_event(self) -> "Tuple[str, Any]":
        """Return the next event, waiting for it."""
        event = self._next_event(self._conversation.wait_event, None)
        assert event is not None  # without a deadline there is none to miss
        return event

    def poll_event(self) -> "Optional[Tuple[str, Any]]":
        """Return an event that is here, or ``None``."""
        return self._next_event(self._conversation.poll_event)

    def _next_event(
        self, take: "Callable[..., Optional[Tuple[str, Any]]]", *deadline: Any
    ) -> "Optional[Tuple[str, Any]]":
        if self._orphaned:
            raise make_error(errno.EINVAL)
        try:
            return take(_event, *deadline)
        except ConnectionError as exc:
            if not self._conversation.tells_of_failure(exc):
                raise  # a signal handler's
            raise make_error(errno.EINVAL) from exc
        except NestedCallError:
            raise make_error(errno.EDEADLK) from None

    def fileno(self) -> int:
        """Return a descriptor that is readable while there is an event to be had."""
        readiness: Optional[Readiness] = self._readiness
        if readiness is None:
            self._readiness = readiness = Readiness()
        self._conversation.attach(readiness)
        return readiness.fileno()


def _event(notice: Notice) -> "Tuple[str, Any]":
    return decode_text(notice.path), notice.watches[0].label


def _abort(reply: bytes) -> Request:
    """Return what undoes a TRANSACTION_START."""
    return Request(Op.TRANSACTION_END, b"F\0", decode_transaction(reply))


def _name(token: Any) -> bytes:
    # Its own while the object lives, which its Watch and our caller see to.
    return b"%d" % id(token)
