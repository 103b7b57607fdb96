"""Tests that hold for every daemon and every connection, and their helpers."""

import contextlib
import errno
import itertools
import os

import pytest

from common import PATIENCE
from pyxs import PyXSError

_fences = itertools.count()


@contextlib.contextmanager
def refused(*names):
    """Check that the daemon refuses the request in the body with one of these errnos."""
    with pytest.raises(PyXSError) as caught:
        yield
    answer = caught.value
    assert answer.is_answer, answer
    assert errno.errorcode[answer.errno] in names
    assert answer.args == (answer.errno, os.strerror(answer.errno))


def outcome(function, *args):
    """Return what a call returns, or the name of the errno if the daemon refuses it."""
    try:
        return function(*args)
    except PyXSError as answer:
        if answer.errno is None:
            raise
        return errno.errorcode[answer.errno]


def heard(monitor):
    """Return the events of all that has happened so far, in order."""
    fence = "fence-{}".format(next(_fences))
    monitor.watch(fence)  # the first event of this watch comes after all queued events
    events = []
    while True:
        event = monitor.wait(timeout=PATIENCE)
        assert event is not None, "only {} came".format(events)
        if event.token == fence:
            monitor.unwatch(fence)
            return events
        events.append(event)
