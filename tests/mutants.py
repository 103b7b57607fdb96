"""Break pyxs in one place at a time, and see whether a test fails.

    tox -e mutants                              every module below; takes hours
    tox -e mutants -- pyxs/helpers.py           one module, or several

`cosmic-ray <https://cosmic-ray.readthedocs.io>`_ makes the mutants, in a copy of the checkout.
Each survivor is shown as a diff: write the test that fails, or add it to ``EQUIVALENT``. The
exit status is 1 while there are others.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent

_STORE = "test_xenstored_store.py test_xenstored_versions.py conformance"
_CHANNELS = (
    "test_channels.py test_monitor.py test_client.py test_connection.py test_compat.py "
    "faults/test_handlers.py faults/test_hostile_daemon.py faults/test_forks.py "
    "faults/test_threads.py faults/test_signals.py conformance faults/test_nested.py "
    "faults/test_interleavings.py faults/test_interruptions.py"
)
_XS = "test_compat.py faults/test_handlers.py faults/test_forks.py"

#: By module: the tests that should fail, in the order in which they run: those that are quick
#: and fail for most mutants come first.
TESTS = {
    "pyxs/connection.py": "test_connection.py test_names.py test_client.py test_channels.py",
    "pyxs/helpers.py": (
        "test_helpers.py test_values.py test_messages.py test_client.py test_misleading.py"
    ),
    "pyxs/_wire/framing.py": "test_wire.py test_connection.py",
    "pyxs/_wire/packets.py": "test_wire.py test_connection.py",
    "pyxs/_wire/replies.py": "test_messages.py test_client.py faults/test_hostile_daemon.py",
    "pyxs/_wire/requests.py": "test_messages.py test_client.py test_versions.py",
    "pyxs/_xs/arguments.py": _XS,
    "pyxs/_xs/handle.py": _XS,
    "pyxs/xenstored/store.py": _STORE,
    "pyxs/xenstored/_tree.py": _STORE,
    "pyxs/xenstored/requests.py": _STORE,
    "pyxs/_channels/channel.py": _CHANNELS,
    "pyxs/_channels/deadlines.py": _CHANNELS,
    "pyxs/_channels/descriptor.py": _CHANNELS,
    "pyxs/_channels/failures.py": _CHANNELS,
    "pyxs/_channels/inbox.py": _CHANNELS,
    "pyxs/_channels/pipeline.py": _CHANNELS,
    "pyxs/_channels/pool.py": _CHANNELS,
    "pyxs/_channels/readiness.py": _CHANNELS,
    "pyxs/_channels/settling.py": _CHANNELS,
    "pyxs/_channels/shared.py": _CHANNELS,
    "pyxs/_channels/streams.py": _CHANNELS,
    "pyxs/_channels/transaction.py": _CHANNELS,
    "pyxs/_channels/turns.py": _CHANNELS,
    "pyxs/_channels/waiting.py": _CHANNELS,
    "pyxs/_channels/watch.py": _CHANNELS,
    "pyxs/_channels/watching.py": _CHANNELS,
    "pyxs/_channels/walk.py": (
        "test_client.py test_channels.py faults/test_hostile_daemon.py conformance test_snapshot.py"
    ),
}

_ONE = "there is only one"
_SPEED = "how much goes at once is a matter of speed"
_TIME = "no test tells how long this takes"
_OLD = "only Python 3.6 has no register_at_fork()"

#: Mutants that change nothing a test could see: by module, why, and the lines as mutated.
EQUIVALENT = {
    "any": {
        "it imports modules that only annotations need": [
            "TYPE_CHECKING = True",
            "if not TYPE_CHECKING:",
        ],
    },
    "pyxs/connection.py": {
        "the kernel rounds it up to one of its ticks": [
            'timeval = struct.pack("@ll", *divmod(max( 2, int(seconds * 1e6)), 10**6))',
            'timeval = struct.pack("@ll", *divmod(max(1, int(seconds * 999999.0)), 10**6))',
        ],
    },
    "pyxs/helpers.py": {
        "a path without a domid needs any number up to the limit": [
            "if match is None or int(match.group(1) or 1) > DOMID_MAX:",
            "if match is None or int(match.group(1) or -1) > DOMID_MAX:",
        ],
    },
    "pyxs/_wire/framing.py": {
        "without pieces there is nothing to count": [
            "self.state: Tuple[List[Frame], List[bytes], int, int] = ([], [], 1, 0)",
            "self.state: Tuple[List[Frame], List[bytes], int, int] = ([], [], -1, 0)",
            "self.state = frames, [], 1, 0",
            "self.state = frames, [], -1, 0",
        ],
        "the missing bytes are looked at only when there are counted pieces": [
            "self.state: Tuple[List[Frame], List[bytes], int, int] = ([], [], 0, 1)",
            "self.state: Tuple[List[Frame], List[bytes], int, int] = ([], [], 0, -1)",
            "self.state = frames, [], 0, 1",
            "self.state = frames, [], 0, -1",
        ],
        "the pieces are joined one byte too early": ["if missing > 1:"],
        "the condition of the loop ends it as well": ["continue"],
        "an empty piece is kept": ["if start <= end:"],
    },
    "pyxs/_wire/replies.py": {
        _ONE: ["return texts[ -1]"],
    },
    "pyxs/_xs/arguments.py": {
        "it is the same modulo 2**32": [
            "domid = ((int(number) - 2**31) & UINT32_MASK) - 2**31  # an int in C"
        ],
    },
    "pyxs/_xs/handle.py": {
        "the reply makes it forget the watch too": ["if len(payload) >= self._max_payload:"],
        "a refusal is returned all the same, and no transaction has the number": [
            "if reply[ 1] == ERROR:",
            "if reply[ -1] == ERROR:",
            "return 1",
            "return -1",
        ],
    },
    "pyxs/_channels/channel.py": {
        _SPEED: [
            "_RECV_SIZE = ( 2 << 16,)",
            "_RECV_SIZE = (1 << 17,)",
            "_RECV_SIZE = (1 << 15,)",
            "pieces = self._framer.state[ 0]",
            "alone = len(pieces) == 0 and len(pieces[0]) == HEADER_SIZE and _size_in(pieces[0])[0]",
        ],
        _ONE: [
            "if not (self._polls or pieces) and counts[ -1] == len(data):",
            "if len(pieces[ -1]) == HEADER_SIZE and 0 < _size_in(pieces[0])[0] <= REPLY_MAX:",
            "if len(pieces[0]) == HEADER_SIZE and 0 < _size_in(pieces[ -1])[0] <= REPLY_MAX:",
            "if len(pieces[0]) == HEADER_SIZE and 0 < _size_in(pieces[0])[ -1] <= REPLY_MAX:",
            "alone = len(pieces) == 1 and len(pieces[ -1]) == HEADER_SIZE and "
            "_size_in(pieces[0])[0]",
            "alone = len(pieces) == 1 and len(pieces[0]) == HEADER_SIZE and "
            "_size_in(pieces[ -1])[0]",
            "alone = len(pieces) == 1 and len(pieces[0]) == HEADER_SIZE and "
            "_size_in(pieces[0])[ -1]",
        ],
        "collect() does the same, only slower": [
            # A stream takes a whole request while no other is unanswered.
            "if not (self._polls or pieces) and counts[0] != len(data):",
            "if len(pieces[0]) == HEADER_SIZE and 0 < _size_in(pieces[0])[0] < REPLY_MAX:",
            "if len(pieces[0]) == HEADER_SIZE and 1 < _size_in(pieces[0])[0] <= REPLY_MAX:",
            "size = len(message) + HEADER_SIZE",
            "if size >= 1 and message.startswith(_pack(op, rq_id, tx_id, size)):",
            "if size > 0 and message.startswith(_pack(op, rq_id, tx_id, size)):",
            "if may_block and alone and  self._polls:",
        ],
        "no WATCH is sent with other requests, and no other type matters": [
            "if not self._take_refusal(exc, messages[0][ 1], due, answers):",
            "if not self._take_refusal(exc, messages[0][ -1], due, answers):",
            "if not self._take_refusal(exc, messages[ -1][0], due, answers):",
        ],
        "a channel that cannot be used is not put back": [
            "if self._in_doubt or sum(counts) not in (0, len(data)) and not self.is_usable():",
        ],
        "nobody looks at the transaction in an answer": [
            "answers[rq_id] = ERROR, rq_id, 1, refused",
            "answers[rq_id] = ERROR, rq_id, -1, refused",
        ],
        "who wants to wait says so, and a call that may not waits in poll()": [
            "def receive_events(self, may_block: bool = True) -> None:",
        ],
    },
    "pyxs/_channels/deadlines.py": {
        "the system delays a wait by more than this": [
            "return int(max(0.0, deadline - time.monotonic()) * 1001 + 0.999)",
            "return int(max(0.0, deadline - time.monotonic()) * 999 + 0.999)",
            "return int(max(0.0, deadline - time.monotonic()) * 1000 + 1.999)",
            "return int(max(0.0, deadline - time.monotonic()) * 1000 - 0.999)",
            "return int(max(0.0, deadline - time.monotonic()) * 1000 + -0.0010000000000000009)",
        ],
        "no two moments are the same": [
            "return deadline is not None and time.monotonic() > deadline"
        ],
    },
    "pyxs/_channels/descriptor.py": {
        _OLD: ["if not raised_by_handler(exc):"],
        "in its own process the file has its own number": [
            "if self._pid == os.getpid() and self._identity == _identity(file.fileno()):"
        ],
    },
    "pyxs/_channels/failures.py": {_SPEED: ["if len(codes) < 1:"]},
    "pyxs/_channels/inbox.py": {
        "without a request, there is none whose reply it could be": [
            "key = rq_id if self._trusts_ids else next(iter(due), 1)",
            "key = rq_id if self._trusts_ids else next(iter(due), -1)",
            "wanted, _, in_tx = due.get(key, (None, 1, 0))",
            "wanted, _, in_tx = due.get(key, (None, -1, 0))",
            "wanted, _, in_tx = due.get(key, (None, 0, 1))",
            "wanted, _, in_tx = due.get(key, (None, 0, -1))",
        ],
        "nobody looks at events that are dropped": [
            "self.events = deque(maxlen=1) if events is None else events",
        ],
    },
    "pyxs/_channels/pipeline.py": {
        _SPEED: [
            "self._half = channel.max_outstanding // 1",
            "self._advance( -1)",
            "self._advance( 1)",
            "self._advance(len(self._due) - 0)",
            "self._advance(len(self._due) + 1)",
            "self._advance(len(self._due) - 2)",
            "self.channel.collect(self._due, self._answers, max(0, min(left, len(self._due) - 2)))",
        ],
    },
    "pyxs/_channels/pool.py": {
        "a call looks into every slot": [
            "channel = idle.pop( 1, None) or self._take(idle)",
            "channel = idle.pop( -1, None) or self._take(idle)",
            "if idle.setdefault( 1, channel) is not channel:",
        ],
    },
    "pyxs/_channels/readiness.py": {
        "one call takes all that is in the buffer": [
            "while self._reader.file.recv( 4097):",
            "while self._reader.file.recv( 4095):",
            "while not self._reader.file.recv(4096):",
        ],
    },
    "pyxs/_channels/settling.py": {
        _TIME: ["_GRACE = 1.1  # seconds to wait for the replies that are due"],
    },
    "pyxs/_channels/shared.py": {
        _TIME: ["_CLOSE_WITHIN = 2  # seconds for a call in progress to leave"],
    },
    "pyxs/_channels/streams.py": {_TIME: ["_BRIEFLY = 1.01  # seconds"]},
    "pyxs/_channels/transaction.py": {
        "transaction() sets it, and nobody looks at it elsewhere": [
            "self.is_used = False  "
            "#: whether a request was made; transaction() sets it to False first",
        ],
    },
    "pyxs/_channels/turns.py": {
        "a call that is alone has its turn at once, in _wait() too": [
            "has_turn = len(queue) == 0 or self._wait(turn, deadline)",
        ],
        "a call that has ended loses its turn all the same": ["has_turn = True"],
        "it looks at the whole queue": ["if len(self._queue) == 0:"],
        "who is woken looks whether it is the first": ["for first in self._waiting()[: 2]:"],
        _TIME: [
            "patience = max( 1.0, min(patience, deadline - time.monotonic()))",
            "_LOOK_AGAIN = 2.0  # seconds; in case that an interrupted call has woken nobody",
            "_LOOK_AGAIN = 0.0  # seconds; in case that an interrupted call has woken nobody",
        ],
    },
    "pyxs/_channels/waiting.py": {
        _TIME: [
            "_ASK = 2.0  # seconds for the answer if the timeout is 0: it asks once all the same"
        ],
    },
    "pyxs/_channels/watching.py": {
        _ONE: ["watch = self._watch_of(held[ -1])"],
        "the daemon refuses it too": [
            'def watch(self, watch: Watch, renew: bool = False, once: bool = True) -> "Reply":',
        ],
        "only a difference counts": [
            "self._closings = 1",
            "self._closings = -1",
            "self._closings += 2",
        ],
        "a test kills the other one; after this one the wait looks again": ["break"],
        _OLD: [
            "shared = self._here() if self._pid == os.getpid() else self._shared",
            "shared = self._here() if not self._pid != os.getpid() else self._shared",
        ],
    },
    "pyxs/_channels/walk.py": {
        _SPEED: [
            "_WINDOW = 65  # requests",
            "_WINDOW = 63  # requests",
            "_AHEAD_MAX = 63",
            "self._flying_max = _WINDOW // ( 4 if for_records else 2)  # nodes",
            "self._flying_max = _WINDOW // (3 if for_records else 3)  # nodes",
            "self._ahead = 1  # sent and not visited",
            "elif each.listing.reply is not None and  each.listing.refusal:",
            "todo.extend(reversed(list((self._children(each) and {}).values())))",
            "self._flying_max = _WINDOW // (3 if for_records else 1)  # nodes",
            "self._flying_max = _WINDOW // ( 2 if for_records else 2)  # nodes",
            "self._flying_max = _WINDOW // (3 if not for_records else 2)  # nodes",
            "room = min(self._flying_max + len(flying), _AHEAD_MAX - self._ahead)",
            "while flying and flying[ -1].reading.reply is not None:",
            "if node.asked and room <= self._flying_max // 2:",
            "if node.asked and room < self._flying_max // 3:",
            "if node.asked and room < self._flying_max // 1:",
            "nodes = list(itertools.islice(self._unasked(node), max(room, 2)))",
        ],
    },
    "pyxs/xenstored/_tree.py": {
        "the owner of a node is another domain": [
            "if any(entry.domid != domid for entry in node.perms):",
        ],
        "generations need only differ": [
            "self._generation = 1",
            "self._generation = -1",
            "self._generation += 2",
        ],
    },
    "pyxs/xenstored/requests.py": {
        "no daemon has a feature for bit 0": ["domain.features = features & 4294967294"],
        "an empty rest makes the same reply": ["if not 0 <= offset <= len(listing):"],
        "no name is empty, so a listing does not begin with NUL": [
            r'return reply + rest[: rest.rfind(b"\0", 1, room) + 1]'
        ],
        _ONE: [
            "depth = number(rest[ -1])",
            "domid = request.domid(strings[ -1])",
            "limits = request.store.domains.existing(request.domid(rest[ -1])).limits",
        ],
        "none has less than 0": [
            "strings = request.strings( -1)",
            "strings = request.strings( -1, 2)",
        ],
    },
}

# One replacement for each operator is enough to show that the operator matters.
_LEFT_OUT = [
    r"core/ReplaceBinaryOperator_(?!Add_Sub|Sub_Add|Mul_Div|Mod_Mul|BitAnd_BitOr|BitOr_BitAnd)",
    r"core/ReplaceComparisonOperator_"
    r"(?!Eq_NotEq|NotEq_Eq|Gt_GtE|GtE_Gt|Lt_LtE|LtE_Lt|Is_IsNot|IsNot_Is)",
    r"core/ReplaceUnaryOperator_USub",
    r"core/RemoveDecorator",
]

# No test of these takes a tenth of the time limit, so one that exceeds it hangs.
_PYTEST = sys.executable + " -m pytest -x -q -p no:cacheprovider --timeout=30 -m not(thorough)"

_CONFIG = """
[cosmic-ray]
module-path = "{module}"
timeout = 600.0
test-command = "{tests}"

