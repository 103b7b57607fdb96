"""Tests of ``pyxs.xs``; ``differential/`` compares its results with the C extension."""

import contextlib
import errno
import functools
import gc
import inspect
import os
import select
import signal
import sys
import threading
import traceback
import tty
import warnings

import pytest

from common import PATIENCE, HandlerError, alarm, before_line, interrupt
from fakes import FakeServer, error_to, event, honest, reply_to
from forks import fork
from pyxs import ConnectionError, Error, xs
from pyxs._xs.handle import Handle
from pyxs.connection import Op, UnixSocketConnection

REAL = pytest.mark.parametrize("daemon", ["c", "ocaml"], indirect=True)


@pytest.fixture
def connect(monkeypatch):
    """Open a connection to a daemon; it is closed after the test."""
    handles = []

    def connect(daemon):
        monkeypatch.setenv("XENSTORED_PATH", daemon.path)
        handles.append(xs())
        return handles[-1]

    yield connect
    for handle in handles:
        call(handle.close)


@pytest.fixture
def handle(connect, daemon):
    return connect(daemon)


@pytest.fixture
def on_alarm():
    """Call a function in the main thread when SIGALRM arrives."""
    previous = signal.getsignal(signal.SIGALRM)
    yield lambda function: signal.signal(signal.SIGALRM, lambda number, frame: function())
    signal.signal(signal.SIGALRM, previous)


@pytest.fixture
def serve(connect):
    """Serve connections by scripts, and open the first."""
    served = []

    def serve(*scripts):
        server = FakeServer(*scripts)
        served.append((connect(server), server))
        return served[-1]

    yield serve
    for handle, server in served:
        call(handle.close)
        server.__exit__()


def call(method, *args):
    """Call the function and ignore its errors."""
    with contextlib.suppress(Error):
        method(*args)


def errno_of(method, *args):
    """Return the errno that a call raises."""
    with pytest.raises(Error) as caught:
        method(*args)
    code, message = caught.value.args
    assert message == os.strerror(code)
    return code


def settle(handle):
    """Return when all events sent before have arrived."""
    handle.get_domain_path(0)


def readable(handle):
    return bool(select.select([handle.fileno()], [], [], 0)[0])


def in_child(function):
    """Return whether *function* is true in a forked child."""
    sys.stdout.flush()
    child = fork()
    if not child:
        status = 1
        try:
            signal.alarm(PATIENCE)
            status = 0 if function() else 2
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1] == 0


# -- connecting ----------------------------------------------------------------------------


def test_an_error_is_a_runtime_error():
    assert issubclass(Error, RuntimeError)
    assert str(Error(2, "No such file or directory")) == "(2, 'No such file or directory')"


def test_the_constructor_connects(daemon, connect):
    daemon.kill()
    assert errno_of(connect, daemon) in (errno.ECONNREFUSED, errno.ENOENT)


@pytest.mark.parametrize("path", ["", "/nowhere/socket"])
def test_a_path_without_a_socket(monkeypatch, path):
    monkeypatch.setenv("XENSTORED_PATH", path)
    assert errno_of(xs) == errno.ENOENT


def test_a_path_below_a_file(monkeypatch):
    monkeypatch.setenv("XENSTORED_PATH", "/dev/null/socket")
    assert errno_of(xs) == errno.ENOTDIR


def test_the_run_directory_leads_to_the_socket(monkeypatch, daemon):
    monkeypatch.delenv("XENSTORED_PATH", raising=False)
    monkeypatch.setenv("XENSTORED_RUNDIR", os.path.dirname(daemon.path))
    handle = xs(readonly=1)
    assert handle.read("", "/") is not None
    handle.close()


def serve_device(master):
    """Answer each READ with ``value``."""
    while True:
        try:
            request = os.read(master, 4096)
        except OSError:
            return
        rq_id = request[4:8]
        reply = bytes([2, 0, 0, 0]) + rq_id + bytes(4) + bytes([5, 0, 0, 0]) + b"value"
        os.write(master, reply if sys.byteorder == "little" else b"")


