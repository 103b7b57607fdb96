"""What a snapshot would change in a store: for ``pyxs load --dry-run`` and ``--replace``."""

import base64
import errno
from collections import namedtuple

from .. import snapshot
from .._records import UNREADABLE
from ..exceptions import PermissionDenied, PyXSError
from .format import TreeFormat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional

    from .._records import Record
    from ..client import Client

    Nodes = Dict[bytes, "Node"]

__all__ = ["Change", "Node", "changes", "lines", "read", "tops"]


class Node(namedtuple("Node", ["value", "perms"])):
    """A node in the store, or as it will be."""

    __slots__ = ()

    value: "Optional[bytes]"  #: ``None``: not known
    perms: "Optional[List[bytes]]"  #: ``None``: not known


class Change(namedtuple("Change", ["path", "before", "after"])):
    """A node that is added, changed or removed."""

    __slots__ = ()

    path: bytes
    before: "Optional[Node]"  #: ``None``: there is no such node
    after: "Optional[Node]"


def tops(records: "Iterable[Record]") -> "List[bytes]":
    """Return the paths in a snapshot that are below no other of them."""
    paths = {record.path for record in records}
    return sorted(path for path in paths if paths.isdisjoint(_ancestors(path)))


def read(client: "Client", paths: "Iterable[bytes]") -> "Nodes":
    """Return what there is at and below nodes, and the nearest of their ancestors that exist.

    :raises PyXSError: the daemon's answer.
    """
    found: Nodes = {}
    for path in paths:
        try:
            taken = snapshot.take(client, path.decode("ascii"))
        except PyXSError as exc:
            if exc.errno != errno.ENOENT:
                raise
            taken = {}
        found.update((name.encode("ascii"), _node(entry)) for name, entry in taken.items())
        for above in _ancestors(path):
            if above in found or _exists(client, above):
                found.setdefault(above, Node(None, None))
                break
    return found


def _exists(client: "Client", path: bytes) -> bool:
    try:
        return client.exists(path.decode("ascii"))
    except PermissionDenied:
        return True  # what is above a guest's home, for example


def _node(entry: "Mapping[str, Any]") -> Node:
    if entry.get(UNREADABLE):
        return Node(None, None)
    value = entry["value"]
    return Node(
        value.encode("utf-8") if isinstance(value, str) else base64.b64decode(value["base64"]),
        [perm.encode("ascii") for perm in entry["perms"]],
    )


def changes(found: "Nodes", records: "Iterable[Record]", replace: bool) -> "List[Change]":
    """Return what loading a snapshot changes, in the order of the paths.

    :param found: what :func:`read` has returned for the :func:`tops` of the snapshot.
    :param replace: whether nodes below those tops are removed that the snapshot does not have.
    """
    by_path = {record.path: record for record in records}
    changed = list(_written(found, by_path))
    if replace:
        changed += _removed(found, by_path)
    return sorted(changed, key=lambda change: change.path.split(b"/"))


def _written(found: "Nodes", records: "Mapping[bytes, Record]") -> "Iterator[Change]":
    added = set()
    for path, record in records.items():
        before = found.get(path)
        after = _after(record, before)
        if after is None or after == before:
            continue
        yield Change(path, before, after)
        for above in _ancestors(path):  # the daemon creates those that do not exist
            if above in found or above in records or above in added:
                break
            added.add(above)
            yield Change(above, None, Node(b"", None))


def _after(record: "Record", before: "Optional[Node]") -> "Optional[Node]":
    """Return a node as it is when its record is loaded; ``None``: it is not created."""
    value, perms = record.value, record.perms
    if value == b"" and record.path == b"/":
        value = None  # as snapshot.restore has it
    if before is None:
        return None if value is None and perms is None else Node(value or b"", perms)
    return Node(before.value if value is None else value, before.perms if perms is None else perms)


def _removed(found: "Nodes", records: "Mapping[bytes, Record]") -> "Iterator[Change]":
    kept = set(records).union(*map(_ancestors, records))
    # What is below a node that could not be read is not in the snapshot, and stays.
    unknown = {path for path, record in records.items() if record[1:] == (None, None)}
    for path, node in found.items():
        if path not in kept and unknown.isdisjoint(_ancestors(path)):
            yield Change(path, node, None)


def _ancestors(path: bytes) -> "Iterator[bytes]":
    """Yield the paths of the ancestors of a node, the nearest first."""
    above = path.rpartition(b"/")[0]
    while above:
        yield above
        above = above.rpartition(b"/")[0]
    if path.startswith(b"/") and path != b"/":
        yield b"/"


def lines(changed: "Iterable[Change]") -> "Iterator[bytes]":
    """Yield the lines of ``diff``: nodes as ``pyxs ls -fp`` prints them, marked with - and +."""
    layout = TreeFormat(None, flat=True)
    for change in changed:
        for mark, node in ((b"-", change.before), (b"+", change.after)):
            if node is not None:
                yield mark + layout.line(0, change.path, node.value, node.perms)
