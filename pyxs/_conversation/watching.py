"""Setting and ending watches, so that the daemon and this process agree in the end."""

from typing import Sequence

from .._wire.packets import Op
from .._wire.replies import decode_ack
from .._wire.requests import strings
from ..exceptions import PyXSError
from ..helpers import error
from .conversation import Conversation, nested_call
from .events import Watch
from .request import Request


def set_watch(
    conversation: Conversation, watch: Watch, depth: bytes = b"", once: bool = False
) -> None:
    """Set a watch; when an exception ends this, there is no such watch.

    :param depth: what follows path and token in the request.
    :param once: whether to refuse a watch that is set already.
    :raises PyXSError: the daemon's answer; ``EEXIST`` it is set already; ``EDEADLK`` in a call
        inside a call.
    """
    if conversation.is_inside():
        raise nested_call()
    request = Request(Op.WATCH, strings(watch.wpath, watch.token) + depth)
    try:
        try:
            # Before WATCH is sent, for events may precede its reply.
            conversation.events.add(watch)
            if once and conversation.events.first_like(watch) is not watch:
                raise error("EEXIST")
            conversation.ask(request, decode_ack)
        except PyXSError:
            conversation.events.discard(watch)
            raise
    except BaseException:
        conversation.events.discard(watch)
        if not request.refusal and conversation.events.first_like(watch) is watch:
            # Whether the daemon has the watch is not known: a signal handler raised.
            conversation.post(Request(Op.UNWATCH, strings(watch.wpath, watch.token)))
        raise


def end_watches(
    conversation: Conversation, op: Op, payload: bytes, watches: "Sequence[Watch]"
) -> None:
    """End watches by one request; whatever comes of it, their events are dropped.

    :raises PyXSError: the daemon's answer; ``EDEADLK`` in a call inside a call.
    """
    if conversation.is_inside():
        raise nested_call()
    request = Request(op, payload)
    try:
        conversation.ask(request, decode_ack)
        _discard(conversation, watches)
    except BaseException:
        _discard(conversation, watches)
        if request.answer is None:
            # A signal handler raised, perhaps before anything was sent.
            conversation.post(Request(op, payload))
        raise


def _discard(conversation: Conversation, watches: "Sequence[Watch]") -> None:
    for watch in watches:
        conversation.events.discard(watch)
