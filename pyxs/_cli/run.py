"""Runs one command line and reports its failure."""

import os
import warnings

from ..exceptions import PyXSError
from .console import CommandError, flush, reason, warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any, Callable

__all__ = ["end_by", "later", "on_store", "run"]


def run(args: "argparse.Namespace") -> int:
    """Run the subcommand of the arguments and return the exit status.

    It prints a failure, and what the library warns of, as one line on the standard error.
    """
    show = warnings.showwarning

    def show_plainly(message: "Any", category: "Any", *where: "Any", **options: "Any") -> None:
        if issubclass(category, RuntimeWarning):
            warn("{}: {}".format(args.title, message))
        else:
            show(message, category, *where, **options)

    try:
        warnings.showwarning = show_plainly
        try:
            status: int = args.run(args)
        finally:
            warnings.showwarning = show
            flush()
        return status
    except BrokenPipeError:
        return end_by("SIGPIPE")
    except (CommandError, PyXSError, OSError) as exc:
        warn("{}: {}".format(args.title, _message(exc)))
        return exc.status if isinstance(exc, CommandError) else 1


def _message(exc: Exception) -> str:
    """Return what failed, which is a node or a file where the exception has one, and why."""
    what, why = None, str(exc)
    if isinstance(exc, PyXSError):
        if exc.is_answer:
            what, why = exc.path, reason(exc)
    elif isinstance(exc, OSError):
        # Not exc.strerror: up to Python 3.7 the one of subprocess has the name too.
        what, why = exc.filename, os.strerror(exc.errno) if exc.errno else str(exc)
    return why if what is None else "{}: {}".format(what, why)


def end_by(name: str) -> int:
    """Kill this process by a signal, so that its parent learns which signal ended it.

    :param name: such as ``"SIGPIPE"``.
    """
    import signal

    number = signal.Signals[name]
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    return 128 + number


def later(module: str, function: str) -> "Callable[..., Any]":
    """Return a function that imports a module of this package and calls a function of it."""

    def call(*args: "Any") -> "Any":
        imported = __import__(__package__ + "." + module, fromlist=[function])
        return getattr(imported, function)(*args)

    return call


def on_store(module: str, function: str) -> "Callable[[argparse.Namespace], int]":
    """Return a function that connects a client and calls a subcommand's function with it.

    That may return an exit status; ``None`` is success.
    """
    command = later(module, function)

    def run_on_store(args: "argparse.Namespace") -> int:
        shared = getattr(args, "client", None)  # set by the shell
        if shared is not None:
            return command(shared, args) or 0
        if getattr(args, "within", None) is not None:
            status: int = later("limit", "within")(connected, args)
            return status
        return connected(args)

    def connected(args: "argparse.Namespace") -> int:
        client = later("store", "connected_client")(args)
        try:
            return command(client, args) or 0
        finally:
            client.close()

    return run_on_store
