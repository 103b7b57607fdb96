"""The public names of pyxs: their types and documentation, and the names of 0.4."""

import inspect
import subprocess
import sys
import typing

import pytest

import pyxs
import pyxs.client
import pyxs.connection
import pyxs.snapshot
import pyxs.xenstored

MODULES = [
    pyxs,
    pyxs.client,
    pyxs.connection,
    pyxs.exceptions,
    pyxs.helpers,
    pyxs.snapshot,
    pyxs.xenstored,
]


def public():
    """Return every public class and function, by its name."""
    return {
        "{}.{}".format(module.__name__, name): getattr(module, name)
        for module in MODULES
        for name in module.__all__
        if callable(getattr(module, name))
    }


def functions_of(each):
    """Return the functions that a public class or function consists of."""
    if inspect.isfunction(each):
        return [each]
    members = [inspect.getattr_static(each, name) for name in dir(each)]
    unwrapped = [
        getattr(member, "fget", None) or getattr(member, "__func__", member) for member in members
    ]
    return [function for function in unwrapped if inspect.isfunction(function)]


@pytest.mark.parametrize("name", sorted(public()))
def test_the_types_of_every_public_method_can_be_had(name):
    for function in functions_of(public()[name]):
        if function.__name__[:1] != "_" or function.__name__.endswith("__"):
            typing.get_type_hints(function)


@pytest.mark.parametrize("name", sorted(public()))
def test_everything_public_is_documented(name):
    """The docstring of a class is that of its ``__init__`` and ``__new__``."""
    each = public()[name]
    assert each.__doc__
    undocumented = [
        function.__name__
        for function in functions_of(each)
        if (function.__module__ or "").startswith("pyxs")
        and (function.__name__[:1] != "_" or function.__name__.endswith("__"))
        and function.__name__ not in ("__init__", "__new__", "__annotate__")  # 3.14 adds the last
        and not inspect.getdoc(getattr(each, function.__name__, function))
    ]
    assert undocumented == []


@pytest.mark.skipif(sys.version_info < (3, 7), reason="modules have no __dir__ before 3.7")
def test_only_what_is_public_is_listed():
    listed = {name for name in dir(pyxs) if name[:2] != "__"}
    modules = {"client", "connection", "exceptions", "helpers", "snapshot", "xenstored"}
    assert listed == {name for name in pyxs.__all__ if name[:2] != "__"} | modules
    assert all(hasattr(pyxs, name) for name in dir(pyxs))


MODULES_LATER = """
import sys, pyxs
loaded = [name for name in sys.modules if name.startswith(("pyxs.snapshot", "pyxs.xenstored"))]
print(loaded, pyxs.snapshot.take.__module__, pyxs.xenstored.XenStored.__name__)
from pyxs import snapshot, xenstored
"""


@pytest.mark.skipif(sys.version_info < (3, 7), reason="modules have no __getattr__ before 3.7")
def test_modules_are_imported_when_they_are_first_used():
    printed = subprocess.run(
        [sys.executable, "-c", MODULES_LATER],
        stdout=subprocess.PIPE,
        universal_newlines=True,
        check=True,
    ).stdout
    assert printed == "[] pyxs.snapshot XenStored\n"


def test_names_that_0_4_had_in_other_modules_are_there_too():
    from pyxs import Event, UnixSocketConnection, XenBusConnection
    from pyxs.client import UnixSocketConnection as Socket
    from pyxs.client import XenBusConnection as Device

    assert Event is pyxs.client.Event
    assert UnixSocketConnection is Socket is pyxs.connection.UnixSocketConnection
    assert XenBusConnection is Device is pyxs.connection.XenBusConnection


@pytest.mark.parametrize("name", ["Client", "Event", "Monitor"])
def test_help_says_where_a_class_is_found(name):
    assert getattr(pyxs, name).__module__ == "pyxs"
    script = "import pyxs; help(pyxs.{})".format(name)
    shown = subprocess.run(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, universal_newlines=True, check=True
    ).stdout
    assert shown.splitlines()[0] == "Help on class {} in module pyxs:".format(name)


@pytest.mark.parametrize("name", sorted(public()))
def test_help_shows_defaults_that_mean_something(name):
    for function in functions_of(public()[name]):
        if function.__name__ == "_make":
            continue  # of a namedtuple of Python 3.6
        assert " at 0x" not in str(inspect.signature(function))


