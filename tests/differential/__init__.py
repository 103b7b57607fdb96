"""The same random programs on ``pyxs.xs`` and on the C extension.

``programs`` makes a program and runs it on whatever opens connections like ``xs``;
``worker`` runs them on the C extension, in the interpreter that it was built for.
"""
