"""One suite for every daemon and every connection, and what its tests share."""

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
    """The daemon answers the one request in the body with one of these errnos."""
    with pytest.raises(PyXSError) as caught:
        yield
    answer = caught.value
    assert type(answer) is PyXSError, answer
    assert errno.errorcode[answer.errno] in names
    assert answer.args == (answer.errno, os.strerror(answer.errno))


def outcome(function, *args):
    """What a call returned, or the name of the errno with which the daemon refused it."""
    try:
        return function(*args)
    except PyXSError as answer:
        if answer.errno is None:
            raise
        return errno.errorcode[answer.errno]


def heard(monitor):
    """The events of everything that had happened when this was called, in order."""
    fence = "fence-{}".format(next(_fences))
    monitor.watch(fence)  # its own first event comes after all that are waiting
    events = []
    while True:
        event = monitor.wait(timeout=PATIENCE)
        assert event is not None, "only {} came".format(events)
        if event.token == fence:
            monitor.unwatch(fence)
            return events
        events.append(event)
