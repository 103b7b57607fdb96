"""A conversation over a fake connection: ids, replies, events, deadlines and threads."""

import errno
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from common import PATIENCE, HandlerError, before_line, interrupt, until
from fakes import BusyConnection, FakeConnection, error_to, event, reply_to
from pyxs import ConnectionError, InvalidPayload, PyXSError, UnexpectedPacket
from pyxs._conversation import outbox
from pyxs._conversation.conversation import Conversation
from pyxs._conversation.events import Events, Watch
from pyxs._conversation.inbox import Inbox
from pyxs._conversation.lifetime import Lifetime
from pyxs._conversation.outbox import Outbox
from pyxs._conversation.request import Request
from pyxs._conversation.roles import Roles
from pyxs._conversation.watching import end_watches, set_watch
from pyxs.connection import Op, Packet


def read(path=b"/a\0", tx_id=0):
    return Request(Op.READ, path, tx_id)


def raw(notice):
    """Return path and token of an event."""
    return notice[1:3]


def echo(packet):
    """Answer with the request's payload."""
    return [reply_to(packet, packet.payload)]


def check_the_next_reply(conversation):
    """Check that another request gets its own reply; the connection echoes."""
    request = read(b"/next\0")
    conversation.call(request)
    assert request.result() == b"/next\0"


def transaction_start():
    """Return a request that starts a transaction; undoing it aborts the transaction."""
    return Request(
        Op.TRANSACTION_START,
        b"\0",
        undo=lambda reply: Request(Op.TRANSACTION_END, b"F\0", int(reply[:-1])),
    )


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
    """Begin a conversation; it is closed before the pool waits for its threads."""
    begun = []

    def begin(connection):
        begun.append((connection, Conversation(connection)))
        return begun[-1][1]

    yield begin
    for connection, conversation in begun:
        conversation.close()
        wait_until_disconnected(connection)


@pytest.fixture
def conversation(begin, connection):
    return begin(connection)


# -- requests and replies ------------------------------------------------------------------


def test_a_reply_reaches_its_request(conversation, connection):
    connection.answer = echo
    request = read(b"/some\0", tx_id=5)
    conversation.call(request)
    assert request.result() == b"/some\0"
    (sent,) = connection.sent
    assert (sent.op, sent.payload, sent.tx_id) == (Op.READ, b"/some\0", 5)


def test_replies_in_reverse_order_reach_their_requests(conversation, connection):
    requests = [read(b"/%d\0" % number) for number in range(50)]
    conversation.submit(requests)
    connection.deliver(*(reply_to(sent, sent.payload) for sent in reversed(connection.sent)))
    for request in requests:
        conversation.wait(request)
        assert request.result() == request.payload


def test_requests_under_way_have_different_ids(conversation, connection):
    conversation.submit([read() for _ in range(64)])
    assert len({sent.rq_id for sent in connection.sent}) == 64


def test_after_the_last_identifier_that_fits_the_header_the_first_comes_again(
    begin, connection, monkeypatch
):
    monkeypatch.setattr(outbox, "_IDS", outbox._IDS[-2:])
    connection.answer = echo
    conversation = begin(connection)
    for _ in range(3):
        conversation.call(read())
    assert [sent.rq_id for sent in connection.sent] == [2**32 - 2, 2**32 - 1, 2**32 - 2]


def test_requests_sent_together_go_out_in_one_call(conversation, connection):
    conversation.submit([read() for _ in range(30)])
    assert connection.batches == [30]


@pytest.mark.parametrize(
    ("name", "number"),
    [(b"ENOENT\0", errno.ENOENT), (b"EACCES\0", errno.EACCES), (b"ENEWS\0", errno.EINVAL)],
)
def test_an_error_is_raised_as_the_answer(conversation, connection, name, number):
    connection.answer = lambda packet: [error_to(packet, name)]
    request = read()
    conversation.call(request)
    with pytest.raises(PyXSError) as caught:
        request.result()
    assert type(caught.value) is PyXSError
    assert caught.value.errno == number
    assert conversation.usable()


def test_an_unknown_error_keeps_its_name(conversation, connection):
    connection.answer = lambda packet: [error_to(packet, b"ENEWS\0")]
    request = read()
    conversation.call(request)
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
def test_a_wrong_reply_ends_the_conversation(conversation, connection, wrong):
    connection.answer = lambda packet: [reply_to(packet, **wrong)]
    with pytest.raises(UnexpectedPacket, match="^fake: "):
        conversation.call(read())
    assert connection.disconnected == 1
    assert not conversation.usable()


def test_a_reply_without_a_request_ends_the_conversation(conversation, connection):
    connection.deliver(Packet(Op.READ, b"value", 1))
    with pytest.raises(UnexpectedPacket):
        conversation.wait_event(raw, None)