@pytest.fixture
def device():
    """A character device behind which a daemon answers."""
    master, slave = os.openpty()
    tty.setraw(slave)
    server = threading.Thread(target=serve_device, args=(master,), daemon=True)
    server.start()
    yield os.ttyname(slave)
    os.close(slave)
    os.close(master)
    server.join(PATIENCE)


def test_a_connection_error_of_a_signal_handler_is_raised_as_it_is(monkeypatch, on_alarm):
    others = ConnectionError("another client's")

    def interrupt():
        raise others

    # A function in C: Python runs the handler after it, inside connect().
    send = functools.partial(os.kill, os.getpid(), signal.SIGALRM)
    monkeypatch.setattr(UnixSocketConnection, "open", staticmethod(send))
    monkeypatch.setenv("XENSTORED_PATH", "/")
    on_alarm(interrupt)
    with pytest.raises(ConnectionError) as caught:
        xs()
    assert caught.value is others


def test_the_path_may_name_a_device(monkeypatch, device):
    monkeypatch.setenv("XENSTORED_PATH", device)
    handle = xs()
    assert handle.read("", "/key") == b"value"
    assert errno_of(handle.write, "", "/key", b"x" * 4080) == errno.E2BIG
    assert errno_of(handle.transaction_end, "") == errno.ENOENT  # XenBus would never answer
    assert handle.read("", "/key") == b"value"
    handle.close()


def test_without_a_socket_it_takes_the_device(monkeypatch, device, tmp_path):
    monkeypatch.delenv("XENSTORED_PATH", raising=False)
    monkeypatch.setenv("XENSTORED_RUNDIR", str(tmp_path))
    monkeypatch.setattr("pyxs.connection._default_device", lambda: device)
    handle = xs()
    assert handle.read("", "/key") == b"value"
    handle.close()


def test_a_handle_that_is_dropped_closes_its_connection(serve):
    handle, server = serve(honest)
    handle.read("", "/")
    (peer,) = server.peers
    another = xs()
    another.read("", "/")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del another
        gc.collect()
    assert server.peers[1].gone.wait(PATIENCE)
    assert not peer.gone.is_set()


# -- what is sent --------------------------------------------------------------------------

PATHS = ["", "/", "//", "/a/", "a b", "/é", "@", "/a\n", "n" * 4000]


@pytest.mark.parametrize("path", PATHS)
def test_a_malformed_path_reaches_the_daemon_in_a_well_formed_request(serve, path):
    handle, server = serve(honest)
    handle.read("", path)
    handle.ls("", path)
    handle.mkdir("", path)
    handle.get_permissions("", path)
    handle.write("", path, b"\0\0")
    payload = path.encode() + b"\0"
    assert [request.payload for request in server.requests] == [payload] * 4 + [payload + b"\0\0"]


@pytest.mark.parametrize("path", PATHS + ["/missing"])
def test_no_path_harms_a_daemon(daemon, handle, path):
    handle.watch("/", "token")
    for method in handle.read, handle.ls, handle.mkdir, handle.get_permissions, handle.rm:
        call(method, "", path)
    call(handle.write, "", path, b"")
    call(handle.set_permissions, "", path, [{"dom": 0}])
    call(handle.set_permissions, "", path, [])
    call(handle.watch, path, "other")
    call(handle.unwatch, path, "other")
    assert daemon.alive()
    assert handle.read("", "/") is not None


@pytest.mark.parametrize("nothing", ["", "0", 0, None])
def test_an_empty_transaction_handle_means_no_transaction(handle, nothing):
    handle.write(nothing, "/key", "value")
    assert handle.read(nothing, "/key") == b"value"
    assert errno_of(handle.transaction_end, nothing) == errno.ENOENT


