"""Handlers of the requests: they parse payloads, call the store, and return replies.

A malformed payload gets the answer of Xen 4.17's C daemon. One that would crash that daemon
gets ``EINVAL``.
"""

from typing import Callable, Dict, List, Optional

from .._wire.packets import PAYLOAD_MAX, Op, Packet, packet_from_wire
from . import _control, _permissions
from ._errors import Refused
from ._numbers import domid_of, number
from ._paths import check_path
from ._permissions import DOM0, DOMID_ANY, DOMID_SELF
from ._session import Session, Watch
from ._tree import AnyNode, View
from ._versions import ANY_DOMAIN, WATCH_DEPTH
from .store import Store

OK = b"OK\0"

_QUOTA_DISABLED = 0xFFFFFFFF  # Q_VAL_DISABLED


class Request:
    """A request, with the store and the session that it came from."""

    __slots__ = ("payload", "session", "store", "tx_id")

    def __init__(self, store: Store, session: Session, tx_id: int, payload: bytes) -> None:
        self.store = store
        self.session = session
        self.tx_id = tx_id
        self.payload = payload

    @property
    def view(self) -> View:
        """The tree, or the request's transaction."""
        return self.store.view(self.session, self.tx_id)

    def strings(self, minimum: int, maximum: "Optional[int]" = None) -> "List[bytes]":
        """Return the strings of the payload, without bytes after the last NUL.

        :raises Refused: ``EINVAL``: their number is not between the bounds.
        """
        strings = self.payload.split(b"\0")[:-1]
        if len(strings) < minimum or (maximum is not None and len(strings) > maximum):
            raise Refused("EINVAL")
        return strings

    def string(self) -> bytes:
        """Return the payload as a single string, without its NUL.

        :raises Refused: ``EINVAL``: it is empty, or NUL is not its last byte only.
        """
        payload = self.payload
        if not payload or payload.find(b"\0") != len(payload) - 1:
            raise Refused("EINVAL")
        return payload[:-1]

    def path(self, path: bytes, special: bool = False) -> bytes:
        """Return the absolute path of a node.

        :param special: whether it may begin with ``@``.
        :raises Refused: ``EINVAL``: it is not a valid path, or too long.
        """
        path = self.absolute(path)
        check_path(self.store.version, self.session, path, special)
        return path

    def absolute(self, path: bytes) -> bytes:
        """Return an absolute path, without validation."""
        return path if path[:1] in (b"/", b"@") else self.session.home + b"/" + path

    def node(self, special: bool = False) -> AnyNode:
        """Return the node whose path is the payload.

        :param special: whether it may begin with ``@``.
        :raises Refused: ``EINVAL``, ``ENOENT``, ``EACCES``.
        """
        return self.store.node(self.session, self.view, self.path(self.string(), special))

    def domid(self, text: bytes) -> int:
        """Return a domid.

        :raises Refused: ``EINVAL``: it is not one.
        """
        return domid_of(text, self.store.version.strict)


#: Handles a request and returns the payload of the reply.
Handler = Callable[[Request], bytes]


def answer(store: Store, session: Session, packet: Packet) -> None:
    """Handle a request; the reply and events are added to the output of the sessions."""
    op = packet.op
    try:
        handler = _HANDLERS.get(op)
        if handler is None:
            raise Refused("ENOSYS")
        if session.unprivileged and op in _FOR_DOM0_ONLY:
            raise Refused("EACCES")
        if op not in _OUTSIDE_TRANSACTIONS:
            store.view(session, packet.tx_id)
        reply = handler(Request(store, session, packet.tx_id, packet.payload))
        if len(reply) > PAYLOAD_MAX:
            raise Refused("E2BIG")
    except Refused as refused:
        op, reply = Op.ERROR, refused.name.encode("ascii") + b"\0"
    session.reply(bytes(packet_from_wire(op, packet.rq_id, packet.tx_id, reply)))
    if op == Op.WATCH:
        session.report_new_watch()


