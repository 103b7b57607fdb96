"""An exception raised at any instruction of an operation reaches the caller, and pyxs works on.

``PYXS_LONG=1`` tries every point with every exception; otherwise a part of them, a different one
on each interpreter. ``PYXS_POINTS=17,18`` tries only these points. ``-s`` shows the numbers.
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
    # If the exception strikes before pyxs has stored a new socket, a finalizer closes it.
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    # Python reports an exception in a finalizer and drops it.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.timeout(0 if LONG else 300),
]

#: The distance of points, by interpreter. Primes reach every instruction of a loop.
STRIDE = 1 if LONG else (47, 53, 59, 61, 67, 71, 73)[sys.version_info[1] % 7]
C_STRIDE = 1 if LONG else 3 + sys.version_info[1] % 3
CHOSEN = os.environ.get("PYXS_POINTS")

#: The makers of all operations, by name: a class, the operation, and more arguments for the class.
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
    return itertools.count(1, C_STRIDE if mode == "c_returns" else STRIDE)


def kinds(number):
    if LONG or CHOSEN:
        return KINDS
    return [KINDS[number % len(KINDS)]]  # each in turn: no stride has a factor in common with 7


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
    assert explorer.interruptions or CHOSEN, "no point was interrupted"