def test_a_transaction_is_in_upper_case_hex(serve):
    def start_250(peer):
        for request in peer:
            peer.send(reply_to(request, b"250\0" if request.op == Op.TRANSACTION_START else None))

    handle, server = serve(start_250)
    transaction = handle.transaction_start()
    assert transaction == "FA"
    handle.read(transaction, "/key")
    handle.read("0xfa", "/key")
    assert handle.transaction_end(transaction=transaction, abort=True) is True
    assert [request.tx_id for request in server.requests] == [0, 250, 250, 250]
    assert server.requests[-1].payload == b"F\0"


def test_a_directory_of_any_length(handle):
    names = {"a-long-name-{:0100}".format(number) for number in range(60)}
    for name in names:
        handle.mkdir("", "/d/" + name)
    assert set(handle.ls("", "/d")) == names


@pytest.mark.parametrize(("name", "code"), [(b"EACCES\0", errno.EACCES), (b"EIO\0", errno.EIO)])
def test_an_error_in_the_middle_of_a_directory_is_raised(serve, name, code):
    handle, _ = serve(directory_that_ends(name))
    assert errno_of(handle.ls, "", "/d") == code


def test_a_directory_that_is_removed_in_the_middle_is_no_node(serve):
    handle, _ = serve(directory_that_ends(b"ENOENT\0"))
    assert handle.ls("", "/d") is None


def directory_that_ends(name):
    """Return a script: a directory is too long for one reply, and then its parts are refused."""

    def script(peer):
        peer.send(error_to(peer.receive(), b"E2BIG\0"))
        peer.send(error_to(peer.receive(), name))

    return script


def test_a_request_has_at_most_4096_bytes(serve):
    handle, server = serve(honest)
    handle.write("", "/key", b"v" * 4091)
    assert errno_of(handle.write, "", "/key", b"v" * 4092) == errno.E2BIG
    assert [len(request.payload) for request in server.requests] == [4096]


def test_a_transaction_with_a_conflict_is_not_committed(serve):
    def answer(peer):
        peer.send(reply_to(peer.receive()))
        peer.send(error_to(peer.receive(), b"EAGAIN\0"))

    handle, _ = serve(answer)
    assert handle.transaction_end(handle.transaction_start()) is False


def test_arguments_have_names_in_the_signature():
    assert str(inspect.signature(xs.write)).startswith("(self, transaction")
    assert list(inspect.signature(xs.set_target).parameters) == ["self", "dom", "target"]
    assert "bytes" in xs.read.__doc__


def test_arguments_are_taken_by_position(handle):
    with pytest.raises(TypeError):
        handle.read(transaction="", path="/")


def test_an_objects_own_conversions_are_not_trusted(serve):
    class Path(str):
        def encode(self, *args):
            return b"/\0/\0"

    class Domid(int):
        def __index__(self):
            return 0

        __int__ = __index__

    handle, server = serve(honest)
    handle.read("", Path("/key"))
    handle.release_domain(Domid(7))
    assert [request.payload for request in server.requests] == [b"/key\0", b"7\0"]


@pytest.mark.parametrize(
    ("perms", "entries"),
    [
        ([], b""),
        ([{"dom": 0}], b"n0\0"),
        ([{"dom": 1}], b"n1\0"),
        ([{"dom": 0, "read": 1}, {"dom": 7}], b"r0\0n7\0"),
        ([{"dom": 3}, {"dom": 7, "read": 1}], b"n3\0r7\0"),
        ([{"dom": 0, "read": 1, "write": 1}, {"dom": 7, "write": 2}], b"b0\0w7\0"),
        # xs.c makes domain 0 the owner when the first entry grants something to another.
        ([{"dom": 1, "read": 1}], b"n0\0r1\0"),
        ([{"dom": -1, "write": 1}], b"n0\0w-1\0"),
        ([{"dom": 5, "read": 1}, {"dom": 6}], b"n0\0r5\0n6\0"),
    ],
)
def test_permissions_are_sent_as_the_extension_sends_them(serve, perms, entries):
    handle, server = serve(honest)
    handle.set_permissions("", "/key", perms)
    assert [request.payload for request in server.requests] == [b"/key\0" + entries]


