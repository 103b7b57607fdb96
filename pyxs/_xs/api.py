"""``xen.lowlevel.xs`` in Python: :class:`xs`, :exc:`Error`.

The C extension of Xen 4.17, built for Python 3, is the specification of the methods, their
arguments and results, and the order in which they check for errors.
``docs/xs-differences.csv`` lists the intended differences.
"""

import errno
import functools
import os
from typing import Any, Callable, Dict, List, NoReturn, Optional, Tuple, TypeVar, Union, cast

from .._wire.packets import Op
from .._wire.replies import decode_ack, decode_string
from ..helpers import why_refused
from .arguments import (
    UINT32_MASK,
    UINT64_MASK,
    Error,
    data_argument,
    decode_permission_dicts,
    domid_argument,
    int_argument,
    long_argument,
    make_error,
    path_argument,
    permissions_argument,
    text_argument,
    transaction_argument,
)
from .handle import Handle, open_handle

__all__ = ["Error", "xs"]

T = TypeVar("T")
_Method = TypeVar("_Method", bound=Callable[..., Any])

Transaction = Union[str, int, None]


def _positional(method: _Method) -> _Method:
    """Accept positional arguments only, and check that the object is open before them."""

    @functools.wraps(method)
    def checked(self: "xs", *args: Any) -> Any:
        if not self._handles:
            raise make_error(errno.EINVAL)
        return method(self, *args)

    return cast(_Method, checked)


def _by_name_too(method: _Method) -> _Method:
    """Accept arguments by position and by name, and check that the object is open before them."""

    @functools.wraps(method)
    def checked(self: "xs", *args: Any, **kwargs: Any) -> Any:
        if not self._handles:
            raise make_error(errno.EINVAL)
        return method(self, *args, **kwargs)

    return cast(_Method, checked)


