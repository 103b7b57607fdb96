"""``pyxs serve`` and ``pyxs run``: the in-memory daemon as a command."""

import argparse
import contextlib
import os
import signal
import subprocess
from types import FrameType

from .._records import load_file
from ..xenstored import XenStored
from .console import CommandError, flush, show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional

__all__ = ["run", "serve"]

_FROM_KEYBOARD = frozenset((signal.SIGINT, signal.SIGQUIT))
_FORWARDED = _FROM_KEYBOARD.union(
    (signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2),
)


def serve(args: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM, or until the terminal is closed."""
    snapshot = _snapshot(args.load)
    ends = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as nohup has it
        ends.append(signal.SIGHUP)
    # sigwait() needs them blocked. This comes before the daemon's thread starts, which would
    # otherwise get them.
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    try:
        with XenStored(args.socket, snapshot, args.like) as daemon:
            show(b"XENSTORED_PATH=" + os.fsencode(daemon.path) + b"\n")
            flush()
            signal.sigwait(ends)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ends)
    return 0


def run(args: argparse.Namespace) -> int:
    """Run a command with a new daemon and return the command's exit status.

    As in a shell, the status is 128 plus the number of a signal that ended the command, 127
    if there is no such command, and 126 if it cannot be executed.
    """
    snapshot = _snapshot(args.load)
    with _Forwarder() as forwarder, XenStored(None, snapshot, args.like) as daemon:
        try:
            child = subprocess.Popen(args.command, env=dict(os.environ, XENSTORED_PATH=daemon.path))
        except OSError as exc:
            raise CommandError(
                # Not exc.strerror: up to Python 3.7 it has the name too.
                "{}: {}".format(args.command[0], os.strerror(exc.errno or 0)),
                status=127 if isinstance(exc, FileNotFoundError) else 126,
            ) from exc
        forwarder.attach(child)
        status = child.wait()
    return status if status >= 0 else 128 - status


def _snapshot(file: "Optional[str]") -> "Optional[Dict[str, Any]]":
    return None if file is None else load_file(file)


class _Forwarder:
    """Forwards signals to a child process; signals that come before it exists are kept for it."""

    def __init__(self) -> None:
        self._child: Optional[subprocess.Popen[Any]] = None
        self._early: List[int] = []
        self._previous: Dict[int, Any] = {}

    def __enter__(self) -> "_Forwarder":
        for number in _FORWARDED:
            # An ignored signal stays ignored, in the child too: nohup relies on it.
            if signal.getsignal(number) != signal.SIG_IGN:
                self._previous[number] = signal.signal(number, self._forward)
        return self

    def __exit__(self, *exc_info: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def attach(self, child: "subprocess.Popen[Any]") -> None:
        self._child = child
        for number in self._early:
            self._forward(number, None)

    def _forward(self, number: int, _frame: "Optional[FrameType]") -> None:
        if self._child is None:
            self._early.append(number)
            return
        # The terminal has sent it to the child too, if both are in the foreground.
        if number in _FROM_KEYBOARD and _in_foreground():
            return
        with contextlib.suppress(ProcessLookupError):
            self._child.send_signal(number)


def _in_foreground() -> bool:
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
