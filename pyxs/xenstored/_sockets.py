"""Closing the sockets of the daemon, and removing their files."""

import contextlib
import errno
import os
import socket
import stat

from ..exceptions import ConnectionError


def shut_down(sock: socket.socket) -> None:
    """End a connection and close its socket."""
    # A forked process may have a copy of the descriptor: closing it here would not end the
    # connection.
    with contextlib.suppress(OSError):  # the client has ended it already
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()


def remove_stale(path: str) -> None:
    """Remove a socket if no daemon listens on it.

    :raises ConnectionError: a daemon listens on it, or *path* is not a socket.
    """
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            raise ConnectionError("{}: this file exists and is not a socket".format(path))
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(path)
        except OSError as error:
            if error.errno == errno.ECONNREFUSED:
                os.unlink(path)
                return
            raise
    raise ConnectionError(
        "{}: another daemon serves this socket; stop it or choose another path".format(path)
    )


def remove_own(path: str, status: os.stat_result) -> None:
    """Remove a socket, unless another daemon has replaced it."""
    with contextlib.suppress(FileNotFoundError):
        if os.path.samestat(os.stat(path), status):
            os.unlink(path)
