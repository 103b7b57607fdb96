"""The types of exceptions and their attributes."""

import builtins
import errno
import pickle

import pytest

import pyxs
from pyxs.helpers import error

INVALID = [pyxs.InvalidOperation, pyxs.InvalidPath, pyxs.InvalidPayload, pyxs.InvalidPermission]


@pytest.mark.parametrize("kind", INVALID + [pyxs.ConnectionError, pyxs.UnexpectedPacket])
def test_all_exceptions_are_pyxs_errors(kind):
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


def test_a_lost_connection_is_never_reported_as_a_missing_node():
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


def test_an_error_of_the_daemon_is_neither_a_bad_argument_nor_a_lost_connection():
    assert not isinstance(error("EINVAL"), (ValueError, OSError))


def test_an_answer_of_the_daemon_names_the_node():
    exc = error("ENOENT", path="/missing")
    assert exc.path == "/missing"
    assert exc.args == (errno.ENOENT, "No such file or directory")
    assert str(exc) == "[Errno 2] No such file or directory: '/missing'"


def test_only_a_refusal_of_pyxs_itself_has_a_reason():
    assert error("ENOENT").why is None
    assert pyxs.InvalidPath("/a//b").why is None
    with pytest.raises(pyxs.PyXSError) as caught:
        pyxs.Client("/nowhere").rm("/")
    assert caught.value.args == (errno.EINVAL, "Invalid argument")
    assert caught.value.why == "pyxs refuses this: the OCaml daemon would empty its store"


def test_only_an_error_of_the_daemon_counts_as_its_answer():
    assert error("ENOENT").is_answer
    assert not pyxs.ConnectionError("/socket: timed out").is_answer
    assert not pyxs.InvalidPath("/a//b").is_answer


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (pyxs.InvalidOperation, "operation"),
        (pyxs.InvalidPath, "path"),
        (pyxs.InvalidPayload, "value"),
        (pyxs.InvalidPermission, "perm"),
    ],
)
def test_a_bad_argument_is_kept(kind, name):
    given = object()
    exc = kind(given, "a rule")
    assert getattr(exc, name) is given
    assert str(exc) == "a rule"
    assert getattr(kind(**{name: "given"}), name) == str(kind("given")) == "given"


@pytest.mark.parametrize(
    ("use", "name", "value"),
    [
        (lambda client: client.read("/a//b"), "path", "/a//b"),
        (lambda client: client.read(None), "path", None),
        (lambda client: client.read("/" + "x" * 3072), "path", "/" + "x" * 3072),
        (lambda client: client.watch("@other"), "path", "@other"),
        (lambda client: client.read_many("/a"), "path", "/a"),
        (lambda client: client.set_permissions("/a", "n0"), "perm", "n0"),
        (lambda client: client.set_permissions("/a", 5), "perm", 5),
        (lambda client: client.set_permissions("/a", []), "perm", []),
        (lambda client: client.set_permissions("/a", ["n0", "q1"]), "perm", "q1"),
        (lambda client: client.set_permissions("/a", ["n32757"]), "perm", "n32757"),
        (lambda client: client.write("/a", "b\0"), "value", "b\0"),
        (lambda client: client.write("/a", "\ud800"), "value", "\ud800"),
        (lambda client: client.write_many([("/a",)]), "value", ("/a",)),
        (lambda client: client.watch("/a", ""), "value", ""),
        (lambda client: client.watch("/a", 5), "value", 5),
        (lambda client: client.watch("/a", "b\0c"), "value", "b\0c"),
        (lambda client: client.get_domain_path("five"), "value", "five"),
        (lambda client: client.control(""), "value", ""),
        (lambda client: client.get_quota(""), "value", ""),
        (lambda client: client.get_quota(domid=3), "value", 3),
        (lambda client: client.wait_for("/a", []), "value", []),
        (lambda client: client.wait_for("/a", timeout="5"), "value", "5"),
        (lambda client: client.execute_command(99), "operation", 99),
        (lambda client: client.execute_command(pyxs.connection.Op.WATCH), "operation", 4),
        (lambda client: pyxs.connection.Packet(99, b""), "operation", 99),
        (lambda client: pyxs.connection.Packet(2, b"x" * 4097), "value", b"x" * 4097),
        (lambda client: pyxs.Client("/s", socket_timeout=-1), "value", -1),
    ],
)
def test_the_bad_argument_of_a_call_is_kept(use, name, value):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 that is what the test looks at
        use(pyxs.Client("/nowhere"))
    assert getattr(caught.value, name) == value
    assert isinstance(caught.value, pyxs.PyXSError)


@pytest.mark.parametrize(
    "exc",
    [
        error("EAGAIN"),
        error("ENOENT", path="/a"),
        error("EINVAL", path="/", why="pyxs refuses this"),
        pyxs.ConnectionError("gone"),
        pyxs.InvalidPath("/a//b", "bad"),
    ],
)
def test_exceptions_can_be_pickled(exc):
    copy = pickle.loads(pickle.dumps(exc))
    assert type(copy) is type(exc)
    assert (copy.args, copy.errno, copy.strerror) == (exc.args, exc.errno, exc.strerror)
    assert (copy.path, copy.why) == (exc.path, exc.why)
    assert str(copy) == str(exc)
