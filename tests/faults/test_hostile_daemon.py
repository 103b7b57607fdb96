"""A fault of the daemon raises the documented exception in time, and the next command succeeds.

The fault occurs on the first connection; the server answers later connections correctly.
"""

import contextlib
import struct
import threading
import time

import pytest

import pyxs
from common import PATIENCE, descriptors, until
from fakes import REPLIES, FakeBus, FakeServer, error_to, event, honest, reply_to
from pyxs import Client, ConnectionError, PyXSError, UnexpectedPacket, snapshot
from pyxs.connection import Op, Packet

#: For each request: a call that sends it, and payloads that are no valid reply to it.
NOT_OK = [b"", b"OK", b"ok\0", b"OK\0\0", b"\0", b"T\0", b"OK\0x"]
REQUESTS = {
    Op.READ: (lambda c: c.read("/a"), []),  # a value may be anything
    Op.WRITE: (lambda c: c.write("/a", 1), NOT_OK),
    Op.MKDIR: (lambda c: c.mkdir("/a"), NOT_OK),
    Op.RM: (lambda c: c.rm("/a"), NOT_OK),
    Op.DIRECTORY: (lambda c: c.ls("/"), [b"a", b"a\0b", b"\0", b"a\0\0", b"a\0\0b\0"]),
    Op.GET_PERMS: (
        lambda c: c.get_permissions("/a"),
        [b"", b"\0", b"n0", b"n\0", b"x0\0", b"n0\0\0", b"n0\0r\0", b"n-1\0", b"n\xff\0", b"0\0"],
    ),
    Op.SET_PERMS: (lambda c: c.set_permissions("/a", ["n0"]), NOT_OK),
    Op.TRANSACTION_START: (
        lambda c: c.transaction_start(),
        [b"", b"\0", b"7", b"x\0", b"-1\0", b"0\0", b"4294967296\0", b"7\0\0", b" 7\0", b"7\n\0"]
        + [b"\xd9\xa3\0", b"99999999999999999999\0"],
    ),
    Op.GET_DOMAIN_PATH: (lambda c: c.get_domain_path(1), [b"", b"/local", b"/a\0/b\0", b"\0\0"]),
    Op.IS_DOMAIN_INTRODUCED: (
        lambda c: c.is_domain_introduced(1),
        [b"", b"T", b"t\0", b"TF\0", b"T\0F\0", b"\0"],
    ),
    Op.INTRODUCE: (lambda c: c.introduce_domain(1, 2, 3), NOT_OK),
    Op.RELEASE: (lambda c: c.release_domain(1), NOT_OK),
    Op.RESUME: (lambda c: c.resume_domain(1), NOT_OK),
    Op.SET_TARGET: (lambda c: c.set_target(1, 2), NOT_OK),
    Op.CONTROL: (lambda c: c.control("help"), []),  # any text
    Op.GET_FEATURE: (lambda c: c.get_feature(), [b"", b"4", b"x\0", b"-4\0", b"4294967296\0"]),
    Op.SET_FEATURE: (lambda c: c.set_feature(1, 4), NOT_OK),
    Op.GET_QUOTA: (lambda c: c.get_quota("nodes"), [b"", b"8", b"x\0", b"8\0\0"]),
    Op.SET_QUOTA: (lambda c: c.set_quota("nodes", 8), NOT_OK),
}
REQUEST_IDS = [op.name for op in REQUESTS]


@pytest.fixture(autouse=True)
def _nothing_is_left_open():
    before = descriptors()
    yield
    until(lambda: descriptors() <= before, "descriptors are left open")


def after_one(fault):
    """Return a script that answers the first request by *fault*, and no other."""

    def script(peer):
        request = peer.receive()
        if request is not None:
            peer.send(*fault(request))
        peer.linger()

    return script


def survive(script, expected, use=lambda c: c.read("/a"), match=None, timeout=PATIENCE):
    """Check that one command fails over a connection with a fault, and the next one succeeds."""
    with FakeServer(script, honest) as server:
        client = Client(server.path, socket_timeout=timeout)
        client.SU = True
        began = time.monotonic()
        with pytest.raises(expected, match=match) as caught:
            use(client)
        assert time.monotonic() - began < timeout + PATIENCE
        assert type(caught.value) is expected
        assert str(caught.value).startswith(server.path + ": ")
        assert server.peers[0].gone.wait(PATIENCE), "the descriptor is still open"
        assert ", not connected" in repr(client)
        client.connection.socket_timeout = PATIENCE
        assert client.read("/b") == "value"
        assert client.ls("/") == ["a", "b"]
        assert len(server.peers) == 2
        client.close()


