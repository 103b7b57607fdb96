"""Watches and their events, through Monitor and through Client."""

import select
import threading
import time

import pytest

import pyxs
from common import PATIENCE, in_threads
from wire import Op, Wire

from . import heard, outcome, refused


@pytest.fixture
def watched(monitor, root):
    """A monitor that watches the root with the token "t" and has taken the first event."""
    monitor.watch(root, "t")
    assert monitor.wait(timeout=PATIENCE) == (root, "t")
    return monitor


# ---- watch() ---------------------------------------------------------------


def test_a_watch_reports_its_own_path_first(monitor, root):
    assert monitor.watch(root, "token") is None
    event = monitor.wait(timeout=PATIENCE)
    assert (event.path, event.token) == (root, "token")
    assert event == (root, "token")
    assert isinstance(event.path, str)
    assert isinstance(event.token, str)


@pytest.mark.anywhere
def test_the_path_is_the_token_where_none_is_given(monitor, root):
    monitor.watch(root)
    assert monitor.wait(timeout=PATIENCE) == (root, root)
    monitor.unwatch(root)


@pytest.mark.anywhere
def test_path_and_token_may_be_bytes(monitor, root):
    monitor.watch(root.encode(), b"token")
    assert monitor.wait(timeout=PATIENCE) == (root, "token")
    monitor.unwatch(root.encode(), b"token")


@pytest.mark.parametrize("token", ["a b", "/a/path", "h\u00e9", "\udcff", "0", "x" * 900])
def test_a_token_comes_back_as_it_was(monitor, root, token):
    monitor.watch(root, token)
    assert monitor.wait(timeout=PATIENCE) == (root, token)
    monitor.unwatch(root, token)


@pytest.mark.anywhere
def test_a_missing_node_can_be_watched(monitor, client, root):
    monitor.watch(root + "/later", "t")
    assert monitor.wait(timeout=PATIENCE) == (root + "/later", "t")
    client.write(root + "/later", "")
    assert monitor.wait(timeout=PATIENCE) == (root + "/later", "t")


@pytest.mark.anywhere
@pytest.mark.parametrize(
    ("change", "path"),
    [
        (lambda c, p: c.write(p + "/key", "new"), "/key"),
        (lambda c, p: c.write(p, "new"), ""),
        (lambda c, p: c.write(p + "/a/b/c", ""), "/a/b/c"),
        (lambda c, p: c.mkdir(p + "/dir/sub"), "/dir/sub"),
        (lambda c, p: c.rm(p + "/key"), "/key"),
        (lambda c, p: c.set_permissions(p + "/key", c.get_permissions(p)), "/key"),
    ],
    ids=["write", "write itself", "write below", "mkdir", "rm", "set_permissions"],
)
def test_a_change_at_or_below_a_watched_path_is_one_event(watched, client, root, change, path):
    client.write(root + "/key", "old")
    assert heard(watched) == [(root + "/key", "t")]
    change(client, root)
    assert heard(watched) == [(root + path, "t")]


@pytest.mark.anywhere
def test_a_request_that_changes_nothing_causes_no_event(watched, client, root):
    client.write(root + "/key", "")
    heard(watched)
    client.read(root + "/key")
    client.ls(root)
    client.mkdir(root + "/key")
    client.rm(root + "/missing")
    with refused("ENOENT"):
        client.rm(root + "/missing/child")
    assert heard(watched) == []


@pytest.mark.anywhere
def test_writing_the_same_value_is_an_event(watched, client, root):
    for _ in range(2):
        client.write(root + "/key", "same")
        assert heard(watched) == [(root + "/key", "t")]


@pytest.mark.anywhere
def test_a_change_elsewhere_is_no_event(monitor, client, root):
    monitor.watch(root + "/a/b", "t")
    heard(monitor)
    client.write(root + "/a", "")
    client.write(root + "/a/bc", "")
    client.write(root + "/b/a", "")
    assert heard(monitor) == []


def test_each_watch_reports_with_its_own_token(monitor, client, root):
    monitor.watch(root, "one")
    monitor.watch(root, "two")
    monitor.watch(root + "/key", "three")
    heard(monitor)
    client.write(root + "/key", "value")
    assert sorted(heard(monitor)) == [(root + "/key", t) for t in ("one", "three", "two")]
    monitor.unwatch(root, "one")
    client.write(root + "/key", "value")
    assert sorted(heard(monitor)) == [(root + "/key", t) for t in ("three", "two")]