def test_a_second_reply_to_one_request_ends_the_conversation(conversation, connection):
    connection.answer = lambda packet: echo(packet) * 2
    conversation.call(read())
    with pytest.raises(UnexpectedPacket):
        conversation.call(read())


def test_where_ids_are_not_trusted_order_and_type_count(begin, connection):
    connection.trusts_ids = False
    connection.max_outstanding = 1
    conversation = begin(connection)
    connection.answer = lambda packet: [reply_to(packet, packet.payload, rq_id=99, tx_id=98)]
    for number in range(3):
        request = read(b"/%d\0" % number)
        conversation.call(request)
        assert request.result() == request.payload


def test_where_ids_are_not_trusted_another_type_is_unexpected(begin, connection):
    connection.trusts_ids = False
    conversation = begin(connection)
    connection.answer = lambda packet: [reply_to(packet, op=Op.WRITE)]
    with pytest.raises(UnexpectedPacket):
        conversation.call(read())


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSPC])
def test_a_pyxserror_from_send_is_the_answer_to_the_request(conversation, connection, number):
    answers = [PyXSError(number, "refused"), None]

    def answer(packet):
        failure = answers.pop(0)
        if failure is not None:
            raise failure
        return echo(packet)

    connection.answer = answer
    refused, good = read(), read()
    conversation.call(refused)
    with pytest.raises(PyXSError) as caught:
        refused.result()
    assert caught.value.errno == number
    conversation.call(good)
    assert good.result() == good.payload


# -- room for requests ---------------------------------------------------------------------


class Ledger:
    """Answers from another thread, and records the most requests and bytes unanswered."""

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
            if not due:
                time.sleep(0.0002)  # else, without a GIL, this thread keeps the lock for itself
            answered += len(due)
            self._connection.deliver(*(reply_to(packet, packet.payload) for packet in due))


@pytest.mark.parametrize(
    ("count", "size", "most"), [(1000, 3, (64, 64 * 19)), (300, 4096, (15, 15 * 4112))]
)
def test_no_more_than_64_requests_and_64_kib_are_unanswered(
    conversation, connection, pool, count, size, most
):
    ledger = Ledger(connection)
    requests = [Request(Op.WRITE, b"%0*d" % (size, number)) for number in range(count)]
    sending = pool.submit(conversation.call_many, requests)
    # Answers before that could keep the window from ever being full.
    until(lambda: len(connection.sent) == most[0])
    answering = pool.submit(ledger.answer, count)
    sending.result(PATIENCE)
    for request in requests:
        assert request.result() == request.payload
    answering.result(PATIENCE)
    assert ledger.most == most
    assert [sent.payload for sent in connection.sent] == [r.payload for r in requests]


@pytest.mark.parametrize(("size", "sent"), [(3840, 16), (3841, 15)])
def test_unanswered_requests_may_have_64_kib_to_the_byte(conversation, connection, size, sent):
    sizes = [4096] * 15 + [size]
    conversation.submit([Request(Op.WRITE, bytes(size)) for size in sizes])
    assert len(connection.sent) == sent


@pytest.mark.parametrize(("size", "sent"), [(3840, 1), (3841, 0)])
def test_the_rest_of_64_kib_may_be_used_to_the_byte(conversation, connection, size, sent):
    conversation.submit([Request(Op.WRITE, bytes(4096)) for _ in range(15)])
    conversation.submit([Request(Op.WRITE, bytes(size))])
    assert len(connection.sent) == 15 + sent


@pytest.mark.parametrize(("sizes", "sent"), [((4096, 3), 0), ((3, 4096), 1)])
def test_the_first_request_that_waits_is_the_next_one_sent(conversation, connection, sizes, sent):
    conversation.submit([Request(Op.WRITE, bytes(4096)) for _ in range(15)])
    conversation.submit([Request(Op.WRITE, bytes(size)) for size in sizes])
    assert len(connection.sent) == 15 + sent


def test_many_threads_share_the_room(conversation, connection, pool):
    ledger = Ledger(connection)
    answering = pool.submit(ledger.answer, 90 * 20)

    def work(thread):
        for number in range(20):
            request = read(b"/%d/%d\0" % (thread, number))
            conversation.call(request)
            assert request.result() == request.payload

    workers = [pool.submit(work, thread) for thread in range(90)]
    for worker in [*workers, answering]:
        worker.result(PATIENCE)
    assert ledger.most[0] <= 64


def test_many_requests_inside_another_call_are_refused(conversation, connection):
    def answer(packet):
        with pytest.raises(PyXSError) as caught:
            conversation.call_many([read()])
        assert caught.value.errno == errno.EDEADLK
        return [reply_to(packet)]

    connection.answer = answer
    conversation.call(read())
    assert len(connection.sent) == 1


