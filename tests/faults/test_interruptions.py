"""Whatever is raised at whatever instruction of an operation: it passes, and all works after.

``PYXS_LONG=1`` takes every point and everything that may be raised; else a part, another on
each interpreter. ``PYXS_POINTS=17,18`` takes those. With ``-s`` the numbers are shown.
"""

import itertools
import os
import sys

import pytest

from fakes import FakeBus

from . import LONG, bystanders, operations
from .interruptions import KINDS, MODES, Explorer
from .places import TRANSPORTS, Place

pytestmark = [
    # A socket that was interrupted before it could be kept is closed by its finalizer.
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    # What is raised in a finalizer nobody gets.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.timeout(0 if LONG else 300),
]

#: Every so many points in CI, by interpreter; primes, so that loops are met at each step.
STRIDE = 1 if LONG else (23, 29, 31, 37, 41, 43, 47)[sys.version_info[1] % 7]
CHOSEN = os.environ.get("PYXS_POINTS")

#: The makers of all operations, by name: a class, the operation, and what else it is given.
OPERATIONS = {
    "{}: {}".format(subject, name): (cls, operation, options)
    for subject, cls, group, options in operations.GROUPS + bystanders.GROUPS
    for name, operation in group.items()
}

_totals = {}


@pytest.fixture(scope="module")
def place():
    with Place() as place:
        yield place
    points, runs = (sum(column) for column in zip(*_totals.values())) if _totals else (0, 0)
    print("\n{} points, {} interruptions".format(points, runs))


def points(mode):
    if CHOSEN:
        return [int(number) for number in CHOSEN.split(",")]
    return itertools.count(1, 1 if mode == "c_returns" else STRIDE)


def kinds(number):
    if LONG or CHOSEN:
        return KINDS
    return [KINDS[number % len(KINDS)]]  # STRIDE has no factor in common


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_interrupted_at_any_point(name, transport, mode, place, monkeypatch):
    if name.startswith("xs"):
        monkeypatch.setenv("XENSTORED_PATH", place.path)
        if transport == "bus":
            monkeypatch.setattr("pyxs._xs.handle.UnixSocketConnection", FakeBus)
    if transport == "bus" and "late readers" in name:
        pytest.skip("a request over XenBus waits for the one before it")
    cls, operation, options = OPERATIONS[name]
    explorer = Explorer(
        lambda: cls(place, transport, operation, *options), mode, kinds, points(mode)
    )
    explorer.explore()
    _totals[name, transport, mode] = (explorer.passed, explorer.interruptions)
    print("{:40} {:7} {:9} {:6} points".format(name, transport, mode, explorer.passed))
    assert not explorer.failures, explorer.report()
