"""The quotas of domains other than 0."""

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

#: The descriptions in the output of ``xenstore-control quota``.
MEANINGS: "Dict[bytes, bytes]" = {
    b"nodes": b"Nodes per domain",
    b"watches": b"Watches per domain",
    b"transactions": b"Transactions per domain",
    b"transaction-nodes": b"Max. number of accessed nodes per transaction",
    b"node-size": b"Max. size of a node",
    b"permissions": b"Max. number of permissions per node",
}


def exceeded(limits: "Dict[bytes, int]", name: bytes, used: int) -> bool:
    """Return whether *used* is over a limit; a limit of 0 means none (*xenstore.txt*)."""
    return 0 < limits[name] < used


def node_size(node: AnyNode) -> int:
    """Return the size of a node in bytes, as the quota ``node-size`` counts it."""
    names = node.names
    return leaf_size(node.perms, node.value) + sum(map(len, names)) + len(names)


def leaf_size(perms: Permissions, value: bytes) -> int:
    """Return the size of a node without children in bytes, as ``node-size`` counts it."""
    # The C daemon's record of a node has a header of 24 bytes, 8 bytes for each permission,
    # the value, and the names of the children, each with its NUL.
    return 24 + 8 * len(perms) + len(value)