def test_where_one_request_is_allowed_the_next_waits_for_its_reply(begin, connection):
    connection.max_outstanding = 1
    conversation = begin(connection)
    connection.answer = echo
    conversation.call_many([read(b"/%d\0" % number) for number in range(10)])
    assert connection.batches == [1] * 10


def test_a_request_too_long_for_the_connection_is_refused_and_not_sent(begin, connection):
    connection.max_payload = 4080
    conversation = begin(connection)
    good, bad = Request(Op.WRITE, b"x" * 4080), Request(Op.WRITE, b"x" * 4081)
    with pytest.raises(InvalidPayload, match="4081 bytes: .* at most 4080"):
        conversation.submit([good, bad])
    assert connection.sent == []
    assert conversation.usable()


def test_a_single_request_does_not_wait_for_a_whole_batch(conversation, connection, pool):
    batch = pool.submit(conversation.call_many, [read() for _ in range(10000)])
    wait_until_sent(connection, 64)
    done = pool.submit(conversation.call, read(b"/single\0"))
    for number in range(1000):
        wait_until_sent(connection, number + 1)
        connection.deliver(reply_to(connection.sent[number]))
    done.result(PATIENCE)
    conversation.close()
    with pytest.raises(ConnectionError):
        batch.result(PATIENCE)


def test_a_request_may_wait_for_room_while_replies_come(begin, connection, pool):
    connection.socket_timeout = 2
    conversation = begin(connection)
    batches = [[read() for _ in range(400)], [read()]]
    sending = [pool.submit(conversation.call_many, batch) for batch in batches]
    for number in range(401):  # more than two seconds in all
        wait_until_sent(connection, number + 1)
        connection.deliver(reply_to(connection.sent[number]))
        time.sleep(0.006)
    for each in sending:
        each.result(PATIENCE)


# -- time-outs and interruptions -----------------------------------------------------------


def test_without_a_reply_in_time_the_conversation_ends(begin, connection):
    connection.socket_timeout = 0.05
    conversation = begin(connection)
    with pytest.raises(ConnectionError, match=r"^fake: no reply within 0.05 s$"):
        conversation.call(read())
    assert connection.disconnected == 1
    with pytest.raises(ConnectionError, match="no reply"):
        conversation.call(read())


def test_no_room_in_time_is_a_time_out_too(begin, connection):
    connection.socket_timeout = 0.05
    conversation = begin(connection)
    with pytest.raises(ConnectionError, match="no reply within"):
        conversation.call_many([read() for _ in range(65)])
    assert connection.disconnected == 1


def test_a_request_that_finds_no_room_in_time_is_a_time_out_too(begin, connection):
    connection.socket_timeout = 0.05
    connection.max_outstanding = 1
    conversation = begin(connection)
    conversation.submit([read()])
    with pytest.raises(ConnectionError, match="no reply within"):
        conversation.call(read())
    assert len(connection.sent) == 1


@pytest.mark.parametrize(
    "look",
    [lambda c: c.wait_event(raw, time.monotonic()), lambda c: c.poll_event(raw)],
    ids=["wait", "poll"],
)
def test_a_look_for_events_does_not_let_the_connection_wait(conversation, connection, look):
    timeouts = []
    connection.recv = timeouts.append
    assert look(conversation) is None
    assert timeouts == [0]


def test_a_wait_whose_deadline_has_passed_ends_while_another_thread_reads(
    conversation, connection, pool
):
    reader = pool.submit(conversation.call, read())
    until(lambda: connection.receiving)
    assert conversation.wait_event(raw, time.monotonic()) is None
    connection.deliver(reply_to(connection.sent[0]))
    reader.result(PATIENCE)


def test_events_without_end_do_not_delay_a_time_out(begin, connection):
    connection.socket_timeout = 0.1
    conversation = begin(connection)
    connection.recv = lambda timeout: event("/other", "token")
    with pytest.raises(ConnectionError, match="no reply"):
        conversation.call(read())


def test_events_of_others_without_end_do_not_delay_the_end_of_a_wait(conversation, connection):
    connection.recv = lambda timeout: event("/other", "token")
    assert conversation.wait_event(raw, time.monotonic() + 0.1) is None


def test_a_time_out_of_one_thread_wakes_all_threads(begin, connection, pool):
    connection.socket_timeout = 0.05
    conversation = begin(connection)
    waiting = [pool.submit(conversation.wait_event, raw, None) for _ in range(4)]
    until(lambda: connection.receiving)
    with pytest.raises(ConnectionError, match="no reply"):
        conversation.call(read())
    for each in waiting:
        with pytest.raises(ConnectionError, match="no reply"):
            each.result(PATIENCE)


def test_an_event_that_one_call_could_not_take_goes_to_the_next(conversation, connection):
    def fail(notice):
        raise HandlerError

    conversation.events.add(Watch(b"/a", b"t"))
    connection.deliver(event("/a", "t"))
    for wait in (
        lambda: conversation.wait_event(fail, None),
        lambda: conversation.poll_event(fail),
    ):
        with pytest.raises(HandlerError):
            wait()
    assert conversation.wait_event(raw, time.monotonic()) == (b"/a", b"t")


