"""Watches on one channel, and their events: what a monitor and an ``xs`` have in common."""

import os
from collections import deque
from functools import partial
from itertools import islice

from .._wire.packets import ERROR, Op
from .._wire.requests import strings
from ..connection import PacketConnection
from ..exceptions import ConnectionError
from ..helpers import decode_text, error
from .channel import Channel
from .failures import raised_by_handler
from .readiness import Readiness
from .shared import Shared, look
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

    def forked(self) -> None:
        """Begin anew in a child process, with a channel that is not its own."""
        self._begin(self._shared.channel)

    def _begin(self, inherited: "Optional[Channel]") -> None:
        self._pid = os.getpid()
        self._shared = Shared(inherited)
        self._live: Dict[bytes, List[Watch]] = {}  # by token
        self._events: Deque[Event] = deque()
        self._oldest = iter(self._events.popleft, None)
        self._readiness: Optional[Readiness] = None
        self._connecting: Optional[Channel] = None
        self._closings = 0

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
            self.forked()
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
        closings = self._closings
        self._connecting = channel = Channel(self.connection, events=self._events)
        if closings != self._closings:
            channel.end("closed")
        for watch in self.watches():
            if not watch.is_set:  # the call that sets it was interrupted
                self.forget([watch])
                continue
            kind, payload = channel.exchange({}, Op.WATCH, watch.payload)
            if kind == ERROR:
                self._shared.channel = channel
                channel.fail(error(payload[:-1], decode_text(watch.wpath)))
        if self._readiness is not None:
            self._readiness.follow(channel)
        self._shared.channel = channel
        self._connecting = None
        return channel

    def connect(self) -> None:
        """Connect, also after a loss, unless it is connected.

        :raises ConnectionError: the daemon cannot be reached.
        """
        self.use(lambda _channel, _answers: None, ready=self._renewed)

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
        self._closings += 1
        connecting = self._connecting
        if connecting is not None:
            connecting.end("closed")
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
        interrupted = [each for each in self._live.get(watch.token, ()) if not each.is_set]
        if interrupted:
            self.forget(interrupted)
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
        shared = self._here()
        return self._next(make, lambda take: shared.wait(self._ready, take, deadline))

    def poll_event(self, make: "Callable[[bytes, Watch], T]") -> "Optional[T]":
        """Return an event that has arrived; wait only for the rest of a message.

        :raises NestedCallError, ConnectionError: as :meth:`wait_event`.
        """
        shared = self._here()
        return self._next(make, lambda take: shared.use(self._ready, look, take))

    def _next(
        self,
        make: "Callable[[bytes, Watch], T]",
        wait: "Callable[[Callable[[], bool]], object]",
    ) -> "Optional[T]":
        held: List[Any] = []  # the event and its watch
        take = partial(self._take, held)
        try:
            if not take():
                try:
                    wait(take)
                except ConnectionError:
                    if self.is_connected() or raised_by_handler() or not take():
                        raise
            result = make(held[0][0], held[1]) if held else None
            self._refresh()
            return result
        except BaseException:
            self._events.extendleft(held[:1])
            self._refresh()
            raise

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
        readiness = self._readiness
        if readiness is None:
            readiness = Readiness()
            readiness.follow(channel)
            self._readiness = readiness  # last: whoever sees it can rely on it
        return readiness.fileno()

    def _refresh(self) -> None:
        """Show whether there is an event, or the channel has ended."""
        readiness = self._readiness
        if readiness is not None:
            readiness.show(lambda: self._has_event() or not self.is_connected())

    def _has_event(self) -> bool:
        # No generator, for Python drops an exception that is raised while it closes one.
        for event in list(self._events):  # noqa: SIM110
            if self._watch_of(event) is not None:
                return True
        return False
