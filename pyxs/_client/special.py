"""Requests that take more than one message, or that not every domain may send."""

from .._annotations import t
from .._channels.failures import accepted
from .._wire.packets import ERROR, MISSING, Op
from .._wire.replies import decode_names, decode_number, decode_part, decode_string, join_parts
from .._wire.requests import encode
from ..exceptions import PyXSError
from ..helpers import error, refuse_any_domain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Optional, Tuple, Union

    from .._annotations.types import Text
    from .._channels.pool import Pool
    from .._channels.transaction import Transaction

    Channels = Union[Pool, Transaction]

#: What only the control domain may send.
DOM0_ONLY = frozenset((Op.INTRODUCE, Op.RELEASE, Op.RESUME, Op.SET_TARGET))

_TOO_LONG = ERROR, b"E2BIG\0"
_UNKNOWN = ERROR, b"ENOSYS\0"
_NOT_ALLOWED = ERROR, b"EACCES\0"


def is_control_domain() -> bool:
    """Return whether this domain may control others; ``True`` if it cannot be told."""
    try:
        with open("/proc/xen/capabilities", encoding="ascii", errors="replace") as file:
            return "control_d" in file.read()
    except OSError:
        return True


def not_control_domain() -> PyXSError:
    """Return the error for a request of :data:`DOM0_ONLY` in another domain."""
    return error(
        "EPERM",
        why="pyxs refuses this: Client.SU is False, because /proc/xen/capabilities does not "
        "name control_d",
    )


def refuse_any_domain_in(payload: bytes) -> None:
    """Raise ``InvalidPermission`` if a SET_PERMS names ``DOMID_ANY``."""
    for perm in payload.split(b"\0")[1:-1]:
        refuse_any_domain(perm)


def list_names(client: "t.Client", path: "Text") -> "Optional[List[str]]":
    """Return the names of a node's children, however many; ``None``: no such node."""
    op = Op.DIRECTORY
    payload = encode(op, (path,))
    channels = client._channels()
    reply = channels.exchange(op, payload)
    if reply == MISSING:
        return None
    if reply == _TOO_LONG:
        return list_in_parts(client, path, channels)
    return client._decoded(decode_names, op, accepted(op, payload, reply))


def list_in_parts(client: "t.Client", path: "Text", channels: "Channels") -> "Optional[List[str]]":
    """Return the names of a node's children, which are too many for one reply.

    :returns: ``None``: there is no such node.
    """
    op = Op.DIRECTORY_PART

    def ask_part(offset: int) -> "Optional[Tuple[bytes, bytes, bool]]":
        payload = encode(op, (path, offset))
        reply = channels.exchange(op, payload)
        if reply == MISSING:
            return None
        if reply == _UNKNOWN:  # oxenstored over XenBus; it lacks this request
            reply = _TOO_LONG
        # In the words for DIRECTORY: the caller did not ask for parts.
        return client._decoded(decode_part, op, accepted(Op.DIRECTORY, payload, reply))

    return join_parts(ask_part)


def own_features(client: "t.Client") -> int:
    """Return the features that the daemon offers the caller.

    A guest may only send an empty payload, which an older oxenstored answers on a ring, but on a
    socket never. There a lone NUL comes first, which counts as domain 0. Only a daemon that
    knows the request answers EACCES to it, and that one takes the empty payload too.
    """
    op, channels = Op.GET_FEATURE, client._channels()
    payload = b"\0" if client.connection.trusts_ids else b""
    reply = channels.exchange(op, payload)
    if payload and reply == _NOT_ALLOWED:
        reply = channels.exchange(op, b"")
    return client._decoded(decode_number, op, accepted(op, payload, reply))


def quota_names(client: "t.Client") -> "List[str]":
    """Return the names of the quotas, for which only an empty payload asks."""
    if client.connection.trusts_ids:
        own_features(client)  # an older oxenstored refuses this, and never answers the other
    op = Op.GET_QUOTA
    payload = accepted(op, b"", client._channels().exchange(op, b""))
    return client._decoded(decode_string, op, payload).split()