@pytest.mark.parametrize("perms", [({"dom": 0},), {"dom": 0}, "n0", None, [{"dom": 32757}]])
def test_permissions_that_are_no_list_or_name_any_domain_are_einval(serve, perms):
    handle, server = serve(honest)
    assert errno_of(handle.set_permissions, "", "/key", perms) == errno.EINVAL
    assert not server.requests


def test_permissions_come_as_dicts_with_the_numbers_of_c(serve):
    def answer(peer):
        reply = b"n0\0r5\0w2147483647\0b2147483648\0n4294967295\0n-1\0"
        peer.send(reply_to(peer.receive(), reply))

    handle, _ = serve(answer)
    assert [
        tuple(map(entry.get, ("dom", "read", "write")))
        for entry in handle.get_permissions("", "/key")
    ] == [
        (0, 0, 0),
        (5, 1, 0),
        (2**31 - 1, 0, 2),
        (-(2**31), 1, 2),
        (-1, 0, 0),
        (-1, 0, 0),
    ]


@pytest.mark.parametrize("reply", [b"", b"n0", b"n0\0r5", b"x0\0"])
def test_a_reply_that_is_no_permissions_ends_the_connection(serve, reply):
    handle, _ = serve(lambda peer: peer.send(reply_to(peer.receive(), reply)))
    assert errno_of(handle.get_permissions, "", "/key") == errno.EBADF


def test_numbers_have_the_limits_of_c(serve):
    handle, server = serve(honest)
    for page in (-(2**63), -1, 0, 2**63 - 1):
        handle.introduce_domain(1, page, 2)
    for domid in (-(2**31), -1, 2**31 - 1):
        handle.resume_domain(domid)
    assert [request.payload for request in server.requests] == [
        b"1\0%d\0002\0" % page for page in (2**63, 2**64 - 1, 0, 2**63 - 1)
    ] + [b"%d\0" % domid for domid in (2**31, 2**32 - 1, 2**31 - 1)]
    assert {request.tx_id for request in server.requests} == {0}
    for page in (-(2**63) - 1, 2**63):
        with pytest.raises(OverflowError, match="too large to convert to C long"):
            handle.introduce_domain(1, page, 2)
    for domid, which in ((-(2**31) - 1, "less than minimum"), (2**31, "greater than maximum")):
        with pytest.raises(OverflowError, match=which):
            handle.resume_domain(domid)


@pytest.mark.parametrize(
    ("transaction", "tx_id"),
    [
        ("fa", 250),
        (" +0XFAx", 250),
        ("-1", 2**32 - 1),
        ("1FFFFFFFF", 2**32 - 1),
        ("100000001", 1),
        ("-FFFFFFFFFFFFFFFF", 1),
        ("10000000000000001", 2**32 - 1),  # strtoul() returns ULONG_MAX
        ("x", 0),
    ],
)
def test_a_transaction_is_parsed_as_strtoul_does(serve, transaction, tx_id):
    handle, server = serve(honest)
    handle.read(transaction, "/key")
    assert [request.tx_id for request in server.requests] == [tx_id]


def test_an_argument_of_a_wrong_type_is_named(serve):
    handle, server = serve(honest)
    for arguments, message in (
        ((5, "/key"), "argument 1 must be str, not int"),
        ((Unhashable(), "/key"), "argument 1 must be str, not Unhashable"),
        (("", None), "argument 2 must be str, not None"),
        (("", b"/key"), "argument 2 must be str, not bytes"),
    ):
        with pytest.raises(TypeError, match="^" + message + "$"):
            handle.read(*arguments)
    with pytest.raises(TypeError, match="^a bytes-like object is required, not 'int'$"):
        handle.write("", "/key", 5)
    with pytest.raises(TypeError, match="^argument 3 must be read-only bytes-like object, not byt"):
        handle.write("", "/key", bytearray(b"value"))
    assert not server.requests


