"""An in-memory XenStore daemon, for tests and for machines without Xen."""

from .server import XenStored

__all__ = ["XenStored"]
