"""``xen.lowlevel.xs`` in Python: :class:`xs`, :exc:`Error`.

The C extension, built for Python 3 by Xen 4.17, is the specification: which calls there are,
what they take and return, and which error comes first. ``docs/xs-differences.csv`` lists what
differs on purpose.
"""

import errno
import functools
import os
from typing import Any, Callable, Dict, List, Optional, Tuple, TypeVar, Union, cast

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
from .handle import Handle, open_connection

__all__ = ["Error", "xs"]

T = TypeVar("T")
_Method = TypeVar("_Method", bound=Callable[..., Any])

Transaction = Union[str, int, None]


def _positional(method: _Method) -> _Method:
    """Take arguments by position only, and look at them after the handle."""

    @functools.wraps(method)
    def checked(self: "xs", *args: Any) -> Any:
        if not self._handles:
            raise make_error(errno.EINVAL)
        return method(self, *args)

    return cast(_Method, checked)


def _by_name_too(method: _Method) -> _Method:
    """Take arguments by name as well."""

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
    device. It never connects anew, but in a forked child, which gets a connection of its
    own at its first call: watches and transactions stay the parent's, and
    :meth:`read_watch` raises ``EINVAL`` until the child watches something.

    One object serves many threads. Arguments are taken by position, but for
    :meth:`transaction_end`. Every method raises :exc:`Error`: ``EINVAL`` after :meth:`close`,
    ``EPIPE`` or ``EBADF`` when the connection is lost, ``E2BIG`` for a request over 4096
    bytes, else the daemon's answer. MalformedError paths are the daemon's to refuse.

    A *transaction* is a handle from :meth:`transaction_start`; ``""``, ``"0"``, ``0`` and
    ``None`` mean none.

    :param readonly: accepted, without effect.
    """

    __slots__ = ("_handles",)

    #: By process. Empty: closed. That of another process is its, not ours.
    _handles: "Dict[int, Handle]"

    def __new__(cls, *args: Any, **kwargs: Any) -> "xs":  # noqa: ARG004
        self = super().__new__(cls)
        self._handles = {}
        return self

    def __init__(self, readonly: int = 0) -> None:
        int_argument(readonly)
        handle = Handle(open_connection())
        self._shut()
        self._handles[os.getpid()] = handle

    def __del__(self) -> None:
        """Close the connection."""
        for handle in self._handles.values():
            handle.abandon()  # nobody is in a call any more

    def _live(self) -> Handle:
        """Return the handle of this process."""
        handle = self._handles.get(os.getpid())
        return self._adopt() if handle is None else handle

    def _adopt(self) -> Handle:
        """Connect anew in a forked child; no lock, for one may have been held at the fork."""
        inherited = list(self._handles.items())
        if not inherited:
            raise make_error(errno.EINVAL)
        mine = inherited[-1][1].child()
        handle = self._handles.setdefault(os.getpid(), mine)
        if handle is not mine:  # another thread was faster
            mine.close()
        for pid, _ in inherited:
            parents = self._handles.pop(pid, None) if pid != os.getpid() else None
            if parents is not None:
                parents.abandon()
        return handle

    def _shut(self) -> None:
        for pid, handle in list(self._handles.items()):
            if pid == os.getpid():
                handle.close()
            else:
                handle.abandon()
            self._handles.pop(pid, None)

    # -- nodes -------------------------------------------------------------------------

    @_positional
    def read(self, transaction: Transaction, path: str) -> "Optional[bytes]":
        """Return the value of a node as ``bytes``, or ``None`` if there is no such node."""
        tx_id, payload = transaction_argument(transaction), path_argument(path)
        return self._live().find(bytes, Op.READ, payload, tx_id)

    @_positional
    def write(self, transaction: Transaction, path: str, data: "Union[str, bytes]") -> None:
        """Store *data* in a node; it and its ancestors are made where they do not exist."""
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
        """Make a node with an empty value, and its ancestors; one that exists is left alone."""
        tx_id, payload = transaction_argument(transaction), path_argument(path)
        self._live().ask(decode_ack, Op.MKDIR, payload, tx_id)

    @_positional
    def rm(self, transaction: Transaction, path: str) -> None:
        """Remove a node and all below it; one that does not exist is no error.

        Of ``/`` it raises ``EINVAL`` and sends nothing.
        """
        tx_id, payload = transaction_argument(transaction), path_argument(path)
        if why_refused("RM", payload[:-1]):
            raise make_error(errno.EINVAL)
        self._live().find(decode_ack, Op.RM, payload, tx_id)

    @_positional
    def get_permissions(self, transaction: Transaction, path: str) -> "List[Dict[str, int]]":
        """Return the permissions of a node, its owner's entry first.

        :returns: dicts with the domid ``dom``, ``read``, 0 or 1, and ``write``, 0 or 2.
        """
        tx_id, payload = transaction_argument(transaction), path_argument(path)
        return self._live().ask(decode_permission_dicts, Op.GET_PERMS, payload, tx_id)

    @_positional
    def set_permissions(
        self, transaction: Transaction, path: str, perms: "List[Dict[str, int]]"
    ) -> None:
        """Replace the permissions of a node.

        :param perms: dicts with ``dom``, and ``read`` and ``write`` if granted. The first
            names the owner; one that grants something to a domain other than 0 is taken
            for the second, after domain 0 as the owner. Domid 32757, which stands for no
            domain, is ``EINVAL``, as is a *path* that begins with ``@``, but for
            ``@introduceDomain`` and ``@releaseDomain``: either could end the daemon.
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
        """Watch a node and all below it; an event comes at once.

        :param token: any object; it comes back with each event, itself and not a copy.
        """
        self._live().watch(text_argument(path, 1), token)

    @_positional
    def unwatch(self, path: str, token: Any) -> None:
        """Stop watching; *token* must be the object given to :meth:`watch`."""
        self._live().unwatch(text_argument(path, 1), token)

    def read_watch(self) -> "Tuple[str, Any]":
        """Wait for the next event of a watch and return its path and token.

        :raises Error: ``EINVAL`` the connection is lost.
        """
        return self._live().wait_event()

    def check_watch(self) -> "Optional[Tuple[str, Any]]":
        """Return the next event's path and token, or ``None`` if none is here.

        A message that has begun to arrive is finished; one that has not is not waited for.

        :raises Error: ``EINVAL`` the connection is lost.
        """
        return self._live().poll_event()

    def fileno(self) -> int:
        """Return a descriptor for ``select`` and ``poll``.

        It is readable while :meth:`check_watch` would return an event, and when the
        connection is lost.
        """
        return self._live().fileno()

    # -- transactions ------------------------------------------------------------------

    def transaction_start(self) -> str:
        """Start a transaction and return its handle."""
        return "{:X}".format(self._live().start_transaction())

    @_by_name_too
    def transaction_end(self, transaction: Transaction, abort: int = 0) -> bool:
        """End a transaction.

        :param abort: undo it rather than commit it.
        :returns: ``False`` if it met a change by someone else: start over.
        """
        tx_id, abandoned = transaction_argument(transaction), int_argument(abort)
        if tx_id == 0:
            raise make_error(errno.ENOENT)  # what daemons answer; XenBus never would
        return self._live().end_transaction(tx_id, commit=not abandoned)

    # -- domains -----------------------------------------------------------------------

    @_positional
    def introduce_domain(self, dom: int, page: int, port: int) -> None:
        """Make the daemon talk to a domain.

        :param page: the frame of its ring page.
        :param port: its event channel's port.
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

        Of domain 0 it raises ``EINVAL`` and sends nothing.
        """
        domid = domid_argument(dom)
        if why_refused("RELEASE", domid):
            raise make_error(errno.EINVAL)
        self._live().ask(decode_ack, Op.RELEASE, b"%d\0" % domid)

    @_positional
    def resume_domain(self, dom: int) -> None:
        """Tell the daemon that a domain that was shut down runs again."""
        self._live().ask(decode_ack, Op.RESUME, b"%d\0" % domid_argument(dom))

    @_positional
    def set_target(self, dom: int, target: int) -> None:
        """Give a domain the rights of another, its target."""
        payload = b"%d\0%d\0" % (domid_argument(dom), domid_argument(target))
        self._live().ask(decode_ack, Op.SET_TARGET, payload)

    @_positional
    def get_domain_path(self, domid: int) -> "Optional[str]":
        """Return the home of a domain, such as ``/local/domain/5``, whether it exists or not."""
        payload = b"%d\0" % domid_argument(domid)
        return self._live().find(decode_string, Op.GET_DOMAIN_PATH, payload)

    def close(self) -> None:
        """Disconnect; a thread in another method gets ``EINVAL``, and so does who calls one."""
        if not self._handles:
            raise make_error(errno.EINVAL)
        self._shut()
