"""``pyxs.snapshot``: parsing, and random trees on two daemons."""

import errno
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fakes import FakeServer, error_to, reply_to
from pyxs import Client, InvalidPayload, PyXSError, snapshot
from pyxs.connection import Op
from pyxs.xenstored import XenStored

NAMES = st.text("ab-_@0", min_size=1, max_size=3)
PATHS = st.lists(NAMES, min_size=1, max_size=4).map(lambda names: "/top/" + "/".join(names))
PERMS = st.lists(
    st.tuples(st.sampled_from("nrwb"), st.sampled_from([0, 1, 2, 7])).map("{0[0]}{0[1]}".format),
    min_size=1,
    max_size=5,
)
TREES = st.dictionaries(PATHS, st.tuples(st.binary(max_size=60), PERMS), max_size=12)


@pytest.fixture(scope="module", params=["memory", "c"])
def real(request):
    import daemons
    from conftest import skip_or_fail

    reason = daemons.missing(request.param)
    if reason is not None:
        skip_or_fail(reason)
    with daemons.start(request.param) as daemon, Client(daemon.path) as client:
        for domid in (1, 2, 7):  # in the C daemon only an introduced domain can own a node
            client.introduce_domain(domid, 1, 1)
        yield client


@pytest.mark.parametrize("examples", [20, pytest.param(200, marks=pytest.mark.thorough)])
def test_any_tree_comes_back(real, examples):
    # By chance too many trees are too large for the hypothesis of Python 3.6.
    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(tree=TREES)
    def comes_back(tree):
        real.rm("/top")
        real.mkdir("/top")
        for path, (value, perms) in sorted(tree.items()):
            real.write(path, value.rstrip(b"\0"))
            real.set_permissions(path, perms)
        text = "".join(snapshot.lines(real, ["/top"]))
        taken = snapshot.take(real, "/top")
        assert snapshot.parse(text) == json.loads(text) == taken
        real.rm("/top")
        assert snapshot.restore(real, taken)
        assert "".join(snapshot.lines(real, ["/top"])) == text
        with XenStored(snapshot=taken) as copy, Client(copy.path) as client:
            assert "".join(snapshot.lines(client, ["/top"])) == text

    comes_back()


def test_a_value_that_ends_with_nul_comes_back(real):
    # xenstore-write '\0' makes one; Client.write() does not.
    snapshot.restore(real, {"/top/nul": "ends so\0"})
    assert real.read("/top/nul") == "ends so\0"
    assert snapshot.take(real, "/top/nul")["/top/nul"]["value"] == "ends so\0"


def test_a_node_that_may_not_be_read_says_so(xenstored, xenstore):
    xenstore.write_many({"/a/open": "1", "/a/shut/open": "2"})
    for path in ("/a", "/a/open", "/a/shut/open"):
        xenstore.set_permissions(path, ["n0", "r1"])
    with Client(xenstored.socket_for(1)) as guest:
        taken = snapshot.take(guest, "/a")
        text = "".join(snapshot.lines(guest, ["/a"]))
    assert taken == snapshot.parse(text)
    assert taken["/a/shut"] == {"unreadable": True}
    assert taken["/a/open"] == {"value": "1", "perms": ["n0", "r1"]}
    xenstore.write("/a/shut", "stays")
    snapshot.restore(xenstore, taken)
    assert xenstore.read("/a/shut") == "stays"


@pytest.mark.parametrize(
    ("listing", "left"),
    [(b"ENOENT\0", ["/a", "/a/stays"]), (b"E2BIG\0", ["/a", "/a/gone", "/a/stays"])],
)
def test_a_node_that_is_removed_meanwhile_keeps_no_other_from_the_snapshot(listing, left):
    def script(peer):
        for request in peer:
            if request.op == Op.DIRECTORY_PART:
                peer.send(error_to(request, b"ENOENT\0"))
            elif request.op == Op.DIRECTORY and request.payload == b"/a/gone\0":
                peer.send(error_to(request, listing))
            elif request.op == Op.DIRECTORY:
                names = b"gone\0stays\0" if request.payload == b"/a\0" else b""
                peer.send(reply_to(request, names))
            else:
                peer.send(reply_to(request))

    with FakeServer(script) as server, Client(server.path) as client:
        assert list(snapshot.take(client, "/a")) == left


