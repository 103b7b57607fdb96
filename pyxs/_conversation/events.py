"""The live watches of a conversation, and their events."""

from collections import deque
from itertools import islice

from .._wire.replies import MalformedError
from ..helpers import raised_here
from .readiness import Readiness

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Deque, Dict, List, Optional, Tuple

    #: An event that has arrived: its operation, path, token, and the watches that covered it
    #: then. A plain tuple, because each event is one; of four, as the frame that it replaces.
    Notice = Tuple[int, bytes, bytes, List["Watch"]]


_HEAD = (0,)  # an index


class Watch:
    """A watch, from before its request is sent until it ends.

    :param label: what the caller wants back with each event.
    :param anywhere: whether it takes all events with its token, whatever their paths.
    """

    __slots__ = ("_anywhere", "label", "token", "wpath")

    def __init__(
        self, wpath: bytes, token: bytes, label: "Any" = None, anywhere: bool = False
    ) -> None:
        self.wpath = wpath
        self.token = token
        self.label = label
        self._anywhere = anywhere

    def covers(self, path: bytes) -> bool:
        """Return whether the daemon may send an event for *path* to this watch."""
        wpath = self.wpath
        if path == wpath or self._anywhere or wpath == b"/":
            return True
        if wpath.startswith(b"@"):  # @releaseDomain/<domid> may be reported without the domid
            return wpath.startswith(path)
        return path.startswith(wpath + b"/")


class Events:
    """The live watches of one conversation, and the events that no call has taken yet.

    Any thread may call; the reader alone calls :meth:`take_in`.
    """

    def __init__(self) -> None:
        self.queue: Deque[Notice] = deque()
        self._oldest = iter(self.queue.popleft, None)
        self._watches: Dict[Watch, None] = {}
        # A version and the watches by token; valid while the version is that of _version.
        # It is made anew when an event arrives after a watch was added or discarded.
        self._version = object()
        self._by_token: Tuple[object, Dict[bytes, List[Watch]]] = (None, {})
        self._readiness: Optional[Readiness] = None
        self._fd: Optional[int] = None
        self._lost = False

    # -- watches -----------------------------------------------------------------------

    def watches(self) -> "List[Watch]":
        """Return the live watches, the oldest first."""
        return list(self._watches)

    def add(self, watch: Watch) -> None:
        """Queue the events of a watch from now on."""
        self._watches[watch] = None
        self._version = object()

    def discard(self, watch: Watch) -> None:
        """Queue the events of a watch no more; drop those that no other watch covers."""
        self._watches.pop(watch, None)
        self._version = object()
        for notice in self._queued():
            if not self._is_live(notice):
                self._drop(notice)
        self._signal()

    def _queued(self) -> "List[Notice]":
        while True:
            try:
                return list(self.queue)
            except RuntimeError as exc:  # without a GIL, another thread may change it meanwhile
                if not raised_here(exc):
                    raise

    def first_like(self, watch: Watch) -> Watch:
        """Return the oldest live watch with the same path and token."""
        alike = [
            each
            for each in self.watches()
            if each.wpath == watch.wpath and each.token == watch.token
        ]
        return alike[0] if alike else watch

    def _is_live(self, notice: "Notice") -> bool:
        return not self._watches.keys().isdisjoint(notice[3])

    def _drop(self, notice: "Notice") -> None:
        try:
            self.queue.remove(notice)
        except ValueError as exc:  # another thread has taken it
            if not raised_here(exc):
                raise

    def _index(self) -> "Dict[bytes, List[Watch]]":
        version = self._version
        index: Dict[bytes, List[Watch]] = {}
        for watch in self.watches():
            index.setdefault(watch.token, []).append(watch)
        self._by_token = version, index
        return index

    # -- events ------------------------------------------------------------------------

    def take_in(self, frames: "List[Any]") -> bool:
        """Move the WATCH_EVENT at the head of *frames* to the queue, or drop it.

        :returns: whether it is one for a live watch.
        :raises MalformedError: the payload is not a path and a token.
        """
        op, _, _, payload = frames[0]
        if isinstance(payload, bytes):  # else an exception interrupted the last call
            parts = payload.split(b"\0")
            if len(parts) != 3 or parts[2]:
                raise MalformedError("not a path and a token")
            path, token, _ = parts
            version, index = self._by_token
            if version is not self._version:
                index = self._index()
            watches = [watch for watch in index.get(token, ()) if watch.covers(path)]
            if not watches:
                del frames[0]
                return False
            frames[0] = op, path, token, watches
        # One call in C: an exception cannot come between the two and lose the event.
        self.queue.extend(map(frames.pop, _HEAD))
        if self._readiness is not None:  # spares most events the call
            self._signal()
        return True

    def take(self, hold: "List[Notice]") -> bool:
        """Move the oldest event to *hold*, an empty list; ``False``: there is none."""
        while self.queue:
            try:
                hold.extend(islice(self._oldest, 1))
            except IndexError as exc:
                if not raised_here(exc):
                    raise
                break  # another thread has taken it
            if self._is_live(hold[0]):
                break
            hold.clear()
        if self._readiness is not None:
            self._signal()
        return bool(hold)

    def put_back(self, hold: "List[Notice]") -> None:
        """Put events back that were not delivered, for another call."""
        while hold:
            self.queue.appendleft(hold[-1])
            hold.pop()
        self._signal()

    # -- readiness ---------------------------------------------------------------------

    def attach(self, readiness: Readiness, fd: "Optional[int]") -> None:
        """Make *readiness* show the state of the queue, and of descriptor *fd*."""
        self._fd = fd
        self._readiness = readiness
        self._signal()

    def lose(self) -> None:
        """Show that the conversation has ended; its connection is about to close."""
        self._lost = True
        self._signal()

    def refresh(self) -> None:
        """Show the state again, in case an exception interrupted the last time."""
        self._signal()

    def _signal(self) -> None:
        if self._readiness is not None:
            self._readiness.show(self._state)

    def _state(self) -> "Tuple[bool, Optional[int]]":
        return bool(self.queue) or self._lost, None if self._lost else self._fd
