"""What kind of exception is raised, and what it tells."""

import builtins
import errno
import pickle

import pytest

import pyxs
from pyxs.helpers import error

INVALID = [pyxs.InvalidOperation, pyxs.InvalidPath, pyxs.InvalidPayload, pyxs.InvalidPermission]


@pytest.mark.parametrize("kind", INVALID + [pyxs.ConnectionError, pyxs.UnexpectedPacket])
def test_all_are_pyxs_errors(kind):
    assert issubclass(kind, pyxs.PyXSError)


@pytest.mark.parametrize("kind", INVALID)
def test_a_bad_argument_is_a_value_error(kind):
    exc = kind("path '': a path may not be empty")
    assert isinstance(exc, ValueError)
    assert exc.errno is None
    assert exc.args == ("path '': a path may not be empty",)
    assert str(exc) == exc.strerror == "path '': a path may not be empty"


@pytest.mark.parametrize("kind", [pyxs.ConnectionError, pyxs.UnexpectedPacket])
def test_a_lost_connection_is_the_builtin_connection_error(kind):
    exc = kind("/socket: timed out")
    assert isinstance(exc, builtins.ConnectionError)
    assert str(exc) == exc.strerror == "/socket: timed out"


def test_a_lost_connection_is_never_taken_for_a_missing_node():
    assert pyxs.ConnectionError("/socket: No such file or directory").errno is None


def test_an_unexpected_packet_is_a_connection_error():
    assert issubclass(pyxs.UnexpectedPacket, pyxs.ConnectionError)


def test_an_answer_of_the_daemon_has_number_and_words():
    exc = error("ENOENT")
    assert type(exc) is pyxs.PyXSError
    assert exc.args == (errno.ENOENT, "No such file or directory")
    assert exc.errno == errno.ENOENT
    assert exc.strerror == "No such file or directory"
    assert str(exc) == "[Errno 2] No such file or directory"


def test_an_answer_of_the_daemon_is_no_bad_argument_and_no_lost_connection():
    assert not isinstance(error("EINVAL"), (ValueError, OSError))


@pytest.mark.parametrize(
    "exc", [error("EAGAIN"), pyxs.ConnectionError("gone"), pyxs.InvalidPath("bad")]
)
def test_they_can_be_pickled(exc):
    copy = pickle.loads(pickle.dumps(exc))
    assert type(copy) is type(exc)
    assert (copy.args, copy.errno, copy.strerror) == (exc.args, exc.errno, exc.strerror)
    assert str(copy) == str(exc)