# Nodes


def _read(request: Request) -> bytes:
    return request.node().value


def _directory(request: Request) -> bytes:
    return b"".join(name + b"\0" for name in request.node().names)


def _directory_part(request: Request) -> bytes:
    name, text = request.strings(2, 2)
    node = request.store.node(request.session, request.view, request.path(name))
    offset = number(text)
    listing = b"".join(child + b"\0" for child in node.names)
    if not 0 <= offset < len(listing):
        return b"%d\0\0" % node.generation
    reply = b"%d\0" % node.generation
    rest = listing[offset:]
    room = PAYLOAD_MAX - 1 - len(reply)
    if len(rest) <= room:
        return reply + rest + b"\0"
    return reply + rest[: rest.rfind(b"\0", 0, room) + 1]


def _get_perms(request: Request) -> bytes:
    return _permissions.render(request.node(request.store.version.special_nodes).perms)


def _set_perms(request: Request) -> bytes:
    strings = request.strings(2)
    perms = _permissions.parse(strings[1:])
    features = request.store.version.features
    names_any = features & ANY_DOMAIN and any(entry.domid == DOMID_ANY for entry in perms)
    if names_any and not request.session.unprivileged:
        raise Refused("EINVAL")  # over a socket, it would end the C daemon
    path = request.path(strings[0], special=True)
    request.store.set_perms(request.session, request.view, path, perms)
    return OK


def _write(request: Request) -> bytes:
    path, nul, value = request.payload.partition(b"\0")
    if not nul:
        raise Refused("EINVAL")
    request.store.write(request.session, request.view, request.path(path), value)
    return OK


def _mkdir(request: Request) -> bytes:
    request.store.mkdir(request.session, request.view, request.path(request.string()))
    return OK


def _rm(request: Request) -> bytes:
    request.store.remove(request.session, request.view, request.path(request.string()))
    return OK


# Watches


def _watch(request: Request) -> bytes:
    path, token, *rest = request.strings(2, 3)
    depth = None
    if rest:
        depth = number(rest[0])
        if depth < 0 or not request.session.domain.features & WATCH_DEPTH:
            raise Refused("EINVAL")
    wpath = request.path(path, special=True)
    request.store.add_watch(request.session, Watch(wpath, path, token, depth))
    return OK


def _unwatch(request: Request) -> bytes:
    path, token = request.strings(2, 2)
    wpath = request.absolute(path)
    if request.store.version.strict:
        request.path(path, special=True)
    request.store.remove_watch(request.session, wpath, token)
    return OK


def _reset_watches(request: Request) -> bytes:
    request.store.reset(request.session)
    return OK


# Transactions


def _transaction_start(request: Request) -> bytes:
    if request.tx_id:
        raise Refused("EBUSY")
    return b"%d\0" % request.store.start_transaction(request.session)


def _transaction_end(request: Request) -> bytes:
    if request.payload not in (b"T\0", b"F\0"):
        raise Refused("EINVAL")
    request.store.end_transaction(request.session, request.tx_id, request.payload == b"T\0")
    return OK


# Domains


def _introduce(request: Request) -> bytes:
    domid, _gfn, port = request.strings(3)[:3]
    if not number(port):
        raise Refused("EINVAL")
    request.store.introduce(request.domid(domid))
    return OK


def _release(request: Request) -> bytes:
    request.store.release(_guest(request))
    return OK


def _resume(request: Request) -> bytes:
    request.store.domains.introduced(_guest(request))
    return OK


def _guest(request: Request) -> int:
    """Return the payload as a domid.

    :raises Refused: ``EINVAL``: it is 0.
    """
    domid = request.domid(request.string())
    if domid == DOM0:
        raise Refused("EINVAL")
    return domid


def _set_target(request: Request) -> bytes:
    domid, target = request.strings(2)[:2]
    request.store.set_target(request.domid(domid), request.domid(target))
    return OK


