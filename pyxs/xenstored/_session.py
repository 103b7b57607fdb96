"""The state of a connection in the store: its watches, transactions and output."""

from collections import deque
from typing import Deque, Dict, NamedTuple, Optional, Set, Tuple

from .._wire.packets import HEADER_SIZE, PAYLOAD_MAX, Op, Packet
from ._domains import Domain
from ._permissions import DOM0, Permissions
from ._tree import Change, Reach, Transaction


class Watch(NamedTuple):
    """A watch of one session."""

    path: bytes  #: absolute, or beginning with ``@``
    reported: bytes  #: the path as the client gave it
    token: bytes
    depth: Optional[int]  #: how many levels below the path are watched, ``None`` for all

    def fires(self, change: Change) -> bool:
        """Return whether this watch fires for a change."""
        if change.path == self.path:
            return change.reach is not Reach.WITHOUT_DEPTH or self.depth is None
        if change.reach is Reach.ABOVE:
            return self._covers(change.path)
        return (
            change.reach is Reach.WITH_DEPTH
            and self.depth is not None
            and self._covers(change.path)
        )

    def _covers(self, path: bytes) -> bool:
        """Return whether *path* is below that of this watch, within its depth."""
        own = self.path
        if own == b"/":
            below = path[1:] if path.startswith(b"/") else b""
        else:
            below = path[len(own) + 1 :] if path.startswith(own + b"/") else b""
        return bool(below) and (self.depth is None or below.count(b"/") < self.depth)

    def event(self, path: bytes) -> "Optional[bytes]":
        """Return the event for a change of *path*, or ``None`` if it would be too long."""
        # If the client gave a relative path, the event has one too.
        payload = b"%s%s\0%s\0" % (self.reported, path[len(self.path) :], self.token)
        if len(payload) > PAYLOAD_MAX:
            return None
        return bytes(Packet(Op.WATCH_EVENT, payload))


class Session:
    """The state of one connection.

    :param domain: the domain that the connection speaks for.
    :param ready: the store's sessions with output; the session adds itself when it gets some.
    """

    def __init__(self, domain: Domain, ready: "Dict[Session, None]") -> None:
        self.domain = domain
        self.home = b"/local/domain/%d" % domain.domid  # where relative paths begin
        self.unprivileged = domain.domid != DOM0  # permissions and quotas apply
        self.watches: Dict[Tuple[bytes, bytes], Watch] = {}
        self.transactions: Dict[int, Transaction] = {}
        self.newest_watch: Optional[Watch] = None
        self.ended = False
        self.backlog = 0  # bytes of output
        self._ready = ready
        self._last_transaction = 0
        self._out: Deque[bytes] = deque()
        self._pending_events: Set[bytes] = set()

    def rights(self, perms: Permissions) -> int:
        """Return the rights of the domain on a node with these permissions."""
        return self.domain.rights(perms)

    def new_transaction_id(self) -> int:
        """Return an id, not 0, that no running transaction of the session has."""
        while True:
            self._last_transaction = (self._last_transaction + 1) & 0xFFFFFFFF
            if self._last_transaction and self._last_transaction not in self.transactions:
                return self._last_transaction

    def reply(self, message: bytes) -> None:
        """Add a message to the output."""
        self._out.append(message)
        self.backlog += len(message)
        self._ready[self] = None

    def report(self, change: Change) -> None:
        """Add an event to the output for each watch that fires for a change."""
        path = change.path
        for watch in self.watches.values():
            if watch.fires(change):
                self._add_event(watch.event(path))

    def report_new_watch(self) -> None:
        """Add the first event of the newest watch, as if its path had changed."""
        watch = self.newest_watch
        if watch is not None:
            self._add_event(watch.event(watch.path))

    def _add_event(self, event: "Optional[bytes]") -> None:
        # Like the C daemon, this merges equal pending events. A client that does not read its
        # events cannot fill the memory when one node changes often. Events of domains count:
        # each tells of another domain.
        if event is None or event in self._pending_events:
            return
        if not event.startswith(b"@", HEADER_SIZE):
            self._pending_events.add(event)
        self.reply(event)

    @property
    def has_output(self) -> bool:
        """Whether there is output to send."""
        return bool(self._out)

    def take_output(self, at_least: int) -> bytes:
        """Remove and return output: whole messages, of *at_least* bytes if there are as many."""
        pieces = []
        size = 0
        while self._out and size < at_least:
            piece = self._out.popleft()
            self._pending_events.discard(piece)
            pieces.append(piece)
            size += len(piece)
        self.backlog -= size
        return b"".join(pieces)
