"""The public class of the in-memory daemon."""

import os
from typing import TYPE_CHECKING, Any, Mapping, Optional, Union

from .._annotations.types import Domid
from .._records import read_any
from ..client import Client
from ..exceptions import ConnectionError
from ..helpers import validate_domid
from ._permissions import DOM0, DOMID_FIRST_RESERVED
from ._versions import version_of
from .server import Server

if TYPE_CHECKING:
    SnapshotSource = Union[Mapping[Any, Any], str, "os.PathLike[str]"]
else:  # before 3.9 os.PathLike takes no parameters
    SnapshotSource = Union[Mapping[Any, Any], str, os.PathLike]

__all__ = ["XenStored"]


class XenStored:
    """A XenStore daemon that keeps its store in memory.

    .. code-block:: python

        with XenStored() as daemon, Client(unix_socket_path=daemon.path) as c:
            c.write("/a", "1")

    It answers as the C daemon of one version of Xen does. Each :meth:`start` begins with an empty
    store, or with the nodes of a snapshot.

    :param path: the path of its socket; by default a socket in a new directory that only
        this user can enter. :meth:`stop` removes it.
    :param snapshot: a dict as :mod:`pyxs.snapshot` describes it, or the path of a JSON file.
        The daemon introduces the domains that have a node in ``/local/domain``.
    :param like: the version of Xen, ``"4.17"`` or ``"4.22"``. ``"4.17"`` also answers requests
        that came later: features, quotas and the depth of a watch.
    :raises InvalidPath, InvalidPayload, InvalidPermission: an entry of *snapshot* breaks a
        rule, or *like* is another version.
    :raises OSError: the file cannot be read.
    """

    def __init__(
        self,
        path: "Optional[str]" = None,
        snapshot: "Optional[SnapshotSource]" = None,
        like: str = "4.17",
    ) -> None:
        self._version = version_of(like)
        self._given_path = None if path is None else os.path.abspath(os.fspath(path))
        self._records = [] if snapshot is None else read_any(snapshot)
        self._server: Optional[Server] = None

    def __enter__(self) -> "XenStored":
        """Start the daemon; see :meth:`start`."""
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Stop the daemon; see :meth:`stop`."""
        self.stop()

    @property
    def path(self) -> str:
        """The path of the socket whose connections speak as domain 0.

        :raises ConnectionError: no path was given, and the daemon is not running.
        """
        if self._given_path is not None:
            return self._given_path
        return self._running().path

    def start(self) -> None:
        """Start a thread that serves the store.

        :raises PyXSError: of a node in the snapshot, whose path it has: ``ENOENT`` its owner is
            not a domain; ``EINVAL`` a path of this length cannot be used in this version.
        :raises ConnectionError: this daemon is running, another daemon serves the socket, or
            the socket cannot be created.
        """
        if self._server is not None:
            raise ConnectionError("{}: this daemon is already running".format(self.path))
        self._server = Server(self._given_path, self._records, self._version)

    def stop(self) -> None:
        """End all connections, and remove the sockets and directories of :meth:`start`.

        It does nothing if the daemon is not running. In a process forked from the daemon's it
        only closes that process's descriptors.
        """
        server, self._server = self._server, None
        if server is not None:
            server.stop()

    #: Another name of :meth:`stop`, as files and clients have it.
    close = stop

    def client(self, domid: Domid = 0) -> Client:
        """Return a client that speaks as a domain, which is introduced unless it is.

        .. code-block:: python

            with XenStored() as daemon, daemon.client(7) as guest:
                guest.write("data/key", "1")  # /local/domain/7/data/key

        It connects when it is entered, or with its first command. Close it, or use it in a
        ``with`` block.

        :param domid: 0 to 32751, or its digits.
        :raises InvalidPayload: *domid* is not such a number.
        :raises ConnectionError: the daemon is not running in this process.
        """
        return Client(self.socket_for(domid))

    def socket_for(self, domid: Domid, path: "Optional[str]" = None) -> str:
        """Introduce a domain and return the path of a socket for it.

        Connections to the socket speak as that domain: its permissions and quotas apply, and
        their relative paths begin at ``/local/domain/<domid>``.

        :param domid: 1 to 32751, or its digits; for 0 the result is :attr:`path`.
        :param path: where to make the socket; by default in a new directory that only this user
            can enter, the same for each call.
        :raises InvalidPayload: *domid* is not such a number.
        :raises ConnectionError: the daemon is not running in this process, or the socket cannot
            be created.
        """
        number = _domid(domid, DOM0)
        if number == DOM0:
            return self.path
        server = self._running()
        given = None if path is None else os.path.abspath(os.fspath(path))
        return str(server.call(lambda: server.socket_for(number, given)))

    def introduce(self, domid: Domid) -> None:
        """Introduce a domain, unless it is introduced; see :meth:`~pyxs.Client.introduce_domain`.

        :param domid: 1 to 32751, or its digits.
        :raises InvalidPayload: *domid* is not such a number.
        :raises ConnectionError: the daemon is not running in this process.
        """
        number = _domid(domid, DOM0 + 1)
        server = self._running()
        server.call(lambda: server.introduce(number))

    def release(self, domid: Domid) -> None:
        """Release a domain; see :meth:`~pyxs.Client.release_domain`.

        This ends the domain's connections, and removes its nodes with all nodes below them.

        :param domid: 1 to 32751, or its digits.
        :raises InvalidPayload: *domid* is not such a number.
        :raises PyXSError: ``ENOENT`` the domain is not introduced; ``EINVAL`` it owns ``/``.
        :raises ConnectionError: the daemon is not running in this process.
        """
        number = _domid(domid, DOM0 + 1)
        server = self._running()
        server.call(lambda: server.release(number))

    def _running(self) -> "Server":
        if self._server is None:
            raise ConnectionError("the daemon is not running; call start(), or use a with block")
        return self._server


def _domid(domid: Domid, minimum: int) -> int:
    return validate_domid(domid, minimum=minimum, maximum=DOMID_FIRST_RESERVED - 1)
