"""``pyxs ls``."""

import os

from ..connection import Op
from ..helpers import decode_text
from .as_json import json_line, json_unreadable, json_value
from .console import about, colour, on_terminal, reason, show, shows_utf8, warn
from .format import TreeFormat
from .many import is_missing, is_pattern
from .patterns import expanded
from .tree import tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any, Callable, Dict, Iterator, List, Optional

    from ..client import Client
    from .tree import Node

    Layout = Callable[[int, bytes, Optional[bytes], Any, bool], bytes]

__all__ = ["ls"]


def ls(client: "Client", args: "argparse.Namespace") -> None:
    layout = _json_layout if args.json else _layout(args)
    paths = args.paths or ["/"]
    if any(map(is_pattern, paths)):
        paths = expanded(client, paths)
    lines: List[bytes] = []
    try:
        for top in paths:
            for line in _lines(client, top, args, layout):
                lines.append(line)
                if len(lines) == 200:  # a write for each would take longer than all else
                    show(b"".join(lines))
                    lines.clear()
    finally:
        show(b"".join(lines))


def _layout(args: "argparse.Namespace") -> "Layout":
    return TreeFormat(
        _terminal_columns(),
        args.flat,
        utf8=args.utf8 or shows_utf8(),
        words=on_terminal(),
        colour=colour(args.color),
    ).line


def _json_layout(
    _depth: int, path: bytes, value: "Optional[bytes]", perms: "Any", _inner: bool
) -> bytes:
    fields: Dict[str, Any] = {"path": decode_text(path)}
    fields["value"] = json_unreadable() if value is None else json_value(value)
    if perms is not None:
        fields["perms"] = [decode_text(perm) for perm in perms] or json_unreadable()
    return json_line(**fields)


def _lines(
    client: "Client", top: str, args: "argparse.Namespace", layout: "Layout"
) -> "Iterator[bytes]":
    what = about("xs_directory ({})".format(top))
    is_found = top not in (args.paths or ["/"])  # by a pattern
    with what:
        ops = [Op.READ, Op.GET_PERMS] if args.perms else [Op.READ]
        for node in tree(client, top, ops):
            what.what = "xs_directory ({})".format(node.path.decode("ascii", "replace"))
            removed = any(map(is_missing, node.answers))
            if removed and node.depth == 0 and is_found:
                return
            if removed or node.depth == 0:
                continue
            value = node.answers[0]
            yield layout(
                node.depth - 1,
                node.path,
                value if isinstance(value, bytes) else None,
                _perms(node, args.title) if args.perms else None,
                node.answers[-1] != b"",
            )


def _perms(node: "Node", title: str) -> "List[bytes]":
    answer = node.answers[1]
    if isinstance(answer, bytes):
        return answer[:-1].split(b"\0")
    path = node.path.decode("ascii", "replace")
    warn("{}: could not access permissions for {}: {}".format(title, path, reason(answer)))
    return []


def _terminal_columns() -> "Optional[int]":
    try:
        return os.get_terminal_size(1).columns
    except OSError:
        return None  # the standard output is not a terminal
