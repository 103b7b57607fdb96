"""``pyxs dump`` and ``pyxs load``."""

import argparse

from .. import snapshot
from .._records import load_file
from ..client import Client
from .console import Progress, show, take, warn

__all__ = ["dump", "load"]


def dump(client: Client, args: argparse.Namespace) -> None:
    progress = Progress("nodes")
    try:
        for line in snapshot.lines(client, args.paths or ["/"]):
            show(line.encode("utf-8"))
            progress.step()
    finally:
        progress.end()


def load(client: Client, args: argparse.Namespace) -> None:
    file = args.file
    nodes = snapshot.parse(take(), "standard input") if file is None else load_file(file)
    in_one_transaction = snapshot.restore(client, nodes)
    if not in_one_transaction:
        warn("pyxs load: too much for one transaction; the nodes were written without one")
