"""What an :class:`~pyxs.xs` has in one process: a connection with its watches."""

import contextlib
import errno
import os
import stat
from typing import Any, Callable, Dict, List, Optional, Tuple, TypeVar

from .._conversation.events import RawEvent, Readiness
from .._conversation.router import Router
from .._conversation.window import Request
from .._wire.packets import PAYLOAD_MAX, Op
from .._wire.replies import decode_ack, decode_names, decode_part, join_parts
from .._wire.requests import strings
from ..connection import PacketConnection, UnixSocketConnection, XenBusConnection
from ..exceptions import ConnectionError, PyXSError
from ..helpers import decode_text
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
        is_socket = stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError as exc:
        raise make_error(exc.errno or errno.ENOENT) from exc
    return UnixSocketConnection(path) if is_socket else XenBusConnection(path)


def _connected(connection: PacketConnection) -> PacketConnection:
    try:
        connection.connect()
    except ConnectionError as exc:
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
        self._router = Router(connection)
        self._orphaned = orphaned
        self._closed = False
        self._watched = False  # ever
        self._known_lost = False
        self._readiness: Optional[Readiness] = None
        #: By their names on the wire; one that is in several watches is there as often.
        #: Guarded by the router's watch_lock.
        self._tokens: Dict[bytes, List[Any]] = {}

    def child(self) -> "Handle":
        """Return a handle of the same kind for a forked child; this one stays the parent's."""
        connection = _connected(self._connection.clone())
        return Handle(connection, self._orphaned or bool(self._tokens))

    def close(self) -> None:
        """End all calls in progress and disconnect."""
        self._closed = True
        self._router.close()
        self._close_readiness()

    def abandon(self) -> None:
        """Close the descriptors, no more: in a forked child they are the parent's too."""
        self._connection.disconnect()
        self._close_readiness()

    def _close_readiness(self) -> None:
        readiness, self._readiness = self._readiness, None
        if readiness is not None:
            readiness.close()

    def ask(self, decoder: "Callable[[bytes], T]", op: Op, payload: bytes, tx_id: int = 0) -> T:
        """Send a request and return what its reply says.

        :raises Error: the daemon's answer, ``E2BIG`` for what does not fit a message, or
            what a lost connection gives.
        """
        if len(payload) > PAYLOAD_MAX:
            raise make_error(errno.E2BIG)
        request = Request(op, payload, tx_id)
        try:
            self._router.call(request)
            return self._router.decoded(request, decoder)
        except ConnectionError as exc:
            raise self._lost(exc) from exc
        except PyXSError as exc:
            # Without an errno: it is longer than XenBus carries.
            raise make_error(exc.errno or errno.E2BIG) from None

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

    def names(self, path: bytes, tx_id: int) -> "List[str]":
        """Return the names of a node's children, however many."""
        try:
            return self.ask(decode_names, Op.DIRECTORY, path, tx_id)
        except Error as exc:
            if exc.args[0] != errno.E2BIG:
                raise
        return join_parts(
            lambda offset: self.ask(decode_part, Op.DIRECTORY_PART, path + b"%d\0" % offset, tx_id)
        )

    # -- watches -----------------------------------------------------------------------

    def watch(self, path: bytes, token: Any) -> None:
        name = _name(token)
        with self._router.watch_lock:
            self._watched = True
            tokens = self._tokens.setdefault(name, [])
            known = len(tokens)
            try:
                tokens.append(token)
                # Events are told apart by the token alone, as the C extension does: there
                # one token may be in several watches.
                self._router.add_watch(b"/", name)
                self.ask(decode_ack, Op.WATCH, strings(path, name))
            except BaseException as exc:
                self._keep(name, known)
                if not (known or isinstance(exc, Error)):
                    # A signal handler raised: the daemon may have the watch.
                    self._send_only(Op.UNWATCH, strings(path, name))
                raise
            self._orphaned = False

    def unwatch(self, path: bytes, token: Any) -> None:
        name = _name(token)
        with self._router.watch_lock:
            left = max(0, len(self._tokens.get(name, ())) - 1)
            try:
                self.ask(decode_ack, Op.UNWATCH, strings(path, name))
                self._keep(name, left)
            except BaseException as exc:
                if not isinstance(exc, Error):
                    # A signal handler raised, perhaps before anything was sent.
                    self._send_only(Op.UNWATCH, strings(path, name))
                self._keep(name, left)  # whatever the answer, as the C extension does
                raise

    def _send_only(self, op: Op, payload: bytes) -> None:
        """Send a request whose reply concerns nobody."""
        with contextlib.suppress(PyXSError):
            self._router.submit((Request(op, payload),))

    def _keep(self, name: bytes, count: int) -> None:
        """Forget all but so many watches with this token. Repeating it does no harm."""
        tokens = self._tokens.get(name, [])
        del tokens[count:]
        if not tokens:
            self._tokens.pop(name, None)
            self._router.discard_watch(b"/", name)

    def wait_event(self) -> "Tuple[str, Any]":
        """Return the next event, waiting for it."""
        event = self._next_event(lambda: self._router.wait_event(None))
        assert event is not None  # without a deadline there is none to miss
        return event

    def poll_event(self) -> "Optional[Tuple[str, Any]]":
        """Return an event that is here, or ``None``."""
        return self._next_event(self._router.poll_event)

    def _next_event(self, take: "Callable[[], Optional[RawEvent]]") -> "Optional[Tuple[str, Any]]":
        if self._orphaned:
            raise make_error(errno.EINVAL)
        while True:
            try:
                event = take()
            except ConnectionError as exc:
                raise make_error(errno.EINVAL) from exc
            if event is None:
                return None
            path, name = event
            for token in self._tokens.get(name, ()):
                return decode_text(path), token
            # None: another thread has just stopped that watch.

    def fileno(self) -> int:
        """Return a descriptor that is readable while there is an event to be had."""
        with self._router.watch_lock:
            if self._readiness is None:
                self._readiness = Readiness()
            self._router.attach(self._readiness)
            return self._readiness.fileno()


def _name(token: Any) -> bytes:
    # Its own while the object lives, which _tokens and our caller see to.
    return b"%d" % id(token)
