"""The descriptor for select loops, apart from a monitor."""

import contextlib
import errno
import gc
import os
import select
import socket

import pytest

from common import HandlerError, before_line, interrupt
from pyxs._conversation.readiness import Readiness


@pytest.fixture
def readiness():
    with contextlib.closing(Readiness()) as readiness:
        yield readiness


@pytest.fixture
def pair():
    """Return two connected sockets."""
    ends = socket.socketpair()
    yield ends
    for end in ends:
        end.close()


def readable(readiness):
    return bool(select.select([readiness.fileno()], [], [], 0)[0])


def test_a_descriptor_that_is_followed_no_more_does_not_count(readiness, pair):
    connection, daemon = pair
    readiness.show(lambda: (False, connection.fileno()))
    daemon.send(b"x")
    assert readable(readiness)
    readiness.show(lambda: (False, None))
    assert not readable(readiness)


def test_after_an_interruption_the_state_can_be_shown(readiness):
    line = "ready, fd = state"
    with pytest.raises(HandlerError), before_line(Readiness._become, line, interrupt):
        readiness.show(lambda: (True, None))
    readiness.show(lambda: (True, None))
    assert readable(readiness)


def test_a_new_connection_with_the_number_of_one_whose_loss_was_not_shown_is_followed(
    readiness, pair
):
    connection, daemon = pair
    with socket.socket(socket.AF_UNIX) as lost:
        number = lost.fileno()
        readiness.show(lambda: (False, number))
        line = "ready, fd = state"
        with pytest.raises(HandlerError), before_line(Readiness._become, line, interrupt):
            readiness.show(lambda: (True, None))
        os.dup2(connection.fileno(), number)
        readiness.show(lambda: (False, number))
        assert not readable(readiness)
        daemon.send(b"x")
        assert readable(readiness)


def test_events_while_connections_come_and_go_never_block(readiness, pair):
    connections = (None, pair[0].fileno())
    for number in range(2000):  # a socket pair takes some hundred bytes sent one by one
        readiness.show(lambda number=number: (True, connections[number % 2]))
    readiness.show(lambda: (False, None))
    assert not readable(readiness)


def test_without_a_descriptor_left_only_oserror_is_raised(monkeypatch, capfd):
    def socketpair():
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(socket, "socketpair", socketpair)
    with pytest.raises(OSError, match="Too many open files"):
        Readiness()
    gc.collect()  # an exception in a finalizer is a warning, before 3.8 only text
    assert capfd.readouterr().err == ""
