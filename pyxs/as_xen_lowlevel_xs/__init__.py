"""A directory to put in ``$PYTHONPATH``: its ``xen.lowlevel.xs`` is that of pyxs.

The program that is started with it needs no change. All else in a real package ``xen``,
such as ``xen.lowlevel.xc``, stays importable.
"""
