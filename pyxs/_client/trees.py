"""Requests about many nodes: subtrees, and messages that belong together."""

from collections.abc import Mapping

from .._annotations import t
from .._channels.failures import too_long
from .._wire.packets import Op
from .._wire.refusals import missing_owner
from .._wire.requests import encode
from ..exceptions import InvalidPath, InvalidPayload
from ..helpers import decode_text, error, shown, validate_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterable, Iterator, List, Sequence, Tuple

    from .._annotations.types import Perms, Text, Value
    from .._channels.walk import Record

    Message = Tuple[int, bytes]

_BATCH = 1000  # how many requests are sent before their replies are checked

#: Some daemons list these special paths of watches in ``/``.
_SPECIAL = frozenset(("/@introduceDomain", "/@releaseDomain"))


def read_records(client: "t.Client", top: "Text") -> "Iterator[Record]":
    """Return an iterator of the path, the value and the permissions of a node and all below it.

    It reads in the transaction that is running now, also later.

    :raises PyXSError: ``ENOENT`` there is no such node; ``EACCES`` it is not readable.
    """
    path = validate_path(top).decode("ascii")
    return _records(client, path, client._walker(for_records=True).records(path))


def _records(client: "t.Client", top: str, records: "Iterator[Record]") -> "Iterator[Record]":
    found = False
    for record in records:
        found = True
        if record[0] not in _SPECIAL:
            yield record
    if not found:
        client.get_permissions(top)  # raises what the daemon answers


def read_tree(client: "t.Client", top: "Text") -> "Dict[str, str]":
    """Return the values of a node and all below it; see :meth:`Client.read_tree`."""
    start = validate_path(top).decode("ascii")
    skipped = 1 if start == "/" else len(start) + 1
    values = {}
    for path, value, _perms in read_records(client, top):
        if value is not None:
            values[path[skipped:]] = decode_text(value)
        elif path == start:
            raise error("EACCES", path)
    return values


def write_tree(client: "t.Client", top: "Text", values: "Any") -> None:
    """Store the values of a node and of nodes below it; see :meth:`Client.write_tree`."""
    start = validate_path(top)
    together(
        client,
        [write_message(_below(start, key), value) for key, value in pairs(values)],
    )


def write_message(path: "Text", value: "Any") -> "Message":
    """Encode one WRITE of many.

    :raises InvalidPath, InvalidPayload: an argument breaks a rule; the message names the node.
    """
    try:
        return Op.WRITE, encode(Op.WRITE, (path, value))
    except InvalidPayload as exc:  # so the path is valid
        node = validate_path(path).decode("ascii")
        raise InvalidPayload(exc.value, "{}: {}".format(node, exc)) from None


def _below(start: bytes, key: "Text") -> bytes:
    name = key.encode("ascii", "replace") if isinstance(key, str) else key
    if name == b"":
        return start
    if isinstance(name, bytes) and name[:1] == b"/":
        raise InvalidPath(key, "{}: a key of a tree is a path below its top".format(shown(key)))
    validate_path(key)
    return validate_path(start.rstrip(b"/") + b"/" + name)


def write_with_permissions(
    client: "t.Client", path: "Text", value: "Value", perms: "Perms"
) -> None:
    """Store a value and permissions at once."""
    together(
        client,
        [
            (Op.WRITE, encode(Op.WRITE, (path, value))),
            (Op.SET_PERMS, client._encode(Op.SET_PERMS, (path, perms))),
        ],
    )


def together(client: "t.Client", messages: "Sequence[Message]") -> None:
    """Send requests in the running transaction, or in one of their own until it succeeds."""
    check_lengths(client, messages)
    if client.tx_id:
        send(client, messages)
    else:
        client.run_transaction(lambda transaction: send(transaction, messages))


def send(client: "t.Client", messages: "Sequence[Message]") -> None:
    """Send requests, and raise the first error in their order."""
    for start in range(0, len(messages), _BATCH):
        for request in client._exchange_many(messages[start : start + _BATCH]):
            if client.tx_id and request.op == Op.SET_PERMS and request.refusal == b"ENOENT":
                # The node was written before, and nobody else can remove it.
                raise missing_owner(*request.payload.split(b"\0")[:2])
            client._acknowledge(request)


def check_lengths(client: "t.Client", messages: "Iterable[Message]") -> None:
    """Check that the connection carries these messages.

    :raises InvalidPayload: it does not; the message names the node.
    """
    most = client.connection.max_payload
    for op, payload in messages:
        if len(payload) > most:
            raise too_long(op, payload, most)


def pairs(items: "Any") -> "List[Tuple[Any, Any]]":
    """Return the paths and values in a mapping or in an iterable of pairs.

    :raises InvalidPayload: an item is no pair.
    """
    return [_pair(item) for item in (items.items() if isinstance(items, Mapping) else items)]


def _pair(item: "Any") -> "Tuple[Any, Any]":
    if not isinstance(item, (str, bytes)) and hasattr(item, "__iter__"):
        pair = tuple(item)
        if len(pair) == 2:
            return pair
    raise InvalidPayload(item, "{:.80}: an item must be a path and a value".format(repr(item)))
