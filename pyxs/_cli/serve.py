"""``pyxs serve`` and ``pyxs run``: the in-memory daemon as a command."""

import argparse
import contextlib
import os
import signal

from .._records import load_file
from ..xenstored import XenStored
from .child import SignalForwarder, exit_status, start
from .console import flush, show
from .guests import with_guests
from .tools import tools

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterable, Optional

__all__ = ["run", "serve"]


def serve(args: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM, or until the terminal is closed."""
    snapshot = _snapshot(args.load, (domid for domid, _path in args.domid))
    ends = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as nohup has it
        ends.append(signal.SIGHUP)
    # sigwait() needs them blocked. This comes before the daemon's thread starts, which would
    # otherwise get them.
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    try:
        with XenStored(args.socket, snapshot, args.like) as daemon:
            for domid, path in args.domid:
                daemon.socket_for(domid, path)
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
    snapshot = _snapshot(args.load, [args.domid] if args.domid else [])
    with contextlib.ExitStack() as ends:
        forwarder = ends.enter_context(SignalForwarder())
        daemon = ends.enter_context(XenStored(None, snapshot, args.like))
        directory = ends.enter_context(tools()) if args.tools else None
        path = daemon.socket_for(args.domid) if args.domid else daemon.path
        child = start(args.command, path, directory)
        forwarder.attach(child)
        returncode = child.wait()
    return exit_status(returncode)


def _snapshot(file: "Optional[str]", domids: "Iterable[int]") -> "Dict[str, Any]":
    return with_guests({} if file is None else load_file(file), domids)
