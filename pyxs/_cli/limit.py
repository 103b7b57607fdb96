"""``pyxs --timeout``: a limit for the time that a subcommand takes."""

import argparse
import signal

from .console import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

__all__ = ["within"]

_TIMED_OUT = 124  # the exit status of timeout(1)
_AGAIN = 0.1  # seconds; Python may drop an exception that comes in a finalizer


def within(run: "Callable[[argparse.Namespace], int]", args: argparse.Namespace) -> int:
    """Return ``run(args)``, with a time limit for it, connecting included.

    :raises CommandError: the time has passed.
    """

    def late(*_: "Any") -> None:
        raise CommandError(
            "timed out after {:g} seconds".format(args.within),
            status=_TIMED_OUT if args.subcommand == "wait" else 1,
        )

    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, args.within, _AGAIN)
    try:
        return run(args)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
