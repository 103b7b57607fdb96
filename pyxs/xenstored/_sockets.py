"""Making and closing the sockets of the daemon, and removing their files."""

import contextlib
import errno
import fcntl
import os
import socket
import stat
import tempfile
import time
from typing import Iterator, Optional, Tuple

from ..exceptions import ConnectionError

_PATH_MAX = 107  # bytes in the path of a Unix socket on Linux, unix(7)
_LOCK_SECONDS = 0.5


def shut_down(sock: socket.socket) -> None:
    """End a connection and close its socket."""
    # A forked process may have a copy of the descriptor: closing it here would not end the
    # connection.
    with contextlib.suppress(OSError):  # the client has ended it already
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()


def private_directory() -> str:
    """Make a directory for sockets that only this user can enter, and return its path."""
    parent: Optional[str] = tempfile.gettempdir()
    longest = os.path.join(str(parent), "pyxs-12345678", "domain-32751")
    if len(os.fsencode(longest)) > _PATH_MAX:
        parent = "/tmp"  # noqa: S108, the new directory is this user's alone
    return tempfile.mkdtemp(prefix="pyxs-", dir=parent)


def listen(path: str) -> "Tuple[socket.socket, os.stat_result]":
    """Make a socket that listens at *path*, and return it with the status of its file.

    It replaces the socket of a daemon that has ended.

    :raises ConnectionError: a daemon listens there, *path* is not a socket, or it cannot be made.
    """
    if len(os.fsencode(path)) > _PATH_MAX:
        text = "{}: the path of a socket has at most {} bytes"
        raise ConnectionError(text.format(path, _PATH_MAX))
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _alone_in(os.path.dirname(path)):
            _remove_stale(path)
            listener.bind(path)
            os.chmod(path, 0o600)  # as the real daemons do
            listener.listen(128)
            return listener, os.stat(path)
    except OSError as error:
        listener.close()
        if isinstance(error, ConnectionError):
            raise
        raise ConnectionError("{}: {}".format(path, error.strerror or error)) from error


def remove_own(path: str, status: os.stat_result) -> None:
    """Remove a socket that still listens, unless another daemon has replaced its file."""
    with _alone_in(os.path.dirname(path)), contextlib.suppress(FileNotFoundError):
        if os.path.samestat(os.stat(path), status):
            os.unlink(path)


def _remove_stale(path: str) -> None:
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            raise ConnectionError("{}: this file exists and is not a socket".format(path))
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(path)
        except (BlockingIOError, socket.timeout):
            pass  # a daemon listens there, and is busy
        except OSError as error:
            if error.errno == errno.ECONNREFUSED:
                os.unlink(path)
                return
            raise
    raise ConnectionError(
        "{}: another daemon serves this socket; stop it or choose another path".format(path)
    )


@contextlib.contextmanager
def _alone_in(directory: str) -> "Iterator[None]":
    """Hold a lock on a directory, so that no other daemon of pyxs makes or removes sockets there.

    A socket does not listen from the beginning, so another daemon could take it for stale.
    """
    try:
        descriptor = os.open(directory, os.O_RDONLY)
    except OSError:  # it may be writable and not readable
        yield
        return
    try:
        _lock(descriptor)
        yield
    finally:
        # Closing it is not enough: a process forked meanwhile may have a copy.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    # Others lock directories for their own reasons, for a long time: systemd-tmpfiles(8) asks for
    # it. Do without the lock then.
    deadline = time.monotonic() + _LOCK_SECONDS
    while time.monotonic() < deadline:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            time.sleep(0.01)
        else:
            return
