"""``pyxs shell``: runs subcommands from a prompt, or from a script, over one connection."""

import argparse
import os
import posixpath
import shlex
import sys

from ..client import Client
from ..exceptions import PyXSError
from ..helpers import validate_path
from .commands import about, encoded
from .console import CommandError, flush, show, warn
from .helping import no_such_subcommand
from .run import run
from .subcommands import SUBCOMMANDS, make_parser

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Iterator, List, Optional

__all__ = ["shell"]

_NOT_IN_SHELL = frozenset(("shell", "-", "serve", "run", "trace", "completion"))
_SUBCOMMANDS = [name for name in SUBCOMMANDS if name not in _NOT_IN_SHELL]

#: The commands that only the shell has.
_OWN = {
    "cd": "cd [PATH]     let relative paths begin at PATH, or at the home of this domain",
    "pwd": "pwd           print where relative paths begin",
    "exit": "exit, quit    end the shell",
    "quit": "exit, quit    end the shell",
}
_NAMES = sorted(_SUBCOMMANDS + list(_OWN))


def shell(client: Client, _args: argparse.Namespace) -> None:
    session = _Session(client)
    if sys.stdin is not None and sys.stdin.isatty():
        _converse(session)
        return
    for line in _script():
        status = session.do(line)
        if status:
            raise SystemExit(status)
        if session.ended:
            return


def _script() -> "Iterator[str]":
    for line in sys.stdin.buffer if sys.stdin is not None else ():
        yield os.fsdecode(line)


def _converse(session: "_Session") -> None:
    _set_up_readline(session)
    while not session.ended:
        try:
            session.do(input(session.prompt))
        except EOFError:
            show(b"\n")
            return
        except UnicodeDecodeError:  # of input()
            warn("pyxs: the line is not in the encoding of this terminal; write bytes as \\xHH")
        except KeyboardInterrupt:  # it ends the line, or the subcommand that it ran
            show(b"\n")
            flush()


