"""The in-memory daemon behaves like the C daemon of Xen 4.17, and of 4.22.

Random programs run on both daemons: a third as requests of domain 0, a third as domain 0 and two
guests, and a third through the C extension. Every result and event must be the same.
``PYXS_PROGRAMS`` is the number of programs (150; 500 in the full run). A failure shows its seed;
``PYXS_SEED`` repeats it.

The programs leave out cases in which the two differ on purpose:

* requests that end the C daemon: READ, DIRECTORY, GET_PERMS, MKDIR, RM with a payload that is not
  one string, SET_PERMS of ``@introduceDomain`` by a guest, RELEASE of domain 0 or of the one
  that owns ``/``; since 4.18, RELEASE of the one that owns a special path
* requests that 4.17 does not know: the depth of a watch, ``@releaseDomain/<domid>``, GET_FEATURE,
  SET_FEATURE, GET_QUOTA, SET_QUOTA; ``test_xenstored_versions.py`` has those of 4.22
* domains that do not exist: in memory, all up to 32751 exist
* RELEASE of a domain that is another's target: in C it stays introduced
* whether events of RELEASE come before or after its reply: in C, that depends on who connected when
* CONTROL of log files, memory reports and live update, which are not in memory
"""

import contextlib
import json
import os
import random
import shutil
import subprocess

import pytest

import daemons
import xen_utils
from command_lines import COMMAND_LINES, run_c_tool
from common import PATIENCE
from conftest import skip_or_fail
from wire import Op, Wire

PROGRAMS = int(os.environ.get("PYXS_PROGRAMS", "150"))
SEED = int(os.environ.get("PYXS_SEED", str(random.randrange(1 << 32))))

CLIENTS = 3
STEPS = 60

TEST_XENSTORE = xen_utils.TOOLS + "/test-xenstore"


@pytest.fixture(autouse=True)
def c_daemon():
    reason = daemons.missing("c")
    if reason is not None:
        skip_or_fail(reason)


#: The in-memory daemon that is to be like the installed one. ``conformance/differences.py`` lists
#: what differs in other versions.
MEMORY = {(4, 17): "memory", (4, 22): "memory-4.22"}.get(xen_utils.VERSION)
SPECIAL_NODES = xen_utils.VERSION >= (4, 18)
as_installed = pytest.mark.skipif(
    MEMORY is None, reason="the in-memory daemon is like that of Xen 4.17 or 4.22"
)


# Programs for the wire


