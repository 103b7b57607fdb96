"""``python -m pyxs.as_xen_lowlevel_xs PROGRAM [ARGUMENT ...]`` runs a program on pyxs.

The program imports ``xen.lowlevel.xs`` and gets pyxs. All else is as ``python PROGRAM`` has it.
"""

import os
import sys
from importlib.machinery import PathFinder
from types import ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from typing import Any, Optional

_MODULE = "xen.lowlevel.xs"
_DIRECTORY = os.path.dirname(os.path.abspath(__file__))
_USAGE = "usage: python -m pyxs.as_xen_lowlevel_xs PROGRAM [ARGUMENT ...]"


class _Finder:
    """Finds the module of pyxs, whatever the program does to ``sys.path``."""

    @staticmethod
    def find_spec(name: str, *_rest: "Any") -> "Optional[ModuleSpec]":
        if name != _MODULE:
            return None
        return PathFinder.find_spec(name, [os.path.join(_DIRECTORY, "xen", "lowlevel")])


def main() -> None:
    """Run the program that ``sys.argv`` names.

    :raises SystemExit: there is none, or the program ends.
    """
    if sys.argv[1:] in (["-h"], ["--help"]):
        print(_USAGE)
        raise SystemExit(0)
    if len(sys.argv) < 2:
        print(_USAGE, file=sys.stderr)
        raise SystemExit(2)
    del sys.argv[0]
    program = sys.argv[0]
    try:
        with open(program, "rb") as file:
            source = file.read()
    except OSError as exc:
        print("{}: {}".format(program, exc.strerror), file=sys.stderr)
        raise SystemExit(2) from None
    _set_path(program)
    sys.meta_path.insert(0, _Finder)
    module = ModuleType("__main__")
    vars(module).update(__file__=program, __cached__=None, __builtins__=__builtins__)
    sys.modules["__main__"] = module
    exec(compile(source, program, "exec", dont_inherit=True), vars(module))  # noqa: S102


def _set_path(program: str) -> None:
    """Let the program find the modules beside it, and packages ``xen`` where it has none."""
    at = 0
    # With these options there is no directory of the program in sys.path.
    if not sys.flags.isolated and not getattr(sys.flags, "safe_path", False):
        sys.path[0] = os.path.dirname(os.path.realpath(program))
        at = 1
    # Processes that multiprocessing starts get this path too.
    sys.path.insert(at, _DIRECTORY)


if __name__ == "__main__":
    main()
