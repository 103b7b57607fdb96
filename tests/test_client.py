"""Tests of ``Client`` on a daemon that sends what the test tells it."""

import contextlib
import errno
import os
import subprocess
import sys
import threading
import warnings

import pytest

from common import PATIENCE, in_threads, until
from fakes import FakeConnection, FakeServer, error_to, honest, reply_to
from forks import fork
from pyxs import (
    Client,
    ConnectionError,
    InvalidPath,
    InvalidPayload,
    Monitor,
    PyXSError,
    snapshot,
)
from pyxs.connection import Op


@pytest.fixture
def serve():
    """Make a client whose connections are served by scripts."""
    made = []

    def serve(*scripts):
        server = FakeServer(*(scripts or (honest,)))
        client = Client(server.path, socket_timeout=PATIENCE)
        made.append((server, client))
        return client, server

    yield serve
    for server, client in made:
        client.close()
        server.__exit__()


def sent(server):
    """Return type and payload of each request."""
    return [(request.op, request.payload) for request in server.requests]


# -- requests ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("use", "op", "payload"),
    [
        (lambda c: c.read("/a"), Op.READ, b"/a\0"),
        (lambda c: c["a/b"], Op.READ, b"a/b\0"),
        (lambda c: c.exists(b"/a"), Op.READ, b"/a\0"),
        (lambda c: c.write("/a", "v\u20ac\udcff"), Op.WRITE, b"/a\0v\xe2\x82\xac\xff"),
        (lambda c: c.write("/a", ""), Op.WRITE, b"/a\0"),
        (lambda c: c.__setitem__("/a", 5), Op.WRITE, b"/a\0005"),
        (lambda c: c.mkdir("/a"), Op.MKDIR, b"/a\0"),
        (lambda c: c.rm("/a"), Op.RM, b"/a\0"),
        (lambda c: c.__delitem__("/a"), Op.RM, b"/a\0"),
        (lambda c: c.ls("/"), Op.DIRECTORY, b"/\0"),
        (lambda c: c.get_permissions("/a"), Op.GET_PERMS, b"/a\0"),
        (lambda c: c.set_permissions("/a", ["n0", "r5"]), Op.SET_PERMS, b"/a\0n0\0r5\0"),
        (lambda c: c.get_domain_path(5), Op.GET_DOMAIN_PATH, b"5\0"),
        (lambda c: c.is_domain_introduced(0), Op.IS_DOMAIN_INTRODUCED, b"0\0"),
        (lambda c: c.introduce_domain(5, -1, 3), Op.INTRODUCE, b"5\0-1\0003\0"),
        (lambda c: c.release_domain(5), Op.RELEASE, b"5\0"),
        (lambda c: c.resume_domain(5), Op.RESUME, b"5\0"),
        (lambda c: c.set_target(5, 6), Op.SET_TARGET, b"5\0006\0"),
        (lambda c: c.control("print", "a"), Op.CONTROL, b"print\0a\0"),
        (lambda c: c.get_feature(), Op.GET_FEATURE, b"\0"),
        (lambda c: c.get_feature(5), Op.GET_FEATURE, b"5\0"),
        (lambda c: c.set_feature(5, 6), Op.SET_FEATURE, b"5\0006\0"),
        (lambda c: c.get_quota("nodes"), Op.GET_QUOTA, b"nodes\0"),
        (lambda c: c.get_quota("nodes", 5), Op.GET_QUOTA, b"5\0nodes\0"),
        (lambda c: c.set_quota("nodes", 9), Op.SET_QUOTA, b"nodes\0009\0"),
        (lambda c: c.set_quota("nodes", 9, 5), Op.SET_QUOTA, b"5\0nodes\0009\0"),
        (lambda c: c.transaction_start(), Op.TRANSACTION_START, b"\0"),
    ],
)
def test_a_request_has_the_payload_that_the_protocol_defines(serve, use, op, payload):
    client, server = serve()
    client.SU = True
    use(client)
    assert sent(server)[0] == (op, payload)


@pytest.mark.parametrize(("commit", "flag"), [(True, b"T\0"), (False, b"F\0")])
def test_the_end_of_a_transaction_says_whether_to_commit(serve, commit, flag):
    client, server = serve()
    client.transaction_start()
    client.read("/a")
    client.transaction_end(commit)
    client.read("/a")
    assert [(request.op, request.tx_id) for request in server.requests] == [
        (Op.TRANSACTION_START, 0),
        (Op.READ, 7),
        (Op.TRANSACTION_END, 7),
        (Op.READ, 0),
    ]
    assert server.requests[2].payload == flag


