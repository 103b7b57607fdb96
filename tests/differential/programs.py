"""Makes random programs for an ``xs``, runs them and records what each step did.

A program is a list of steps, plain data that can be pickled. :func:`run` runs a program on any
class like ``xs`` and returns what each step did, again as plain data: equal behaviour gives
equal lists. ``XENSTORED_PATH`` names the daemon. Two runs in turn on one daemon can be compared,
even if the daemon has other clients.

The programs leave out calls that differ on purpose (``docs/xs-differences.csv``). Events are
compared as sets, because daemons merge identical queued events and the reading thread of the C
extension may be late. A round trip before each set brings in all events sent earlier.
"""

import collections
import contextlib
import errno
import random
import re
import select

import xen_utils

__all__ = ["CALLS", "clean", "generate", "run"]

#: Calls in a program, without the steps that take events before and after them.
CALLS = 60

Step = collections.namedtuple("Step", "handle method args kwargs")
Transaction = collections.namedtuple("Transaction", "slot style")  # a handle of an earlier step
Token = collections.namedtuple("Token", "number")

_HANDLES = 3
_SLOTS = 4
_TOKENS = 6

_PATHS = [
    "/",
    "/a",
    "/a/b",
    "/a/b/c",
    "/a/x",
    "/d",
    "/d/e",
    "/d/e/f/g",
    "/missing",
    "/missing/too",
] + ["r", "r/s", "/local/domain/0/r", "/local/domain/0", "@introduceDomain", "@releaseDomain"]
#: Xen 4.20 lets dom0 make nodes whose names are longer than a reply; then no client can list
#: their parents.
_LISTABLE = 3071 if xen_utils.VERSION >= (4, 20) else 5000
_LENGTHS = [1022, 1023, 2046, 2047, 3070, 3071, 4093, 4094, 4095, 5000]
_BAD_PATHS = (
    ["", "//", "/a/", "a//b", "/a//b", "/a b", "/a*", "/é", "@", "@other", "/@x", "/a\n", ".", "/."]
    + ["/" + "n" * length for length in _LENGTHS if length <= _LISTABLE]
    + ["n" * count for count in (1000, 2031, 2032, 2048, 4096)]
)
_NO_PATHS = ["/a\0", "\0", "/\udc80", 1, None, b"/a", 1.5, ["/a"], True]
_NO_TRANSACTIONS = ["", "", "", "", "0", "00", "zz", "0x", " 0", "+0", "- 1", "100000000", "\u0661"]
_BAD_TRANSACTIONS = ["7fffffff", "-1", "ffffffffffffffffff", "7FFF_", "x\0", "\udc80", 5, b"", 1.5]
_DATA_SIZES = [0, 1, 7, 100, 2047, 2048, 2049, 4080, 4090, 4091, 4092, 4093, 4094, 4095, 4096, 5000]
_NO_DATA = [1, None, bytearray(b"x"), [b"x"], "\udc80", 1.5]
_NUMBERS = [1, 2, 3, 65536, -1, 2**31 - 1, -(2**31), True]
_NO_NUMBERS = [2**31, -(2**31) - 1, 2**63, -(2**63) - 1, 2**70, "1", None, 1.5, b"1", [1]]
_OWNERS = [0, 0, 0, 1, 2, 7, 99, -1, 65535, 70000, 2**31 - 1, True]
_NO_PERMISSION = [
    {},
    {"read": 1},
    {"dom": "0"},
    {"dom": None},
    {"dom": 0, "read": "x"},
    {"dom": 2**31},
] + [{"dom": 0, "more": 1}, {1: 0}, {"dom": 0, "write": 1.5}, {"dom": 2**70}]
_NO_PERMISSIONS = [None, "n0", (), {"dom": 0}, 5]