class InterruptibleConnection(FakeConnection):
    interruptible = True  # recv() reads nothing before it raises


def arriving_together(connection):
    """Return a list; let the connection receive all packets in it at once."""
    frames = []
    connection.receive = lambda timeout: frames
    return frames


def frames_of(packets):
    """Return the replies to packets as a connection hands them over."""
    return [(packet.op, packet.rq_id, packet.tx_id, packet.payload) for packet in packets]


@pytest.mark.parametrize("trusts_ids", [True, False])
@pytest.mark.parametrize("line", ["del frames[0]", "pending.pop("])
def test_a_call_interrupted_while_it_takes_its_reply_leaves_room_for_the_next(
    begin, line, trusts_ids
):
    connection = InterruptibleConnection(echo)
    connection.max_outstanding = 1
    connection.trusts_ids = trusts_ids
    connection.socket_timeout = PATIENCE
    conversation = begin(connection)
    with pytest.raises(HandlerError), before_line(Inbox.receive, line, interrupt):
        conversation.call(read(b"/interrupted\0"))
    check_the_next_reply(conversation)
    conversation.close()


def test_a_reply_that_an_interruption_leaves_before_another_is_handed_out_again(begin):
    connection = InterruptibleConnection()
    frames = arriving_together(connection)
    conversation = begin(connection)
    first, second = read(b"/1\0"), read(b"/2\0")
    conversation.submit([first, second])
    frames += frames_of(connection.sent)
    with pytest.raises(HandlerError), before_line(Inbox.receive, "del frames[0]", interrupt):
        conversation.wait(first)
    conversation.wait(second)
    assert second.result() == b"/2\0"
    conversation.close()


@pytest.mark.parametrize("passes", [1, 2])
def test_a_request_of_another_call_that_is_interrupted_on_its_way_is_sent_once(begin, passes):
    connection = InterruptibleConnection()
    connection.max_outstanding = 2
    frames = arriving_together(connection)
    conversation = begin(connection)
    conversation.submit([read(b"/%d\0" % number) for number in range(4)])
    frames += frames_of(connection.sent)  # makes room for the other two
    with pytest.raises(HandlerError), before_line(
        Outbox._fill, "waiting.popleft()", interrupt, passes
    ):
        conversation.poll_event(raw)
    frames += frames_of(connection.sent[2:])
    conversation.poll_event(raw)
    assert [sent.payload for sent in connection.sent] == [b"/0\0", b"/1\0", b"/2\0", b"/3\0"]
    conversation.close()


@pytest.mark.parametrize("line", ["self.retire(me)", "self._roles.release(me)"])
def test_a_close_that_is_interrupted_is_completed(conversation, connection, line):
    with pytest.raises(HandlerError), before_line(Lifetime._end, line, interrupt):
        conversation.close()
    assert connection.disconnected == 1
    assert not conversation.is_inside()


def test_a_late_reply_to_an_abandoned_request_is_dropped(begin):
    connection = InterruptibleConnection()
    conversation = begin(connection)
    connection.deliver(HandlerError())
    with pytest.raises(HandlerError):
        conversation.call(read(b"/abandoned\0"))
    assert conversation.usable()
    connection.deliver(reply_to(connection.sent[0], b"late"))
    connection.answer = echo
    check_the_next_reply(conversation)
    conversation.close()


def test_a_request_is_abandoned_too_if_its_wait_is_interrupted(begin):
    connection = InterruptibleConnection()
    conversation = begin(connection)
    abandoned = read()
    conversation.submit([abandoned])
    connection.deliver(HandlerError())
    with pytest.raises(HandlerError):
        conversation.wait(abandoned)
    connection.deliver(reply_to(connection.sent[0]))
    connection.answer = echo
    check_the_next_reply(conversation)
    conversation.close()


def test_an_error_reply_to_an_abandoned_request_fails_no_other_call(begin):
    connection = InterruptibleConnection()
    conversation = begin(connection)
    connection.deliver(HandlerError())
    with pytest.raises(HandlerError):
        conversation.call(read())
    connection.deliver(error_to(connection.sent[0], b"ENOENT\0"))
    connection.answer = echo
    request = read()
    conversation.call(request)
    assert request.result() == request.payload
    conversation.close()


def test_a_request_abandoned_before_it_was_sent_is_never_sent(begin):
    connection = InterruptibleConnection()
    connection.max_outstanding = 1
    conversation = begin(connection)
    conversation.submit([read(b"/first\0")])
    connection.deliver(HandlerError())
    with pytest.raises(HandlerError):
        conversation.call(read(b"/abandoned\0"))
    connection.deliver(reply_to(connection.sent[0]))
    connection.answer = echo
    conversation.call(read(b"/next\0"))
    assert [sent.payload for sent in connection.sent] == [b"/first\0", b"/next\0"]
    conversation.close()


