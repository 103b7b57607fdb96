"""Parsing of the arguments of ``pyxs``, in the way of ``getopt`` in the C programs."""

import argparse
import os
import sys

from ..connection import TIMEOUT_MAX

DOMID_FIRST_RESERVED = 0x7FF0  # of xen.h

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, List, NoReturn, Optional, Tuple, TypeVar

    T = TypeVar("T", int, float)

__all__ = ["Formatter", "Pairs", "Parser", "SubcommandParser", "count", "domid", "guest", "seconds"]


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Lays out help texts as wide as the terminal."""

    def __init__(self, prog: str) -> None:
        # argparse makes a formatter for each argument that is added. With a width it does
        # not import shutil.
        super().__init__(prog, width=_columns() - 2)


def _columns() -> int:
    """Return the width of the terminal, as ``shutil.get_terminal_size`` does."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdigit() and int(columns):
        return int(columns)
    try:
        return os.get_terminal_size(1).columns or 80
    except OSError:
        return 80


class Parser(argparse.ArgumentParser):
    """Reports an error in one line."""

    def error(self, message: str) -> "NoReturn":
        self.exit(2, "{}: {}; see '{} -h'\n".format(self.prog, message, self.prog))


class SubcommandParser(Parser):
    """Accepts options before, between and after operands.

    :param options_first: whether the first operand ends the options.
    """

    def __init__(self, *args: "Any", options_first: bool = False, **kwargs: "Any") -> None:
        super().__init__(*args, **kwargs)
        self._options_first = options_first

    def parse_known_args(self, args: "Any" = None, namespace: "Any" = None) -> "Any":
        # argparse itself accepts operands in one place only, and takes a word such as "-5"
        # for an operand.
        words = list(sys.argv[1:] if args is None else args)
        options: List[str] = []
        operands: List[str] = []
        while words:
            word = words.pop(0)
            if word == "--":
                operands += words
                break
            if word.startswith("-") and word != "-":
                options += self._separated(word)
                if self._wants_value(options[-1]) and words:
                    options[-1:] = self._with_value(options[-1], words.pop(0))
                continue
            operands.append(word)
            if self._options_first:
                operands += words
                break
        found, surplus = super().parse_known_args(
            options + ["--"] * bool(operands) + operands, namespace
        )
        if surplus:
            self.error(
                "unrecognized arguments: " + " ".join(word for word in surplus if word != "--")
            )
        return found, surplus

    def _separated(self, word: str) -> "List[str]":
        """Return the options of a word such as ``-sn5``: ``-s`` and ``-n5``."""
        if word.startswith("--"):
            return [word]
        options: List[str] = []
        for at, letter in enumerate(word[1:], 1):
            action = self._option_string_actions.get("-" + letter)
            if action is None:
                self._refuse(word)
            if action.nargs is None:  # the rest of the word, or the next word, is its value
                return options + ["-" + word[at:]]
            options.append("-" + letter)
        return options

    def _wants_value(self, option: str) -> bool:
        """Return whether the next word is the value of an option."""
        name = option.partition("=")[0] if option.startswith("--") else option[:2]
        actions = [
            action
            for string, action in self._option_string_actions.items()
            if string.startswith(name)
        ]
        if not actions:
            self._refuse(option)
        return name == option and actions[0].nargs is None

    def _with_value(self, option: str, value: str) -> "List[str]":
        if not value.startswith("-"):
            return [option, value]
        # Of its own, argparse would take it for an option.
        return [option + ("=" if option.startswith("--") else "") + value]

    def _refuse(self, word: str) -> "NoReturn":
        if word.partition("=")[0] == "--timeout":
            self.error("--timeout: stands before the subcommand")
        self.error(
            "{}: no such option; an operand that begins with '-' goes after '--'".format(word)
        )


class Pairs(argparse.Action):
    """Stores operands as pairs of a path and a value.

    After the option ``--stdin`` the last operand is a path alone, and its value ``None``.
    """

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: "Any",
        _option_string: "Optional[str]" = None,
    ) -> None:
        if namespace.stdin:
            if len(values) % 2 == 0:
                parser.error("--stdin: the last path has a value, {}".format(values[-1]))
            values = [*values, None]
        elif len(values) % 2:
            parser.error("{}: this path has no value".format(values[-1]))
        setattr(namespace, self.dest, list(zip(values[::2], values[1::2])))


def _number(text: str, kind: "Callable[[str], T]") -> "T":
    try:
        return kind(text)
    except ValueError:  # of it argparse would name the function that is the type
        raise argparse.ArgumentTypeError("{}: must be a number".format(text)) from None


def count(text: str) -> int:
    """Return *text* as an integer from 0 up; an argument has this as its ``type``."""
    number = _number(text, int)
    if number < 0:
        raise argparse.ArgumentTypeError("{}: must be 0 or more".format(text))
    return number


def seconds(text: str) -> float:
    """Return *text* as a number of seconds; an argument has this as its ``type``."""
    number = _number(text, float)
    if not 0 <= number <= TIMEOUT_MAX:
        raise argparse.ArgumentTypeError("{}: must be 0 to {}".format(text, TIMEOUT_MAX))
    return number


def limit(text: str) -> float:
    """Return *text* as a timeout over 0; an argument has this as its ``type``."""
    number = seconds(text)
    if number == 0:
        raise argparse.ArgumentTypeError("{}: must be over 0".format(text))
    return number


def domid(text: str) -> int:
    """Return *text* as the number of a guest; an argument has this as its ``type``."""
    number = _number(text, int)
    if not 0 < number < DOMID_FIRST_RESERVED:
        raise argparse.ArgumentTypeError(
            "{}: must be 1 to {}".format(text, DOMID_FIRST_RESERVED - 1)
        )
    return number


def guest(text: str) -> "Tuple[int, str]":
    """Return *text*, ``DOMID=PATH``, as a pair; an argument has this as its ``type``."""
    number, _, path = text.partition("=")
    if not path:
        raise argparse.ArgumentTypeError("{}: must be DOMID=PATH".format(text))
    return domid(number), path