@pytest.mark.parametrize("shut", [Op.READ, Op.GET_PERMS, Op.DIRECTORY])
def test_a_node_of_which_a_part_may_not_be_read(shut):
    def script(peer):
        for request in peer:
            if request.op == shut and request.payload == b"/a/half\0":
                peer.send(error_to(request, b"EACCES\0"))
            elif request.op == Op.DIRECTORY:
                peer.send(
                    reply_to(request, b"half\0whole\0" if request.payload == b"/a\0" else b"")
                )
            elif request.op == Op.READ:
                peer.send(reply_to(request, b"v"))
            else:
                peer.send(reply_to(request, b"n7\0r1\0"))

    whole = {"value": "v", "perms": ["n7", "r1"]}
    half = whole if shut == Op.DIRECTORY else {"unreadable": True}
    with FakeServer(script) as server, Client(server.path) as client:
        taken = snapshot.take(client, "/a")
        assert taken == {"/a": whole, "/a/half": half, "/a/whole": whole}
        assert json.loads("".join(snapshot.lines(client, ["/a"]))) == taken


@pytest.mark.parametrize("text", ["aG!k=", "a G k =", "aGk=\n", "-_8=", "aGk", "aGk==", "=aGk"])
def test_damaged_base64_is_refused_with_its_place(text):
    with pytest.raises(InvalidPayload, match="^file: line 2, column 1: /a: .*not base64$"):
        snapshot.parse('{\n"/a": ' + json.dumps({"value": {"base64": text}}) + "}", "file")


@pytest.mark.parametrize("value", [b"", b"\xff", bytes(range(256)), b"\xe2\x82", "é€".encode()])
def test_the_bytes_of_a_value_come_back(xenstore, value):
    xenstore.write("/a", value)
    saved = snapshot.parse("".join(snapshot.lines(xenstore, ["/a"])))
    assert snapshot.take(xenstore, "/a") == saved
    xenstore.rm("/a")
    snapshot.restore(xenstore, saved)
    assert xenstore.read("/a").encode("utf-8", "surrogateescape") == value


def test_without_a_transaction_where_a_quota_forbids_one(xenstored, xenstore):
    home = "/local/domain/1"
    xenstore.mkdir(home)
    xenstore.set_permissions(home, ["n1"])
    nodes = {"{}/n{}".format(home, n): "" for n in range(50)}
    with Client(xenstored.socket_for(1)) as guest:
        assert snapshot.restore(guest, nodes) is True
        xenstore.control("quota", "set", "transaction-nodes", "20")
        guest.rm(home + "/n7")
        assert snapshot.restore(guest, nodes) is False
        assert len(guest.ls(home)) == 50


# -- JSON ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1, column 1: Expecting '{'"),
        ("[]", "line 1, column 1: Expecting '{'"),
        ('{\n"/a": "1",\n"/b" "2"}', "line 3, column 6: Expecting ':'"),
        ('{\n"/a": "1"\n"/b": "2"}', "line 3, column 1: Expecting ','"),
        ('{\n"/a": "1",\n}', "line 3, column 1: Expecting a path"),
        ('{\n"/a": }', "line 2, column 7: Expecting value"),
        ('{\n"/a": "1}', "line 2, column 7: Unterminated string"),
        ('{"/a": "1"', "line 1, column 11: Expecting ','"),
        ('{"/a": "1"} more', "line 1, column 13: Extra data"),
        ("{} {}", "line 1, column 4: Extra data"),
        ('{\n  "/a": "1",\n  "/a//b": "2"}', "line 3, column 3: '/a//b': a path may not"),
        ('{\n  "/a": [1]}', "line 2, column 3: /a: [1]: a value is a string"),
        ('{"/a": {"value": false}}', "line 1, column 2: /a: false: XenStore has no booleans; most"),
        ('{"/a": [null, true]}', "line 1, column 2: /a: [null, true]: a value is a string"),
        ('{\n"/a": {"perms": ["n0", "q1"]}}', "line 2, column 1: /a: 'q1': a permission"),
        ('{"/a": "1",\n "/a": "2"}', "line 2, column 2: /a: this path occurs twice"),
        ("[" * 100000, "line 1, column 1: Expecting '{'"),
        ('{"/a": ' + "[" * 100000, "line 1, column "),
        (b'{"/a": "1",\n "/b": "\xff"}', "line 2: not UTF-8"),
    ],
)
def test_a_bad_text_has_a_position(text, message):
    with pytest.raises(InvalidPayload) as caught:
        snapshot.parse(text, "host.json")
    assert str(caught.value).startswith("host.json: " + message)
    assert "\n" not in str(caught.value)


def test_a_text_written_by_an_editor():
    text = b'\xef\xbb\xbf {\r\n\t"/a" : "h\xc3\xa9",\r\n "/b":{"value":"\\u00e9"} }\r\n'
    assert snapshot.parse(text) == {"/a": "h\u00e9", "/b": {"value": "\u00e9"}}
    assert snapshot.parse(" {} ") == {}


