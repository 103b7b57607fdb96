"""The store as the C tools see it."""

import subprocess

import pytest

from common import PATIENCE

pytestmark = pytest.mark.tools


@pytest.fixture
def tool(store):
    def run(*command):
        done = subprocess.run(
            [word.encode() for word in command],  # Python 3.6 may take the locale for ASCII
            env=store.environ,
            stdout=subprocess.PIPE,
            check=True,
            timeout=PATIENCE,
        )
        return done.stdout.decode()

    return run


@pytest.mark.parametrize("value", ["value", "", " two words ", "h\u00e9 \u20ac", "x" * 2000])
def test_xenstore_read_prints_what_was_written(client, root, tool, value):
    client.write(root + "/key", value)
    assert tool("xenstore-read", "-R", root + "/key") == value


def test_xenstore_read_shows_every_byte_of_a_value(client, root, tool):
    # Without -R it escapes: a NUL at the end would show.
    client.write(root + "/key", "line\nbreak\tand\x01")
    assert tool("xenstore-read", root + "/key") == "line\\nbreak\\tand\\001\n"


@pytest.mark.parametrize("value", ["value", "", "two words", "line\nbreak", "h\u00e9 \u20ac"])
def test_a_value_written_by_xenstore_write_is_read(client, root, tool, value):
    tool("xenstore-write", root + "/key", value)
    assert client.read(root + "/key") == value


def test_xenstore_ls_shows_what_was_written(client, root, tool):
    client.write_many(
        {
            root + "/a": "1",
            root + "/a/deep/er": "two words",
            root + "/b": "",
        }
    )
    assert sorted(tool("xenstore-ls", "-f", root).splitlines()) == sorted(
        [
            root + '/a = "1"',
            root + '/a/deep = ""',
            root + '/a/deep/er = "two words"',
            root + '/b = ""',
        ]
    )


def test_walk_finds_what_xenstore_ls_shows(client, root, tool):
    for path, value in {"x": "1", "x/y": "2", "z/z/z": "3"}.items():
        tool("xenstore-write", "{}/{}".format(root, path), value)
    shown = tool("xenstore-ls", "-f", root).splitlines()
    walked = [
        '{} = "{}"'.format(path, value) for path, value, _ in client.walk(root) if path != root
    ]
    assert sorted(walked) == sorted(shown)


def test_xenstore_list_agrees_with_ls(client, root, tool):
    for name in ("one", "two", "three"):
        client.mkdir("{}/{}".format(root, name))
    assert tool("xenstore-list", root).split() == client.ls(root)


def test_xenstore_rm_and_exists(client, root, tool):
    client.write(root + "/key", "")
    tool("xenstore-exists", root + "/key")
    tool("xenstore-rm", root + "/key")
    assert not client.exists(root + "/key")


def test_permissions_set_by_xenstore_chmod(client, store, root, tool):
    perms = ["n{}".format(store.domid), "r5", "b7"]
    tool("xenstore-chmod", root, *perms)
    assert client.get_permissions(root) == perms


def test_permissions_shown_by_xenstore_ls(client, store, root, tool):
    client.write(root + "/key", "")
    client.set_permissions(root + "/key", ["r{}".format(store.domid), "w5"])
    assert tool("xenstore-ls", "-fp", root).rstrip().endswith("(r{},w5)".format(store.domid))


def test_a_write_by_a_tool_is_an_event(monitor, root, tool):
    monitor.watch(root, "t")
    assert monitor.wait(timeout=PATIENCE) == (root, "t")
    tool("xenstore-write", root + "/key", "value")
    assert monitor.wait(timeout=PATIENCE) == (root + "/key", "t")


def test_xenstore_watch_sees_what_is_written(client, store, root):
    with subprocess.Popen(
        ["xenstore-watch", "-n", "2", root],
        env=store.environ,
        stdout=subprocess.PIPE,
        universal_newlines=True,
    ) as watch:
        try:
            assert watch.stdout.readline() == root + "\n"
            client.write(root + "/key", "value")
            assert watch.stdout.readline() == root + "/key\n"
        finally:
            watch.kill()
