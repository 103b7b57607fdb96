"""The same random programs on ``pyxs.xs`` and on the C extension.

``programs`` makes a program and runs it on any class like ``xs``. ``worker`` runs programs on
the C extension, in the interpreter for which the extension was built.
"""