def test_a_request_abandoned_before_it_was_sent_is_not_sent_when_there_is_room(begin):
    connection = InterruptibleConnection()
    connection.max_outstanding = 1
    conversation = begin(connection)
    first = read(b"/first\0")
    conversation.submit([first])
    connection.deliver(HandlerError())
    with pytest.raises(HandlerError):
        conversation.call(read(b"/abandoned\0"))
    connection.deliver(reply_to(connection.sent[0]))
    conversation.wait(first)
    assert [sent.payload for sent in connection.sent] == [b"/first\0"]
    conversation.close()


def test_the_late_reply_to_an_abandoned_request_undoes_what_it_began(begin):
    connection = InterruptibleConnection()
    conversation = begin(connection)
    connection.deliver(HandlerError())
    with pytest.raises(HandlerError):
        conversation.call(transaction_start())
    connection.deliver(reply_to(connection.sent[0], b"7\0"))
    connection.answer = echo
    conversation.call(read())
    conversation.call(read())
    (undone,) = [sent for sent in connection.sent if sent.op == Op.TRANSACTION_END]
    assert (undone.payload, undone.tx_id) == (b"F\0", 7)
    conversation.close()


def test_what_an_answered_request_began_is_undone_at_once(conversation, connection):
    connection.answer = lambda packet: [reply_to(packet)]
    request = transaction_start()
    conversation.call(request)
    for _ in range(2):  # the second time there is nothing left to undo
        conversation.undo(request)
        assert [(sent.op, sent.tx_id) for sent in connection.sent] == [
            (Op.TRANSACTION_START, 0),
            (Op.TRANSACTION_END, 7),
        ]


@pytest.mark.parametrize(
    ("function", "line"),
    [(Inbox.receive, "pending.pop("), (Conversation.call, "self._turns.leave(request)")],
    ids=["while it reads", "before it returns"],
)
def test_what_an_answered_request_began_is_undone_at_once_if_its_call_is_interrupted(
    begin, function, line
):
    connection = InterruptibleConnection(lambda packet: [reply_to(packet)])
    connection.max_outstanding = 1
    conversation = begin(connection)
    with pytest.raises(HandlerError), before_line(function, line, interrupt):
        conversation.call(transaction_start())
    assert [(sent.op, sent.tx_id) for sent in connection.sent] == [
        (Op.TRANSACTION_START, 0),
        (Op.TRANSACTION_END, 7),
    ]
    conversation.close()


def test_a_posted_request_that_is_too_long_is_not_sent(conversation, connection):
    conversation.post(Request(Op.UNWATCH, b"x" * 4097))
    assert connection.sent == []
    conversation.post(Request(Op.UNWATCH, b"x" * 4096))
    assert [sent.payload for sent in connection.sent] == [b"x" * 4096]
    assert conversation.usable()


@pytest.mark.parametrize(
    "look", [lambda c: c.wait_event(raw, None), lambda c: c.poll_event(raw)], ids=["wait", "poll"]
)
def test_a_posted_request_is_sent_when_a_look_for_events_makes_room(begin, connection, look):
    connection.max_outstanding = 1
    conversation = begin(connection)
    conversation.events.add(Watch(b"/a", b"t"))
    conversation.submit([read()])
    conversation.post(Request(Op.UNWATCH, b"/b\0t\0"))
    assert len(connection.sent) == 1
    connection.deliver(reply_to(connection.sent[0]), event("/a", "t"))
    look(conversation)
    assert [sent.op for sent in connection.sent] == [Op.READ, Op.UNWATCH]


def test_a_watch_that_was_interrupted_is_ended_in_the_daemon_too(begin):
    connection = InterruptibleConnection()
    conversation = begin(connection)
    connection.deliver(HandlerError())
    with pytest.raises(HandlerError):
        set_watch(conversation, Watch(b"/a", b"t"))
    assert [(sent.op, sent.payload) for sent in connection.sent] == [
        (Op.WATCH, b"/a\0t\0"),
        (Op.UNWATCH, b"/a\0t\0"),
    ]
    conversation.close()


def test_a_second_watch_that_was_interrupted_does_not_end_the_first(begin):
    connection = InterruptibleConnection(echo)
    conversation = begin(connection)
    set_watch(conversation, Watch(b"/a", b"t"))
    connection.answer = lambda packet: [HandlerError()]
    with pytest.raises(HandlerError):
        set_watch(conversation, Watch(b"/a", b"t"))
    assert [sent.op for sent in connection.sent] == [Op.WATCH, Op.WATCH]
    conversation.close()


