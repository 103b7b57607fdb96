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
_CONVERSATION = (
    "test_conversation.py test_monitor.py test_client.py test_connection.py test_compat.py "
    "faults/test_handlers.py faults/test_hostile_daemon.py faults/test_forks.py "
    "faults/test_threads.py faults/test_signals.py conformance faults/test_nested.py "
    "faults/test_interleavings.py faults/test_interruptions.py"
)
_XS = "test_compat.py faults/test_handlers.py faults/test_forks.py"

#: By module: the tests that should fail, in the order in which they run: those that are quick
#: and fail for most mutants come first.
TESTS = {
    "pyxs/helpers.py": "test_helpers.py test_messages.py test_client.py",
    "pyxs/_wire/framing.py": "test_wire.py test_connection.py",
    "pyxs/_wire/packets.py": "test_wire.py test_connection.py",
    "pyxs/_wire/replies.py": "test_messages.py test_client.py faults/test_hostile_daemon.py",
    "pyxs/_wire/requests.py": "test_messages.py test_client.py",
    "pyxs/_wire/stream.py": "test_connection.py test_monitor.py faults/test_handlers.py",
    "pyxs/_xs/arguments.py": _XS,
    "pyxs/_xs/handle.py": _XS,
    "pyxs/xenstored/store.py": _STORE,
    "pyxs/xenstored/_tree.py": _STORE,
    "pyxs/xenstored/requests.py": _STORE,
    "pyxs/_conversation/conversation.py": _CONVERSATION,
    "pyxs/_conversation/events.py": _CONVERSATION,
    "pyxs/_conversation/inbox.py": _CONVERSATION,
    "pyxs/_conversation/lifetime.py": _CONVERSATION,
    "pyxs/_conversation/link.py": _CONVERSATION,
    "pyxs/_conversation/outbox.py": _CONVERSATION,
    "pyxs/_conversation/readiness.py": (
        "test_readiness.py test_monitor.py test_connection.py test_compat.py "
        "faults/test_handlers.py faults/test_forks.py conformance"
    ),
    "pyxs/_conversation/request.py": _CONVERSATION,
    "pyxs/_conversation/roles.py": _CONVERSATION,
    "pyxs/_conversation/turns.py": _CONVERSATION,
    "pyxs/_conversation/walk.py": (
        "test_client.py faults/test_hostile_daemon.py conformance test_snapshot.py"
    ),
    "pyxs/_conversation/watching.py": _CONVERSATION,
}

_ONE = "there is only one"
_SPEED = "how much goes at once is a matter of speed"
_WOKEN = "a thread that is woken for nothing sleeps again"