class WirePrograms:
    """Makes random programs: lists of steps (client, operation, payload, transaction id)."""

    starts = ["/", "/", "/", "", "/local/domain/0/", "/local/domain/1/"]
    reconnects = 0.01  # the share of steps that reconnect

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.started = [0] * CLIENTS
        # A domain that is released while it is a target behaves unlike any other in C.
        self.domain_ops = self.random.choice([(Op.RELEASE, self.domid), (Op.SET_TARGET, self.pair)])

    def program(self):
        if self.random.random() < 0.5:
            return self.transactions_of_few_nodes()
        return [self.step() for _ in range(STEPS)]

    def transactions_of_few_nodes(self):
        """Return a program of transactions, each of which changes the same few nodes repeatedly.

        What an event needs is often the work of two changes of one node.
        """
        top = self.random.choice(self.starts).encode() or b"/local/domain/1/"
        paths = [top + below for below in (b"a", b"a/b", b"a/b/c", b"a/d")]
        path = lambda: self.random.choice(paths) + b"\0"  # noqa: E731
        changes = [
            (Op.WRITE, lambda: path() + b"value"),
            (Op.MKDIR, path),
            (Op.RM, path),
            (Op.RM, path),
            (Op.READ, path),
            (Op.SET_PERMS, lambda: path() + self.perms(b"0001")),
            (Op.SET_PERMS, lambda: path() + self.perms(b"0001")),
        ]

        def some(client, most, tx_id=0):
            for _ in range(self.random.randint(1, most)):
                op, make = self.random.choice(changes)
                yield (client, op, make(), tx_id)

        watches = paths + [b"/", top.rstrip(b"/") or b"/"]
        steps = [
            (client, Op.WATCH, each + b"\0t\0", 0)
            for client in range(CLIENTS)
            for each in dict.fromkeys(watches)
        ]
        for _ in range(8):
            client = self.random.randrange(CLIENTS)
            steps += some(self.random.randrange(CLIENTS), 3)
            self.started[client] += 1
            tx_id = self.started[client]
            steps.append((client, Op.TRANSACTION_START, b"\0", 0))
            steps += some(client, 5, tx_id)
            steps.append((client, Op.TRANSACTION_END, b"T\0", tx_id))
        return steps

    def step(self):
        client = self.random.randrange(CLIENTS)
        if self.random.random() < self.reconnects:
            self.started[client] = 0
            return (client, "reconnect", b"", 0)
        op, make = self.random.choices(*zip(*self.choices()))[0]
        tx_id = 0
        if op == Op.TRANSACTION_START:
            self.started[client] += 1
        elif self.random.random() < 0.5:
            tx_id = self.random.choice([self.started[client], self.started[client], 1, 77])
        if op == Op.TRANSACTION_START and self.random.random() < 0.05:
            tx_id = 1
        return (client, op, make(), tx_id)

    def choices(self):
        domain_op, domain_payload = self.domain_ops
        return [
            ((Op.WRITE, lambda: self.path() + self.value()), 20),
            ((Op.MKDIR, self.path), 6),
            ((Op.RM, self.path), 8),
            ((Op.READ, self.path), 6),
            ((Op.DIRECTORY, self.path), 6),
            ((Op.DIRECTORY_PART, lambda: self.path() + self.number()), 2),
            ((Op.GET_PERMS, self.path), 4),
            ((Op.SET_PERMS, self.path_and_perms), 6),
            ((Op.WATCH, lambda: self.wpath() + self.token()), 10),
            ((Op.UNWATCH, lambda: self.wpath() + self.token()), 4),
            ((Op.RESET_WATCHES, lambda: b"\0"), 1),
            ((Op.TRANSACTION_START, lambda: b"\0"), 8),
            ((Op.TRANSACTION_END, lambda: self.random.choice([b"T\0", b"T\0", b"F\0"])), 8),
            ((Op.INTRODUCE, lambda: self.domid() + b"1\0005\0"), 3),
            ((Op.IS_DOMAIN_INTRODUCED, self.domid), 1),
            ((Op.GET_DOMAIN_PATH, self.domid), 1),
            ((Op.RESUME, self.domid), 1),
            ((domain_op, domain_payload), 2),
            ((Op.CONTROL, lambda: self.random.choice(CONTROLS)), 1),
            ((self.random.choice(LENIENT), lambda: self.random.choice(MALFORMED)), 3),
            ((self.random.choice(UNKNOWN), lambda: self.random.choice(MALFORMED)), 1),
        ]

    def path(self):
        names = [self.random.choice("aabc") for _ in range(self.random.choice([1, 1, 2, 2, 3, 4]))]
        path = self.random.choice(self.starts) + "/".join(names)
        path = self.random.choice([path] * 20 + ODD_PATHS)
        return path.encode("latin-1") + b"\0"

    def wpath(self):
        specials = [b"@introduceDomain\0", b"@releaseDomain\0", b"@other\0", b"/\0"]
        return self.random.choice([self.path()] * 6 + specials)

    def value(self):
        return self.random.choice([b"", b"1", b"2", b"\0", b"x" * 2000])

    def token(self):
        return self.random.choice([b"t\0", b"t\0", b"u\0", b"\0", b"no end", b"t\0more", b""])

    def path_and_perms(self):
        path = self.path()
        dom0_s = path == b"/\0" or (SPECIAL_NODES and path.startswith(b"@"))
        return path + self.perms(b"0" if dom0_s else b"0127")

    def perms(self, owners):
        entries = [self.perm(owners)]
        entries += [self.perm(b"01279") for _ in range(self.random.choice([0, 0, 1, 2]))]
        odd = [b"", b"x0\0", b"r\0", b"r0x\0", b"r0", b"n 0\0", b"b+0\0", b"r0\0w1", b"n0\0\0"]
        odd += [b"n0\0r010\0", b"n0\0r0X1f\0", b"n0\0r-2\0", b"n08\0", b"n0\0w4294967297\0"]
        return self.random.choice([b"".join(entries)] * 20 + odd)

    def perm(self, domids):
        return b"%c%c\0" % (self.random.choice(b"nrwb"), self.random.choice(domids))

    def number(self):
        return self.random.choice([b"0\0", b"1\0", b"4\0", b"100\0", b"-1\0", b"x\0", b"", b"0"])

    def domid(self):
        return self.random.choice([b"1\0", b"2\0", b"7\0"])

    def pair(self):
        return self.domid() + self.domid()


