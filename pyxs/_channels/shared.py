"""A channel that calls share, because they must use the same one."""

import os
import time

from .._wire.packets import ERROR
from .channel import Channel
from .deadlines import has_passed
from .settling import settle
from .turns import NestedCallError, Turn, Turns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, List, Optional, Tuple, TypeVar

    from .inbox import Answers, Due
    from .pipeline import Request

    T = TypeVar("T")
    #: Returns the channel to use, or raises an exception. A call brings it: kept here, it would
    #: be part of a cycle of references, which outlives what a program drops.
    Ready = Callable[[], Channel]
    #: Returns what undoes a request, given its reply: a type, a payload and a transaction.
    Undo = Optional[Callable[[bytes], Optional[Tuple[int, bytes, int]]]]

_CLOSE_WITHIN = 1  # seconds for a call in progress to leave


class Shared:
    """A channel that calls use one after the other.

    An action is called with the channel, a dict that receives each reply first, and its own
    arguments, as :meth:`Channel.exchange` is.
    """

    __slots__ = ("_turns", "_unsettled", "channel")

    def __init__(self, channel: "Optional[Channel]" = None) -> None:
        self.channel = channel
        self._turns = Turns()
        #: Whether a call is in progress. If there is none, its clean-up was interrupted too.
        self._unsettled = False

    def use(
        self, ready: "Ready", action: "Callable[..., T]", *args: "Any", undo: "Undo" = None
    ) -> "T":
        """Return ``action(channel, answers, *args)``, called when it is this call's turn.

        :param undo: returns what undoes the request of the action, given the payload of its reply;
            that is sent when an exception comes after the reply.
        :raises NestedCallError: this call is inside another of its thread.
        """
        turn = Turn()
        self._turns.enter(turn)
        answers: Answers = {}
        try:
            if self._unsettled:
                self._give_up()
            channel = ready()
            self._unsettled = True
            result = action(channel, answers, *args)
            self._unsettled = False
            return result
        except BaseException:
            self._clean_up(answers, undo)
            raise
        finally:
            self._turns.leave(turn)

    def wait(
        self, ready: "Ready", take: "Callable[[], object]", deadline: "Optional[float]"
    ) -> None:
        """Wait until ``take()`` is true or the deadline passes; let other calls go first.

        :param take: looks for an event among those that have arrived.
        :raises NestedCallError: this call is inside another of its thread.
        """
        turn = Turn()
        if not self._turns.enter(turn, yields=True, deadline=deadline):
            return
        try:
            is_late = False
            while True:
                if self._unsettled:
                    self._give_up()
                channel = ready()  # it may receive events when it connects
                turn.wakeup = channel.poller.make_wakeup()
                while not (take() or is_late):
                    if self._turns.is_wanted():
                        break
                    is_late = has_passed(deadline)
                    if channel.is_readable(deadline):
                        channel.receive_events(may_block=deadline is None)
                else:
                    return
                if not self._turns.step_back(turn, deadline):
                    return
        except BaseException:
            self._clean_up({}, None)
            raise
        finally:
            turn.wakeup = None
            self._turns.leave(turn)

    def refuses(self, exc: BaseException) -> bool:
        """Return whether *exc* says that a call is inside another one on this channel."""
        return isinstance(exc, NestedCallError) and exc.turns is self._turns

    def refuse_nested(self) -> None:
        """Raise ``EDEADLK`` if this thread is inside a call on the channel."""
        self._turns.refuse_nested()

    def close(self) -> None:
        """Disconnect; calls in progress raise ``ConnectionError``."""
        channel = self.channel
        if channel is None or channel.pid != os.getpid():
            return
        channel.end("closed")
        # A call in progress leaves now, and closes the descriptor itself.
        turn = Turn()
        try:
            has_turn = self._turns.enter(turn, deadline=time.monotonic() + _CLOSE_WITHIN)
        except NestedCallError as exc:
            if not self.refuses(exc):
                raise  # a signal handler raised it
            return
        if has_turn:
            channel.close()
            self._turns.leave(turn)

    def _give_up(self) -> None:
        """Close the channel after a call whose clean-up was interrupted."""
        if self.channel is not None:
            self.channel.close()
        self._unsettled = False

    def _clean_up(self, answers: "Answers", undo: "Undo") -> None:
        """After an exception, wait a little for the replies that are due, or else close."""
        channel = self.channel
        if channel is not None:
            settle(channel, _undo, answers, undo)
        self._unsettled = False


def _undo(channel: Channel, deadline: float, answers: "Answers", undo: "Undo") -> None:
    for kind, _, _, result in list(answers.values()):
        request = None if undo is None or kind == ERROR else undo(result)
        if request is not None:
            due: Due = {}
            channel.send([request[:2]], request[2], due, {})
            channel.collect(due, {}, deadline=deadline)


def exchange_many(
    channel: Channel, answers: "Answers", requests: "List[Request]", tx_id: int
) -> None:
    """Send many requests and wait for all replies: an action for :meth:`Shared.use`."""
    from .pipeline import Pipeline  # here: most programs send one request at a time

    Pipeline(channel, tx_id, answers).exchange(requests)


def look(channel: Channel, answers: "Answers", take: "Callable[[], bool]") -> None:  # noqa: ARG001
    """Receive the events that have arrived; wait only for the rest of a message."""
    if channel.is_readable(time.monotonic()):
        channel.receive_events()
    while not take() and channel.inbox.framer.begun:
        if channel.is_readable(None):
            channel.receive_events()
