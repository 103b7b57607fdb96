"""The domains, with their quotas, targets and features."""

import itertools
from typing import Dict, Optional

from . import _quota
from ._errors import Refused
from ._permissions import ALL, DOM0, DOMID_FIRST_RESERVED, Permissions

#: The features of the daemon, XENSTORE_SERVER_FEATURE_* of xs_wire.h: watches with a depth.
FEATURES = 4


class Domain:
    """The state of a domain in the store.

    ``life`` is a number that no other domain has. A domid is used again after a release, and
    the new domain must not inherit what the old one was granted (XSA-322).
    """

    __slots__ = ("domid", "features", "introduced", "life", "limits", "target")

    def __init__(self, domid: int, life: int, limits: "Dict[bytes, int]") -> None:
        self.domid = domid
        self.life = life
        self.introduced = domid == DOM0
        self.target: Optional[Domain] = None  # the domain whose rights it has too (SET_TARGET)
        self.limits = dict(limits)
        self.features = FEATURES

    def rights(self, perms: Permissions) -> int:
        """Return its rights by *perms*: ``READ``, ``WRITE``, ``OWN``, added."""
        if self.domid == DOM0:
            return ALL
        owner = perms[0]
        who = [self] if self.target is None else [self, self.target]
        if any(owner.domid == each.domid for each in who):
            return ALL
        for entry in perms[1:]:
            if any((entry.domid, entry.life) == (each.domid, each.life) for each in who):
                return entry.rights
        return owner.rights


class Domains:
    """Every domain up to 32751 exists; some are introduced."""

    def __init__(self) -> None:
        self.limits = dict(_quota.DEFAULTS)  # the quotas of a new domain
        self._lives = itertools.count()
        self._known = {DOM0: Domain(DOM0, next(self._lives), self.limits)}

    def existing(self, domid: int) -> Domain:
        """Return a domain, introduced or not.

        :raises Refused: ``ENOENT``: no domain can have this domid.
        """
        if not 0 <= domid < DOMID_FIRST_RESERVED:
            raise Refused("ENOENT")
        if domid not in self._known:
            self._known[domid] = Domain(domid, next(self._lives), self.limits)
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

    def alive(self, perms: Permissions) -> Permissions:
        """Return permissions as a client sets them, each entry for the domain of today."""
        return tuple(
            entry._replace(life=self.existing(entry.domid).life)
            if entry.domid < DOMID_FIRST_RESERVED
            else entry
            for entry in perms
        )

    def forget(self, domain: Domain) -> None:
        """Remove all state of a domain, as if it had never been introduced."""
        del self._known[domain.domid]
        for other in self._known.values():
            if other.target is domain:
                other.target = None

    def set_limit(self, name: bytes, value: int) -> None:
        """Set a quota of all domains, also of future ones; 0: no limit."""
        for limits in [self.limits] + [domain.limits for domain in self._known.values()]:
            limits[name] = value
