"""The domains, with their quotas, targets and features."""

from typing import Dict, Optional

from . import _quota
from ._errors import Refused
from ._permissions import DOM0, DOMID_FIRST_RESERVED

#: The features of the daemon, XENSTORE_SERVER_FEATURE_* of xs_wire.h: watches with a depth.
FEATURES = 4


class Domain:
    """The state of a domain in the store."""

    __slots__ = ("domid", "features", "introduced", "limits", "target")

    def __init__(self, domid: int, limits: "Dict[bytes, int]") -> None:
        self.domid = domid
        self.introduced = domid == DOM0
        self.target: Optional[int] = None  # the domain whose rights it has too (SET_TARGET)
        self.limits = dict(limits)
        self.features = FEATURES


class Domains:
    """Every domain up to 32751 exists; some are introduced."""

    def __init__(self) -> None:
        self.limits = dict(_quota.DEFAULTS)  # the quotas of a new domain
        self._known = {DOM0: Domain(DOM0, self.limits)}

    def existing(self, domid: int) -> Domain:
        """Return a domain, introduced or not.

        :raises Refused: ``ENOENT``: no domain can have this domid.
        """
        if not 0 <= domid < DOMID_FIRST_RESERVED:
            raise Refused("ENOENT")
        if domid not in self._known:
            self._known[domid] = Domain(domid, self.limits)
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

    def forget(self, domain: Domain) -> None:
        """Remove all state of a domain, as if it had never been introduced."""
        del self._known[domain.domid]

    def set_limit(self, name: bytes, value: int) -> None:
        """Set a quota of all domains, also of future ones; 0: no limit."""
        for limits in [self.limits] + [domain.limits for domain in self._known.values()]:
            limits[name] = value
