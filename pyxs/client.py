""":class:`Client`: requests and transactions."""

import itertools

from . import helpers
from ._annotations import t
from ._channels.failures import accepted, decoded
from ._channels.pool import Pool
from ._choice import choose_connection
from ._client.special import (
    DOM0_ONLY,
    is_control_domain,
    list_in_parts,
    list_names,
    not_control_domain,
    own_features,
    quota_names,
    refuse_any_domain_in,
)
from ._names_of_0_4 import CLIENT, DICT, explain
from ._wire import replies
from ._wire.packets import MISSING, Op
from ._wire.replies import decode_ack
from ._wire.requests import encode
from .connection import PacketConnection, UnixSocketConnection, XenBusConnection
from .exceptions import Conflict, InvalidPath, InvalidPayload
from .helpers import decode_text, shown, validate_number, validate_path
from .monitor import Event, Monitor, check_sleep, monitor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import overload

    from ._channels.channel import Reply
    from ._channels.pipeline import Request
    from ._channels.transaction import Transaction
    from ._channels.walk import Walker
else:  # for typing.get_type_hints()
    Reply = Request = Transaction = Walker = None

__all__ = [
    "Client",
    "Event",
    "Monitor",
    "UnixSocketConnection",
    "XenBusConnection",
    "monitor",
]


class _NotGiven:
    """A default that was not given, as help() shows it."""

    def __repr__(self) -> str:
        return "<not given>"


_MISSING: "t.Any" = _NotGiven()

_READ = int(Op.READ)

_ATTEMPTS_MAX = 2**31


