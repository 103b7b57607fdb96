"""Standard input, output and error of the command, and its error class."""

import os
import sys
import time

from ..exceptions import ConnectionError, PyXSError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Optional, TextIO

__all__ = [
    "CommandError",
    "Progress",
    "about",
    "colour",
    "flush",
    "on_terminal",
    "reason",
    "show",
    "shows_utf8",
    "take",
    "warn",
]


class Progress:
    """Shows a count on the standard error while a long output goes to a file or a pipe.

    :param what: the noun for the things counted, in the plural.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._count = 0
        self._visible = False
        self._next = time.monotonic() + 1  # when to show the count
        self._wanted = _is_terminal(sys.stderr) and not _is_terminal(sys.stdout)

    def step(self) -> None:
        """Add one to the count, and show it from time to time."""
        self._count += 1
        if self._wanted and self._count % 100 == 0 and time.monotonic() >= self._next:
            self._next = time.monotonic() + 0.2
            self._visible = True
            self._print("{:,} {}".format(self._count, self._what))

    def end(self) -> None:
        """Remove the line with the count."""
        if self._visible:
            self._print("")

    @staticmethod
    def _print(text: str) -> None:
        _say("\r\x1b[K" + text)  # erases the line first


def _is_terminal(stream: "Optional[TextIO]") -> bool:
    return stream is not None and stream.isatty()


def colour(when: str) -> bool:
    """Return whether the standard output gets colours.

    :param when: ``always``, ``never``, or ``auto``: on a terminal, unless ``$NO_COLOR`` is set.
    """
    if when != "auto":
        return when == "always"
    environ = os.environ
    return on_terminal() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def on_terminal() -> bool:
    """Return whether the standard output is a terminal."""
    return _is_terminal(sys.stdout)


def shows_utf8() -> bool:
    """Return whether the standard output is a terminal that shows UTF-8."""
    return on_terminal() and sys.stdout.encoding.lower().replace("-", "") == "utf8"


def reason(exc: "PyXSError") -> str:
    """Return why a request was refused, without the path in it."""
    if exc.is_answer:
        return "{}{}".format(exc.strerror, "" if exc.why is None else "; " + exc.why)
    text, path = str(exc), repr(exc.path) + ": "
    return text[len(path) :] if text.startswith(path) else text


class CommandError(Exception):
    """A subcommand failed.

    :param message: one line that says what failed and why.
    :param status: the exit status.
    """

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


class about:  # noqa: N801  # importing contextlib takes a command too long
    """A context that turns a refused request into a ``CommandError``.

    :param what: the begin of the message. Programs look for what the C programs print, so it
        is the same; the reason follows.
    """

    def __init__(self, what: str) -> None:
        self.what = what

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, exc: "Optional[BaseException]", _traceback: object) -> None:
        if isinstance(exc, PyXSError) and not isinstance(exc, ConnectionError):
            raise CommandError("{}: {}".format(self.what, reason(exc))) from exc


def show(data: bytes) -> None:
    """Write to the standard output, if there is one.

    :raises CommandError: it cannot be written.
    """
    if sys.stdout is not None and data:
        _put(lambda: _write_all(data))


def _write_all(data: bytes) -> None:
    left = memoryview(data)
    while left:
        # Where Python does not buffer (PYTHONUNBUFFERED), it may write less.
        left = left[sys.stdout.buffer.write(left) :]


def flush() -> None:
    """Flush the standard output, if there is one.

    :raises CommandError: it cannot be written.
    """
    if sys.stdout is not None:
        _put(sys.stdout.flush)


def take() -> bytes:
    """Return the whole standard input.

    :raises CommandError: it is closed or cannot be read.
    """
    if sys.stdin is None:
        raise CommandError("standard input: it is closed")
    try:
        return sys.stdin.buffer.read()
    except OSError as exc:
        raise CommandError("standard input: {}".format(exc.strerror)) from exc


def warn(message: str) -> None:
    """Write a line to the standard error, if there is one."""
    if sys.stderr is not None:
        _say(message + "\n")


def _say(text: str) -> None:
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError:
        pass  # there is nowhere to say so


def _put(write: "Callable[[], object]") -> None:
    try:
        write()
    except BrokenPipeError:
        raise  # the reading program has ended; run() ends the command without a message
    except OSError as exc:
        # Python would try to write the rest of the buffer once more on exit, and fail again.
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), sys.stdout.fileno())
        raise CommandError("standard output: {}".format(exc.strerror)) from exc