# -- 0.4 -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "now"),
    [
        ("list", "ls()"),
        ("delete", "rm()"),
        ("get_perms", "get_permissions()"),
        ("set_perms", "set_permissions()"),
        ("connect", "not needed"),
        ("commit", "transaction_end()"),
        ("rollback", "transaction_end(commit=False)"),
        ("router", "client.connection"),
        ("ack", "execute_command()"),
    ],
)
def test_a_name_that_a_client_of_0_4_had_says_what_it_is_now(name, now):
    with pytest.raises(AttributeError) as caught:
        getattr(pyxs.Client("/nowhere"), name)
    message = str(caught.value)
    assert message.startswith("'Client' object has no attribute {!r}; since pyxs 1.0 ".format(name))
    assert now in message


@pytest.mark.parametrize("name", ["client", "events", "unwatch_queue", "watched"])
def test_a_name_that_a_monitor_of_0_4_had_says_what_it_is_now(name):
    with pytest.raises(AttributeError, match="'Monitor' object .* since pyxs 1.0 "):
        getattr(pyxs.Client("/nowhere").monitor(), name)


@pytest.mark.parametrize("connection", [pyxs.UnixSocketConnection("/s"), pyxs.XenBusConnection()])
@pytest.mark.parametrize(
    ("name", "now"),
    [("close", "Client"), ("connect", "not needed"), ("create_transport", "open()")]
    + [("is_connected", "connect when they are used"), ("transport", "open()")],
)
def test_a_name_that_a_connection_of_0_4_had_says_what_it_is_now(connection, name, now):
    with pytest.raises(AttributeError) as caught:
        getattr(connection, name)
    assert "Connection' object has no attribute {!r}; since".format(name) in str(caught.value)
    assert now in str(caught.value)
    assert name not in dir(connection)


def test_a_connection_of_ones_own_may_have_the_names_of_0_4():
    class Own(pyxs.connection.SocketConnection):
        def __init__(self):
            super().__init__()
            self.transport = "tcp"

        def open(self):
            raise NotImplementedError

        def close(self):
            return "closed"

    assert (Own().close(), Own().transport) == ("closed", "tcp")


@pytest.mark.skipif(sys.version_info < (3, 7), reason="modules have no __getattr__ before 3.7")
def test_a_name_that_the_package_of_0_4_had_says_what_it_is_now():
    with pytest.raises(AttributeError, match="'pyxs' has no attribute 'Router'; since pyxs 1.0 "):
        pyxs.Router  # noqa: B018


@pytest.mark.parametrize("make", [pyxs.Client, lambda path: pyxs.Client(path).monitor()])
def test_any_other_name_is_not_there(make):
    with pytest.raises(AttributeError, match="^'[A-Z][a-z]+' object has no attribute 'nothing'$"):
        make("/nowhere").nothing  # noqa: B018


def test_a_subclass_is_named_by_its_own_name():
    class Store(pyxs.Client):
        pass

    with pytest.raises(AttributeError, match="'Store' object has no attribute 'list'; since"):
        Store("/nowhere").list  # noqa: B018


# -- repr ----------------------------------------------------------------------------------


def test_a_client_shows_its_path_its_state_and_its_transaction(xenstored):
    client = pyxs.Client(xenstored.path)
    assert repr(client) == "<Client {!r}, not connected>".format(xenstored.path)
    client.transaction_start()
    assert repr(client) == "<Client {!r}, connected, transaction {}>".format(
        xenstored.path, client.tx_id
    )
    client.transaction_end()
    assert repr(client) == "<Client {!r}, connected>".format(xenstored.path)
    client.close()
    assert repr(client) == "<Client {!r}, not connected>".format(xenstored.path)


def test_a_monitor_shows_its_path_its_state_and_its_watches(xenstored):
    monitor = pyxs.monitor(xenstored.path)
    assert repr(monitor) == "<Monitor {!r}, not connected, 0 watches>".format(xenstored.path)
    monitor.watch("/a")
    assert repr(monitor) == "<Monitor {!r}, connected, 1 watch>".format(xenstored.path)
    monitor.watch("/b")
    assert repr(monitor) == "<Monitor {!r}, connected, 2 watches>".format(xenstored.path)
    monitor.close()
    assert repr(monitor) == "<Monitor {!r}, not connected, 0 watches>".format(xenstored.path)


def test_a_connection_shows_its_path():
    assert repr(pyxs.UnixSocketConnection("/s")) == "<UnixSocketConnection '/s'>"
    assert repr(pyxs.XenBusConnection("/x")) == "<XenBusConnection '/x'>"