def _get_domain_path(request: Request) -> bytes:
    return b"/local/domain/%d\0" % request.domid(request.string())


def _is_domain_introduced(request: Request) -> bytes:
    domid = request.domid(request.string())
    if domid == DOMID_SELF or request.store.domains.is_introduced(domid):
        return b"T\0"
    return b"F\0"


# Features, quotas and control. Those of 4.17 that do not exist there are answered as in 4.22.


def _get_feature(request: Request) -> bytes:
    strings = request.strings(0)
    if not strings:
        return b"%d\0" % request.session.domain.features
    if request.session.unprivileged:
        raise Refused("EACCES")
    if len(strings) > 1:
        raise Refused("EINVAL")
    domid = request.domid(strings[0])
    return b"%d\0" % request.store.domains.existing(domid).features


def _set_feature(request: Request) -> bytes:
    domid, value = request.strings(2, 2)
    domain = request.store.domains.existing(request.domid(domid))
    if domain.introduced:
        raise Refused("EBUSY")
    features = number(value)
    if features & 0xFFFFFFFF & ~request.store.version.features:
        raise Refused("EINVAL")
    domain.features = features & 0xFFFFFFFF
    return OK


def _get_quota(request: Request) -> bytes:
    strings = request.strings(0, 2)
    limits = request.store.domains.limits
    if not strings:
        return b" ".join(limits) + b"\0"
    if len(strings) == 2:
        limits = request.store.domains.existing(request.domid(strings[0])).limits
    if strings[-1] not in limits:
        raise Refused("EINVAL")
    return b"%d\0" % limits[strings[-1]]


def _set_quota(request: Request) -> bytes:
    *rest, name, text = request.strings(2, 3)
    limits = request.store.domains.limits
    if rest:
        limits = request.store.domains.existing(request.domid(rest[0])).limits
    value = number(text) & 0xFFFFFFFF
    if name not in limits or value == _QUOTA_DISABLED:
        raise Refused("EINVAL")
    limits[name] = value
    return OK


def _control_command(request: Request) -> bytes:
    command, *arguments = request.strings(1)
    return _control.run(request.store, command, arguments)


_HANDLERS: "Dict[int, Handler]" = {
    Op.CONTROL: _control_command,
    Op.DIRECTORY: _directory,
    Op.READ: _read,
    Op.GET_PERMS: _get_perms,
    Op.WATCH: _watch,
    Op.UNWATCH: _unwatch,
    Op.TRANSACTION_START: _transaction_start,
    Op.TRANSACTION_END: _transaction_end,
    Op.INTRODUCE: _introduce,
    Op.RELEASE: _release,
    Op.GET_DOMAIN_PATH: _get_domain_path,
    Op.WRITE: _write,
    Op.MKDIR: _mkdir,
    Op.RM: _rm,
    Op.SET_PERMS: _set_perms,
    Op.IS_DOMAIN_INTRODUCED: _is_domain_introduced,
    Op.RESUME: _resume,
    Op.SET_TARGET: _set_target,
    Op.RESET_WATCHES: _reset_watches,
    Op.DIRECTORY_PART: _directory_part,
    Op.GET_FEATURE: _get_feature,
    Op.SET_FEATURE: _set_feature,
    Op.GET_QUOTA: _get_quota,
    Op.SET_QUOTA: _set_quota,
}

_FOR_DOM0_ONLY = frozenset(
    [
        Op.CONTROL,
        Op.INTRODUCE,
        Op.RELEASE,
        Op.IS_DOMAIN_INTRODUCED,
        Op.RESUME,
        Op.SET_TARGET,
        Op.SET_FEATURE,
        Op.GET_QUOTA,
        Op.SET_QUOTA,
    ]
)

#: The transaction id of these requests is ignored.
_OUTSIDE_TRANSACTIONS = frozenset([Op.WATCH, Op.UNWATCH])