class _Author:
    """Makes one random program."""

    def __init__(self, seed, domids):
        self._random = random.Random(seed)
        self._domids = list(domids)
        self._targeted = set()

    def program(self, calls):
        steps = []
        for _ in range(calls):
            handle = self._random.randrange(_HANDLES)
            method = self._pick(_METHODS)
            args, kwargs = getattr(self, "_" + method)()
            if self._one_in(40):
                args = self._wrong_number(args)
            if method == "watch":
                # Takes events of an earlier watch with this token; see docs/xs-differences.csv.
                steps.append(Step(handle, "drain", (), {}))
            steps.append(Step(handle, method, args, kwargs))
            if self._one_in(8):
                steps.append(Step(self._random.randrange(_HANDLES), "drain", (), {}))
        return steps + [Step(handle, "drain", (), {}) for handle in range(_HANDLES)]

    def _pick(self, choices):
        return self._random.choice(choices)

    def _one_in(self, count):
        return self._random.randrange(count) == 0

    def _wrong_number(self, args):
        return args[:-1] if args and self._one_in(2) else (*args, self._pick(_NO_NUMBERS))

    # -- arguments

    def _path(self):
        return self._pick(
            _BAD_PATHS if self._one_in(8) else _NO_PATHS if self._one_in(25) else _PATHS
        )

    def _tx(self):
        if self._one_in(2):
            return Transaction(self._random.randrange(_SLOTS), self._pick(["", "", "0x", "lower"]))
        return self._pick(_BAD_TRANSACTIONS if self._one_in(10) else _NO_TRANSACTIONS)

    def _data(self):
        if self._one_in(20):
            return self._pick(_NO_DATA)
        size = self._pick(_DATA_SIZES)
        return self._pick(["é" * (size // 2), "s" * size, b"\0" * size, b"\xff\0b" * (size // 3)])

    def _number(self):
        return self._pick(_NO_NUMBERS if self._one_in(12) else _NUMBERS)

    def _domid(self):
        return self._number() if self._one_in(6) else self._pick(self._domids)

    def _perm(self):
        if self._one_in(20):
            return dict(self._pick(_NO_PERMISSION))
        perm = {"dom": self._pick(_OWNERS)}
        for access in ("read", "write"):
            if self._one_in(2):
                perm[access] = self._pick([0, 1, 2, -1, 256, True, False])
        return perm

    # -- calls: the arguments of each

    def _read(self):
        return (self._tx(), self._path()), {}

    _ls = _mkdir = _get_permissions = _read

    def _rm(self):
        path = self._path()
        return (self._tx(), "/a" if path == "/" else path), {}

    def _write(self):
        return (self._tx(), self._path(), self._data()), {}

    def _set_permissions(self):
        perms = [self._perm() for _ in range(self._random.randrange(5))]
        if self._one_in(15):
            perms = self._pick(_NO_PERMISSIONS)
        path = self._path()
        if isinstance(path, str) and path.startswith("@"):
            path = "@releaseDomain"
            if isinstance(perms, list):  # xenstored 4.20 crashes when its owner is released
                perms = [{"dom": 0}] + perms
        if path == "/":
            perms = [{"dom": 0}]  # the release of its owner would remove all nodes
        return (self._tx(), path, perms), {}

    def _watch(self):
        return (self._path(), Token(self._random.randrange(_TOKENS))), {}

    _unwatch = _watch

    def _transaction_start(self):
        return (), {}

    _close = _open = _fileno = _drain = _transaction_start

    def _transaction_end(self):
        abort = self._pick([0, 0, 0, 1, -1, True, self._number()])
        if self._one_in(10):
            # No second fault: which of two faults is reported first may differ.
            return ("1",), {self._pick(["transaction", "more"]): 1}
        if self._one_in(2):
            return (self._tx(), abort), {}
        return (self._tx(),), {"abort": abort} if self._one_in(2) else {}

    def _introduce_domain(self):
        return (self._domid(), self._number(), self._number()), {}

    def _release_domain(self):
        return (self._domid(),), {}

    _resume_domain = _get_domain_path = _release_domain

    def _set_target(self):
        # No chain of targets, and no second one: the C daemon crashes when the domains
        # are released.
        dom, target = self._pick(self._domids[2:]), self._pick(self._domids[:2])
        if dom in self._targeted or self._one_in(6):
            target = self._pick(_NO_NUMBERS)
        else:
            self._targeted.add(dom)
        return (dom, target), {}


_METHODS = (
    ["read", "write"] * 6
    + ["ls", "mkdir", "rm", "get_permissions", "set_permissions", "watch"] * 3
    + ["transaction_start", "transaction_end", "unwatch", "drain"] * 2
    + ["introduce_domain", "release_domain", "resume_domain", "set_target", "get_domain_path"]
    + ["open", "close", "fileno"]
)


def generate(seed, calls=CALLS, domids=(1, 2, 7, 9)):
    """Return a program.

    :param seed: equal seeds give equal programs.
    :param domids: the domains to introduce, to release and to give targets; never 0.
    """
    return _Author(seed, domids).program(calls)


class _Run:
    def __init__(self, connect, error):
        self._connect = connect
        self._error = error
        self._handles = [connect() for _ in range(_HANDLES)]
        self._transactions = [""] * _SLOTS
        # Some tokens are equal, but no two are the same object.
        self._tokens = ["token", "".join(["tok", "en"]), [0], [0], 5, object()]

    def close(self):
        for handle in self._handles:
            with contextlib.suppress(self._error):
                handle.close()

    def step(self, number, step):
        try:
            if step.method == "open":
                return self._open(step)
            if step.method == "drain":
                return self._drain(self._handles[step.handle])
            return self._call(number, step)
        except self._error as exc:
            return "Error", exc.args
        except TypeError:
            return ("TypeError",)  # the message is Python's, and differs between versions
        except Exception as exc:
            return type(exc).__name__, exc.args

    def _open(self, step):
        self._handles[step.handle] = self._connect()
        return ("opened",)

    def _call(self, number, step):
        args = [self._argument(arg) for arg in step.args]
        kwargs = {name: self._argument(arg) for name, arg in step.kwargs.items()}
        result = getattr(self._handles[step.handle], step.method)(*args, **kwargs)
        if step.method == "transaction_start":
            self._transactions[number % _SLOTS] = result
            # The daemon chooses the number.
            return type(result).__name__, re.fullmatch("[1-9A-F][0-9A-F]*", result) is not None
        if step.method == "fileno":
            return type(result).__name__, result >= 0
        return _plain(result)

    def _argument(self, arg):
        if isinstance(arg, Token):
            return self._tokens[arg.number]
        if isinstance(arg, Transaction):
            handle = self._transactions[arg.slot]
            return handle.lower() if arg.style == "lower" else arg.style + handle
        return arg

    def _drain(self, handle):
        """Return all events that were sent, as a set."""
        events = set()
        handle.get_domain_path(0)  # the reply comes after all events sent before
        poll = select.poll()
        poll.register(handle.fileno(), select.POLLIN)
        while True:
            readable = bool(poll.poll(0))
            try:
                event = handle.check_watch()
            except self._error as exc:
                if exc.args[0] == errno.EAGAIN:
                    continue  # a stale event; see docs/xs-differences.csv
                raise
            if event is None:
                return "events", frozenset(events)
            events.add(self._event(event, readable))

    def _event(self, event, readable):
        path, token = event
        (number,) = (n for n, known in enumerate(self._tokens) if known is token)
        return type(event).__name__, path, number, readable


def _plain(value):
    """Return a value together with the types of all its parts."""
    name = type(value).__name__
    if isinstance(value, list):
        return name, [_plain(item) for item in value]
    if isinstance(value, dict):
        return name, sorted((key, _plain(item)) for key, item in value.items())
    return name, value


def run(program, connect, error):
    """Run a program and return what each step did.

    :param connect: opens a connection: the class ``xs``.
    :param error: what its methods raise: the class ``Error``.
    """
    state = _Run(connect, error)
    try:
        return [state.step(number, step) for number, step in enumerate(program)]
    finally:
        state.close()


def clean(connect, error, domids=(1, 2, 7, 9)):
    """Empty the store and release domains, so that no program depends on an earlier one."""
    handle = connect()
    calls = [(handle.rm, ("", "/" + name)) for name in handle.ls("", "/")]
    calls += [(handle.write, ("", "/", b""))]
    for path in ("/", "@releaseDomain"):
        calls += [(handle.set_permissions, ("", path, [{"dom": 0}]))]
    # Domains with targets first; see _set_target.
    calls += [(handle.release_domain, (domid,)) for domid in [*reversed(domids), *_NUMBERS]]
    for method, args in calls:
        with contextlib.suppress(error):
            method(*args)
    handle.close()
