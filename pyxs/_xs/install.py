"""Installs pyxs as ``xen.lowlevel.xs`` in this process."""

import functools
import importlib
import sys
from types import ModuleType
from typing import Any, List, Optional, Type

from ..helpers import decode_text
from .api import Error, xs

__all__ = ["install_as_xen_lowlevel_xs"]

_MODULE = "xen.lowlevel.xs"


def install_as_xen_lowlevel_xs(text: bool = False) -> None:
    """Make ``import xen.lowlevel.xs`` give :class:`xs` and :exc:`Error` in this process.

    Existing packages ``xen`` and ``xen.lowlevel`` stay as they are, with ``xen.lowlevel.xc``
    and all other modules. If there are none, empty packages are made in memory.

    :param text: whether ``read`` returns ``str``, as on Python 2, or ``bytes``, as the C
        extension does on Python 3. ``read`` decodes a value as UTF-8 with
        ``surrogateescape``, and ``write`` encodes it in the same way.
    """
    handle_class = text_class() if text else xs
    if getattr(sys.modules.get(_MODULE), "xs", None) is handle_class:
        return
    lowlevel = _package("xen.lowlevel", parent=_package("xen"))
    module = _new_module(_MODULE, is_package=False)
    module.__doc__ = xs.__doc__
    vars(module).update(xs=handle_class, Error=Error)
    sys.modules[_MODULE] = module
    vars(lowlevel)["xs"] = module


@functools.lru_cache(maxsize=None)
def text_class() -> "Type[xs]":
    """Return a subclass of :class:`xs` that reads and writes values as ``str``."""

    def read(self: xs, *args: Any) -> "Optional[str]":
        value = xs.read(self, *args)
        return None if value is None else decode_text(value)

    def write(self: xs, *args: Any) -> None:
        encoded: List[Any] = [
            arg.encode("utf-8", "surrogateescape") if index == 2 and isinstance(arg, str) else arg
            for index, arg in enumerate(args)
        ]
        xs.write(self, *encoded)

    methods = {"__slots__": (), "__doc__": xs.__doc__, "read": read, "write": write}
    return type("xs", (xs,), methods)


def _package(name: str, parent: "Optional[ModuleType]" = None) -> ModuleType:
    """Import a package, or make an empty one if it does not exist."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as exc:
        if exc.name != name:
            raise  # the package exists, but a module that it imports does not
    package = sys.modules[name] = _new_module(name, is_package=True)
    if parent is not None:
        setattr(parent, name.rpartition(".")[2], package)
    return package


def _new_module(name: str, is_package: bool) -> ModuleType:
    # Imported here because importlib.util is slow to import, and only this needs it.
    from importlib.machinery import ModuleSpec
    from importlib.util import module_from_spec

    return module_from_spec(ModuleSpec(name, None, is_package=is_package))
