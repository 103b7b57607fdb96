"""What a domain other than 0 may use."""

from typing import Dict

from ._permissions import Permissions
from ._tree import AnyNode

#: Xen 4.17's defaults, by their names in ``xenstore-control quota``.
DEFAULTS: "Dict[bytes, int]" = {
    b"nodes": 1000,
    b"watches": 128,
    b"transactions": 10,
    b"transaction-nodes": 1024,
    b"node-size": 2048,
    b"permissions": 5,
}

#: The same, in words.
MEANINGS: "Dict[bytes, bytes]" = {
    b"nodes": b"Nodes per domain",
    b"watches": b"Watches per domain",
    b"transactions": b"Transactions per domain",
    b"transaction-nodes": b"Max. number of accessed nodes per transaction",
    b"node-size": b"Max. size of a node",
    b"permissions": b"Max. number of permissions per node",
}


def exceeded(limits: "Dict[bytes, int]", name: bytes, used: int) -> bool:
    """Whether *used* is over a limit; 0 means that there is none (*xenstore.txt*)."""
    return 0 < limits[name] < used


def node_size(node: AnyNode) -> int:
    """Return how much of ``node-size`` a node uses, in bytes."""
    names = node.names
    return leaf_size(node.perms, node.value) + sum(map(len, names)) + len(names)


def leaf_size(perms: Permissions, value: bytes) -> int:
    """Return how much of ``node-size`` a node without children uses, in bytes."""
    # As in a record of the C daemon: a header, 8 bytes for each permission, the
    # value; the children's names follow, each with its NUL.
    return 24 + 8 * len(perms) + len(value)
