"""Tests of ``Monitor`` on a daemon that sends what the test tells it."""

import os
import re
import resource
import select
import threading
import time

import pytest

import pyxs
from common import PATIENCE
from fakes import FakeServer, event, honest, reply_to
from pyxs import ConnectionError, InvalidPayload, PyXSError, UnexpectedPacket
from pyxs.connection import Op, Packet


@pytest.fixture
def serve():
    """Make a monitor whose connections are served by scripts."""
    made = []

    def serve(*scripts, **options):
        server = FakeServer(*scripts)
        monitor = pyxs.monitor(server.path, options.get("socket_timeout", PATIENCE))
        made.append((server, monitor))
        return monitor, server

    yield serve
    for server, monitor in made:
        monitor.close()
        server.__exit__()


def check_until_something_comes(monitor):
    return next(filter(None, iter(monitor.check, object())))


def readable(monitor):
    return bool(select.select([monitor.fileno()], [], [], 0)[0])


def test_a_wait_with_nothing_to_report_sends_nothing_and_uses_no_cpu(serve):
    monitor, server = serve(honest)
    monitor.watch("/a", "t")
    sent = len(server.requests)
    before = resource.getrusage(resource.RUSAGE_SELF)
    start = time.monotonic()
    assert monitor.wait(timeout=1) is None
    assert time.monotonic() - start >= 1
    after = resource.getrusage(resource.RUSAGE_SELF)
    assert len(server.requests) == sent
    # wait() blocks once; a loop that sleeps would switch contexts many times.
    assert after.ru_nvcsw - before.ru_nvcsw < 20
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.1


def test_events_before_the_reply_to_watch_are_kept(serve):
    def script(peer):
        request = peer.receive()
        peer.send(event("/a", "t"), event("/a/b", "t"), reply_to(request))
        peer.linger()

    monitor, _ = serve(script)
    monitor.watch("/a", "t")
    assert [monitor.wait(), monitor.wait()] == [("/a", "t"), ("/a/b", "t")]


def test_5000_events_before_a_reply_are_kept_in_order(serve):
    def script(peer):
        for request in peer:
            if request.op == Op.UNWATCH:
                peer.send(*(event("/a/{}".format(number), "t") for number in range(5000)))
            peer.send(reply_to(request))

    monitor, _ = serve(script)
    monitor.watch("/a", "t")
    monitor.watch("/b", "t")
    monitor.unwatch("/b", "t")
    assert [monitor.check().path for _ in range(5000)] == [
        "/a/{}".format(number) for number in range(5000)
    ]
    assert monitor.check() is None


def test_unwatch_drops_queued_and_late_events(serve):
    def script(peer):
        for request in peer:
            if request.op == Op.UNWATCH:
                peer.send(event("/a/queued", "t"), event("/b/queued", "t"), reply_to(request))
                peer.send(event("/a/late", "t"), event("/b/late", "t"))
            else:
                peer.send(reply_to(request))

    monitor, _ = serve(script)
    monitor.watch("/a", "t")
    monitor.watch("/b", "t")
    monitor.unwatch("/a", "t")
    assert monitor.wait() == ("/b/queued", "t")
    assert monitor.wait() == ("/b/late", "t")
    assert monitor.check() is None


def test_an_event_behind_one_of_a_watch_that_has_ended_is_returned(serve):
    def script(peer):
        peer.send(reply_to(peer.receive()))
        peer.send(event("/a", "old"), event("/a", "t"))
        peer.linger()

    monitor, _ = serve(script)
    monitor.watch("/a", "t")
    assert monitor.wait() == ("/a", "t")


def test_unwatch_drops_its_events_also_when_the_daemon_refuses(serve):
    def script(peer):
        for request in peer:
            if request.op == Op.UNWATCH:
                peer.send(reply_to(request, b"ENOENT\0", op=Op.ERROR))
            else:
                peer.send(event("/a", "t"), reply_to(request))

    monitor, _ = serve(script)
    monitor.watch("/a", "t")
    with pytest.raises(PyXSError, match="No such file"):
        monitor.unwatch("/a", "t")
    assert monitor.check() is None
    monitor.watch("/a", "t")  # no EEXIST


def test_a_refused_watch_reports_no_events(serve):
    def script(peer):
        for request in peer:
            peer.send(event("/a", "t"), reply_to(request, b"EINVAL\0", op=Op.ERROR))

    monitor, server = serve(script)
    for _ in range(2):
        with pytest.raises(PyXSError, match="Invalid argument"):
            monitor.watch("/a", "t")
    assert monitor.check() is None
    with pytest.raises(PyXSError, match="No such file"):
        monitor.unwatch("/a", "t")
    assert [request.op for request in server.requests] == [Op.WATCH, Op.WATCH]


