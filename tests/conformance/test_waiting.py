"""``Client.wait_for`` returns the value of a node once it meets a condition."""

import contextlib
import errno
import threading

import pytest

import pyxs
from common import PATIENCE, descriptors, until


@pytest.fixture
def start_waiting(make_client):
    """Call ``wait_for`` in a thread; return a function that waits for its result."""
    threads = []

    def start(*args, **options):
        outcome = []

        def wait():
            try:
                outcome.append(make_client().wait_for(*args, **options))
            except BaseException as exc:
                outcome.append(exc)

        thread = threading.Thread(target=wait)
        threads.append(thread)
        thread.start()

        def result():
            thread.join(PATIENCE)
            return outcome[0]

        return result

    yield start
    for thread in threads:
        thread.join(PATIENCE)


def watched(condition, seen):
    """Return a condition that releases *seen* whenever it is called."""

    def asked(value):
        seen.release()
        return condition(value)

    return asked


def test_a_node_that_is_there_is_returned_at_once(client, root):
    client.write(root + "/a", "1")
    assert client.wait_for(root + "/a") == "1"
    assert client.wait_for(root + "/a", timeout=0) == "1"
    assert client.wait_for((root + "/a").encode(), "1", timeout=0) == "1"


def test_a_node_is_waited_for(client, root, start_waiting):
    result = start_waiting(root + "/a/b", timeout=PATIENCE)
    client.write(root + "/a/b", "here")
    assert result() == "here"


def test_an_empty_value_is_a_value(client, root):
    client.mkdir(root + "/a")
    assert client.wait_for(root + "/a", timeout=0) == ""
    assert client.wait_for(root + "/a", "", timeout=0) == ""


def test_a_value_is_waited_for(client, root, start_waiting):
    client.write(root + "/state", "1")
    result = start_waiting(root + "/state", "4", timeout=PATIENCE)
    for state in "234":
        client.write(root + "/state", state)
    assert result() == "4"


def test_a_condition_is_asked_of_each_value(client, root, start_waiting):
    client.write(root + "/n", "1")
    asked = threading.Semaphore(0)
    result = start_waiting(
        root + "/n", watched(lambda value: int(value) > 9, asked), timeout=PATIENCE
    )
    assert asked.acquire(timeout=PATIENCE)
    client.write(root + "/n", "9")
    client.write(root + "/n", "10")
    assert result() == "10"


def test_a_node_that_is_removed_is_waited_for_again(client, root, start_waiting):
    client.write(root + "/a/b", "old")
    asked = threading.Semaphore(0)
    result = start_waiting(
        root + "/a/b", watched(lambda value: value == "new", asked), timeout=PATIENCE
    )
    assert asked.acquire(timeout=PATIENCE)
    client.rm(root + "/a")
    client.write(root + "/a/b", "new")
    assert result() == "new"


def test_wait_for_times_out(client, root):
    with pytest.raises(TimeoutError, match="{}/a: waited for 0.3 s, and there is no".format(root)):
        client.wait_for(root + "/a", timeout=0.3)
    client.write(root + "/a", "1")
    with pytest.raises(TimeoutError, match="/a: waited for 0 s, and the value is '1'"):
        client.wait_for(root + "/a", "2", timeout=0)


def test_wait_for_times_out_though_the_value_keeps_changing(client, root, other):
    stop = threading.Event()

    def change():
        while not stop.is_set():
            other.write(root + "/a", "1")

    thread = threading.Thread(target=change)
    thread.start()
    try:
        with pytest.raises(TimeoutError):
            client.wait_for(root + "/a", "2", timeout=0.2)
    finally:
        stop.set()
        thread.join(PATIENCE)


def test_a_daemon_serves_on_after_a_time_out(client, root, other):
    """oxenstored does not, while a connection is open whose events nobody reads."""
    with pytest.raises(TimeoutError) as caught:
        client.wait_for(root + "/a", "2", timeout=0.01)
    for number in range(3000):
        other.write(root + "/a", number)
    assert caught.value  # the program keeps it


def test_wait_for_raises_the_exception_of_its_condition(client, root):
    class OddError(Exception):
        pass

    def condition(_value):
        raise OddError

    client.write(root + "/a", "1")
    with pytest.raises(OddError):
        client.wait_for(root + "/a", condition, timeout=PATIENCE)
    assert client.wait_for(root + "/a") == "1"


def test_wait_for_closes_its_descriptors(client, root):
    client.write(root + "/a", "1")
    before = descriptors()
    client.wait_for(root + "/a")
    with contextlib.suppress(TimeoutError):
        client.wait_for(root + "/a", "2", timeout=0)
    # The in-memory daemon runs in this process, and closes its own descriptors later.
    until(lambda: descriptors() == before)


def test_a_relative_path(client, relative):
    path, _absolute = relative
    client.write(path, "1")
    assert client.wait_for(path, "1", timeout=PATIENCE) == "1"


def test_in_a_transaction_it_is_refused(client, root):
    with client.transaction() as t:
        assert t.exists(root)
        with pytest.raises(pyxs.PyXSError) as caught:
            t.wait_for(root)
    assert caught.value.errno == errno.EALREADY
    assert caught.value.path == root
    assert "does not change in a transaction" in str(caught.value)


@pytest.mark.parametrize("path", ["", "/a//b", None])
def test_a_bad_path_is_refused(client, path):
    with pytest.raises(pyxs.InvalidPath):
        client.wait_for(path)


@pytest.mark.parametrize("condition", [b"4", 4, "4"])
def test_a_condition_is_what_can_be_written(client, root, condition):
    client[root] = condition
    assert client.wait_for(root, condition, timeout=PATIENCE) == "4"


@pytest.mark.parametrize("condition", [True, ["1"]])
def test_a_condition_that_cannot_be_written_is_refused(client, condition):
    with pytest.raises(pyxs.InvalidPayload, match="^value "):
        client.wait_for("/", condition)


@pytest.mark.parametrize("timeout", ["5", -1, float("nan")])
def test_a_time_out_is_a_number_of_seconds(client, timeout):
    with pytest.raises(pyxs.InvalidPayload, match="timeout"):
        client.wait_for("/", timeout=timeout)