# -- lost connections ----------------------------------------------------------------------


@REAL
def test_a_lost_connection(handle, daemon):
    settle(handle)  # the daemon has accepted it
    daemon.kill()
    assert errno_of(handle.write, "", "/key", b"x" * 5000) == errno.E2BIG
    assert errno_of(handle.read, "", "/key") == errno.EPIPE
    assert errno_of(handle.read, "", "/key") == errno.EBADF
    assert errno_of(handle.transaction_start) == errno.EBADF
    assert errno_of(handle.check_watch) == errno.EINVAL


@REAL
def test_a_lost_connection_with_watches(handle, daemon):
    handle.watch("/key", "token")
    settle(handle)
    daemon.kill()
    assert handle.check_watch() == ("/key", "token")
    assert readable(handle)
    assert errno_of(handle.check_watch) == errno.EINVAL
    assert errno_of(handle.read_watch) == errno.EINVAL
    assert errno_of(handle.read, "", "/key") == errno.EBADF


@REAL
def test_once_there_was_a_watch_a_lost_connection_is_ebadf_at_once(handle, daemon):
    handle.watch("/key", "token")
    handle.read_watch()
    settle(handle)
    daemon.kill()
    assert errno_of(handle.read, "", "/key") == errno.EBADF


def test_a_handle_that_lost_its_daemon_never_connects_again(handle, daemon):
    daemon.restart()
    call(handle.read, "", "/key")
    assert errno_of(handle.read, "", "/key") == errno.EBADF
    assert errno_of(handle.watch, "/key", "token") == errno.EBADF
    handle.close()


@pytest.mark.parametrize("part", [0, 7, 16, 18])
def test_a_connection_that_ends_in_a_reply(serve, part):
    handle, _ = serve(lambda peer: peer.send(bytes(reply_to(peer.receive()))[:part]))
    assert errno_of(handle.read, "", "/key") == errno.EBADF
    assert errno_of(handle.read, "", "/key") == errno.EBADF
    assert readable(handle)


def test_a_malformed_reply(serve):
    def lie(peer):
        for request in peer:
            peer.send(reply_to(request, b"nonsense"))

    handle, server = serve(lie)
    assert errno_of(handle.transaction_start) == errno.EBADF
    assert server.peers[0].gone.wait(PATIENCE)


def test_after_close_everything_is_einval(handle):
    assert handle.close() is None
    methods = [name for name in dir(xs) if not name.startswith("_")]
    assert len(methods) == 20
    for name in methods:
        assert errno_of(getattr(handle, name)) == errno.EINVAL


def test_close_wakes_a_blocked_thread(handle):
    failures = []

    def wait():
        failures.append(errno_of(handle.read_watch))

    handle.watch("/key", "token")
    handle.read_watch()
    waiter = threading.Thread(target=wait)
    waiter.start()
    settle(handle)
    handle.close()
    waiter.join(PATIENCE)
    assert failures == [errno.EINVAL]


def test_close_ends_a_call_that_waits_for_its_reply(serve):
    asked, failures = threading.Event(), []

    def keep_waiting(peer):
        peer.receive()
        asked.set()
        peer.linger()

    handle, _ = serve(keep_waiting)
    reader = threading.Thread(target=lambda: failures.append(errno_of(handle.read, "", "/key")))
    reader.start()
    assert asked.wait(PATIENCE)
    handle.close()
    reader.join(PATIENCE)
    assert failures == [errno.EINVAL]


# -- watches -------------------------------------------------------------------------------


class Unhashable:
    __hash__ = None

    def __eq__(self, other):
        return True


