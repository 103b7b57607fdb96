"""Setting and ending watches, so that the daemon and this process agree in the end."""

from .._wire.packets import Op
from .._wire.requests import strings
from ..helpers import decode_text, error
from .conversation import Conversation
from .events import Watch
from .request import Request
from .roles import nested_call

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Sequence


def set_watch(
    conversation: Conversation, watch: Watch, depth: bytes = b"", once: bool = False
) -> Request:
    """Set a watch, and return the answered request; refused or interrupted, there is none.

    :param depth: what follows path and token in the request.
    :param once: whether to refuse a watch that is set already.
    :raises PyXSError: ``EEXIST`` it is set already.
    :raises NestedCallError: this is a call inside a call.
    """
    if conversation.is_inside():
        raise nested_call()
    request = Request(Op.WATCH, strings(watch.wpath, watch.token) + depth)
    events = conversation.events
    try:
        taken = _request_watch(conversation, watch, request, once)
    except BaseException:
        events.discard(watch)
        if not request.refusal and events.first_like(watch) is watch:
            # Whether the daemon has the watch is not known: a signal handler raised.
            conversation.post(Request(Op.UNWATCH, strings(watch.wpath, watch.token)))
        raise
    if taken:
        raise error("EEXIST", decode_text(watch.wpath))
    return request


def _request_watch(conversation: Conversation, watch: Watch, request: Request, once: bool) -> bool:
    """Send a WATCH and wait; return whether it was not sent, for that watch is set already."""
    # Before WATCH is sent, for events may precede its reply.
    conversation.events.add(watch)
    taken = once and conversation.events.first_like(watch) is not watch
    if not taken:
        conversation.call(request)
    if taken or request.refusal:
        conversation.events.discard(watch)
    return taken


def end_watches(
    conversation: Conversation, op: Op, payload: bytes, watches: "Sequence[Watch]"
) -> Request:
    """End watches by one request and return it, answered; their events are dropped anyway.

    :raises NestedCallError: this is a call inside a call.
    """
    if conversation.is_inside():
        raise nested_call()
    request = Request(op, payload)
    try:
        conversation.call(request)
        _discard(conversation, watches)
    except BaseException:
        _discard(conversation, watches)
        if request.answer is None:
            # A signal handler raised, perhaps before anything was sent.
            conversation.post(Request(op, payload))
        raise
    return request


def _discard(conversation: Conversation, watches: "Sequence[Watch]") -> None:
    for watch in watches:
        conversation.events.discard(watch)
