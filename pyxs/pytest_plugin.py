"""Fixtures for tests of programs that use XenStore. pytest finds them where pyxs is installed."""

import os
from typing import TYPE_CHECKING, Any, Iterator

import pytest

if TYPE_CHECKING:
    from .client import Client
    from .xenstored import XenStored

# Every run of pytest imports this module where pyxs is installed. Each fixture therefore
# imports what it needs itself.


def pytest_configure(config: "pytest.Config") -> None:
    """Register the marker ``xenstore``."""
    config.addinivalue_line(
        "markers",
        "xenstore(snapshot): start the daemon with these nodes: a dict, or the path of a file, "
        "relative to the test's directory",
    )


@pytest.fixture
def xenstored(
    request: "pytest.FixtureRequest", monkeypatch: "pytest.MonkeyPatch"
) -> "Iterator[XenStored]":
    """A new in-memory daemon, a ``pyxs.xenstored.XenStored``.

    ``$XENSTORED_PATH`` names its socket, so ``Client()``, ``xs()`` and the C tools find it.
    The store is empty, or has the nodes of ``@pytest.mark.xenstore(...)``: a snapshot as a
    dict, or the path of a file, relative to the directory of the test's file.
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
    """A client that is connected to the daemon of the ``xenstored`` fixture."""
    from .client import Client

    with Client(xenstored.path) as client:
        yield client
