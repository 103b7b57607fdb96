"""A directory for ``$PYTHONPATH`` whose module ``xen.lowlevel.xs`` is pyxs.

A program started with it needs no change. Other modules of a real package ``xen``, such as
``xen.lowlevel.xc``, stay importable.
"""
