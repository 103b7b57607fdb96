"""``xen.lowlevel.xs`` in Python: :class:`xs`, :exc:`Error`.

The C extension, built for Python 3 by Xen 4.17, is the specification: which calls there are,
what they take and return, and which error comes first. ``docs/xs-differences.csv`` lists what
differs on purpose.
"""

import errno
import functools
import importlib
import importlib.util
import operator
import os
import re
import stat
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Callable, Dict, List, Optional, Tuple, TypeVar, Union, cast

from ._events import RawEvent, Readiness
from ._internal import PAYLOAD_MAX, Op
from ._messages import (
    decode_ack,
    decode_names,
    decode_part,
    decode_string,
    decode_text,
    decode_transaction,
    join_parts,
    may_have_perms,
    strings,
)
from ._router import Request, Router
from .connection import PacketConnection, UnixSocketConnection, XenBusConnection
from .exceptions import ConnectionError, PyXSError
from .helpers import DOMID_ANY

__all__ = ["Error", "install_as_xen_lowlevel_xs", "xs"]

T = TypeVar("T")
_Method = TypeVar("_Method", bound=Callable[..., Any])

Transaction = Union[str, int, None]

_INT_MAX = 2**31 - 1
_LONG_MAX = 2**63 - 1
_UINT32_MASK = 2**32 - 1
_UINT64_MASK = 2**64 - 1

_HANDLE = re.compile(r"[ \t-\r]*([-+]?)(?:0[xX](?=[0-9a-fA-F]))?([0-9a-fA-F]*)")
_PERMISSION = re.compile(rb"([nrwb])(-?[0-9]{1,20})")


class Error(RuntimeError):
    """What :class:`xs` raises; ``args`` are an :mod:`errno` number and its text."""


def _error(code: int) -> Error:
    return Error(code, os.strerror(code))


# -- arguments, as PyArg_ParseTuple() of Python 3 takes them -------------------------------


def _text(text: Any, position: int) -> bytes:
    """Return a ``str`` argument as bytes without a NUL."""
    if not isinstance(text, str):
        given = "None" if text is None else type(text).__name__
        raise TypeError("argument {} must be str, not {}".format(position, given))
    data = str.encode(text)  # a subclass may have an encode() of its own
    if b"\0" in data:
        raise ValueError("embedded null character")
    return data


def _path(path: Any, position: int = 2) -> bytes:
    """Return a path with its NUL. Any will do: the daemon judges what is well-formed."""
    return _text(path, position) + b"\0"


def _data(data: Any) -> bytes:
    """Return what is to be written: ``str`` and ``bytes``, also with NULs."""
    if isinstance(data, str):
        return str.encode(data)
    if isinstance(data, bytes):
        return data
    try:
        memoryview(data).release()
    except TypeError:
        given = type(data).__name__
        raise TypeError("a bytes-like object is required, not {!r}".format(given)) from None
    raise TypeError(
        "argument 3 must be read-only bytes-like object, not {}".format(type(data).__name__)
    )


def _transaction(handle: Any) -> int:
    """Return the transaction that a handle means, 0 for none.

    A handle is read as by ``strtoul(handle, NULL, 16)``: as far as it makes sense.
    """
    if type(handle) is str and handle in ("", "0"):
        return 0
    if handle is None or (isinstance(handle, int) and handle == 0):
        return 0  # as the tutorial of 2011 writes it
    sign, digits = cast("re.Match[str]", _HANDLE.match(_text(handle, 1).decode())).groups()
    number = int(digits or "0", 16)
    if number > _UINT64_MASK:
        return _UINT32_MASK
    return (-number if sign == "-" else number) & _UINT32_MASK


def _long(number: Any) -> int:
    value = int.__index__(operator.index(number))  # a subclass may redefine anything
    if not -_LONG_MAX - 1 <= value <= _LONG_MAX:
        raise OverflowError("Python int too large to convert to C long")
    return value


def _int(number: Any) -> int:
    value = _long(number)
    if value > _INT_MAX:
        raise OverflowError("signed integer is greater than maximum")
    if value < -_INT_MAX - 1:
        raise OverflowError("signed integer is less than minimum")
    return value


def _domid(domid: Any) -> int:
    """Return a domid as libxenstore sends it: as an unsigned number."""
    return _int(domid) & _UINT32_MASK


# -- permissions ---------------------------------------------------------------------------


