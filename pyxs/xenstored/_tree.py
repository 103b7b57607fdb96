"""The tree of nodes, and a transaction's own view of it.

One dict maps absolute paths to nodes, so the cost of a lookup does not depend on the number of
nodes. :class:`Tree` and :class:`Transaction` have the same methods, so the same code reads and
writes nodes in both.
"""

import enum
from typing import Dict, Iterable, Iterator, List, NamedTuple, Optional, Set, Union

from ._errors import Refused
from ._permissions import Permissions, without


def parent_of(path: bytes) -> bytes:
    """Return the path of the parent: of ``/a/b`` it is ``/a``, of ``/a`` it is ``/``.

    That of a special path is ``/`` too.
    """
    return path[: max(path.rfind(b"/"), 0)] or b"/"


def name_of(path: bytes) -> bytes:
    """Return the last part of a path: of ``/a/b`` it is ``b``."""
    return path[path.rfind(b"/") + 1 :]


def child_of(path: bytes, name: bytes) -> bytes:
    """Return the path of the child *name*."""
    return path + name if path == b"/" else path + b"/" + name


class Node:
    """A node outside of transactions.

    ``pins`` counts the transactions that have seen the node. If there are any, the tree
    replaces the node by a changed copy, and does not change it.
    """

    __slots__ = ("children", "generation", "perms", "pins", "value")

    def __init__(self, value: bytes, perms: Permissions) -> None:
        self.value = value
        self.perms = perms
        self.generation: int  # set by the tree, a new one at each change
        self.children: Optional[Dict[bytes, None]] = None  # names, in order of creation
        self.pins = 0

    @property
    def names(self) -> "List[bytes]":
        """The children's names, in order of creation."""
        return list(self.children or ())

    def has_child(self, name: bytes) -> bool:
        """Return whether the node has a child of this name."""
        return self.children is not None and name in self.children

    def copy(self) -> "Node":
        """Return an equal node without pins."""
        node = Node(self.value, self.perms)
        node.children = dict(self.children) if self.children else None
        return node


class Draft:
    """A node that a transaction has changed or created.

    It stores the children as a difference. If it copied the names, a write would cost more
    the more children the node has.
    """

    __slots__ = ("added", "base", "generation", "perms", "removed", "value")

    def __init__(self, base: "Optional[Node]", value: bytes, perms: Permissions) -> None:
        self.base = base  # the node before the transaction; None: it did not exist
        self.value = value
        self.perms = perms
        self.generation: int  # set by the transaction, a new one at each change
        self.added: Dict[bytes, None] = {}
        self.removed: Set[bytes] = set()

    @property
    def names(self) -> "List[bytes]":
        """The children's names, in order of creation."""
        kept = self.base.names if self.base is not None else []
        return [name for name in kept if name not in self.removed] + list(self.added)

    def has_child(self, name: bytes) -> bool:
        """Return whether the node has a child of this name."""
        if name in self.added:
            return True
        return self.base is not None and self.base.has_child(name) and name not in self.removed


AnyNode = Union[Node, Draft]


class Reach(enum.Enum):
    """Which watches a change fires: each value says it for the path that has changed."""

    ABOVE = "those of the path and of all paths above it"
    ITSELF = "those of the path"
    WITHOUT_DEPTH = "those of the path that have no depth"
    WITH_DEPTH = "those of the path, and those of paths above it that have a depth"


class Change(NamedTuple):
    """A change of a node, which fires watches."""

    path: bytes
    reach: Reach = Reach.ABOVE
    before: Optional[Permissions] = None  #: the permissions that it had, if they may be others now
    removed: Optional[Permissions] = None  #: those of a node that the request has removed