@pytest.mark.parametrize("tx_id", [1, 256, 257, 2**31, 2**32 - 1])
def test_transaction_ids_have_32_bits(serve, tx_id):
    def script(peer):
        for request in peer:
            start = request.op == Op.TRANSACTION_START
            peer.send(reply_to(request, b"%d\0" % tx_id if start else None))

    client, server = serve(script)
    with client.transaction() as transaction:
        assert transaction.tx_id == tx_id
        transaction.write("/a", 1)
    assert [request.tx_id for request in server.requests] == [0, tx_id, tx_id]


@pytest.mark.parametrize(
    "use",
    [
        lambda c: c.introduce_domain(5, 1, 2),
        lambda c: c.release_domain(5),
        lambda c: c.resume_domain(5),
        lambda c: c.set_target(5, 6),
        lambda c: c.execute_command(Op.RELEASE, 5),
    ],
)
def test_requests_of_dom0_are_eperm_in_a_guest_and_not_sent(serve, monkeypatch, use):
    client, server = serve()
    monkeypatch.setattr(Client, "SU", False)
    with pytest.raises(PyXSError) as caught:
        use(client)
    assert caught.value.errno == errno.EPERM
    assert server.peers == []


def test_eperm_says_that_pyxs_refuses_and_why(monkeypatch):
    monkeypatch.setattr(Client, "SU", False)
    with pytest.raises(PyXSError, match="pyxs refuses this: .*SU is False.*/proc/xen/capabilities"):
        Client("/nowhere").release_domain(5)


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (
            lambda c: c.rm("/"),
            "[Errno 22] Invalid argument: '/'; "
            "pyxs refuses this: the OCaml daemon would empty its store",
        ),
        (
            lambda c: c.set_permissions("@other", ["n0"]),
            "[Errno 22] Invalid argument: '@other'; pyxs refuses this: the C daemon might abort",
        ),
        (
            lambda c: c.set_permissions("/a", ["n32757"]),
            "'n32757': this domid is DOMID_ANY, not a domain; "
            "pyxs refuses this: over a socket xenstored 4.22.0 would crash",
        ),
        (
            lambda c: c.release_domain(0),
            "domid 0: must be an integer from 1 to 65535; "
            "pyxs refuses this: the OCaml daemon would empty its store",
        ),
    ],
)
def test_a_request_that_would_harm_a_daemon_is_refused_with_the_reason(use, message):
    with pytest.raises(PyXSError) as caught:
        use(Client("/nowhere"))
    assert str(caught.value) == message


@pytest.mark.parametrize("path", ["@introduceDomain", "@releaseDomain"])
def test_permissions_of_the_special_paths_are_sent(serve, path):
    client, server = serve()
    client.set_permissions(path, ["n0"])
    assert sent(server) == [(Op.SET_PERMS, path.encode() + b"\0n0\0")]


@pytest.mark.parametrize("name", ["unix_socket_path", "xen_bus_path"])
def test_an_invalid_path_is_named(name):
    with pytest.raises(TypeError, match="^{} 5: must be str, bytes or os.PathLike".format(name)):
        Client(**{name: 5})


def test_a_client_is_no_connection():
    with pytest.raises(TypeError, match=r"client\.monitor\(\)"):
        Monitor(Client("/nowhere"))


def test_a_path_is_no_connection():
    with pytest.raises(TypeError, match="connection '/nowhere': .* as unix_socket_path"):
        Client(connection="/nowhere")


def test_bad_arguments_are_refused_before_privileges_are_checked(serve, monkeypatch):
    client, _ = serve()
    monkeypatch.setattr(Client, "SU", False)
    with pytest.raises(InvalidPayload):
        client.release_domain(0)


def test_rm_of_the_root_is_einval_and_not_sent(serve):
    client, server = serve()
    with pytest.raises(PyXSError) as caught:
        client.rm("/")
    assert caught.value.errno == errno.EINVAL
    assert server.peers == []


def test_nothing_of_a_batch_is_sent_when_one_item_is_bad(serve):
    client, server = serve()
    for items in ([("/a", 1), ("/b", "\0")], {"/a": 1, "b//": 2}, [("/a", "x" * 4096)]):
        with pytest.raises(ValueError, match="."):
            client.write_many(items)
    with pytest.raises(ValueError, match="."):
        client.read_many(["/a", "/b/"])
    assert server.requests == []