#: Mutants that change nothing a test could see: by module, why, and the lines as mutated.
EQUIVALENT = {
    "any": {
        "it imports modules that only annotations need": [
            "TYPE_CHECKING = True",
            "if not TYPE_CHECKING:",
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
    "pyxs/_wire/stream.py": {
        "the two are equal": ["if deadline is not None and (due is None or deadline <= due):"],
        "the system delays a wait by more than this": [
            "ready = dict(self._poll.poll(None if timeout is None else int(timeout * 1001 + 0.999)))",  # noqa: E501
            "ready = dict(self._poll.poll(None if timeout is None else int(timeout * 999 + 0.999)))",  # noqa: E501
            "ready = dict(self._poll.poll(None if timeout is None else int(timeout * 1000 + 1.999)))",  # noqa: E501
        ],
        _SPEED: [
            "_RECV_SIZE = 2 << 16",
            "_RECV_SIZE = 1 << 17",
            "_RECV_SIZE = 1 << 15",
        ],
    },
    "pyxs/_conversation/conversation.py": {
        _SPEED: [
            "self._some = max( 2, connection.max_outstanding // 2)",
            "self._some = max(1, connection.max_outstanding // 1)",
        ],
        _ONE: [
            "return bool(self.failures) and exc.__cause__ is self.failures[ -1]",
            "return made[ -1]",
        ],
        "both slices are empty": ["self.wait_all(requests[max( -1, start - some) : start])"],
    },
    "pyxs/_conversation/events.py": {
        _WOKEN: ["return True"],
        _ONE: [
            "if self._is_live(hold[ -1]):",
            "self.queue.appendleft(hold[- 0])",
        ],
        "only without a GIL another thread changes the queue while it is copied": [
            "except CosmicRayTestingException as exc:  # without a GIL, another thread may change it meanwhile",  # noqa: E501
            "if  raised_here(exc):",
            "if not not raised_here(exc):",
        ],
        "the condition of the loop ends it too": ["continue  # another thread has taken it"],
    },
    "pyxs/_conversation/inbox.py": {
        _WOKEN: ["if wanted or self._roles.sleepers:"],
    },
    "pyxs/_conversation/lifetime.py": {
        _ONE: [
            "first = self.failures[ -1]",
            "self.fail(me, self.failures[ -1])",
        ],
        "no test meets the very instant": [
            "left = -1 if due is None else max( -1.0, due - time.monotonic())",
        ],
    },
    "pyxs/_conversation/link.py": {
        "the slow way finds the same conversation": [
            "if conversation is None or conversation.failures or conversation.pid == os.getpid():"
        ],
        _WOKEN: [
            "roles.sleep(me, lambda: _CONNECT in roles, 1)",
            "roles.sleep(me, lambda: _CONNECT in roles, - 0)",
        ],
    },
    "pyxs/_conversation/outbox.py": {
        "the longer way sends the same": [
            "if len(waiting) == 2 and not (pending or waiting[0].abandoned):",
            "if len(waiting) == 0 and not (pending or waiting[0].abandoned):",
        ],
        _ONE: [
            "if len(waiting) == 1 and not (pending or waiting[ -1].abandoned):",
            "batch.append(waiting[ -1])",
        ],
        "flush() calls again, as there is a batch": [
            "if  batch:",
            "if not not batch:",
        ],
        "identifiers begin with 1": [
            "if request.rq_id < 1:",
            "if request.rq_id <= 0:",
        ],
        "only XenBus refuses a request, and takes one at a time": [
            "self._refuse(batch[ -1], answer)"
        ],
        "requests need only have different identifiers": [
            "_IDS = range( 2, 2**32)  # uint32_t req_id, xs_wire.h",
            "_IDS = range( 0, 2**32)  # uint32_t req_id, xs_wire.h",
        ],
        "then flush() finds nothing to send": [
            "return True  # another thread has sent it",
            "return True",
            "return True  # a malformed reply: there is nothing to undo",
        ],
    },
    "pyxs/_conversation/readiness.py": {
        "no state has a descriptor under 0": ["_CLOSED = (True, -1)", "_CLOSED = (False, - 2)"],
        _SPEED: [
            "self._reader.recv( 4097)",
            "self._reader.recv( 4095)",
        ],
    },
    "pyxs/_conversation/request.py": {
        "any negative number says so": ["self.rq_id = - 2  # until it is sent"],
        "any other number says so": ["rq_id = 1  # it needs no sending"],
    },
    "pyxs/_conversation/turns.py": {
        "no test meets the very instant": [
            "if due is None or time.monotonic() <= due:",
            "while not (waiter.answer or self._failures) and (waiter.rq_id >= -1 or self._pending):",  # noqa: E501
        ],
        "a thread that looks again and again, until the other one has sent, gets the same": [
            "if waiter.rq_id < -1 and SEND in roles:",
        ],
        "identifiers begin with 1": [
            "if request.answer is None and request.rq_id >= 1 and not self._connection.trusts_ids:",
            "if request.answer is None and request.rq_id > 0 and not self._connection.trusts_ids:",
        ],
        _WOKEN: [
            "if roles.sleepers or READ not in roles:",
            "return 1 if deadline is None else max(0.0, deadline - time.monotonic())",
        ],
    },
    "pyxs/_conversation/walk.py": {
        _SPEED: [
            "_WINDOW = 65  # requests",
            "_WINDOW = 63  # requests",
            "_AHEAD_MAX = 63",
            "self._flying_max = _WINDOW // ( 4 if for_records else 2)  # nodes",
            "self._flying_max = _WINDOW // (3 if for_records else 3)  # nodes",
            "self._ahead = 1  # sent and not visited",
            "while flying and flying[ -1].reading.answer is not None:",
            "if node.asked() and room <= self._flying_max // 2:",
            "if node.asked() and room < self._flying_max // 3:",
            "if node.asked() and room < self._flying_max // 1:",
            "nodes = list(itertools.islice(self._unasked(node), max(room, 2)))",
        ],
    },
    "pyxs/_xs/arguments.py": {
        "it is the same modulo 2**32": [
            "domid = ((int(number) - 2**31) & UINT32_MASK) - 2**31  # an int in C"
        ],
    },
    "pyxs/_xs/handle.py": {
        "watches with one token take each other's events": [
            "self._conversation.events.discard(known[- 0])"
        ],
        "watches with one token have one label": ["return decode_text(path), watches[ -1].label"],
    },
    "pyxs/xenstored/_tree.py": {
        "generations need only differ": [
            "self._generation = 1",
            "self._generation = -1",
            "self._generation += 2",
        ],
    },
    "pyxs/xenstored/requests.py": {
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
# cosmic-ray makes it the leader of a session. So a terminal that a test opens becomes its own,
# and closing that terminal would end it by SIGHUP, as if the mutant had been killed.
_PYTEST = (
    "nohup " + sys.executable + " -m pytest -x -q -p no:cacheprovider --timeout=30 -m not(thorough)"
)

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
