""":class:`Client`: requests and transactions."""

import errno
import itertools
import time
import warnings
from collections.abc import Mapping

from . import helpers
from ._annotations import t
from ._choice import choose_connection
from ._conversation.conversation import Conversation
from ._conversation.link import Link
from ._conversation.request import Request
from ._conversation.roles import nested_call
from ._names_of_0_4 import CLIENT, explain
from ._wire import replies
from ._wire.packets import Op
from ._wire.replies import decode_ack, decode_names, decode_part, join_parts
from ._wire.requests import encode
from .connection import PacketConnection, UnixSocketConnection, XenBusConnection
from .exceptions import ConnectionError, InvalidPath, InvalidPayload, PyXSError
from .helpers import decode_text, raised_here, validate_number, validate_path
from .monitor import Event, Monitor, check_sleep, deadline_after, monitor, state_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import overload

__all__ = [
    "Client",
    "Event",
    "Monitor",
    "UnixSocketConnection",
    "XenBusConnection",
    "monitor",
]


_MISSING: "t.Any" = object()  # a default that was not given

_ATTEMPTS_MAX = 2**31

_DOM0_ONLY = frozenset((Op.INTRODUCE, Op.RELEASE, Op.RESUME, Op.SET_TARGET))


_NOT_CONTROL_DOMAIN = (
    "pyxs refuses this: Client.SU is False, because /proc/xen/capabilities does not name control_d"
)


class _Transaction:
    __slots__ = ("conversation", "tx_id")

    def __init__(self, tx_id: int, conversation: Conversation) -> None:
        self.tx_id = tx_id
        self.conversation = conversation  # it began in this one, and ends with it


def _is_control_domain() -> bool:
    """Return whether this domain may control others; ``True`` if it cannot be told."""
    try:
        with open("/proc/xen/capabilities", encoding="ascii", errors="replace") as file:
            return "control_d" in file.read()
    except OSError:
        return True


