"""Walks a tree with requests sent ahead, so that the daemon works while the caller does."""

import collections
import itertools

from .._wire.packets import Op
from .._wire.replies import decode_names, decode_perms
from ..helpers import decode_text, encode_text, validate_path
from .failures import decoded
from .pipeline import Pipeline, Request
from .pool import Pool
from .transaction import Transaction

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Deque, Dict, Iterator, List, Optional, Tuple, TypeVar, Union

    from .._annotations.types import Visit

    T = TypeVar("T")
    #: path, value (None: not readable), permissions
    Record = Tuple[str, Optional[bytes], Tuple[str, ...]]


# When half of the requests are answered, the walk sends as many again, so that the daemon
# always has something to do.
_WINDOW = 64  # requests
#: The most nodes whose requests are sent before they are visited.
_AHEAD_MAX = 64


class _Node:
    """A node to visit; *listing*, *granting* and *reading* are its requests, once it is asked."""

    __slots__ = ("asked", "children", "granting", "listing", "path", "reading")

    granting: Request
    listing: Request
    reading: Request

    def __init__(self, path: str) -> None:
        self.path = path
        self.asked = False
        self.children: Optional[Dict[str, _Node]] = None  # by name, once listed

    def child(self, name: str) -> "_Node":
        return _Node("/" + name if self.path == "/" else self.path + "/" + name)


class _Ahead:
    """Sends requests ahead, on a channel of a pool that the walk has for itself."""

    def __init__(self, pool: Pool) -> None:
        self.path = pool.path
        self._pool = pool
        self._pipeline: Optional[Pipeline] = None

    def submit(self, requests: "List[Request]") -> None:
        if self._pipeline is None:
            self._pipeline = Pipeline(self._pool.take(), 0, {})
        self._do(Pipeline.submit, requests)

    def wait(self, request: Request) -> None:
        if request.reply is None:
            self._do(Pipeline.wait, request)

    def finish(self) -> None:
        pipeline, self._pipeline = self._pipeline, None
        if pipeline is None:
            return
        if pipeline.is_idle():
            self._pool.put_back(pipeline.channel)
        else:
            pipeline.channel.close()

    def distrust(self) -> None:
        """Close the channel and those of the pool, because a malformed reply came from it."""
        assert self._pipeline is not None
        self._pipeline.channel.close()
        self._pool.distrust()

    def _do(self, action: "Callable[[Pipeline, Any], None]", argument: "Any") -> None:
        # Taken out, so that finish() does not find it after an exception.
        pipeline, self._pipeline = self._pipeline, None
        assert pipeline is not None
        try:
            pipeline.channel.check()
            action(pipeline, argument)
        except BaseException as exc:
            self._pool.discard(pipeline.channel, exc)
            raise
        self._pipeline = pipeline


class _AtOnce:
    """Waits for all replies at once: others use the channel of a transaction between two steps."""

    def __init__(self, transaction: Transaction) -> None:
        self.path = transaction.path
        self.distrust = transaction.distrust
        self.submit = transaction.exchange_many

    def wait(self, request: Request) -> None:
        """There is a reply."""

    def finish(self) -> None:
        """Nothing is under way."""


