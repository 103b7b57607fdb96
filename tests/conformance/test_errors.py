"""Errors of the daemon name the node of the request."""

import errno
import posixpath

import pytest

import pyxs

MISSING = {
    "read": lambda client, path: client.read(path),
    "ls": lambda client, path: client.ls(path),
    "get_permissions": lambda client, path: client.get_permissions(path),
    "set_permissions": lambda client, path: client.set_permissions(path, ["n0"]),
    "item": lambda client, path: client[path],
    "read_many": lambda client, path: client.read_many([posixpath.dirname(path), path]),
    "run_transaction": lambda client, path: client.run_transaction(lambda t: t.read(path)),
    "execute_command": lambda client, path: client.execute_command(pyxs.connection.Op.READ, path),
    "unwatch": lambda client, path: client.unwatch(path),
}


@pytest.mark.parametrize("call", MISSING.values(), ids=MISSING)
def test_a_missing_node_is_named(client, root, call):
    path = root + "/missing"
    with pytest.raises(pyxs.PyXSError) as caught:
        call(client, path)
    exc = caught.value
    assert exc.args == (errno.ENOENT, "No such file or directory")
    assert exc.path == path
    assert str(exc).startswith("[Errno 2] No such file or directory: {!r}".format(path))
    assert exc.is_answer


def test_a_path_is_named_as_it_was_given(client, relative):
    path, _absolute = relative
    for given in (path, path.encode()):
        with pytest.raises(pyxs.PyXSError) as caught:
            client.read(given)
        assert caught.value.path == path


def test_a_watch_that_exists_is_named(monitor, root):
    monitor.watch(root, "token")
    with pytest.raises(pyxs.PyXSError) as caught:
        monitor.watch(root, "token")
    assert (caught.value.errno, caught.value.path) == (errno.EEXIST, root)
