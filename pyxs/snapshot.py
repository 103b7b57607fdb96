"""Saves a part of a store as a plain dict or as JSON, and restores it.

.. code-block:: python

    from pyxs import snapshot

    saved = snapshot.take(client, "/local/domain/1")
    client.rm("/local/domain/1")
    snapshot.restore(client, saved)

A snapshot maps each path to an entry::

    {"/local/domain/1/name": {"value": "web", "perms": ["n0", "r1"]}}

- ``"value"`` is a ``str``, or ``{"base64": "…"}`` when the bytes are not UTF-8.
- ``"perms"`` are permissions as :meth:`~pyxs.Client.get_permissions` returns them.
- ``{"unreadable": True}`` stands for a node that the client could not read.

In a snapshot that you write by hand, an entry may be a value alone:
``{"/local/domain/1/name": "web"}``. A value may also be ``int`` or ``bytes``. A node without
``"perms"`` gets the permissions of its parent.
"""

import errno

from ._annotations import t
from ._client.trees import check_lengths, read_records, send
from ._records import Record, make_entry, make_line, parse_json, read_snapshot
from ._wire.packets import Op
from .client import Client
from .exceptions import InvalidPath, PyXSError
from .helpers import DOMID_ANY, shown, validate_path, warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._channels import walk

__all__ = ["lines", "parse", "restore", "take"]

#: The C daemon (4.17) looks through all nodes of a transaction at each request in it: 5,000 take
#: 4 seconds, 10,000 take 16, and 50,000 would take minutes; without a transaction, 11 seconds.
_TRANSACTION_MAX = 5000  # nodes

_NAMED = 5  # how many nodes a warning names


def take(client: Client, top: "t.Text" = "/") -> "t.Dict[str, t.Entry]":
    """Return a snapshot of a node and all nodes below it.

    The nodes are in the order of their paths: each before its children, siblings by name.
    They are read one after the other; a node that has been removed meanwhile is left out.
    For a consistent snapshot, take it in a transaction and commit that.

    :param client: the client to read with.
    :param top: the path of the first node.
    :returns: a dict of paths and entries, as described above.
    :raises InvalidPath: *top* breaks a rule of *xenstore.txt*; nothing was sent.
    :raises PyXSError: ``ENOENT`` there is no such node; any other answer than
        ``EACCES`` to a request about a node below it.
    """
    return {path: make_entry(value, perms) for path, value, perms in read_records(client, top)}


def lines(client: Client, tops: "t.Sequence[t.Text]" = ("/",)) -> "t.Iterator[str]":
    """Yield the JSON text of a snapshot while its nodes are read, a line for each node.

    :param client: the client to read with.
    :param tops: the paths of the nodes to save, with all nodes below them. Nodes that
        overlap are saved once.
    :raises InvalidPath: a path breaks a rule of *xenstore.txt*, or *tops* is a single path;
        nothing was sent.
    :raises PyXSError: as :func:`take`.
    """
    if isinstance(tops, (str, bytes)):
        raise InvalidPath(tops, "{}: tops are a list of paths".format(shown(tops)))
    return _lines([read_records(client, top) for top in _distinct(tops)])


def _lines(trees: "t.Iterable[t.Iterator[walk.Record]]") -> "t.Iterator[str]":
    before = "{\n"
    for records in trees:
        for record in records:
            yield before + make_line(*record)
            before = ",\n"
    yield "\n}\n"


def parse(text: "t.Union[str, bytes]", name: str = "snapshot") -> "t.Dict[str, t.Any]":
    """Return the snapshot in a JSON text.

    :param text: the text; ``bytes`` are decoded as UTF-8.
    :param name: the name of the text or file, for the message of an error.
    :raises InvalidPayload: it is not a snapshot; the message has the line and the column.
    """
    return parse_json(text, name)