def test_one_token_serves_several_paths(monitor, client, root):
    monitor.watch(root + "/a", "t")
    monitor.watch(root + "/b", "t")
    heard(monitor)
    client.write(root + "/a", "")
    client.write(root + "/b", "")
    assert heard(monitor) == [(root + "/a", "t"), (root + "/b", "t")]
    monitor.unwatch(root + "/a", "t")
    client.write(root + "/a", "")
    client.write(root + "/b", "")
    assert heard(monitor) == [(root + "/b", "t")]


def test_the_same_watch_twice_is_eexist(watched, client, root):
    with refused("EEXIST"):
        watched.watch(root, "t")
    client.write(root + "/key", "")
    assert heard(watched) == [(root + "/key", "t")]


def test_watches_of_other_monitors_are_their_own(watched, make_monitor, client, root):
    second = make_monitor()
    second.watch(root, "t")
    heard(second)
    watched.unwatch(root, "t")
    client.write(root + "/key", "")
    assert heard(second) == [(root + "/key", "t")]
    assert heard(watched) == []


def test_a_relative_watch_reports_relative_paths(monitor, client, relative):
    short, full = relative
    monitor.watch(short, "t")
    assert monitor.wait(timeout=PATIENCE) == (short, "t")
    client.write(full + "/key", "")
    client.write(short + "/key", "")
    assert heard(monitor) == [(short + "/key", "t")] * 2


@pytest.mark.anywhere
def test_removing_a_node_above_reports_the_watched_path(monitor, client, root):
    client.write(root + "/a/b/c", "")
    monitor.watch(root + "/a/b", "t")
    heard(monitor)
    client.rm(root + "/a")
    assert heard(monitor) == [(root + "/a/b", "t")]


@pytest.mark.anywhere
def test_removing_a_node_above_one_that_is_not_there(monitor, client, root, known):
    client.write(root + "/a", "")
    monitor.watch(root + "/a/missing", "t")
    heard(monitor)
    client.rm(root + "/a")
    expected = known("events of a missing node whose parent is removed")
    assert [token for _, token in heard(monitor)] == expected


@pytest.mark.anywhere
@pytest.mark.parametrize(
    "wpath",
    [
        "",
        "/a/",
        "/a//b",
        "/a\n",
        "/a\0",
        "@",
        "@unknown",
        "@introduceDomain/1",
        "@releaseDomain/",
        "@releaseDomain/x",
        "@releaseDomain/65536",
        "@releaseDomain\n",
        b"\xff",
        None,
        7,
        "/" + "a" * 3072,
    ],
)
def test_a_malformed_watch_path_is_refused(watched, client, root, wpath):
    with pytest.raises(pyxs.InvalidPath):
        watched.watch(wpath, "token")
    with pytest.raises(pyxs.InvalidPath):
        watched.unwatch(wpath, "token")
    client.write(root + "/key", "")
    assert heard(watched) == [(root + "/key", "t")]


@pytest.mark.anywhere
@pytest.mark.parametrize("token", ["", b"", "a\0", b"\0", "a\0b", 7, ["t"], "\ud800"])
def test_a_malformed_token_is_refused(watched, root, token):
    with pytest.raises(pyxs.InvalidPayload):
        watched.watch(root, token)
    with pytest.raises(pyxs.InvalidPayload):
        watched.unwatch(root, token)


def test_a_path_and_a_token_that_fill_a_message_are_watched(monitor, store, root):
    room = store.max_payload - len(root + "\0\0")
    monitor.watch(root, "x" * room)
    assert heard(monitor) == [(root, "x" * room)]
    monitor.unwatch(root, "x" * room)
    with pytest.raises(pyxs.InvalidPayload):
        monitor.watch(root, "x" * (room + 1))


# ---- depth -----------------------------------------------------------------


def test_depth_limits_a_watch_where_the_daemon_knows_it(monitor, client, store, root, known):
    expected = known("a watch with a depth")
    if store.max_payload != 4096:
        expected = "ENOSYS"  # Linux silently drops the depth
    assert outcome(monitor.watch, root, "t", 1) == expected
    if expected is not None:
        return
    heard(monitor)
    client.write(root + "/child", "")
    client.write(root + "/child/grandchild", "")
    client.write(root, "")
    assert heard(monitor) == [(root + "/child", "t"), (root, "t")]


@pytest.mark.anywhere
@pytest.mark.parametrize("depth", [-1, "1", 1.0, True])
def test_a_depth_that_is_no_number_is_refused(monitor, root, depth):
    with pytest.raises(pyxs.InvalidPayload, match="depth"):
        monitor.watch(root, "t", depth)


