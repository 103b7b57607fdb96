"""The ``pyxs`` command."""

import argparse
import contextlib
import os
import signal
import stat
from typing import Any, Callable, List, Optional, Sequence

from . import __version__
from ._cli import commands
from ._cli import serve as serving
from ._cli.arguments import Pairs, Parser, SubcommandParser, count
from ._cli.console import CommandError, flush, warn
from .client import Client
from .connection import PacketConnection, UnixSocketConnection, XenBusConnection
from .exceptions import ConnectionError, PyXSError

__all__ = ["get_parser", "main"]


def main(argv: "Optional[Sequence[str]]" = None) -> int:
    """Run the command and return its exit status.

    :param argv: its arguments, by default those of the process.
    """
    parser = get_parser()
    args = parser.parse_args(argv)
    _check_connection(parser, args)
    try:
        try:
            status: int = args.run(args)
        finally:
            flush()
        return status
    except KeyboardInterrupt:
        return _end_by(signal.SIGINT)
    except BrokenPipeError:
        return _end_by(signal.SIGPIPE)
    except (CommandError, PyXSError, OSError) as exc:
        warn("pyxs {}: {}".format(args.subcommand, _reason(exc)))
        return exc.status if isinstance(exc, CommandError) else 1


def _reason(exc: Exception) -> str:
    if isinstance(exc, PyXSError):
        return exc.strerror or ""
    if isinstance(exc, OSError):
        return "{}: {}".format(exc.filename, exc.strerror)
    return str(exc)


def _end_by(number: signal.Signals) -> int:
    """End as a program does that leaves the signal alone: the caller is told which it was."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    return 128 + number


# -- the connection ------------------------------------------------------------------------


def _check_connection(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    given = [name for name in ("socket", "device", "xenbus") if getattr(args, name)]
    if len(given) > 1:
        parser.error("--{} and --{}: only one can be chosen".format(*given))
    taken = {"serve": ["socket"], "run": []}.get(args.subcommand, given)
    if not set(given) <= set(taken):
        parser.error("--{}: {} makes a store of its own".format(given[0], args.subcommand))


_Command = Callable[[Client, argparse.Namespace], None]


def _on_store(command: _Command) -> "Callable[[argparse.Namespace], int]":
    def run(args: argparse.Namespace) -> int:
        with contextlib.closing(_client(args)) as client:
            command(client, args)
        return 0

    return run


def _client(args: argparse.Namespace) -> Client:
    """Return a connected client."""
    failure = ""
    for connection in _connections(args):
        try:
            return Client(connection=connection).__enter__()
        except ConnectionError as exc:
            cause = exc.__cause__ or exc
            reason = getattr(cause, "strerror", None) or cause
            failure = "cannot connect to {}: {}".format(connection.path, reason)
    raise CommandError(failure)


def _connections(args: argparse.Namespace) -> "List[PacketConnection]":
    """Return the connections to try, in this order."""
    if args.socket is not None:
        return [UnixSocketConnection(args.socket)]
    if args.device is not None:
        return [XenBusConnection(args.device)]
    if args.xenbus:
        return [XenBusConnection()]
    named = os.environ.get("XENSTORED_PATH")
    if named:
        return [XenBusConnection(named) if _is_device(named) else UnixSocketConnection(named)]
    device = XenBusConnection()
    if args.socket_only or not os.path.exists(device.path):
        return [UnixSocketConnection()]
    return [UnixSocketConnection(), device]


def _is_device(path: str) -> bool:
    try:
        return stat.S_ISCHR(os.stat(path).st_mode)
    except OSError:
        return False


# -- the arguments -------------------------------------------------------------------------


def get_parser() -> argparse.ArgumentParser:
    """Return the parser of the command, under the name that writers of man pages look for."""
    parser = Parser(
        prog="pyxs",
        description="Read, change and watch a XenStore, or serve one from memory.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version="%(prog)s " + __version__)
    _add_connection(parser, default=None)
    subcommands = parser.add_subparsers(
        title="subcommands", metavar="SUBCOMMAND", dest="subcommand", parser_class=SubcommandParser
    )
    subcommands.required = True
    _add_reading(subcommands)
    _add_changing(subcommands)
    _add_others(subcommands)
    return parser


_EPILOG = """\
The store is the one that --socket, --device or --xenbus names; else the one at
$XENSTORED_PATH, a socket or a device; else that of the daemon's socket in
$XENSTORED_RUNDIR or /var/run/xenstored; else, without -s, that of the XenBus device.

examples:
  pyxs ls -p /local/domain/0
  pyxs run -- python3 dom0_script.py
