"""The names of the module ``pyxs._internal`` of 0.3, which its documentation has."""

from ..connection import Op, Packet

__all__ = ["Op", "Packet"]
