"""Fixtures for tests of code that uses XenStore; installing pyxs registers them."""

from typing import TYPE_CHECKING, Iterator

import pytest

if TYPE_CHECKING:
    from .client import Client
    from .xenstored import XenStored

# Every run of pytest imports this module, wherever pyxs is installed: what the
# fixtures need is imported by those that are used.


@pytest.fixture
def xenstored(monkeypatch: "pytest.MonkeyPatch") -> "Iterator[XenStored]":
    """A fresh in-memory daemon.

    ``$XENSTORED_PATH`` names its socket, so ``Client()``, ``xs()`` and the C tools find it.
    """
    from .xenstored import XenStored

    with XenStored() as daemon:
        monkeypatch.setenv("XENSTORED_PATH", daemon.path)
        yield daemon


@pytest.fixture
def xenstore(xenstored: "XenStored") -> "Iterator[Client]":
    """A connected client of the ``xenstored`` fixture's daemon."""
    from .client import Client

    with Client(xenstored.path) as client:
        yield client
