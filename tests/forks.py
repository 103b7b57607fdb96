"""Forks in tests, which Python since 3.12 warns of: the thread of pytest-timeout is always there.

That thread holds no lock that a child would want, and a child here calls little more than pyxs
before ``os._exit`` or ``exec``. Where a test has threads of its own, the fork beside them is
what it tests.
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