def begin_without_room(begin, connection):
    """Return a conversation and the request that takes all room; interrupt the next wait."""
    connection.max_outstanding = 1
    conversation = begin(connection)
    first = read()
    conversation.submit([first])
    connection.deliver(HandlerError())
    return conversation, first


def test_an_unwatch_interrupted_before_it_was_sent_is_sent_when_there_is_room(begin):
    connection = InterruptibleConnection()
    conversation, first = begin_without_room(begin, connection)
    with pytest.raises(HandlerError):
        end_watches(conversation, Op.UNWATCH, b"/a\0t\0", [])
    connection.deliver(reply_to(connection.sent[0]))
    conversation.wait(first)
    assert [sent.op for sent in connection.sent] == [Op.READ, Op.UNWATCH]
    conversation.close()


def test_after_an_interruption_another_thread_reads(begin, pool):
    connection = InterruptibleConnection()
    conversation = begin(connection)
    reader = pool.submit(conversation.call, read(b"/1\0"))
    until(lambda: connection.receiving)
    other = read(b"/2\0")
    waiting = pool.submit(conversation.call, other)
    until(lambda: len(connection.sent) == 2)
    connection.deliver(HandlerError())
    with pytest.raises(HandlerError):
        reader.result(PATIENCE)
    connection.deliver(reply_to(connection.sent[1], b"second"))
    waiting.result(PATIENCE)
    assert other.result() == b"second"
    conversation.close()


def test_where_ids_are_not_trusted_an_interruption_ends_the_conversation(begin):
    connection = InterruptibleConnection()
    connection.trusts_ids = False
    conversation = begin(connection)
    connection.deliver(HandlerError())
    with pytest.raises(HandlerError):
        conversation.call(read())
    assert not conversation.usable()
    assert connection.disconnected == 1


def test_where_ids_are_not_trusted_a_request_may_be_abandoned_before_it_was_sent(begin):
    connection = InterruptibleConnection()
    connection.trusts_ids = False
    conversation, first = begin_without_room(begin, connection)
    with pytest.raises(HandlerError):
        conversation.call(read())
    connection.deliver(reply_to(connection.sent[0]))
    conversation.wait(first)
    assert first.result() == b"value"
    conversation.close()


def test_an_interruption_that_may_have_lost_bytes_ends_the_conversation(conversation, connection):
    connection.deliver(HandlerError())
    with pytest.raises(HandlerError):
        conversation.call(read())
    assert not conversation.usable()
    assert connection.disconnected == 1


def test_a_reply_that_overtakes_an_interrupted_send_leaves_no_request_unanswered():
    class Replied(dict):
        """Between two instructions of the sender, another thread takes the reply."""

        def __setitem__(self, rq_id, request):
            request.answer = (Op.READ, rq_id, 0, b"value")
            self.pop(rq_id, None)
            super().__setitem__(rq_id, request)

    outbox = Outbox(FakeConnection(), Roles())
    outbox.pending = Replied()
    outbox.waiting.append(read())
    assert outbox.send() is None
    assert not outbox.pending


def test_a_send_on_a_lost_connection_raises_the_cause_of_the_loss(conversation, connection):
    def lose(packet):
        conversation.close()
        raise ConnectionError("fake: Broken pipe")

    connection.answer = lose
    with pytest.raises(ConnectionError, match="^fake: closed$"):
        conversation.call(read())


@pytest.mark.parametrize(
    "use", [lambda c: c.call(read()), lambda c: c.submit([read()])], ids=["call", "submit"]
)
def test_an_interruption_while_sending_ends_the_conversation(conversation, connection, use):
    def interrupt(packet):
        raise HandlerError

    connection.answer = interrupt
    with pytest.raises(HandlerError):
        use(conversation)
    assert not conversation.usable()
    assert connection.disconnected == 1


# -- threads -------------------------------------------------------------------------------


def test_a_waiting_thread_reads_once_the_reader_has_its_reply(conversation, connection, pool):
    first, second = read(b"/1\0"), read(b"/2\0")
    reading = pool.submit(conversation.call, first)
    until(lambda: connection.receiving)
    blocked = pool.submit(conversation.call, second)
    until(lambda: len(connection.sent) == 2)
    connection.deliver(reply_to(connection.sent[0], b"first"))
    reading.result(PATIENCE)
    connection.deliver(reply_to(connection.sent[1], b"second"))
    blocked.result(PATIENCE)
    assert (first.result(), second.result()) == (b"first", b"second")


def test_the_reading_thread_serves_a_blocked_thread(conversation, connection, pool):
    first, second = read(b"/1\0"), read(b"/2\0")
    reading = pool.submit(conversation.call, first)
    until(lambda: connection.receiving)
    blocked = pool.submit(conversation.call, second)
    until(lambda: len(connection.sent) == 2)
    connection.deliver(reply_to(connection.sent[1], b"second"))
    blocked.result(PATIENCE)
    assert second.result() == b"second"
    assert not reading.done()
    connection.deliver(reply_to(connection.sent[0], b"first"))
    reading.result(PATIENCE)


