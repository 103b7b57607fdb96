"""What the command says, and how it fails."""

import contextlib
import os
import sys
from typing import Iterator

__all__ = ["CommandError", "flush", "show", "warn"]


class CommandError(Exception):
    """A command cannot be done; the message says in one line what and why.

    :param status: the exit status.
    """

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


def show(data: bytes) -> None:
    """Write to the standard output, if there is one."""
    if sys.stdout is not None:
        with _output_errors():
            sys.stdout.buffer.write(data)


def flush() -> None:
    """See to it that everything shown is out."""
    if sys.stdout is not None:
        with _output_errors():
            sys.stdout.flush()


def warn(message: str) -> None:
    """Write a line to the standard error, if there is one."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            print(message, file=sys.stderr, flush=True)


@contextlib.contextmanager
def _output_errors() -> "Iterator[None]":
    try:
        yield
    except BrokenPipeError:
        raise  # the reader has enough: no error, but the end
    except OSError as exc:
        # What could not be written stays in a buffer, and Python would fail with it
        # once more when it exits.
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), sys.stdout.fileno())
        raise CommandError("standard output: {}".format(exc.strerror)) from exc
