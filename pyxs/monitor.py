"""Watches: :class:`Monitor`."""

import time
import warnings
from typing import Iterator, List, NamedTuple, Optional

from . import helpers
from ._choice import choose_connection
from ._conversation.conversation import Conversation
from ._conversation.events import Notice, Watch
from ._conversation.link import Link
from ._conversation.readiness import Readiness
from ._conversation.watching import end_watches, set_watch
from ._names_of_0_4 import MONITOR, explain
from ._wire.packets import Op
from ._wire.replies import decode_ack
from ._wire.requests import strings
from .connection import TIMEOUT_MAX, AnyPath, PacketConnection
from .exceptions import InvalidPayload
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

    def __repr__(self) -> str:
        """Return the path, the state of the connection, and how many watches there are."""
        last = self._link.last
        watches = len(last.events.watches()) if last is not None and last.usable() else 0
        return "<{} {!r}, {}, {} watch{}>".format(
            type(self).__name__,
            self.connection.path,
            state_of(self._link),
            watches,
            "" if watches == 1 else "es",
        )

    def __enter__(self) -> "Monitor":
        """Connect, unless it is connected."""
        self._link.conversation()
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Disconnect."""
        self.close()

    def close(self) -> None:
        """Disconnect; a thread blocked in :meth:`wait` gets a ``ConnectionError``."""
        self._link.close()
        readiness = self._readiness
        if readiness is not None:
            readiness.close()
            self._readiness = None

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
        watch = _watch(wpath, token)
        suffix = b""
        if depth is not None:
            suffix = strings(b"%d" % validate_number(depth, "depth", 0, _DEPTH_MAX))
            if not self.connection.trusts_ids:
                # The kernel would drop it without a word.
                raise helpers.error("ENOSYS", decode_text(watch.wpath))
        conversation = self._link.conversation()
        readiness = self._readiness
        if readiness is not None and readiness.usable():
            conversation.attach(readiness)
        request = set_watch(conversation, watch, suffix, once=True)
        conversation.decoded(request, decode_ack)

    def unwatch(self, wpath: Text, token: "Optional[Text]" = None) -> None:
        """Stop watching; events of that watch which were not taken yet are dropped.

        :raises InvalidPath, InvalidPayload: as :meth:`watch`; nothing was sent.
        :raises PyXSError: ``ENOENT`` there is no such watch; nothing was sent.
        :raises ConnectionError: the connection was lost, and the watch with it.
        """
        wanted = _watch(wpath, token)
        conversation = self._current()
        conversation.check()
        watch = conversation.events.first_like(wanted)
        if watch is wanted:
            raise helpers.error("ENOENT", decode_text(wanted.wpath))
        _end(conversation, Op.UNWATCH, strings(watch.wpath, watch.token), [watch])

    def reset_watches(self) -> None:
        """Stop watching anything; events which were not taken yet are dropped.

        Over XenBus only this monitor's watches end, each by a request of its own.

        :raises ConnectionError: the connection was lost, and the watches with it.
        """
        conversation = self._current()
        conversation.check()
        watches = conversation.events.watches()
        if self.connection.trusts_ids:
            _end(conversation, Op.RESET_WATCHES, b"\0", watches)
            return
        # The kernel shares one connection among the processes of a domain:
        # RESET_WATCHES would end the watches of all.
        for watch in watches:
            _end(conversation, Op.UNWATCH, strings(watch.wpath, watch.token), [watch])

    # -- events ------------------------------------------------------------------------

    def wait(
        self,
        sleep: "Optional[float]" = None,
        timeout: "Optional[float]" = None,
    ) -> "Optional[Event]":
        """Wait for the next event.

        :param sleep: has no effect and draws a ``DeprecationWarning``: nothing is polled.
            Seconds to wait are *timeout*.
        :param timeout: seconds to wait; ``None``: without limit.
        :returns: the event, or ``None`` when the time has passed.
        :raises InvalidPayload: *timeout* or *sleep* is not a number of seconds.
        :raises ConnectionError: the connection is lost or closed.
        """
        check_sleep(sleep)
        return self._current().wait_event(_event, deadline_after(timeout))

    def check(self) -> "Optional[Event]":
        """Return an event that is here already, or ``None``.

        A message that has begun to arrive is finished; one that has not is not waited for.

        :raises ConnectionError: the connection is lost or closed.
        """
        return self._current().poll_event(_event)

    def __iter__(self) -> "Iterator[Event]":
        """Return the monitor itself, whose events never end."""
        return self

    def __next__(self) -> Event:
        """Wait for the next event and return it."""
        event = self.wait()
        assert event is not None  # without a time-out there is none to return
        return event

    def fileno(self) -> int:
        """Return a descriptor for ``select``, ``poll`` and ``epoll``.

        It is readable while :meth:`check` would return an event, and when the connection is lost.
        It stays the same until :meth:`close`; in a forked child it is another.

        :raises ConnectionError: there is no daemon.
        """
        conversation = self._current()
        readiness = self._readiness
        if readiness is None or not readiness.usable():
            # Made before the old one is closed, so that it gets another number.
            old, readiness = readiness, Readiness()
            self._readiness = readiness
            if old is not None:
                old.close()
        conversation.attach(readiness)
        return readiness.fileno()

    def _current(self) -> Conversation:
        """Return the conversation that the watches are part of, also if it has ended."""
        return self._link.last or self._link.conversation()


Event.__module__ = Monitor.__module__ = "pyxs"  # where help() is to find them
explain(Monitor, MONITOR)

_DEPTH_MAX = 2**31 - 1


def monitor(
    unix_socket_path: "Optional[AnyPath]" = None,
    socket_timeout: "Optional[float]" = None,
    xen_bus_path: "Optional[AnyPath]" = None,
    connection: "Optional[PacketConnection]" = None,
) -> Monitor:
    """Return a :class:`Monitor`; the arguments are those of :class:`Client`."""
    return Monitor(choose_connection(unix_socket_path, socket_timeout, xen_bus_path, connection))


def _watch(wpath: Text, token: "Optional[Text]") -> Watch:
    path = validate_watch_path(wpath)
    return Watch(path, path if token is None else validate_token(token))


def _end(conversation: Conversation, op: Op, payload: bytes, watches: "List[Watch]") -> None:
    conversation.decoded(end_watches(conversation, op, payload, watches), decode_ack)


def _event(notice: Notice) -> Event:
    return Event(decode_text(notice.path), decode_text(notice.token))


def deadline_after(timeout: "Optional[float]") -> "Optional[float]":
    """Return when a time-out that begins now is over, ``None`` for none.

    :raises InvalidPayload: *timeout* is not a number of seconds.
    """
    return None if timeout is None else time.monotonic() + _seconds(timeout, "timeout")


def check_sleep(sleep: "Optional[float]") -> None:
    """Warn the caller's caller of a *sleep* that is given: many mean a time-out.

    :raises InvalidPayload: *sleep* is not a number of seconds.
    """
    if sleep is None:
        return
    _seconds(sleep, "sleep")
    warnings.warn(
        "sleep, the first argument of wait(), has no effect: nothing is polled; the seconds to "
        "wait are wait(timeout={!r})".format(sleep),
        DeprecationWarning,
        stacklevel=3,
    )


def _seconds(number: float, name: str) -> float:
    if isinstance(number, (int, float)) and number >= 0:
        return min(number, TIMEOUT_MAX)
    raise InvalidPayload(
        number, "{} {!r}: must be a number of seconds from 0 up".format(name, number)
    )


def state_of(link: Link) -> str:
    """Return in words whether there is a live conversation."""
    return "connected" if link.last is not None and link.last.usable() else "not connected"