# -- values and containers -----------------------------------------------------------------


@pytest.mark.parametrize(
    "value", [b"a\xffb", bytearray(b"a\xffb"), memoryview(b"a\xffb"), memoryview(b"a_\xff_b_")[::2]]
)
def test_bytes_of_any_kind_are_stored_as_they_are(xenstore, value):
    xenstore.write("/a", value)
    assert xenstore.read("/a") == "a\udcffb"
    xenstore.write_many({"/b": value})
    assert xenstore.read("/b") == "a\udcffb"


@pytest.mark.parametrize("value", [bytearray(b"a\0"), memoryview(b"a\0")])
def test_bytes_of_any_kind_may_not_end_with_nul(value):
    with pytest.raises(InvalidPayload, match="may not end with NUL"):
        Client("/nowhere").write("/a", value)


@pytest.mark.parametrize("items", [["ab"], [b"ab"], "ab", {"/a"}, [("/a",)], [("/a", 1, 2)], [5]])
def test_an_item_to_be_written_is_a_pair(serve, items):
    client, server = serve()
    with pytest.raises(InvalidPayload, match="an item must be a path and a value"):
        client.write_many(items)
    assert server.requests == []


def test_in_asks_for_existence(xenstore):
    xenstore.write("/a", "")
    assert "/a" in xenstore
    assert b"/a" in xenstore
    assert "/b" not in xenstore
    with pytest.raises(InvalidPath):
        "/a/" in xenstore  # noqa: B015


@pytest.mark.parametrize("use", [iter, list, dict])
def test_a_client_is_not_iterable(use):
    with pytest.raises(TypeError, match=r"walk\(\) .*ls\(\) "):
        use(Client("/nowhere"))


# -- transactions that are dropped ---------------------------------------------------------


def test_a_transaction_that_is_dropped_is_aborted_with_a_warning(xenstore):
    with pytest.warns(RuntimeWarning, match="neither committed nor aborted") as caught:
        xenstore.transaction()
    assert [each.filename for each in caught] == [__file__]
    xenstore.write("/a", "1")
    transaction = xenstore.transaction()
    transaction.write("/a", "2")
    with pytest.warns(RuntimeWarning):
        del transaction
    assert xenstore.read("/a") == "1"


def test_the_daemon_forgets_a_transaction_that_is_dropped(serve):
    """It aborts the transaction with the connection, if it is not told."""
    client, server = serve()
    client.read("/a")
    with pytest.warns(RuntimeWarning, match="transaction 7 "):
        client.transaction()
    (peer,) = server.peers
    until(lambda: peer.gone.is_set() or peer.requests[-1].op == Op.TRANSACTION_END)
    assert client.read("/a") == "value"


def test_the_line_that_began_a_transaction_is_shown_where_it_is_known(tmp_path, xenstored):
    program = tmp_path / "program.py"
    program.write_text(
        "import pyxs\nclient = pyxs.Client()\ntransaction = client.transaction()\ndel transaction\n"
    )
    shown = subprocess.run(
        [sys.executable, "-X", "tracemalloc=5", str(program)],
        stderr=subprocess.PIPE,
        universal_newlines=True,
        check=True,
    ).stderr
    assert shown.startswith("{}:4: RuntimeWarning: transaction ".format(program))
    assert 'File "{}", lineno 3\n    transaction = client.transaction()'.format(program) in shown


@contextlib.contextmanager
def no_warning():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    assert [str(each.message) for each in caught] == []


@pytest.mark.parametrize("end", ["commit", "abort", "close", "block"])
def test_a_transaction_that_has_ended_is_dropped_in_silence(xenstore, end):
    with no_warning():
        transaction = xenstore.transaction()
        if end == "commit":
            transaction.transaction_end()
        elif end == "abort":
            transaction.transaction_end(commit=False)
        elif end == "close":
            transaction.close()
        else:
            with transaction:
                transaction.exists("/")
        del transaction


def test_a_client_that_is_in_a_transaction_itself_is_dropped_in_silence(xenstored):
    with no_warning():
        client = Client(xenstored.path, transaction=True)
        client.write("/a", "1")
        del client


@pytest.mark.filterwarnings("error")
def test_a_child_process_leaves_its_parents_transaction_alone(xenstore):
    transaction = xenstore.transaction()
    transaction.write("/a", "1")
    pid = fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            del transaction
            os._exit(0)
        os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0
    transaction.transaction_end()
    assert xenstore.read("/a") == "1"