class Client:
    """A client of a XenStore daemon; many threads may use it at once.

    The client connects when a ``with`` block is entered, or at the first command. It
    reconnects at the first command after a connection was lost, and in a forked child.
    Leaving the block commits a running transaction, or aborts it if an exception leaves the
    block, and disconnects.

    :param unix_socket_path: the daemon's socket; see
        :class:`~pyxs.connection.UnixSocketConnection` for the default.
    :param socket_timeout: seconds to wait for a reply; ``None``: no limit.
    :param xen_bus_path: a XenBus device, used when no *unix_socket_path* is given.
    :param connection: a connection to use instead of either.
    :param transaction: whether to connect and start a transaction at once.
    :raises TypeError: a path is not a path, or *connection* is not a connection.
    :raises InvalidPayload: *socket_timeout* is not a positive number.
    :raises ConnectionError: *transaction* is true, and the daemon cannot be reached.
    """

    #: Whether this domain may introduce, release, resume and retarget domains. The default
    #: is read from ``/proc/xen/capabilities``, and is ``True`` if that cannot be read. A
    #: program may set it.
    SU = _is_control_domain()

    def __init__(
        self,
        unix_socket_path: "t.Optional[t.AnyPath]" = None,
        socket_timeout: "t.Optional[float]" = None,
        xen_bus_path: "t.Optional[t.AnyPath]" = None,
        connection: "t.Optional[PacketConnection]" = None,
        transaction: "t.Optional[bool]" = None,
    ) -> None:
        self._link = Link(
            choose_connection(unix_socket_path, socket_timeout, xen_bus_path, connection)
        )
        self._borrowed = False
        self._running: t.Optional[_Transaction] = None
        if transaction:
            self.transaction_start()

    @property
    def connection(self) -> PacketConnection:
        """The connection of this client."""
        return self._link.connection

    @property
    def tx_id(self) -> int:
        """The id of the running transaction, or 0 if there is none."""
        return 0 if self._running is None else self._running.tx_id

    def __repr__(self) -> str:
        """Return the path, the state of the connection, and the running transaction."""
        running = ", transaction {}".format(self.tx_id) if self.tx_id else ""
        return "<{} {!r}, {}{}>".format(
            type(self).__name__, self.connection.path, state_of(self._link), running
        )

    def __enter__(self: "t.Self") -> "t.Self":
        """Connect, unless the client is connected.

        :raises ConnectionError: the daemon cannot be reached.
        """
        self._conversation()
        return self

    def __exit__(
        self,
        exc_type: "t.Optional[t.Type[BaseException]]",
        exc: "t.Optional[BaseException]",
        traceback: "t.Optional[t.TracebackType]",
    ) -> None:
        """Commit a running transaction, or abort it after an exception, and disconnect."""
        try:
            if exc_type is None:
                self.transaction_end()
        finally:
            self.close()

    def close(self) -> None:
        """Abort a running transaction and disconnect; the next command reconnects.

        A client made by :meth:`transaction` leaves the connection open, because its parent
        uses it too.
        """
        self._end_transaction(b"F\0")  # the answer does not matter
        if self._borrowed:
            return
        own_monitor = vars(self).pop("_own_monitor", None)
        if own_monitor is not None:
            own_monitor.close()
        self._link.close()

    # -- requests ----------------------------------------------------------------------

    def execute_command(self, op: int, *args: "t.Any") -> bytes:
        """Validate a request's arguments, send it, and return the payload of its reply.

        :param op: a member of :class:`~pyxs.connection.Op`, but not one of watches and
            transactions, which have their own methods.
        :param args: the arguments of the request's method; DIRECTORY_PART takes a path and
            an offset, RESTRICT a domid.
        :raises InvalidOperation: *op* is not a request, or needs its own method; nothing was
            sent.
        :raises InvalidPath, InvalidPayload, InvalidPermission: an argument breaks a
            rule; nothing was sent.
        :raises TypeError: the request takes another number of arguments; nothing was sent.
        :raises PyXSError: the daemon's answer.
        :raises ConnectionError: the daemon cannot be reached, or the connection was lost.
        """
        return self._call(op, args)[1].result()

    def _ask(self, decoder: "t.Callable[[bytes], t.T]", op: Op, *args: "t.Any") -> "t.T":
        conversation, request = self._call(op, args)
        return conversation.decoded(request, decoder)

    def _call(self, op: int, args: "t.Tuple[t.Any, ...]") -> "t.Tuple[Conversation, Request]":
        """Validate and send a request, and wait for its answer."""
        payload = encode(op, args)
        if op in _DOM0_ONLY and not self.SU:
            raise helpers.error("EPERM", why=_NOT_CONTROL_DOMAIN)
        return self._exchange(op, payload)

    def _exchange(self, op: int, payload: bytes) -> "t.Tuple[Conversation, Request]":
        running = self._running
        if running is None:
            request = Request(op, payload)
            return self._link.call(request), request
        request = Request(op, payload, running.tx_id)
        conversation = self._conversation()
        if not conversation.call(request):
            raise nested_call()
        return conversation, request

    def _conversation(self) -> Conversation:
        """Return the conversation for the next request."""
        running = self._running
        if running is None:
            return self._link.free_conversation()
        if not running.conversation.usable():
            raise self._lost(running)
        return running.conversation

    def _lost(self, running: _Transaction) -> ConnectionError:
        return ConnectionError(
            "{}: transaction {} was lost with the connection on which it began".format(
                self.connection.path, running.tx_id
            )
        )

    def _call_many(
        self, op: Op, arguments: "t.Iterable[t.Tuple[t.Any, ...]]"
    ) -> "t.Tuple[Conversation, t.List[Request]]":
        """Validate and send many requests of one type, and wait for all answers."""
        return self._exchange_many([(op, encode(op, args)) for args in arguments])

    def _exchange_many(
        self, messages: "t.List[t.Tuple[Op, bytes]]"
    ) -> "t.Tuple[Conversation, t.List[Request]]":
        conversation, tx_id = self._conversation(), self.tx_id
        requests = [Request(op, payload, tx_id) for op, payload in messages]
        conversation.call_many(requests)
        return conversation, requests

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
        op = Op.READ
        request = self._exchange(op, encode(op, (path,)))[1]
        return _value(request, default)

    def write(self, path: "t.Text", value: "t.Any") -> None:
        """Store a value in a node; create the node and its ancestors if they do not exist.

        :param path: absolute, or relative to the caller's own domain.
        :param value: ``bytes``, ``bytearray`` and ``memoryview`` are stored as they are; of
            any other object ``str(value)`` is stored, in UTF-8. The value may be empty. Path,
            NUL and value together have at most 4096 bytes (*xs_wire.h*).
        :raises InvalidPath: the path breaks a rule of *xenstore.txt*; nothing was sent.
        :raises InvalidPayload: the value is too long or ends with NUL; nothing was sent.
        :raises PyXSError: ``EACCES`` not writable, ``ENOSPC`` or ``E2BIG`` over a quota.
        """
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

    def ls(self, path: "t.Text") -> "t.List[str]":
        """Return the names of a node's children, however many; ``[]`` for a leaf.

        :param path: absolute, or relative to the caller's own domain.
        :raises InvalidPath: the path breaks a rule of *xenstore.txt*; nothing was sent.
        :raises PyXSError: ``ENOENT`` no such node, ``EACCES`` not readable, ``E2BIG`` over 4096
            bytes of names from *oxenstored* over XenBus.
        """
        conversation, request = self._call(Op.DIRECTORY, (path,))
        if request.refusal == b"E2BIG":
            names = self._list_in_parts(path)
            if names is None:  # it was removed meanwhile
                raise helpers.error("ENOENT", request.path)
            return names
        return conversation.decoded(request, decode_names)

    def _list_in_parts(self, path: "t.Text") -> "t.Optional[t.List[str]]":
        """Return the names of a node's children, however many; ``None``: no such node."""

        def ask_part(offset: int) -> "t.Optional[t.Tuple[bytes, bytes, bool]]":
            conversation, request = self._call(Op.DIRECTORY_PART, (path, offset))
            if request.refusal == b"ENOENT":
                return None
            if request.refusal == b"ENOSYS":  # oxenstored over XenBus; it lacks this request
                raise helpers.error("E2BIG", request.path)
            return conversation.decoded(request, decode_part)

        return join_parts(ask_part)

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
        condition: "t.Union[str, t.Callable[[str], object], None]" = None,
        timeout: "t.Optional[float]" = None,
    ) -> str:
        """Wait until a node exists and its value meets a condition, and return the value.

        The client watches the node with a monitor, which it closes afterwards; it does not
        poll. If the node is removed meanwhile, the client waits for it again.

        :param path: absolute, or relative to the caller's own domain.
        :param condition: the value to wait for, or a callable that takes a value and returns
            whether to stop waiting; ``None``: any value.
        :param timeout: seconds to wait; ``None``: without limit.
        :raises TimeoutError: the time has passed.
        :raises InvalidPath: the path breaks a rule of *xenstore.txt*; nothing was sent.
        :raises InvalidPayload: *condition* is neither ``str`` nor callable, or *timeout* is
            not a number of seconds; nothing was sent.
        :raises PyXSError: ``EALREADY`` a transaction is running, in which the value cannot
            change; ``EACCES`` not readable.
        :raises ConnectionError: the daemon cannot be reached, or a connection was lost.
        """
        node = decode_text(validate_path(path))
        satisfied = _condition(condition)
        deadline = None if timeout is None else deadline_after(timeout)
        if self._running is not None:
            raise helpers.error("EALREADY", node, "a value does not change in a transaction")
        with self.monitor() as changes:
            changes.watch(node)
            while True:
                value = self.read(node, None)
                if value is not None and satisfied(value):
                    return value
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                if left == 0 or changes.wait(timeout=left) is None:
                    raise TimeoutError(_timeout_message(node, value, timeout))

    def __getitem__(self, path: "t.Text") -> str:
        """Return the value of a node; see :meth:`read`."""
        return self.read(path)

    def __setitem__(self, path: "t.Text", value: "t.Any") -> None:
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

    def set_permissions(self, path: "t.Text", perms: "t.Iterable[t.Text]") -> None:
        """Replace the permissions of a node.

        :param path: absolute, or relative to the caller's own domain.
        :param perms: strings as :meth:`get_permissions` returns them.
        :raises InvalidPath: the path breaks a rule of *xenstore.txt*; nothing was sent.
        :raises InvalidPermission: an entry breaks a rule of *xenstore.txt*, or *perms* is a
            single string; nothing was sent.
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
        path = validate_path(top).decode("ascii")
        return self._walk(path, topdown)

    def _walk(self, top: str, topdown: bool) -> "t.Iterator[t.Visit]":
        from ._conversation.walk import Walker  # here: a command that reads does not walk

        walker = Walker(self._conversation(), self.tx_id, list_large=self._list_in_parts)
        yield from walker.top_down(top) if topdown else walker.bottom_up(top)

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

        This is atomic only in a transaction.

        :param paths: the nodes.
        :param default: the value for a node that does not exist.
        :returns: a dict in the order of *paths*.
        :raises InvalidPath: a path breaks a rule of *xenstore.txt*, or *paths* is a single
            path; nothing was sent.
        :raises PyXSError: as :meth:`read`: the first failure in the order of *paths*, raised
            after all replies have arrived.
        """
        if isinstance(paths, (str, bytes)):
            raise InvalidPath(paths, "{!r:.80}: paths are a list; read() takes one".format(paths))
        wanted = list(paths)
        _, requests = self._call_many(Op.READ, [(path,) for path in wanted])
        return {path: _value(request, default) for path, request in zip(wanted, requests)}

    def write_many(
        self, items: "t.Union[t.Mapping[t.P, t.Any], t.Iterable[t.Tuple[t.P, t.Any]]]"
    ) -> None:
        """Store many values; the requests are sent without waiting for replies.

        This is atomic only in a transaction.

        :param items: a mapping of paths to values, or pairs of a path and a value.
        :raises InvalidPath, InvalidPayload: as :meth:`write`, for any of the items;
            nothing was sent.
        :raises PyXSError: as :meth:`write`: the first failure in the order of *items*, raised
            after all replies have arrived.
        """
        pairs = items.items() if isinstance(items, Mapping) else items
        conversation, requests = self._call_many(Op.WRITE, map(_pair, pairs))
        for request in requests:
            conversation.decoded(request, decode_ack)

    # -- domains -----------------------------------------------------------------------

    def get_domain_path(self, domid: int) -> str:
        """Return the home of a domain, such as ``/local/domain/5``; the domain need not exist.

        :raises InvalidPayload: *domid* is not an integer from 0 to 65535; nothing was sent.
        """
        return self._ask(replies.decode_string, Op.GET_DOMAIN_PATH, domid)

    def is_domain_introduced(self, domid: int) -> bool:
        """Return whether a domain is introduced, so that the daemon talks to it.

        :raises InvalidPayload: *domid* is not an integer from 0 to 65535; nothing was sent.
        """
        return self._ask(replies.decode_flag, Op.IS_DOMAIN_INTRODUCED, domid)

    def introduce_domain(self, domid: int, mfn: int, eventchn: int) -> None:
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

    def release_domain(self, domid: int) -> None:
        """Make the daemon stop talking to a domain. Only the control domain may do this.

        :param domid: 1 to 65535.
        :raises InvalidPayload: *domid* is not such an integer; nothing was sent.
        :raises PyXSError: ``EPERM`` ``Client.SU`` is false; nothing was sent. ``ENOENT`` the
            domain is not introduced (the OCaml daemon answers ``EINVAL``).
        """
        self._ask(decode_ack, Op.RELEASE, domid)

    def resume_domain(self, domid: int) -> None:
        """Tell the daemon that a domain runs again after a shutdown.

        Only the control domain may do this.

        :raises InvalidPayload: *domid* is not an integer from 0 to 65535; nothing was sent.
        :raises PyXSError: ``EPERM`` ``Client.SU`` is false; nothing was sent. Otherwise the
            daemon's answer.
        """
        self._ask(decode_ack, Op.RESUME, domid)

    def set_target(self, domid: int, target: int) -> None:
        """Give a domain the rights of another, its target. Only the control domain may do this.

        :param domid: the domain that gets the rights.
        :param target: the domain that has them.
        :raises InvalidPayload: an argument is not an integer from 0 to 65535; nothing was sent.
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

    def get_feature(self, domid: "t.Optional[int]" = None) -> int:
        """Return the features of the daemon, or those that it offers a domain.

        :param domid: ``None``: the daemon's own.
        :returns: bits, ``XENSTORE_SERVER_FEATURE_*`` of *xs_wire.h*.
        :raises InvalidPayload: *domid* is not an integer from 0 to 65535; nothing was sent.
        :raises PyXSError: ``ENOSYS`` the daemon does not know this request.
        """
        args = () if domid is None else (domid,)
        return self._ask(replies.decode_number, Op.GET_FEATURE, *args)

    def set_feature(self, domid: int, bits: int) -> None:
        """Set the features that the daemon offers a domain.

        :param bits: as :meth:`get_feature` returns them.
        :raises InvalidPayload: *domid* is not an integer from 0 to 65535, or *bits* is not one
            of 32 bits; nothing was sent.
        :raises PyXSError: ``ENOSYS`` the daemon does not know this request.
        """
        self._ask(decode_ack, Op.SET_FEATURE, domid, bits)

    if TYPE_CHECKING:

        @overload
        def get_quota(self) -> "t.List[str]": ...

        @overload
        def get_quota(self, name: "t.Text", domid: "t.Optional[int]" = None) -> int: ...

    def get_quota(self, name: "t.Any" = None, domid: "t.Optional[int]" = None) -> "t.Any":
        """Return a quota of all domains or of one; without arguments, the names of the quotas.

        :raises InvalidPayload: *name* is empty or contains NUL, or *domid* is given without
            *name* or is not an integer from 0 to 65535; nothing was sent.
        :raises PyXSError: ``ENOSYS`` the daemon does not know this request.
        """
        if name is not None:
            args = (name,) if domid is None else (domid, name)
            return self._ask(replies.decode_number, Op.GET_QUOTA, *args)
        if domid is not None:
            raise InvalidPayload(
                domid, "domid {!r}: give the name of the quota as well".format(domid)
            )
        # An older OCaml daemon would not answer an empty payload. It refuses GET_FEATURE,
        # and that ends this call before the payload is sent.
        self.get_feature()
        conversation, request = self._exchange(Op.GET_QUOTA, b"")
        return conversation.decoded(request, replies.decode_string).split()

    def set_quota(self, name: "t.Text", value: int, domid: "t.Optional[int]" = None) -> None:
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
        if self._running is not None:
            raise helpers.error("EALREADY")
        conversation = self._link.free_conversation()
        request = Request(Op.TRANSACTION_START, b"\0", undo=_abort)
        try:
            tx_id = conversation.ask(request, replies.decode_transaction)
            self._running = _Transaction(tx_id, conversation)
            return tx_id
        except BaseException:
            if self._running is None:
                conversation.undo(request)
            raise

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
        request = self._end_transaction(b"T\0" if commit else b"F\0")
        if running is None or request is None:
            return
        if request.answer is None:
            if commit:
                raise self._lost(running)
            return
        try:
            running.conversation.decoded(request, decode_ack)
        except ConnectionError as exc:
            if commit or not running.conversation.tells_of_failure(exc):
                raise  # otherwise the daemon aborted the transaction with the connection

    def _end_transaction(self, how: bytes) -> "t.Optional[Request]":
        """Leave the running transaction, if there is one.

        :returns: the request that ends it; it has no answer if the connection is lost.
        """
        running = self._running
        if running is None:
            return None
        conversation = running.conversation
        request = Request(Op.TRANSACTION_END, how, running.tx_id)
        if not conversation.usable():
            self._running = None
            return request
        if conversation.is_inside():
            raise nested_call()
        try:
            self._running = None
            conversation.call(request)
        except BaseException as exc:
            self._running = None  # again: the exception may have come just before the other
            if conversation.tells_of_failure(exc):
                return request
            if request.answer is None:
                # A signal handler raised an exception, perhaps before anything was sent.
                conversation.post(Request(Op.TRANSACTION_END, b"F\0", running.tx_id))
            raise
        return request

    def transaction(self) -> "Client":
        """Return a new client in a new transaction, over the same connection.

        Leaving the ``with`` block of the new client commits the transaction, or aborts it if
        an exception leaves the block. If a program drops the new client before that, the
        client aborts the transaction and gives a ``RuntimeWarning``.

        :raises PyXSError: ``EALREADY`` this client is in a transaction; nothing was sent.
            ``ENOSPC`` or ``EBUSY`` the domain has too many transactions.
        :raises ConnectionError: the daemon cannot be reached, or the connection was lost.
        """
        if self._running is not None:
            raise helpers.error("EALREADY")
        client = Client.__new__(type(self))
        client._link = self._link
        client._borrowed = True
        client._running = None
        client.transaction_start()
        return client

    def __del__(self) -> None:
        """Abort the transaction of a client that :meth:`transaction` returned, and warn."""
        running = vars(self).get("_running")
        # A transaction whose connection is lost, or of a parent process, is not running.
        if running is not None and self._borrowed and running.conversation.usable():
            self._abandon(running)

    def _abandon(self, running: _Transaction) -> None:
        """Abort a transaction without waiting for the reply, and warn."""
        try:  # noqa: SIM105  # importing contextlib takes a command too long
            running.conversation.post(Request(Op.TRANSACTION_END, b"F\0", running.tx_id))
        except PyXSError:
            pass  # the transaction is lost with its connection
        # Not a ResourceWarning, which Python hides by default: the program may have written
        # outside the transaction what it meant to write in it.
        warnings.warn(
            "transaction {} was neither committed nor aborted before its client was dropped; it is "
            "aborted. Use the client that transaction() returns, in a with block".format(
                running.tx_id
            ),
            RuntimeWarning,
            stacklevel=3,
            source=running,  # not self, of which tracemalloc has no traceback on Python 3.11
        )

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
            try:
                with self.transaction() as client:
                    result = func(client)
                break
            except PyXSError as exc:
                if exc.errno != errno.EAGAIN or attempt == attempts:
                    raise
        return result

    # -- watches -----------------------------------------------------------------------

    def monitor(self) -> Monitor:
        """Return a monitor with its own connection to the same daemon."""
        return Monitor(self.connection.clone())

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
        return self._monitor().wait(timeout=timeout)

    def _monitor(self) -> Monitor:
        own: t.Optional[Monitor] = vars(self).get("_own_monitor")
        if own is None:
            # setdefault() is atomic: two threads get the same monitor.
            own = vars(self).setdefault("_own_monitor", self.monitor())
        return own


Client.__module__ = "pyxs"  # where help() is to find it
explain(Client, CLIENT)


def _condition(
    condition: "t.Union[str, t.Callable[[str], object], None]",
) -> "t.Callable[[str], object]":
    """Return a condition of :meth:`Client.wait_for` as a callable."""
    if condition is None:
        return lambda _value: True
    if isinstance(condition, str):
        return lambda value: value == condition
    if callable(condition):
        return condition
    raise InvalidPayload(
        condition, "condition {:.80}: must be str or a callable".format(repr(condition))
    )


def _timeout_message(path: str, value: "t.Optional[str]", timeout: "t.Optional[float]") -> str:
    state = "there is no such node" if value is None else "the value is {:.80}".format(repr(value))
    return "{}: waited for {} s, and {}".format(path, timeout, state)


def _pair(item: "t.Any") -> "t.Tuple[t.Any, t.Any]":
    if isinstance(item, (str, bytes)):
        raise _not_a_pair(item)
    try:
        path, value = item
    except (TypeError, ValueError) as exc:
        if not raised_here(exc):
            raise
        raise _not_a_pair(item) from None
    return path, value


def _not_a_pair(item: "t.Any") -> InvalidPayload:
    return InvalidPayload(item, "{:.80}: an item must be a path and a value".format(repr(item)))


def _abort(reply: bytes) -> Request:
    """Return the request that undoes a TRANSACTION_START, given its reply."""
    return Request(Op.TRANSACTION_END, b"F\0", replies.decode_transaction(reply))


def _value(request: Request, default: "t.Any") -> "t.Any":
    """Return the value in the reply to a READ, or the default for ENOENT."""
    if default is not _MISSING and request.refusal == b"ENOENT":
        return default
    return decode_text(request.result())