class GuestPrograms(WirePrograms):
    """The same with clients of domains 0, 1 and 2."""

    starts = ["/", "", "", "", "/local/domain/1/", "/local/domain/2/"]
    reconnects = 0  # a domain has one ring for all its life

    def __init__(self, seed):
        super().__init__(seed)
        self.domain_ops = (Op.SET_TARGET, self.pair)

    def program(self):
        homes = []
        for domid in (1, 2):
            home = b"/local/domain/%d\0" % domid
            homes += [(0, Op.MKDIR, home, 0), (0, Op.SET_PERMS, home + b"n%d\0" % domid, 0)]
        return homes + super().program()

    def step(self):
        step = super().step()
        meddles = step[0] and step[1] == Op.SET_PERMS and step[2].startswith(b"@")
        return self.step() if meddles else step


ODD_PATHS = [
    "/",
    "",
    "//",
    "/a/",
    "/a//b",
    "/a b",
    "/\xe9",
    "@introduceDomain",
    "@releaseDomain",
    "/" + "p" * 2047,
    "/" + "p" * 2048,
    "r" * 2048,
    "r" * 2049,
    "/local/domain/1/" + "q" * 2048,
    "/local/domain/12/" + "q" * 2049,
]
CONTROLS = [b"check\0", b"print\0x\0", b"print\0", b"log\0on\0", b"nonsense\0", b"x", b""]
MALFORMED = [
    b"",
    b"\0",
    b"x",
    b"/a",
    b"/a\0b",
    b"\0\0\0",
    b"T",
    b"1\0x\0",
    b"\xff\0\0",
    b"/a\0x\0y\0z",
]
#: Operations that answer whatever their payload is.
LENIENT = [
    Op.WRITE,
    Op.SET_PERMS,
    Op.UNWATCH,
    Op.TRANSACTION_END,
    Op.INTRODUCE,
    Op.IS_DOMAIN_INTRODUCED,
    Op.GET_DOMAIN_PATH,
    Op.SET_TARGET,
    Op.DIRECTORY_PART,
    Op.RESET_WATCHES,
]
UNKNOWN = [Op.WATCH_EVENT, Op.ERROR, Op.RESTRICT, 27, 4096, Op.INVALID, 0xFFFFFFFF]


def run_on_the_wire(daemon, program):
    """Return the reply of each step and the events that each client was sent by it."""
    return run_by_clients([daemon.path] * CLIENTS, program)


def run_by_guests(daemon, program):
    return run_by_clients([daemon.path, daemon.socket_for(1), daemon.socket_for(2)], program)


def run_by_clients(paths, program):
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Wire(path)) for path in paths]
        return list(results_of(clients, program))


