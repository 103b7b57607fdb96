"""The channels of a client: each call takes one for itself, and puts it back."""

import os
import weakref

from ..connection import PacketConnection
from ..exceptions import ConnectionError
from .channel import Channel
from .descriptor import begin_anew_in_children
from .settling import settle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional

    from .channel import Reply
    from .pipeline import Request

_SLOTS = range(4)  # for channels that no call uses


class Pool:
    """The channels of a client in this process.

    :param connection: where to connect.
    """

    def __init__(self, connection: PacketConnection) -> None:
        self.connection = connection
        self.path = connection.path
        self._begin()
        begin_anew_in_children(self)

    def _begin(self) -> None:
        self._pid = os.getpid()
        #: Replaced, never emptied: a call returns its channel to the slots that it came from.
        self._idle: Dict[int, Channel] = {}
        self._open: weakref.WeakValueDictionary[int, Channel] = weakref.WeakValueDictionary()

    forked = _begin

    def exchange(self, op: int, payload: bytes) -> "Reply":
        """Send one request and return the reply.

        :raises InvalidPayload: the payload is too long for the connection; nothing was sent.
        :raises ConnectionError: the daemon cannot be reached, or the connection was lost.
        """
        if self._pid != os.getpid():
            self._begin()
        idle = self._idle
        channel = idle.pop(0, None) or self._take(idle)
        try:
            reply = channel.exchange({}, op, payload)
        except BaseException as exc:
            self._recover(channel, exc)
            raise
        if idle.setdefault(0, channel) is not channel:
            self._put_back(channel, idle)
        return reply

    def exchange_many(self, requests: "List[Request]") -> None:
        """Send many requests and wait for all replies.

        :raises InvalidPayload, ConnectionError: as :meth:`exchange`.
        """
        from .pipeline import Pipeline  # here: most programs send one request at a time

        channel = self.take()
        try:
            Pipeline(channel, 0, {}).exchange(requests)
        except BaseException as exc:
            self._recover(channel, exc)
            raise
        self.put_back(channel)

    def take(self) -> Channel:
        """Return a channel for the caller alone; connect if none is idle.

        :raises ConnectionError: the daemon cannot be reached.
        """
        if self._pid != os.getpid():
            self._begin()
        return self._take(self._idle)

    def put_back(self, channel: Channel) -> None:
        """Keep a channel for another call, unless enough are idle, or the pool was closed."""
        if channel.is_usable() and self._open.get(id(channel)) is channel:
            self._put_back(channel, self._idle)

    def discard(self, channel: Channel, exc: BaseException) -> None:
        """Close a channel after an exception; if it is lost, so are the idle ones."""
        channel.close()
        if isinstance(exc, ConnectionError):
            self.drop_idle()

    def drop_idle(self) -> None:
        """Close the channels that no call uses."""
        idle, self._idle = self._idle, {}
        _close_all(idle)

    distrust = drop_idle  # because a malformed reply came from one of them

    def connect(self) -> None:
        """Connect, unless a channel is idle.

        :raises ConnectionError: the daemon cannot be reached.
        """
        self.put_back(self.take())

    def is_connected(self) -> bool:
        """Return whether there is a channel that works."""
        return True in [channel.is_usable() for channel in self._channels()]

    def close(self) -> None:
        """Disconnect; calls in progress raise ``ConnectionError``."""
        channels, idle = self._channels(), self._idle
        self._begin()
        _close_all(idle)
        for channel in channels:
            channel.end("closed")

    def _recover(self, channel: Channel, exc: BaseException) -> None:
        """After an exception keep the channel, if nothing is under way; or discard it."""
        if settle(channel):
            self.put_back(channel)
        if isinstance(exc, ConnectionError):
            self.drop_idle()

    def _take(self, idle: "Dict[int, Channel]") -> Channel:
        for slot in _SLOTS:
            channel = idle.pop(slot, None)
            if channel is not None:
                return channel
        return self.open(self.connection)

    def open(
        self,
        connection: PacketConnection,
        deadline: "Optional[float]" = None,
        events: "Any" = None,
    ) -> Channel:
        """Connect; the arguments are those of :class:`Channel`. :meth:`close` ends its calls."""
        opened = self._open
        channel = Channel(connection, deadline, events)
        opened[id(channel)] = channel
        if opened is not self._open:
            channel.end("closed")
        return channel

    def _channels(self) -> "List[Channel]":
        # values() fails when another thread opens a channel meanwhile.
        channels = [reference() for reference in self._open.valuerefs()]
        return [channel for channel in channels if channel is not None]

    def _put_back(self, channel: Channel, idle: "Dict[int, Channel]") -> None:
        for slot in _SLOTS:
            if idle.setdefault(slot, channel) is channel:
                return


def _close_all(idle: "Dict[int, Channel]") -> None:
    for slot in _SLOTS:
        channel = idle.pop(slot, None)  # from now on no other call can take it
        if channel is not None:
            channel.close()