# ---- unwatch() -------------------------------------------------------------


def test_after_unwatch_nothing_is_reported(watched, client, root):
    watched.unwatch(root, "t")
    client.write(root + "/key", "")
    assert watched.wait(timeout=0.05) is None
    assert heard(watched) == []


def test_unwatch_drops_the_events_that_wait(watched, client, root):
    watched.watch(root, "other")
    for number in range(20):
        client.write("{}/{}".format(root, number), "")
    watched.unwatch(root, "t")
    events = heard(watched)
    assert {token for _, token in events} == {"other"}
    assert len([path for path, _ in events if path != root]) == 20


def test_unwatch_without_a_watch_is_enoent(watched, root):
    for path, token in ((root, "other"), (root + "/other", "t")):
        with refused("ENOENT"):
            watched.unwatch(path, token)
    watched.unwatch(root, "t")
    with refused("ENOENT"):
        watched.unwatch(root, "t")


def test_a_watch_can_be_set_again(watched, client, store, root):
    for _ in range(store.rounds):
        client.write(root + "/key", "")
        watched.unwatch(root, "t")
        watched.watch(root, "t")
        # Only the first event of the new watch is left.
        assert heard(watched) == [(root, "t")]


def test_reset_watches_ends_all_watches_of_this_monitor(watched, make_monitor, client, root):
    second = make_monitor()
    second.watch(root, "second")
    heard(second)
    watched.watch(root + "/key", "t")
    client.write(root + "/key", "")
    watched.reset_watches()
    client.write(root + "/key", "")
    assert heard(watched) == []
    assert (root + "/key", "second") in heard(second)
    watched.watch(root, "t")
    assert heard(watched) == [(root, "t")]


# ---- wait(), check(), iteration, fileno() ----------------------------------


def test_wait_returns_nothing_when_the_time_passes(watched):
    begin = time.monotonic()
    assert watched.wait(timeout=0.05) is None
    assert time.monotonic() - begin >= 0.05
    assert watched.wait(timeout=0) is None


@pytest.mark.anywhere
def test_wait_accepts_the_sleep_of_old_callers(watched, client, root):
    client.write(root, "x")
    for sleep, timeout in ((1, PATIENCE), (0.1, 0)):
        with pytest.warns(FutureWarning, match=r"wait\(timeout={}\)".format(sleep)) as caught:
            event = watched.wait(sleep, timeout=timeout)
        assert event == ((root, "t") if timeout else None)
        assert [each.filename for each in caught] == [__file__]
    assert watched.wait(sleep=None, timeout=0) is None


def test_wait_wakes_when_something_happens(watched, client, root):
    waiting = threading.Event()

    def wait():
        waiting.set()
        return watched.wait(timeout=PATIENCE)

    def write():
        waiting.wait()
        time.sleep(0.02)
        client.write(root + "/key", "")

    assert in_threads(wait, write)[0] == (root + "/key", "t")


@pytest.mark.anywhere
@pytest.mark.parametrize("timeout", [-1, "1", float("nan"), [1]])
def test_an_invalid_time_out_is_refused(watched, timeout):
    with pytest.raises(pyxs.InvalidPayload, match="timeout"):
        watched.wait(timeout=timeout)


def test_check_returns_at_once(watched, client, root):
    assert watched.check() is None
    client.write(root + "/key", "")
    assert select.select([watched], [], [], PATIENCE)[0] == [watched]
    assert watched.check() == (root + "/key", "t")
    assert watched.check() is None


@pytest.mark.anywhere
def test_iterating_yields_events(watched, client, root):
    for number in range(3):
        client.write("{}/{}".format(root, number), "")
    events = iter(watched)
    assert [next(events) for _ in range(3)] == [("{}/{}".format(root, n), "t") for n in range(3)]


def readable(monitor, seconds=0.0):
    return bool(select.select([monitor.fileno()], [], [], seconds)[0])


def test_the_descriptor_is_readable_while_an_event_can_be_had(watched, client, root):
    assert not readable(watched)
    client.write(root + "/a", "")
    client.write(root + "/b", "")
    for name in "ab":
        assert readable(watched, PATIENCE)
        assert watched.wait(timeout=0) == ("{}/{}".format(root, name), "t")
    assert not readable(watched)


