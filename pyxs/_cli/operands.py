"""The command lines that scripts run in loops, taken apart without argparse.

Importing argparse and making a parser takes half as long as all else that ``pyxs read`` does. A
line that has a subcommand and operands, and nothing that begins with ``-``, needs neither.
"""

from types import SimpleNamespace

from .run import on_store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List, Optional

__all__ = ["operands_alone"]

#: By subcommand: the function of the module ``commands``, and the options, none of them given.
_SUBCOMMANDS = {
    "exists": ("exists", ("json",)),
    "list": ("list_", ("json", "prefix")),
    "mkdir": ("mkdir", ()),
    "read": ("read", ("json", "prefix", "raw", "utf8")),
    "rm": ("rm", ("tidy",)),
    "write": ("write", ("raw", "stdin")),
}


def operands_alone(words: "List[str]") -> "Optional[Any]":
    """Return what the parser would make of the words, or ``None``: the parser is needed."""
    if len(words) < 2 or words[0] not in _SUBCOMMANDS or any(word[:1] == "-" for word in words):
        return None
    name, operands = words[0], words[1:]
    if name == "write" and len(operands) % 2:
        return None
    function, options = _SUBCOMMANDS[name]
    args = SimpleNamespace(subcommand=name, run=on_store("commands", function))
    args.socket = args.device = args.xenbus = None
    args.socket_only = False
    vars(args).update(dict.fromkeys(options, False))
    if name == "write":
        args.pairs = list(zip(operands[::2], operands[1::2]))
    else:
        args.paths = operands
    return args
