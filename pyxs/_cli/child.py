"""Starts the command that a subcommand runs, and forwards signals to it."""

import contextlib
import os
import signal
import subprocess
from types import FrameType

from .console import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, Optional

__all__ = ["SignalForwarder", "exit_status", "start"]

_FROM_KEYBOARD = frozenset((signal.SIGINT, signal.SIGQUIT))
_FORWARDED = _FROM_KEYBOARD.union(
    (signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2),
)


def start(
    command: "List[str]", socket_path: str, tools: "Optional[str]" = None
) -> "subprocess.Popen[Any]":
    """Start a command whose ``$XENSTORED_PATH`` is *socket_path*.

    :param tools: a directory to put first on ``$PATH``.
    :raises CommandError: it cannot be started; as in a shell, the exit status is 127 if there is
        no such command, and 126 if it cannot be executed.
    """
    environ = dict(os.environ, XENSTORED_PATH=socket_path)
    if tools is not None:
        environ["PATH"] = tools + os.pathsep + environ.get("PATH", os.defpath)
    try:
        return subprocess.Popen(command, env=environ)
    except OSError as exc:
        raise CommandError(
            # Not exc.strerror: up to Python 3.7 it has the name too.
            "{}: {}".format(command[0], os.strerror(exc.errno or 0)),
            status=127 if isinstance(exc, FileNotFoundError) else 126,
        ) from exc


def exit_status(returncode: int) -> int:
    """Return the exit status that a shell has for a command: 128 plus the signal that ended it.

    :param returncode: that of ``Popen``, which has the negative of the signal.
    """
    return returncode if returncode >= 0 else 128 - returncode


class SignalForwarder:
    """Forwards signals to a child process; signals that come before it exists are kept for it.

    :param when_ended: called by a signal that comes after the child has ended.
    """

    def __init__(self, when_ended: "Callable[[], None]" = lambda: None) -> None:
        self._child: Optional[subprocess.Popen[Any]] = None
        self._when_ended = when_ended
        self._early: List[int] = []
        self._previous: Dict[int, Any] = {}

    def __enter__(self) -> "SignalForwarder":
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
        if self._child.returncode is not None:
            self._when_ended()
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
