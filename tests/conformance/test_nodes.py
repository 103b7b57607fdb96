"""Reading, writing, creating, listing and removing nodes."""

import pytest

import pyxs

from . import outcome, refused

EVERY_BYTE = bytes(range(256)) + b"\x00\xff"


@pytest.mark.anywhere
@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", "plain"),
        ("", ""),
        ("a\n", "a\n"),
        (" blanks ", " blanks "),
        ("h\u00e9 \u20ac", "h\u00e9 \u20ac"),
        (b"bytes", "bytes"),
        (b"", ""),
        (42, "42"),
        (-1.5, "-1.5"),
        ("a\0b", "a\0b"),
    ],
)
def test_a_value_comes_back_as_text(client, root, value, text):
    assert client.write(root + "/key", value) is None
    assert client.read(root + "/key") == text


def test_every_byte_string_comes_back_byte_for_byte(client, root):
    client.write(root + "/key", EVERY_BYTE)
    text = client.read(root + "/key")
    assert isinstance(text, str)
    assert text.encode("utf-8", "surrogateescape") == EVERY_BYTE


@pytest.mark.anywhere
def test_a_value_that_was_read_can_be_written_elsewhere_unchanged(client, root):
    client.write(root + "/key", EVERY_BYTE)
    client.write(root + "/copy", client.read(root + "/key"))
    assert client.execute_command(pyxs.connection.Op.READ, root + "/copy") == EVERY_BYTE


@pytest.mark.anywhere
def test_a_value_is_stored_without_a_nul_at_its_end(client, root):
    client.write(root + "/key", "value")
    assert client.execute_command(pyxs.connection.Op.READ, root + "/key") == b"value"


@pytest.mark.anywhere
@pytest.mark.parametrize("value", ["a\0", b"a\0", "\0", b"\0\0"])
def test_a_value_that_ends_with_nul_is_refused_and_changes_nothing(client, root, value):
    client.write(root + "/key", "before")
    with pytest.raises(pyxs.InvalidPayload, match="value"):
        client.write(root + "/key", value)
    assert client.read(root + "/key") == "before"


# A guest's quota limits a whole node, not only its value, to 2,048 bytes.
@pytest.mark.parametrize("length", [1, 100, pytest.param(2048, marks=pytest.mark.dom0)])
def test_a_long_value_comes_back(client, root, length):
    client.write(root + "/key", "v" * length)
    assert client.read(root + "/key") == "v" * length


@pytest.mark.dom0
def test_a_value_over_the_quota_of_a_node_is_left_to_the_daemon(client, root, known):
    assert outcome(client.write, root + "/key", "v" * 2049) == known("a value of 2,049 bytes")


@pytest.mark.dom0
def test_a_message_is_filled_to_the_last_byte_and_no_further(client, store, root, known):
    room = store.max_payload - len(root + "/key\0")
    # The refusal, where there is one, is the same as for any value that long.
    assert outcome(client.write, root + "/key", "v" * room) == known("a value of 2,049 bytes")
    with pytest.raises(pyxs.InvalidPayload):
        client.write(root + "/key", "v" * (room + 1))
    assert client.ls(root) == (["key"] if known("a value of 2,049 bytes") is None else [])


@pytest.mark.anywhere
def test_writing_creates_the_nodes_above_with_empty_values(client, root):
    client.write(root + "/a/b/c", "leaf")
    assert client.read(root + "/a/b/c") == "leaf"
    assert client.read(root + "/a/b") == ""
    assert client.ls(root + "/a") == ["b"]


@pytest.mark.anywhere
def test_a_client_is_read_written_and_deleted_by_subscript(client, root):
    client[root + "/key"] = "value"
    assert client[root + "/key"] == "value"
    del client[root + "/key"]
    with refused("ENOENT"):
        client[root + "/key"]


def test_reading_a_missing_node_is_enoent(client, root):
    with refused("ENOENT"):
        client.read(root + "/missing")


@pytest.mark.anywhere
@pytest.mark.parametrize("default", ["fallback", None, 0])
def test_a_default_stands_for_a_missing_node(client, root, default):
    assert client.read(root + "/missing", default) is default
    assert client.read(root + "/missing", default=default) is default


@pytest.mark.anywhere
def test_a_default_does_not_hide_a_value(client, root):
    client.write(root + "/key", "")
    assert client.read(root + "/key", default="fallback") == ""


@pytest.mark.anywhere
def test_a_default_does_not_hide_a_mistake(client):
    with pytest.raises(pyxs.InvalidPath):
        client.read("no//path", default="fallback")


@pytest.mark.anywhere
def test_mkdir_creates_an_empty_node_and_those_above_it(client, root):
    assert client.mkdir(root + "/a/b") is None
    assert client.read(root + "/a/b") == ""
    assert client.ls(root + "/a") == ["b"]


@pytest.mark.anywhere
def test_mkdir_of_an_existing_node_leaves_it_alone(client, root):
    client.write(root + "/a", "value")
    client.write(root + "/a/b", "child")
    client.mkdir(root + "/a")
    assert client.read(root + "/a") == "value"
    assert client.ls(root + "/a") == ["b"]


def test_rm_removes_a_node_and_all_below_it(client, root):
    client.write(root + "/a/b/c", "leaf")
    assert client.rm(root + "/a") is None
    assert not client.exists(root + "/a")
    assert not client.exists(root + "/a/b/c")
    assert client.ls(root) == []


