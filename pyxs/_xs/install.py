"""Puts pyxs in the place of the C extension in this process."""

import importlib
import sys
from types import ModuleType
from typing import Optional

from .api import Error, xs

__all__ = ["install_as_xen_lowlevel_xs"]

_MODULE = "xen.lowlevel.xs"


def install_as_xen_lowlevel_xs() -> None:
    """Make ``import xen.lowlevel.xs`` give :class:`xs` and :exc:`Error` in this process.

    ``xen`` and ``xen.lowlevel`` stay what they are, with ``xen.lowlevel.xc`` and all else;
    where there are no such packages, empty ones stand in. Nothing on disk changes.
    """
    if getattr(sys.modules.get(_MODULE), "xs", None) is xs:
        return
    lowlevel = _package("xen.lowlevel", parent=_package("xen"))
    module = _new_module(_MODULE, is_package=False)
    module.__doc__ = xs.__doc__
    vars(module).update(xs=xs, Error=Error)
    sys.modules[_MODULE] = module
    vars(lowlevel)["xs"] = module


def _package(name: str, parent: "Optional[ModuleType]" = None) -> ModuleType:
    """Import a package, or make an empty one where there is none."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as exc:
        if exc.name != name:
            raise  # it is there, and lacks something itself
    package = sys.modules[name] = _new_module(name, is_package=True)
    if parent is not None:
        setattr(parent, name.rpartition(".")[2], package)
    return package


def _new_module(name: str, is_package: bool) -> ModuleType:
    # Here, because it takes long to import and only this needs it.
    from importlib.machinery import ModuleSpec
    from importlib.util import module_from_spec

    return module_from_spec(ModuleSpec(name, None, is_package=is_package))
