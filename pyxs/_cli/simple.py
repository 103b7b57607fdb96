"""The command lines that scripts run in loops, taken apart without argparse.

Importing argparse and making a parser takes a third of the time of ``pyxs read``. A line that has
a subcommand, operands and options of one letter without a value needs neither.
"""

from types import SimpleNamespace

from .run import on_store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Tuple

__all__ = ["parse_simple"]

#: By subcommand: its module and function, its options of one letter, and its other options with
#: their defaults.
_SUBCOMMANDS: "Dict[str, Tuple[str, str, Dict[str, str], Dict[str, Any]]]" = {
    "chmod": ("commands", "chmod", {"r": "recurse", "u": "upto"}, {}),
    "exists": ("commands", "exists", {}, {"json": False}),
    "list": ("commands", "list_", {"p": "prefix"}, {"json": False}),
    "ls": (
        "listing",
        "ls",
        {"f": "flat", "p": "perms", "u": "utf8"},
        {"color": "auto", "json": False},
    ),
    "mkdir": ("commands", "mkdir", {}, {}),
    "read": ("commands", "read", {"p": "prefix", "R": "raw", "u": "utf8"}, {"json": False}),
    "rm": ("commands", "rm", {"t": "tidy"}, {}),
    "write": ("commands", "write", {"R": "raw"}, {"stdin": False}),
}
_OF_ALL = {"s": "socket_only"}


def parse_simple(words: "List[str]") -> "Optional[Any]":
    """Return what the parser would make of the words, or ``None``: the parser is needed."""
    if not words or words[0] not in _SUBCOMMANDS:
        return None
    name = words[0]
    module, function, letters, others = _SUBCOMMANDS[name]
    options = dict(_OF_ALL, **letters)
    given = dict(others, **dict.fromkeys(options.values(), False))
    operands = []
    for word in words[1:]:
        if word[:1] != "-" or word == "-":
            operands.append(word)
            continue
        for letter in word[1:]:
            if letter not in options:  # "-" of a long option, too
                return None
            given[options[letter]] = True
    if not _fit(name, operands, given):
        return None
    return SimpleNamespace(
        subcommand=name,
        run=on_store(module, function),
        socket=None,
        device=None,
        xenbus=None,
        within=None,
        **given,
    )


def _fit(name: str, operands: "List[str]", given: "Dict[str, Any]") -> bool:
    """Put operands into the arguments; return whether there is a valid number of them."""
    if name == "write":
        given["pairs"] = list(zip(operands[::2], operands[1::2]))
        return bool(operands) and len(operands) % 2 == 0
    if name == "chmod":
        given["path"], given["perms"] = "".join(operands[:1]), operands[1:]
        return len(operands) > 1
    given["paths"] = operands
    return bool(operands) or name == "ls"
