"""Fills a new store with the nodes of a snapshot."""

from typing import Iterable

from .._records import Record
from .._wire.refusals import missing_owner
from ..helpers import error
from . import _permissions
from ._errors import Refused
from ._paths import check_path
from ._permissions import DOM0, DOMID_FIRST_RESERVED
from .store import Store

_DOMAINS = b"/local/domain"


def fill(store: Store, records: "Iterable[Record]") -> None:
    """Write nodes as domain 0, and introduce the domains that have a node in /local/domain.

    :param records: the nodes, each after its ancestors.
    :raises PyXSError: ``EINVAL``: a path is longer than this version takes; ``ENOENT``: the owner
        of a node is not a domain.
    """
    session = store.connect(DOM0)
    for record in records:
        path = record.path
        if not path.startswith(b"/"):
            path = session.home + b"/" + path
        try:
            check_path(store.version, session, path)
        except Refused as refused:
            why = "the daemon takes no path of {} bytes".format(len(path))
            raise error(refused.name, path.decode("ascii"), why) from None
        if record.value is not None:
            store.write(session, store.tree, path, record.value)
        if record.perms is None:
            continue
        store.mkdir(session, store.tree, path)
        try:
            store.set_perms(session, store.tree, path, _permissions.parse(record.perms))
        except Refused:
            raise missing_owner(path, record.perms[0]) from None
    store.disconnect(session)
    domains = store.tree.get(_DOMAINS)
    for name in domains.names if domains is not None else ():
        if name.isdigit() and DOM0 < int(name) < DOMID_FIRST_RESERVED:
            store.introduce(int(name))
