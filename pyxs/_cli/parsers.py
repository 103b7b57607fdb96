"""What the parsers of subcommands have in common."""

import argparse

from .arguments import Formatter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["PATH", "add", "add_connection", "add_on_store", "add_paths", "as_path"]

#: Marks an argument that shells complete as a path; see tests/completion_scripts.py.
PATH = "pyxs path"


def add_connection(parser: argparse.ArgumentParser, default: "Any") -> None:
    group = parser.add_argument_group("connection")
    group.add_argument("--socket", metavar="PATH", default=default, help="the socket of the daemon")
    group.add_argument("--device", metavar="PATH", default=default, help="a XenBus device")
    group.add_argument(
        "--xenbus", action="store_true", default=default, help="the XenBus device of this system"
    )


def add(
    subcommands: "Any", name: str, summary: str, example: str, run: "Any", **options: "Any"
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = subcommands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog="example:\n  " + example,
        formatter_class=Formatter,
        **options,
    )
    parser.set_defaults(run=run)
    return parser


def add_on_store(
    subcommands: "Any", name: str, summary: str, example: str, run: "Any", **options: "Any"
) -> argparse.ArgumentParser:
    parser = add(subcommands, name, summary, example, run, **options)
    add_connection(parser, default=argparse.SUPPRESS)
    parser.add_argument(
        "-s", dest="socket_only", action="store_true", help="never fall back to the XenBus device"
    )
    return parser


def add_paths(parser: argparse.ArgumentParser, nargs: str = "+", help: str = "a node") -> None:
    as_path(parser.add_argument("paths", metavar="PATH", nargs=nargs, help=help))


def as_path(action: argparse.Action) -> None:
    action.complete = PATH  # type: ignore[attr-defined]  # shtab reads it
