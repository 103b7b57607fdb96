"""The nodes of a tree, asked for without waiting for the reply to each request."""

import errno

from ..connection import Op
from ..exceptions import PyXSError
from ..helpers import validate_path
from .many import BATCH, exchange, names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Sequence

    from ..client import Client
    from .many import Answer

__all__ = ["Node", "tree"]


class Node:
    """A node of a tree, and the answers about it."""

    __slots__ = ("answers", "children", "depth", "path")

    answers: "List[Answer]"  #: about the node itself, by operation; then to ``DIRECTORY``
    children: "List[Node]"  #: reversed

    def __init__(self, path: bytes, depth: int) -> None:
        self.path = path
        self.depth = depth  #: levels below the top

    def add_children(self, client: "Client") -> None:
        """Make the nodes of the children; none, if the node was removed since it was found.

        :raises PyXSError: the daemon refused to list them.
        """
        above = self.path if self.path == b"/" else self.path + b"/"
        try:
            found = names(client, self.path, self.answers[-1])
        except PyXSError as exc:
            if exc.errno != errno.ENOENT or self.depth == 0:
                raise
            found = []
        self.children = [Node(above + name, self.depth + 1) for name in reversed(found)]


def tree(client: "Client", top: str, ops: "Sequence[Op]") -> "Iterator[Node]":
    """Yield a node and all nodes below it: each before its children, in the daemon's order.

    :param ops: what to ask about each node; the answers are in the same order.
    :raises PyXSError: the daemon refused to list a node that was yielded before.
    """
    ops = [*ops, Op.DIRECTORY]
    stack = [Node(validate_path(top), 0)]
    while stack:
        node = stack.pop()
        if not hasattr(node, "answers"):
            _ask_ahead(client, [*stack, node], ops)
        yield node
        if not hasattr(node, "children"):
            node.add_children(client)
        stack += node.children


def _ask_ahead(client: "Client", stack: "List[Node]", ops: "Sequence[Op]") -> None:
    """Ask about the next nodes that were not asked about, the last one of the stack first."""
    nodes: List[Node] = []
    pending = stack
    while pending and len(nodes) < BATCH // len(ops):
        node = pending.pop()
        if not hasattr(node, "answers"):
            nodes.append(node)
        elif hasattr(node, "children"):
            pending += node.children
        elif isinstance(node.answers[-1], bytes):
            node.add_children(client)
            pending += node.children
    found = exchange(client, [(op, node.path + b"\0") for node in nodes for op in ops])
    for node in nodes:
        node.answers = [next(found) for _op in ops]
