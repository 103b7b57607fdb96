"""The parser of ``pyxs``: its subcommands and their arguments.

A parser for one subcommand is faster to make than one for all, which takes a third of the
time of ``pyxs read``.
"""

import argparse

from .arguments import Formatter, Pairs, Parser, SubcommandParser, count, domid, guest, limit
from .parsers import add, add_connection, add_on_store, add_paths, as_path
from .run import later, on_store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Iterable, List, Optional

__all__ = ["SUBCOMMANDS", "make_parser"]

_EPILOG = """\
pyxs connects to the store that --socket, --device or --xenbus names. Without them it
connects to $XENSTORED_PATH, a socket or a device. If that is not set, it tries the socket
in $XENSTORED_RUNDIR or /var/run/xenstored and then, without -s, the XenBus device.

examples:
  pyxs ls -p /local/domain/0
  pyxs run -- python3 dom0_script.py
"""


def make_parser(names: "Iterable[str]", called: str = "pyxs ") -> argparse.ArgumentParser:
    """Return the parser of the command with some of its subcommands.

    :param names: keys of :data:`SUBCOMMANDS`.
    :param called: the begin of messages, up to the subcommand.
    """
    parser = Parser(
        prog="pyxs",
        description="Read, change and watch a XenStore, or serve one in memory.",
        epilog=_EPILOG,
        formatter_class=Formatter,
    )
    parser.add_argument("--version", action=_Version, help="show the version and exit")
    add_connection(parser, default=None)
    parser.add_argument(
        "--timeout",
        dest="within",
        metavar="SECONDS",
        type=limit,
        help="give up a subcommand that uses a store after this time",
    )
    subcommands = parser.add_subparsers(
        title="subcommands",
        metavar="SUBCOMMAND",
        dest="subcommand",
        prog="pyxs",
        parser_class=SubcommandParser,
    )
    subcommands.required = True
    for name in names:
        SUBCOMMANDS[name](subcommands)
        subcommands.choices[name].prog = called + name
    return parser


class _Version(argparse.Action):
    """Shows the version, and imports it only then."""

    def __init__(self, option_strings: "List[str]", dest: str, help: "Optional[str]" = None):
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_rest: "Any") -> None:
        from .. import __version__

        print("{} {}".format(parser.prog, __version__))
        parser.exit()


# -- changing ------------------------------------------------------------------------------


def _add_write(subcommands: "Any") -> None:
    write = add_on_store(
        subcommands,
        "write",
        "set the values of nodes, and create nodes that do not exist",
        "pyxs write /tool/demo/a 1 /tool/demo/b 'two\\nlines'",
        on_store("commands", "write"),
    )
    write.add_argument(
        "-R",
        "--raw",
        action="store_true",
        help=r"take values as they are, without the escapes \n, \r, \t, \OOO and \xHH",
    )
    write.add_argument(
        "--stdin",
        action="store_true",
        help="the last PATH has no VALUE: the standard input, as it is, becomes its value",
    )
    as_path(
        write.add_argument(
            "pairs",
            metavar="PATH VALUE",
            nargs="+",
            action=Pairs,
            help="a node and its value",
        )
    )


def _add_mkdir(subcommands: "Any") -> None:
    mkdir = add_on_store(
        subcommands,
        "mkdir",
        "create nodes with an empty value, unless they exist",
        "pyxs mkdir /tool/demo",
        on_store("commands", "mkdir"),
    )
    add_paths(mkdir)


def _add_rm(subcommands: "Any") -> None:
    rm = add_on_store(
        subcommands,
        "rm",
        "remove nodes and all below them",
        "pyxs rm -t /tool/demo/a",
        on_store("commands", "rm"),
    )
    rm.add_argument(
        "-t",
        "--tidy",
        action="store_true",
        help="then remove ancestors that have neither a value nor a child",
    )
    add_paths(rm)


def _add_chmod(subcommands: "Any") -> None:
    chmod = add_on_store(
        subcommands,
        "chmod",
        "set the permissions of a node",
        "pyxs chmod -r /local/domain/1/data n1 r0",
        on_store("commands", "chmod"),
    )
    chmod.add_argument("-r", "--recurse", action="store_true", help="also of all nodes below it")
    chmod.add_argument(
        "-u", "--upto", action="store_true", help="also of its ancestors, without the root"
    )
    as_path(chmod.add_argument("path", metavar="PATH", help="the node"))
    chmod.add_argument(
        "perms",
        metavar="PERMISSION",
        nargs="+",
        help="a letter - n none, r read, w write, b both - and a domid, by default 0; the first "
        "one names the owner, and the rights of domains that are not listed",
    )


# -- others --------------------------------------------------------------------------------


def _add_control(subcommands: "Any") -> None:
    control = add_on_store(
        subcommands,
        "control",
        "send the daemon a command and print its answer",
        "pyxs control help",
        on_store("commands", "control"),
        options_first=True,
    )
    control.add_argument("words", metavar="WORD", nargs="+", help="the command and its arguments")