def _permission(dom: Any, read: Any = 0, write: Any = 0) -> Tuple[bytes, int]:
    """Return the letter and the domid of a permission given as a dict's items."""
    domid, readable, writable = _int(dom), _int(read), _int(write)
    if domid & 0xFFFF == DOMID_ANY:
        raise _error(errno.EINVAL)  # it would crash the daemon of Xen's head
    letter = (b"b" if readable else b"w") if writable else (b"r" if readable else b"n")
    return letter, domid


def _permissions(perms: Any) -> bytes:
    if not isinstance(perms, list):
        raise _error(errno.EINVAL)
    entries = []
    for item in perms:
        if not isinstance(item, dict):
            raise TypeError("a permission must be dict, not {}".format(type(item).__name__))
        entries.append(_permission(**item))
    # The first entry names the owner, who may do anything anyway: libxenstore takes one
    # that grants something for an entry of the list, and puts the owner before it.
    if entries and entries[0][0] != b"n" and entries[0][1] != 0:
        entries.insert(0, (b"n", 0))
    return b"".join(b"%s%d\0" % entry for entry in entries)


def _decode_permissions(payload: bytes) -> List[Dict[str, int]]:
    *entries, rest = payload.split(b"\0")
    if rest or not entries:
        raise ValueError("not permissions")
    return [_decode_permission(entry) for entry in entries]


def _decode_permission(entry: bytes) -> Dict[str, int]:
    match = _PERMISSION.fullmatch(entry)
    if match is None:
        raise ValueError("not a permission")
    letter, number = match.groups()
    domid = ((int(number) + 2**31) & _UINT32_MASK) - 2**31  # an int in C
    return {
        "dom": domid,
        "read": 1 if letter in b"rb" else 0,
        "write": 2 if letter in b"wb" else 0,  # XS_PERM_WRITE, xenstore_lib.h
    }


# -- connections ---------------------------------------------------------------------------


def _open() -> PacketConnection:
    """Connect as xs_open() does: to the socket, else to the device."""
    path = os.environ.get("XENSTORED_PATH")
    if path is not None:
        return _connected(_at(path))
    try:
        return _connected(UnixSocketConnection())
    except Error:
        return _connected(XenBusConnection())


def _at(path: str) -> PacketConnection:
    try:
        is_socket = stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError as exc:
        raise _error(exc.errno or errno.ENOENT) from exc
    return UnixSocketConnection(path) if is_socket else XenBusConnection(path)


def _connected(connection: PacketConnection) -> PacketConnection:
    try:
        connection.connect()
    except ConnectionError as exc:
        code: Optional[int] = getattr(exc.__cause__, "errno", None)
        raise _error(code or errno.EINVAL) from exc
    return connection


