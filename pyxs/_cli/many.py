"""Many requests, sent without waiting for the reply to each."""

import errno

from .._wire.requests import encode
from ..connection import Op
from ..exceptions import ConnectionError, InvalidPayload, PyXSError
from ..helpers import encode_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterable, Iterator, List, Optional, Sequence, Tuple, Union

    from ..client import Client

    #: The payload of a reply, or why there is none.
    Answer = Union[bytes, PyXSError]

__all__ = [
    "BATCH",
    "answers",
    "exchange",
    "is_hidden",
    "is_missing",
    "is_pattern",
    "names",
    "payload",
]

BATCH = 512  #: how many requests are sent before their replies are looked at


def exchange(client: "Client", messages: "Sequence[Tuple[Op, bytes]]") -> "Iterator[Answer]":
    """Send requests with these payloads and yield the answer to each, in order."""
    for start in range(0, len(messages), BATCH):
        for request in client._exchange_many(messages[start : start + BATCH]):
            try:
                yield request.result()
            except PyXSError as exc:
                if isinstance(exc, ConnectionError):
                    raise
                yield exc


def answers(
    client: "Client", op: Op, arguments: "Iterable[Tuple[Any, ...]]"
) -> "Iterator[Tuple[str, Answer]]":
    """Send a request for each tuple of arguments; yield its path and the answer.

    The last one is the first whose arguments are invalid; no requests are sent for those after it.
    """
    most = client.connection.max_payload
    paths: List[str] = []
    messages: List[Tuple[Op, bytes]] = []
    invalid: Optional[Tuple[str, PyXSError]] = None
    for args in arguments:
        try:
            messages.append((op, _encoded(op, args, most)))
        except PyXSError as exc:
            invalid = args[0], exc
            break
        paths.append(args[0])
    yield from zip(paths, exchange(client, messages))
    if invalid is not None:
        yield invalid


def _encoded(op: Op, args: "Tuple[Any, ...]", most: int) -> bytes:
    data = encode(op, args)
    if len(data) > most:
        raise InvalidPayload(
            data, "message of {} bytes: this connection carries at most {}".format(len(data), most)
        )
    return data


def is_pattern(path: str) -> bool:
    """Return whether a path has a wildcard, which no valid path has."""
    return "*" in path or "?" in path or "[" in path


def is_missing(answer: "Answer") -> bool:
    """Return whether the daemon answered that there is no such node."""
    return isinstance(answer, PyXSError) and answer.errno == errno.ENOENT


def is_hidden(answer: "Answer") -> bool:
    """Return whether the daemon answered that there is no such node, or that it is not readable."""
    return isinstance(answer, PyXSError) and answer.errno in (errno.ENOENT, errno.EACCES)


def payload(answer: "Answer") -> bytes:
    """Return the payload of a reply.

    :raises PyXSError: the request was refused.
    """
    if isinstance(answer, PyXSError):
        raise answer
    return answer


def names(client: "Client", path: "Union[str, bytes]", answer: "Answer") -> "List[bytes]":
    """Return the names of the children of a node.

    :param answer: the answer to ``DIRECTORY``.
    :raises PyXSError: the daemon refused.
    """
    if isinstance(answer, PyXSError) and answer.errno == errno.E2BIG:
        return [encode_text(name, "name") for name in client.ls(path)]
    data = payload(answer)
    return data[:-1].split(b"\0") if data else []
