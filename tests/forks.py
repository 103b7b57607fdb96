"""Forks without the warning that Python since 3.12 gives in a process with several threads.

pytest-timeout always runs a thread. It holds no lock that a child needs, and the children of
these tests call little more than pyxs before ``os._exit`` or ``exec``. Tests with threads of
their own fork beside them on purpose.
"""

import contextlib
import os
import pty
import warnings

__all__ = ["fork", "forkpty"]


@contextlib.contextmanager
def _beside_threads():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*multi-threaded.*fork", DeprecationWarning)
        yield


def fork():
    """``os.fork()``."""
    with _beside_threads():
        return os.fork()


def forkpty():
    """``pty.fork()``."""
    with _beside_threads():
        return pty.fork()