# -- the stream ----------------------------------------------------------------------------


@pytest.mark.parametrize("op", REQUESTS, ids=REQUEST_IDS)
def test_byte_by_byte_every_reply_is_understood(op):
    def script(peer):
        for request in peer:
            peer.send_byte_by_byte(reply_to(request))

    with FakeServer(script) as server, Client(server.path, socket_timeout=PATIENCE) as client:
        client.SU = True
        REQUESTS[op][0](client)
        assert client.read("/a") == "value"
        client.transaction_end()


#: A reply to READ: 16 bytes of header and 5 of payload.
@pytest.mark.parametrize("offset", range(21))
def test_the_stream_ends_at_any_offset(offset):
    def script(peer):
        peer.send(bytes(reply_to(peer.receive()))[:offset])

    survive(script, ConnectionError, match="closed the connection")


@pytest.mark.parametrize("offset", range(21))
def test_the_stream_stalls_at_any_offset(offset):
    survive(
        after_one(lambda request: [bytes(reply_to(request))[:offset]]),
        ConnectionError,
        match="no reply within|the rest of a message",
        timeout=0.05,
    )


@pytest.mark.parametrize("offset", range(21))
def test_a_watch_event_ends_at_any_offset(offset):
    message = bytes(event("/w", "t"))
    assert len(message) == 21

    def script(peer):
        peer.send(reply_to(peer.receive()), message[:offset])

    with FakeServer(script, honest) as server:
        monitor = pyxs.monitor(server.path, socket_timeout=PATIENCE)
        monitor.watch("/w", "t")
        with pytest.raises(ConnectionError, match="closed the connection"):
            monitor.wait()
        monitor.watch("/w", "t")
        assert monitor.wait(timeout=0.01) is None
        monitor.close()


@pytest.mark.parametrize("size", [(1 << 20) + 1, 2**31, 2**32 - 1])
def test_a_header_announces_too_much(size):
    survive(
        after_one(lambda request: [struct.pack("=4I", request.op, request.rq_id, 0, size)]),
        UnexpectedPacket,
        match="announces a payload of {} bytes".format(size),
    )


def test_a_reply_of_one_mebibyte_is_taken():
    value = b"x" * (1 << 20)
    with FakeServer(after_one(lambda request: [reply_to(request, value)])) as server:
        client = Client(server.path, socket_timeout=PATIENCE)
        assert client.read("/a").encode() == value
        client.close()


def test_garbage_is_no_reply():
    survive(after_one(lambda request: [b"HTTP/1.1 400 Bad Request\r\n\r\n"]), UnexpectedPacket)


def test_the_daemon_ends_before_anything_is_asked():
    survive(lambda peer: None, ConnectionError)


# -- replies -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {"op": 27},
        {"op": 4711},
        {"op": 2**32 - 1},
        {"op": Op.INVALID},
        {"op": Op.WRITE},
        {"rq_id": 0},
        {"rq_id": 2},
        {"rq_id": 2**32 - 1},
        {"tx_id": 1},
        {"op": Op.ERROR, "rq_id": 2},
        {"op": Op.ERROR, "tx_id": 1},
    ],
    ids=str,
)
def test_a_reply_of_another_type_or_with_other_ids(fields):
    payload = b"ENOENT\0" if fields.get("op") == Op.ERROR else None
    survive(
        after_one(lambda request: [reply_to(request, payload, **fields)]),
        UnexpectedPacket,
        match="answers no request",
    )


@pytest.mark.parametrize(
    "name", [b"", b"\0", b"ENOENT", b"EN\xd6ENT\0", b"\xff\xff", b"EIO\0EIO\0", b"E IO\0", b" \0"]
)
def test_an_error_that_is_no_name(name):
    survive(
        after_one(lambda request: [error_to(request, name)]),
        UnexpectedPacket,
        match="an error that is no name",
    )