def results_of(clients, program):
    for number, op, payload, tx_id in program:
        if op == "reconnect":
            clients[number].reconnect()
            reply = None
        else:
            packet = clients[number].ask(op, payload, tx_id)
            reply = (packet.op, packet.payload)
            if packet.op == Op.DIRECTORY_PART:  # the first generation differs between daemons
                reply = (packet.op, packet.payload.partition(b"\0")[2])
        before = list(clients[number].events)
        if op == Op.RELEASE:
            before = []
        yield reply, before, [client.heard() for client in clients]
    yield list(whole_tree(clients[0]))


def whole_tree(client, path=b"/"):
    """Yield path, children, value and permissions of each node, in order."""
    names = client.get(Op.DIRECTORY, path + b"\0")
    yield path, names, client.get(Op.READ, path + b"\0"), client.get(Op.GET_PERMS, path + b"\0")
    # A name may be listed though the node is gone: see test_xenstored_store.
    children = names.split(b"\0")[:-1] if isinstance(names, bytes) else []
    for name in children:
        yield from whole_tree(client, path.rstrip(b"/") + b"/" + name)


@as_installed
def test_random_programs_on_the_wire():
    compare_programs(lambda seed: WirePrograms(seed).program(), run_on_the_wire)


@as_installed
def test_random_programs_of_guests():
    compare_programs(lambda seed: GuestPrograms(seed).program(), run_by_guests)


# Programs for the C extension


