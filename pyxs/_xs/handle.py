"""The connection of an :class:`~pyxs.xs` in one process, with its watches."""

import errno
import os
from typing import Any, Callable, List, Optional, Tuple, TypeVar, Union

from .._choice import connection_at
from .._conversation.conversation import Conversation
from .._conversation.events import Watch
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

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .._conversation.events import Notice

T = TypeVar("T")


def open_connection() -> PacketConnection:
    """Connect as xs_open() of *xs.c* does: to the socket, else to the device.

    :raises Error: the errno of connecting.
    """
    path = os.environ.get("XENSTORED_PATH")
    if path is not None:
        return _connected(_at(path))
    try:
        return _connected(UnixSocketConnection())
    except Error as exc:
        if not raised_here(exc, calls=1):
            raise  # a signal handler raised it
        return _connected(XenBusConnection())


def _at(path: str) -> PacketConnection:
    try:
        os.stat(path)
    except OSError as exc:
        if not raised_here(exc):
            raise  # a signal handler raised it
        raise make_error(exc.errno or errno.ENOENT) from exc
    return connection_at(path)


def _connected(connection: PacketConnection) -> PacketConnection:
    try:
        connection.connect()
    except ConnectionError as exc:
        if not raised_here(exc, calls=1):
            raise  # a signal handler raised it
        code: Optional[int] = getattr(exc.__cause__, "errno", None)
        raise make_error(code or errno.EINVAL) from exc
    return connection