class xs:
    """A connection to the XenStore daemon, as ``xen.lowlevel.xs.xs``.

    It connects at once: to ``$XENSTORED_PATH``, a socket or a device; else to the socket,
    ``$XENSTORED_RUNDIR/socket`` or ``/var/run/xenstored/socket``; else to the XenBus
    device. It does not reconnect, except in a forked child. The child gets its own connection
    at its first call. The watches and transactions stay with the parent, and
    :meth:`read_watch` raises ``EINVAL`` until the child watches something.

    Many threads may use one object. Only :meth:`transaction_end` accepts arguments by name.
    Every method raises :exc:`Error`: ``EINVAL`` after :meth:`close`, ``EPIPE`` or ``EBADF``
    when the connection is lost, ``E2BIG`` for a request over 4096 bytes, otherwise the
    daemon's answer. The daemon, not pyxs, refuses malformed paths.

    A *transaction* is a handle from :meth:`transaction_start`; ``""``, ``"0"``, ``0`` and
    ``None`` mean no transaction.

    :param readonly: accepted for compatibility; it has no effect.
    :raises Error: the errno of connecting to the daemon.
    """

    __slots__ = ("_handles",)

    #: By process id; empty after :meth:`close`. A forked child abandons its parent's handle.
    _handles: "Dict[int, Handle]"

    def __new__(cls, *args: Any, **kwargs: Any) -> "xs":  # noqa: ARG004
        self = super().__new__(cls)
        self._handles = {}
        return self

    def __init__(self, readonly: int = 0) -> None:
        int_argument(readonly)
        handle = open_handle()
        self._shut()
        self._handles[os.getpid()] = handle

    def __reduce_ex__(self, protocol: Any) -> "NoReturn":
        """Raise ``TypeError``: an ``xs`` cannot be copied or pickled."""
        raise TypeError("an xs cannot be copied or pickled: make one in each process")

    def _live(self) -> Handle:
        """Return the handle of this process."""
        handle = self._handles.get(os.getpid())
        return self._adopt() if handle is None else handle

    def _adopt(self) -> Handle:
        """Reconnect in a forked child.

        This takes no lock, because another thread may have held it when the process forked.
        """
        inherited = list(self._handles.items())
        if not inherited:
            raise make_error(errno.EINVAL)
        mine = inherited[-1][1].child()
        handle = self._handles.setdefault(os.getpid(), mine)
        if handle is not mine:  # another thread has adopted first
            mine.close()
        for pid, _ in inherited:
            if pid != os.getpid():
                self._handles.pop(pid, None)
        return handle

    def _shut(self) -> None:
        for pid, handle in list(self._handles.items()):
            if pid == os.getpid():
                handle.close()
            self._handles.pop(pid, None)

    # -- nodes -------------------------------------------------------------------------

    @_positional
    def read(self, transaction: Transaction, path: str) -> "Optional[bytes]":
        """Return the value of a node as ``bytes``, or ``None`` if there is no such node."""
        tx_id, payload = transaction_argument(transaction), path_argument(path)
        return self._live().find(bytes, Op.READ, payload, tx_id)

    @_positional
    def write(self, transaction: Transaction, path: str, data: "Union[str, bytes]") -> None:
        """Store *data* in a node; create the node and its ancestors if they do not exist."""
        tx_id, payload = (
            transaction_argument(transaction),
            path_argument(path) + data_argument(data),
        )
        self._live().ask(decode_ack, Op.WRITE, payload, tx_id)

    @_positional
    def ls(self, transaction: Transaction, path: str) -> "Optional[List[str]]":
        """Return the names of a node's children, or ``None`` if there is no such node."""
        tx_id, payload = transaction_argument(transaction), path_argument(path)
        return self._live().names(payload, tx_id)

    @_positional
    def mkdir(self, transaction: Transaction, path: str) -> None:
        """Create a node with an empty value, and its ancestors; an existing node stays."""
        tx_id, payload = transaction_argument(transaction), path_argument(path)
        self._live().ask(decode_ack, Op.MKDIR, payload, tx_id)

    @_positional
    def rm(self, transaction: Transaction, path: str) -> None:
        """Remove a node and all nodes below it; a node that does not exist is no error.

        :raises Error: ``EINVAL`` the path is ``/``; nothing was sent.
        """
        tx_id, payload = transaction_argument(transaction), path_argument(path)
        if why_refused("RM", payload[:-1]):
            raise make_error(errno.EINVAL)
        self._live().find(decode_ack, Op.RM, payload, tx_id)

    @_positional
    def get_permissions(self, transaction: Transaction, path: str) -> "List[Dict[str, int]]":
        """Return the permissions of a node, its owner's entry first.

        :returns: dicts with the keys ``dom``, a domid; ``read``, 0 or 1; ``write``, 0 or 2.
        """
        tx_id, payload = transaction_argument(transaction), path_argument(path)
        return self._live().ask(decode_permission_dicts, Op.GET_PERMS, payload, tx_id)

    @_positional
    def set_permissions(
        self, transaction: Transaction, path: str, perms: "List[Dict[str, int]]"
    ) -> None:
        """Replace the permissions of a node.

        :param perms: dicts with the key ``dom``, and ``read`` and ``write`` if granted. The
            first names the owner. If the first grants something to a domain other than 0,
            domain 0 becomes the owner, and the entry the second (*xs.c*).
        :raises Error: ``EINVAL`` an entry has domid 32757 (``DOMID_ANY``), or *path* begins
            with ``@`` and is neither ``@introduceDomain`` nor ``@releaseDomain``; nothing was
            sent, because either could end the daemon.
        """
        tx_id, node, entries = (
            transaction_argument(transaction),
            text_argument(path, 2),
            permissions_argument(perms),
        )
        if why_refused("SET_PERMS", node):
            raise make_error(errno.EINVAL)
        self._live().ask(decode_ack, Op.SET_PERMS, node + b"\0" + entries, tx_id)

    # -- watches -----------------------------------------------------------------------

    @_positional
    def watch(self, path: str, token: Any) -> None:
        """Watch a node and all nodes below it; the daemon sends an event at once.

        :param token: any object; each event of the watch carries this same object.
        """
        self._live().watch(text_argument(path, 1), token)

    @_positional
    def unwatch(self, path: str, token: Any) -> None:
        """End a watch; *token* must be the object that was given to :meth:`watch`."""
        self._live().unwatch(text_argument(path, 1), token)

    def read_watch(self) -> "Tuple[str, Any]":
        """Wait for the next event of a watch and return its path and token.

        :raises Error: ``EINVAL`` the connection is lost.
        """
        return self._live().wait_event()

    def check_watch(self) -> "Optional[Tuple[str, Any]]":
        """Return the path and token of an event that has arrived, or ``None``.

        If only a part of a message has arrived, this waits for the rest.

        :raises Error: ``EINVAL`` the connection is lost.
        """
        return self._live().poll_event()

    def fileno(self) -> int:
        """Return a descriptor for ``select`` and ``poll``.

        The descriptor is readable while :meth:`check_watch` would return an event, and after
        the connection is lost.
        """
        return self._live().fileno()

    # -- transactions ------------------------------------------------------------------

    def transaction_start(self) -> str:
        """Start a transaction and return its handle."""
        return "{:X}".format(self._live().start_transaction())

    @_by_name_too
    def transaction_end(self, transaction: Transaction, abort: int = 0) -> bool:
        """End a transaction.

        :param abort: not 0: abort it; else commit it.
        :returns: ``False`` if another client changed a node that the transaction used, so the
            daemon did not commit it: start over.
        :raises Error: ``ENOENT`` there is no such transaction.
        """
        tx_id, abandoned = transaction_argument(transaction), int_argument(abort)
        if tx_id == 0:
            # The daemons answer ENOENT. Over XenBus no answer comes.
            raise make_error(errno.ENOENT)
        return self._live().end_transaction(tx_id, commit=not abandoned)

    # -- domains -----------------------------------------------------------------------

    @_positional
    def introduce_domain(self, dom: int, page: int, port: int) -> None:
        """Make the daemon talk to a domain.

        :param page: the frame number of the domain's ring page.
        :param port: the port of its event channel.
        """
        payload = b"%d\0%d\0%d\0" % (
            domid_argument(dom),
            long_argument(page) & UINT64_MASK,
            int_argument(port) & UINT32_MASK,
        )
        self._live().ask(decode_ack, Op.INTRODUCE, payload)

    @_positional
    def release_domain(self, dom: int) -> None:
        """Make the daemon stop talking to a domain.

        :raises Error: ``EINVAL`` *dom* is 0; nothing was sent.
        """
        domid = domid_argument(dom)
        if why_refused("RELEASE", domid):
            raise make_error(errno.EINVAL)
        self._live().ask(decode_ack, Op.RELEASE, b"%d\0" % domid)

    @_positional
    def resume_domain(self, dom: int) -> None:
        """Tell the daemon that a domain runs again after a shutdown."""
        self._live().ask(decode_ack, Op.RESUME, b"%d\0" % domid_argument(dom))

    @_positional
    def set_target(self, dom: int, target: int) -> None:
        """Give a domain the rights of another, its target."""
        payload = b"%d\0%d\0" % (domid_argument(dom), domid_argument(target))
        self._live().ask(decode_ack, Op.SET_TARGET, payload)

    @_positional
    def get_domain_path(self, domid: int) -> "Optional[str]":
        """Return the home of a domain, such as ``/local/domain/5``; it need not exist."""
        payload = b"%d\0" % domid_argument(domid)
        return self._live().find(decode_string, Op.GET_DOMAIN_PATH, payload)

    def close(self) -> None:
        """Disconnect; methods raise ``EINVAL`` from now on, also those that are running."""
        if not self._handles:
            raise make_error(errno.EINVAL)
        self._shut()
