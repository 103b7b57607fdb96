"""The store that clients read and write, without I/O.

The server opens a :class:`~._session.Session` for each connection, and :mod:`.requests` calls
the store on behalf of a session. The store adds events to the output of the sessions. It
raises :class:`~._errors.Refused` for every request that fails.
"""

from typing import Dict, List, Optional

from ._domains import Domain, Domains
from ._errors import Refused
from ._permissions import (
    DOM0,
    NONE,
    OWN,
    READ,
    WRITE,
    Permission,
    Permissions,
    owned_by,
    without,
)
from ._quota import Quotas, node_size, sizes_of_new
from ._session import Session, Watch
from ._tree import (
    AnyNode,
    Change,
    Reach,
    Transaction,
    Tree,
    View,
    name_of,
    parent_of,
    subtree,
)
from ._versions import INTRODUCE_DOMAIN, RELEASE_DOMAIN, VERSIONS, Version

_FOR_DOM0: Permissions = (Permission(DOM0, NONE),)


class Store:
    """One XenStore.

    :param version: how it behaves.
    """

    def __init__(self, version: Version = VERSIONS["4.17"]) -> None:
        self.version = version
        self.tree = Tree(
            {
                b"/": _FOR_DOM0,
                INTRODUCE_DOMAIN: _FOR_DOM0,
                RELEASE_DOMAIN: version.release_perms,
            }
        )
        for path in (b"/tool", b"/tool/xenstored"):  # a fresh C daemon has them
            self.tree.create(path, b"", _FOR_DOM0)
        self.domains = Domains(version)
        self._quotas = Quotas(version, self.tree, self.domains)
        self._sessions: Dict[Session, None] = {}
        #: Sessions that have output or have ended; the server removes them from here.
        self.ready: Dict[Session, None] = {}

    # Sessions and domains

    def connect(self, domid: int) -> Session:
        """Open a session that speaks for an introduced domain.

        :raises Refused: ``ENOENT``: the domain is not introduced.
        """
        session = Session(self.domains.introduced(domid), self.ready)
        self._sessions[session] = None
        return session

    def disconnect(self, session: Session) -> None:
        """End a session: remove its watches and abort its transactions."""
        self.reset(session)
        self._sessions.pop(session, None)
        session.ended = True
        self.ready[session] = None

    def reset(self, session: Session) -> None:
        """Remove a session's watches and abort its transactions."""
        session.watches.clear()
        for transaction in session.transactions.values():
            transaction.abort()
        session.transactions.clear()

    def introduce(self, domid: int) -> None:
        """Introduce a domain; if it is introduced, reset its sessions.

        :raises Refused: ``ENOENT``: no domain can have this domid.
        """
        domain = self.domains.existing(domid)
        if not domain.introduced:
            domain.introduced = True
            self._fire_domain_events(INTRODUCE_DOMAIN, domid)
        elif domid != DOM0:
            for session in self._sessions_of(domain):
                self.reset(session)

    def release(self, domid: int) -> None:
        """Release a domain: end its sessions, and remove its nodes and all nodes below them.

        :raises Refused: ``ENOENT``: it is not introduced; ``EINVAL``: it owns ``/``.
        """
        domain = self.domains.introduced(domid)
        if self.tree.tops_owned_by(domid) == [b"/"]:
            raise Refused("EINVAL")  # the C daemon would remove its whole store
        self.domains.forget(domain)
        for session in self._sessions_of(domain):
            self.disconnect(session)
        for path in self.tree.tops_owned_by(domid):
            self._remove_all(self.tree, path)
        for special in (INTRODUCE_DOMAIN, RELEASE_DOMAIN):
            node = self.tree.get(special)
            assert node is not None
            self.tree.set_perms(special, without(domid, node.perms))
        if self.version.removes_entries:
            self.tree.remove_entries(domid)
        self._fire_domain_events(RELEASE_DOMAIN, domid)

    def set_target(self, domid: int, target: int) -> None:
        """Give a domain the rights of another, its target.

        :raises Refused: ``ENOENT``: one of them is not introduced.
        """
        domain = self.domains.introduced(domid)
        domain.target = self.domains.introduced(target)

    def usage(self, domid: int) -> "Dict[bytes, int]":
        """Return how much of each quota a domain uses.

        :raises Refused: ``ENOENT``: the domain is not introduced.
        """
        domain = self.domains.introduced(domid)
        return {
            b"nodes": self.tree.owned(domid),
            b"watches": self._watches_of(domain),
            b"transactions": self._transactions_of(domain),
        }

    # Nodes

    def view(self, session: Session, tx_id: int) -> View:
        """Return a session's transaction, or the tree if *tx_id* is 0.

        :raises Refused: ``ENOENT``: the session has no such transaction.
        """
        if not tx_id:
            return self.tree
        try:
            return session.transactions[tx_id]
        except KeyError:
            raise Refused("ENOENT") from None

    def node(self, session: Session, view: View, path: bytes, needed: int = READ) -> AnyNode:
        """Return a node, if the session's domain has the rights *needed*.

        :raises Refused: ``ENOENT``: there is no such node; ``EACCES``: the rights are missing.
        """
        node = view.get(path)
        if node is not None and session.rights(node.perms) & needed == needed:
            return node
        # A domain without rights at the nearest ancestor does not learn whether nodes exist.
        above = self._nearest_ancestor(view, path)
        if node is None and session.rights(above.perms) & needed:
            raise Refused("ENOENT")
        raise Refused("EACCES")

    def write(self, session: Session, view: View, path: bytes, value: bytes) -> None:
        """Set the value of a node; create the node and its ancestors if they are missing.

        :raises Refused: ``EACCES``: not writable; ``ENOSPC``: over a quota.
        """
        node = self._writable(session, view, path)
        if node is None:
            self._create(session, view, path, value)
        else:
            if session.unprivileged:
                size = node_size(node) - len(node.value) + len(value)
                self._quotas.check_size(session.domain, view, size)
            view.set_value(path, value)
        self._changed(view, Change(path))

    def mkdir(self, session: Session, view: View, path: bytes) -> None:
        """Create a node and its missing ancestors, unless the node exists.

        :raises Refused: ``EACCES``: not writable; ``ENOSPC``: over a quota.
        """
        if self._writable(session, view, path) is None:
            self._create(session, view, path, b"")
            self._changed(view, Change(path))

    def remove(self, session: Session, view: View, path: bytes) -> None:
        """Remove a node and all nodes below it; it may be missing if its parent exists.

        :raises Refused: ``EACCES``: not writable; ``ENOENT``: the parent is missing too;
            ``EINVAL``: the node is ``/``; ``EINVAL``, ``EIO``: the parent, as the transaction
            first saw it, is missing or does not list the node.
        """
        node = self._writable(session, view, path)
        parent = view.get(parent_of(path))
        if node is None:
            if parent is None:
                raise Refused("ENOENT")
            return
        # The transaction may have seen the parent before another client created the node, and
        # the node afterwards. Then it can no longer be committed.
        if path == b"/" or parent is None:
            raise Refused("EINVAL")
        listed = parent.has_child(name_of(path))
        self._remove_all(view, path)
        if not listed:
            raise Refused("EIO")

    def set_perms(self, session: Session, view: View, path: bytes, perms: Permissions) -> None:
        """Set the permissions of a node, or of ``@introduceDomain`` or ``@releaseDomain``.

        :raises Refused: ``EACCES``: not the owner; ``ENOENT``: no such node, or no such domain
            to own it; ``ENOSPC``: over a quota; ``EPERM``: an unprivileged domain gives its
            node to another.
        """
        domain, owner = session.domain, perms[0].domid
        if session.unprivileged and domain.exceeds(self.version.permissions_quota, len(perms)):
            raise Refused("ENOSPC")
        perms = self.domains.alive(perms, domain)
        if perms[0].life is None:
            raise Refused("ENOENT")
        if path.startswith(b"@") and not self.version.special_nodes:
            self._set_special_perms(session, path, perms)
            return
        node = self.node(session, view, path, WRITE | OWN)
        before = node.perms
        if session.unprivileged:
            if owner != before[0].domid:
                raise Refused("EPERM")
            size = node_size(node) + 8 * (len(perms) - len(before))
            self._quotas.check_size(domain, view, size)
        view.set_perms(path, perms)
        self._changed(view, Change(path, before=before))

    def _remove_all(self, view: View, path: bytes) -> None:
        for each in subtree(view, path):
            node = view.get(each)
            view.remove(each)
            # For the nodes below *path*, only watches of exactly their paths get an event.
            reach = Reach.ABOVE if each == path else Reach.ITSELF
            self._changed(view, Change(each, reach, removed=node.perms if node else None))

    def _set_special_perms(self, session: Session, path: bytes, perms: Permissions) -> None:
        node = self.tree.get(path)
        if node is None:
            raise Refused("EINVAL")
        if not session.rights(node.perms) & OWN:
            raise Refused("EACCES")
        self.tree.set_perms(path, perms)

    def _nearest_ancestor(self, view: View, path: bytes) -> AnyNode:
        """Return the nearest existing ancestor of *path*; that of the root is the root."""
        while True:
            path = parent_of(path)
            node = view.get(path)
            if node is not None:
                return node

    def _writable(self, session: Session, view: View, path: bytes) -> "Optional[AnyNode]":
        """Return a writable node, or ``None`` if it is missing and may be created.

        :raises Refused: ``EACCES``: not writable.
        """
        try:
            return self.node(session, view, path, WRITE)
        except Refused as refused:
            if refused.name != "ENOENT":
                raise
            return None

    def _create(self, session: Session, view: View, path: bytes, value: bytes) -> None:
        missing = [path]
        above = parent_of(path)
        parent = view.get(above)
        while parent is None:
            missing.append(above)
            above = parent_of(above)
            parent = view.get(above)
        perms = parent.perms
        if session.unprivileged:
            perms = owned_by(perms, session.domain.domid)
            self._quotas.check_count(session.domain, view, len(missing))
            for size in sizes_of_new(parent, perms, missing, value):
                self._quotas.check_size(session.domain, view, size)
        for each in reversed(missing):
            view.create(each, value if each is path else b"", perms)

    # Transactions

    def start_transaction(self, session: Session) -> int:
        """Start a transaction and return its id.

        :raises Refused: ``ENOSPC``: over the quota of transactions.
        """
        domain = session.domain
        if session.unprivileged:
            running = self._transactions_of(domain)
            if domain.exceeds(b"transactions", running + 1):
                raise Refused("ENOSPC")
        limit = domain.most(b"transaction-nodes") if session.unprivileged else None
        tx_id = session.new_transaction_id()
        session.transactions[tx_id] = Transaction(self.tree, limit)
        return tx_id

    def end_transaction(self, session: Session, tx_id: int, commit: bool) -> None:
        """Commit or abort a transaction, which ends even if the commit fails.

        :raises Refused: ``ENOENT``: no such transaction; ``EAGAIN``: a node that it used has
            changed; ``ENOSPC``, ``ENOMEM``: over a quota.
        """
        transaction = session.transactions.pop(tx_id, None)
        if transaction is None:
            raise Refused("ENOENT")
        if not commit:
            transaction.abort()
            return
        try:
            self._quotas.check_commit(session, transaction)
        except Refused:
            transaction.abort()
            raise
        for change in transaction.commit():
            self._fire(change)

    def _sessions_of(self, domain: Domain) -> "List[Session]":
        return [each for each in self._sessions if each.domain is domain]

    def _transactions_of(self, domain: Domain) -> int:
        return sum(len(each.transactions) for each in self._sessions_of(domain))

    def _watches_of(self, domain: Domain) -> int:
        return sum(len(each.watches) for each in self._sessions_of(domain))

    # Watches

    def add_watch(self, session: Session, watch: Watch) -> None:
        """Add a watch to a session.

        :raises Refused: ``EEXIST``: it has a watch with this path and token; ``E2BIG``,
            ``ENOSPC``: over the quota of watches.
        """
        key = watch.path, watch.token
        if key in session.watches:
            raise Refused("EEXIST")
        if session.unprivileged:
            used = self._watches_of(session.domain)
            if session.domain.exceeds(b"watches", used + 1):
                raise Refused(self.version.watches_errno)
        session.watches[key] = session.newest_watch = watch

    def remove_watch(self, session: Session, path: bytes, token: bytes) -> None:
        """Remove a watch of a session.

        :raises Refused: ``ENOENT``: it has no such watch.
        """
        try:
            del session.watches[path, token]
        except KeyError:
            raise Refused("ENOENT") from None

    def _changed(self, view: View, change: Change) -> None:
        if isinstance(view, Transaction):
            view.note(change)
        else:
            self._fire(change)

    def _fire_domain_events(self, special: bytes, domid: int) -> None:
        for more, reach in self.version.domain_events[special]:
            self._fire(Change(special + (more % domid if more else b""), reach))

    def _fire(self, change: Change) -> None:
        """Report a change to the sessions that watch it and may read the node."""
        for session in self._sessions:
            if session.watches and self._may_see(session, change):
                session.report(change)

    def _may_see(self, session: Session, change: Change) -> bool:
        path = change.path
        if path.startswith(b"@"):
            path = path.partition(b"/")[0]
        if change.before is not None and session.rights(change.before) & READ:
            return True
        perms = change.removed
        if perms is None:
            node = self.tree.get(path)
            if node is None:  # the transaction has removed it; then its parent does not count
                return False
            perms = node.perms
        if session.rights(perms) & READ:
            return True
        if path.startswith(b"@") and not self.version.special_nodes:
            return False
        parent = self.tree.get(parent_of(path))
        return parent is not None and bool(session.rights(parent.perms) & READ)
