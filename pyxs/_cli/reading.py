"""The arguments of the subcommands that read."""

import argparse

from .arguments import count, seconds
from .parsers import add_on_store, add_paths, as_path
from .run import on_store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["add_exists", "add_list", "add_ls", "add_perms", "add_read", "add_wait", "add_watch"]

_PATTERN = "a node, or a pattern: '*', '?' and '[...]' stand for characters of one name"


def add_read(subcommands: "Any") -> None:
    read = add_on_store(
        subcommands,
        "read",
        "print the values of nodes",
        "pyxs read -p /local/domain/1/name /local/domain/1/domid",
        on_store("commands", "read"),
    )
    read.add_argument("-p", "--prefix", action="store_true", help="print 'PATH: ' before values")
    read.add_argument(
        "-R", "--raw", action="store_true", help="print bytes as they are, with no newline after"
    )
    _add_utf8(read)
    _add_json(read, "path, value")
    add_paths(read, help=_PATTERN)


def add_ls(subcommands: "Any") -> None:
    ls = add_on_store(
        subcommands,
        "ls",
        "print the nodes below others as a tree, with their values",
        "pyxs ls -fp /local/domain/0",
        on_store("listing", "ls"),
    )
    ls.add_argument("-f", "--flat", action="store_true", help="print whole paths")
    ls.add_argument(
        "-p", "--prefix", dest="perms", action="store_true", help="print permissions too"
    )
    _add_utf8(ls)
    _add_color(ls)
    _add_json(ls, "path, value; perms with -p")
    add_paths(ls, "*", _PATTERN + "; by default the root")


def _add_utf8(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-u",
        "--utf8",
        action="store_true",
        help="print UTF-8 characters as they are, not as \\xHH; a terminal gets them anyway",
    )


def _add_color(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--color",
        choices=["auto", "always", "never"],
        default="auto",
        help="by default, only a terminal gets colours, unless $NO_COLOR is set",
    )


def add_list(subcommands: "Any") -> None:
    list_ = add_on_store(
        subcommands,
        "list",
        "print the names of the children of nodes",
        "pyxs list -p /local/domain",
        on_store("commands", "list_"),
    )
    list_.add_argument("-p", "--prefix", action="store_true", help="print 'PATH/' before names")
    _add_json(list_, "path, children")
    add_paths(list_, help=_PATTERN)


def add_exists(subcommands: "Any") -> None:
    exists = add_on_store(
        subcommands,
        "exists",
        "exit with status 0 if all nodes exist, else with 1",
        "pyxs exists /local/domain/1/vm || echo 'no domain 1'",
        on_store("commands", "exists"),
    )
    _add_json(exists, "path, exists")
    add_paths(exists, help=_PATTERN)


def add_perms(subcommands: "Any") -> None:
    perms = add_on_store(
        subcommands,
        "perms",
        "print the permissions of nodes, as 'pyxs chmod' takes them",
        "pyxs perms -p '/local/domain/*'",
        on_store("commands", "perms"),
    )
    perms.add_argument("-p", "--prefix", action="store_true", help="print 'PATH: ' before them")
    _add_json(perms, "path, perms")
    add_paths(perms, help=_PATTERN)


def _add_json(parser: argparse.ArgumentParser, fields: str) -> None:
    parser.add_argument(
        "--json",
        action="store_true",
        help="print a JSON object for each node, in a line: " + fields,
    )


def add_watch(subcommands: "Any") -> None:
    watch = add_on_store(
        subcommands,
        "watch",
        "print the path of each node that changes, at or below the given nodes",
        "pyxs watch -n 2 @introduceDomain",
        on_store("watching", "watch"),
    )
    watch.add_argument(
        "-n",
        "--number",
        type=count,
        metavar="NUMBER",
        help="exit after this many events; each watch begins with one",
    )
    watch.add_argument(
        "-d",
        "--depth",
        type=count,
        metavar="DEPTH",
        help="only nodes at most so many levels below; Xen 4.22 or later",
    )
    watch.add_argument(
        "-v",
        "--values",
        action="store_true",
        help="print ': VALUE' after each node that exists, and ', was VALUE' if it was another",
    )
    watch.add_argument(
        "--time", action="store_true", help="print the time before each path, in UTC (ISO 8601)"
    )
    watch.add_argument(
        "--json",
        action="store_true",
        help="print a JSON object for each event: time in seconds since 1970, path, token, "
        "value, and old with -v; a value is null if the node does not exist",
    )
    add_paths(
        watch,
        help="a node, or a pattern as for 'pyxs read': also nodes above and below those that match",
    )


def add_wait(subcommands: "Any") -> None:
    wait = add_on_store(
        subcommands,
        "wait",
        "wait until a node exists, or has a value",
        "pyxs wait /local/domain/1/device/vif/0/state 4 --timeout 30",
        on_store("watching", "wait"),
    )
    wait.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=seconds,
        help="how long to wait; then exit with status 124",
    )
    as_path(wait.add_argument("path", metavar="PATH", help="the node"))
    wait.add_argument(
        "value", metavar="VALUE", nargs="?", help="its value, with the escapes of 'pyxs write'"
    )