@pytest.mark.parametrize("name", [b"EFUTURE\0", b"E\0", b"errorcode\0", b"2\0", b"x" * 999 + b"\0"])
def test_an_unknown_error_is_the_daemons_answer_and_the_connection_stays(name):
    def script(peer):
        peer.send(error_to(peer.receive(), name))
        honest(peer)

    with FakeServer(script) as server:
        client = Client(server.path, socket_timeout=PATIENCE)
        with pytest.raises(PyXSError) as caught:
            client.read("/a")
        assert caught.value.is_answer
        assert name[:-1].decode() in str(caught.value)
        assert client.read("/a") == "value"
        assert len(server.peers) == 1
        client.close()


@pytest.mark.parametrize(
    ("op", "payload"),
    [(op, payload) for op, (_, bad) in REQUESTS.items() for payload in bad],
    ids=lambda value: value.name if isinstance(value, Op) else repr(value),
)
def test_a_payload_that_is_not_what_the_request_defines(op, payload):
    use, _ = REQUESTS[op]
    survive(
        after_one(lambda request: [reply_to(request, payload)]),
        UnexpectedPacket,
        use=use,
        match="a reply to {} that is none".format(op.name),
    )


@pytest.mark.parametrize("payload", [b"", b"1", b"1\0", b"1\0a", b"1\0a\0b"])
def test_a_malformed_part_of_a_directory(payload):
    def script(peer):
        peer.send(error_to(peer.receive(), b"E2BIG\0"))
        peer.send(reply_to(peer.receive(), payload))
        peer.linger()

    survive(script, UnexpectedPacket, use=lambda c: c.ls("/"), match="DIRECTORY_PART")


@pytest.mark.parametrize(
    ("use", "op", "payload"),
    [
        (lambda c: list(c.walk("/a")), Op.DIRECTORY, b"b"),
        (lambda c: list(c.walk("/a", topdown=False)), Op.DIRECTORY, b"b\0\0"),
        (lambda c: list(snapshot.lines(c, ["/a"])), Op.DIRECTORY, b"b"),
        (lambda c: list(snapshot.lines(c, ["/a"])), Op.GET_PERMS, b"n"),
    ],
    ids=["walk", "walk-bottom-up", "snapshot", "snapshot-perms"],
)
def test_a_malformed_answer_in_a_walk(use, op, payload):
    def script(peer):
        for request in peer:
            peer.send(reply_to(request, payload if request.op == op else REPLIES[request.op]))

    survive(script, UnexpectedPacket, use=use, match="a reply to {} that is none".format(op.name))


@pytest.mark.parametrize("payload", [b"", b"OK", b"T\0"])
@pytest.mark.parametrize("commit", [True, False])
def test_the_end_of_a_transaction_is_not_acknowledged(payload, commit):
    def script(peer):
        peer.send(reply_to(peer.receive()))
        peer.send(reply_to(peer.receive(), payload))
        peer.linger()

    with FakeServer(script, honest) as server:
        client = Client(server.path, socket_timeout=PATIENCE)
        client.transaction_start()
        if commit:
            with pytest.raises(UnexpectedPacket):
                client.transaction_end()
        else:
            client.transaction_end(commit=False)
        assert client.tx_id == 0
        assert server.peers[0].gone.wait(PATIENCE)
        assert client.read("/a") == "value"
        client.close()


@pytest.mark.parametrize("payload", [b"", b"OK", b"T\0"])
def test_a_watch_is_not_acknowledged(payload):
    with FakeServer(after_one(lambda request: [reply_to(request, payload)]), honest) as server:
        monitor = pyxs.monitor(server.path, socket_timeout=PATIENCE)
        with pytest.raises(UnexpectedPacket, match="WATCH"):
            monitor.watch("/w", "t")
        assert server.peers[0].gone.wait(PATIENCE)
        monitor.watch("/w", "t")
        monitor.close()


def test_every_reply_of_the_tables_is_understood():
    with FakeServer(honest) as server, Client(server.path, socket_timeout=PATIENCE) as client:
        client.SU = True
        for op, (use, bad) in REQUESTS.items():
            assert REPLIES.get(op, b"OK\0") not in bad
            use(client)
        client.transaction_end()