@pytest.mark.anywhere
def test_rm_of_a_missing_node_is_no_error_where_its_parent_exists(client, root):
    assert client.rm(root + "/missing") is None
    with refused("ENOENT"):
        client.rm(root + "/missing/child")


def test_the_root_is_not_removed(client, root):
    client.write(root + "/key", "value")
    with refused("EINVAL"):
        client.rm("/")
    with refused("EINVAL"):
        del client["/"]
    assert client.read(root + "/key") == "value"


@pytest.mark.anywhere
def test_ls_lists_names_and_not_paths(client, root):
    for name in ("one", "two", "three"):
        client.write("{}/{}/child".format(root, name), "")
    names = client.ls(root)
    assert isinstance(names, list)
    assert sorted(names) == ["one", "three", "two"]


@pytest.mark.anywhere
def test_ls_of_a_leaf_is_empty(client, root):
    client.write(root + "/leaf", "value")
    assert client.ls(root + "/leaf") == []


@pytest.mark.anywhere
def test_ls_of_a_missing_node_is_enoent(client, root):
    with refused("ENOENT"):
        client.ls(root + "/missing")


@pytest.mark.own_daemon
def test_ls_of_the_root(client, root, known):
    # A fresh C daemon has /tool; oxenstored has /local as well.
    names = set(client.ls("/"))
    assert root[1:] in names
    assert {name for name in names if "@" in name} == known("special nodes in the root")


@pytest.mark.anywhere
def test_exists_tells_whether_a_node_is_there(client, root):
    assert client.exists(root) is True
    assert client.exists(root + "/missing") is False
    assert client.exists(root + "/missing/child") is False


def test_a_relative_path_is_under_the_home_of_the_domain(client, relative):
    short, full = relative
    client.write(short, "value")
    client.mkdir(full + "/child")
    assert client.read(full) == client.read(short) == "value"
    assert client.ls(short) == ["child"]
    client.rm(short)
    assert not client.exists(full)


@pytest.mark.anywhere
def test_paths_may_be_bytes(client, root):
    path = root.encode() + b"/key"
    client.write(path, "value")
    client.mkdir(path + b"/child")
    assert client.read(path) == client[path] == "value"
    assert client.ls(path) == ["child"]
    assert client.exists(path)
    client.rm(path)
    assert not client.exists(path)


@pytest.mark.dom0
def test_a_path_too_long_for_the_daemon_gets_its_answer(client, known):
    path = "/" + "a" * 1024
    assert outcome(client.write, path, "") == known("a path of 1,025 bytes")
    assert outcome(client.rm, path) == known("a path of 1,025 bytes")
    # xenstore.txt allows 3,072 bytes.
    for path in ("/" + "a" * 2048, "/" + "a" * 3071):
        assert outcome(client.write, path, "") == known("a path of 2,049 bytes")
        assert outcome(client.rm, path) == known("a path of 2,049 bytes")


@pytest.mark.anywhere
@pytest.mark.parametrize(
    "path",
    [
        "",
        b"",
        "/a/",
        "a/",
        "//",
        "/a//b",
        "/a\n",
        "/a b",
        "/a.b",
        "/\u00e9",
        "/\u0661",
        "/a\0b",
        "/a\0",
        b"/\xff",
        "/\udcff",
        "/" + "a" * 3072,
        "a" * 2049,
        None,
        7,
        ["/a"],
    ],
)
def test_a_malformed_path_is_refused_by_every_method(client, path):
    for call in (
        lambda: client.read(path),
        lambda: client.write(path, "value"),
        lambda: client.mkdir(path),
        lambda: client.rm(path),
        lambda: client.ls(path),
        lambda: client.exists(path),
        lambda: client.get_permissions(path),
        lambda: client.set_permissions(path, ["n0"]),
        lambda: list(client.walk(path)),
        lambda: client.read_many([path]),
        lambda: client.write_many([(path, "value")]),
    ):
        with pytest.raises(pyxs.InvalidPath):
            call()


@pytest.mark.anywhere
def test_bad_arguments_are_value_errors_and_errors_of_pyxs():
    for kind in (pyxs.InvalidPath, pyxs.InvalidPayload, pyxs.InvalidPermission):
        assert issubclass(kind, ValueError)
        assert issubclass(kind, pyxs.PyXSError)


@pytest.mark.anywhere
def test_execute_command_gives_the_payload_as_bytes(client, root):
    op = pyxs.connection.Op
    assert client.execute_command(op.WRITE, root + "/key", "value") == b"OK\0"
    assert client.execute_command(op.READ, root + "/key") == b"value"
    assert client.execute_command(op.DIRECTORY, root) == b"key\0"
    with refused("ENOENT"):
        client.execute_command(op.READ, root + "/missing")


@pytest.mark.anywhere
@pytest.mark.parametrize(
    "name",
    ["WATCH", "UNWATCH", "RESET_WATCHES", "TRANSACTION_START", "TRANSACTION_END"],
)
def test_execute_command_refuses_requests_with_a_method_of_their_own(client, name):
    with pytest.raises(pyxs.InvalidOperation):
        client.execute_command(pyxs.connection.Op[name], "a", "b")


@pytest.mark.anywhere
@pytest.mark.parametrize("op", [-1, 27, 4711, "READ", None])
def test_execute_command_refuses_an_unknown_operation(client, op):
    with pytest.raises(pyxs.InvalidOperation):
        client.execute_command(op, "/")