def _add_quota(subcommands: "Any") -> None:
    quota = add_on_store(
        subcommands,
        "quota",
        "print the quotas of new domains, or of one domain, or set one; Xen 4.22 or later",
        "pyxs quota nodes 2000 --domid 5",
        on_store("settings", "quota"),
    )
    _add_domid(quota)
    quota.add_argument("name", metavar="NAME", nargs="?", help="one quota; by default all")
    quota.add_argument("value", metavar="VALUE", nargs="?", type=count, help="0: no limit")


def _add_feature(subcommands: "Any") -> None:
    feature = add_on_store(
        subcommands,
        "feature",
        "print the features that the daemon has, or offers a domain; Xen 4.21 or later",
        "pyxs feature | grep -q watch-depth",
        on_store("settings", "feature"),
    )
    _add_domid(feature)


def _add_domid(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--domid", metavar="DOMID", type=count, help="of this domain")


def _add_shell(subcommands: "Any") -> None:
    shell = add_on_store(
        subcommands,
        "shell",
        "run subcommands from a prompt, or from the standard input, over one connection",
        "pyxs shell --socket /tmp/xenstored.sock",
        on_store("shell", "shell"),
        aliases=["-"],
    )
    shell.epilog = _SHELL_TEXT + str(shell.epilog)


_SHELL_TEXT = """\
'pyxs -' is the same. After 'cd PATH', relative paths begin at PATH; after 'cd', they begin
at /local/domain/<domid>, as the daemon takes them; 'pwd' prints it. 'exit', 'quit' or Ctrl-D
ends the shell, and in a script the first line that fails. 'help' lists the commands. Lines are
quoted as in sh. A line that begins with '#' is ignored. At a prompt, Tab completes.

"""


def _add_serve(subcommands: "Any") -> None:
    serve = add(
        subcommands,
        "serve",
        "serve a store in memory until SIGINT or SIGTERM",
        "pyxs serve --socket /tmp/xenstored.sock",
        later("serve", "serve"),
    )
    serve.add_argument(
        "--socket",
        metavar="PATH",
        default=argparse.SUPPRESS,
        help="its socket; by default a new one",
    )
    _add_daemon(serve)
    serve.add_argument(
        "--domid",
        metavar="DOMID=PATH",
        type=guest,
        action="append",
        default=[],
        help="also serve a socket for a guest, which is made if FILE does not have it",
    )


def _add_run(subcommands: "Any") -> None:
    run = add(
        subcommands,
        "run",
        "run a command with a new store in memory",
        "pyxs run -- python3 dom0_script.py",
        later("serve", "run"),
        options_first=True,
    )
    _add_daemon(run)
    run.add_argument(
        "--domid",
        type=domid,
        help="run the command as this guest, which is made if FILE does not have it",
    )
    run.add_argument(
        "--tools",
        action="store_true",
        help="let the command find pyxs by the names of the C programs, xenstore-read and so on",
    )
    run.add_argument("command", metavar="COMMAND", nargs="+", help="the command and its arguments")


def _add_daemon(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--load", metavar="FILE", help="begin with the nodes of a file that 'pyxs dump' printed"
    )
    parser.add_argument(
        "--like",
        choices=["4.17", "4.22"],
        default="4.17",
        help="behave as the xenstored of this version of Xen; by default 4.17",
    )


def _add_completion(subcommands: "Any") -> None:
    completion = add(
        subcommands,
        "completion",
        "print a script that lets a shell complete command lines",
        "pyxs completion bash > /etc/bash_completion.d/pyxs",
        later("completion", "completion"),
    )
    completion.add_argument(
        "shell", metavar="SHELL", choices=["bash", "zsh"], help="the shell, bash or zsh"
    )


def _add_help(subcommands: "Any") -> None:
    help_ = add(subcommands, "help", "print help", "pyxs help write", later("helping", "show_help"))
    help_.add_argument(
        "about", metavar="SUBCOMMAND", nargs="?", help="the subcommand; by default pyxs itself"
    )


SUBCOMMANDS: "Dict[str, Callable[[Any], None]]" = {
    "read": later("reading", "add_read"),
    "ls": later("reading", "add_ls"),
    "list": later("reading", "add_list"),
    "exists": later("reading", "add_exists"),
    "perms": later("reading", "add_perms"),
    "watch": later("reading", "add_watch"),
    "wait": later("reading", "add_wait"),
    "write": _add_write,
    "mkdir": _add_mkdir,
    "rm": _add_rm,
    "chmod": _add_chmod,
    "dump": later("snapshot_arguments", "add_dump"),
    "load": later("snapshot_arguments", "add_load"),
    "devices": later("looking", "add_devices"),
    "trace": later("looking", "add_trace"),
    "control": _add_control,
    "quota": _add_quota,
    "feature": _add_feature,
    "shell": _add_shell,
    "serve": _add_serve,
    "run": _add_run,
    "completion": _add_completion,
    "help": _add_help,
}