def test_a_second_reply_is_dropped():
    def script(peer):
        request = peer.receive()
        peer.send(
            reply_to(request), reply_to(request, b"bogus"), reply_to(request, b"bogus", rq_id=2)
        )
        peer.linger()

    with FakeServer(script, honest) as server:
        client = Client(server.path, socket_timeout=PATIENCE)
        assert client.read("/a") == "value"
        for _ in range(3):
            with contextlib.suppress(ConnectionError):
                assert client.read("/a") == "value"
        assert client.read("/a") == "value"
        assert server.peers[0].gone.wait(PATIENCE)
        client.close()


# -- order and time ------------------------------------------------------------------------


def answering_in_reverse(count):
    def script(peer):
        requests = [peer.receive() for _ in range(count)]
        peer.send(*(reply_to(request, request.payload[:-1]) for request in reversed(requests)))
        peer.linger()

    return script


def test_replies_in_reverse_order_reach_their_requests():
    paths = ["/{}".format(number) for number in range(64)]
    with FakeServer(answering_in_reverse(64)) as server:
        client = Client(server.path, socket_timeout=PATIENCE)
        assert client.read_many(paths) == {path: path for path in paths}
        client.close()


def test_where_ids_mean_nothing_reverse_order_of_types_is_unexpected():
    with FakeServer(after_one(lambda r: [reply_to(r, op=Op.WRITE)]), honest) as server:
        client = Client(connection=FakeBus(server.path, PATIENCE))
        with pytest.raises(UnexpectedPacket):
            client.read("/a")
        assert client.read("/a") == "value"
        client.close()


def test_no_reply():
    survive(
        lambda peer: peer.linger(), ConnectionError, match="no reply within 0.05 s", timeout=0.05
    )


@pytest.mark.parametrize("bus", [False, True], ids=["socket", "xenbus"])
def test_a_reply_after_the_time_out_is_dropped(bus):
    late = threading.Event()

    def script(peer):
        request = peer.receive()
        assert late.wait(PATIENCE)
        peer.send(reply_to(request, b"late"))
        peer.linger()

    with FakeServer(script, honest) as server:
        make = FakeBus if bus else pyxs.connection.UnixSocketConnection
        client = Client(connection=make(server.path, 0.05))
        with pytest.raises(ConnectionError, match="no reply"):
            client.read("/a")
        client.connection.socket_timeout = PATIENCE
        late.set()
        for _ in range(100):
            assert client.read("/a") == "value"
        client.close()


def test_5000_events_before_a_reply_are_no_obstacle():
    def script(peer):
        for request in peer:
            peer.send(*(event("/w/{}".format(number), "t") for number in range(5000)))
            peer.send(reply_to(request))

    with FakeServer(script) as server, Client(server.path, socket_timeout=PATIENCE) as client:
        assert client.read("/a") == "value"
        assert client.read("/a") == "value"


@pytest.mark.parametrize("token", ["t", "unwatched"])
def test_events_without_end_instead_of_a_reply(token):
    def script(peer):
        peer.send(reply_to(peer.receive()))
        peer.receive()
        flood = b"".join(bytes(event("/w/{}".format(n), token)) for n in range(1000))
        while not peer.gone.is_set():
            peer.send(flood)

    with FakeServer(script, honest) as server:
        monitor = pyxs.monitor(server.path, socket_timeout=PATIENCE)
        monitor.watch("/w", "t")
        # Bytes come all the time, so that the time-out does not end it.
        closing = threading.Timer(0.3, monitor.close)
        closing.start()
        with pytest.raises(ConnectionError, match="closed"):
            monitor.watch("/x", "t")
        closing.join()
        monitor.watch("/x", "t")
        monitor.close()


def test_events_without_end_and_none_wanted_do_not_prolong_a_wait():
    def script(peer):
        peer.send(reply_to(peer.receive()))
        flood = bytes(event("/w", "unwatched")) * 1000
        while not peer.gone.is_set():
            peer.send(flood)

    with FakeServer(script) as server:
        monitor = pyxs.monitor(server.path, socket_timeout=PATIENCE)
        monitor.watch("/w", "t")
        assert monitor.wait(timeout=0.3) is None
        monitor.close()


