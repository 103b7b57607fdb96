"""What the command says, and how it fails."""

import contextlib
import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, Optional, TextIO

__all__ = ["CommandError", "Progress", "flush", "show", "take", "warn"]


class Progress:
    """Counts what takes long, in a line on a terminal that shows nothing else meanwhile.

    :param what: what is counted.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._count = 0
        self._visible = False
        self._next = time.monotonic() + 1  # when to show the count
        self._wanted = _is_terminal(sys.stderr) and not _is_terminal(sys.stdout)

    def step(self) -> None:
        """Count one more."""
        self._count += 1
        if self._wanted and self._count % 100 == 0 and time.monotonic() >= self._next:
            self._next = time.monotonic() + 0.2
            self._visible = True
            self._print("{:,} {}".format(self._count, self._what))

    def end(self) -> None:
        """Remove the line."""
        if self._visible:
            self._print("")

    @staticmethod
    def _print(text: str) -> None:
        with contextlib.suppress(OSError):
            sys.stderr.write("\r\x1b[K" + text)  # erases what the line had
            sys.stderr.flush()


def _is_terminal(stream: "Optional[TextIO]") -> bool:
    return stream is not None and stream.isatty()


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


def take() -> bytes:
    """Return all that the standard input has to give."""
    if sys.stdin is None:
        raise CommandError("standard input: is closed")
    try:
        return sys.stdin.buffer.read()
    except OSError as exc:
        raise CommandError("standard input: {}".format(exc.strerror)) from exc


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
