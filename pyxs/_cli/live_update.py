"""``pyxs control live-update``: another program takes over as the daemon, with its state.

It takes several CONTROL requests, the same ones that ``xenstore-control`` sends.
"""

import argparse
import contextlib
import time

from ..client import Client
from ..exceptions import PyXSError
from .arguments import SubcommandParser, count
from .console import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Sequence

__all__ = ["live_update"]


def live_update(client: Client, words: "Sequence[str]") -> None:
    """Replace the daemon.

    :param words: the arguments after ``live-update``.
    :raises CommandError: the daemon refuses, and goes on as it was.
    """
    args = _parser().parse_args(words)
    if client.read("/tool/xenstored/domid", default="0") != "0":
        raise CommandError("live-update: xenstored is in another domain; use xenstore-control")
    _step(client, "-f", args.file)
    try:
        if args.cmdline is not None:
            _step(client, "-c", args.cmdline)
        _start(client, args.timeout, ["-s", "-t", str(args.timeout)] + ["-F"] * args.force)
    except CommandError:
        with contextlib.suppress(PyXSError):
            client.control("live-update", "-a")
        raise


def _parser() -> argparse.ArgumentParser:
    parser = SubcommandParser(
        prog="pyxs control live-update",
        description="Have another program take over as the daemon, without losing anything.",
    )
    parser.add_argument("-c", dest="cmdline", metavar="CMDLINE", help="the arguments it gets")
    parser.add_argument(
        "-F", dest="force", action="store_true", help="also when transactions do not end in time"
    )
    parser.add_argument(
        "-t",
        dest="timeout",
        metavar="SECONDS",
        type=count,
        default=60,
        help="how long to wait for transactions to end; 60 by default",
    )
    parser.add_argument("file", metavar="FILE", help="the program")
    return parser


def _start(client: Client, timeout: int, words: "Sequence[str]") -> None:
    """Ask again each second while transactions keep the daemon busy."""
    deadline = time.monotonic() + timeout
    answer = _answer(client, *words)
    while answer == "BUSY" and time.monotonic() < deadline:
        time.sleep(1)
        answer = _answer(client, *words)
    _expect_ok(answer)


def _step(client: Client, *words: str) -> None:
    _expect_ok(_answer(client, *words))


def _expect_ok(answer: str) -> None:
    if answer != "OK":
        raise CommandError("live-update: {}".format(answer))


def _answer(client: Client, *words: str) -> str:
    try:
        return client.control("live-update", *words)
    except PyXSError as exc:
        if not exc.is_answer:
            raise
        return exc.strerror or "refused"
