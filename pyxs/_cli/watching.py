"""``pyxs watch`` and ``pyxs wait``."""

import argparse
import contextlib
import errno
import itertools
import json
import time

from .._records import UNREADABLE, make_value
from ..client import Client, Event
from ..exceptions import PyXSError
from ..helpers import decode_text
from .commands import encoded, unescaped
from .console import CommandError, about, flush, show
from .format import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Optional

__all__ = ["wait", "watch"]

_TIMED_OUT = 124  # the exit status of timeout(1)


def watch(client: Client, args: argparse.Namespace) -> None:
    with contextlib.closing(client.monitor()) as monitor:
        for path in args.paths:
            with about("Unable to add watch on " + path):
                monitor.watch(path)
        for event in itertools.islice(monitor, args.number):
            now = time.time()
            shown = _json(client, event, now) if args.json else _plain(client, event, now, args)
            show(shown + b"\n")
            flush()


def _plain(client: Client, event: Event, now: float, args: argparse.Namespace) -> bytes:
    line = encoded(event.path)
    if args.time:
        line = _iso(now).encode("ascii") + b" " + line
    if args.values:
        with contextlib.suppress(_Unreadable):
            value = _value(client, event.path)
            line += b"" if value is None else b": " + escape(value)
    return line


def _json(client: Client, event: Event, now: float) -> bytes:
    shown: Any = {UNREADABLE: True}
    with contextlib.suppress(_Unreadable):
        value = _value(client, event.path)
        shown = None if value is None else make_value(value)
    line = {"time": round(now, 3), "path": event.path, "token": event.token, "value": shown}
    return encoded(json.dumps(line, ensure_ascii=False))


def _iso(now: float) -> str:
    whole, fraction = divmod(int(now * 1000), 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + ".{:03}Z".format(fraction)


class _Unreadable(Exception):  # noqa: N818  # never seen by a user
    """The client may not read the node."""


def _value(client: Client, path: str) -> "Optional[bytes]":
    """Return the value that a node has now, ``None`` if there is no such node."""
    if path.startswith("@"):
        return None
    try:
        value = client.read(path, default=None)
    except PyXSError as exc:
        if exc.errno == errno.EACCES:
            raise _Unreadable from None
        raise
    return None if value is None else encoded(value)


def wait(client: Client, args: argparse.Namespace) -> None:
    value = None if args.value is None else decode_text(unescaped(args.value))
    try:
        with about(args.path):
            client.wait_for(args.path, value, args.timeout)
    except TimeoutError:
        raise CommandError(
            "{}: timed out after {:g} seconds".format(args.path, args.timeout), status=_TIMED_OUT
        ) from None