class Client:
    """A client of a XenStore daemon; many threads may use it at once.

    The client connects when a ``with`` block is entered, or at the first command. It
    reconnects at the first command after a connection was lost, and in a forked child.
    Leaving the block commits a running transaction, or aborts it if an exception leaves the
    block, and disconnects.

    :param unix_socket_path: the daemon's socket; see
        :class:`~pyxs.connection.UnixSocketConnection` for the default.
    :param socket_timeout: how long to wait for the daemon, in seconds without a byte from it;
        ``None``: no limit.
    :param xen_bus_path: a XenBus device, used when no *unix_socket_path* is given.
    :param connection: a connection to use instead of either; others may use it too.
    :param transaction: whether to connect and start a transaction at once.
    :raises TypeError: a path is not a path, or *connection* is not a connection.
    :raises InvalidPayload: *socket_timeout* is not a positive number.
    :raises ConnectionError: *transaction* is true, and the daemon cannot be reached.
    """

    #: Whether this domain may introduce, release, resume and retarget domains. The default
    #: is read from ``/proc/xen/capabilities``, and is ``True`` if that cannot be read. A
    #: program may set it.
    SU = is_control_domain()

    def __init__(
        self,
        unix_socket_path: "t.Optional[t.AnyPath]" = None,
        socket_timeout: "t.Optional[float]" = None,
        xen_bus_path: "t.Optional[t.AnyPath]" = None,
        connection: "t.Optional[PacketConnection]" = None,
        transaction: "t.Optional[bool]" = None,
    ) -> None:
        self._pool = Pool(
            choose_connection(unix_socket_path, socket_timeout, xen_bus_path, connection)
        )
        self._borrowed = False  # whether transaction() has made this client
        self._running: t.Optional[Transaction] = None
        if transaction:
            self.transaction_start()

    @property
    def connection(self) -> PacketConnection:
        """The connection of this client."""
        return self._pool.connection

    @property
    def tx_id(self) -> int:
        """The id of the running transaction, or 0 if there is none."""
        return 0 if self._running is None else self._running.tx_id

    def __repr__(self) -> str:
        """Return the path, the state of the connection, and the running transaction."""
        running = ", transaction {}".format(self.tx_id) if self.tx_id else ""
        state = "connected" if self._pool.is_connected() else "not connected"
        return "<{} {!r}, {}{}>".format(type(self).__name__, self.connection.path, state, running)

    def __enter__(self: "t.Self") -> "t.Self":
        """Connect, unless the client is connected.

        :raises ConnectionError: the daemon cannot be reached.
        """
        if self._running is None:
            self._pool.connect()
        return self

    def __exit__(
        self,
        exc_type: "t.Optional[t.Type[BaseException]]",
        exc: "t.Optional[BaseException]",
        traceback: "t.Optional[t.TracebackType]",
    ) -> None:
        """Commit a running transaction, or abort it after an exception, and disconnect.

        If nothing was asked in a transaction of :meth:`transaction`, a ``RuntimeWarning`` says so.
        """
        running = self._running
        try:
            if exc_type is None:
                self.transaction_end()
        finally:
            self.close()
        if exc_type is None and running is not None and not running.is_used:
            from ._client.transactions import warn_unused

            warn_unused()

    def close(self) -> None:
        """Abort a running transaction and disconnect; the next command reconnects.

        Calls in progress raise ``ConnectionError``. A client made by :meth:`transaction` ends
        only its transaction.
        """
        if self._borrowed:
            self.transaction_end(commit=False)
            return
        self._running = None  # the daemon aborts it with the connection
        own_monitor = vars(self).pop("_own_monitor", None)
        if own_monitor is not None:
            own_monitor.close()
        self._pool.close()

    # -- requests ----------------------------------------------------------------------

    def execute_command(self, op: int, *args: "t.Any") -> bytes:
        """Validate a request's arguments, send it, and return the payload of its reply.

        :param op: a member of :class:`~pyxs.connection.Op`, but not one of watches and
            transactions, which have their own methods.
        :param args: the arguments of the request's method; DIRECTORY_PART takes a path and
            an offset.
        :raises InvalidOperation: *op* is not a request, needs its own method, or is RESTRICT,
            which would confine one connection of several; nothing was sent.
        :raises InvalidPath, InvalidPayload, InvalidPermission: an argument breaks a
            rule; nothing was sent.
        :raises TypeError: the request takes another number of arguments; nothing was sent.
        :raises PyXSError: the daemon's answer.
        :raises ConnectionError: the daemon cannot be reached, or the connection was lost.
        """
        return self._result(op, args)

    def _ask(self, decoder: "t.Callable[[bytes], t.T]", op: Op, *args: "t.Any") -> "t.T":
        """Validate and send a request, and return the decoded reply."""
        return decoded(self._channels(), decoder, op, self._result(op, args))

    def _result(self, op: int, args: "t.Tuple[t.Any, ...]") -> bytes:
        payload = self._encode(op, args)
        if op in DOM0_ONLY and not self.SU:
            raise not_control_domain()
        return accepted(op, payload, self._channels().exchange(op, payload))

    def _encode(self, op: int, args: "t.Tuple[t.Any, ...]") -> bytes:
        payload = encode(op, args)
        if op == Op.SET_PERMS and self.connection.trusts_ids:
            refuse_any_domain_in(payload)
        return payload

    def _channels(self) -> "t.Union[Pool, Transaction]":
        """Return what the next request goes over."""
        return self._running or self._pool

    def _decoded(self, decoder: "t.Callable[[bytes], t.T]", op: int, payload: bytes) -> "t.T":
        return decoded(self._channels(), decoder, op, payload)

    def _value(self, payload: bytes, reply: "Reply", default: "t.Any") -> "t.Any":
        """Return the value in the reply to a READ, or the default for ENOENT."""
        if default is not _MISSING and reply == MISSING:
            return default
        return decode_text(accepted(Op.READ, payload, reply))

    def _acknowledge(self, request: "Request") -> None:
        self._decoded(decode_ack, request.op, request.result())

    def _exchange_many(self, messages: "t.Sequence[t.Tuple[int, bytes]]") -> "t.List[Request]":
        """Send many requests and wait for all replies."""
        from ._channels.pipeline import Request

        requests = [Request(op, payload) for op, payload in messages]
        self._channels().exchange_many(requests)
        return requests

    # -- nodes -------------------------------------------------------------------------

    if TYPE_CHECKING:

        @overload
        def read(self, path: "t.Text") -> str: ...

        @overload
        def read(self, path: "t.Text", default: "t.T") -> "t.Union[str, t.T]": ...

    def read(self, path: "t.Text", default: "t.Any" = _MISSING) -> "t.Any":
        """Return the value of a node.

        :param path: absolute, or relative to the caller's own domain.
        :param default: the result when there is no such node.
        :returns: the value decoded as UTF-8 with ``surrogateescape``;
            ``value.encode("utf-8", "surrogateescape")`` gives the bytes stored.
        :raises InvalidPath: the path breaks a rule of *xenstore.txt*; nothing was sent.
        :raises PyXSError: ``ENOENT`` no such node, ``EACCES`` not readable.
        """
        # The same as _result() and _value(), with fewer calls: most requests are these.
        payload = validate_path(path) + b"\0"
        reply = (self._running or self._pool).exchange(_READ, payload)
        if reply[0] == _READ:
            return decode_text(reply[1])
        return self._value(payload, reply, default)

    def read_bytes(self, path: "t.Text") -> bytes:
        """Return the value of a node as the bytes stored; see :meth:`read`."""
        return self._result(Op.READ, (path,))

    if TYPE_CHECKING:

        @overload
        def get(self, path: "t.Text") -> "t.Optional[str]": ...

        @overload
        def get(self, path: "t.Text", default: "t.T") -> "t.Union[str, t.T]": ...

    def get(self, path: "t.Text", default: "t.Any" = None) -> "t.Any":
        """Return the value of a node, or *default* when there is none; see :meth:`read`."""
        return self.read(path, default)

    def write(self, path: "t.Text", value: "t.Value", perms: "t.Optional[t.Perms]" = None) -> None:
        """Store a value in a node; create the node and its ancestors if they do not exist.

        :param path: absolute, or relative to the caller's own domain.
        :param value: ``bytes``, ``bytearray`` and ``memoryview`` are stored as they are;
            ``str``, numbers, and ``str(value)`` of an object whose class defines ``__str__`` in
            UTF-8. Type checkers do not know which classes do: give them ``str(value)``. The value
            may be empty. Path, NUL and value together have at most 4096 bytes (*xs_wire.h*).
        :param perms: the permissions of the node, as :meth:`set_permissions` takes them; they
            are set with the value, in the running transaction or in one of their own.
        :raises InvalidPath: the path breaks a rule of *xenstore.txt*; nothing was sent.
        :raises InvalidPayload: the value is ``None``, a ``bool``, a container or another object,
            is too long, or ends with NUL; nothing was sent.
        :raises InvalidPermission: an entry of *perms* breaks a rule; nothing was sent.
        :raises PyXSError: ``EACCES`` not writable, ``ENOSPC`` or ``E2BIG`` over a quota,
            ``ENOENT`` no such domain to own the node.
        """
        if perms is not None:
            from ._client.trees import write_with_permissions

            write_with_permissions(self, path, value, perms)
            return
        self._ask(decode_ack, Op.WRITE, path, value)

    def mkdir(self, path: "t.Text") -> None:
        """Create a node with an empty value, and its ancestors; an existing node stays as it is.

        :param path: absolute, or relative to the caller's own domain.
        :raises InvalidPath: the path breaks a rule of *xenstore.txt*; nothing was sent.
        :raises PyXSError: ``EACCES`` not writable, ``ENOSPC`` over a quota.
        """
        self._ask(decode_ack, Op.MKDIR, path)

    def rm(self, path: "t.Text") -> None:
        """Remove a node and all nodes below it.

        A missing node is no error if its parent exists (RM, *xenstore.txt*).

        :param path: absolute, or relative to the caller's own domain.
        :raises InvalidPath: the path breaks a rule of *xenstore.txt*; nothing was sent.
        :raises PyXSError: ``ENOENT`` the parent is missing too, ``EACCES`` not writable,
            ``EINVAL`` the path is ``/``; nothing was sent.
        """
        self._ask(decode_ack, Op.RM, path)

    if TYPE_CHECKING:

        @overload
        def ls(self, path: "t.Text") -> "t.List[str]": ...

        @overload
        def ls(self, path: "t.Text", default: "t.T") -> "t.Union[t.List[str], t.T]": ...

    def ls(self, path: "t.Text", default: "t.Any" = _MISSING) -> "t.Any":
        """Return the names of a node's children, however many; ``[]`` for a leaf.

        :param path: absolute, or relative to the caller's own domain.
        :param default: the result when there is no such node.
        :raises InvalidPath: the path breaks a rule of *xenstore.txt*; nothing was sent.
        :raises PyXSError: ``ENOENT`` no such node, ``EACCES`` not readable, ``E2BIG`` over 4096
            bytes of names from *oxenstored* over XenBus.
        """
        names = list_names(self, path)
        if names is not None:
            return names
        if default is _MISSING:
            raise helpers.error("ENOENT", decode_text(validate_path(path)))
        return default

    def exists(self, path: "t.Text") -> bool:
        """Return whether a node exists.

        :param path: absolute, or relative to the caller's own domain.
        :raises InvalidPath: the path breaks a rule of *xenstore.txt*; nothing was sent.
        :raises PyXSError: ``EACCES`` the daemon does not tell, because it is not readable.
        """
        return self.read(path, None) is not None

    def wait_for(
        self,
        path: "t.Text",
        condition: "t.Union[t.Value, t.Callable[[str], object], None]" = None,
        timeout: "t.Optional[float]" = None,
    ) -> str:
        """Wait until a node exists and its value meets a condition, and return the value.

        The client watches the node with a monitor, which it closes afterwards; it does not
        poll. If the node is removed meanwhile, the client waits for it again.

        :param path: absolute, or relative to the caller's own domain.
        :param condition: the value to wait for, as :meth:`write` takes it, or a callable that
            takes a value and returns whether to stop waiting; ``None``: any value.
        :param timeout: seconds to wait; ``None``: without limit.
        :raises TimeoutError: the time has passed; the message has the present value.
        :raises InvalidPath: the path breaks a rule of *xenstore.txt*; nothing was sent.
        :raises InvalidPayload: *condition* is neither a value nor callable, or *timeout* is
            not a number of seconds; nothing was sent.
        :raises PyXSError: ``EALREADY`` a transaction is running, in which the value cannot
            change; ``EACCES`` not readable.
        :raises ConnectionError: the daemon cannot be reached, or a connection was lost.
        """
        from ._client.waiting import wait_for

        return wait_for(self, path, condition, timeout)

    def __getitem__(self, path: "t.Text") -> str:
        """Return the value of a node; see :meth:`read`."""
        return self.read(path)

    def __setitem__(self, path: "t.Text", value: "t.Value") -> None:
        """Store a value in a node; see :meth:`write`."""
        self.write(path, value)

    def __delitem__(self, path: "t.Text") -> None:
        """Remove a node and all below it; see :meth:`rm`."""
        self.rm(path)

    def __contains__(self, path: "t.Text") -> bool:
        """Return whether a node exists; see :meth:`exists`."""
        return self.exists(path)

    def __iter__(self) -> "t.NoReturn":
        """Raise ``TypeError``; to iterate over nodes, use :meth:`walk` or :meth:`ls`."""
        raise TypeError(
            "{!r} object is not iterable: walk() yields the nodes below one, ls() lists the "
            "names of its children".format(type(self).__name__)
        )

    def get_permissions(self, path: "t.Text") -> "t.List[str]":
        """Return the permissions of a node, its owner's entry first.

        :param path: absolute, or relative to the caller's own domain.
        :returns: strings such as ``"n0"`` or ``"r5"``: a letter (``n`` none, ``r`` read,
            ``w`` write, ``b`` both) and a domid. The first entry names the owner, and the
            rights of all domains that are not listed (GET_PERMS, *xenstore.txt*).
        :raises InvalidPath: the path breaks a rule of *xenstore.txt*; nothing was sent.
        :raises PyXSError: ``ENOENT`` no such node, ``EACCES`` not readable.
        """
        return self._ask(replies.decode_perms, Op.GET_PERMS, path)

    def set_permissions(self, path: "t.Text", perms: "t.Perms") -> None:
        """Replace the permissions of a node.

        :param path: absolute, or relative to the caller's own domain.
        :param perms: strings as :meth:`get_permissions` returns them.
        :raises InvalidPath: the path breaks a rule of *xenstore.txt*; nothing was sent.
        :raises InvalidPermission: an entry breaks a rule of *xenstore.txt*, *perms* is a
            single string, or domid 32757 (``DOMID_ANY``) is given over a socket, which would
            crash *xenstored* 4.22.0, or as the owner; nothing was sent.
        :raises PyXSError: ``ENOENT`` no such node, or no such domain to own it; ``EACCES``
            the node belongs to another domain.
        """
        self._ask(decode_ack, Op.SET_PERMS, path, perms)

    # -- many nodes --------------------------------------------------------------------

    def walk(self, top: "t.Text", topdown: bool = True) -> "t.Iterator[t.Visit]":
        """Yield ``(path, value, children)`` for a node and all below it, as ``os.walk`` does.

        The iterator is lazy, but requests some nodes before it yields them. It skips a node
        that has been removed meanwhile, also *top*. The value of a node that may not be read
        is ``""``.

        :param top: the node to begin with.
        :param topdown: whether a node comes before its children; if so, the iterator skips
            those whose names the caller removes from *children*.
        :raises InvalidPath: *top* breaks a rule of *xenstore.txt*; nothing was sent.
        :raises PyXSError: any other answer than ``ENOENT`` and ``EACCES``.
        """
        walker = self._walker()
        path = validate_path(top).decode("ascii")
        return walker.top_down(path) if topdown else walker.bottom_up(path)

    def _walker(self, for_records: bool = False) -> "Walker":
        from ._channels.walk import Walker  # here: a command that reads does not walk

        channels = self._channels()
        return Walker(channels, lambda path: list_in_parts(self, path, channels), for_records)

    if TYPE_CHECKING:

        @overload
        def read_many(self, paths: "t.Iterable[t.P]") -> "t.Dict[t.P, str]": ...

        @overload
        def read_many(
            self, paths: "t.Iterable[t.P]", default: "t.T"
        ) -> "t.Dict[t.P, t.Union[str, t.T]]": ...

    def read_many(
        self, paths: "t.Iterable[t.Any]", default: "t.Any" = _MISSING
    ) -> "t.Dict[t.Any, t.Any]":
        """Return the values of many nodes; the requests are sent without waiting for replies.

        This is atomic only in a transaction. Where some of the nodes may not be readable, call
        :meth:`read` for each, or :meth:`read_tree`, which leaves such nodes out.

        :param paths: the nodes.
        :param default: the value for a node that does not exist.
        :returns: a dict in the order of *paths*.
        :raises InvalidPath: a path breaks a rule of *xenstore.txt*, or *paths* is a single
            path; nothing was sent.
        :raises PyXSError: as :meth:`read`: the first failure in the order of *paths*, raised
            after all replies have arrived.
        """
        if isinstance(paths, (str, bytes)):
            raise InvalidPath(paths, "{}: paths are a list; read() takes one".format(shown(paths)))
        wanted = list(paths)
        requests = self._exchange_many([(Op.READ, encode(Op.READ, (path,))) for path in wanted])
        values = {}
        for path, request in zip(wanted, requests):
            is_default = default is not _MISSING and request.refusal == b"ENOENT"
            values[path] = default if is_default else decode_text(request.result())
        return values

    if TYPE_CHECKING:

        @overload
        def write_many(self, items: "t.Mapping[t.P, t.Value]") -> None: ...

        @overload
        def write_many(self, items: "t.Iterable[t.Tuple[t.P, t.Value]]") -> None: ...

    def write_many(self, items: "t.Any") -> None:
        """Store many values; the requests are sent without waiting for replies.

        This is atomic only in a transaction.

        :param items: a mapping of paths to values, or pairs of a path and a value.
        :raises InvalidPath, InvalidPayload: as :meth:`write`, for any of the items;
            nothing was sent.
        :raises PyXSError: as :meth:`write`: the first failure in the order of *items*, raised
            after all replies have arrived.
        """
        from ._client.trees import pairs, write_message

        for request in self._exchange_many([write_message(*pair) for pair in pairs(items)]):
            self._acknowledge(request)

    def read_tree(self, top: "t.Text") -> "t.Dict[str, str]":
        """Return the values of a node and all below it.

        Only in a transaction are these the values of one moment.

        :param top: absolute, or relative to the caller's own domain.
        :returns: a dict of values by path relative to *top*, such as ``"a"`` and ``"b/c"``;
            ``""`` is *top* itself. Nodes below it that may not be read are left out.
        :raises InvalidPath: *top* breaks a rule of *xenstore.txt*; nothing was sent.
        :raises PyXSError: ``ENOENT`` there is no such node, ``EACCES`` it is not readable.
        """
        from ._client.trees import read_tree

        return read_tree(self, top)

    if TYPE_CHECKING:

        @overload
        def write_tree(self, top: "t.Text", values: "t.Mapping[t.P, t.Value]") -> None: ...

        @overload
        def write_tree(
            self, top: "t.Text", values: "t.Iterable[t.Tuple[t.P, t.Value]]"
        ) -> None: ...

    def write_tree(self, top: "t.Text", values: "t.Any") -> None:
        """Store the values of a node and of nodes below it in one transaction.

        It is the running transaction, or one of their own, which starts over after ``EAGAIN``.
        Nodes that *values* does not name stay as they are.

        :param top: absolute, or relative to the caller's own domain.
        :param values: by path relative to *top*, as :meth:`read_tree` returns them.
        :raises InvalidPath, InvalidPayload: as :meth:`write`, for any of the values, or a key
            begins with ``/``; nothing was sent.
        :raises PyXSError: as :meth:`write`; nothing was written.
        """
        from ._client.trees import write_tree

        write_tree(self, top, values)

    # -- domains -----------------------------------------------------------------------

    def get_domain_path(self, domid: "t.Domid") -> str:
        """Return the home of a domain, such as ``/local/domain/5``; the domain need not exist.

        :raises InvalidPayload: *domid* is not a domid; nothing was sent.
        """
        return self._ask(replies.decode_string, Op.GET_DOMAIN_PATH, domid)

    def is_domain_introduced(self, domid: "t.Domid") -> bool:
        """Return whether a domain is introduced, so that the daemon talks to it.

        :raises InvalidPayload: *domid* is not a domid; nothing was sent.
        """
        return self._ask(replies.decode_flag, Op.IS_DOMAIN_INTRODUCED, domid)

    def introduce_domain(self, domid: "t.Domid", mfn: int, eventchn: int) -> None:
        """Make the daemon talk to a domain. Only the control domain may do this.

        :param domid: 1 to 65535.
        :param mfn: the frame number of the domain's ring page (INTRODUCE, *xenstore.txt*).
        :param eventchn: the port of its event channel.
        :raises InvalidPayload: an argument is not an integer, or is out of range; nothing was
            sent.
        :raises PyXSError: ``EPERM`` ``Client.SU`` is false; nothing was sent. Otherwise the
            daemon's answer.
        """
        self._ask(decode_ack, Op.INTRODUCE, domid, mfn, eventchn)

    def release_domain(self, domid: "t.Domid") -> None:
        """Make the daemon stop talking to a domain. Only the control domain may do this.

        :param domid: 1 to 65535.
        :raises InvalidPayload: *domid* is not such an integer; nothing was sent.
        :raises PyXSError: ``EPERM`` ``Client.SU`` is false; nothing was sent. ``ENOENT`` the
            domain is not introduced (the OCaml daemon answers ``EINVAL``).
        """
        self._ask(decode_ack, Op.RELEASE, domid)

    def resume_domain(self, domid: "t.Domid") -> None:
        """Tell the daemon that a domain runs again after a shutdown.

        Only the control domain may do this.

        :raises InvalidPayload: *domid* is not a domid; nothing was sent.
        :raises PyXSError: ``EPERM`` ``Client.SU`` is false; nothing was sent. Otherwise the
            daemon's answer.
        """
        self._ask(decode_ack, Op.RESUME, domid)

    def set_target(self, domid: "t.Domid", target: "t.Domid") -> None:
        """Give a domain the rights of another, its target. Only the control domain may do this.

        :param domid: the domain that gets the rights.
        :param target: the domain that has them.
        :raises InvalidPayload: an argument is not a domid; nothing was sent.
        :raises PyXSError: ``EPERM`` ``Client.SU`` is false; nothing was sent. Otherwise the
            daemon's answer.
        """
        self._ask(decode_ack, Op.SET_TARGET, domid, target)

    # -- the daemon --------------------------------------------------------------------

    def control(self, command: "t.Text", *args: "t.Text") -> str:
        """Send a command to the daemon itself and return its answer.

        :param command: such as ``"help"``, which lists the commands.
        :raises InvalidPayload: *command* is empty, or an argument contains NUL; nothing was
            sent.
        :raises PyXSError: ``EINVAL`` no such command, ``EACCES`` this domain may not do it.
        """
        return decode_text(self.execute_command(Op.CONTROL, command, *args).rstrip(b"\0"))

    def get_feature(self, domid: "t.Optional[t.Domid]" = None) -> int:
        """Return the features of the daemon, or those that it offers a domain.

        :param domid: ``None``: the daemon's own.
        :returns: bits, ``XENSTORE_SERVER_FEATURE_*`` of *xs_wire.h*.
        :raises InvalidPayload: *domid* is not a domid; nothing was sent.
        :raises PyXSError: ``ENOSYS`` the daemon does not know this request; ``EACCES`` a guest
            may ask for its own features only, without *domid*.
        """
        if domid is None:
            return own_features(self)
        return self._ask(replies.decode_number, Op.GET_FEATURE, domid)

    def set_feature(self, domid: "t.Domid", bits: int) -> None:
        """Set the features that the daemon offers a domain.

        :param bits: as :meth:`get_feature` returns them.
        :raises InvalidPayload: *domid* is not a domid, or *bits* is not a
            number of 32 bits; nothing was sent.
        :raises PyXSError: ``ENOSYS`` the daemon does not know this request.
        """
        self._ask(decode_ack, Op.SET_FEATURE, domid, bits)

    if TYPE_CHECKING:

        @overload
        def get_quota(self) -> "t.List[str]": ...

        @overload
        def get_quota(self, name: "t.Text", domid: "t.Optional[t.Domid]" = None) -> int: ...

    def get_quota(self, name: "t.Any" = None, domid: "t.Optional[t.Domid]" = None) -> "t.Any":
        """Return a quota of all domains or of one; without arguments, the names of the quotas.

        :raises InvalidPayload: *name* is empty or contains NUL, or *domid* is given without
            *name* or is not a domid; nothing was sent.
        :raises PyXSError: ``ENOSYS`` the daemon does not know this request; ``EACCES`` this
            domain is a guest.
        """
        if name is not None:
            args = (name,) if domid is None else (domid, name)
            return self._ask(replies.decode_number, Op.GET_QUOTA, *args)
        if domid is not None:
            raise InvalidPayload(
                domid, "domid {!r}: give the name of the quota as well".format(domid)
            )
        return quota_names(self)

    def set_quota(self, name: "t.Text", value: int, domid: "t.Optional[t.Domid]" = None) -> None:
        """Set a quota of all domains or of one.

        :param value: 0 to 2**32 - 1; 0 means no limit (*xenstore.txt*).
        :raises InvalidPayload: *name* is empty or contains NUL, *value* is not such an integer,
            or *domid* is not one from 0 to 65535; nothing was sent.
        :raises PyXSError: ``ENOSYS`` the daemon does not know this request.
        """
        args = (name, value) if domid is None else (domid, name, value)
        self._ask(decode_ack, Op.SET_QUOTA, *args)

    # -- transactions ------------------------------------------------------------------

    def transaction_start(self) -> int:
        """Start a transaction; until it ends, all commands of this client are part of it.

        :returns: the id of the transaction.
        :raises PyXSError: ``EALREADY`` a transaction is running; nothing was sent. ``ENOSPC``
            or ``EBUSY`` the domain has too many transactions.
        :raises ConnectionError: the daemon cannot be reached, or the connection was lost.
        """
        from ._client.transactions import start_own

        return start_own(self).tx_id

    def transaction_end(self, commit: bool = True) -> None:
        """Commit or abort the running transaction; nothing is sent if there is none.

        Afterwards the client is not in a transaction, also after an error.

        :param commit: ``False``: abort it.
        :raises PyXSError: ``EAGAIN`` another client changed a node that the transaction used,
            so the daemon did not commit it.
        :raises ConnectionError: the transaction was lost with its connection; only if *commit*
            is true.
        """
        running = self._running
        if running is None:
            return
        running.refuse_nested()
        self._running = None  # if an exception comes now, the daemon aborts what was dropped
        op = Op.TRANSACTION_END
        reply = running.end(commit)
        if reply is not None:
            result = accepted(op, b"", reply)
            if commit:
                decoded(self._pool, decode_ack, op, result)

    def transaction(self) -> "Client":
        """Return a new client in a new transaction, to the same daemon.

        Leaving the ``with`` block of the new client commits the transaction, or aborts it if
        an exception leaves the block. If a program drops the new client before that, the
        client aborts the transaction and gives a ``RuntimeWarning``.

        :raises PyXSError: ``EALREADY`` this client is in a transaction; nothing was sent.
            ``ENOSPC`` or ``EBUSY`` the domain has too many transactions.
        :raises ConnectionError: the daemon cannot be reached, or the connection was lost.
        """
        from ._client.transactions import client_in_transaction

        return client_in_transaction(self)

    def __reduce_ex__(self, protocol: "t.Any") -> "t.NoReturn":
        """Raise ``TypeError``: a client cannot be copied or pickled."""
        raise TypeError(
            "a {} cannot be copied or pickled: make one in each process; threads may share "
            "one".format(type(self).__name__)
        )

    def __del__(self) -> None:
        """Warn if a client that :meth:`transaction` returned is dropped in the transaction."""
        running = vars(self).get("_running")
        # A transaction whose connection is lost, or of a parent process, is not running.
        if running is not None and self._borrowed and running.is_running():
            from ._client.transactions import warn_dropped

            warn_dropped(running)

    def run_transaction(
        self, func: "t.Callable[[Client], t.T]", attempts: "t.Optional[int]" = None
    ) -> "t.T":
        """Call ``func(t)`` in a transaction and commit it; start over after ``EAGAIN``.

        :param func: a function that takes a client in a new transaction; it is called once for
            each attempt.
        :param attempts: how many attempts to make; ``None``: without limit.
        :returns: the result of *func*.
        :raises InvalidPayload: *attempts* is not an integer over 0; nothing was sent.
        :raises PyXSError: ``EAGAIN`` of the last attempt; any other error ends the first one.
        :raises ConnectionError: the daemon cannot be reached, or the connection was lost.
        """
        if attempts is not None:
            validate_number(attempts, "attempts", 1, _ATTEMPTS_MAX)
        for attempt in itertools.count(1):
            client = self.transaction()
            try:
                result = func(client)
                client.transaction_end()
                break
            except Conflict:
                if attempt == attempts:
                    raise
            finally:
                client.close()  # aborts it if it runs
        return result

    # -- watches -----------------------------------------------------------------------

    def monitor(self, *wpaths: "t.Text") -> Monitor:
        """Return a monitor with its own connection to the same daemon.

        :param wpaths: what it watches at once; see :meth:`Monitor.watch`, also for the errors.
        """
        monitor = Monitor(self.connection)
        try:
            for wpath in wpaths:
                monitor.watch(wpath)
        except BaseException:
            monitor.close()
            raise
        return monitor

    def watch(self, wpath: "t.Text", token: "t.Optional[t.Text]" = None) -> None:
        """Watch a path with the client's own monitor; see :meth:`Monitor.watch`."""
        self._monitor().watch(wpath, token)

    def unwatch(self, wpath: "t.Text", token: "t.Optional[t.Text]" = None) -> None:
        """Stop watching a path with the client's own monitor; see :meth:`Monitor.unwatch`."""
        self._monitor().unwatch(wpath, token)

    def wait(
        self, sleep: "t.Optional[float]" = None, timeout: "t.Optional[float]" = None
    ) -> "t.Optional[Event]":
        """Wait for an event of the client's own monitor; see :meth:`Monitor.wait`."""
        if sleep is not None:
            check_sleep(sleep)
        return self._monitor()._wait(timeout)

    def _monitor(self) -> Monitor:
        own: t.Optional[Monitor] = vars(self).get("_own_monitor")
        if own is None:
            # setdefault() is atomic: two threads get the same monitor.
            own = vars(self).setdefault("_own_monitor", self.monitor())
        return own


Client.__module__ = "pyxs"  # where help() is to find it
explain(Client, CLIENT, DICT)
