"""Every exception of pyxs."""

import builtins

from ._annotations import t

__all__ = [
    "Conflict",
    "ConnectionError",
    "InvalidOperation",
    "InvalidPath",
    "InvalidPayload",
    "InvalidPermission",
    "NodeNotFound",
    "PermissionDenied",
    "PyXSError",
    "QuotaExceeded",
    "UnexpectedPacket",
]


class PyXSError(Exception):
    """The base of all exceptions of pyxs, and itself an error that the daemon answered.

    An answer has ``args == (errno, strerror)``, and its text names the node:
    ``[Errno 2] No such file or directory: '/missing'``. :exc:`NodeNotFound`,
    :exc:`PermissionDenied`, :exc:`Conflict` and :exc:`QuotaExceeded` are the answers that
    programs handle most often. The exceptions of the other subclasses carry one message, and
    their :attr:`errno` is ``None``. A missing socket is therefore never mistaken for a missing
    node.

    :param path: the path in the request, if it has one.
    :param why: what the answer means here, or why pyxs refused the request.
    """

    errno: "t.Optional[int]"  #: the number of the daemon's answer in :mod:`errno`, or ``None``
    strerror: "t.Optional[str]"  #: the daemon's answer in words, or the message
    path: "t.Optional[str]"  #: the path in the request, or ``None``
    why: "t.Optional[str]"  #: what the answer means here, or why pyxs refused the request

    def __init__(
        self, *args: "t.Any", path: "t.Optional[str]" = None, why: "t.Optional[str]" = None
    ) -> None:
        super().__init__(*args)
        self.errno = args[0] if len(args) == 2 else None
        self.strerror = str(args[-1]) if args else None
        self.path = path
        self.why = why

    @property
    def is_answer(self) -> bool:
        """Whether this is the daemon's answer to one request, so the connection is still good.

        It is also true for errors that pyxs raises in the daemon's place, such as
        ``EALREADY``.
        """
        return self.errno is not None

    def __str__(self) -> str:
        """Return the daemon's answer with its number and the path, or the message."""
        if self.errno is None:
            return self.strerror or ""
        text = "[Errno {}] {}".format(self.errno, self.strerror)
        if self.path is not None:
            text += ": {!r}".format(self.path)
        return text if self.why is None else "{}; {}".format(text, self.why)

    def __repr__(self) -> str:
        """Return the type and the arguments, with the path of an answer."""
        name = type(self).__name__
        if self.errno is None or self.path is None:
            return "{}({})".format(name, ", ".join(map(repr, self.args)))
        return "{}({!r}, {!r}, path={!r})".format(name, self.errno, self.strerror, self.path)


class NodeNotFound(PyXSError, KeyError):
    """``ENOENT``: there is no such node. It is a ``KeyError`` too, as ``client[path]`` raises it.

    ``ENOENT`` about a domain or a watch is a plain :exc:`PyXSError`. Only for
    :meth:`Client.set_permissions` the answer does not tell whether the node is missing or the
    domain that is to own it.
    """


class PermissionDenied(PyXSError, builtins.PermissionError):
    """``EACCES`` or ``EPERM``: this domain may not do that. It is a ``PermissionError`` too."""


class Conflict(PyXSError):
    """``EAGAIN``: another client changed a node that the transaction used; start over.

    :meth:`Client.run_transaction` does.
    """


class QuotaExceeded(PyXSError):
    """``ENOSPC``, and for some requests ``E2BIG``, ``EBUSY`` or ``EQUOTA``: over a quota."""


class InvalidOperation(PyXSError, ValueError):
    """The operation is not in :class:`~pyxs.connection.Op`, or needs its own method.

    :param operation: the value that was given.
    :param message: the text; by default *operation*.
    """

    operation: "t.Any"  #: the value that was given

    def __init__(self, operation: "t.Any", message: "t.Optional[str]" = None) -> None:
        super().__init__(str(operation) if message is None else message)
        self.operation = operation


class InvalidPayload(PyXSError, ValueError):
    """An argument breaks a rule of the protocol; nothing was sent.

    :param value: the value that was given.
    :param message: the text; by default *value*.
    """

    value: "t.Any"  #: the value that was given

    def __init__(self, value: "t.Any", message: "t.Optional[str]" = None) -> None:
        super().__init__(str(value) if message is None else message)
        self.value = value


class InvalidPath(PyXSError, ValueError):
    """A path breaks a rule of *xenstore.txt*; nothing was sent.

    :param path: the value that was given.
    :param message: the text; by default *path*.
    """

    path: "t.Any"  #: the value that was given

    def __init__(self, path: "t.Any", message: "t.Optional[str]" = None) -> None:
        super().__init__(str(path) if message is None else message)
        self.path = path


class InvalidPermission(PyXSError, ValueError):
    """A permission is not one of ``w``, ``r``, ``b``, ``n`` and a domid; nothing was sent.

    :param perm: the value that was given.
    :param message: the text; by default *perm*.
    """

    perm: "t.Any"  #: the value that was given

    def __init__(self, perm: "t.Any", message: "t.Optional[str]" = None) -> None:
        super().__init__(str(perm) if message is None else message)
        self.perm = perm


class ConnectionError(PyXSError, builtins.ConnectionError):
    """Connecting failed, or the connection is lost, timed out or closed.

    It is also a built-in ``ConnectionError``. Its message names the path and the cause.
    """


class UnexpectedPacket(ConnectionError):
    """The daemon broke the protocol, and pyxs closed the connection."""