def test_the_descriptor_is_readable_for_an_event_read_behind_a_reply(watched, client, root):
    client.write(root + "/key", "")
    watched.watch(root + "/other", "u")  # receives the event together with its reply
    assert readable(watched)
    assert watched.check() == (root + "/key", "t")
    assert readable(watched, PATIENCE)
    assert watched.check() == (root + "/other", "u")
    assert not readable(watched)


def test_the_descriptor_stays_the_same(watched, client, root):
    before = watched.fileno()
    client.write(root + "/key", "")
    heard(watched)
    watched.watch(root + "/other")
    heard(watched)
    assert watched.fileno() == before


def test_the_descriptor_serves_epoll(watched, client, root):
    poller = select.epoll()
    try:
        poller.register(watched, select.EPOLLIN)
        assert poller.poll(0) == []
        client.write(root + "/key", "")
        assert poller.poll(PATIENCE) == [(watched.fileno(), select.EPOLLIN)]
    finally:
        poller.close()


@pytest.mark.busy
def test_events_keep_the_order_of_the_changes(watched, client, root):
    paths = ["{}/{}".format(root, number) for number in range(300)]
    for path in paths:
        client.write(path, "")
    assert heard(watched) == [(path, "t") for path in paths]


def test_events_that_come_before_replies_are_kept(watched, client, store, root):
    for number in range(store.rounds):
        client.write("{}/{}".format(root, number), "")
        watched.watch("{}/no-{}".format(root, number), "u")
    events = heard(watched)
    assert [path for path, token in events if token == "t"] == [
        "{}/{}".format(root, number) for number in range(store.rounds)
    ]
    assert [path for path, token in events if token == "u"] == [
        "{}/no-{}".format(root, number) for number in range(store.rounds)
    ]


@pytest.mark.busy
@pytest.mark.dom0
def test_3000_nodes_written_by_another_client_are_3000_events(watched, client, root):
    paths = ["{}/{}".format(root, number) for number in range(3000)]

    def write():
        for path in paths:
            client.write(path, "")

    def read():
        return [watched.wait(timeout=PATIENCE) for _ in paths]

    events = in_threads(write, read)[1]
    assert events == [(path, "t") for path in paths]
    assert watched.wait(timeout=0.05) is None


# ---- Transactions ----------------------------------------------------------


def test_a_transaction_is_reported_when_it_is_committed(watched, client, root):
    with client.transaction() as t:
        t.write(root + "/b", "")
        t.write(root + "/a", "")
        assert heard(watched) == []
    assert heard(watched) == [(root + "/b", "t"), (root + "/a", "t")]


@pytest.mark.anywhere
def test_an_aborted_transaction_is_not_reported(watched, client, root):
    client.transaction_start()
    client.write(root + "/key", "")
    client.transaction_end(commit=False)
    assert heard(watched) == []


@pytest.mark.anywhere
def test_events_of_a_transaction_that_repeats_and_undoes_changes(watched, client, root, known):
    client.write(root + "/key", "")
    heard(watched)
    with client.transaction() as t:
        t.write(root + "/b", "1")
        t.write(root + "/a", "")
        t.write(root + "/b", "2")
        t.mkdir(root + "/undone")
        t.rm(root + "/undone")
        t.read(root + "/key")
    names = [path[len(root) + 1 :] for path, _ in heard(watched)]
    assert names == known("events of a transaction that did things twice")


# ---- Special paths ---------------------------------------------------------


def test_special_paths_can_be_watched(monitor):
    for path in ("@introduceDomain", "@releaseDomain", "@releaseDomain/7"):
        monitor.watch(path, "t")
        assert monitor.wait(timeout=PATIENCE) == (path, "t")
        monitor.unwatch(path, "t")


@pytest.mark.own_daemon
def test_introducing_and_releasing_a_domain_is_reported(monitor, client):
    monitor.watch("@introduceDomain", "come")
    monitor.watch("@releaseDomain", "go")
    heard(monitor)
    client.introduce_domain(7, 1, 1)
    assert heard(monitor) == [("@introduceDomain", "come")]
    client.release_domain(7)
    assert heard(monitor) == [("@releaseDomain", "go")]


@pytest.mark.own_daemon
def test_each_domain_that_comes_or_goes_is_an_event_of_its_own(monitor, store):
    monitor.watch("@introduceDomain", "come")
    monitor.watch("@releaseDomain", "go")
    heard(monitor)
    domids = (b"1", b"2", b"7")
    with Wire(store.path) as client:
        # At once, so that events of the first still wait when the last comes.
        requests = [(Op.INTRODUCE, domid + b"\0001\0001\0") for domid in domids]
        requests += [(Op.RELEASE, domid + b"\0") for domid in domids]
        client.send_all(requests)
        assert [client.receive().payload for _ in requests] == [b"OK\0"] * 6
    assert heard(monitor) == [("@introduceDomain", "come")] * 3 + [("@releaseDomain", "go")] * 3


