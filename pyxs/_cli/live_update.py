"""``pyxs control live-update``: another program replaces the daemon and keeps its state.

It sends the same CONTROL requests as ``xenstore-control``.
"""

import argparse
import contextlib
import time

from ..client import Client
from ..exceptions import PyXSError
from .arguments import SubcommandParser, count
from .console import CommandError, warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Sequence

__all__ = ["live_update"]

_WATCH_DEPTH = 1 << 2  # a feature bit, xenstore.txt


def live_update(client: Client, words: "Sequence[str]", title: str) -> None:
    """Replace the daemon by another program.

    :param words: the arguments after ``live-update``.
    :param title: the begin of messages.
    :raises CommandError: the daemon refuses, and runs on.
    """
    args = _parser(title).parse_args(words)
    if client.read("/tool/xenstored/domid", default="0") != "0":
        raise CommandError("live-update: xenstored is in another domain; use xenstore-control")
    _warn_of_depth(client, title)
    _set(client, "-f", args.file)
    try:
        if args.cmdline is not None:
            _set(client, "-c", args.cmdline)
        words = ["-s", "-t", str(args.timeout)] + ["-F"] * args.force
        if args.version:
            words += ["-v", str(args.version)]
        _start(client, args.timeout, words)
    except CommandError:
        with contextlib.suppress(PyXSError):
            client.control("live-update", "-a")
        raise


def _warn_of_depth(client: Client, title: str) -> None:
    """Warn of what Xen 4.22.0 loses: it has watches with a depth, and nobody can ask for them."""
    try:
        features = client.get_feature()
    except PyXSError as exc:
        if not exc.is_answer:
            raise
        return
    if features & _WATCH_DEPTH:
        warn(
            title + ": warning: in a live update, xenstored 4.22.0 loses its clients if there is "
            "a watch with a depth"
        )


def _parser(title: str) -> argparse.ArgumentParser:
    parser = SubcommandParser(
        prog=title,
        description="Replace the daemon by another program, which keeps the store and all "
        "connections.",
    )
    parser.add_argument(
        "-c", dest="cmdline", metavar="CMDLINE", help="the arguments of the program"
    )
    parser.add_argument(
        "-F", dest="force", action="store_true", help="also if transactions do not end in time"
    )
    parser.add_argument(
        "-t",
        dest="timeout",
        metavar="SECONDS",
        type=count,
        default=60,
        help="how long to wait for transactions to end; 60 by default",
    )
    parser.add_argument(
        "-v",
        dest="version",
        metavar="VERSION",
        type=count,
        help="the version of the stream in which the state is handed over; Xen 4.21 or later",
    )
    parser.add_argument("file", metavar="FILE", help="the program")
    return parser


def _start(client: Client, timeout: int, words: "Sequence[str]") -> None:
    """Start the update; try again each second while the daemon answers ``BUSY``.

    :param timeout: seconds to wait for the transactions to end.
    """
    deadline = time.monotonic() + timeout
    answer = _answer(client, *words)
    while answer == "BUSY" and time.monotonic() < deadline:
        time.sleep(1)
        answer = _answer(client, *words)
    _expect_ok("Starting live update failed", answer)


def _set(client: Client, *words: str) -> None:
    _expect_ok("Setting update binary failed: " + words[1], _answer(client, *words))


def _expect_ok(what: str, answer: str) -> None:
    if answer != "OK":
        raise CommandError("{}: {}".format(what, answer))


def _answer(client: Client, *words: str) -> str:
    try:
        return client.control("live-update", *words)
    except PyXSError as exc:
        if not exc.is_answer:
            raise
        return exc.strerror or "refused"
