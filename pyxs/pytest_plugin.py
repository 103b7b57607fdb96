"""Fixtures for tests of code that uses XenStore; installing pyxs registers them."""

import os
from typing import TYPE_CHECKING, Any, Iterator

import pytest

if TYPE_CHECKING:
    from .client import Client
    from .xenstored import XenStored

# Every run of pytest imports this module, wherever pyxs is installed: what the
# fixtures need is imported by those that are used.


def pytest_configure(config: "pytest.Config") -> None:
    """Register the marker."""
    config.addinivalue_line(
        "markers",
        "xenstore(snapshot): begin with these nodes: a dict, or a file beside the test's own",
    )


@pytest.fixture
def xenstored(
    request: "pytest.FixtureRequest", monkeypatch: "pytest.MonkeyPatch"
) -> "Iterator[XenStored]":
    """A fresh in-memory daemon.

    ``$XENSTORED_PATH`` names its socket, so ``Client()``, ``xs()`` and the C tools find it.
    It is empty, or holds what ``@pytest.mark.xenstore(...)`` says: a snapshot as a dict,
    or the path of one, relative to the directory of the test's file.
    """
    from .xenstored import XenStored

    with XenStored(snapshot=_snapshot(request.node)) as daemon:
        monkeypatch.setenv("XENSTORED_PATH", daemon.path)
        yield daemon


def _snapshot(item: Any) -> Any:
    marker = item.get_closest_marker("xenstore")
    if marker is None:
        return None
    snapshot = marker.args[0] if len(marker.args) == 1 and not marker.kwargs else None
    if isinstance(snapshot, dict):
        return snapshot
    if isinstance(snapshot, (str, os.PathLike)):
        return item.path.parent / snapshot
    raise pytest.UsageError("@pytest.mark.xenstore takes one snapshot, a dict or a file")


@pytest.fixture
def xenstore(xenstored: "XenStored") -> "Iterator[Client]":
    """A connected client of the ``xenstored`` fixture's daemon."""
    from .client import Client

    with Client(xenstored.path) as client:
        yield client