def restore(client: Client, snapshot: "t.Mapping[t.Any, t.Any]") -> bool:
    """Write the nodes of a snapshot, with their permissions.

    All entries are validated first. Then the nodes are written in one transaction, or
    without one if a quota of the daemon forbids it or the snapshot has more than 5,000
    nodes. Nodes that are not in the snapshot stay as they are. So do the values of nodes
    that are unreadable in the snapshot.

    Permissions of domid 32757 (``DOMID_ANY``), which only Xen 4.22 and later have, can be set over
    XenBus alone. Over a socket they are left out, and a ``RuntimeWarning`` names the nodes.

    :param client: the client to write with; if it is in a transaction, that one is used,
        however many nodes there are.
    :param snapshot: a dict as :func:`take` and :func:`parse` return it.
    :returns: whether all nodes were written in one transaction.
    :raises InvalidPath, InvalidPayload, InvalidPermission: an entry breaks a rule;
        nothing was sent.
    :raises PyXSError: the daemon's answer: ``ENOENT`` the owner of a node is a domain that
        does not exist, ``EACCES`` not writable, ``ENOSPC`` over a quota. Some nodes have
        been written only if there was no transaction.
    """
    records, warning = settable(client, read_snapshot(snapshot))
    if warning:
        warn(warning)
    return restore_records(client, records)


def settable(client: Client, records: "t.List[Record]") -> "t.Tuple[t.List[Record], str]":
    """Leave out the permissions that a client's connection cannot carry.

    :returns: the records without them, and a warning of that; ``""`` if nothing was left out.
    """
    if not client.connection.trusts_ids:  # XenBus
        return records, ""
    changed = []
    result = []
    for path, value, perms in records:
        kept = perms and [perm for perm in perms if int(perm[1:]) != DOMID_ANY]
        if kept != perms:
            changed.append(path.decode("ascii"))
        result.append(Record(path, value, kept))
    more = ", and {} more".format(len(changed) - _NAMED) if len(changed) > _NAMED else ""
    warning = (
        "permissions of DOMID_ANY (32757) were left out, because xenstored 4.22.0 would crash "
        "over a socket: {}{}".format(", ".join(changed[:_NAMED]), more)
    )
    return result, warning if changed else ""


def restore_records(client: Client, records: "t.List[Record]") -> bool:
    """Write nodes; see :func:`restore`."""
    messages = list(_messages(records))
    check_lengths(client, messages)
    if client.tx_id:
        send(client, messages)
        return True
    if len(records) <= _TRANSACTION_MAX and _sent_in_transaction(client, messages):
        return True
    send(client, messages)
    return False


def _distinct(tops: "t.Iterable[t.Text]") -> "t.List[str]":
    """Return the paths in order, without those that are below another of them."""
    paths = {validate_path(top).decode("ascii") for top in tops}
    return sorted(
        (path for path in paths if not any(above in paths for above in _ancestors(path))),
        key=lambda path: path.split("/"),
    )


def _ancestors(path: str) -> "t.Iterator[str]":
    if path.startswith("/") and path != "/":
        yield "/"
    above = path.rpartition("/")[0]
    while above:
        yield above
        above = above.rpartition("/")[0]


def _messages(records: "t.Iterable[Record]") -> "t.Iterator[t.Tuple[Op, bytes]]":
    for path, value, perms in records:
        if value or (value is not None and path != b"/"):  # the root always exists
            yield Op.WRITE, path + b"\0" + value
        if perms is not None:
            if value is None:
                yield Op.MKDIR, path + b"\0"
            yield Op.SET_PERMS, b"\0".join([path, *perms]) + b"\0"


def _sent_in_transaction(client: Client, messages: "t.List[t.Tuple[Op, bytes]]") -> bool:
    """Send in one transaction; return whether the quotas of the daemon allow that."""
    try:
        client.run_transaction(lambda transaction: send(transaction, messages))
    except PyXSError as exc:
        if not _over_quota(exc):
            raise
        return False
    return True


def _over_quota(exc: PyXSError) -> bool:
    # oxenstored answers EQUOTA, which errno lacks.
    return exc.errno == errno.ENOSPC or str(exc.strerror).startswith("EQUOTA")
