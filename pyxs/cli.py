"""The ``pyxs`` command: its entry point, and its parser for the man page."""

import sys

from ._cli.operands import operands_alone
from ._cli.run import end_by, run

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import List, Optional, Sequence

    # run.later() imports these by name when a subcommand needs them. PyInstaller and programs
    # like it pack the modules that they find in import statements, also in those that never run.
    from ._cli import (  # noqa: F401
        commands,
        completion,
        helping,
        serve,
        shell,
        snapshots,
        store,
        watching,
    )

__all__ = ["get_parser", "main"]


def main(argv: "Optional[Sequence[str]]" = None) -> int:
    """Run the command and return its exit status.

    :param argv: the arguments of the command; by default those of the process.
    :raises SystemExit: an argument is wrong, or asks for help.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    args = operands_alone(words)
    if args is None:
        parser = _parser_for(words)
        args = parser.parse_args(words)
        _check_connection(parser, args)
    try:
        return run(args)
    except KeyboardInterrupt:
        return end_by("SIGINT")


def get_parser() -> "argparse.ArgumentParser":
    """Return the parser of the command; *argparse-manpage* looks for this name."""
    from ._cli.subcommands import SUBCOMMANDS, make_parser

    return make_parser(SUBCOMMANDS)


def _parser_for(words: "List[str]") -> "argparse.ArgumentParser":
    """Return a parser with the one subcommand that *words* names, which is fast to make."""
    from ._cli.subcommands import SUBCOMMANDS, make_parser

    name = _subcommand_in(words)
    if name is None:
        return get_parser()
    if name == "-":
        name = "shell"
    if name not in SUBCOMMANDS:
        from ._cli.helping import refuse

        refuse(name)
    return make_parser((name,))


def _subcommand_in(words: "List[str]") -> "Optional[str]":
    """Return the first operand, or ``None`` if an unknown option comes before it."""
    rest = iter(words)
    for word in rest:
        if word in ("--socket", "--device"):
            next(rest, None)
        elif not word.startswith(("--socket=", "--device=")) and word != "--xenbus":
            return None if word.startswith("-") and word != "-" else word
    return None


def _check_connection(parser: "argparse.ArgumentParser", args: "argparse.Namespace") -> None:
    given = [name for name in ("socket", "device", "xenbus") if getattr(args, name)]
    if len(given) > 1:
        parser.error("--{} and --{}: only one can be chosen".format(*given))
    taken = {"serve": ["socket"], "run": []}.get(args.subcommand, given)
    if not set(given) <= set(taken):
        parser.error("--{}: {} makes its own store".format(given[0], args.subcommand))