def test_a_relative_watch_and_its_own_path_as_token(serve):
    monitor, server = serve(honest)
    monitor.watch("device/vif")
    assert server.requests[0].payload == b"device/vif\0device/vif\0"


@pytest.mark.parametrize("name", ["depth", "try_depth"])
def test_a_depth_goes_behind_the_token(serve, name):
    monitor, server = serve(honest)
    for depth in (0, 2, 2**31 - 1):
        monitor.watch("/a", str(depth), **{name: depth})
        assert server.requests[-1].payload == b"/a\0%d\0%d\0" % (depth, depth)


@pytest.mark.parametrize("depth", [-1, 2**31])
def test_a_depth_that_no_daemon_takes_is_refused_here(serve, depth):
    monitor, server = serve(honest)
    with pytest.raises(InvalidPayload, match="^depth .*from 0 to 2147483647"):
        monitor.watch("/a", "t", depth=depth)
    assert server.requests == []


@pytest.mark.parametrize("timeout", [-1, -1e-9, float("nan"), "1"])
def test_a_time_to_wait_is_a_number_from_0_up(serve, timeout):
    monitor, _ = serve(honest)
    monitor.watch("/a", "t")
    assert monitor.wait(timeout=0) is None
    with pytest.raises(InvalidPayload, match="^timeout .*from 0 up"):
        monitor.wait(timeout=timeout)


# -- check ---------------------------------------------------------------------------------


def test_check_finishes_a_message_that_has_begun(serve):
    begun, go_on = threading.Event(), threading.Event()

    def script(peer):
        peer.send(reply_to(peer.receive()))
        message = bytes(event("/a", "t"))
        peer.send(message[:17])
        begun.set()
        assert go_on.wait(PATIENCE)
        time.sleep(0.05)
        peer.send(message[17:])
        peer.linger()

    monitor, _ = serve(script)
    monitor.watch("/a", "t")
    assert begun.wait(PATIENCE)
    go_on.set()
    assert monitor.check() == ("/a", "t")


def test_check_does_not_wait_for_a_message_that_has_not_begun(serve):
    monitor, _ = serve(honest, socket_timeout=None)
    monitor.watch("/a", "t")
    assert monitor.check() is None


def test_check_gives_up_on_a_message_that_does_not_end(serve):
    def script(peer):
        peer.send(reply_to(peer.receive()))
        peer.send(bytes(event("/a", "t"))[:17])
        peer.linger()

    monitor, server = serve(script, socket_timeout=0.2)
    monitor.watch("/a", "t")
    with pytest.raises(ConnectionError, match="the rest of a message"):
        check_until_something_comes(monitor)
    assert server.peers[0].gone.wait(PATIENCE)


# -- fileno --------------------------------------------------------------------------------


def behind_the_reply(peer):
    """Send three events in one piece with the reply to the second WATCH."""
    peer.send(reply_to(peer.receive()))
    request = peer.receive()
    events = [event("/a/{}".format(number), "t") for number in range(3)]
    peer.send(reply_to(request), *events)
    peer.linger()


def test_fileno_is_readable_for_events_read_behind_a_reply(serve):
    monitor, _ = serve(behind_the_reply)
    monitor.watch("/a", "t")
    assert not readable(monitor)
    monitor.watch("/b", "t")
    for number in range(3):
        assert readable(monitor)
        assert monitor.check() == ("/a/{}".format(number), "t")
    assert not readable(monitor)


def test_fileno_is_readable_when_first_asked_for_with_events_at_hand(serve):
    monitor, _ = serve(behind_the_reply)
    monitor.watch("/a", "t")
    monitor.watch("/b", "t")
    assert readable(monitor)


def test_fileno_is_readable_for_the_second_of_two_events_in_one_piece(serve):
    def script(peer):
        peer.send(reply_to(peer.receive()))
        peer.send(event("/a/1", "t"), event("/a/2", "t"))
        peer.linger()

    monitor, _ = serve(script)
    monitor.watch("/a", "t")
    assert monitor.wait() == ("/a/1", "t")
    assert readable(monitor)
    assert monitor.check() == ("/a/2", "t")


def test_fileno_is_readable_when_the_connection_is_lost(serve):
    monitor, _ = serve(lambda peer: peer.send(reply_to(peer.receive())), honest)
    monitor.watch("/a", "t")
    descriptor = monitor.fileno()
    assert select.select([descriptor], [], [], PATIENCE)[0]
    for _ in range(2):
        with pytest.raises(ConnectionError):
            monitor.check()
        assert readable(monitor)
    monitor.watch("/a", "t")
    assert monitor.fileno() == descriptor
    assert not readable(monitor)


