""":class:`Monitor`: watches and their events."""

import errno
import sys
import time
from collections import namedtuple

from . import helpers
from ._annotations import t
from ._channels.descriptor import begin_anew_in_children
from ._channels.failures import accepted, decoded
from ._channels.watch import Watch
from ._channels.watching import Watching
from ._choice import choose_connection
from ._names_of_0_4 import MONITOR, explain
from ._wire.packets import Op
from ._wire.refusals import refusal
from ._wire.replies import decode_ack
from ._wire.requests import strings
from .connection import TIMEOUT_MAX, PacketConnection
from .exceptions import InvalidPayload, PyXSError
from .helpers import (
    decode_text,
    shown,
    validate_number,
    validate_token,
    validate_watch_path,
    warn,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._channels.channel import Reply
else:  # for typing.get_type_hints()
    Reply = None

__all__ = ["Event", "Monitor", "monitor"]


class Event(namedtuple("Event", ["path", "token"])):
    """A change at or below a watched path."""

    __slots__ = ()

    path: str  #: the path that changed
    token: str  #: the token of the watch


class Monitor:
    """Waits for changes at or below watched paths, over its own connection.

    The daemon sends the events; a monitor does not poll. It connects at the first call. One
    thread may wait while others watch and unwatch.

    If the connection is lost, the watches are lost too. :meth:`wait` and :meth:`check` return
    the events that have arrived and then raise :exc:`~pyxs.ConnectionError`, until
    :meth:`watch` reconnects. The same is true in a forked child. If the exception of a signal
    handler has closed the connection in the middle of a call, the next call connects again and
    sets the watches again. Each reports once then, as a new one does.

    :param connection: where to connect; others may use it too.
    :raises TypeError: *connection* is not a connection.
    """

    def __init__(self, connection: PacketConnection) -> None:
        self._watching = Watching(choose_connection(connection=connection))
        begin_anew_in_children(self._watching)  # an xs makes a new one in each process

    @property
    def connection(self) -> PacketConnection:
        """The connection of this monitor."""
        return self._watching.connection

    def __repr__(self) -> str:
        """Return the path, the state of the connection, and the number of watches."""
        connected = self._watching.is_connected()
        watches = len(self._watching.watches()) if connected else 0
        return "<{} {!r}, {}, {} watch{}>".format(
            type(self).__name__,
            self.connection.path,
            "connected" if connected else "not connected",
            watches,
            "" if watches == 1 else "es",
        )

    def __enter__(self) -> "Monitor":
        """Connect, unless the monitor is connected.

        :raises ConnectionError: the daemon cannot be reached.
        """
        self._watching.connect()
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Disconnect."""
        self.close()

    def close(self) -> None:
        """Disconnect; :meth:`wait` raises ``ConnectionError`` in a blocked thread."""
        self._watching.close()

    # -- watching ----------------------------------------------------------------------

    def watch(
        self,
        wpath: "t.Text",
        token: "t.Optional[t.Text]" = None,
        depth: "t.Optional[int]" = None,
        try_depth: "t.Optional[int]" = None,
    ) -> None:
        """Watch a node and all nodes below it.

        The daemon sends an event at once, and one after each change (WATCH, *xenstore.txt*).

        :param wpath: a path, or ``@introduceDomain``, ``@releaseDomain`` or
            ``@releaseDomain/<domid>``. A ``RuntimeWarning`` says so if only the ``@`` is missing.
        :param token: a text that each event of the watch carries; by default *wpath*.
        :param depth: how many levels below the node are watched, since Xen 4.22. On
            ``@introduceDomain`` and ``@releaseDomain`` 1 reports the domid too.
        :param try_depth: as *depth*, but where that is not supported all nodes below are watched.
        :raises InvalidPath: *wpath* breaks a rule of *xenstore.txt*; nothing was sent.
        :raises InvalidPayload: *token* is empty or contains NUL, *depth* or *try_depth* is not an
            integer from 0 to 2**31 - 1, or both are given; nothing was sent.
        :raises PyXSError: ``EEXIST`` the same path is watched with the same token,
            ``ENOSPC`` or ``E2BIG`` the domain has too many watches, ``EINVAL`` the daemon does not
            support *depth*, ``ENOSYS`` XenBus does not.
        :raises ConnectionError: the daemon cannot be reached, or the connection was lost.
        """
        if depth is not None and try_depth is not None:
            raise InvalidPayload(try_depth, "try_depth: give either this or depth")
        _warn_of_special(wpath)
        if try_depth is None:
            self._set(wpath, token, depth)
            return
        # Linux would send the request without the depth.
        wanted = validate_number(try_depth, "try_depth", 0, _DEPTH_MAX)
        try:
            self._set(wpath, token, wanted if self.connection.trusts_ids else None)
        except PyXSError as exc:
            if exc.errno != errno.EINVAL:
                raise
            self._set(wpath, token, None)

    def _set(self, wpath: "t.Text", token: "t.Optional[t.Text]", depth: "t.Optional[int]") -> None:
        suffix = b""
        if depth is not None:
            suffix = strings(b"%d" % validate_number(depth, "depth", 0, _DEPTH_MAX))
        watch = _watch(wpath, token, suffix)
        if suffix and not self.connection.trusts_ids:
            why = "Linux sends no depth over XenBus; try_depth watches all nodes below"
            raise helpers.error("ENOSYS", decode_text(watch.wpath), why)
        self._acknowledge(Op.WATCH, watch, self._watching.watch(watch, renew=True, once=True))

    def unwatch(self, wpath: "t.Text", token: "t.Optional[t.Text]" = None) -> None:
        """End a watch and drop its pending events.

        :param wpath: the path of the watch.
        :param token: its token; by default *wpath*.
        :raises InvalidPath, InvalidPayload: as :meth:`watch`; nothing was sent.
        :raises PyXSError: ``ENOENT`` this monitor has no such watch; nothing was sent.
        :raises ConnectionError: the watch was lost with the connection.
        """
        wanted = _watch(wpath, token)
        self._watching.check()
        watch = self._watching.first_like(wanted)
        if watch is wanted:
            raise refusal(Op.UNWATCH, strings(wanted.wpath, wanted.token), b"ENOENT")
        self._end(watch)

    def reset_watches(self) -> None:
        """End all watches of this monitor and drop their pending events.

        Over XenBus pyxs sends one UNWATCH for each watch, because RESET_WATCHES would end the
        watches of all processes of the domain.

        :raises ConnectionError: the watches were lost with the connection.
        """
        self._watching.check()
        watches = self._watching.watches()
        if self.connection.trusts_ids:
            op = Op.RESET_WATCHES
            reply = self._watching.end(op, b"\0", watches)
            self._acknowledge(op, None, reply)
            return
        for watch in watches:
            self._end(watch)

    def _end(self, watch: Watch) -> None:
        payload = strings(watch.wpath, watch.token)
        self._acknowledge(Op.UNWATCH, watch, self._watching.end(Op.UNWATCH, payload, [watch]))

    def _acknowledge(self, op: Op, watch: "t.Optional[Watch]", reply: "Reply") -> None:
        """Raise an exception unless the reply is OK."""
        request = b"" if watch is None else watch.payload
        decoded(self._watching, decode_ack, op, accepted(op, request, reply))

    # -- events ------------------------------------------------------------------------

    def wait(
        self,
        sleep: "t.Optional[float]" = None,
        timeout: "t.Optional[float]" = None,
    ) -> "t.Optional[Event]":
        """Wait for the next event.

        :param sleep: has no effect, and gives a ``FutureWarning``; see *timeout*.
        :param timeout: seconds to wait; ``None``: without limit. Without a limit and without a
            watch, in the main thread, a ``RuntimeWarning`` says that no event can come.
        :returns: the event, or ``None`` when the time has passed.
        :raises InvalidPayload: *timeout* or *sleep* is not a number of seconds.
        :raises ConnectionError: the connection is lost or closed.
        """
        if sleep is not None:
            check_sleep(sleep)
        return self._wait(timeout)

    def _wait(self, timeout: "t.Optional[float]") -> "t.Optional[Event]":
        deadline = None
        if timeout is not None:
            deadline = deadline_after(timeout)
        elif not self._watching.has_watches() and _in_main_thread():
            # In another thread the program may be about to watch, as docs/examples/callbacks.py.
            self._watching.check()
            warn("this monitor has no watch, so no event comes until another thread calls watch()")
        return self._watching.wait_event(_event, deadline)

    def check(self) -> "t.Optional[Event]":
        """Return an event that has arrived, or ``None``, without waiting for one.

        If only a part of a message has arrived, this waits for the rest.

        :raises ConnectionError: the connection is lost or closed.
        """
        return self._watching.poll_event(_event)

    def __iter__(self) -> "t.Iterator[Event]":
        """Return the monitor: it is an iterator over its events, without end."""
        return self

    def __next__(self) -> Event:
        """Wait for the next event and return it.

        :raises ConnectionError: the connection is lost or closed.
        """
        event = self._wait(None)
        assert event is not None  # None means a timeout, and there is none
        return event

    def __reduce_ex__(self, protocol: "t.Any") -> "t.NoReturn":
        """Raise ``TypeError``: a monitor cannot be copied or pickled."""
        raise TypeError("a Monitor cannot be copied or pickled: make one in each process")

    def fileno(self) -> int:
        """Return a descriptor for ``select``, ``poll`` and ``epoll``.

        The descriptor is readable while :meth:`check` would return an event, and after the
        connection is lost. It stays the same until :meth:`close`. A forked child gets another.

        :raises ConnectionError: the daemon cannot be reached.
        """
        return self._watching.fileno()


Event.__module__ = Monitor.__module__ = "pyxs"  # where help() is to find them
explain(Monitor, MONITOR)

_DEPTH_MAX = 2**31 - 1
_SPECIAL = (b"introduceDomain", b"releaseDomain")


def monitor(
    unix_socket_path: "t.Optional[t.AnyPath]" = None,
    socket_timeout: "t.Optional[float]" = None,
    xen_bus_path: "t.Optional[t.AnyPath]" = None,
    connection: "t.Optional[PacketConnection]" = None,
) -> Monitor:
    """Return a :class:`Monitor`; the arguments and errors are those of :class:`Client`."""
    return Monitor(choose_connection(unix_socket_path, socket_timeout, xen_bus_path, connection))


def _watch(wpath: "t.Text", token: "t.Optional[t.Text]", suffix: bytes = b"") -> Watch:
    path = validate_watch_path(wpath)
    return Watch(path, path if token is None else validate_token(token), suffix)


def _in_main_thread() -> bool:
    threading: t.Any = sys.modules.get("threading")
    return threading is None or threading.current_thread() is threading.main_thread()


def _warn_of_special(wpath: "t.Text") -> None:
    """Warn if a relative path is the name of a special one."""
    path = wpath.encode("ascii", "replace") if isinstance(wpath, str) else wpath
    if isinstance(path, bytes) and path.partition(b"/")[0] in _SPECIAL:
        text = decode_text(path)
        warn("{!r} is watched as a node; the special path is {!r}".format(text, "@" + text))


def _event(path: bytes, watch: Watch) -> Event:
    return Event(decode_text(path), decode_text(watch.token))


def deadline_after(timeout: float) -> float:
    """Return the deadline of a timeout that begins now, in seconds of :func:`time.monotonic`.

    :param timeout: in seconds.
    :raises InvalidPayload: *timeout* is not a number of seconds.
    """
    return time.monotonic() + seconds(timeout, "timeout")


def check_sleep(sleep: float) -> None:
    """Give a ``FutureWarning``, because *sleep* is given.

    :raises InvalidPayload: *sleep* is not a number of seconds.
    """
    seconds(sleep, "sleep")
    warn(
        "the first argument of wait() is sleep, which has no effect: this call waits without "
        "limit. For a timeout write wait(timeout={})".format(shown(sleep)),
        # A DeprecationWarning is only shown in the main program, so it is none.
        FutureWarning,
    )


def seconds(number: float, name: str) -> float:
    """Return a timeout, at most :data:`TIMEOUT_MAX`.

    :param name: the argument's name, for the message.
    :raises InvalidPayload: *number* is not a number of seconds.
    """
    if isinstance(number, (int, float)) and number >= 0:
        return min(number, TIMEOUT_MAX)
    raise InvalidPayload(
        number, "{} {}: must be a number of seconds from 0 up".format(name, shown(number))
    )