class _Handle:
    """One connection with its watches: what an :class:`xs` has in one process.

    :param connection: connected.
    :param orphaned: whether there were watches in a parent process, which are not here.
    """

    def __init__(self, connection: PacketConnection, orphaned: bool = False) -> None:
        self._connection = connection
        self._router = Router(connection)
        self._orphaned = orphaned
        self._closed = False
        self._watched = False  # ever
        self._readiness: Optional[Readiness] = None
        #: By their names on the wire; one that is in several watches is there as often.
        #: Guarded by the router's watch_lock.
        self._tokens: Dict[bytes, List[Any]] = {}

    def child(self) -> "_Handle":
        """Return a handle of the same kind for a forked child; this one stays the parent's."""
        connection = _connected(self._connection.clone())
        return _Handle(connection, self._orphaned or bool(self._tokens))

    def close(self) -> None:
        """End all calls in progress and disconnect."""
        self._closed = True
        self._router.close()
        self._close_readiness()

    def abandon(self) -> None:
        """Close the descriptors, no more: in a forked child they are the parent's too."""
        self._connection.disconnect()
        self._close_readiness()

    def _close_readiness(self) -> None:
        readiness, self._readiness = self._readiness, None
        if readiness is not None:
            readiness.close()

    def ask(self, decoder: Callable[[bytes], T], op: Op, payload: bytes, tx_id: int = 0) -> T:
        """Send a request and return what its reply says.

        :raises Error: the daemon's answer, ``E2BIG`` for what does not fit a message, or
            what a lost connection gives.
        """
        if len(payload) > PAYLOAD_MAX:
            raise _error(errno.E2BIG)
        request = Request(op, payload, tx_id)
        try:
            self._router.call(request)
            return self._router.decoded(request, decoder)
        except ConnectionError as exc:
            raise self._lost(exc) from exc
        except PyXSError as exc:
            # Without an errno: it is longer than XenBus carries.
            raise _error(exc.errno or errno.E2BIG) from None

    def _lost(self, exc: ConnectionError) -> Error:
        """Return what libxenstore gives when its connection is gone.

        EPIPE if it is sending that finds out, and EBADF ever after. Once there was a
        watch, its thread finds out first.
        """
        if self._closed:
            return _error(errno.EINVAL)
        found_out = isinstance(exc.__cause__, BrokenPipeError) and not self._watched
        return _error(errno.EPIPE if found_out else errno.EBADF)

    def names(self, path: bytes, tx_id: int) -> List[str]:
        """Return the names of a node's children, however many."""
        try:
            return self.ask(decode_names, Op.DIRECTORY, path, tx_id)
        except Error as exc:
            if exc.args[0] != errno.E2BIG:
                raise
        return join_parts(
            lambda offset: self.ask(decode_part, Op.DIRECTORY_PART, path + b"%d\0" % offset, tx_id)
        )

    # -- watches -----------------------------------------------------------------------

    def watch(self, path: bytes, token: Any) -> None:
        name = _name(token)
        with self._router.watch_lock:
            self._watched = True
            self._tokens.setdefault(name, []).append(token)
            # Events are told apart by the token alone, as the C extension does: there
            # one token may be in several watches.
            self._router.add_watch(b"/", name)
            try:
                self.ask(decode_ack, Op.WATCH, strings(path, name))
            except BaseException:
                self._forget(name)
                raise
            self._orphaned = False

    def unwatch(self, path: bytes, token: Any) -> None:
        name = _name(token)
        with self._router.watch_lock:
            try:
                self.ask(decode_ack, Op.UNWATCH, strings(path, name))
            finally:
                self._forget(name)  # whatever the answer, as the C extension does

    def _forget(self, name: bytes) -> None:
        tokens = self._tokens.get(name)
        if tokens is None:
            return
        tokens.pop()
        self._router.discard_watch(b"/", name)
        if not tokens:
            del self._tokens[name]

    def wait_event(self) -> Tuple[str, Any]:
        """Return the next event, waiting for it."""
        event = self._next_event(lambda: self._router.wait_event(None))
        assert event is not None  # without a deadline there is none to miss
        return event

    def poll_event(self) -> Optional[Tuple[str, Any]]:
        """Return an event that is here, or ``None``."""
        return self._next_event(self._router.poll_event)

    def _next_event(self, take: Callable[[], Optional[RawEvent]]) -> Optional[Tuple[str, Any]]:
        if self._orphaned:
            raise _error(errno.EINVAL)
        while True:
            try:
                event = take()
            except ConnectionError as exc:
                raise _error(errno.EINVAL) from exc
            if event is None:
                return None
            path, name = event
            for token in self._tokens.get(name, ()):
                return decode_text(path), token
            # None: another thread has just stopped that watch.

    def fileno(self) -> int:
        """Return a descriptor that is readable while there is an event to be had."""
        with self._router.watch_lock:
            if self._readiness is None:
                self._readiness = Readiness()
            self._router.attach(self._readiness)
            return self._readiness.fileno()


def _name(token: Any) -> bytes:
    # Its own while the object lives, which _tokens and our caller see to.
    return b"%d" % id(token)


# -- the class -----------------------------------------------------------------------------


def _positional(method: _Method) -> _Method:
    """Take arguments by position only, and look at them after the handle."""

    @functools.wraps(method)
    def checked(self: "xs", *args: Any) -> Any:
        if not self._handles:
            raise _error(errno.EINVAL)
        return method(self, *args)

    return cast(_Method, checked)


def _by_name_too(method: _Method) -> _Method:
    """Take arguments by name as well."""

    @functools.wraps(method)
    def checked(self: "xs", *args: Any, **kwargs: Any) -> Any:
        if not self._handles:
            raise _error(errno.EINVAL)
        return method(self, *args, **kwargs)

    return cast(_Method, checked)


