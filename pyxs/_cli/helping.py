"""``pyxs help``, and the message about a subcommand that does not exist."""

import argparse
import difflib

from .console import warn
from .subcommands import SUBCOMMANDS, make_parser

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

__all__ = ["no_such_subcommand", "refuse", "show_help"]

#: The names that other programs have for the same.
_MEANT = {"cat": "read", "get": "read", "set": "write", "tree": "ls"}


def no_such_subcommand(name: str) -> str:
    """Return the message about a subcommand that does not exist; it names a similar one."""
    meant = _MEANT.get(name)
    nearest = difflib.get_close_matches(name, SUBCOMMANDS, 1) if meant is None else [meant]
    hint = "did you mean '{}'?".format(nearest[0]) if nearest else "see 'pyxs -h'"
    return "{}: no such subcommand; {}".format(name, hint)


def refuse(name: str) -> "NoReturn":
    """Print the message about a subcommand that does not exist, and exit with status 2."""
    warn("pyxs: " + no_such_subcommand(name))
    raise SystemExit(2)


def show_help(args: argparse.Namespace) -> int:
    """Print what ``-h`` prints."""
    about = args.about
    if about is None:
        make_parser(SUBCOMMANDS).print_help()
        return 0
    if about not in SUBCOMMANDS:
        refuse(about)
    make_parser((about,)).parse_args([about, "-h"])
    return 0