def test_a_request_that_another_thread_sends_first_is_sent_once(conversation, connection, pool):
    def send_both():
        pool.submit(conversation.submit, [read(b"/2\0")]).result(PATIENCE)

    conversation.submit([read(b"/0\0")])
    with before_line(Outbox.has_room, "first = ", send_both):
        conversation.submit([read(b"/1\0")])
    assert [sent.payload for sent in connection.sent] == [b"/0\0", b"/1\0", b"/2\0"]


@pytest.mark.parametrize("line", ["while self.queue", "hold.extend("])
def test_a_wait_goes_on_if_another_thread_takes_its_event(conversation, connection, pool, line):
    def take():
        assert pool.submit(conversation.poll_event, raw).result(PATIENCE) == (b"/1", b"t")
        connection.deliver(event("/2", "t"))

    conversation.events.add(Watch(b"/", b"t"))
    connection.deliver(event("/1", "t"))
    with before_line(Events.take, line, take):
        assert conversation.wait_event(raw, None) == (b"/2", b"t")


def test_an_event_is_received_while_another_thread_is_blocked_sending(
    conversation, connection, pool
):
    sending, go_on = threading.Event(), threading.Event()

    def block(packet):
        sending.set()
        assert go_on.wait(PATIENCE)
        return [reply_to(packet)]

    def stop_reading():
        connection.answer = block
        blocked.append(pool.submit(conversation.call, read()))
        assert sending.wait(PATIENCE)
        connection.deliver(reply_to(connection.sent[0]))
        reader.result(PATIENCE)
        connection.deliver(event("/a", "t"))

    blocked = []
    conversation.events.add(Watch(b"/a", b"t"))
    reader = pool.submit(conversation.call, read())
    until(lambda: connection.receiving)
    try:
        with before_line(Roles.sleep, "lock = ", stop_reading):
            deadline = time.monotonic() + PATIENCE / 2
            assert conversation.wait_event(raw, deadline) == (b"/a", b"t")
    finally:
        go_on.set()
    blocked[0].result(PATIENCE)


def test_a_lost_connection_fails_every_waiter_with_the_same_cause(conversation, connection, pool):
    waiting = [pool.submit(conversation.call, read()) for _ in range(20)]
    waiting += [pool.submit(conversation.wait_event, raw, None) for _ in range(5)]
    waiting.append(pool.submit(conversation.call_many, [read() for _ in range(100)]))
    until(lambda: len(connection.sent) == 64)
    loss = ConnectionError("fake: gone")
    connection.deliver(loss)
    for each in waiting:
        with pytest.raises(ConnectionError, match="^fake: gone$") as caught:
            each.result(PATIENCE)
        assert caught.value.__cause__ is loss
    until(lambda: connection.disconnected == 1)


def test_closing_wakes_every_waiter(conversation, connection, pool):
    waiting = [
        pool.submit(conversation.call, read()),
        pool.submit(conversation.wait_event, raw, None),
    ]
    until(lambda: connection.receiving and len(connection.sent) == 1)
    conversation.close()
    for each in waiting:
        with pytest.raises(ConnectionError, match="^fake: closed$"):
            each.result(PATIENCE)


def test_only_an_exception_of_the_conversation_tells_that_it_has_ended(conversation):
    others = ConnectionError("another client's")
    assert not conversation.tells_of_failure(others)
    conversation.close()
    with pytest.raises(ConnectionError) as caught:
        conversation.check()
    assert conversation.tells_of_failure(caught.value)
    assert not conversation.tells_of_failure(others)


def test_joining_waits_for_the_thread_that_is_in_the_connection(begin, pool):
    connection = BusyConnection()
    conversation = begin(connection)
    waiting = pool.submit(conversation.wait_event, raw, None)
    until(lambda: connection.receiving)
    conversation.close()
    joining = pool.submit(conversation.join)
    time.sleep(1.1)
    assert not joining.done()
    connection.deliver(event("/a", "t"))
    joining.result(PATIENCE)
    assert connection.disconnected == 1
    with pytest.raises(ConnectionError, match="^fake: closed$"):
        waiting.result(PATIENCE)


def test_joining_ends_when_the_time_has_passed(begin, pool):
    connection = BusyConnection()
    connection.socket_timeout = 0.05
    conversation = begin(connection)
    waiting = pool.submit(conversation.wait_event, raw, None)
    until(lambda: connection.receiving)
    conversation.close()
    start = time.monotonic()
    with pytest.raises(ConnectionError, match="^fake: closed$"):
        conversation.join()
    assert 0.05 <= time.monotonic() - start < 1
    connection.deliver(event("/a", "t"))
    with pytest.raises(ConnectionError, match="^fake: closed$"):
        waiting.result(PATIENCE)