def test_the_very_token_object_comes_back(handle):
    tokens = [Unhashable(), Unhashable(), "token", "".join(["to", "ken"]), None, (), {}, 5]
    for token in tokens:
        handle.watch("/key", token)
    seen = [handle.read_watch() for _ in tokens]
    assert all(type(event) is tuple for event in seen)
    assert {id(token) for _, token in seen} == {id(token) for token in tokens}
    handle.unwatch("/key", tokens[1])
    assert errno_of(handle.unwatch, "/key", tokens[1]) == errno.ENOENT
    handle.write("", "/key", "")
    settle(handle)
    rest = {id(handle.check_watch()[1]) for _ in tokens[1:]}
    assert rest == {id(token) for token in tokens} - {id(tokens[1])}
    assert handle.check_watch() is None


def test_events_of_a_watch_that_ended_do_not_come(handle):
    handle.watch("/old", "old")
    handle.watch("/new", "new")
    settle(handle)
    handle.unwatch("/old", "old")
    assert handle.read_watch() == ("/new", "new")
    assert handle.check_watch() is None


@pytest.mark.parametrize(("path", "number"), [("/other", errno.ENOENT), ("n" * 4096, errno.E2BIG)])
def test_a_refused_unwatch_forgets_a_watch_with_its_token(handle, path, number):
    """The extension forgets the token object whatever the answer."""
    handle.watch("/key", "token")
    handle.watch("/key", "another")
    settle(handle)
    assert errno_of(handle.unwatch, path, "token") == number
    handle.write("", "/key", "")
    settle(handle)
    events = set()
    while readable(handle):
        events.add(handle.check_watch())
    assert events == {("/key", "another")}


def test_an_unwatch_that_is_too_long_needs_no_watch(handle):
    assert errno_of(handle.unwatch, "n" * 4096, "token") == errno.E2BIG


def test_a_token_in_several_watches(handle):
    for path in "/a", "/b":
        handle.watch(path, "token")
    handle.unwatch("/a", "token")
    handle.write("", "/b/c", "")
    settle(handle)
    events = set()
    while readable(handle):
        events.add(handle.check_watch())
    assert {("/b", "token"), ("/b/c", "token")} <= events


def test_fileno_is_readable_while_there_is_an_event(handle):
    descriptor = handle.fileno()
    assert not readable(handle)
    handle.watch("/key", "token")
    settle(handle)  # the event came before the reply, so that pyxs has received it
    assert readable(handle)
    assert handle.check_watch() == ("/key", "token")
    assert not readable(handle)
    assert handle.check_watch() is None
    assert handle.fileno() == descriptor


def test_fileno_wakes_a_select_loop(handle, connect, daemon):
    other = connect(daemon)
    handle.watch("/key", "token")
    handle.read_watch()
    poll = select.poll()
    poll.register(handle.fileno(), select.POLLIN)
    assert not poll.poll(0)
    other.write("", "/key", "")
    assert poll.poll(PATIENCE * 1000)
    assert handle.check_watch() == ("/key", "token")


def test_check_watch_finishes_an_event_that_has_begun(serve):
    finish, begun = threading.Event(), threading.Event()

    def send_in_two(peer):
        watch = peer.receive()
        token = watch.payload.split(b"\0")[1].decode()
        peer.send(reply_to(watch))
        data = bytes(event("/key", token))
        peer.send(data[:20])
        begun.set()
        assert finish.wait(PATIENCE)
        peer.send(data[20:])
        peer.linger()

    handle, _ = serve(send_in_two)
    assert handle.check_watch() is None
    handle.watch("/key", "token")
    assert begun.wait(PATIENCE)
    timer = threading.Timer(0.1, finish.set)
    timer.start()
    assert handle.check_watch() == ("/key", "token")
    assert finish.is_set()
    assert handle.check_watch() is None


def test_a_signal_handler_that_raises_interrupts_read_watch(handle):
    handle.watch("/key", "token")
    handle.read_watch()
    with pytest.raises(HandlerError), alarm(interrupt):
        handle.read_watch()
    handle.write("", "/key", "value")
    assert handle.read_watch() == ("/key", "token")
    assert handle.read("", "/key") == b"value"