@pytest.mark.filterwarnings("error")
def test_a_client_that_was_never_made_is_dropped_in_silence():
    with pytest.raises(TypeError):
        Client(nonsense=1)


# -- quotas --------------------------------------------------------------------------------


def test_the_names_of_quotas_are_asked_for_after_the_features(serve):
    def script(peer):
        for request in peer:
            peer.send(reply_to(request, b"nodes watches\0" if request.op == Op.GET_QUOTA else None))

    client, server = serve(script)
    assert client.get_quota() == ["nodes", "watches"]
    assert sent(server) == [(Op.GET_FEATURE, b"\0"), (Op.GET_QUOTA, b"")]


def test_a_daemon_without_features_is_never_sent_an_empty_payload(serve):
    def script(peer):
        for request in peer:
            peer.send(error_to(request, b"ENOSYS\0"))

    client, server = serve(script)
    with pytest.raises(PyXSError) as caught:
        client.get_quota()
    assert caught.value.errno == errno.ENOSYS
    assert sent(server) == [(Op.GET_FEATURE, b"\0")]


# -- large directories ---------------------------------------------------------------------


def parts(pages):
    """Return a script: E2BIG to DIRECTORY, then these replies to DIRECTORY_PART."""

    def script(peer):
        replies = iter(pages)
        for request in peer:
            if request.op == Op.DIRECTORY:
                peer.send(error_to(request, b"E2BIG\0"))
            else:
                peer.send(reply_to(request, next(replies)))

    return script


def offsets(server):
    return [
        int(request.payload.split(b"\0")[1])
        for request in server.requests
        if request.op == Op.DIRECTORY_PART
    ]


def test_a_large_directory_is_listed_in_parts(serve):
    client, server = serve(parts([b"9\0a\0bb\0", b"9\0c\0", b"9\0d\0\0"]))
    assert client.ls("/") == ["a", "bb", "c", "d"]
    assert offsets(server) == [0, 5, 7]


def test_the_end_of_a_large_directory_may_come_alone(serve):
    client, server = serve(parts([b"9\0a\0", b"9\0\0"]))
    assert client.ls("/") == ["a"]
    assert offsets(server) == [0, 2]


def test_listing_begins_again_when_the_children_change(serve):
    pages = [b"1\0a\0b\0", b"2\0x\0", b"2\0a\0c\0", b"3\0x\0\0", b"3\0a\0", b"3\0d\0\0"]
    client, server = serve(parts(pages))
    assert client.ls("/") == ["a", "d"]
    assert offsets(server) == [0, 4, 0, 4, 0, 2]


def test_a_directory_that_has_become_empty_meanwhile(serve):
    client, _ = serve(parts([b"1\0a\0", b"2\0\0", b"2\0\0"]))
    assert client.ls("/") == []


def test_a_long_list_of_a_daemon_that_knows_no_parts_is_too_long(serve):
    def script(peer):
        for request in peer:
            peer.send(error_to(request, b"E2BIG\0" if request.op == Op.DIRECTORY else b"ENOSYS\0"))

    client, _ = serve(script)
    with pytest.raises(PyXSError) as caught:
        client.ls("/")
    assert caught.value.errno == errno.E2BIG


def test_a_directory_longer_than_the_protocol_allows_is_taken(serve):
    names = ["child-{}".format(number) for number in range(50000)]

    def script(peer):
        for request in peer:
            peer.send(reply_to(request, "\0".join(names).encode() + b"\0"))

    client, _ = serve(script)
    assert client.ls("/") == names


# -- walk ----------------------------------------------------------------------------------


def in_tree(fanout, depth):
    """Return what answers a request: every node up to a depth has that many children."""

    def answer(request):
        level = request.payload.count(b"/") if request.payload != b"/\0" else 0
        if request.op == Op.READ:
            return [reply_to(request, request.payload[:-1])]
        if request.op == Op.DIRECTORY:
            names = range(fanout if level < depth else 0)
            return [reply_to(request, b"".join(b"%d\0" % name for name in names))]
        return [reply_to(request)]

    return answer


def tree(fanout, depth):
    """Return the script of a server that answers as in that tree."""
    answer = in_tree(fanout, depth)

    def script(peer):
        for request in peer:
            peer.send(*answer(request))

    return script


def test_walk_asks_nothing_before_it_is_iterated(serve):
    client, server = serve(tree(10, 4))
    client.walk("/")
    assert server.requests == []