def test_fileno_tells_of_events_on_a_new_connection(serve):
    go_on = threading.Event()

    def send_later(peer):
        peer.send(reply_to(peer.receive()))
        assert go_on.wait(PATIENCE)
        peer.send(event("/a", "t"))
        peer.linger()

    monitor, _ = serve(lambda peer: peer.send(reply_to(peer.receive())), send_later)
    monitor.watch("/a", "t")
    descriptor = monitor.fileno()
    with pytest.raises(ConnectionError):
        monitor.wait()
    monitor.watch("/a", "t")
    assert monitor.fileno() == descriptor
    assert not readable(monitor)
    go_on.set()
    assert select.select([descriptor], [], [], PATIENCE)[0]
    assert monitor.check() == ("/a", "t")


def test_after_close_fileno_is_a_new_descriptor_that_works(serve):
    def send_an_event(peer):
        peer.send(reply_to(peer.receive()), event("/a", "t"))
        peer.linger()

    monitor, _ = serve(honest, send_an_event)
    monitor.fileno()
    monitor.close()
    monitor.watch("/a", "t")
    assert select.select([monitor.fileno()], [], [], PATIENCE)[0]


def test_fileno_is_not_readable_after_unwatch_drops_the_events(serve):
    def script(peer):
        for request in peer:
            peer.send(event("/a", "t"), reply_to(request))

    monitor, _ = serve(script)
    monitor.watch("/a", "t")
    assert readable(monitor)
    monitor.unwatch("/a", "t")
    assert not readable(monitor)


def test_fileno_is_one_descriptor_until_close(serve):
    monitor, _ = serve(honest)
    descriptor = monitor.fileno()
    assert monitor.fileno() == descriptor
    monitor.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


# -- loss ----------------------------------------------------------------------------------


def test_a_lost_monitor_raises_until_it_watches_again(serve):
    monitor, server = serve(lambda peer: peer.send(reply_to(peer.receive())), honest)
    monitor.watch("/a", "t")
    for use in (monitor.wait, monitor.check, monitor.wait, monitor.reset_watches):
        with pytest.raises(ConnectionError):
            use()
    with pytest.raises(ConnectionError):
        monitor.unwatch("/a", "t")
    assert len(server.peers) == 1
    monitor.watch("/a", "t")
    assert len(server.peers) == 2
    assert monitor.check() is None


@pytest.mark.parametrize(
    "payload", [b"", b"\0", b"/a", b"/a\0t", b"/a\0", b"/a\0t\0x", b"/a\0t\0\0"]
)
def test_a_malformed_event_is_unexpected(serve, payload):
    def script(peer):
        bad = Packet(Op.WATCH_EVENT, payload)
        peer.send(reply_to(peer.receive()), bad, event("/a", "t"))
        peer.linger()

    monitor, server = serve(script, honest)
    monitor.watch("/a", "t")
    with pytest.raises(
        UnexpectedPacket, match="event that is none, .*: " + re.escape(repr(payload))
    ):
        monitor.wait()
    assert server.peers[0].gone.wait(PATIENCE)
    monitor.watch("/a", "t")


def test_text_of_any_bytes_comes_back(serve):
    def script(peer):
        peer.send(reply_to(peer.receive()))
        peer.send(Packet(Op.WATCH_EVENT, b"/a\0\xff\xe2\x82\xac\0"))
        peer.linger()

    monitor, _ = serve(script)
    monitor.watch("/a", b"\xff\xe2\x82\xac")
    assert monitor.wait() == ("/a", "\udcff\u20ac")


def test_iteration_ends_with_the_connection(serve):
    def script(peer):
        peer.send(reply_to(peer.receive()), event("/a/1", "t"), event("/a/2", "t"))

    monitor, _ = serve(script)
    monitor.watch("/a", "t")
    assert [next(monitor).path, next(monitor).path] == ["/a/1", "/a/2"]
    with pytest.raises(ConnectionError):
        next(monitor)


@pytest.mark.parametrize("timeout", [-1, "1", float("nan")])
def test_a_bad_time_out_is_refused(serve, timeout):
    monitor, _ = serve(honest)
    with pytest.raises(pyxs.InvalidPayload, match="timeout"):
        monitor.wait(timeout=timeout)


@pytest.mark.parametrize("make", [pyxs.Client, pyxs.monitor])
def test_a_sleep_that_is_no_number_is_refused(make):
    with pytest.raises(pyxs.InvalidPayload, match="^sleep '5': must be a number of seconds"):
        make("/nowhere").wait("5")


@pytest.mark.parametrize("make", [pyxs.Client, pyxs.monitor])
def test_a_sleep_that_is_given_is_named_to_the_caller(xenstored, make):
    waiting = make(xenstored.path)
    waiting.watch("/a")
    with pytest.warns(FutureWarning, match=r"wait\(timeout=5\)") as caught:
        waiting.wait(5)
    assert [each.filename for each in caught] == [__file__]
    waiting.close()
