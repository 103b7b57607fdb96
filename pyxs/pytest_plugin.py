"""Fixtures for tests of programs that use XenStore. pytest finds them where pyxs is installed."""

import os
import pathlib
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Optional

import pytest

if TYPE_CHECKING:
    from .client import Client
    from .xenstored import XenStored

# Every run of pytest imports this module where pyxs is installed. Each fixture therefore
# imports what it needs itself.

_VARIABLE = "XENSTORED_PATH"

#: No socket. What of a marked test's class or module runs outside of the test fails with this path.
_NOWHERE = "/@pytest.mark.xenstore runs a daemon during each test only"


def pytest_configure(config: "pytest.Config") -> None:
    """Register the marker ``xenstore``."""
    config.addinivalue_line(
        "markers",
        "xenstore(snapshot, like='4.17'): run on an in-memory daemon that begins with these nodes, "
        "a dict or the path of a file relative to the test's directory, and is like this Xen",
    )


def pytest_collection_modifyitems(items: "List[pytest.Item]") -> None:
    """Let the marker ``xenstore`` request the fixture ``xenstored``.

    Without it, a marked test that forgets the fixture would change the machine's own store.
    """
    for item in items:
        names = getattr(item, "fixturenames", None)
        if names is not None and "xenstored" not in names and item.get_closest_marker("xenstore"):
            names.insert(_wider(item, names), "xenstored")


def _wider(item: Any, names: "List[str]") -> int:
    """Return how many fixtures of a test come before those that are its own."""
    known = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {})
    for index, name in enumerate(names):
        if name in known and known[name][-1].scope == "function":
            return index
    return len(names)


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: "pytest.Item") -> "Iterator[None]":
    """Keep what surrounds a marked test, such as ``setUpClass``, off the machine's own store."""
    names = getattr(item, "fixturenames", ())
    before = os.environ.get(_VARIABLE)
    if item.get_closest_marker("xenstore") and "xenstored_session" not in names:
        os.environ[_VARIABLE] = _NOWHERE
    yield
    if os.environ.get(_VARIABLE) == _NOWHERE:
        _restore(before)


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

    with XenStored(**_options(request.node)) as daemon:
        monkeypatch.setenv(_VARIABLE, daemon.path)
        yield daemon


@pytest.fixture(scope="session")
def xenstored_session() -> "Iterator[XenStored]":
    """One in-memory daemon for the whole run, for fixtures of a wider scope than one test.

    ``$XENSTORED_PATH`` names its socket until the end of the run, except in tests that use
    ``xenstored``. Nodes that a test leaves behind are there in the next.
    """
    from .xenstored import XenStored

    before = os.environ.get(_VARIABLE)
    with XenStored() as daemon:
        os.environ[_VARIABLE] = daemon.path
        yield daemon
    _restore(before)


def _restore(path: "Optional[str]") -> None:
    if path is None:
        del os.environ[_VARIABLE]
    else:
        os.environ[_VARIABLE] = path


@pytest.fixture
def xenstore(xenstored: "XenStored") -> "Iterator[Client]":
    """A client that is connected to the daemon of the ``xenstored`` fixture."""
    with xenstored.client() as client:
        yield client


def _options(item: Any) -> "Dict[str, Any]":
    """Return the arguments of the marker ``xenstore`` as those of ``XenStored``."""
    marker = item.get_closest_marker("xenstore")
    if marker is None:
        return {}
    options = dict(marker.kwargs)
    if marker.args and "snapshot" not in options:
        options["snapshot"], *more = marker.args
    else:
        more = marker.args
    snapshot = options.get("snapshot", {})
    if more or set(options) - {"snapshot", "like"} or not isinstance(snapshot, _SNAPSHOTS):
        raise pytest.UsageError(
            "@pytest.mark.xenstore takes one snapshot, a dict or a file, and like='4.17'"
        )
    if not isinstance(snapshot, dict):
        options["snapshot"] = _directory(item) / snapshot
    return options


_SNAPSHOTS = (dict, str, os.PathLike)


def _directory(item: Any) -> pathlib.Path:
    path = getattr(item, "path", None)  # since pytest 7
    return pathlib.Path(str(item.fspath) if path is None else path).parent
