"""The ``pyxs`` command: its entry point, and its parser for the man page."""

import os
import sys

from ._cli.run import end_by, run
from ._cli.simple import parse_simple

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import List, NoReturn, Optional, Sequence, Tuple

    # run.later() imports these by name when a subcommand needs them. PyInstaller and programs
    # like it pack the modules that they find in import statements, also in those that never run.
    from ._cli import (  # noqa: F401
        commands,
        completion,
        devices,
        helping,
        limit,
        listing,
        looking,
        reading,
        serve,
        settings,
        shell,
        snapshot_arguments,
        snapshots,
        store,
        trace,
        watching,
    )

__all__ = ["command", "get_parser", "main"]

_WITHOUT_LIMIT = ("completion", "help", "run", "serve", "trace")  #: ``--timeout`` does not end them


def command() -> "NoReturn":
    """Run the command in a process of its own, and end that.

    The process does not take apart what it has imported, which takes a tenth of the time of
    ``pyxs read``.
    """
    os._exit(main())


def main(argv: "Optional[Sequence[str]]" = None) -> int:
    """Run the command and return its exit status.

    :param argv: the arguments of the command; by default those of the process. If that was
        started as ``xenstore-read`` or another C program, it is that program.
    :raises SystemExit: an argument is wrong, or asks for help.
    """
    if argv is None:
        called, words = _called_as(os.path.basename(sys.argv[0]), sys.argv[1:])
    else:
        called, words = "pyxs ", list(argv)
    args = parse_simple(words)
    if args is None:
        parser = _parser_for(words, called)
        args = parser.parse_args(words)
        _check_connection(parser, args)
    args.title = called + args.subcommand
    try:
        return run(args)
    except KeyboardInterrupt:
        return end_by("SIGINT")


def _called_as(name: str, words: "List[str]") -> "Tuple[str, List[str]]":
    """Return the begin of messages, up to the subcommand, and the arguments of ``pyxs``.

    :param name: the name that this program was started by.
    """
    if name == "xenstore":
        return "xenstore ", words
    if name.startswith("xenstore-"):
        return "xenstore-", [name[len("xenstore-") :], *words]
    return "pyxs ", words


def get_parser() -> "argparse.ArgumentParser":
    """Return the parser of the command; *argparse-manpage* looks for this name."""
    from ._cli.subcommands import SUBCOMMANDS, make_parser

    return make_parser(SUBCOMMANDS)


def _parser_for(words: "List[str]", called: str) -> "argparse.ArgumentParser":
    """Return a parser with the one subcommand that *words* names, which is fast to make."""
    from ._cli.subcommands import SUBCOMMANDS, make_parser

    name = _subcommand_in(words)
    if name is None:
        parser = get_parser()
        parser.prog = called.rstrip(" -")
        return parser
    if name == "--version":
        return make_parser(())
    if name.startswith("-") and name != "-":
        from ._cli.helping import check_option

        parser = get_parser()
        check_option(name, parser._option_string_actions)
        return parser
    if name == "-":
        name = "shell"
    if name not in SUBCOMMANDS:
        from ._cli.helping import refuse

        refuse(name, called)
    return make_parser((name,), called)


def _subcommand_in(words: "List[str]") -> "Optional[str]":
    """Return the first operand, or an option before it that needs the whole parser."""
    rest = iter(words)
    for word in rest:
        if word in ("--socket", "--device", "--timeout"):
            next(rest, None)
        elif not word.startswith(("--socket=", "--device=", "--timeout=")) and word != "--xenbus":
            return word
    return None


def _check_connection(parser: "argparse.ArgumentParser", args: "argparse.Namespace") -> None:
    given = [name for name in ("socket", "device", "xenbus") if getattr(args, name)]
    if len(given) > 1:
        parser.error("--{} and --{}: only one can be chosen".format(*given))
    taken = {"serve": ["socket"], "run": []}.get(args.subcommand, given)
    if not set(given) <= set(taken):
        parser.error("--{}: {} makes its own store".format(given[0], args.subcommand))
    if args.within is not None and args.subcommand in _WITHOUT_LIMIT:
        parser.error("--timeout: {} has no time limit".format(args.subcommand))
