"""``xen.lowlevel.xs`` in Python."""

from .api import Error, xs
from .install import install_as_xen_lowlevel_xs

__all__ = ["Error", "install_as_xen_lowlevel_xs", "xs"]
