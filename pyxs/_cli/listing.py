"""``pyxs ls``."""

import errno
import os

from ..connection import Op
from ..exceptions import PyXSError
from .commands import about
from .console import reason, show, warn
from .format import TreeFormat
from .tree import tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Iterator, List, Optional

    from ..client import Client
    from .tree import Node

__all__ = ["ls"]


def ls(client: "Client", args: "argparse.Namespace") -> None:
    layout = TreeFormat(_terminal_columns(), args.flat, args.utf8)
    lines: List[bytes] = []
    try:
        for top in args.paths or ["/"]:
            for line in _lines(client, top, args, layout):
                lines.append(line)
                if len(lines) == 200:  # a write for each would take longer than all else
                    show(b"".join(lines))
                    lines.clear()
    finally:
        show(b"".join(lines))


def _lines(
    client: "Client", top: str, args: "argparse.Namespace", layout: TreeFormat
) -> "Iterator[bytes]":
    what = about("xs_directory ({})".format(top))
    with what:
        ops = [Op.READ, Op.GET_PERMS] if args.perms else [Op.READ]
        for node in tree(client, top, ops):
            what.what = "xs_directory ({})".format(node.path.decode("ascii", "replace"))
            if node.depth == 0 or _was_removed(node):
                continue
            value = node.answers[0]
            yield layout.line(
                node.depth - 1,
                node.path,
                value if isinstance(value, bytes) else None,
                _perms(node, args.title) if args.perms else None,
            )


def _was_removed(node: "Node") -> bool:
    return isinstance(node.answers[0], PyXSError) and node.answers[0].errno == errno.ENOENT


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
