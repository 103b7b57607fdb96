"""The domains, with their quotas, targets and features."""

import itertools
from typing import Dict, Optional

from ._errors import Refused
from ._permissions import ALL, ANY_LIFE, DOM0, DOMID_ANY, DOMID_FIRST_RESERVED, Permissions
from ._versions import ANY_DOMAIN, Version


class Domain:
    """The state of a domain in the store.

    ``life`` is a number that no other domain has. A domid is used again after a release, and
    the new domain must not inherit what the old one was granted (XSA-322).
    """

    __slots__ = ("_quotas", "domid", "features", "introduced", "life", "limits", "target")

    def __init__(self, domid: int, life: int, version: Version, limits: "Dict[bytes, int]") -> None:
        self._quotas = version.quotas
        self.domid = domid
        self.life = life
        self.introduced = domid == DOM0
        self.target: Optional[Domain] = None  # the domain whose rights it has too (SET_TARGET)
        self.limits = dict(limits)
        self.features = version.features

    def most(self, quota: bytes) -> "Optional[int]":
        """Return how much a quota allows, ``None`` if it has no limit: its value is 0."""
        limit = self.limits[quota]
        return limit + self._quotas[quota].room if limit else None

    def exceeds(self, quota: bytes, used: int) -> bool:
        """Return whether *used* is over a quota."""
        most = self.most(quota)
        return most is not None and used > most

    def rights(self, perms: Permissions) -> int:
        """Return its rights by *perms*: ``READ``, ``WRITE``, ``OWN``, added."""
        if self.domid == DOM0:
            return ALL
        owner = perms[0]
        who = [self] if self.target is None else [self, self.target]
        if any(owner.domid == each.domid for each in who):
            return ALL
        for entry in perms[1:]:
            if entry.life == ANY_LIFE or any(
                (entry.domid, entry.life) == (each.domid, each.life) for each in who
            ):
                return entry.rights
        return owner.rights


class Domains:
    """Every domain up to 32751 exists; some are introduced."""

    def __init__(self, version: Version) -> None:
        self._version = version
        # the quotas of a new domain
        self.limits = {name: quota.default for name, quota in version.quotas.items()}
        self._lives = itertools.count()
        self._known = {DOM0: self._new(DOM0)}

    def existing(self, domid: int) -> Domain:
        """Return a domain, introduced or not.

        :raises Refused: ``ENOENT``: no domain can have this domid.
        """
        if not 0 <= domid < DOMID_FIRST_RESERVED:
            raise Refused("ENOENT")
        if domid not in self._known:
            self._known[domid] = self._new(domid)
        return self._known[domid]

    def introduced(self, domid: int) -> Domain:
        """Return an introduced domain.

        :raises Refused: ``ENOENT``: it is not introduced.
        """
        if not self.is_introduced(domid):
            raise Refused("ENOENT")
        return self._known[domid]

    def is_introduced(self, domid: int) -> bool:
        """Return whether a domain is introduced."""
        return domid in self._known and self._known[domid].introduced

    def alive(self, perms: Permissions, setter: Domain) -> Permissions:
        """Return permissions as a domain sets them, each entry for the domain of today."""
        lives: Dict[int, Optional[int]] = {
            entry.domid: self.existing(entry.domid).life
            for entry in perms
            if entry.domid < DOMID_FIRST_RESERVED
        }
        if setter.features & ANY_DOMAIN:
            lives[DOMID_ANY] = ANY_LIFE
        return tuple(entry._replace(life=lives.get(entry.domid)) for entry in perms)

    def forget(self, domain: Domain) -> None:
        """Remove all state of a domain, as if it had never been introduced."""
        del self._known[domain.domid]
        for other in self._known.values():
            if other.target is domain:
                other.target = None

    def set_limit(self, name: bytes, value: int) -> None:
        """Set a quota of future domains, and in some versions of all others too; 0: no limit."""
        self.limits[name] = value
        if self._version.sets_quotas_of_all:
            for domain in self._known.values():
                domain.limits[name] = value

    def _new(self, domid: int) -> Domain:
        return Domain(domid, next(self._lives), self._version, self.limits)
