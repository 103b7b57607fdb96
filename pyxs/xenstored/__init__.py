"""An in-memory XenStore daemon, for tests and for machines without Xen."""

from .daemon import XenStored

__all__ = ["XenStored"]