def test_events_without_end_are_taken_one_by_one():
    def script(peer):
        peer.send(reply_to(peer.receive()))
        number = 0
        while not peer.gone.is_set():
            peer.send(*(event("/w/{}".format(n), "t") for n in range(number, number + 500)))
            number += 500

    with FakeServer(script) as server:
        monitor = pyxs.monitor(server.path, socket_timeout=PATIENCE)
        monitor.watch("/w", "t")
        for number in range(3000):
            assert monitor.wait().path == "/w/{}".format(number)
        monitor.close()


@pytest.mark.parametrize(
    "payload", [b"", b"\0", b"\0\0\0", b"/w", b"/w\0", b"/w\0t", b"/w\0t\0x", b"/w\0t\0\0"]
)
def test_a_malformed_event_ends_every_wait_for_a_reply(payload):
    survive(
        after_one(lambda request: [Packet(Op.WATCH_EVENT, payload), reply_to(request)]),
        UnexpectedPacket,
        match="event",
    )


# -- death in the middle of everything -----------------------------------------------------


@pytest.mark.parametrize(
    "last",
    [
        b"",
        b"\0" * 7,
        struct.pack("=4I", Op.READ, 99, 0, 0),
        struct.pack("=4I", Op.READ, 1, 0, 2**32 - 1),
        bytes(Packet(Op.WATCH_EVENT, b"nonsense")),
    ],
    ids=["death", "part", "wrong id", "too long", "bad event"],
)
def test_every_thread_that_waits_in_a_transaction_is_woken(last):
    def script(peer):
        peer.send(reply_to(peer.receive()))
        peer.receive()
        peer.send(last)
        # The stream ends here if that is the fault; otherwise it stalls.
        if len(last) >= 16:
            peer.linger()

    with FakeServer(script, honest) as server:
        client = Client(server.path, socket_timeout=PATIENCE, transaction=True)
        outcomes = []

        def work(use):
            try:
                outcomes.append(use())
            except ConnectionError as exc:
                outcomes.append(exc)

        uses = [lambda: client.read("/a")] * 10
        uses.append(lambda: client.ls("/"))
        uses.append(lambda: client.read_many(["/a", "/b"]))
        threads = [threading.Thread(target=work, args=[use]) for use in uses]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()
        assert len(outcomes) == 12
        assert all(isinstance(outcome, ConnectionError) for outcome in outcomes), outcomes
        assert server.peers[0].gone.wait(PATIENCE)
        client.transaction_end(commit=False)
        assert client.read("/a") == "value"
        client.close()


def test_death_in_the_middle_of_a_batch():
    def script(peer):
        for _ in range(30):
            peer.send(reply_to(peer.receive()))

    survive(script, ConnectionError, use=lambda c: c.read_many(["/a"] * 500))


def test_death_in_the_middle_of_a_batch_of_large_values():
    def script(peer):
        for _ in range(5):
            peer.receive()

    survive(script, ConnectionError, use=lambda c: c.write_many([("/a", b"x" * 4000)] * 500))


def test_death_in_the_middle_of_a_walk():
    def script(peer):
        for _ in range(50):
            request = peer.receive()
            peer.send(reply_to(request, b"" if request.op == Op.READ else b"a\0b\0c\0"))

    survive(script, ConnectionError, use=lambda c: list(c.walk("/")))


def test_death_in_the_middle_of_a_large_directory():
    def script(peer):
        peer.send(error_to(peer.receive(), b"E2BIG\0"))
        peer.send(reply_to(peer.receive(), b"1\0a\0"))
        peer.receive()

    survive(script, ConnectionError, use=lambda c: c.ls("/"))


def test_death_in_the_middle_of_run_transaction():
    def script(peer):
        peer.send(reply_to(peer.receive()))
        peer.send(reply_to(peer.receive()))
        peer.receive()

    calls = []

    def increase(transaction):
        calls.append(transaction.read("/a"))
        transaction.write("/a", "new")

    survive(script, ConnectionError, use=lambda c: c.run_transaction(increase))
    assert calls == ["value"]


def test_a_daemon_that_stops_reading():
    def script(peer):
        peer.receive()
        peer.gone.wait(2)

    with FakeServer(script, honest) as server:
        client = Client(server.path, socket_timeout=0.2)
        with pytest.raises(ConnectionError, match="no reply|timed out"):
            client.write_many([("/a", b"x" * 4000)] * 500)
        client.connection.socket_timeout = PATIENCE
        assert client.read("/a") == "value"
        client.close()