def _unless_missing(ask: Callable[..., T], *args: Any) -> Optional[T]:
    """Return what *ask* returns, or ``None`` if it raises ENOENT."""
    try:
        return ask(*args)
    except Error as exc:
        if exc.args[0] != errno.ENOENT:
            raise
        return None


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
    bytes, else the daemon's answer. Malformed paths are the daemon's to refuse.

    A *transaction* is a handle from :meth:`transaction_start`; ``""``, ``"0"``, ``0`` and
    ``None`` mean none.

    :param readonly: accepted, without effect.
    """

    __slots__ = ("_handles",)

    #: By process. Empty: closed. That of another process is its, not ours.
    _handles: Dict[int, _Handle]

    def __new__(cls, *args: Any, **kwargs: Any) -> "xs":  # noqa: ARG004
        self = super().__new__(cls)
        self._handles = {}
        return self

    def __init__(self, readonly: int = 0) -> None:
        _int(readonly)
        handle = _Handle(_open())
        self._shut()
        self._handles[os.getpid()] = handle

    def __del__(self) -> None:
        for handle in self._handles.values():
            handle.abandon()  # nobody is in a call any more

    def _live(self) -> _Handle:
        """Return the handle of this process."""
        handle = self._handles.get(os.getpid())
        return self._adopt() if handle is None else handle

    def _adopt(self) -> _Handle:
        """Connect anew in a forked child; no lock, for one may have been held at the fork."""
        inherited = list(self._handles.items())
        if not inherited:
            raise _error(errno.EINVAL)
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
        while self._handles:
            pid, handle = self._handles.popitem()
            if pid == os.getpid():
                handle.close()
            else:
                handle.abandon()

    # -- nodes -------------------------------------------------------------------------

    @_positional
    def read(self, transaction: Transaction, path: str) -> Optional[bytes]:
        """Return the value of a node as ``bytes``, or ``None`` if there is no such node."""
        tx_id, payload = _transaction(transaction), _path(path)
        return _unless_missing(self._live().ask, bytes, Op.READ, payload, tx_id)

    @_positional
    def write(self, transaction: Transaction, path: str, data: Union[str, bytes]) -> None:
        """Store *data* in a node; it and its ancestors are made where they do not exist."""
        tx_id, payload = _transaction(transaction), _path(path) + _data(data)
        self._live().ask(decode_ack, Op.WRITE, payload, tx_id)

    @_positional
    def ls(self, transaction: Transaction, path: str) -> Optional[List[str]]:
        """Return the names of a node's children, or ``None`` if there is no such node."""
        tx_id, payload = _transaction(transaction), _path(path)
        return _unless_missing(self._live().names, payload, tx_id)

    @_positional
    def mkdir(self, transaction: Transaction, path: str) -> None:
        """Make a node with an empty value, and its ancestors; one that exists is left alone."""
        tx_id, payload = _transaction(transaction), _path(path)
        self._live().ask(decode_ack, Op.MKDIR, payload, tx_id)

    @_positional
    def rm(self, transaction: Transaction, path: str) -> None:
        """Remove a node and all below it; one that does not exist is no error.

        Of ``/`` it raises ``EINVAL`` and sends nothing.
        """
        tx_id, payload = _transaction(transaction), _path(path)
        if payload == b"/\0":
            raise _error(errno.EINVAL)  # the OCaml daemon would empty its store
        _unless_missing(self._live().ask, decode_ack, Op.RM, payload, tx_id)

    @_positional
    def get_permissions(self, transaction: Transaction, path: str) -> List[Dict[str, int]]:
        """Return the permissions of a node, its owner's entry first.

        :returns: dicts with the domid ``dom``, ``read``, 0 or 1, and ``write``, 0 or 2.
        """
        tx_id, payload = _transaction(transaction), _path(path)
        return self._live().ask(_decode_permissions, Op.GET_PERMS, payload, tx_id)

    @_positional
    def set_permissions(
        self, transaction: Transaction, path: str, perms: List[Dict[str, int]]
    ) -> None:
        """Replace the permissions of a node.

        :param perms: dicts with ``dom``, and ``read`` and ``write`` if granted. The first
            names the owner; one that grants something to a domain other than 0 is taken
            for the second, after domain 0 as the owner. Domid 32757, which stands for no
            domain, is ``EINVAL``, as is a *path* that begins with ``@``, but for
            ``@introduceDomain`` and ``@releaseDomain``: either could end the daemon.
        """
        tx_id, node, entries = _transaction(transaction), _text(path, 2), _permissions(perms)
        if not may_have_perms(node):
            raise _error(errno.EINVAL)
        self._live().ask(decode_ack, Op.SET_PERMS, node + b"\0" + entries, tx_id)

    # -- watches -----------------------------------------------------------------------

    @_positional
    def watch(self, path: str, token: Any) -> None:
        """Watch a node and all below it; an event comes at once.

        :param token: any object; it comes back with each event, itself and not a copy.
        """
        self._live().watch(_text(path, 1), token)

    @_positional
    def unwatch(self, path: str, token: Any) -> None:
        """Stop watching; *token* must be the object given to :meth:`watch`."""
        self._live().unwatch(_text(path, 1), token)

    def read_watch(self) -> Tuple[str, Any]:
        """Wait for the next event of a watch and return its path and token.

        :raises Error: ``EINVAL`` the connection is lost.
        """
        return self._live().wait_event()

    def check_watch(self) -> Optional[Tuple[str, Any]]:
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
        tx_id = self._live().ask(decode_transaction, Op.TRANSACTION_START, b"\0")
        return "{:X}".format(tx_id)

    @_by_name_too
    def transaction_end(self, transaction: Transaction, abort: int = 0) -> bool:
        """End a transaction.

        :param abort: undo it rather than commit it.
        :returns: ``False`` if it met a change by someone else: start over.
        """
        tx_id, abandoned = _transaction(transaction), _int(abort)
        if tx_id == 0:
            raise _error(errno.ENOENT)  # what daemons answer; XenBus never would
        try:
            payload = b"F\0" if abandoned else b"T\0"
            self._live().ask(decode_ack, Op.TRANSACTION_END, payload, tx_id)
        except Error as exc:
            if exc.args[0] != errno.EAGAIN:
                raise
            return False
        return True

    # -- domains -----------------------------------------------------------------------

    @_positional
    def introduce_domain(self, dom: int, page: int, port: int) -> None:
        """Make the daemon talk to a domain.

        :param page: the frame of its ring page.
        :param port: its event channel's port.
        """
        payload = b"%d\0%d\0%d\0" % (
            _domid(dom),
            _long(page) & _UINT64_MASK,
            _int(port) & _UINT32_MASK,
        )
        self._live().ask(decode_ack, Op.INTRODUCE, payload)

    @_positional
    def release_domain(self, dom: int) -> None:
        """Make the daemon stop talking to a domain.

        Of domain 0 it raises ``EINVAL`` and sends nothing.
        """
        domid = _domid(dom)
        if domid == 0:
            raise _error(errno.EINVAL)  # the OCaml daemon would empty its store
        self._live().ask(decode_ack, Op.RELEASE, b"%d\0" % domid)

    @_positional
    def resume_domain(self, dom: int) -> None:
        """Tell the daemon that a domain that was shut down runs again."""
        self._live().ask(decode_ack, Op.RESUME, b"%d\0" % _domid(dom))

    @_positional
    def set_target(self, dom: int, target: int) -> None:
        """Give a domain the rights of another, its target."""
        payload = b"%d\0%d\0" % (_domid(dom), _domid(target))
        self._live().ask(decode_ack, Op.SET_TARGET, payload)

    @_positional
    def get_domain_path(self, domid: int) -> Optional[str]:
        """Return the home of a domain, such as ``/local/domain/5``, whether it exists or not."""
        payload = b"%d\0" % _domid(domid)
        return _unless_missing(self._live().ask, decode_string, Op.GET_DOMAIN_PATH, payload)

    def close(self) -> None:
        """Disconnect; a thread in another method gets ``EINVAL``, and so does who calls one."""
        if not self._handles:
            raise _error(errno.EINVAL)
        self._shut()


