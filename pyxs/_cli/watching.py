"""``pyxs watch`` and ``pyxs wait``."""

import argparse
import contextlib
import errno
import itertools
import time

from ..client import Client, Event
from ..connection import Op
from ..exceptions import ConnectionError, PyXSError
from ..helpers import decode_text
from .as_json import json_line, json_unreadable, json_value
from .commands import encoded, unescaped
from .console import CommandError, about, flush, on_terminal, show, shows_utf8
from .format import escape, state_word
from .many import is_pattern
from .patterns import fixed_part, levels, may_concern
from .tree import tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Optional

__all__ = ["wait", "watch"]

_TIMED_OUT = 124  # the exit status of timeout(1)


def watch(client: Client, args: argparse.Namespace) -> None:
    phrase = "Unable to add watch on {}"
    if args.depth is not None:
        phrase += " with depth {}".format(args.depth)
    with contextlib.closing(client.monitor()) as monitor:
        for path in args.paths:
            with about(phrase.format(path)):
                monitor.watch(_top(path), path, _depth(path, args.depth))
        values = _Values(client)
        if args.values:
            for path in args.paths:
                values.add(path)
        events = (event for event in monitor if _concerns(event))
        for event in itertools.islice(events, args.number):
            line = _json if args.json else _plain
            show(line(values, event, time.time(), args))
            flush()


def _top(path: str) -> str:
    """Return the node to watch for a path or a pattern."""
    return fixed_part(path) if is_pattern(path) else path


def _depth(path: str, depth: "Optional[int]") -> "Optional[int]":
    """Return the depth of the watch, for one below each node that matches a pattern."""
    return depth if depth is None or not is_pattern(path) else depth + levels(path)


def _concerns(event: Event) -> bool:
    # The token is what the user gave: a path or a pattern.
    return not is_pattern(event.token) or may_concern(event.token, event.path)


class _Unreadable(Exception):  # noqa: N818  # never seen by a user
    """The client may not read the node."""


class _Values:
    """Reads the values of nodes, and keeps them to tell what changed."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: Dict[str, bytes] = {}

    def add(self, path: str) -> None:
        """Remember the values of all nodes at and below a path, or below the top of a pattern."""
        if path.startswith("@"):
            return
        try:
            for node in tree(self._client, _top(path), [Op.READ]):
                value = node.answers[0]
                if isinstance(value, bytes):
                    self._known[decode_text(node.path)] = value
        except PyXSError as exc:
            if isinstance(exc, ConnectionError):
                raise  # else there is no such node, or one that may not be read

    def now(self, path: str) -> "Optional[bytes]":
        """Return the value that a node has now, ``None`` if there is no such node.

        :raises _Unreadable: the client may not read it.
        """
        if path.startswith("@"):
            return None
        try:
            value = self._client.read(path, default=None)
        except PyXSError as exc:
            if exc.errno == errno.EACCES:
                raise _Unreadable from None
            raise
        return None if value is None else encoded(value)

    def replaced(self, path: str, value: "Optional[bytes]") -> "Optional[bytes]":
        """Remember a value, and return the one before, ``None`` if it is not known."""
        if value is not None:
            before = self._known.get(path)
            self._known[path] = value
            return before
        for below in [each for each in self._known if each.startswith(path + "/")]:
            del self._known[below]
        return self._known.pop(path, None)


def _plain(values: _Values, event: Event, now: float, args: argparse.Namespace) -> bytes:
    line = encoded(event.path)
    if args.time:
        line = _iso(now).encode("ascii") + b" " + line
    if args.values:
        with contextlib.suppress(_Unreadable):
            value = values.now(event.path)
            before = values.replaced(event.path, value)
            line += b"" if value is None else b": " + _shown(event.path, value)
            if before is not None and before != value:
                line += b", was " + _shown(event.path, before)
    return line + b"\n"


def _shown(path: str, value: bytes) -> bytes:
    word = state_word(encoded(path), value) if on_terminal() else b""
    return escape(value, shows_utf8()) + word


def _json(values: _Values, event: Event, now: float, args: argparse.Namespace) -> bytes:
    value: Any = json_unreadable()
    old: Any = None
    with contextlib.suppress(_Unreadable):
        data = values.now(event.path)
        value = json_value(data)
        if args.values:
            old = json_value(values.replaced(event.path, data))
    fields = {"time": round(now, 3), "path": event.path, "token": event.token, "value": value}
    if args.values:
        fields["old"] = old
    return json_line(**fields)


def _iso(now: float) -> str:
    whole, fraction = divmod(int(now * 1000), 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + ".{:03}Z".format(fraction)


def wait(client: Client, args: argparse.Namespace) -> None:
    value = None if args.value is None else decode_text(unescaped(args.value))
    try:
        with about(args.path):
            client.wait_for(args.path, value, args.timeout)
    except TimeoutError as exc:
        text = "{}: timed out after {:g} seconds; {}"
        _, _, state = str(exc).partition(" s, and ")  # the present value, in the client's words
        raise CommandError(text.format(args.path, args.timeout, state), status=_TIMED_OUT) from None