@pytest.mark.parametrize("iterate", [lambda client: client.walk("/"), snapshot.lines])
def test_a_walk_asks_only_for_so_many_nodes_ahead(iterate):
    connection = FakeConnection(in_tree(3, 6))
    for visited, _ in enumerate(iterate(Client(connection=connection)), 1):
        asked = sum(request.op == Op.READ for request in connection.sent)
        assert asked < visited + 64


@pytest.mark.parametrize("iterate", [lambda client: client.walk("/"), snapshot.lines])
def test_a_walk_sends_the_requests_for_some_nodes_together(iterate):
    connection = FakeConnection(in_tree(10, 3))
    visited = len(list(iterate(Client(connection=connection))))
    assert visited > 1000
    assert len(connection.batches) < visited / 4


def test_a_walk_visits_a_name_that_the_caller_adds_also_with_many_requests_under_way():
    names = {b"/\0": b"a\0b\0", b"/b\0": b"".join(b"%d\0" % number for number in range(50))}
    late = []  # what concerns /a is answered after what concerns /b

    def answer(request):
        listed = names.get(request.payload, b"")
        replies = [reply_to(request, listed if request.op == Op.DIRECTORY else None)]
        if request.payload == b"/a\0":
            late.extend(replies)
            return []
        return replies + late if (request.op, request.payload) == (Op.READ, b"/b\0") else replies

    visited = []
    for path, _, children in Client(connection=FakeConnection(answer)).walk("/"):
        visited.append(path)
        if path == "/b":
            children.insert(0, "new")
    assert visited[:5] == ["/", "/a", "/b", "/b/new", "/b/0"]
    assert len(visited) == 3 + 1 + 50


NAMES = {b"/\0": b"c\0a\0b\0", b"/c\0": b"below\0"}


def without_a(request):
    """Answer that there are these nodes, but that "/a" was removed since it was listed."""
    if request.payload == b"/a\0":
        return [error_to(request, b"ENOENT\0")]
    return [
        reply_to(request, NAMES.get(request.payload, b"") if request.op == Op.DIRECTORY else None)
    ]


def test_a_node_that_was_removed_since_it_was_listed_is_passed_over():
    client = Client(connection=FakeConnection(without_a))
    assert list(client.read_tree("/")) == ["", "b", "c", "c/below"]
    assert [path for path, _, _ in client.walk("/")] == ["/", "/c", "/c/below", "/b"]
    bottom_up = [path for path, _, _ in client.walk("/", topdown=False)]
    assert bottom_up == ["/c/below", "/c", "/b", "/"]


def test_walk_asks_for_each_node_once(serve):
    client, server = serve(tree(5, 4))
    visits = list(client.walk("/"))
    assert len(visits) == len({path for path, _, _ in visits}) == sum(5**n for n in range(5))
    assert all(value == path for path, value, _ in visits)
    asked = sent(server)
    assert len(asked) == len(set(asked)) == 2 * len(visits)


def test_walk_stops_at_any_other_failure(serve):
    def script(peer):
        for request in peer:
            peer.send(error_to(request, b"EIO\0"))

    client, _ = serve(script)
    with pytest.raises(PyXSError, match="Input/output error: '/'$") as caught:
        list(client.walk("/"))
    assert caught.value.path == "/"


def test_a_walk_whose_connection_dies_raises(serve):
    def script(peer):
        for _ in range(40):
            request = peer.receive()
            peer.send(reply_to(request, b"" if request.op == Op.READ else b"a\0b\0"))

    client, _ = serve(script)
    with pytest.raises(ConnectionError):
        list(client.walk("/"))


def test_a_walk_left_in_the_middle_harms_no_later_command(serve):
    client, _ = serve(tree(10, 3))
    walk = client.walk("/")
    for _ in range(5):
        next(walk)
    walk.close()
    for number in range(200):
        assert client.read("/{}".format(number)) == "/{}".format(number)


# -- transactions that lose their connection -----------------------------------------------


def dies_in_a_transaction(peer):
    peer.send(reply_to(peer.receive()))
    peer.receive()


def test_a_transaction_whose_connection_died_fails_until_it_is_ended(serve):
    client, server = serve(dies_in_a_transaction, honest)
    client.transaction_start()
    for _ in range(3):
        with pytest.raises(ConnectionError):
            client.write("/a", "meant for the transaction")
    assert client.tx_id == 7
    with pytest.raises(ConnectionError, match="transaction 7 was lost with the connection"):
        client.transaction_end()
    assert client.tx_id == 0
    assert len(server.peers) == 1
    client.write("/a", "plain")
    assert [request.op for request in server.peers[1].requests] == [Op.WRITE]


