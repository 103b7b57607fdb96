"""The quotas of the nodes of domains other than 0."""

from typing import Iterator, List

from ._domains import Domain, Domains
from ._errors import Refused
from ._permissions import DOM0, Permissions
from ._session import Session
from ._tree import AnyNode, Transaction, Tree, View, name_of
from ._versions import Version


class Quotas:
    """Checks nodes before they are created or changed, and transactions before their commit."""

    def __init__(self, version: Version, tree: Tree, domains: Domains) -> None:
        self._version = version
        self._tree = tree
        self._domains = domains

    def check_count(self, domain: Domain, view: View, more: int) -> None:
        """Check that a domain may create nodes.

        :raises Refused: ``ENOSPC``.
        """
        if isinstance(view, Transaction):
            view.creates = True
        if isinstance(view, Transaction) or not self._version.counts_at_once:
            more = 1
        if domain.exceeds(b"nodes", self._tree.owned(domain.domid) + more):
            raise Refused("ENOSPC")

    def check_size(self, domain: Domain, view: View, size: int) -> None:
        """Check that a domain may write a node of a size, without its header.

        :raises Refused: ``ENOSPC``; a transaction cannot be committed then.
        """
        if domain.exceeds(b"node-size", self._version.node_header + size):
            if isinstance(view, Transaction):
                view.failed = True
            raise Refused("ENOSPC")

    def check_commit(self, session: Session, transaction: Transaction) -> None:
        """Check that a transaction may be committed.

        :raises Refused: ``ENOMEM``: it has been over a quota; ``ENOSPC``: over that of nodes.
        """
        if transaction.failed:
            raise Refused("ENOMEM")
        if not (session.unprivileged and transaction.creates):
            return
        for domid, used in transaction.owned().items():
            limit = self._domains.existing(domid).limits[b"nodes"]
            if domid != DOM0 and 0 < limit <= used:
                raise Refused("ENOSPC")


def sizes_of_new(
    parent: AnyNode, perms: Permissions, missing: "List[bytes]", value: bytes
) -> "Iterator[int]":
    """Yield the size of each node that a request creates, and the new one of their parent.

    :param missing: the paths of the new nodes, from the bottom up; the first has the value.
    """
    yield _leaf_size(perms, value)
    for child in missing[:-1]:
        yield _leaf_size(perms, b"") + len(name_of(child)) + 1
    yield node_size(parent) + len(name_of(missing[-1])) + 1


def node_size(node: AnyNode) -> int:
    """Return the size of a node in bytes, without the header of the C daemon's record."""
    names = node.names
    return _leaf_size(node.perms, node.value) + sum(map(len, names)) + len(names)


def _leaf_size(perms: Permissions, value: bytes) -> int:
    # The C daemon's record of a node has 8 bytes for each permission, the value, and the names of
    # the children, each with its NUL.
    return 8 * len(perms) + len(value)
