"""The live watches on a channel, and their events."""

from collections import deque
from itertools import islice

from .._wire.replies import decode_event
from .._wire.requests import strings
from .failures import raised_by_handler
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

    :param suffix: what follows path and token in the request.
    :param label: what the caller wants back with each event.
    :param anywhere: whether it takes all events with its token, whatever their paths.
    """

    __slots__ = ("_anywhere", "is_set", "label", "payload", "token", "wpath")

    is_set: bool  #: whether the daemon has accepted it

    def __init__(
        self,
        wpath: bytes,
        token: bytes,
        suffix: bytes = b"",
        label: "Any" = None,
        anywhere: bool = False,
    ) -> None:
        self.wpath = wpath
        self.token = token
        self.payload = strings(wpath, token) + suffix
        self.is_set = False
        self.label = label
        self._anywhere = anywhere

    def covers(self, path: bytes) -> bool:
        """Return whether the daemon may send an event for *path* to this watch."""
        wpath = self.wpath
        if path == wpath or self._anywhere or wpath == b"/":
            return True
        if wpath.startswith(b"@") and wpath.startswith(path):
            return True  # @releaseDomain/<domid> may be reported without the domid
        return path.startswith(wpath + b"/")


class Watches:
    """The live watches on a channel, and the events that no call has taken yet.

    Only the call that has the turn changes the watches and delivers events. Any may take one.
    """

    def __init__(self) -> None:
        self._readiness: Optional[Readiness] = None
        self._fd: Optional[int] = None  # the channel's, while it is open
        self._live: Dict[Watch, None] = {}
        self._by_token: Dict[bytes, List[Watch]] = {}
        self.queue: Deque[Notice] = deque()
        self._oldest = iter(self.queue.popleft, None)

    def __iter__(self) -> "Any":
        """Iterate over the live watches, the oldest first."""
        return iter(list(self._live))

    def __len__(self) -> int:
        """Return the number of live watches."""
        return len(self._live)

    def add(self, watch: Watch) -> None:
        """Queue the events of a watch from now on."""
        self._live[watch] = None
        self._index()

    def discard(self, watch: Watch) -> None:
        """Queue the events of a watch no more; drop those that no other watch covers."""
        self._live.pop(watch, None)
        self._index()
        for notice in list(self.queue):
            if self._live.keys().isdisjoint(notice[3]):
                self._drop(notice)
        self.refresh()

    def clear(self) -> None:
        """Forget the watches, which are lost; the events that have arrived stay."""
        self._live.clear()
        self._index()

    def first_like(self, watch: Watch) -> Watch:
        """Return the oldest live watch with the same path and token, or this one."""
        for each in self._by_token.get(watch.token, ()):
            if each.wpath == watch.wpath:
                return each
        return watch

    def _index(self) -> None:
        by_token: Dict[bytes, List[Watch]] = {}
        for watch in self:
            by_token.setdefault(watch.token, []).append(watch)
        self._by_token = by_token

    def _drop(self, notice: "Notice") -> None:
        try:
            self.queue.remove(notice)
        except ValueError as exc:
            if raised_by_handler(exc):
                raise  # otherwise another thread has taken it

    # -- events ------------------------------------------------------------------------

    def deliver(self, frames: "List[Any]") -> None:
        """Move the WATCH_EVENT at the head of *frames* to the queue, or drop it.

        :raises MalformedError: the payload is not a path and a token.
        """
        op, _, _, payload = frames[0]
        if isinstance(payload, bytes):  # else an exception has interrupted the last call
            path, token = decode_event(payload)
            covering = [watch for watch in self._by_token.get(token, ()) if watch.covers(path)]
            if not covering:
                del frames[0]
                return
            frames[0] = op, path, token, covering
        # One call in C: an exception cannot come between the two and lose the event.
        self.queue.extend(map(frames.pop, _HEAD))
        self.refresh()

    def take(self, held: "List[Notice]") -> bool:
        """Move the oldest event to *held*, an empty list; ``False``: there is none."""
        if not self.queue:
            return False
        try:
            held.extend(islice(self._oldest, 1))
        except IndexError as exc:
            if raised_by_handler(exc):
                raise  # otherwise another thread has taken it
        self.refresh()
        return bool(held)

    def put_back(self, held: "List[Notice]") -> None:
        """Put an event back that was not delivered, for another call."""
        while held:
            self.queue.appendleft(held[-1])
            held.pop()
        self.refresh()

    # -- readiness ---------------------------------------------------------------------

    def close(self) -> None:
        """Close what :meth:`fileno` has returned."""
        self._readiness = None

    def fileno(self) -> int:
        """Return a descriptor that is readable while an event can be had, or the channel ends."""
        if self._readiness is None:
            self._readiness = Readiness()
            self._readiness.follow(self._fd)
            self.refresh()
        return self._readiness.fileno()

    def follow(self, fd: "Optional[int]") -> None:
        """Follow the descriptor of a new channel; ``None``: it is about to be closed."""
        self._fd = fd
        if self._readiness is not None:
            self._readiness.follow(fd)
            self.refresh()

    def refresh(self) -> None:
        """Show whether there is an event, in case that something has changed."""
        if self._readiness is not None:
            self._readiness.show(self._is_ready)

    def _is_ready(self) -> bool:
        return bool(self.queue) or self._fd is None
