"""No argument of a public method harms a daemon.

Several malformed requests kill the real daemons, some only while a watch is set.
RELEASE of domain 0 and RM of / empty oxenstored's store. The tests pass wrong
values of every kind, and some valid ones, as each argument of each method while
watches are set. Afterwards the daemon must still answer and hold its store.
"""

import contextlib
import warnings

import pytest

import pyxs
from pyxs.connection import Op

from . import heard

NASTY = [
    None,
    True,
    0,
    1,
    -1,
    255,
    32757,
    65535,
    65536,
    2**31,
    2**63,
    2**64,
    1.5,
    float("nan"),
    object(),
    "",
    b"",
    "\0",
    b"\0",
    b"\0\0",
    "/",
    "//",
    "/\0",
    b"/\0/\0",
    "/key\0",
    "/key\n",
    "key",
    "@",
    "@releaseDomain",
    "@releaseDomain/0",
    "n0",
    "r32757",
    "/\ud800",
    "\ud800",
    "/\udcff",
    b"\xff\xfe",
    "\u0661",
    "a" * 5000,
    b"a" * 5000,
    "/" + "a" * 5000,
    "/" + "a/" * 1500 + "a",
    "/" + "a" * 3071,
    "/" + "a" * 4090,
    [],
    [""],
    ["\0"],
    ["/key"],
    [("/key", "\0")],
    [("/key",)],
    [None],
    ["n0", "\0"],
    ["n32757"],
    ["n0"] * 1500,
    ("a", "b", "c"),
    {},
    {"/key": None},
    {None: None},
    {"\0": "\0"},
    set(),
    bytearray(b"/key\0"),
    memoryview(b"/key\0"),
    iter(["n0\0"]),
]

# Each method with valid arguments; the tests replace each argument in turn.
CALLS = [
    ("read", "/key"),
    ("read", "/key", "default"),
    ("read_bytes", "/key"),
    ("get", "/key", "default"),
    ("write", "/key", "value"),
    ("write", "/key", "value", ["n0"]),
    ("mkdir", "/dir"),
    ("rm", "/dir"),
    ("ls", "/"),
    ("ls", "/", "default"),
    ("exists", "/key"),
    ("get_permissions", "/key"),
    ("set_permissions", "/key", ["n0"]),
    ("walk", "/key"),
    ("walk", "/key", False),
    ("read_many", ["/key"]),
    ("read_many", ["/key"], "default"),
    ("write_many", [("/key", "value")]),
    ("read_tree", "/dir"),
    ("write_tree", "/dir", {"key": "value"}),
    ("get_domain_path", 7),
    ("is_domain_introduced", 7),
    ("introduce_domain", 7, 1, 1),
    ("resume_domain", 7),
    ("set_target", 1, 7),
    ("release_domain", 7),
    ("control", "help"),
    ("control", "print", "text"),
    ("get_feature",),
    ("get_feature", 7),
    ("set_feature", 7, 0),
    ("get_quota",),
    ("get_quota", "nodes"),
    ("get_quota", "nodes", 7),
    ("set_quota", "nodes", 1000),
    ("set_quota", "nodes", 1000, 7),
    ("transaction_end", True),
    ("run_transaction", lambda t: None),
    ("run_transaction", lambda t: None, 2),
    ("__getitem__", "/key"),
    ("__setitem__", "/key", "value"),
    ("__delitem__", "/dir"),
    ("execute_command", Op.READ, "/key"),
    ("execute_command", Op.WRITE, "/key", "value"),
    ("watch", "/key", "token"),
    ("unwatch", "/key", "token"),
    ("wait_for", "/key", "value", 0.01),
    ("__contains__", "/key"),
]
MONITOR_CALLS = [
    ("watch", "/key", "token"),
    ("watch", "/key", "token", 1),
    ("watch", "/key", "token", None, 1),
    ("unwatch", "/key", "token"),
]

pytestmark = pytest.mark.own_daemon


def variants(arguments):
    """Yield the arguments with one, and then with all, replaced by a bad value."""
    for position in range(len(arguments)):
        for nasty in NASTY:
            yield arguments[:position] + (nasty,) + arguments[position + 1 :]
    for nasty in NASTY:
        yield (nasty,) * len(arguments)


def attempt(receiver, method, arguments):
    """Call a method, and ignore the exceptions documented for bad arguments."""
    try:
        result = getattr(receiver, method)(*arguments)
        if method == "walk":
            list(result)
    except pyxs.ConnectionError as lost:
        pytest.fail("{}{!r}: {!r}".format(method, arguments, lost))
    except (pyxs.PyXSError, TypeError, TimeoutError):
        pass


@pytest.fixture
def guarded(client, make_monitor, store):
    """A client; at the end the daemon must answer and the store must be whole."""
    witness = make_monitor()
    witness.watch("/guard", "guard")
    client.watch("/guard", "guard")
    client.write("/guard/value", "intact")
    client.write("/key", "value")
    yield client
    heard(witness)
    client.write("/guard/after", "")
    assert ("/guard/after", "guard") in heard(witness)
    assert client.read("/guard/value") == "intact"
    assert client.is_domain_introduced(0)
    assert store.daemon.alive()


@pytest.mark.parametrize("call", CALLS, ids=lambda call: "-".join([call[0], str(len(call) - 1)]))
def test_no_argument_of_a_client_harms_the_daemon(guarded, call):
    method, arguments = call[0], call[1:]
    for variant in variants(arguments):
        attempt(guarded, method, variant)


@pytest.mark.parametrize(
    "call", MONITOR_CALLS, ids=lambda call: "-".join([call[0], str(len(call) - 1)])
)
def test_no_argument_of_a_monitor_harms_the_daemon(guarded, monitor, call):
    method, arguments = call[0], call[1:]
    for variant in variants(arguments):
        attempt(monitor, method, variant)


@pytest.mark.parametrize("op", list(Op), ids=lambda op: op.name)
def test_no_command_with_wrong_arguments_harms_the_daemon(guarded, op):
    attempt(guarded, "execute_command", (op,))
    for nasty in NASTY:
        for count in (1, 2, 3):
            attempt(guarded, "execute_command", (op,) + (nasty,) * count)
    for right in ("/guard", "7", "T", "help"):
        attempt(guarded, "execute_command", (op, right + "\0"))
        attempt(guarded, "execute_command", (op, right, ""))


def test_every_method_of_a_client_is_tried():
    tested = {call[0] for call in CALLS}
    harmless = {"close", "monitor", "transaction", "transaction_start", "wait"}
    public = {
        name
        for name in dir(pyxs.Client)
        if not name.startswith("_") and callable(getattr(pyxs.Client, name, None))
    }
    assert public <= tested | harmless
    assert {name for name in tested if not name.startswith("_")} <= public


def test_no_argument_of_the_constructor_harms_the_daemon(store):
    for nasty in NASTY:
        for name in ("unix_socket_path", "socket_timeout", "xen_bus_path", "transaction"):
            arguments = dict({"unix_socket_path": store.path}, **{name: nasty})
            if name == "unix_socket_path" and not nasty:
                continue  # the default path
            # A path beside another gives a warning.
            with warnings.catch_warnings(), contextlib.suppress(
                pyxs.PyXSError, ValueError, TypeError
            ):
                warnings.simplefilter("ignore")
                with pyxs.Client(**arguments) as client:
                    client.exists("/")