def test_aborting_a_transaction_whose_connection_died_is_silent(serve):
    client, _ = serve(dies_in_a_transaction, honest)
    client.transaction_start()
    with pytest.raises(ConnectionError):
        client.read("/a")
    client.transaction_end(commit=False)
    assert client.tx_id == 0
    assert client.read("/a") == "value"


def test_a_transaction_stays_lost_when_others_have_reconnected(serve):
    client, server = serve(dies_in_a_transaction, honest)
    transaction = client.transaction()
    with pytest.raises(ConnectionError):
        transaction.read("/a")
    assert client.read("/a") == "value"
    with pytest.raises(ConnectionError, match="transaction 7 was lost"):
        transaction.write("/a", 1)
    with pytest.raises(ConnectionError, match="transaction 7 was lost"):
        transaction.transaction_end()
    assert [request.op for request in server.peers[1].requests] == [Op.READ]


def test_a_commit_whose_reply_never_came_is_an_error(serve):
    client, _ = serve(dies_in_a_transaction, honest)
    client.transaction_start()
    with pytest.raises(ConnectionError):
        client.transaction_end()
    assert client.tx_id == 0


def test_leaving_the_block_after_a_loss_raises_what_happened_first(serve):
    client, _ = serve(dies_in_a_transaction, honest)

    def read_in_a_transaction():
        with client:
            client.transaction_start()
            client.read("/a")

    with pytest.raises(ConnectionError, match="closed the connection"):
        read_in_a_transaction()


# -- connections come and go ---------------------------------------------------------------


def test_a_client_connects_at_the_first_command_and_once(serve):
    client, server = serve()
    assert server.peers == []
    client.read("/a")
    client.read("/a")
    assert len(server.peers) == 1


def test_a_closed_client_connects_again(serve):
    client, server = serve()
    client.read("/a")
    client.close()
    assert server.peers[0].gone.wait(PATIENCE)
    client.read("/a")
    assert len(server.peers) == 2


def test_a_closed_client_gives_up_its_connection(serve):
    client, _ = serve()
    client.read("/a")
    client.close()
    with Client(connection=client.connection) as another:
        assert another.read("/a") == "value"


def test_a_call_after_close_does_not_wait_for_a_call_that_close_has_ended(serve):
    def silent(peer):
        peer.receive()
        asked.set()
        peer.linger()

    asked = threading.Event()
    client, server = serve(silent, honest)

    def read_again():
        assert asked.wait(PATIENCE)
        client.close()
        return client.read("/second")

    def read():
        with pytest.raises(ConnectionError, match="closed$"):
            client.read("/first")

    assert in_threads(read, read_again) == [None, "value"]
    assert len(server.peers) == 2


def test_threads_have_a_connection_each_of_which_four_stay(serve):
    def wait_for_all(peer):
        for request in peer:
            together.wait(PATIENCE)
            peer.send(reply_to(request))

    together = threading.Barrier(10)
    client, server = serve(wait_for_all)
    in_threads(*[lambda: client.read("/a")] * 10)
    assert len(server.peers) == 10
    until(lambda: sum(peer.gone.is_set() for peer in server.peers) == 6)


def test_an_empty_batch_asks_nothing(serve):
    client, server = serve()
    assert client.read_many([]) == {}
    client.write_many({})
    assert server.requests == []


# -- errors --------------------------------------------------------------------------------


@pytest.mark.parametrize("daemon", ["memory", "c"], indirect=True)
def test_the_node_of_write_many_that_is_refused_is_named(daemon):
    with Client(daemon.path) as client, pytest.raises(PyXSError) as caught:
        client.write_many([("/a", "1"), ("@a", "2"), ("/c", "3")])
    assert caught.value.is_answer
    assert caught.value.path == "@a"


@pytest.mark.parametrize("daemon", ["memory", "c"], indirect=True)
def test_an_error_that_concerns_no_node_names_no_node(daemon):
    with Client(daemon.path) as client, pytest.raises(PyXSError) as caught:
        client.control("no-such-command")
    assert caught.value.is_answer
    assert caught.value.path is None
    assert str(caught.value).startswith(
        "[Errno 22] Invalid argument; the daemon has no such command"
    )
