"""The classes and the messages of what a daemon answers."""

import copy
import errno
import pickle
import re

import pytest

import pyxs
from pyxs import Conflict, NodeNotFound, PermissionDenied, PyXSError, QuotaExceeded
from pyxs.helpers import error


def test_a_missing_node_is_a_key_error_that_shows_its_path(client, root):
    for ask in (client.read, client.ls, client.get_permissions, lambda path: client[path]):
        with pytest.raises(KeyError) as caught:
            ask(root + "/missing")
        assert type(caught.value) is NodeNotFound
        assert caught.value.args == (2, "No such file or directory")
        assert repr(caught.value).endswith(", path={!r})".format(root + "/missing"))
        assert root + "/missing" in str(caught.value)


@pytest.mark.anywhere
def test_a_relative_path_that_is_missing_says_where_it_was_looked_for(client):
    with pytest.raises(NodeNotFound, match="'no/such'; .* begins at the domain's own home"):
        client.read("no/such")


@pytest.mark.own_daemon
@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda c: c.release_domain(44), "this domain is not introduced"),
        (lambda c: c.resume_domain(44), "this domain is not introduced"),
        (lambda c: c.set_target(44, 45), "one of these domains is not introduced"),
        (lambda c: c.control("nope"), "no such command, .* the command 'help' lists them"),
        (lambda c: c.control("log", "x"), "no such command, or it takes other arguments"),
        (lambda c: c.get_quota("nope"), "no such quota; without a name, all are"),
        (lambda c: c.get_quota("nope", 7), "no such quota"),
        (lambda c: c.set_quota("nope", 7), "no such quota, or it cannot have this"),
        (lambda c: c.get_quota("nodes", 40000), "there is no such domain"),
        (lambda c: c.set_quota("nodes", 5, 40000), "there is no such domain"),
        (lambda c: c.get_feature(40000), "there is no such domain"),
        (lambda c: c.set_feature(40000, 0), "there is no such domain"),
        (lambda c: c.set_feature(7, 2**31), "does not have all of these features"),
    ],
)
def test_an_answer_about_a_domain_or_the_daemon_says_what_is_missing(client, ask, said):
    try:
        ask(client)  # oxenstored ignores unknown commands
    except PyXSError as exc:
        assert exc.errno == errno.ENOSYS or re.search("; .*" + said, str(exc))  # noqa: PT017
        assert type(exc) is PyXSError  # noqa: PT017


@pytest.mark.anywhere
def test_a_missing_watch_is_no_missing_node(client, root):
    with client.monitor() as monitor, pytest.raises(PyXSError, match="no watch .* token") as caught:
        monitor.unwatch(root, "t")
    assert caught.value.errno == 2
    assert not isinstance(caught.value, KeyError)


def test_a_watch_that_is_set_twice_says_so(client, root):
    with client.monitor() as monitor:
        monitor.watch(root, "t")
        with pytest.raises(PyXSError, match="watched with this token already"):
            monitor.watch(root, "t")


@pytest.mark.anywhere
def test_a_conflict_says_to_start_over(client, root):
    t = client.transaction()
    t[root + "/a"] = t.read(root + "/a", default="0")
    client[root + "/a"] = 1
    client[root + "/a"] = 2
    with pytest.raises(Conflict, match=r"run_transaction\(\)"):
        t.transaction_end()


@pytest.mark.anywhere
def test_a_nested_transaction_says_that_they_do_not_nest(client):
    t = client.transaction()
    for start in (t.transaction, t.transaction_start):
        with pytest.raises(PyXSError, match="do not nest"):
            start()
    t.transaction_end(commit=False)


@pytest.mark.parametrize("name", ["EACCES", "EPERM"])
def test_a_refused_permission_is_also_the_built_in_one(name):
    denied = error(name, "/a")
    assert isinstance(denied, (PermissionDenied, PermissionError))
    assert denied.is_answer
    assert denied.filename is None
    assert str(denied).endswith(": '/a'")


@pytest.mark.parametrize("name", ["ENOENT", "EACCES", "EAGAIN", "ENOSPC", "EQUOTA", "EIO"])
def test_an_answer_can_be_copied_and_pickled(name):
    exc = error(name, "/a", "because")
    for twin in (copy.copy(exc), pickle.loads(pickle.dumps(exc))):
        assert type(twin) is type(exc)
        assert vars(twin) == vars(exc)
        assert (twin.errno, twin.args) == (exc.errno, exc.args)
        assert str(twin) == str(exc)


def test_a_quota_of_oxenstored_is_one_too():
    assert type(error("EQUOTA")) is QuotaExceeded


def test_enoent_without_a_path_is_no_missing_node():
    assert type(error("ENOENT")) is PyXSError


def test_errors_of_xs_show_as_those_of_pyxs():
    assert "{0.__module__}.{0.__qualname__}".format(pyxs.Error) == "pyxs.Error"
    assert pickle.loads(pickle.dumps(pyxs.Error(2, "x"))).args == (2, "x")
