"""Fills a new store with the nodes of a snapshot."""

from typing import Iterable

from .._records import Record
from ..helpers import error
from . import _permissions
from ._errors import Refused
from ._permissions import DOM0, DOMID_FIRST_RESERVED
from .store import Store

_DOMAINS = b"/local/domain"


def fill(store: Store, records: "Iterable[Record]") -> None:
    """Write nodes as domain 0, and introduce the domains that have a node in /local/domain.

    :param records: the nodes, each after its ancestors.
    :raises PyXSError: ``ENOENT``: the owner of a node is not a domain.
    """
    session = store.connect(DOM0)
    for record in records:
        path = record.path
        if not path.startswith(b"/"):
            path = session.home + b"/" + path
        if record.value is not None:
            store.write(session, store.tree, path, record.value)
        if record.perms is not None:
            store.mkdir(session, store.tree, path)
            try:
                store.set_perms(session, store.tree, path, _permissions.parse(record.perms))
            except Refused as refused:
                raise error(refused.name) from None
    store.disconnect(session)
    domains = store.tree.get(_DOMAINS)
    for name in domains.names if domains is not None else ():
        if name.isdigit() and DOM0 < int(name) < DOMID_FIRST_RESERVED:
            store.introduce(int(name))
