"""Watches: :class:`Monitor`."""

import contextlib
import time
from typing import Iterator, List, NamedTuple, Optional

from . import helpers
from ._conversation.events import RawEvent, Readiness
from ._conversation.link import Link
from ._conversation.router import Router
from ._conversation.window import Request
from ._wire.packets import Op
from ._wire.replies import decode_ack
from ._wire.requests import strings
from .connection import TIMEOUT_MAX, AnyPath, PacketConnection, choose_connection
from .exceptions import InvalidPayload, PyXSError
from .helpers import Text, decode_text, validate_number, validate_token, validate_watch_path

__all__ = ["Event", "Monitor", "monitor"]


class Event(NamedTuple):
    """A change under a watched path."""

    path: str
    token: str


class Monitor:
    """Waits for changes under watched paths, over a connection of its own.

    Nothing is polled: the daemon tells. One thread may wait while others watch and
    unwatch. It connects at the first call. When its connection is lost its watches are
    too: :meth:`wait` and :meth:`check` raise :exc:`~pyxs.ConnectionError`, once the events
    that had arrived are taken, until the next :meth:`watch` connects anew. So in a
    forked child.

    :param connection: an unconnected connection, for this monitor alone.
    """

    def __init__(self, connection: PacketConnection) -> None:
        self._link = Link(choose_connection(connection=connection))
        self._readiness: Optional[Readiness] = None

    @property
    def connection(self) -> PacketConnection:
        """The connection of this monitor."""
        return self._link.connection

    def __enter__(self) -> "Monitor":
        self._link.router()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Disconnect; a thread blocked in :meth:`wait` gets a ``ConnectionError``."""
        self._link.close()
        readiness, self._readiness = self._readiness, None
        if readiness is not None:
            readiness.close()

    # -- watching ----------------------------------------------------------------------

    def watch(
        self, wpath: Text, token: "Optional[Text]" = None, depth: "Optional[int]" = None
    ) -> None:
        """Watch a node and all below it. An event comes at once, then one for each change.

        :param wpath: a path, or ``@introduceDomain``, ``@releaseDomain`` or
            ``@releaseDomain/<domid>``.
        :param token: comes back with each event; by default *wpath*.
        :param depth: how many levels below the node are watched; Xen's head only.
        :raises InvalidPath: *wpath* breaks a rule of *xenstore.txt*; nothing was sent.
        :raises InvalidPayload: *token* is empty or holds a NUL, or *depth* is not an integer
            from 0 up; nothing was sent.
        :raises PyXSError: ``EEXIST`` the same path is watched with the same token,
            ``ENOSPC`` or ``E2BIG`` the domain has too many watches, ``EINVAL`` the daemon knows no
            depth, ``ENOSYS`` XenBus passes none on.
        :raises ConnectionError: there is no daemon, or the connection was lost.
        """
        watch = _raw_watch(wpath, token)
        payload = strings(*watch)
        if depth is not None:
            payload += strings(b"%d" % validate_number(depth, "depth", 0, _DEPTH_MAX))
            if not self.connection.trusts_ids:
                raise helpers.error("ENOSYS")  # the kernel would drop it without a word
        router = self._link.router()
        if self._readiness is not None and self._readiness.is_own():
            router.attach(self._readiness)
        with router.watch_lock:
            if watch in router.watches():
                raise helpers.error("EEXIST")
            try:
                router.add_watch(*watch)
                _acknowledged(router, Op.WATCH, payload)
            except BaseException as exc:
                router.discard_watch(*watch)
                if not isinstance(exc, PyXSError):
                    # A signal handler raised: the daemon may have the watch.
                    _send_only(router, Op.UNWATCH, strings(*watch))
                raise

    def unwatch(self, wpath: Text, token: "Optional[Text]" = None) -> None:
        """Stop watching; events of that watch which were not taken yet are dropped.

        :raises InvalidPath, InvalidPayload: as :meth:`watch`; nothing was sent.
        :raises PyXSError: ``ENOENT`` there is no such watch; nothing was sent.
        :raises ConnectionError: the connection was lost, and the watch with it.
        """
        watch = _raw_watch(wpath, token)
        router = self._current()
        router.check()
        with router.watch_lock:
            if watch not in router.watches():
                raise helpers.error("ENOENT")
            self._end(router, Op.UNWATCH, strings(*watch), [watch])

    def reset_watches(self) -> None:
        """Stop watching anything; events which were not taken yet are dropped.

        Over XenBus only this monitor's watches end, each by a request of its own.

        :raises ConnectionError: the connection was lost, and the watches with it.
        """
        router = self._current()
        router.check()
        with router.watch_lock:
            watches = router.watches()
            if self.connection.trusts_ids:
                self._end(router, Op.RESET_WATCHES, b"\0", watches)
            else:
                # The kernel shares one connection among the processes of a domain:
                # RESET_WATCHES would end the watches of all.
                for watch in watches:
                    self._end(router, Op.UNWATCH, strings(*watch), [watch])

    def _end(self, router: Router, op: Op, payload: bytes, watches: "List[RawEvent]") -> None:
        try:
            _acknowledged(router, op, payload)
            _discard(router, watches)
        except BaseException as exc:
            if not isinstance(exc, PyXSError):
                # A signal handler raised, perhaps before anything was sent.
                _send_only(router, op, payload)
            _discard(router, watches)
            raise

    # -- events ------------------------------------------------------------------------

    def wait(
        self,
        sleep: "Optional[float]" = None,  # noqa: ARG002
        timeout: "Optional[float]" = None,
    ) -> "Optional[Event]":
        """Wait for the next event.

        :param sleep: accepted for old callers; nothing is polled.
        :param timeout: seconds to wait; ``None``: without limit.
        :returns: the event, or ``None`` when the time has passed.
        :raises InvalidPayload: *timeout* is not a number of seconds.
        :raises ConnectionError: the connection is lost or closed.
        """
        deadline = None if timeout is None else time.monotonic() + _seconds(timeout)
        return _event(self._current().wait_event(deadline))

    def check(self) -> "Optional[Event]":
        """Return an event that is here already, or ``None``.

        A message that has begun to arrive is finished; one that has not is not waited for.

        :raises ConnectionError: the connection is lost or closed.
        """
        return _event(self._current().poll_event())

    def __iter__(self) -> "Iterator[Event]":
        return self

    def __next__(self) -> Event:
        event = self.wait()
        assert event is not None  # without a time-out there is none to return
        return event

    def fileno(self) -> int:
        """Return a descriptor for ``select``, ``poll`` and ``epoll``.

        It is readable while :meth:`check` would return an event, and when the connection is lost.
        It stays the same until :meth:`close`; in a forked child it is another.

        :raises ConnectionError: there is no daemon.
        """
        router = self._current()
        if self._readiness is None or not self._readiness.is_own():
            self._readiness = Readiness()
        router.attach(self._readiness)
        return self._readiness.fileno()

    def _current(self) -> Router:
        """Return the conversation that the watches are part of, also if it has ended."""
        return self._link.last or self._link.router()


_DEPTH_MAX = 2**31 - 1


def monitor(
    unix_socket_path: "Optional[AnyPath]" = None,
    socket_timeout: "Optional[float]" = None,
    xen_bus_path: "Optional[AnyPath]" = None,
    connection: "Optional[PacketConnection]" = None,
) -> Monitor:
    """Return a :class:`Monitor`; the arguments are those of :class:`Client`."""
    return Monitor(choose_connection(unix_socket_path, socket_timeout, xen_bus_path, connection))


def _raw_watch(wpath: Text, token: "Optional[Text]") -> RawEvent:
    path = validate_watch_path(wpath)
    return path, path if token is None else validate_token(token)


def _acknowledged(router: Router, op: Op, payload: bytes) -> None:
    request = Request(op, payload)
    router.call(request)
    router.decoded(request, decode_ack)


def _send_only(router: Router, op: Op, payload: bytes) -> None:
    """Send a request whose reply concerns nobody."""
    with contextlib.suppress(PyXSError):
        router.submit((Request(op, payload),))


def _discard(router: Router, watches: "List[RawEvent]") -> None:
    for watch in watches:
        router.discard_watch(*watch)


def _event(raw: "Optional[RawEvent]") -> "Optional[Event]":
    return None if raw is None else Event(decode_text(raw[0]), decode_text(raw[1]))


def _seconds(timeout: float) -> float:
    if isinstance(timeout, (int, float)) and timeout >= 0:
        return min(timeout, TIMEOUT_MAX)
    raise InvalidPayload("timeout {!r}: must be a number of seconds from 0 up".format(timeout))