class _Session:
    """The state between lines: the connection, and the node where relative paths begin."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._parsers: Dict[str, argparse.ArgumentParser] = {}
        self._directory: Optional[str] = None  # None: the home of this domain
        self.ended = False  #: whether a line was to end the shell

    @property
    def prompt(self) -> str:
        return "pyxs{}> ".format("" if self._directory is None else " " + self._directory)

    def do(self, line: str) -> int:
        """Run a line and return the exit status."""
        if line.lstrip().startswith("#"):
            return 0
        try:
            words = shlex.split(line)
            if not words:
                return 0
            return self._own(words) if words[0] in _OWN or words == ["help"] else self._run(words)
        except (CommandError, ValueError, PyXSError) as exc:
            warn("pyxs: {}".format(exc))
            return 1
        except SystemExit as exc:  # raised by a parser
            flush()
            return exc.code if isinstance(exc.code, int) else 1

    def _run(self, words: "List[str]") -> int:
        name = words[0]
        if name in _NOT_IN_SHELL:
            raise CommandError("{}: cannot be used in a shell".format(name))
        if name not in SUBCOMMANDS:
            raise CommandError(no_such_subcommand(name, _NAMES, "help"))
        if name == "help" and words[1] in _OWN:
            return self._print(_OWN[words[1]])
        if name == "list" and all(word.startswith("-") for word in words[1:]):
            words = words + [self._start()]
        if name not in self._parsers:
            self._parsers[name] = make_parser((name,))
        args = self._parsers[name].parse_args(words)
        if args.socket is not None or args.device is not None or args.xenbus:
            raise CommandError("{}: uses the connection of the shell".format(name))
        if name == "load" and args.file is None:
            raise CommandError("load: the shell reads the standard input; name a file")
        self._make_absolute(args)
        args.client = self._client
        args.title = "pyxs " + name
        return run(args)

    def _make_absolute(self, args: argparse.Namespace) -> None:
        """Make relative paths absolute; where paths are left out, use the directory."""
        given = vars(args)
        if "path" in given:
            args.path = self._absolute(args.path)
        if "paths" in given:
            args.paths = [self._absolute(path) for path in args.paths]
            if not args.paths and self._directory is not None:
                args.paths = [self._directory]
        if "pairs" in given:
            if args.stdin:
                raise CommandError("write: --stdin: the shell reads the standard input")
            args.pairs = [(self._absolute(path), value) for path, value in args.pairs]

    def _absolute(self, path: str) -> str:
        if path.startswith(("/", "@")) or self._directory is None:
            # Completion leaves a slash at the end of a node that has children.
            return path[:-1] if path[-1:] == "/" != path else path
        return posixpath.normpath(posixpath.join(self._directory, path))

    def _own(self, words: "List[str]") -> int:
        """Run a command that only the shell has, or ``help`` without a word."""
        name, operands = words[0], words[1:]
        if name == "cd":
            return self._cd(operands)
        if operands:
            raise CommandError("{}: takes no argument".format(name))
        if name == "pwd":
            return self._print(self._start())
        if name == "help":
            own = "".join("  {}\n".format(text) for text in sorted(set(_OWN.values())))
            return self._print(make_parser(_SUBCOMMANDS).format_help() + "\nin the shell:\n" + own)
        self.ended = True
        return 0

    @staticmethod
    def _print(text: str) -> int:
        show(encoded(text.rstrip("\n") + "\n"))
        flush()
        return 0

    def _cd(self, operands: "List[str]") -> int:
        if len(operands) > 1:
            raise CommandError("cd: takes one path")
        self._directory = self._existing(operands[0]) if operands else None
        return 0

    def _existing(self, path: str) -> str:
        """Return the absolute path of a node.

        :raises CommandError: the daemon does not list it.
        """
        directory = posixpath.normpath(posixpath.join(self._start(), path))
        with about("cd: " + directory):
            self._client.ls(directory)
        return directory

    def _start(self) -> str:
        """Return the absolute path of the node where relative paths begin."""
        return self._directory or self._home()

    def _home(self) -> str:
        """Return the home of this domain, where relative paths begin for the daemon."""
        domid = self._client.read("domid", default="0")
        return self._client.get_domain_path(int(domid) if domid.isdigit() else 0)

    # -- completion --------------------------------------------------------------------

    def candidates(self, before: str, word: str) -> "List[str]":
        """Return the completions of a word.

        :param before: the line up to the word.
        """
        if before.strip() in ("", "help"):
            return [name + " " for name in _NAMES if name.startswith(word)]
        if word.startswith("-"):
            return []
        try:
            return self._paths(word)
        except PyXSError:
            return []

    def _paths(self, word: str) -> "List[str]":
        above, slash, name = word.rpartition("/")
        start = self._start()
        top = posixpath.normpath(posixpath.join(start, (above or "/") if slash else "."))
        validate_path(top)
        found = [each for each in self._client.ls(top) if each.startswith(name)]
        paths = [above + slash + each for each in sorted(found)]
        if len(paths) > 1:
            return paths
        # A single path is complete; a slash after it lets its children be completed next.
        return [
            path + ("/" if self._client.ls(posixpath.join(top, each)) else " ")
            for path, each in zip(paths, found)
        ]


def _set_up_readline(session: _Session) -> None:
    try:
        import readline
    except ImportError:  # Python may be built without it
        return

    def complete(word: str, state: int) -> "Optional[str]":
        if state == 0:
            before = readline.get_line_buffer()[: readline.get_begidx()]
            matches[:] = session.candidates(before, word)
        return matches[state] if state < len(matches) else None

    matches: List[str] = []
    readline.set_completer_delims(" \t\n\"'")
    readline.set_completer(complete)
    libedit = "libedit" in (readline.__doc__ or "")
    readline.parse_and_bind("bind ^I rl_complete" if libedit else "tab: complete")