# -- in place of the C extension -----------------------------------------------------------

_MODULE = "xen.lowlevel.xs"


def install_as_xen_lowlevel_xs() -> None:
    """Make ``import xen.lowlevel.xs`` give :class:`xs` and :exc:`Error` in this process.

    ``xen`` and ``xen.lowlevel`` stay what they are, with ``xen.lowlevel.xc`` and all else;
    where there are no such packages, empty ones stand in. Nothing on disk changes.
    """
    if getattr(sys.modules.get(_MODULE), "xs", None) is xs:
        return
    lowlevel = _package("xen.lowlevel", parent=_package("xen"))
    module = _new_module(_MODULE, is_package=False)
    module.__doc__ = xs.__doc__
    vars(module).update(xs=xs, Error=Error)
    sys.modules[_MODULE] = module
    vars(lowlevel)["xs"] = module


def _package(name: str, parent: Optional[ModuleType] = None) -> ModuleType:
    """Import a package, or make an empty one where there is none."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as exc:
        if exc.name != name:
            raise  # it is there, and lacks something itself
    package = sys.modules[name] = _new_module(name, is_package=True)
    if parent is not None:
        setattr(parent, name.rpartition(".")[2], package)
    return package


def _new_module(name: str, is_package: bool) -> ModuleType:
    return importlib.util.module_from_spec(ModuleSpec(name, None, is_package=is_package))
