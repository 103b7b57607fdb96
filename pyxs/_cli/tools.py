"""``pyxs run --tools``: a directory that has this command under the names of the C programs."""

import contextlib
import os
import shlex
import sys
import tempfile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator

__all__ = ["tools"]

_SUBCOMMANDS = ("chmod", "control", "exists", "list", "ls", "read", "rm", "watch", "write")
_NAMES = ["xenstore"] + ["xenstore-" + name for name in _SUBCOMMANDS]

# Without site-packages, Python starts in two thirds of the time. The package is found at the path
# that is written here, whatever $PYTHONPATH says.
_PROGRAM = """\
#!/bin/sh
exec {python} -I -S {main} "$0" "$@"
"""
_MAIN = """\
import sys

del sys.argv[0]
sys.path.insert(0, {root!r})
from pyxs.cli import command

command()
"""


@contextlib.contextmanager
def tools() -> "Iterator[str]":
    """Make the directory, and remove it in the end."""
    with tempfile.TemporaryDirectory(prefix="pyxs-tools-") as directory:
        program = _program(directory)
        for name in _NAMES:
            os.symlink(program, os.path.join(directory, name))
        yield directory


def _program(directory: str) -> str:
    """Return the path of a program that looks at the name by which it is started."""
    if getattr(sys, "frozen", False):  # PyInstaller and its like: there is no other Python
        return os.path.abspath(sys.executable)
    main, program = os.path.join(directory, "main.py"), os.path.join(directory, "program")
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    _write(main, _MAIN.format(root=os.path.dirname(package)))
    _write(program, _PROGRAM.format(python=shlex.quote(sys.executable), main=shlex.quote(main)))
    os.chmod(program, 0o700)
    return program


def _write(path: str, text: str) -> None:
    with open(path, "wb") as file:
        file.write(os.fsencode(text))
