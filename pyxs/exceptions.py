"""Every exception of pyxs."""

import builtins
from typing import Any, Optional

__all__ = [
    "ConnectionError",
    "InvalidOperation",
    "InvalidPath",
    "InvalidPayload",
    "InvalidPermission",
    "PyXSError",
    "UnexpectedPacket",
]


class PyXSError(Exception):
    """Base of all exceptions of pyxs; a plain one is what the daemon answered.

    A plain one has ``args == (errno, strerror)``. The subclasses carry one
    message, and their :attr:`errno` is ``None``: a missing socket is never
    taken for a missing node.
    """

    errno: "Optional[int]"  #: the daemon's answer as a number from :mod:`errno`, else ``None``
    strerror: "Optional[str]"  #: the daemon's answer in words, else the message

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.errno = args[0] if len(args) == 2 else None
        self.strerror = str(args[-1]) if args else None

    def __str__(self) -> str:
        if self.errno is None:
            return self.strerror or ""
        return "[Errno {}] {}".format(self.errno, self.strerror)


class InvalidOperation(PyXSError, ValueError):
    """The operation is not in :class:`~pyxs.connection.Op`, or has a method of its own."""


class InvalidPayload(PyXSError, ValueError):
    """An argument breaks a rule of the protocol; nothing was sent."""


class InvalidPath(PyXSError, ValueError):
    """A path breaks a rule of *xenstore.txt*; nothing was sent."""


class InvalidPermission(PyXSError, ValueError):
    """A permission is not a letter of ``wrbn`` and a domid; nothing was sent."""


class ConnectionError(PyXSError, builtins.ConnectionError):
    """Connecting failed, or the connection is lost, timed out or closed.

    It is the built-in ``ConnectionError`` too, and names the path and the cause.
    """


class UnexpectedPacket(ConnectionError):
    """The daemon broke the protocol; its stream is not trusted any more and closed."""
