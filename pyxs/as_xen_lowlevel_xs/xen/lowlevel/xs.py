"""``xen.lowlevel.xs`` in Python, from pyxs; with ``$PYXS_TEXT`` its values are ``str``."""

import os

import pyxs
from pyxs import Error
from pyxs._xs.install import text_class

__all__ = ["Error", "xs"]

xs = pyxs.xs if os.environ.get("PYXS_TEXT", "") in ("", "0") else text_class()
