"""Open files, and what becomes of them in a forked child."""

import os
import socket
import weakref

from ..exceptions import PyXSError
from .failures import raised_by_handler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Tuple

_inherited: "weakref.WeakValueDictionary[int, Any]" = weakref.WeakValueDictionary()
_forgotten: "List[Any]" = []


def begin_anew_in_children(thing: "Any") -> None:
    """Let a forked child call the method ``forked()`` of an object, before its first thread."""
    _inherited[id(thing)] = thing


class Descriptor:
    """An open file, which is closed at the latest when nobody refers to this object any more.

    While one thread shuts it down, no other closes it: its number could be another file's then.

    :param file: has ``fileno`` and ``close``.
    """

    __slots__ = ("__weakref__", "_identity", "_pid", "_right", "file")

    file: "Any"  #: the open file

    def __init__(self, file: "Any") -> None:
        self._pid = os.getpid()
        self._identity = _identity(file.fileno())
        self._right: Dict[str, bool] = {"to end it": True}  # who takes it out may end the file
        self.file = file
        begin_anew_in_children(self)

    def close(self) -> None:
        """Close it, unless another thread is shutting it down."""
        if self._right.pop("to end it", False):
            self.file.close()
            self.file = None

    def shut_down(self) -> None:
        """End the calls on it in other threads, if it is a socket."""
        if not (hasattr(self.file, "shutdown") and self._right.pop("to end it", False)):
            return
        try:
            self.file.shutdown(socket.SHUT_RDWR)
        except OSError as exc:
            if isinstance(exc, PyXSError) or raised_by_handler(exc):
                raise  # otherwise the daemon has closed the connection already

    def __del__(self) -> None:
        file = getattr(self, "file", None)
        if file is None:
            return
        if self._pid == os.getpid() or self._identity == _identity(file.fileno()):
            file.close()
        else:
            _forget(file)

    def forked(self) -> None:
        """Close it in a forked child; nothing is sent or shut down.

        At once, because a daemon closes all descriptors and opens files under the same numbers.
        """
        file, self.file = self.file, None
        try:
            if file is not None:
                file.close()
        except Exception:  # noqa: S110 - the other files have to be closed, too
            pass


def _identity(number: int) -> "Optional[Tuple[int, int]]":
    """Return what distinguishes a file from all others; ``None``: there is none."""
    try:
        found = os.fstat(number)
    except OSError as exc:
        if raised_by_handler(exc):
            raise
        return None
    return found.st_dev, found.st_ino


def _forget(file: "Any") -> None:
    """Give up an inherited file without closing its number, which is another file's by now."""
    if hasattr(file, "detach"):
        file.detach()
    else:
        _forgotten.append(file)  # it would close the number when it is freed


def _begin_anew() -> None:
    for thing in list(_inherited.values()):
        thing.forked()


if hasattr(os, "register_at_fork"):  # from Python 3.7 on; before, each call looks at the pid
    os.register_at_fork(after_in_child=_begin_anew)