class Handle:
    """The connection of an :class:`xs` in one process, with its watches.

    :param connection: a connected connection.
    :param orphaned: whether a parent process had watches, which this process does not have.
    """

    def __init__(self, connection: PacketConnection, orphaned: bool = False) -> None:
        self._connection = connection
        self._conversation = Conversation(connection)
        self._max_payload = connection.max_payload
        self._orphaned = orphaned
        self._closed = False
        self._watched = False  # whether watch() was ever called
        self._known_lost = False  # whether a call has failed because the connection is lost
        self._readiness: Optional[Readiness] = None
        self._spare: Optional[Handle] = None  # for calls inside another call of a thread

    def child(self) -> "Handle":
        """Return a new handle for a forked child; the parent keeps this one."""
        watched = bool(self._conversation.events.watches())
        return Handle(_connected(self._connection.clone()), self._orphaned or watched)

    def close(self) -> None:
        """Disconnect; calls in progress raise ``EINVAL``."""
        self._closed = True
        if self._spare is not None:
            self._spare.close()
        self._conversation.close()
        self._close_readiness()

    def abandon(self) -> None:
        """Close the descriptors without telling the daemon: a parent process may share them."""
        if self._spare is not None:
            self._spare.abandon()
        self._connection.disconnect()
        self._close_readiness()

    def _close_readiness(self) -> None:
        if self._readiness is not None:
            self._readiness.close()

    def ask(self, decoder: "Callable[[bytes], T]", op: Op, payload: bytes, tx_id: int = 0) -> T:
        """Send a request and return its decoded reply.

        A signal handler or a finalizer may call this inside another call of the same thread.
        The request then goes over a spare connection.

        :raises Error: the daemon's answer; ``E2BIG`` the request does not fit a message;
            ``EDEADLK`` a call in a transaction inside another call; ``EPIPE`` or ``EBADF`` the
            connection is lost.
        """
        return self._decoded(*self._exchange(op, payload, tx_id), decoder)

    def find(
        self, decoder: "Callable[[bytes], T]", op: Op, payload: bytes, tx_id: int = 0
    ) -> "Optional[T]":
        """Do as :meth:`ask`, but return ``None`` if the daemon answers ``ENOENT``."""
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
        return join_parts(
            lambda offset: self.find(decode_part, Op.DIRECTORY_PART, path + b"%d\0" % offset, tx_id)
        )

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
        """End a transaction; return ``False`` if the daemon answers ``EAGAIN``."""
        request = Request(Op.TRANSACTION_END, b"T\0" if commit else b"F\0", tx_id)
        inside = self._conversation.is_inside()
        try:
            self._call(request)
        except BaseException:
            if request.answer is None and not inside:
                # A signal handler raised an exception, perhaps before anything was sent.
                self._conversation.post(Request(Op.TRANSACTION_END, b"F\0", tx_id))
            raise
        if request.refusal == b"EAGAIN":
            return False
        self._decoded(self._conversation, request, decode_ack)
        return True

    def _exchange(self, op: Op, payload: bytes, tx_id: int) -> "Tuple[Conversation, Request]":
        self._check_length(payload)
        if not tx_id and self._conversation.is_inside():
            return self._spare_handle()._exchange(op, payload, 0)
        request = Request(op, payload, tx_id)
        self._call(request)
        return self._conversation, request

    def _check_length(self, payload: bytes) -> None:
        if len(payload) > self._max_payload:
            raise make_error(errno.E2BIG)

    def _call(self, request: Request) -> None:
        try:
            called = self._conversation.call(request)
        except ConnectionError as exc:
            self._translate(exc)
            raise
        if not called:
            raise make_error(errno.EDEADLK)

    def _decoded(
        self, conversation: Conversation, request: Request, decoder: "Callable[[bytes], T]"
    ) -> T:
        if request.refusal:
            raise make_error(error(request.refusal.decode("ascii")).errno or errno.EINVAL)
        try:
            return conversation.decoded(request, decoder)
        except ConnectionError as exc:
            self._translate(exc)
            raise

    def _spare_handle(self) -> "Handle":
        if self._spare is None:
            self._spare = Handle(_connected(self._connection.clone()))
        return self._spare

    def _translate(self, exc: "Union[ConnectionError, NestedCallError]") -> None:
        """Raise the error of the C extension for *exc*, unless a signal handler raised it."""
        if isinstance(exc, NestedCallError):
            if self._conversation.is_inside():
                raise make_error(errno.EDEADLK) from None
        elif self._conversation.tells_of_failure(exc):
            raise self._lost(exc) from exc

    def _lost(self, exc: ConnectionError) -> Error:
        """Return the error that libxenstore (*xs.c*) gives when its connection is lost.

        A call that fails to send gets EPIPE. All later calls get EBADF. After the first watch
        all calls get EBADF, because libxenstore's reading thread notices the loss first.
        """
        if self._closed:
            return make_error(errno.EINVAL)
        known, self._known_lost = self._known_lost or self._watched, True
        cause: Optional[BaseException] = exc
        while isinstance(cause, ConnectionError):
            cause = cause.__cause__
        first_noticed = isinstance(cause, BrokenPipeError) and not known
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
        self._check_length(strings(path, watch.token))
        self._acknowledge(lambda: set_watch(self._conversation, watch))
        self._orphaned = False

    def unwatch(self, path: bytes, token: Any) -> None:
        """End a watch; also after an error, one watch with this token is forgotten.

        :raises Error: as :meth:`ask`.
        """
        wanted = _token_bytes(token)
        known = [watch for watch in self._conversation.events.watches() if watch.token == wanted]
        payload = strings(path, wanted)
        if known and len(payload) > self._max_payload:
            self._conversation.events.discard(known[-1])
        self._check_length(payload)
        self._acknowledge(lambda: end_watches(self._conversation, Op.UNWATCH, payload, known[-1:]))

    def _acknowledge(self, send: "Callable[[], Request]") -> None:
        """Call *send*, which returns an answered request; raise an error unless it succeeded."""
        try:
            request = send()
        except (ConnectionError, NestedCallError) as exc:
            self._translate(exc)
            raise
        self._decoded(self._conversation, request, decode_ack)

    def wait_event(self) -> "Tuple[str, Any]":
        """Wait for the next event and return its path and token.

        :raises Error: ``EINVAL`` the connection is lost.
        """
        event = self._next_event(self._conversation.wait_event, None)
        assert event is not None  # None means a time-out, and there is none
        return event

    def poll_event(self) -> "Optional[Tuple[str, Any]]":
        """Return the path and token of an event that has arrived, or ``None``.

        :raises Error: ``EINVAL`` the connection is lost.
        """
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
                raise  # a signal handler raised it
            raise make_error(errno.EINVAL) from exc
        except NestedCallError as exc:
            self._translate(exc)
            raise

    def fileno(self) -> int:
        """Return a descriptor that is readable while an event has arrived."""
        readiness: Optional[Readiness] = self._readiness
        if readiness is None:
            self._readiness = readiness = Readiness()
        self._conversation.attach(readiness)
        return readiness.fileno()


def _event(notice: "Notice") -> "Tuple[str, Any]":
    _, path, _, watches = notice
    return decode_text(path), watches[0].label


def _abort(reply: bytes) -> Request:
    """Return the request that undoes a TRANSACTION_START, given its reply."""
    return Request(Op.TRANSACTION_END, b"F\0", decode_transaction(reply))


def _token_bytes(token: Any) -> bytes:
    # The id is unique while the object lives. The Watch and the caller keep it alive.
    return b"%d" % id(token)
