"""``pyxs help``, and messages about a subcommand or an option that does not exist."""

import argparse

from .console import warn
from .subcommands import SUBCOMMANDS, make_parser

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable, NoReturn

__all__ = ["check_option", "no_such_subcommand", "refuse", "show_help"]

#: The names that other programs have for the same.
_MEANT = {"cat": "read", "get": "read", "set": "write", "tree": "ls", "dir": "ls", "ll": "ls"}
_MEANT.update(dict.fromkeys(["del", "delete", "remove", "rmdir"], "rm"))


def no_such_subcommand(name: str, names: "Iterable[str]", helping: str) -> str:
    """Return the message about a subcommand that does not exist; it names a similar one.

    :param names: those that exist.
    :param helping: the command that lists them.
    """
    meant = _MEANT.get(name.lower(), name.lower())
    return "{}: no such subcommand; {}".format(name, _hint(meant, names, helping))


def _hint(meant: str, names: "Iterable[str]", helping: str = "pyxs -h") -> str:
    import difflib  # here: only a typo needs it

    nearest = difflib.get_close_matches(meant, names, 1)
    return "did you mean '{}'?".format(nearest[0]) if nearest else "see '{}'".format(helping)


def check_option(word: str, options: "Iterable[str]") -> None:
    """Exit with status 2 and a message if a word before the subcommand begins no option."""
    name = word.partition("=")[0] if word.startswith("--") else word[:2]
    if not any(option.startswith(name) for option in options):
        warn("pyxs: {}: no such option; {}".format(name, _hint(name, options)))
        raise SystemExit(2)


def refuse(name: str, called: str = "pyxs ") -> "NoReturn":
    """Print the message about a subcommand that does not exist, and exit with status 2.

    :param called: the begin of messages, up to the subcommand.
    """
    program = called.rstrip(" -")
    warn("{}: {}".format(program, no_such_subcommand(name, SUBCOMMANDS, program + " -h")))
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
