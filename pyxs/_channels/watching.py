"""Watches over one channel: what a monitor and an ``xs`` have in common."""

import os
import time

from .._wire.packets import Op
from .._wire.requests import strings
from ..connection import PacketConnection
from ..exceptions import ConnectionError
from ..helpers import decode_text, error
from .channel import Channel
from .shared import Owner, Shared
from .watches import Watch, Watches

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, List, Optional, Sequence, Tuple, TypeVar

    from .channel import Answers, Reply, Undo
    from .watches import Notice

    T = TypeVar("T")

_ERROR = int(Op.ERROR)


class Watching:
    """A channel with watches.

    It connects at the first call. When an exception has closed the channel in the middle of a
    call, the next call connects again and sets the watches again.

    :param connection: where to connect.
    """

    def __init__(self, connection: PacketConnection) -> None:
        self.connection = connection
        self._begin(None)

    def _begin(self, inherited: "Optional[Channel]") -> None:
        self._pid = os.getpid()
        self._shared = Shared(inherited)
        self._watches = Watches()

    def _in_this_process(self) -> Shared:
        if self._pid != os.getpid():
            self._begin(self._shared.channel)
        return self._shared

    @property
    def watches(self) -> "List[Watch]":
        """The live watches, the oldest first."""
        return list(self._watches)

    def is_connected(self) -> bool:
        """Return whether there is a channel that works."""
        channel = self._shared.channel
        return channel is not None and channel.is_usable()

    def use(self, action: "Callable[..., T]", *args: "Any", undo: "Optional[Undo]" = None) -> "T":
        """Call an action with the channel; see :meth:`Shared.use`."""
        owner = Owner(self.ready, self.refresh)
        return self._in_this_process().use(owner, action, *args, undo=undo)

    # -- the channel -------------------------------------------------------------------

    def ready(self) -> Channel:
        """Return a channel that works; connect at first, and after an interruption.

        :raises ConnectionError: the connection is lost, or the daemon cannot be reached.
        """
        channel = self._shared.channel
        if channel is not None:
            if channel.is_usable():
                return channel
            channel.check()
            channel.close()
        return self._connect()

    def _connect(self) -> Channel:
        channel = Channel(self.connection, listener=self._watches)
        for watch in self.watches:
            if not watch.is_set:  # the call that sets it was interrupted
                self._watches.discard(watch)
                continue
            kind, payload = channel.exchange(Op.WATCH, watch.payload, 0, {})
            if kind == _ERROR:
                self._shared.channel = channel
                channel.fail(error(payload[:-1], decode_text(watch.wpath)))
        self._shared.channel = channel
        self._watches.follow(channel.fileno())
        return channel

    def refresh(self) -> None:
        """Show in select loops what an exception may have kept from them."""
        self._watches.refresh()

    def check(self) -> None:
        """Raise an exception if the connection is lost, and with it the watches.

        :raises ConnectionError: it is.
        """
        channel = self._shared.channel
        if channel is not None:
            channel.check()

    def _renewed(self) -> Channel:
        """Return a channel that works; connect after a loss too, without the watches."""
        channel = self._shared.channel
        if channel is not None and (channel.failure is not None or channel.pid != os.getpid()):
            channel.close()
            self._watches.clear()
            self._shared.channel = None
        return self.ready()

    def _as_it_is(self) -> Channel:
        """Return the channel, which may be lost; connect at first."""
        return self._shared.channel or self._connect()

    def connect(self) -> None:
        """Connect, also after a loss, unless it is connected.

        :raises ConnectionError: the daemon cannot be reached.
        """
        self._in_this_process().use(Owner(self._renewed, self.refresh), _nothing)

    def close(self) -> None:
        """Disconnect; calls in progress raise ``ConnectionError``, and so do later ones."""
        self._in_this_process().close()
        self._watches.close()

    # -- watches -----------------------------------------------------------------------

    def watch(self, watch: Watch, renew: bool = False, once: bool = False) -> "Reply":
        """Set a watch and return the reply. If it is refused or interrupted, no watch is set.

        :param renew: whether to connect again after a loss.
        :param once: whether to refuse a watch that is set already.
        :raises PyXSError: ``EEXIST`` it is set already; nothing was sent.
        :raises NestedCallError: this call is inside another of its thread.
        :raises ConnectionError: the connection is lost, or the daemon cannot be reached.
        """

        def undo(_reply: bytes) -> "Optional[Tuple[int, bytes, int]]":
            if self._watches.first_like(watch) is not watch:
                return None  # the daemon has the watch for another call too
            return Op.UNWATCH, strings(watch.wpath, watch.token), 0

        owner = Owner(self._renewed if renew else self.ready, self.refresh)
        return self._in_this_process().use(owner, self._watch, watch, once, undo=undo)

    def _watch(self, channel: Channel, answers: "Answers", watch: Watch, once: bool) -> "Reply":
        if once and self._watches.first_like(watch) is not watch:
            raise error("EEXIST", decode_text(watch.wpath))
        try:
            # Before WATCH is sent, because events may come before its reply.
            self._watches.add(watch)
            reply = channel.exchange(Op.WATCH, watch.payload, 0, answers)
            watch.is_set = reply[0] != _ERROR
        finally:
            if not watch.is_set:
                self._watches.discard(watch)
        return reply

    def first_like(self, watch: Watch) -> Watch:
        """Return the oldest live watch with the same path and token, or this one."""
        return self._watches.first_like(watch)

    def end(self, op: Op, payload: bytes, watches: "Sequence[Watch]") -> "Reply":
        """End watches by one request and return the reply.

        Their events are dropped, also if it is refused. If an exception comes before the reply,
        the watches stay.

        :raises NestedCallError: this call is inside another of its thread.
        :raises ConnectionError: the connection is lost.
        """

        def request(channel: Channel, answers: "Answers") -> "Reply":
            reply = channel.exchange(op, payload, 0, answers)
            self.forget(watches)
            return reply

        return self.use(request, undo=lambda _reply: self.forget(watches))

    def forget(self, watches: "Sequence[Watch]") -> None:
        """Forget watches, and leave it to the daemon that it has them."""
        for watch in watches:
            self._watches.discard(watch)

    def refuses(self, exc: BaseException) -> bool:
        """Return whether *exc* says that a call is inside another one here."""
        return self._shared.refuses(exc)

    def distrust(self, failure: ConnectionError) -> None:
        """Use the channel no more, because a malformed reply came from it."""
        self._shared.distrust(failure)

    # -- events ------------------------------------------------------------------------

    def wait_event(
        self, make: "Callable[[Notice], T]", deadline: "Optional[float]"
    ) -> "Optional[T]":
        """Return the next event, waiting for it; ``None`` when the deadline passes.

        :param make: called with the event; its result is returned.
        :raises NestedCallError: this call is inside another of its thread.
        :raises ConnectionError: the connection is lost, and no event is left.
        """
        shared, owner = self._in_this_process(), Owner(self.ready, self.refresh)
        held: List[Notice] = []

        def take() -> bool:
            return self._watches.take(held)

        try:
            if not take():
                self._unless_taken(take, lambda: shared.wait(owner, take, deadline))
            return make(held[0]) if held else None
        except BaseException:
            self._watches.put_back(held)
            raise

    def poll_event(self, make: "Callable[[Notice], T]") -> "Optional[T]":
        """Return an event that has arrived; wait only for the rest of a message.

        :raises NestedCallError, ConnectionError: as :meth:`wait_event`.
        """
        shared, owner = self._in_this_process(), Owner(self.ready, self.refresh)
        held: List[Notice] = []

        def take() -> bool:
            return self._watches.take(held)

        try:
            if not take():
                self._unless_taken(take, lambda: shared.use(owner, _look) or take())
            return make(held[0]) if held else None
        except BaseException:
            self._watches.put_back(held)
            raise

    def _unless_taken(self, take: "Callable[[], bool]", wait: "Callable[[], object]") -> None:
        """Call *wait*; if the connection is lost then, but there is an event, take that."""
        try:
            wait()
        except ConnectionError:
            if self.is_connected() or not take():
                raise

    def fileno(self) -> int:
        """Return a descriptor for select loops: readable while an event can be had.

        :raises ConnectionError: the daemon cannot be reached.
        """
        shared = self._in_this_process()
        return shared.use(Owner(self._as_it_is, self.refresh), self._fileno)

    def _fileno(self, channel: Channel, answers: "Answers") -> int:  # noqa: ARG002
        return self._watches.fileno()


def _nothing(channel: Channel, answers: "Answers") -> None:
    """Use the channel for nothing: it has been connected."""


def _look(channel: Channel, answers: "Answers") -> None:  # noqa: ARG001
    """Deliver the events that have arrived; wait only for the rest of a message."""
    if channel.is_readable(time.monotonic()):
        channel.receive()
    while channel.has_begun():
        if channel.is_readable(None):
            channel.receive()
    channel.deliver_events()