"""


def _add_connection(parser: argparse.ArgumentParser, default: Any) -> None:
    group = parser.add_argument_group("connection")
    group.add_argument("--socket", metavar="PATH", default=default, help="the socket of the daemon")
    group.add_argument("--device", metavar="PATH", default=default, help="a XenBus device")
    group.add_argument(
        "--xenbus", action="store_true", default=default, help="the XenBus device of this system"
    )


def _add(
    subcommands: Any, name: str, summary: str, example: str, run: Any, **options: Any
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = subcommands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog="example:\n  " + example,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        **options,
    )
    parser.set_defaults(run=run)
    return parser


def _add_on_store(
    subcommands: Any, name: str, summary: str, example: str, command: _Command, **options: Any
) -> argparse.ArgumentParser:
    parser = _add(subcommands, name, summary, example, _on_store(command), **options)
    _add_connection(parser, default=argparse.SUPPRESS)
    parser.add_argument(
        "-s", dest="socket_only", action="store_true", help="never fall back to the XenBus device"
    )
    return parser


def _add_reading(subcommands: Any) -> None:
    read = _add_on_store(
        subcommands,
        "read",
        "print the values of nodes",
        "pyxs read -p /local/domain/1/name /local/domain/1/domid",
        commands.read,
    )
    read.add_argument("-p", "--prefix", action="store_true", help="print 'PATH: ' before each")
    read.add_argument(
        "-R", "--raw", action="store_true", help="print bytes as they are, with no newline after"
    )
    _add_paths(read)
    ls = _add_on_store(
        subcommands,
        "ls",
        "print the tree below nodes, with the values",
        "pyxs ls -fp /local/domain/0",
        commands.ls,
    )
    ls.add_argument("-f", "--flat", action="store_true", help="print whole paths")
    ls.add_argument(
        "-p", "--prefix", dest="perms", action="store_true", help="print permissions too"
    )
    ls.add_argument("paths", metavar="PATH", nargs="*", help="a node; by default the root")
    list_ = _add_on_store(
        subcommands,
        "list",
        "print the names of the children of nodes",
        "pyxs list -p /local/domain",
        commands.list_,
    )
    list_.add_argument("-p", "--prefix", action="store_true", help="print 'PATH/' before each")
    _add_paths(list_)
    exists = _add_on_store(
        subcommands,
        "exists",
        "tell by the exit status whether nodes exist, all of them",
        "pyxs exists /local/domain/1/vm || echo 'no domain 1'",
        commands.exists,
    )
    _add_paths(exists)
    watch = _add_on_store(
        subcommands,
        "watch",
        "print the path of each node that changes, at or below others",
        "pyxs watch -n 2 @introduceDomain",
        commands.watch,
    )
    watch.add_argument(
        "-n",
        "--number",
        type=count,
        metavar="NUMBER",
        help="how many events to wait for; each watch begins with one",
    )
    _add_paths(watch)


def _add_changing(subcommands: Any) -> None:
    write = _add_on_store(
        subcommands,
        "write",
        "set the values of nodes, making those that are missing",
        "pyxs write /tool/demo/a 1 /tool/demo/b 'two\\nlines'",
        commands.write,
    )
    write.add_argument(
        "-R",
        "--raw",
        action="store_true",
        help=r"take values as they are: \n, \r, \t, \OOO and \xHH are no escapes",
    )
    write.add_argument(
        "pairs", metavar="PATH VALUE", nargs="+", action=Pairs, help="a node and its value"
    )
    mkdir = _add_on_store(
        subcommands,
        "mkdir",
        "make nodes, without a value, unless they exist",
        "pyxs mkdir /tool/demo",
        commands.mkdir,
    )
    _add_paths(mkdir)
    rm = _add_on_store(
        subcommands,
        "rm",
        "remove nodes and all below them",
        "pyxs rm -t /tool/demo/a",
        commands.rm,
    )
    rm.add_argument(
        "-t",
        "--tidy",
        action="store_true",
        help="then remove each node above that is left with neither value nor child",
    )
    _add_paths(rm)
    chmod = _add_on_store(
        subcommands,
        "chmod",
        "set the permissions of a node",
        "pyxs chmod -r /local/domain/1/data n1 r0",
        commands.chmod,
    )
    chmod.add_argument("-r", "--recurse", action="store_true", help="and of all below it")
    chmod.add_argument("-u", "--upto", action="store_true", help="and of all above it but the root")
    chmod.add_argument("path", metavar="PATH", help="the node")
    chmod.add_argument(
        "perms",
        metavar="PERMISSION",
        nargs="+",
        help="a letter - n none, r read, w write, b both - and a domid; the first one names "
        "the owner, and what domains may do that are not listed",
    )


def _add_others(subcommands: Any) -> None:
    control = _add_on_store(
        subcommands,
        "control",
        "give the daemon a command and print its answer",
        "pyxs control help",
        commands.control,
        options_first=True,
    )
    control.add_argument("words", metavar="WORD", nargs="+", help="the command and its arguments")
    serve = _add(
        subcommands,
        "serve",
        "serve a store from memory until SIGINT or SIGTERM",
        "pyxs serve --socket /tmp/xenstored.sock",
        serving.serve,
    )
    serve.add_argument(
        "--socket", metavar="PATH", default=argparse.SUPPRESS, help="by default a new one"
    )
    run = _add(
        subcommands,
        "run",
        "run a command on a store in memory, made for it and empty",
        "pyxs run -- python3 dom0_script.py",
        serving.run,
        options_first=True,
    )
    run.add_argument("command", metavar="COMMAND", nargs="+", help="and its arguments")


def _add_paths(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paths", metavar="PATH", nargs="+", help="a node")
