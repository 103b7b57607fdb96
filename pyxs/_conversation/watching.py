"""Sets and ends watches, in the daemon and in this process alike."""

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
    """Set a watch and return the answered request. If refused or interrupted, no watch is set.

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
            # A signal handler raised: the daemon may have the watch.
            conversation.post(Request(Op.UNWATCH, strings(watch.wpath, watch.token)))
        raise
    if taken:
        raise error("EEXIST", decode_text(watch.wpath))
    return request


def _request_watch(conversation: Conversation, watch: Watch, request: Request, once: bool) -> bool:
    """Send WATCH and wait; return whether the watch is set already, and nothing was sent."""
    # Added before WATCH is sent, because events may arrive before its reply.
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
    """End watches by one request and return it, answered. Their events are always dropped.

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
            # A signal handler raised: perhaps the request was not sent.
            conversation.post(Request(op, payload))
        raise
    return request


def _discard(conversation: Conversation, watches: "Sequence[Watch]") -> None:
    for watch in watches:
        conversation.events.discard(watch)
