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
    # If it strikes before the program has the client, the transaction is aborted.
    pytest.mark.filterwarnings("ignore:transaction .* was neither:RuntimeWarning"),
    pytest.mark.timeout(0 if LONG else 300),
]

#: The distances of points, by interpreter. Primes reach every instruction of a loop.
STRIDE = 1 if LONG else (151, 157, 163, 167, 173, 179, 181)[sys.version_info[1] % 7]
C_STRIDE = 1 if LONG else (7, 11, 13)[sys.version_info[1] % 3]
#: The distances of the first and the second of two points.
STRIDES = (1, 1) if LONG else (2 * STRIDE + 1, (67, 71, 73, 79)[sys.version_info[1] % 4])
SECOND_MAX = 2000  # no clean-up has more points
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


def runs(mode):
    """Yield the points of the exceptions, and their kinds."""
    if CHOSEN:
        numbers = [int(number) for number in CHOSEN.split(",")]
    else:
        numbers = itertools.count(1, C_STRIDE if mode == "c_returns" else STRIDE)
    for count, number in enumerate(numbers):
        for kind in KINDS if LONG or CHOSEN else [KINDS[count % len(KINDS)]]:
            yield [(number, kind)]


def double_runs():
    """Yield the points of two exceptions, and their kinds."""
    kinds = itertools.cycle(itertools.permutations(KINDS, 2))
    for first in itertools.count(1, STRIDES[0]):
        for second in range(1 + first % STRIDES[1], SECOND_MAX, STRIDES[1]):
            yield list(zip((first, second), next(kinds)))


def explore(name, place, transport, mode, runs, monkeypatch):
    if name.startswith("xs"):
        monkeypatch.setenv("XENSTORED_PATH", place.path)
        if transport == "bus":
            monkeypatch.setattr("pyxs._xs.handle.connection_at", FakeBus)
    cls, operation, options = OPERATIONS[name]
    explorer = Explorer(lambda: cls(place, transport, operation, *options), mode, runs)
    explorer.explore()
    _totals[name, transport, mode] = (explorer.passed, explorer.interruptions)
    print("{:40} {:7} {:9} {:6} points".format(name, transport, mode, explorer.passed))
    assert not explorer.failures, explorer.report()
    assert explorer.interruptions or CHOSEN, "no point was interrupted"


@pytest.mark.parametrize(
    ("transport", "mode"),
    [pair for pair in itertools.product(TRANSPORTS, MODES) if LONG or pair != ("bus", "c_returns")],
)
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_interrupted_at_any_point(name, transport, mode, place, monkeypatch):
    explore(name, place, transport, mode, runs(mode), monkeypatch)


@pytest.mark.parametrize("transport", TRANSPORTS if LONG else TRANSPORTS[:1])
@pytest.mark.parametrize("name", OPERATIONS)
def test_the_clean_up_after_an_interruption_is_interrupted_too(name, transport, place, monkeypatch):
    explore(name, place, transport, MODES[0], double_runs(), monkeypatch)