class Walker:
    """One walk over a tree.

    :param channels: the pool to take a channel from, or the transaction to walk in.
    :param list_large: lists the children of a node that are too many for one reply; returns
        ``None`` if there is no such node.
    :param for_records: whether :meth:`records` is to be called, and none of the others.
    """

    def __init__(
        self,
        channels: "Union[Pool, Transaction]",
        list_large: "Callable[[str], Optional[List[str]]]",
        for_records: bool,
    ) -> None:
        self._requests = _Ahead(channels) if isinstance(channels, Pool) else _AtOnce(channels)
        self._list_large = list_large
        self._for_records = for_records
        self._decoded_perms: Dict[bytes, Tuple[str, ...]] = {}
        self._flying_max = _WINDOW // (3 if for_records else 2)  # nodes
        self._stack: List[_Node] = []  # still to visit, the next one last
        self._flying: Deque[_Node] = collections.deque()  # sent, perhaps not answered
        self._ahead = 0  # sent and not visited

    def top_down(self, top: str) -> "Iterator[Visit]":
        """Yield each node before its children; visit those that the caller leaves in the list."""
        return self._to_the_end(self._top_down(top))

    def bottom_up(self, top: str) -> "Iterator[Visit]":
        """Yield each node after its children."""
        return self._to_the_end(self._bottom_up(top))

    def records(self, top: str) -> "Iterator[Record]":
        """Yield each node before its children, with its permissions; siblings by name."""
        return self._to_the_end(self._records(top))

    def _to_the_end(self, steps: "Iterator[T]") -> "Iterator[T]":
        try:
            yield from steps
        finally:
            self._requests.finish()

    def _top_down(self, top: str) -> "Iterator[Visit]":
        self._stack.append(_Node(top))
        while self._stack:
            node = self._stack.pop()
            visit = self._visit(node)
            if visit is not None:
                yield visit
                self._push(node, visit[2])

    def _bottom_up(self, top: str) -> "Iterator[Visit]":
        self._stack.append(_Node(top))
        # The ancestors of the next node, each with the length of the stack below it.
        entered: List[Tuple[int, Visit]] = []
        while self._stack:
            node = self._stack.pop()
            visit = self._visit(node)
            if visit is not None:
                entered.append((len(self._stack), visit))
                self._push(node, visit[2])
            while entered and entered[-1][0] == len(self._stack):
                yield entered.pop()[1]

    def _records(self, top: str) -> "Iterator[Record]":
        self._stack.append(_Node(top))
        while self._stack:
            node = self._stack.pop()
            self._read_ahead(node)
            self._ahead -= 1
            if self._vanished(node.listing, node.granting, node.reading):
                continue
            value = None if node.reading.refusal == b"EACCES" else node.reading.result()
            yield node.path, value, self._permissions(node)
            self._stack.extend(reversed(list((self._children(node) or {}).values())))

    def _push(self, node: _Node, names: "List[str]") -> None:
        known = node.children or {}
        for name in reversed(names):
            child = known.get(name)
            if child is None:  # the caller added it
                child = node.child(name)
                validate_path(child.path)
            self._stack.append(child)

    def _visit(self, node: _Node) -> "Optional[Visit]":
        """Return the item to yield for a node, or ``None`` if it has been removed."""
        self._read_ahead(node)
        self._ahead -= 1
        if self._vanished(node.reading, node.listing):
            return None
        value, children = self._value(node), self._children(node)
        return None if children is None else (node.path, value, list(children))

    def _vanished(self, *requests: Request) -> bool:
        """Wait for the answers about a node; return whether one says that it does not exist."""
        for request in requests:
            self._requests.wait(request)
        return b"ENOENT" in [request.refusal for request in requests]

    def _permissions(self, node: _Node) -> "Tuple[str, ...]":
        """Return the permissions of a node, none if they may not be read."""
        if node.granting.refusal == b"EACCES":
            return ()
        payload = node.granting.result()
        perms = self._decoded_perms.get(payload)  # few are distinct
        if perms is None:
            perms = tuple(decoded(self._requests, decode_perms, node.granting.op, payload))
            self._decoded_perms[payload] = perms
        return perms

    def _value(self, node: _Node) -> str:
        if node.reading.refusal == b"EACCES":
            return ""
        return decode_text(node.reading.result())

    def _children(self, node: _Node) -> "Optional[Dict[str, _Node]]":
        """Return the children by name; ``None``: the node was removed while they were listed."""
        if node.children is None:
            names: Optional[List[str]] = []
            if node.listing.refusal == b"E2BIG":
                names = self._list_large(node.path)
            elif node.listing.refusal != b"EACCES":
                payload = node.listing.result()
                names = decoded(self._requests, decode_names, node.listing.op, payload)
            if names is None:
                return None
            if self._for_records:
                names.sort()
            node.children = {name: node.child(name) for name in names}
        return node.children

    # -- reading ahead -----------------------------------------------------------------

    def _read_ahead(self, node: _Node) -> None:
        """Send the requests for *node* and for the nodes after it, unless they are sent."""
        flying = self._flying
        while flying and flying[0].reading.reply is not None:
            flying.popleft()
        room = min(self._flying_max - len(flying), _AHEAD_MAX - self._ahead)
        # A few at a time: messages sent together cost one system call.
        if node.asked and room < self._flying_max // 2:
            return
        nodes = list(itertools.islice(self._unasked(node), max(room, 1)))
        requests: List[Request] = []
        for each in nodes:
            payload = encode_text(each.path, "path") + b"\0"
            each.listing = Request(Op.DIRECTORY, payload)
            each.reading = Request(Op.READ, payload)
            each.asked = True
            requests.append(each.listing)
            if self._for_records:
                each.granting = Request(Op.GET_PERMS, payload)
                requests.append(each.granting)
            requests.append(each.reading)
        self._requests.submit(requests)
        flying.extend(nodes)
        self._ahead += len(nodes)

    def _unasked(self, node: _Node) -> "Iterator[_Node]":
        """Yield the nodes whose requests are not sent, in the order of a top-down walk."""
        for start in itertools.chain((node,), reversed(self._stack)):
            todo = [start]
            while todo:
                each = todo.pop()
                if not each.asked:
                    yield each
                elif each.listing.reply is not None and not each.listing.refusal:
                    todo.extend(reversed(list((self._children(each) or {}).values())))
