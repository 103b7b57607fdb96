"""Watches on one channel, and their events: what a monitor and an ``xs`` have in common."""

import os
import time
from collections import deque
from itertools import islice

from .._wire.packets import ERROR, Op
from .._wire.requests import strings
from ..connection import PacketConnection
from ..exceptions import ConnectionError
from ..helpers import decode_text, error
from .channel import Channel
from .failures import raised_by_handler
from .readiness import Readiness
from .shared import Shared
from .watch import Watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Deque, Dict, List, Optional, Sequence, Tuple, TypeVar

    from .channel import Reply
    from .inbox import Answers, Event
    from .shared import Ready, Undo

    T = TypeVar("T")


class Watching:
    """A channel with watches, and the events that no call has taken yet.

    It connects at the first call. When an exception has closed the channel in the middle of a
    call, the next call connects again and sets the watches again. Only the call that has the turn
    changes watches and receives; any call takes an event.

    :param connection: where to connect.
    """

    def __init__(self, connection: PacketConnection) -> None:
        self.connection = connection
        self.path = connection.path
        self._begin(None)

    def _begin(self, inherited: "Optional[Channel]") -> None:
        self._pid = os.getpid()
        self._shared = Shared(inherited)
        self._live: Dict[bytes, List[Watch]] = {}  # by token
        self._events: Deque[Event] = deque()
        self._oldest = iter(self._events.popleft, None)
        self._readiness: Optional[Readiness] = None

    def use(
        self,
        action: "Callable[..., T]",
        *args: "Any",
        undo: "Undo" = None,
        ready: "Optional[Ready]" = None,
    ) -> "T":
        """Call an action with the channel; see :meth:`Shared.use`.

        :param ready: in place of :meth:`_ready`.
        """
        shared = self._here() if self._pid != os.getpid() else self._shared
        try:
            return shared.use(ready or self._ready, action, *args, undo=undo)
        finally:
            if self._readiness is not None:
                self._refresh()

    def _here(self) -> Shared:
        if self._pid != os.getpid():
            self._begin(self._shared.channel)
        return self._shared

    # -- the channel -------------------------------------------------------------------

    def is_connected(self) -> bool:
        """Return whether there is a channel that works."""
        channel = self._shared.channel
        return channel is not None and channel.is_usable()

    def _ready(self) -> Channel:
        """Return a channel that works; connect at first, and after an interruption."""
        channel = self._shared.channel
        if channel is not None:
            if channel.is_usable():
                return channel
            channel.check()
        return self._connect()

    def _renewed(self) -> Channel:
        """Return a channel that works; connect after a loss too, without the watches."""
        channel = self._shared.channel
        if channel is not None and (channel.failure is not None or channel.pid != os.getpid()):
            channel.close()
            self._live = {}
            self._events.clear()
            self._shared.channel = None
        return self._ready()

    def _as_it_is(self) -> Channel:
        """Return the channel, which may be lost; connect at first."""
        channel = self._shared.channel
        if channel is not None and channel.pid != os.getpid():
            channel.check()
        return channel or self._connect()

    def _connect(self) -> Channel:
        channel = Channel(self.connection, events=self._events)
        for watch in self.watches():
            if not watch.is_set:  # the call that sets it was interrupted
                self.forget([watch])
                continue
            kind, payload = channel.exchange({}, Op.WATCH, watch.payload)
            if kind == ERROR:
                self._shared.channel = channel
                channel.fail(error(payload[:-1], decode_text(watch.wpath)))
        self._shared.channel = channel
        self._follow(channel)
        return channel

    def connect(self) -> None:
        """Connect, also after a loss, unless it is connected.

        :raises ConnectionError: the daemon cannot be reached.
        """
        self.use(_nothing, ready=self._renewed)

    def check(self) -> None:
        """Raise an exception if the connection is lost, and with it the watches.

        :raises ConnectionError: it is.
        """
        channel = self._shared.channel
        if channel is not None:
            channel.check()

    def refuses(self, exc: BaseException) -> bool:
        """Return whether *exc* says that a call is inside another one here."""
        return self._shared.refuses(exc)

    def distrust(self) -> None:
        """Close the channel, because a malformed reply came from it."""
        self._shared.close()

    def close(self) -> None:
        """Disconnect; calls in progress raise ``ConnectionError``, and so do later ones."""
        self._here().close()
        self._readiness = None

    # -- watches -----------------------------------------------------------------------

    def watches(self) -> "List[Watch]":
        """Return the live watches, those of one token in the order in which they were set."""
        return [watch for watches in list(self._live.values()) for watch in watches]

    def has_watches(self) -> bool:
        """Return whether there is a live watch."""
        return bool(self._live)

    def first_like(self, watch: Watch) -> Watch:
        """Return the oldest live watch with the same path and token, or this one."""
        for each in self._live.get(watch.token, ()):
            if each.wpath == watch.wpath:
                return each
        return watch

    def watch(self, watch: Watch, renew: bool = False, once: bool = False) -> "Reply":
        """Set a watch and return the reply. If it is refused or interrupted, no watch is set.

        :param renew: whether to connect again after a loss.
        :param once: whether to refuse a watch that is set already.
        :raises PyXSError: ``EEXIST`` it is set already; nothing was sent.
        :raises NestedCallError: this call is inside another of its thread.
        :raises ConnectionError: the connection is lost, or the daemon cannot be reached.
        """

        def undo(_reply: bytes) -> "Optional[Tuple[int, bytes, int]]":
            if self.first_like(watch) is not watch:
                return None  # the daemon has the watch for another call too
            return Op.UNWATCH, strings(watch.wpath, watch.token), 0

        ready = self._renewed if renew else self._ready
        return self.use(self._watch, watch, once, undo=undo, ready=ready)

    def _watch(self, channel: Channel, answers: "Answers", watch: Watch, once: bool) -> "Reply":
        if once and self.first_like(watch) is not watch:
            raise error("EEXIST", decode_text(watch.wpath))
        try:
            # Before WATCH is sent, because events may come before its reply.
            self._live = dict(self._live)
            self._live[watch.token] = [*self._live.get(watch.token, ()), watch]
            reply = channel.exchange(answers, Op.WATCH, watch.payload)
            watch.is_set = reply[0] != ERROR
        finally:
            if not watch.is_set:
                self.forget([watch])
        return reply

    def end(self, op: Op, payload: bytes, watches: "Sequence[Watch]") -> "Reply":
        """End watches by one request and return the reply.

        Their events are dropped, also if it is refused. If an exception comes before the reply,
        the watches stay.

        :raises NestedCallError: this call is inside another of its thread.
        :raises ConnectionError: the connection is lost.
        """

        def request(channel: Channel, answers: "Answers") -> "Reply":
            reply = channel.exchange(answers, op, payload)
            self.forget(watches)
            return reply

        return self.use(request, undo=lambda _reply: self.forget(watches))

    def forget(self, watches: "Sequence[Watch]") -> None:
        """Forget watches, and drop the events that no other covers."""
        live = {}
        for token, alike in self._live.items():
            left = [watch for watch in alike if watch not in watches]
            if left:
                live[token] = left
        self._live = live
        self._drop_strays()

    def _drop_strays(self) -> None:
        for event in list(self._events):
            if self._watch_of(event) is None:
                try:
                    self._events.remove(event)
                except ValueError as exc:
                    if raised_by_handler(exc):
                        raise  # otherwise another thread has taken it

    def _watch_of(self, event: "Event") -> "Optional[Watch]":
        path, token = event
        for watch in self._live.get(token, ()):
            if watch.covers(path):
                return watch
        return None

    # -- events ------------------------------------------------------------------------

    def wait_event(
        self, make: "Callable[[bytes, Watch], T]", deadline: "Optional[float]"
    ) -> "Optional[T]":
        """Return the next event, waiting for it; ``None`` when the deadline passes.

        :param make: called with the path and the watch; its result is returned.
        :raises NestedCallError: this call is inside another of its thread.
        :raises ConnectionError: the connection is lost, and no event is left.
        """
        return self._next(make, lambda take: self._here().wait(self._ready, take, deadline))

    def poll_event(self, make: "Callable[[bytes, Watch], T]") -> "Optional[T]":
        """Return an event that has arrived; wait only for the rest of a message.

        :raises NestedCallError, ConnectionError: as :meth:`wait_event`.
        """
        return self._next(make, lambda take: self._here().use(self._ready, _look, take))

    def _next(
        self,
        make: "Callable[[bytes, Watch], T]",
        wait: "Callable[[Callable[[], bool]], object]",
    ) -> "Optional[T]":
        self._here()
        held: List[Any] = []  # the event and its watch

        def take() -> bool:
            return self._take(held)

        try:
            if not take():
                try:
                    wait(take)
                except ConnectionError:
                    if self.is_connected() or raised_by_handler() or not take():
                        raise
            return make(held[0][0], held[1]) if held else None
        except BaseException:
            self._events.extendleft(held[:1])
            raise
        finally:
            self._refresh()

    def _take(self, held: "List[Any]") -> bool:
        """Move the oldest event that a watch covers to *held*; ``False``: there is none."""
        while self._events:
            try:
                # One call in C, so that an exception cannot lose the event.
                held.extend(islice(self._oldest, 1))
            except IndexError as exc:
                if raised_by_handler(exc):
                    raise  # otherwise another thread has taken it
                continue
            watch = self._watch_of(held[0])
            if watch is not None:
                held.append(watch)
                return True
            held.clear()
        return False

    # -- select loops ------------------------------------------------------------------

    def fileno(self) -> int:
        """Return a descriptor for select loops: readable while an event can be had.

        :raises ConnectionError: the daemon cannot be reached.
        """
        return self.use(self._fileno, ready=self._as_it_is)

    def _fileno(self, channel: Channel, answers: "Answers") -> int:  # noqa: ARG002
        if self._readiness is None:
            self._readiness = Readiness()
            self._follow(channel)
        return self._readiness.fileno()

    def _follow(self, channel: Channel) -> None:
        if self._readiness is not None:
            channel.before_close = self._readiness.unfollow
            if channel.is_usable():
                self._readiness.follow(channel.poller.fd)

    def _refresh(self) -> None:
        """Show whether there is an event, or the channel has ended."""
        if self._readiness is not None:
            self._drop_strays()
            self._readiness.show(lambda: bool(self._events) or not self.is_connected())


def _nothing(channel: Channel, answers: "Answers") -> None:
    """Use the channel for nothing: it is connected now."""


def _look(channel: Channel, answers: "Answers", take: "Callable[[], bool]") -> None:  # noqa: ARG001
    """Receive the events that have arrived; wait only for the rest of a message."""
    if channel.is_readable(time.monotonic()):
        channel.receive_events()
    while not take() and channel.inbox.framer.begun:
        if channel.is_readable(None):
            channel.receive_events()
