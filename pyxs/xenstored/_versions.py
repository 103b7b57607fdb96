"""What the C daemons of the versions that the in-memory daemon can be like do differently.

Each field names the function of Xen's sources that decides it. They are in ``tools/xenstored`` in
4.22, in ``tools/xenstore`` in 4.17. ``tests/test_xenstored_versions.py`` has a test of each.
"""

from typing import Dict, NamedTuple, Tuple

from ..exceptions import InvalidPayload
from ._permissions import ANY_LIFE, DOM0, DOMID_ANY, NONE, READ, Permission, Permissions
from ._tree import Reach

INTRODUCE_DOMAIN = b"@introduceDomain"
RELEASE_DOMAIN = b"@releaseDomain"

#: XENSTORE_SERVER_FEATURE_* of xs_wire.h.
ERROR, WATCH_DEPTH, ANY_DOMAIN = 2, 4, 8

_DOM0_ALONE: Permissions = (Permission(DOM0, NONE),)


class Quota(NamedTuple):
    """One quota."""

    default: int
    meaning: bytes  #: its description in the output of ``xenstore-control quota``
    #: How much more than its value a domain may use; negative: how much less.
    room: int = 0


class Version(NamedTuple):
    """How the daemon of one version behaves."""

    #: GET_FEATURE, do_get_feature(). The daemon of 4.17 does not know this request, nor those of
    #: quotas, nor the depth of a watch. The in-memory one does, so that programs can be tested.
    features: int
    #: In the order in which GET_QUOTA names them; ``soft-`` ones only warn. do_get_quota()
    quotas: "Dict[bytes, Quota]"
    permissions_quota: bytes  #: the name of the quota of SET_PERMS, do_set_perms()
    watches_errno: str  #: over the quota of watches, do_watch()
    node_header: int  #: bytes that each node counts for node-size, write_node_raw()
    #: Whether each node that a request outside of transactions makes counts at once. Else they
    #: count from the next request on. create_node()
    counts_at_once: bool
    paths_of_dom0: bool  #: whether path-max holds for domain 0 too, is_valid_nodename()
    #: Whether ``xenstore-control quota set`` holds for domains that exist, quota_set()
    sets_quotas_of_all: bool
    #: Whether domids, and the paths of UNWATCH and of special watches, are validated.
    #: parse_domid(), canonicalize()
    strict: bool
    #: Whether ``@introduceDomain`` and ``@releaseDomain`` are nodes of the store: with GET_PERMS,
    #: transactions, events, and the rights on ``/`` for who hears of them. setup_structure()
    special_nodes: bool
    release_perms: Permissions  #: those of ``@releaseDomain`` in a new store, setup_structure()
    #: What fires when a domain comes or goes: what follows the special path, and for which
    #: watches. fire_special_watches()
    domain_events: "Dict[bytes, Tuple[Tuple[bytes, Reach], ...]]"
    #: Whether a release removes the domain's entries from permissions. domain_tree_remove_sub()
    removes_entries: bool


_QUOTAS_4_17 = {
    b"nodes": Quota(1000, b"Nodes per domain"),
    b"watches": Quota(128, b"Watches per domain", 1),
    b"transactions": Quota(10, b"Transactions per domain", 1),
    b"outstanding": Quota(20, b"Outstanding requests per domain"),
    b"transaction-nodes": Quota(1024, b"Max. number of accessed nodes per transaction"),
    b"memory": Quota(2621440, b"Total Xenstore memory per domain (error level)"),
    b"node-size": Quota(2048, b"Max. size of a node", -1),
    b"path-max": Quota(2048, b"Max. length of a node path"),
    b"permissions": Quota(5, b"Max. number of permissions per node"),
    b"soft-memory": Quota(2097152, b"Total Xenstore memory per domain (warning level)"),
}
_QUOTAS_4_22 = {
    b"nodes": Quota(1000, b"Nodes per domain", -1),
    b"watches": Quota(128, b"Watches per domain", -1),
    b"outstanding": Quota(20, b"Outstanding requests per domain", -1),
    b"memory": Quota(2621440, b"Total Xenstore memory per domain", -1),
    b"soft-memory": Quota(2097152, b"Total Xenstore memory per domain", -1),
    b"transactions": Quota(10, b"Active transactions per domain", -1),
    b"transaction-nodes": Quota(1024, b"Max. number of accessed nodes per transaction", -1),
    b"node-permissions": Quota(5, b"Max. number of permissions per node", -1),
    b"path-max": Quota(2048, b"Max. length of a node path", -1),
    b"node-size": Quota(2048, b"Max. size of a node", -1),
}
_BOTH_EVENTS = ((b"", Reach.WITHOUT_DEPTH), (b"/%d", Reach.WITH_DEPTH))

VERSIONS = {
    "4.17": Version(
        features=WATCH_DEPTH,
        quotas=_QUOTAS_4_17,
        permissions_quota=b"permissions",
        watches_errno="E2BIG",
        node_header=24,
        counts_at_once=True,
        paths_of_dom0=True,
        sets_quotas_of_all=True,
        strict=False,
        special_nodes=False,
        release_perms=_DOM0_ALONE,
        domain_events={
            INTRODUCE_DOMAIN: ((b"", Reach.ITSELF),),
            # Of the real daemons, only those since 4.22 send the second.
            RELEASE_DOMAIN: ((b"", Reach.ITSELF), (b"/%d", Reach.ITSELF)),
        },
        removes_entries=False,
    ),
    "4.22": Version(
        features=ERROR | WATCH_DEPTH | ANY_DOMAIN,
        quotas=_QUOTAS_4_22,
        permissions_quota=b"node-permissions",
        watches_errno="ENOSPC",
        node_header=16,
        counts_at_once=False,
        paths_of_dom0=False,
        sets_quotas_of_all=False,
        strict=True,
        special_nodes=True,
        release_perms=(*_DOM0_ALONE, Permission(DOMID_ANY, READ, ANY_LIFE)),
        domain_events={INTRODUCE_DOMAIN: _BOTH_EVENTS, RELEASE_DOMAIN: _BOTH_EVENTS},
        removes_entries=True,
    ),
}


def version_of(like: str) -> Version:
    """Return a version by its name.

    :raises InvalidPayload: there is none of this name.
    """
    if isinstance(like, str) and like in VERSIONS:
        return VERSIONS[like]
    names = " and ".join(VERSIONS)
    raise InvalidPayload(like, "{!r:.80}: the in-memory daemon can be like {}".format(like, names))
