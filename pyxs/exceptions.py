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

    A plain one has ``args == (errno, strerror)``, and its text names the node:
    ``[Errno 2] No such file or directory: '/missing'``. The subclasses carry one
    message, and their :attr:`errno` is ``None``: a missing socket is never
    taken for a missing node.

    :param path: the node that was asked for, if the request names one.
    :param why: why pyxs refused it, if the daemon was not asked.
    """

    errno: "Optional[int]"  #: the daemon's answer as a number from :mod:`errno`, else ``None``
    strerror: "Optional[str]"  #: the daemon's answer in words, else the message
    path: "Optional[str]"  #: the node that was asked for, as the request named it, or ``None``
    why: "Optional[str]"  #: why pyxs refused it, or ``None``: then the daemon did

    def __init__(
        self, *args: Any, path: "Optional[str]" = None, why: "Optional[str]" = None
    ) -> None:
        super().__init__(*args)
        self.errno = args[0] if len(args) == 2 else None
        self.strerror = str(args[-1]) if args else None
        self.path = path
        self.why = why

    @property
    def is_answer(self) -> bool:
        """Whether it is the daemon's answer to one request.

        That includes what pyxs answers in the daemon's place, such as ``EALREADY``. Such an
        exception has an :attr:`errno`, and the connection goes on.
        """
        return self.errno is not None

    def __str__(self) -> str:
        """Return the daemon's answer with its number and the node, or the message."""
        if self.errno is None:
            return self.strerror or ""
        text = "[Errno {}] {}".format(self.errno, self.strerror)
        if self.path is not None:
            text += ": {!r}".format(self.path)
        return text if self.why is None else "{}; {}".format(text, self.why)


class InvalidOperation(PyXSError, ValueError):
    """The operation is not in :class:`~pyxs.connection.Op`, or has a method of its own.

    :param operation: what was given.
    :param message: which rule it breaks; by default *operation* alone.
    """

    operation: Any  #: what was given

    def __init__(self, operation: Any, message: "Optional[str]" = None) -> None:
        super().__init__(str(operation) if message is None else message)
        self.operation = operation


class InvalidPayload(PyXSError, ValueError):
    """An argument breaks a rule of the protocol; nothing was sent.

    :param value: what was given.
    :param message: which rule it breaks; by default *value* alone.
    """

    value: Any  #: what was given

    def __init__(self, value: Any, message: "Optional[str]" = None) -> None:
        super().__init__(str(value) if message is None else message)
        self.value = value


class InvalidPath(PyXSError, ValueError):
    """A path breaks a rule of *xenstore.txt*; nothing was sent.

    :param path: what was given.
    :param message: which rule it breaks; by default *path* alone.
    """

    path: Any  #: what was given

    def __init__(self, path: Any, message: "Optional[str]" = None) -> None:
        super().__init__(str(path) if message is None else message)
        self.path = path


class InvalidPermission(PyXSError, ValueError):
    """A permission is not a letter of ``wrbn`` and a domid; nothing was sent.

    :param perm: what was given.
    :param message: which rule it breaks; by default *perm* alone.
    """

    perm: Any  #: what was given

    def __init__(self, perm: Any, message: "Optional[str]" = None) -> None:
        super().__init__(str(perm) if message is None else message)
        self.perm = perm


class ConnectionError(PyXSError, builtins.ConnectionError):
    """Connecting failed, or the connection is lost, timed out or closed.

    It is the built-in ``ConnectionError`` too, and names the path and the cause.
    """


class UnexpectedPacket(ConnectionError):
    """The daemon broke the protocol; its stream is not trusted any more and closed."""