# ---- Threads, close(), loss ------------------------------------------------


@pytest.mark.busy
def test_one_thread_waits_while_others_watch_and_unwatch(watched, client, root):
    done = threading.Event()
    seen = []

    def wait():
        while not done.is_set() or watched.check():
            event = watched.wait(timeout=0.1)
            if event is not None and event.token == "t":
                seen.append(event.path)

    def watch_and_unwatch(name):
        def run():
            for number in range(100):
                path = "{}/{}-{}".format(root, name, number)
                watched.watch(path, name)
                watched.unwatch(path, name)

        return run

    def write():
        for number in range(100):
            client.write("{}/key-{}".format(root, number), "")
        time.sleep(0.1)
        done.set()

    in_threads(wait, watch_and_unwatch("x"), watch_and_unwatch("y"), write)
    assert seen == ["{}/key-{}".format(root, number) for number in range(100)]


@pytest.mark.busy
def test_each_event_goes_to_one_of_the_threads_that_wait(watched, client, root):
    paths = ["{}/{}".format(root, number) for number in range(200)]

    def wait():
        return [watched.wait(timeout=PATIENCE) for _ in range(50)]

    def write():
        for path in paths:
            client.write(path, "")

    results = in_threads(write, wait, wait, wait, wait)[1:]
    assert sorted(path for events in results for path, _ in events) == sorted(paths)


def test_close_wakes_a_thread_that_waits(watched):
    waiting = threading.Event()

    def wait():
        waiting.set()
        with pytest.raises(pyxs.ConnectionError):
            watched.wait()

    def close():
        waiting.wait()
        time.sleep(0.05)
        watched.close()

    in_threads(wait, close)


def test_a_closed_monitor_may_be_closed_again_and_does_not_wait(watched):
    watched.close()
    watched.close()
    with pytest.raises(pyxs.ConnectionError):
        watched.wait()
    with pytest.raises(pyxs.ConnectionError):
        watched.check()


@pytest.mark.own_daemon
def test_a_monitor_that_lost_its_daemon_raises_until_it_watches_again(watched, client, store, root):
    store.daemon.restart()
    assert readable(watched, PATIENCE)
    for _ in range(2):
        with pytest.raises(pyxs.ConnectionError):
            watched.wait(timeout=PATIENCE)
        with pytest.raises(pyxs.ConnectionError):
            watched.check()
    watched.watch(root, "anew")
    assert heard(watched) == [(root, "anew")]
    client_again = pyxs.Client(**store.where)
    with client_again:
        client_again.write(root + "/key", "")
    assert heard(watched) == [(root + "/key", "anew")]


@pytest.mark.own_daemon
def test_the_death_of_the_daemon_wakes_a_thread_that_waits(watched, store):
    waiting = threading.Event()

    def wait():
        waiting.set()
        with pytest.raises(pyxs.ConnectionError):
            watched.wait()

    def kill():
        waiting.wait()
        time.sleep(0.05)
        store.daemon.kill()

    in_threads(wait, kill)
    store.daemon.restart()


# ---- A client's own monitor ------------------------------------------------


def test_a_client_makes_monitors(client, other, root):
    with_one = client.monitor()
    assert isinstance(with_one, pyxs.Monitor)
    try:
        with_one.watch(root, "t")
        heard(with_one)
        client.write(root + "/key", "")
        assert heard(with_one) == [(root + "/key", "t")]
    finally:
        with_one.close()
    assert client.exists(root)  # the monitor has a connection of its own


def test_a_client_watches_and_waits(client, other, root):
    client.watch(root, "t")
    assert client.wait() == (root, "t")
    other.write(root + "/key", "1")
    assert client.wait() == (root + "/key", "t")
    client.write(root + "/key", "2")  # events of its own changes come too
    assert client.wait() == (root + "/key", "t")
    client.unwatch(root, "t")
    with refused("ENOENT"):
        client.unwatch(root, "t")


@pytest.mark.anywhere
def test_a_client_watches_without_a_token(client, root):
    client.watch(root)
    event = client.wait()
    assert (event.path, event.token) == (root, root)
    client.unwatch(root)
