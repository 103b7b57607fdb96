"""``xen.lowlevel.xs`` in Python, from pyxs."""

from pyxs import Error, xs

__all__ = ["Error", "xs"]
