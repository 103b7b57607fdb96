"""Open files, and what becomes of them in a forked child."""

import os
import socket
import weakref

from ..exceptions import PyXSError
from .failures import raised_by_handler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List, Optional, Tuple

_open: "weakref.WeakValueDictionary[int, Descriptor]" = weakref.WeakValueDictionary()
_forgotten: "List[Any]" = []


class Descriptor:
    """An open file, which is closed when nobody refers to this object any more.

    Nobody closes it earlier. So the number stays that of this file for a thread that is about
    to shut it down while another leaves it.

    :param file: has ``fileno`` and ``close``.
    """

    __slots__ = ("__weakref__", "_identity", "_pid", "file")

    file: "Any"  #: the open file

    def __init__(self, file: "Any") -> None:
        self._pid = os.getpid()
        self._identity = _identity(file.fileno())
        self.file = file
        _open[id(self)] = self

    def shut_down(self) -> None:
        """End the calls on it in other threads, if it is a socket."""
        if not hasattr(self.file, "shutdown"):
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


def _close_inherited() -> None:
    """Close, in a forked child, what the parent had open; nothing is sent or shut down.

    At once, because a daemon closes all descriptors and opens files under the same numbers.
    """
    for descriptor in list(_open.values()):
        file, descriptor.file = descriptor.file, None
        if file is not None:
            file.close()
    _open.clear()


if hasattr(os, "register_at_fork"):  # from Python 3.7 on; before, __del__ looks
    os.register_at_fork(after_in_child=_close_inherited)