class Tree:
    """All nodes of the store, as they are outside of transactions."""

    def __init__(self, tops: "Dict[bytes, Permissions]") -> None:
        """Make a tree with a root, and nodes that are not below it.

        :param tops: their permissions, by their paths.
        """
        self._generation = 0
        self._owned: Dict[int, int] = {}
        self._nodes: Dict[bytes, Node] = {}
        for path, perms in tops.items():
            self._add(path, Node(b"", perms))

    def get(self, path: bytes) -> "Optional[Node]":
        """Return the node at *path*, ``None`` if there is none."""
        return self._nodes.get(path)

    def owned(self, domid: int) -> int:
        """Return how many nodes a domain owns."""
        return self._owned.get(domid, 0)

    def tops_owned_by(self, domid: int) -> "List[bytes]":
        """Return the paths of a domain's nodes that are not below another of its nodes."""
        if not self.owned(domid):
            return []
        found: List[bytes] = []
        stack = [b"/"]
        while stack:
            path = stack.pop()
            node = self._nodes[path]
            if node.perms[0].domid == domid:
                found.append(path)
            else:
                stack.extend(child_of(path, name) for name in reversed(node.names))
        return found

    def create(self, path: bytes, value: bytes, perms: Permissions) -> None:
        """Add a node that does not exist, below a parent that does."""
        self._add(path, Node(value, perms))
        self._change_children(parent_of(path), [name_of(path)], ())

    def set_value(self, path: bytes, value: bytes) -> None:
        """Give an existing node a value."""
        self._changeable(path).value = value

    def set_perms(self, path: bytes, perms: Permissions) -> None:
        """Give an existing node permissions."""
        node = self._changeable(path)
        self._count(node.perms, -1)
        self._count(perms, 1)
        node.perms = perms

    def remove_entries(self, domid: int) -> None:
        """Remove a domain, which owns no node, from the permissions of all nodes."""
        for node in self._nodes.values():
            if any(entry.domid == domid for entry in node.perms):
                node.perms = without(domid, node.perms)  # of the same generation, as in C

    def remove(self, path: bytes) -> None:
        """Remove a node without children."""
        self._discard(path)
        self._change_children(parent_of(path), (), [name_of(path)])

    def next_generation(self) -> int:
        """Return a generation that no node has had yet."""
        self._generation += 1
        return self._generation

    def apply(self, path: bytes, draft: "Optional[Draft]") -> None:
        """Apply a transaction's change of one node.

        :param draft: the changed node; ``None``: the transaction removed it.
        """
        if draft is None or draft.base is None:
            self._discard(path)
        if draft is None:
            return
        if draft.base is None:
            self._add(path, Node(draft.value, draft.perms))
        else:
            self.set_value(path, draft.value)
            self.set_perms(path, draft.perms)
        self._change_children(path, draft.added, draft.removed)

    def _add(self, path: bytes, node: Node) -> None:
        node.generation = self.next_generation()
        self._nodes[path] = node
        self._count(node.perms, 1)

    def _discard(self, path: bytes) -> None:
        node = self._nodes.pop(path, None)
        if node is not None:
            self._count(node.perms, -1)

    def _count(self, perms: Permissions, step: int) -> None:
        owner = perms[0].domid
        self._owned[owner] = self._owned.get(owner, 0) + step

    def _changeable(self, path: bytes) -> Node:
        """Return a node that the caller may change, with a new generation."""
        node = self._nodes[path]
        if node.pins:
            node = self._nodes[path] = node.copy()
        node.generation = self.next_generation()
        return node

    def _change_children(
        self, path: bytes, added: "Iterable[bytes]", removed: "Iterable[bytes]"
    ) -> None:
        node = self._changeable(path)
        children = node.children or {}
        for name in removed:
            children.pop(name, None)
        for name in added:
            children[name] = None
        node.children = children or None