class ExtensionPrograms:
    """Makes random programs of calls for :mod:`c_extension`."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def program(self):
        return [self.call() for _ in range(STEPS)]

    def call(self):
        method, arguments = self.random.choices(*zip(*self.choices()))[0]
        return [self.random.randrange(2), method] + arguments()

    def choices(self):
        node, choice = self.node, self.random.choice
        return [
            (("write", lambda: node() + [choice(["", "1", "value"])]), 20),
            (("mkdir", node), 5),
            (("rm", node), 8),
            (("read", node), 6),
            (("ls", node), 6),
            (("get_permissions", node), 4),
            (("set_permissions", self.path_and_perms), 6),
            (("watch", lambda: [self.path(), choice("tuv")]), 10),
            (("unwatch", lambda: [self.path(), choice("tuv")]), 4),
            (("transaction_start", lambda: [choice("xy")]), 6),
            (("transaction_end", lambda: [self.transaction(), choice([0, 0, 1])]), 8),
            (("introduce_domain", lambda: [choice([1, 2, 7]), 1, 5]), 2),
            (("release_domain", lambda: [choice([1, 2, 7])]), 2),
            (("resume_domain", lambda: [choice([1, 2, 7])]), 1),
            (("get_domain_path", lambda: [choice([0, 1, 300])]), 1),
        ]

    def node(self):
        return [self.transaction(), self.path()]

    def transaction(self):
        return {"transaction": self.random.choice(["", "", "x", "y"])}

    def path(self):
        names = [self.random.choice("aabc") for _ in range(self.random.choice([1, 1, 2, 2, 3]))]
        odd = ["/", "/a/", "/a//b", "@introduceDomain", "@releaseDomain", "/\xe9"]
        start = self.random.choice(["/", "/", "/", "", "/local/domain/0/"])
        return self.random.choice([start + "/".join(names)] * 20 + odd)

    def path_and_perms(self):
        transaction, path = self.node()
        perms = self.perms()
        if path == "/" or (SPECIAL_NODES and path.startswith("@")):
            perms[0]["dom"] = 0
        return [transaction, path, perms]

    def perms(self):
        return [
            {
                "dom": self.random.choice([0, 1, 2, 7]),
                "read": bool(bits & 1),
                "write": bool(bits & 2),
            }
            for bits in (self.random.randrange(4) for _ in range(self.random.choice([1, 1, 2, 3])))
        ]


@pytest.fixture
def c_extension():
    """Returns the results of a program run by the C extension."""
    python = shutil.which("python3", path="/usr/bin")
    worker = os.path.join(os.path.dirname(os.path.abspath(__file__)), "c_extension.py")
    probe = "import sys; sys.path.insert(0, {!r}); import xen.lowlevel.xs".format(
        xen_utils.EXTENSION
    )
    if python is None or subprocess.call([python, "-c", probe], stderr=subprocess.DEVNULL):
        skip_or_fail("xen.lowlevel.xs is missing: " + xen_utils.INSTALL)
    process = subprocess.Popen(
        [python, worker], stdin=subprocess.PIPE, stdout=subprocess.PIPE, universal_newlines=True
    )

    def run(daemon, program):
        process.stdin.write(json.dumps({"path": daemon.path, "calls": program}) + "\n")
        process.stdin.flush()
        results = process.stdout.readline()
        assert results, "the C extension's process has ended"
        return json.loads(results)

    with process:
        yield run
        process.stdin.close()
        process.wait(PATIENCE)


@as_installed
def test_random_programs_through_the_c_extension(c_extension):
    compare_programs(lambda seed: ExtensionPrograms(seed).program(), c_extension)


def compare_programs(make, run):
    """Run a third of the programs on a fresh daemon of either kind, and compare."""
    print("PYXS_SEED={} PYXS_PROGRAMS={}".format(SEED, PROGRAMS))
    for seed in range(SEED, SEED + (PROGRAMS + 2) // 3):
        program = make(seed)
        results = []
        for kind in ("c", MEMORY):
            with daemons.start(kind) as daemon:
                results.append(run(daemon, program))
        of_c, of_memory = results
        for number, (theirs, ours) in enumerate(zip(of_c, of_memory)):
            assert ours == theirs, "PYXS_SEED={} PYXS_PROGRAMS=1, after {}".format(
                seed, "\n".join(map(repr, program[: number + 1]))
            )
        assert len(of_c) == len(of_memory)


# Directories about as long as a reply can be


def parts_of(path):
    """Return what DIRECTORY and DIRECTORY_PART give for listings of 4080 to 4100 bytes."""
    answers = []
    with Wire(path) as client:
        for _ in range(1100):  # from here on, generations have four digits
            client.get(Op.WRITE, b"/counted\0")
        for number in range(4):
            client.get(Op.MKDIR, b"/dir/%s\0" % (b"%d" % number * 1000))
        for length in range(75, 97):
            last = b"/dir/%s" % (b"x" * length)
            client.get(Op.MKDIR, last + b"\0")
            answers.append(client.get(Op.DIRECTORY, b"/dir\0"))
            for offset in (b"0", b"1", b"4004", b"4074"):
                part = client.get(Op.DIRECTORY_PART, b"/dir\0" + offset + b"\0")
                generation, _, names = part.partition(b"\0")
                answers.append((len(generation), names))
            client.get(Op.RM, last + b"\0")
    return answers


def test_directories_about_as_long_as_a_reply(start_daemon):
    answers = parts_of(start_daemon(MEMORY or "memory").path)
    assert answers == parts_of(start_daemon("c").path)
    assert "E2BIG" in answers


# Xen's own programs


def test_xen_s_own_test_passes(start_daemon):
    reason = xen_utils.missing("test-xenstore")
    if reason is not None:
        skip_or_fail(reason)
    memory = start_daemon(MEMORY or "memory")
    subprocess.run(
        [TEST_XENSTORE], env=memory.environ, check=True, timeout=60, stdout=subprocess.DEVNULL
    )


def test_the_command_lines_of_xenstore_utils_print_the_same(start_daemon):
    if shutil.which("xenstore-ls") is None:
        skip_or_fail("xenstore-ls is missing: apt-get install xenstore-utils")
    memory, c = start_daemon(MEMORY or "memory"), start_daemon("c")
    lines = [words for words in COMMAND_LINES if words != ["control", "help"]]
    assert len(lines) >= 40
    for words in lines:
        ours = run_c_tool(words, memory.environ)
        assert (words, *ours) == (words, *run_c_tool(words, c.environ))