def test_an_empty_snapshot_changes_nothing(xenstore):
    assert snapshot.restore(xenstore, {}) is True


# -- the daemon in memory ------------------------------------------------------------------


HOST = {
    "/local/domain/0/name": "Domain-0",
    "/local/domain/3/name": {"value": "web", "perms": ["n0", "r3"]},
    "/local/domain/x": "",
    "/tool": {"perms": ["r0"]},
    "relative": "1",
}


@pytest.mark.parametrize("as_file", [False, True])
def test_a_daemon_begins_with_a_snapshot(tmp_path, as_file):
    source = HOST
    if as_file:
        source = str(tmp_path / "host.json")
        (tmp_path / "host.json").write_text(json.dumps(HOST))
    daemon = XenStored(snapshot=source)
    for _ in range(2):
        with daemon, Client(daemon.path) as client:
            assert client.read("/local/domain/3/name") == "web"
            assert client.get_permissions("/local/domain/3/name") == ["n0", "r3"]
            assert client.get_permissions("/tool") == ["r0"]
            assert client.read("/local/domain/0/relative") == "1"
            assert [client.is_domain_introduced(domid) for domid in (0, 3, 4)] == [
                *(True, True, False)
            ]
            client.rm("/local")


def test_a_bad_snapshot_starts_no_daemon(tmp_path):
    with pytest.raises(ValueError, match="may not contain"):
        XenStored(snapshot={"/a//b": "1"})
    with pytest.raises(FileNotFoundError):
        XenStored(snapshot=tmp_path / "missing")


@pytest.mark.parametrize(
    ("snapshot", "number", "message"),
    [
        (
            {"/a": "1", "/a/b": {"perms": ["n32752"]}},
            errno.ENOENT,
            "[Errno 2] No such file or directory: '/a/b'; there is no domain 32752 to own it",
        ),
        (
            {"/" + "n" * 2048: "1"},
            errno.EINVAL,
            "[Errno 22] Invalid argument: '/{}'; the daemon takes no path of 2049 bytes".format(
                "n" * 2048
            ),
        ),
    ],
)
def test_an_error_of_a_snapshot_names_the_node_and_the_reason(snapshot, number, message):
    with pytest.raises(PyXSError) as caught:
        XenStored(snapshot=snapshot).start()
    assert type(caught.value) is PyXSError
    assert caught.value.errno == number
    assert caught.value.path == max(snapshot)
    assert str(caught.value) == message


@pytest.mark.parametrize("like", ["4.17", "4.22"])
@pytest.mark.parametrize(
    "path",
    [
        "/" + "n" * 2047,
        "n" * 2048,
        "/local/domain/7/" + "n" * 2048,
        "/" + "n" * 2048,
        "/" + "n" * 3071,
    ],
)
def test_each_node_of_a_snapshot_can_be_read_and_removed(path, like):
    daemon = XenStored(snapshot={path: "value"}, like=like)
    if like == "4.17" and path.startswith("/n") and len(path) > 2048:
        with pytest.raises(PyXSError, match="Invalid argument"):
            daemon.start()
        return
    with daemon, Client(daemon.path) as client:
        assert client.read(path) == "value"
        client.rm(path)
        assert not client.exists(path)


def test_domains_come_and_go(xenstored, xenstore):
    with xenstore.monitor() as monitor:
        monitor.watch("@introduceDomain")
        monitor.watch("@releaseDomain")
        assert [monitor.wait(timeout=20).path for _ in range(2)]
        xenstored.introduce(5)
        xenstored.introduce(5)
        assert xenstore.is_domain_introduced(5)
        xenstore.write("/mine", "1")
        xenstore.set_permissions("/mine", ["n5"])
        xenstored.release(5)
        assert [monitor.wait(timeout=20).path for _ in range(2)] == [
            *("@introduceDomain", "@releaseDomain")
        ]
    assert not xenstore.is_domain_introduced(5)
    assert not xenstore.exists("/mine")
    with pytest.raises(PyXSError, match="; this domain is not introduced$"):
        xenstored.release(5)
    for bad in (0, "0", 40000, "40000", " 5"):
        with pytest.raises(InvalidPayload):
            xenstored.introduce(bad)


def test_an_integer_of_too_many_digits_has_its_place():
    text = '{"/a": 1,\n "/b": ' + "9" * 5000 + "}"
    with pytest.raises(InvalidPayload, match="line 2, column "):
        snapshot.parse(text)
    with pytest.raises(InvalidPayload, match="^/b: "):
        snapshot.restore(Client("/nowhere"), {"/b": 10**5000})