def test_closing_twice_disconnects_once(conversation, connection):
    conversation.close()
    conversation.close()
    assert connection.disconnected == 1


# -- events --------------------------------------------------------------------------------


def test_an_event_of_a_live_watch_is_returned(conversation, connection):
    conversation.events.add(Watch(b"/a", b"t"))
    connection.deliver(event("/a/b", "t"))
    assert conversation.wait_event(raw, None) == (b"/a/b", b"t")


def test_events_met_while_waiting_for_a_reply_are_kept_in_order(conversation, connection):
    conversation.events.add(Watch(b"/", b"t"))
    events = [event("/{}".format(number), "t") for number in range(5000)]
    connection.answer = lambda packet: [*events, *echo(packet)]
    conversation.call(read())
    for number in range(5000):
        assert conversation.poll_event(raw) == (b"/%d" % number, b"t")
    assert conversation.poll_event(raw) is None


@pytest.mark.parametrize(
    ("path", "token"), [("/ab", "t"), ("/", "t"), ("/a", "u"), ("/a/b", "/a"), ("@other", "t")]
)
def test_an_event_that_no_live_watch_covers_is_dropped(conversation, connection, path, token):
    conversation.events.add(Watch(b"/a", b"t"))
    connection.deliver(event(path, token))
    assert conversation.poll_event(raw) is None


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
def test_an_event_of_a_path_that_a_watch_covers_is_returned(conversation, connection, wpath, path):
    conversation.events.add(Watch(wpath, b"t"))
    connection.deliver(event(path, "t"))
    assert conversation.poll_event(raw) == (path.encode(), b"t")


def test_discarding_a_watch_drops_its_queued_events_and_no_others(conversation, connection):
    watch = Watch(b"/a", b"t")
    conversation.events.add(watch)
    conversation.events.add(Watch(b"/b", b"t"))
    connection.answer = lambda packet: [event("/a/1", "t"), event("/b/1", "t"), *echo(packet)]
    conversation.call(read())
    conversation.events.discard(watch)
    connection.deliver(event("/a/2", "t"))
    assert conversation.poll_event(raw) == (b"/b/1", b"t")
    assert conversation.poll_event(raw) is None


@pytest.mark.parametrize(
    "payload", [b"", b"\0", b"/a", b"/a\0", b"/a\0t", b"/a\0t\0x", b"/a\0t\0\0", b"\0\0\0"]
)
def test_a_malformed_event_ends_the_conversation(conversation, connection, payload):
    conversation.events.add(Watch(b"/", b"t"))
    connection.deliver(Packet(Op.WATCH_EVENT, payload))
    shown = re.escape(repr(payload))
    with pytest.raises(UnexpectedPacket, match="^fake: an event that is none, .*: " + shown):
        conversation.wait_event(raw, None)
    assert connection.disconnected == 1


def test_a_wait_with_nothing_to_report_sends_nothing_and_reads_once(conversation, connection):
    assert conversation.wait_event(raw, time.monotonic() + 0.3) is None
    assert connection.sent == []
    assert connection.receives == 1


def test_a_thread_that_waits_for_an_event_gets_it_while_another_reads(
    conversation, connection, pool
):
    conversation.events.add(Watch(b"/a", b"t"))
    reading = pool.submit(conversation.call, read())
    until(lambda: connection.receiving)
    waiting = pool.submit(conversation.wait_event, raw, None)
    until(lambda: conversation.roles.sleepers)
    connection.deliver(event("/a", "t"))
    assert waiting.result(PATIENCE) == (b"/a", b"t")
    assert not reading.done()
    connection.deliver(reply_to(connection.sent[0]))
    reading.result(PATIENCE)


def test_each_event_wakes_one_of_the_threads_that_wait(conversation, connection, pool):
    conversation.events.add(Watch(b"/", b"t"))
    waiting = [pool.submit(conversation.wait_event, raw, None) for _ in range(10)]
    until(lambda: connection.receiving)
    connection.deliver(*(event("/{}".format(number), "t") for number in range(10)))
    got = {each.result(PATIENCE) for each in waiting}
    assert got == {(b"/%d" % number, b"t") for number in range(10)}


def test_events_that_arrived_before_a_loss_are_returned_after_it(conversation, connection):
    conversation.events.add(Watch(b"/a", b"t"))
    connection.answer = lambda packet: [event("/a", "t"), *echo(packet)]
    conversation.call(read())
    connection.deliver(ConnectionError("fake: gone"))
    with pytest.raises(ConnectionError):
        conversation.call(read(b"unanswered"))
    assert conversation.wait_event(raw, None) == (b"/a", b"t")
    with pytest.raises(ConnectionError, match="gone"):
        conversation.wait_event(raw, None)
    with pytest.raises(ConnectionError, match="gone"):
        conversation.poll_event(raw)