[cosmic-ray.distributor]
name = "local"

[cosmic-ray.filters.operators-filter]
exclude-operators = {left_out}
"""


def main(modules):
    unknown = set(modules) - set(TESTS)
    if unknown:
        sys.exit("mutants: not in TESTS: " + ", ".join(sorted(unknown)))
    left = [survivors(module) for module in modules or TESTS]
    return int(any(left))


def survivors(module):
    """Make the mutants of a module, run the tests on each, and show those that survive."""
    tests = " ".join([_PYTEST] + ["tests/" + name for name in TESTS[module].split()])
    with tempfile.TemporaryDirectory(prefix="pyxs-mutants-") as directory:
        work = Path(directory)
        for name in ("pyxs", "tests"):
            shutil.copytree(str(CHECKOUT / name), str(work / name))
        shutil.copy(str(CHECKOUT / "pyproject.toml"), directory)
        (work / "config.toml").write_text(
            _CONFIG.format(module=module, tests=tests, left_out=json.dumps(_LEFT_OUT))
        )
        for command in (
            tests,  # the tests must pass without a mutant
            "cosmic-ray init config.toml session.sqlite",
            "cr-filter-operators session.sqlite config.toml",
            "cosmic-ray exec config.toml session.sqlite",
        ):
            run(command, work)
        results = run("cosmic-ray dump session.sqlite", work, stdout=subprocess.PIPE).stdout
    return report(module, [json.loads(line)[1] for line in results.splitlines()])


def run(command, directory, **options):
    environ = dict(
        os.environ,
        PYTHONPATH=str(directory),
        PYTHONDONTWRITEBYTECODE="1",  # a mutant may be made within the clock's resolution
        PYXS_CONFORMANCE="memory",
    )
    return subprocess.run(command.split(), cwd=str(directory), env=environ, check=True, **options)


def report(module, results):
    made = [result for result in results if result and result["worker_outcome"] == "normal"]
    alive = [result["diff"] for result in made if result["test_outcome"] == "survived"]
    unexplained = [diff for diff in alive if not changes_nothing(module, mutated_line(diff))]
    for diff in unexplained:
        print(diff)
    print(
        "{}: {} mutants, {} killed, {} equivalent, {} to be killed".format(
            module,
            len(made),
            len(made) - len(alive),
            len(alive) - len(unexplained),
            len(unexplained),
        ),
        flush=True,
    )
    return unexplained


def changes_nothing(module, line):
    return any(
        line in lines for name in (module, "any") for lines in EQUIVALENT.get(name, {}).values()
    )


def mutated_line(diff):
    added = [line for line in diff.splitlines() if line[:1] == "+" and line[:3] != "+++"]
    return "\n".join(line[1:].strip() for line in added).strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