# Python reports an exception in a finalizer and drops it.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_watch_that_was_interrupted_can_be_set_again(connect, daemon):
    handle, survived = connect(daemon), 0
    for delay in range(1, 80):
        interrupted = True
        with contextlib.suppress(HandlerError), alarm(interrupt, delay * 5e-6):
            handle.watch("/key", "token")
            handle.unwatch("/key", "token")
            interrupted = False
        call(handle.unwatch, "/key", "token")
        try:
            handle.watch("/key", "token")
        except Error as exc:
            if exc.args[0] != errno.EBADF:
                raise
            handle = connect(daemon)  # the signal struck in the middle of a message
            continue
        assert handle.read_watch() == ("/key", "token")
        handle.unwatch("/key", "token")
        assert handle.check_watch() is None
        survived += interrupted
    assert survived


def interrupting(handled, reply):
    """Return a script: while a call waits for its reply, SIGALRM arrives and is handled."""

    def script(peer):
        request = peer.receive()
        os.kill(os.getpid(), signal.SIGALRM)
        assert handled.wait(PATIENCE)
        peer.send(reply(request))
        honest(peer)

    return script


def test_a_call_inside_another_may_lose_its_connection(serve, on_alarm):
    handled, seen = threading.Event(), []

    def inside():
        try:
            seen.append(errno_of(handle.read, "", "/inner"))
        finally:
            handled.set()

    outer = interrupting(handled, lambda request: reply_to(request, b"outer"))
    handle, _ = serve(outer, lambda peer: peer.receive())
    on_alarm(inside)
    assert handle.read("", "/outer") == b"outer"
    assert seen == [errno.EBADF]


def test_what_a_hidden_handler_raises_is_not_taken_for_a_loss(serve):
    """A handler that is no function is not recognized by its code."""
    handled, others = threading.Event(), ConnectionError("another client's")

    class Handler:
        def __call__(self, *_):
            handled.set()
            raise others

    previous = signal.signal(signal.SIGALRM, Handler())
    handle, _ = serve(interrupting(handled, reply_to))
    try:
        with pytest.raises(ConnectionError) as caught:
            handle.read("", "/outer")
    finally:
        signal.signal(signal.SIGALRM, previous)
    assert caught.value is others
    assert handle.read("", "/key") == b"value"


def test_a_signal_handler_calls_the_handle_inside_another_call(serve, on_alarm):
    handled, seen = threading.Event(), []

    def inside():
        try:
            seen.append(handle.read("", "/inner"))
            seen.append(handle.read("", "/inner"))
            seen.append(errno_of(handle.read, "5", "/inner"))
            seen.append(errno_of(handle.transaction_end, "5"))
        finally:
            handled.set()

    handle, server = serve(
        interrupting(handled, lambda request: reply_to(request, b"outer")), honest
    )
    on_alarm(inside)
    assert handle.read("5", "/outer") == b"outer"
    assert seen == [b"value", b"value", errno.EDEADLK, errno.EDEADLK]
    # The refused call has not aborted the transaction.
    assert handle.transaction_end("5") is True
    first, second = [
        [(request.op, request.tx_id, request.payload) for request in peer.requests]
        for peer in server.peers
    ]
    assert first == [(Op.READ, 5, b"/outer\0"), (Op.TRANSACTION_END, 5, b"T\0")]
    assert second == [(Op.READ, 0, b"/inner\0")] * 2


def test_a_transaction_whose_end_is_interrupted_has_ended(serve, on_alarm):
    def interrupt():
        interrupted.set()
        raise HandlerError

    interrupted = threading.Event()
    handle, server = serve(
        interrupting(interrupted, lambda request: error_to(request, b"EAGAIN\0"))
    )
    on_alarm(interrupt)
    with pytest.raises(HandlerError):
        handle.transaction_end("5")
    handle.read("", "/key")
    ends = [
        (request.tx_id, request.payload)
        for request in server.requests
        if request.op == Op.TRANSACTION_END
    ]
    assert ends == [(5, b"T\0")]
    assert len(server.peers) == 1


