"""Walking a tree with requests sent ahead: the daemon works while the caller does."""

import collections
import errno
import itertools
from typing import Callable, Deque, Dict, Iterator, List, Optional, Tuple

from ._conversation.conversation import Conversation
from ._conversation.request import Request
from ._wire.packets import Op
from ._wire.replies import decode_names
from .exceptions import PyXSError
from .helpers import decode_text, encode_text, validate_path

#: path, value, names of children
Visit = Tuple[str, str, List[str]]

# In nodes, each of two requests: half a window of 64 requests is asked for when half
# of what was asked is answered, so the daemon always has something to do.
_FLYING_LOW, _FLYING_HIGH = 16, 32
#: Nodes asked for and not yet visited.
_AHEAD_MAX = 64


class _Node:
    """A node to visit; *listing* and *reading* are the requests, once asked."""

    __slots__ = ("children", "listing", "path", "reading")

    listing: Request
    reading: Request

    def __init__(self, path: str) -> None:
        self.path = path
        self.children: Optional[Dict[str, _Node]] = None  # by name, once listed

    def asked(self) -> bool:
        return hasattr(self, "listing")

    def child(self, name: str) -> "_Node":
        return _Node("/" + name if self.path == "/" else self.path + "/" + name)


class Walker:
    """One walk over a tree.

    :param conversation: the one to walk in.
    :param tx_id: the transaction, 0 for none.
    :param list_large: lists the children of a node that are too many for one reply.
    """

    def __init__(
        self, conversation: Conversation, tx_id: int, list_large: "Callable[[str], List[str]]"
    ) -> None:
        self._conversation = conversation
        self._tx_id = tx_id
        self._list_large = list_large
        self._stack: List[_Node] = []  # still to visit, the next one last
        self._flying: Deque[_Node] = collections.deque()  # asked, perhaps not answered
        self._ahead = 0  # asked, not visited

    def top_down(self, top: str) -> "Iterator[Visit]":
        """Yield each node before its children, and visit those that the caller leaves."""
        self._stack.append(_Node(top))
        while self._stack:
            node = self._stack.pop()
            visit = self._visit(node)
            if visit is not None:
                yield visit
                self._push(node, visit[2])

    def bottom_up(self, top: str) -> "Iterator[Visit]":
        """Yield each node after its children."""
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

    def _push(self, node: _Node, names: "List[str]") -> None:
        known = node.children or {}
        for name in reversed(names):
            child = known.get(name)
            if child is None:  # the caller added it
                child = node.child(name)
                validate_path(child.path)
            self._stack.append(child)

    def _visit(self, node: _Node) -> "Optional[Visit]":
        """Return what to yield of a node, or ``None`` when it has vanished."""
        self._read_ahead(node)
        self._ahead -= 1
        for request in (node.reading, node.listing):
            self._conversation.wait(request)
            if request.refusal == b"ENOENT":
                return None
        try:
            return node.path, self._value(node), list(self._children(node))
        except PyXSError as exc:
            if exc.errno == errno.ENOENT:  # it vanished while its children were listed in parts
                return None
            raise

    def _value(self, node: _Node) -> str:
        if node.reading.refusal == b"EACCES":
            return ""
        return decode_text(node.reading.result())

    def _children(self, node: _Node) -> "Dict[str, _Node]":
        if node.children is None:
            names: List[str] = []
            if node.listing.refusal == b"E2BIG":
                names = self._list_large(node.path)
            elif node.listing.refusal != b"EACCES":
                names = self._conversation.decoded(node.listing, decode_names)
            node.children = {name: node.child(name) for name in names}
        return node.children

    # -- reading ahead -----------------------------------------------------------------

    def _read_ahead(self, node: _Node) -> None:
        """Ask for *node*, if it has not been, and for those that come after it."""
        flying = self._flying
        while flying and flying[0].reading.answer is not None:
            flying.popleft()
        room = min(_FLYING_HIGH - len(flying), _AHEAD_MAX - self._ahead)
        # A few at a time: messages sent together cost one system call.
        if node.asked() and room < _FLYING_HIGH - _FLYING_LOW:
            return
        nodes = list(itertools.islice(self._unasked(node), max(room, 1)))
        self._conversation.check()
        requests: List[Request] = []
        for each in nodes:
            payload = encode_text(each.path, "path") + b"\0"
            each.listing = Request(Op.DIRECTORY, payload, self._tx_id)
            each.reading = Request(Op.READ, payload, self._tx_id)
            requests += (each.listing, each.reading)
        self._conversation.submit(requests)
        flying.extend(nodes)
        self._ahead += len(nodes)

    def _unasked(self, node: _Node) -> "Iterator[_Node]":
        """Yield the nodes not yet asked for, in the order of a top-down walk."""
        for start in itertools.chain((node,), reversed(self._stack)):
            todo = [start]
            while todo:
                each = todo.pop()
                if not each.asked():
                    yield each
                elif each.listing.answer is not None and not each.listing.refusal:
                    todo.extend(reversed(list(self._children(each).values())))
