"""One conversation: ids, replies, events, deadlines and threads, fed by hand."""

import errno
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from pyxs._conversation.router import Router
from pyxs._conversation.window import Request

from fakes import PATIENCE, FakeConnection, error_to, event, reply_to
from pyxs import ConnectionError, InvalidPayload, PyXSError, UnexpectedPacket
from pyxs.connection import Op, Packet


def read(path=b"/a\0", tx_id=0):
    return Request(Op.READ, path, tx_id)


def echo(packet):
    """Answer with the request's payload."""
    return [reply_to(packet, packet.payload)]


def until(condition):
    """Wait for what another thread is about to do."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.001)


def wait_until_disconnected(connection):
    until(lambda: connection.disconnected == 1)


def wait_until_sent(connection, count):
    until(lambda: len(connection.sent) >= count)


@pytest.fixture
def connection():
    return FakeConnection()


@pytest.fixture
def pool():
    with ThreadPoolExecutor(100) as pool:
        yield pool


@pytest.fixture
def begin(pool):
    """Begin a conversation over a connection; closed before the threads are waited for."""
    begun = []

    def begin(connection):
        begun.append((connection, Router(connection)))
        return begun[-1][1]

    yield begin
    for connection, router in begun:
        router.close()
        wait_until_disconnected(connection)


@pytest.fixture
def router(begin, connection):
    return begin(connection)


# -- requests and replies ------------------------------------------------------------------


def test_a_reply_reaches_its_request(router, connection):
    connection.answer = echo
    request = read(b"/some\0", tx_id=5)
    router.call(request)
    assert request.result() == b"/some\0"
    (sent,) = connection.sent
    assert (sent.op, sent.payload, sent.tx_id) == (Op.READ, b"/some\0", 5)


def test_replies_in_reverse_order_reach_their_requests(router, connection):
    requests = [read(b"/%d\0" % number) for number in range(50)]
    router.submit(requests)
    connection.deliver(*(reply_to(sent, sent.payload) for sent in reversed(connection.sent)))
    for request in requests:
        router.wait(request)
        assert request.result() == request.payload


def test_requests_under_way_have_different_ids(router, connection):
    router.submit([read() for _ in range(64)])
    assert len({sent.rq_id for sent in connection.sent}) == 64


def test_requests_sent_together_go_out_in_one_call(router, connection):
    router.submit([read() for _ in range(30)])
    assert connection.batches == [30]


@pytest.mark.parametrize(
    ("name", "number"),
    [(b"ENOENT\0", errno.ENOENT), (b"EACCES\0", errno.EACCES), (b"ENEWS\0", errno.EINVAL)],
)
def test_an_error_is_raised_as_the_answer(router, connection, name, number):
    connection.answer = lambda packet: [error_to(packet, name)]
    request = read()
    router.call(request)
    with pytest.raises(PyXSError) as caught:
        request.result()
    assert type(caught.value) is PyXSError
    assert caught.value.errno == number
    assert router.usable()


def test_an_unknown_error_keeps_its_name(router, connection):
    connection.answer = lambda packet: [error_to(packet, b"ENEWS\0")]
    request = read()
    router.call(request)
    with pytest.raises(PyXSError, match="ENEWS"):
        request.result()


@pytest.mark.parametrize(
    "wrong",
    [
        {"rq_id": 99},
        {"tx_id": 3},
        {"op": Op.WRITE},
        {"op": 4711},
        {"op": Op.INVALID},
        {"op": Op.ERROR, "payload": b"ENOENT"},
        {"op": Op.ERROR, "payload": b""},
        {"op": Op.ERROR, "payload": b"\0"},
        {"op": Op.ERROR, "payload": b"E NOENT\0"},
        {"op": Op.ERROR, "payload": b"EN\xd6\0"},
        {"op": Op.ERROR, "payload": b"ENOENT\0\0"},
        {"op": Op.ERROR, "payload": b"ENOENT\0", "rq_id": 99},
        {"op": Op.ERROR, "payload": b"ENOENT\0", "tx_id": 99},
    ],
    ids=str,
)
def test_a_reply_that_answers_nothing_ends_the_conversation(router, connection, wrong):
    connection.answer = lambda packet: [reply_to(packet, **wrong)]
    with pytest.raises(UnexpectedPacket, match="^fake: "):
        router.call(read())
    assert connection.disconnected == 1
    assert not router.usable()


def test_a_reply_that_nobody_asked_for_ends_the_conversation(router, connection):
    connection.deliver(Packet(Op.READ, b"value", 1))
    with pytest.raises(UnexpectedPacket):
        router.wait_event(None)


def test_a_second_reply_to_one_request_ends_the_conversation(router, connection):
    connection.answer = lambda packet: echo(packet) * 2
    router.call(read())
    with pytest.raises(UnexpectedPacket):
        router.call(read())


def test_where_ids_are_not_trusted_order_and_type_count(begin, connection):
    connection.trusts_ids = False
    connection.max_outstanding = 1
    router = begin(connection)
    connection.answer = lambda packet: [reply_to(packet, packet.payload, rq_id=99, tx_id=98)]
    for number in range(3):
        request = read(b"/%d\0" % number)
        router.call(request)
        assert request.result() == request.payload


def test_where_ids_are_not_trusted_another_type_is_unexpected(begin, connection):
    connection.trusts_ids = False
    router = begin(connection)
    connection.answer = lambda packet: [reply_to(packet, op=Op.WRITE)]
    with pytest.raises(UnexpectedPacket):
        router.call(read())


def test_an_answer_that_comes_from_send_is_the_requests(router, connection):
    answers = [PyXSError(errno.EINVAL, "Invalid argument"), None]

    def answer(packet):
        failure = answers.pop(0)
        if failure is not None:
            raise failure
        return echo(packet)

    connection.answer = answer
    refused, good = read(), read()
    router.call(refused)
    with pytest.raises(PyXSError, match="Invalid argument"):
        refused.result()
    router.call(good)
    assert good.result() == good.payload


# -- room for requests ---------------------------------------------------------------------


class Ledger:
    """Answers in a thread of its own and keeps how much was unanswered at the most."""

    def __init__(self, connection):
        self._connection = connection
        self._lock = threading.Lock()
        self._unanswered = []
        self.most = (0, 0)
        connection.answer = self._note

    def _note(self, packet):
        with self._lock:
            self._unanswered.append(packet)
            size = sum(16 + packet.size for packet in self._unanswered)
            self.most = max(self.most[0], len(self._unanswered)), max(self.most[1], size)
        return ()

    def answer(self, count):
        answered = 0
        while answered < count:
            with self._lock:
                due, self._unanswered = self._unanswered, []
            answered += len(due)
            self._connection.deliver(*(reply_to(packet, packet.payload) for packet in due))


@pytest.mark.parametrize(
    ("count", "size", "most"), [(1000, 3, (64, 64 * 19)), (300, 4096, (15, 15 * 4112))]
)
def test_no_more_than_64_requests_and_64_kib_are_unanswered(
    router, connection, pool, count, size, most
):
    ledger = Ledger(connection)
    requests = [Request(Op.WRITE, b"%0*d" % (size, number)) for number in range(count)]
    sending = pool.submit(router.submit, requests)
    # Answers before that could keep the window from ever being full.
    until(lambda: len(connection.sent) == most[0])
    answering = pool.submit(ledger.answer, count)
    sending.result(PATIENCE)
    for request in requests:
        router.wait(request)
        assert request.result() == request.payload
    answering.result(PATIENCE)
    assert ledger.most == most
    assert [sent.payload for sent in connection.sent] == [r.payload for r in requests]


def test_many_threads_share_the_room(router, connection, pool):
    ledger = Ledger(connection)
    answering = pool.submit(ledger.answer, 90 * 20)

    def work(thread):
        for number in range(20):
            request = read(b"/%d/%d\0" % (thread, number))
            router.call(request)
            assert request.result() == request.payload

    workers = [pool.submit(work, thread) for thread in range(90)]
    for worker in [*workers, answering]:
        worker.result(PATIENCE)
    assert ledger.most[0] <= 64


def test_where_one_request_is_allowed_the_next_waits_for_its_reply(begin, connection):
    connection.max_outstanding = 1
    router = begin(connection)
    connection.answer = echo
    router.submit([read(b"/%d\0" % number) for number in range(10)])
    assert connection.batches == [1] * 10


def test_what_is_too_long_for_the_connection_is_refused_and_nothing_sent(begin, connection):
    connection.max_payload = 4080
    router = begin(connection)
    good, bad = Request(Op.WRITE, b"x" * 4080), Request(Op.WRITE, b"x" * 4081)
    with pytest.raises(InvalidPayload, match="4081 bytes: .* at most 4080"):
        router.submit([good, bad])
    assert connection.sent == []
    assert router.usable()


def test_a_single_request_does_not_wait_for_a_whole_batch(router, connection, pool):
    batch = pool.submit(router.submit, [read() for _ in range(10000)])
    wait_until_sent(connection, 64)
    done = pool.submit(router.call, read(b"/single\0"))
    for number in range(1000):
        wait_until_sent(connection, number + 1)
        connection.deliver(reply_to(connection.sent[number]))
    done.result(PATIENCE)
    router.close()
    with pytest.raises(ConnectionError):
        batch.result(PATIENCE)


def test_waiting_for_room_is_no_time_out_while_replies_come(begin, connection, pool):
    connection.socket_timeout = 2
    router = begin(connection)
    batches = [[read() for _ in range(400)], [read()]]
    sending = [pool.submit(router.submit, batch) for batch in batches]
    for number in range(401):  # more than two seconds in all
        wait_until_sent(connection, number + 1)
        connection.deliver(reply_to(connection.sent[number]))
        time.sleep(0.006)
    for each in sending:
        each.result(PATIENCE)


# -- time-outs and interruptions -----------------------------------------------------------


def test_without_a_reply_in_time_the_conversation_ends(begin, connection):
    connection.socket_timeout = 0.05
    router = begin(connection)
    with pytest.raises(ConnectionError, match=r"^fake: no reply within 0.05 s$"):
        router.call(read())
    assert connection.disconnected == 1
    with pytest.raises(ConnectionError, match="no reply"):
        router.call(read())


def test_no_room_in_time_is_a_time_out_too(begin, connection):
    connection.socket_timeout = 0.05
    router = begin(connection)
    with pytest.raises(ConnectionError, match="no reply within"):
        router.submit([read() for _ in range(65)])
    assert connection.disconnected == 1


def test_events_without_end_do_not_delay_a_time_out(begin, connection):
    connection.socket_timeout = 0.1
    router = begin(connection)
    connection.recv = lambda timeout: event("/other", "token")
    with pytest.raises(ConnectionError, match="no reply"):
        router.call(read())


def test_events_of_others_without_end_do_not_delay_the_end_of_a_wait(router, connection):
    connection.recv = lambda timeout: event("/other", "token")
    assert router.wait_event(time.monotonic() + 0.1) is None


def test_one_threads_time_out_wakes_all(begin, connection, pool):
    connection.socket_timeout = 0.05
    router = begin(connection)
    waiting = [pool.submit(router.wait_event, None) for _ in range(4)]
    until(lambda: connection.receiving)
    with pytest.raises(ConnectionError, match="no reply"):
        router.call(read())
    for each in waiting:
        with pytest.raises(ConnectionError, match="no reply"):
            each.result(PATIENCE)


class HandlerError(Exception):
    """What a signal handler raises."""


class InterruptibleConnection(FakeConnection):
    interruptible = True  # whenever recv() raises here, it has taken nothing


def test_a_late_reply_to_an_abandoned_request_is_dropped(begin):
    connection = InterruptibleConnection()
    router = begin(connection)
    connection.deliver(HandlerError())
    with pytest.raises(HandlerError):
        router.call(read(b"/abandoned\0"))
    assert router.usable()
    connection.deliver(reply_to(connection.sent[0], b"late"))
    connection.answer = echo
    request = read(b"/next\0")
    router.call(request)
    assert request.result() == b"/next\0"
    router.close()


def test_an_abandoned_request_whose_reply_is_an_error_harms_nobody(begin):
    connection = InterruptibleConnection()
    router = begin(connection)
    connection.deliver(HandlerError())
    with pytest.raises(HandlerError):
        router.call(read())
    connection.deliver(error_to(connection.sent[0], b"ENOENT\0"))
    connection.answer = echo
    request = read()
    router.call(request)
    assert request.result() == request.payload
    router.close()


def test_an_interruption_leaves_the_lead_to_another_thread(begin, pool):
    connection = InterruptibleConnection()
    router = begin(connection)
    leader = pool.submit(router.call, read(b"/1\0"))
    until(lambda: connection.receiving)
    other = read(b"/2\0")
    waiting = pool.submit(router.call, other)
    until(lambda: len(connection.sent) == 2)
    connection.deliver(HandlerError())
    with pytest.raises(HandlerError):
        leader.result(PATIENCE)
    connection.deliver(reply_to(connection.sent[1], b"second"))
    waiting.result(PATIENCE)
    assert other.result() == b"second"
    router.close()


def test_where_ids_are_not_trusted_an_interruption_ends_the_conversation(begin):
    connection = InterruptibleConnection()
    connection.trusts_ids = False
    router = begin(connection)
    connection.deliver(HandlerError())
    with pytest.raises(HandlerError):
        router.call(read())
    assert not router.usable()
    assert connection.disconnected == 1


def test_an_interruption_that_may_have_lost_bytes_ends_the_conversation(router, connection):
    connection.deliver(HandlerError())
    with pytest.raises(HandlerError):
        router.call(read())
    assert not router.usable()
    assert connection.disconnected == 1


def test_who_fails_to_send_on_a_lost_connection_learns_why_it_was_lost(router, connection):
    def lose(packet):
        router.close("no reply within 5 s")
        raise ConnectionError("fake: Broken pipe")

    connection.answer = lose
    with pytest.raises(ConnectionError, match="^fake: no reply within 5 s$"):
        router.call(read())


def test_an_interruption_while_sending_ends_the_conversation(router, connection):
    def interrupt(packet):
        raise HandlerError

    connection.answer = interrupt
    with pytest.raises(HandlerError):
        router.call(read())
    assert not router.usable()
    assert connection.disconnected == 1


# -- threads -------------------------------------------------------------------------------


def test_who_is_served_leaves_the_lead_to_who_is_not(router, connection, pool):
    first, second = read(b"/1\0"), read(b"/2\0")
    leading = pool.submit(router.call, first)
    until(lambda: connection.receiving)
    sleeping = pool.submit(router.call, second)
    until(lambda: len(connection.sent) == 2)
    connection.deliver(reply_to(connection.sent[0], b"first"))
    leading.result(PATIENCE)
    connection.deliver(reply_to(connection.sent[1], b"second"))
    sleeping.result(PATIENCE)
    assert (first.result(), second.result()) == (b"first", b"second")


def test_the_leader_serves_a_sleeper(router, connection, pool):
    first, second = read(b"/1\0"), read(b"/2\0")
    leading = pool.submit(router.call, first)
    until(lambda: connection.receiving)
    sleeping = pool.submit(router.call, second)
    until(lambda: len(connection.sent) == 2)
    connection.deliver(reply_to(connection.sent[1], b"second"))
    sleeping.result(PATIENCE)
    assert second.result() == b"second"
    assert not leading.done()
    connection.deliver(reply_to(connection.sent[0], b"first"))
    leading.result(PATIENCE)


def test_a_lost_connection_fails_every_waiter_with_the_same_cause(router, connection, pool):
    waiting = [pool.submit(router.call, read()) for _ in range(20)]
    waiting += [pool.submit(router.wait_event, None) for _ in range(5)]
    waiting.append(pool.submit(router.submit, [read() for _ in range(100)]))
    until(lambda: len(connection.sent) == 64)
    loss = ConnectionError("fake: gone")
    connection.deliver(loss)
    for each in waiting:
        with pytest.raises(ConnectionError, match="^fake: gone$") as caught:
            each.result(PATIENCE)
        assert caught.value.__cause__ is loss
    until(lambda: connection.disconnected == 1)


def test_closing_wakes_every_waiter(router, connection, pool):
    waiting = [pool.submit(router.call, read()), pool.submit(router.wait_event, None)]
    until(lambda: connection.receiving and len(connection.sent) == 1)
    router.close()
    for each in waiting:
        with pytest.raises(ConnectionError, match="^fake: closed$"):
            each.result(PATIENCE)


def test_closing_twice_disconnects_once(router, connection):
    router.close()
    router.close()
    assert connection.disconnected == 1


# -- events --------------------------------------------------------------------------------


def test_an_event_of_a_live_watch_is_had(router, connection):
    router.add_watch(b"/a", b"t")
    connection.deliver(event("/a/b", "t"))
    assert router.wait_event(None) == (b"/a/b", b"t")


def test_events_met_while_waiting_for_a_reply_are_kept_in_order(router, connection):
    router.add_watch(b"/", b"t")
    events = [event("/{}".format(number), "t") for number in range(5000)]
    connection.answer = lambda packet: [*events, *echo(packet)]
    router.call(read())
    for number in range(5000):
        assert router.poll_event() == (b"/%d" % number, b"t")
    assert router.poll_event() is None


@pytest.mark.parametrize(
    ("path", "token"), [("/ab", "t"), ("/", "t"), ("/a", "u"), ("/a/b", "/a"), ("@other", "t")]
)
def test_an_event_that_no_live_watch_covers_is_dropped(router, connection, path, token):
    router.add_watch(b"/a", b"t")
    connection.deliver(event(path, token))
    assert router.poll_event() is None


@pytest.mark.parametrize(
    ("wpath", "path"),
    [
        (b"/", "/a/b"),
        (b"/", "@introduceDomain"),
        (b"a", "a/b"),
        (b"@releaseDomain", "@releaseDomain"),
        (b"@releaseDomain/5", "@releaseDomain"),
        (b"@releaseDomain/5", "@releaseDomain/5"),
    ],
)
def test_what_a_watch_covers(router, connection, wpath, path):
    router.add_watch(wpath, b"t")
    connection.deliver(event(path, "t"))
    assert router.poll_event() == (path.encode(), b"t")


def test_discarding_a_watch_drops_its_queued_events_and_no_others(router, connection):
    router.add_watch(b"/a", b"t")
    router.add_watch(b"/b", b"t")
    connection.answer = lambda packet: [event("/a/1", "t"), event("/b/1", "t"), *echo(packet)]
    router.call(read())
    router.discard_watch(b"/a", b"t")
    connection.deliver(event("/a/2", "t"))
    assert router.poll_event() == (b"/b/1", b"t")
    assert router.poll_event() is None


@pytest.mark.parametrize(
    "payload", [b"", b"\0", b"/a", b"/a\0", b"/a\0t", b"/a\0t\0x", b"/a\0t\0\0", b"\0\0\0"]
)
def test_a_malformed_event_ends_the_conversation(router, connection, payload):
    router.add_watch(b"/", b"t")
    connection.deliver(Packet(Op.WATCH_EVENT, payload))
    with pytest.raises(UnexpectedPacket, match="^fake: .*event"):
        router.wait_event(None)
    assert connection.disconnected == 1


def test_a_wait_with_nothing_to_report_sends_nothing_and_reads_once(router, connection):
    assert router.wait_event(time.monotonic() + 0.3) is None
    assert connection.sent == []
    assert connection.receives == 1


def test_each_event_wakes_one_of_the_threads_that_wait(router, connection, pool):
    router.add_watch(b"/", b"t")
    waiting = [pool.submit(router.wait_event, None) for _ in range(10)]
    until(lambda: connection.receiving)
    connection.deliver(*(event("/{}".format(number), "t") for number in range(10)))
    got = {each.result(PATIENCE) for each in waiting}
    assert got == {(b"/%d" % number, b"t") for number in range(10)}


def test_events_that_had_arrived_are_had_after_the_loss(router, connection):
    router.add_watch(b"/a", b"t")
    connection.answer = lambda packet: [event("/a", "t"), *echo(packet)]
    router.call(read())
    connection.deliver(ConnectionError("fake: gone"))
    with pytest.raises(ConnectionError):
        router.call(read(b"unanswered"))
    assert router.wait_event(None) == (b"/a", b"t")
    with pytest.raises(ConnectionError, match="gone"):
        router.wait_event(None)
    with pytest.raises(ConnectionError, match="gone"):
        router.poll_event()