class Transaction:
    """The tree as one transaction sees it.

    A node stays as it was when the transaction first saw it. The transaction keeps its own
    changes until :meth:`commit`.

    :param limit: how many nodes the transaction may see; ``None``: without limit.
    """

    def __init__(self, tree: Tree, limit: "Optional[int]") -> None:
        self._tree = tree
        self._limit = limit
        #: Whether a quota was exceeded, so that the transaction cannot be committed.
        self.failed = False
        #: Whether it was asked to create a node.
        self.creates = False
        self._seen: Dict[bytes, Optional[Node]] = {}
        self._drafts: Dict[bytes, Optional[Draft]] = {}
        self._reach: Dict[bytes, Reach] = {}  # of the changes that watches are to hear of
        self._owned: Dict[int, int] = {}

    def get(self, path: bytes) -> "Optional[AnyNode]":
        """Return the node at *path*, ``None`` if there is none."""
        if path in self._drafts:
            return self._drafts[path]
        if path in self._seen:
            return self._seen[path]
        if self._limit is not None and len(self._seen) >= self._limit:
            self.failed = True
            raise Refused("ENOSPC")
        node = self._seen[path] = self._tree.get(path)
        if node is not None:
            node.pins += 1
        return node

    def owned(self) -> "Dict[int, int]":
        """Return how many nodes each domain whose nodes it has changed owns after the commit."""
        return {domid: self._tree.owned(domid) + more for domid, more in self._owned.items()}

    def create(self, path: bytes, value: bytes, perms: Permissions) -> None:
        """Add a node that does not exist, below a parent that does."""
        self.get(path)
        draft = self._drafts[path] = Draft(None, value, perms)
        draft.generation = self._tree.next_generation()
        self._count(perms, 1)
        parent = self._draft(parent_of(path))
        parent.added[name_of(path)] = None

    def set_value(self, path: bytes, value: bytes) -> None:
        """Give an existing node a value."""
        self._draft(path).value = value

    def set_perms(self, path: bytes, perms: Permissions) -> None:
        """Give an existing node permissions."""
        draft = self._draft(path)
        self._count(draft.perms, -1)
        self._count(perms, 1)
        draft.perms = perms

    def remove(self, path: bytes) -> None:
        """Remove a node without children."""
        node = self.get(path)
        if node is not None:
            self._count(node.perms, -1)
        self._drafts[path] = None
        parent, name = self._draft(parent_of(path)), name_of(path)
        if name in parent.added:
            del parent.added[name]
        else:
            parent.removed.add(name)

    def note(self, change: Change) -> None:
        """Store a change, for the watches to fire after the commit."""
        if self._reach.get(change.path) is not Reach.ABOVE:
            self._reach[change.path] = change.reach

    def commit(self) -> "Iterator[Change]":
        """End the transaction, and apply its changes to the tree.

        :returns: the changes for the watches, in the order in which the transaction first saw
            the nodes. Each node is changed when the caller asks for the next: as in the C
            daemon, those that follow are as before while the watches of a node fire.
        :raises Refused: ``EAGAIN``: a node that it saw has changed since.
        """
        self.abort()
        for path, node in self._seen.items():
            if self._tree.get(path) is not node:
                raise Refused("EAGAIN")
        before = {path: node.perms for path, node in self._seen.items() if node is not None}
        return self._apply(before)

    def _apply(self, before: "Dict[bytes, Permissions]") -> "Iterator[Change]":
        for path in self._seen:
            if path in self._drafts:
                self._tree.apply(path, self._drafts[path])
            if path in self._reach:
                yield Change(path, self._reach[path], before.get(path))

    def abort(self) -> None:
        """End the transaction and drop its changes."""
        for node in self._seen.values():
            if node is not None:
                node.pins -= 1

    def _draft(self, path: bytes) -> Draft:
        node = self.get(path)
        if isinstance(node, Node):
            node = self._drafts[path] = Draft(node, node.value, node.perms)
        assert node is not None
        node.generation = self._tree.next_generation()
        return node

    def _count(self, perms: Permissions, step: int) -> None:
        owner = perms[0].domid
        self._owned[owner] = self._owned.get(owner, 0) + step


View = Union[Tree, Transaction]


def subtree(view: View, top: bytes) -> "Iterator[bytes]":
    """Yield the paths of a node and all nodes below it, each after its descendants.

    A transaction sees the nodes in the other order: each before its descendants.

    :raises Refused: ``EIO``: a listed child does not exist, or is one more than the transaction
        may see. As in the C daemon, a transaction may have seen the list before another client
        changed it. The caller has then removed the nodes that were yielded before.
    """
    stack = [(top, iter(_names(view, top)))]
    while stack:
        path, names = stack[-1]
        name = next(names, None)
        if name is None:
            stack.pop()
            yield path
            continue
        child = child_of(path, name)
        try:
            node = view.get(child)
        except Refused:
            node = None
        if node is None:
            raise Refused("EIO")
        stack.append((child, iter(node.names)))


def _names(view: View, path: bytes) -> "List[bytes]":
    node = view.get(path)
    return node.names if node is not None else []
