"""What the store keeps for each connection: its watches, transactions and output."""

from collections import deque
from typing import Deque, Dict, NamedTuple, Optional, Set, Tuple

from .._wire.packets import PAYLOAD_MAX, Op, Packet
from ._domains import Domain
from ._permissions import ALL, DOM0, Permissions, rights_of
from ._tree import Change, Transaction


class Watch(NamedTuple):
    """A watch of one session."""

    path: bytes  #: absolute, or beginning with ``@``
    reported: bytes  #: the path as the client gave it
    token: bytes
    depth: Optional[int]  #: how many levels below the path are watched, ``None`` for all

    def covers(self, path: bytes) -> bool:
        """Whether a change of the node at *path* concerns this watch."""
        own = self.path
        if path == own:
            return True
        if own == b"/":
            below = path[1:] if path.startswith(b"/") else b""
        else:
            below = path[len(own) + 1 :] if path.startswith(own + b"/") else b""
        return bool(below) and (self.depth is None or below.count(b"/") < self.depth)

    def event(self, path: bytes) -> "Optional[bytes]":
        """Return the event that tells of a change of *path*; ``None``: it would be too long."""
        # A client that gave a relative path is told of relative paths.
        payload = b"%s%s\0%s\0" % (self.reported, path[len(self.path) :], self.token)
        if len(payload) > PAYLOAD_MAX:
            return None
        return bytes(Packet(Op.WATCH_EVENT, payload))


class Session:
    """One connection as the store sees it.

    :param domain: the one for which it speaks.
    :param ready: where the session adds itself when there is something to send,
        or when it has ended.
    """

    def __init__(self, domain: Domain, ready: "Dict[Session, None]") -> None:
        self.domain = domain
        self.home = b"/local/domain/%d" % domain.domid  # where relative paths begin
        self.unprivileged = domain.domid != DOM0  # bound by permissions and quotas
        self.watches: Dict[Tuple[bytes, bytes], Watch] = {}
        self.transactions: Dict[int, Transaction] = {}
        self.newest_watch: Optional[Watch] = None
        self.ended = False
        self.backlog = 0  # bytes that wait to be sent
        self._ready = ready
        self._last_transaction = 0
        self._out: Deque[bytes] = deque()
        self._waiting_events: Set[bytes] = set()

    def rights(self, perms: Permissions) -> int:
        """Return what it may do with a node of these permissions."""
        if not self.unprivileged:
            return ALL
        return rights_of(self.domain.domid, self.domain.target, perms)

    def new_transaction_id(self) -> int:
        """Return an id that no running transaction of the session has."""
        while True:
            self._last_transaction = (self._last_transaction + 1) & 0xFFFFFFFF
            if self._last_transaction and self._last_transaction not in self.transactions:
                return self._last_transaction

    def reply(self, message: bytes) -> None:
        """Add a reply to what the client is to be sent."""
        self._out.append(message)
        self.backlog += len(message)
        self._ready[self] = None

    def report(self, change: Change) -> None:
        """Tell the client of a change that its watches cover."""
        path = change.path
        for watch in self.watches.values():
            if watch.path == path or (not change.exact and watch.covers(path)):
                self._tell(watch.event(path))

    def report_new_watch(self) -> None:
        """Tell the client that its newest watch is there, as if its path had changed."""
        watch = self.newest_watch
        if watch is not None:
            self._tell(watch.event(watch.path))

    def _tell(self, event: "Optional[bytes]") -> None:
        # The C daemon too adds no event that waits already: a client that does
        # not read its events cannot fill the memory with one busy key.
        if event is not None and event not in self._waiting_events:
            self._waiting_events.add(event)
            self.reply(event)

    @property
    def has_output(self) -> bool:
        """Whether anything waits to be sent."""
        return bool(self._out)

    def take_output(self, at_least: int) -> bytes:
        """Return what waits to be sent: whole messages, up to about *at_least* bytes."""
        pieces = []
        size = 0
        while self._out and size < at_least:
            piece = self._out.popleft()
            self._waiting_events.discard(piece)
            pieces.append(piece)
            size += len(piece)
        self.backlog -= size
        return b"".join(pieces)