# -- threads and processes -----------------------------------------------------------------


def test_threads_share_a_handle_while_one_waits(handle):
    seen, failures = set(), []

    def wait():
        while "/stop" not in seen:
            path, token = handle.read_watch()
            assert token == "token"
            seen.add(path)

    def work(number):
        try:
            for count in range(100):
                path = "/busy/{}/{}".format(number, count)
                value = "{} {}".format(number, count).encode()
                handle.write("", path, value)
                assert handle.read("", path) == value
        except BaseException as exc:
            failures.append(exc)

    handle.watch("/busy", "token")
    handle.watch("/stop", "token")
    handle.unwatch("/stop", "token")
    while handle.check_watch() is not None:
        pass
    settle(handle)
    while handle.check_watch() is not None:
        pass
    waiter = threading.Thread(target=wait)
    waiter.start()
    workers = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(PATIENCE)
    handle.watch("/stop", "token")
    waiter.join(PATIENCE)
    assert not waiter.is_alive()
    assert not failures
    expected = {"/busy/{}/{}".format(number, count) for number in range(8) for count in range(100)}
    assert expected <= seen


def test_a_forked_child_has_a_connection_of_its_own(handle):
    handle.write("", "/key", "value")
    handle.watch("/key", "token")
    handle.read_watch()
    descriptor = handle.fileno()

    def child():
        assert errno_of(handle.check_watch) == errno.EINVAL
        assert handle.read("", "/key") == b"value"
        assert errno_of(handle.read_watch) == errno.EINVAL
        handle.watch("/other", "mine")
        assert handle.read_watch() == ("/other", "mine")
        handle.write("", "/other", "")
        handle.close()
        assert errno_of(handle.read, "", "/key") == errno.EINVAL
        return True

    assert in_child(child)
    assert handle.fileno() == descriptor
    assert handle.read("", "/key") == b"value"
    handle.write("", "/key", "")
    assert handle.read_watch() == ("/key", "token")


def test_a_child_that_closes_leaves_its_parent_alone(handle):
    handle.watch("/key", "token")
    handle.read_watch()
    handle.fileno()
    assert in_child(lambda: handle.close() is None)
    assert handle.read("", "/") is not None
    handle.write("", "/key", "")
    settle(handle)
    assert readable(handle)
    assert handle.check_watch() == ("/key", "token")


def test_a_child_whose_parent_waits_in_another_thread(handle):
    waiter = threading.Thread(target=handle.read_watch)
    handle.watch("/key", "token")
    handle.read_watch()
    waiter.start()
    assert in_child(lambda: handle.read("", "/nothing") is None)
    handle.write("", "/key", "")
    waiter.join(PATIENCE)
    assert not waiter.is_alive()


@pytest.mark.parametrize(
    "use",
    [
        lambda handle: handle.read("", "/outer"),
        lambda handle: handle.watch("/w", "t"),
        lambda handle: handle.transaction_start(),
    ],
)
def test_events_are_not_to_be_had_inside_another_call(serve, on_alarm, use):
    handled, seen = threading.Event(), []

    def inside():
        try:
            seen.extend([errno_of(handle.check_watch), errno_of(handle.read_watch)])
        finally:
            handled.set()

    handle, server = serve(interrupting(handled, reply_to))
    on_alarm(inside)
    use(handle)
    assert seen == [errno.EDEADLK] * 2
    assert handle.read("", "/after") == b"value"
    assert len(server.peers) == 1


def test_a_transaction_whose_start_is_interrupted_behind_the_reply_is_not_left_open(
    xenstored, monkeypatch
):
    monkeypatch.setenv("XENSTORED_PATH", xenstored.socket_for(1))
    handle = xs()
    for _ in range(2 * 10):  # a guest has 10 transactions at most
        with before_line(Handle._start, "setdefault", interrupt), pytest.raises(HandlerError):
            handle.transaction_start()
    assert handle.transaction_end(handle.transaction_start()) is True
    handle.close()
