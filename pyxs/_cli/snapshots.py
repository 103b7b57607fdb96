"""``pyxs dump`` and ``pyxs load``."""

import argparse

from .. import snapshot
from .._records import load_file, read_snapshot
from ..client import Client
from . import snapshot_diff
from .console import Progress, show, take, warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List

    from .._records import Record
    from .snapshot_diff import Change

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
    records, warning = snapshot.settable(client, read_snapshot(nodes))
    if warning:
        warn("pyxs load: " + warning)
    if args.dry_run:
        for line in snapshot_diff.lines(_changes(client, records, args.replace)):
            show(line)
        return
    in_one_transaction = (_replace if args.replace else snapshot.restore_records)(client, records)
    if not in_one_transaction:
        warn("pyxs load: too much for one transaction; the nodes were written without one")


def _changes(client: Client, records: "List[Record]", replace: bool) -> "List[Change]":
    found = snapshot_diff.read(client, snapshot_diff.tops(records))
    return snapshot_diff.changes(found, records, replace)


def _replace(client: Client, records: "List[Record]") -> bool:
    """Make the subtrees of a snapshot what it says, and return whether in one transaction.

    Nodes that are as they should be are not written, so that no watch reports them.
    """

    def change(store: Client) -> None:
        changed = _changes(store, records, True)
        removed = {each.path for each in changed if each.after is None}
        for path in removed:
            if path.rpartition(b"/")[0] not in removed:  # the rest is removed with it
                store.rm(path.decode("ascii"))
        left = {each.path for each in changed if each.after is not None}
        snapshot.restore_records(store, [record for record in records if record.path in left])

    found = snapshot_diff.read(client, snapshot_diff.tops(records))
    # A transaction is slow if it touches many nodes, also those that it reads.
    if len(found) + len(records) <= snapshot._TRANSACTION_MAX:
        client.run_transaction(change)
        return True
    change(client)
    return False
