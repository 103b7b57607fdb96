"""The same random commands through ``Client`` and ``Monitor`` on every daemon at once.

The in-memory daemon must do exactly what the C daemon does. The OCaml daemon may differ as
``conformance/differences.py`` says:

* Its transactions see the store as it was at their start; in the C daemon they see each node as it
  is when they first use it. It also commits more transactions. After a change outside, the test
  does not compare results of a running transaction, and it empties all stores after the commit.
* It sends an event for each request of a transaction, and for watches of missing nodes whose
  parent is removed. In these cases it may send more events, but not fewer.
* It sends events in another order, and sends an event again where the C daemon merges it with an
  equal one in the queue.

``PYXS_LONG=1`` makes 2,000 runs of 50 steps.
"""

import os

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    multiple,
    rule,
    run_state_machine_as_test,
)

import daemons
import pyxs
from common import PATIENCE
from conformance import outcome
from conformance.differences import DIFFERENCES
from conftest import skip_or_fail

LONG = bool(os.environ.get("PYXS_LONG"))

TOP = "/m"
#: The test writes this node after each command; its event follows all others.
FENCE = "/fence"
PATHS = [TOP + rest for rest in ("", "/a", "/a/b", "/a/b/c", "/a/d", "/e", "/e/f", "/g/h/i")]
CLIENTS = (0, 1)

paths = st.sampled_from(PATHS)
clients = st.sampled_from(CLIENTS)
values = st.sampled_from(["", "1", "two", "three\nlines\n", "\u20ac", b"\xff\0x", "x" * 1000])
permissions = st.lists(
    st.sampled_from(["n0", "r0", "b1", "w2", "r7", "n1"]), min_size=1, max_size=3
)
wpaths = st.sampled_from(PATHS + ["/", "@introduceDomain"])
tokens = st.sampled_from(["t", "u", None])


class World:
    """A daemon and its clients."""

    def __init__(self, daemon):
        self.kind = daemon.kind
        self.path = daemon.path
        self.clients = [pyxs.Client(self.path, socket_timeout=PATIENCE) for _ in CLIENTS]
        self.monitors = [pyxs.monitor(self.path, socket_timeout=PATIENCE) for _ in CLIENTS]
        self.transactions = {}
        self.clients[0].write(FENCE, "")
        for monitor in self.monitors:
            self.watch_fence(monitor)

    def empty(self):
        """Remove all nodes, and take all events."""
        for transaction in self.transactions.values():
            transaction.close()
        self.transactions.clear()
        self.clients[0].rm(TOP)
        self.events()

    def user(self, client, number):
        """Return the client, or its transaction of that number."""
        return self.clients[client] if number is None else self.transactions[number]

    def events(self):
        """Return the events of each monitor for all that has happened so far."""
        self.clients[0].write(FENCE, "")
        return [self.heard(monitor) for monitor in self.monitors]

    def heard(self, monitor):
        events = []
        while True:
            event = monitor.wait(timeout=PATIENCE)
            assert event is not None, "only {} came".format(events)
            if event.token == FENCE:
                return events
            if event.path != FENCE:
                events.append(event)

    def reset_watches(self, index):
        self.monitors[index].reset_watches()
        self.watch_fence(self.monitors[index])

    def watch_fence(self, monitor):
        monitor.watch(FENCE, FENCE)
        assert monitor.wait(timeout=PATIENCE) == (FENCE, FENCE)

    def close(self):
        self.empty()
        for each in self.clients + self.monitors:
            each.close()


class SameCommands(RuleBasedStateMachine):
    """Hypothesis picks the commands; each runs in every world."""

    started = {}  # by kind: the daemon that all runs use

    transactions = Bundle("transactions")

    def __init__(self):
        super().__init__()
        self.worlds = [World(daemon) for daemon in self.started.values()]
        self.running = {}  # by number: the client, and whether the store changed outside
        self.last_number = 0

    def teardown(self):
        for world in self.worlds:
            world.close()

    # What is compared

    def run(self, command, comparable=True, more_events=False):
        """Run a command in every world and compare; return all results."""
        results = {world.kind: outcome(command, world) for world in self.worlds}
        events = {world.kind: world.events() for world in self.worlds}
        assert results["memory"] == results["c"]
        assert events["memory"] == events["c"]
        if comparable:
            assert results["ocaml"] == results["c"]
            for c, ocaml in zip(events["c"], events["ocaml"]):
                if more_events:
                    assert set(c) <= set(ocaml)
                else:
                    assert set(c) == set(ocaml)
        return results

    def change(self, client, number, command, more_events=False):
        """Run a command that may change the store, outside of transactions or in one."""
        if number is not None:
            self.query(client, number, command)
            return
        self.run(lambda world: command(world.clients[client]), more_events=more_events)
        self.running = {each: (owner, True) for each, (owner, _) in self.running.items()}

    def query(self, client, number, command):
        comparable = number is None or not self.running[number][1]
        client = client if number is None else self.running[number][0]
        self.run(lambda world: command(world.user(client, number)), comparable)

    # Nodes

    someone = st.one_of(st.none(), transactions)

    @rule(client=clients, number=someone, path=paths, value=values)
    def write(self, client, number, path, value):
        self.change(client, number, lambda c: c.write(path, value))

    @rule(client=clients, number=someone, path=paths)
    def mkdir(self, client, number, path):
        self.change(client, number, lambda c: c.mkdir(path))

    @rule(client=clients, number=someone, path=paths)
    def rm(self, client, number, path):
        difference = DIFFERENCES["events of a missing node whose parent is removed"]
        self.change(client, number, lambda c: c.rm(path), difference.c != difference.ocaml)

    @rule(client=clients, number=someone, path=paths, perms=permissions)
    def set_permissions(self, client, number, path, perms):
        self.change(client, number, lambda c: c.set_permissions(path, perms))

    @rule(client=clients, number=someone, items=st.dictionaries(paths, values, max_size=5))
    def write_many(self, client, number, items):
        self.change(client, number, lambda c: c.write_many(items))

    @rule(client=clients, number=someone, path=paths)
    def read(self, client, number, path):
        self.query(client, number, lambda c: c.read(path))

    @rule(client=clients, number=someone, path=paths)
    def exists(self, client, number, path):
        self.query(client, number, lambda c: c.exists(path))

    @rule(client=clients, number=someone, path=paths)
    def ls(self, client, number, path):
        self.query(client, number, lambda c: sorted(c.ls(path)))

    @rule(client=clients, number=someone, path=paths)
    def get_permissions(self, client, number, path):
        self.query(client, number, lambda c: c.get_permissions(path))

    @rule(client=clients, number=someone)
    def read_many(self, client, number):
        self.query(client, number, lambda c: c.read_many(PATHS, None))

    @rule(client=clients, number=someone, path=paths, topdown=st.booleans())
    def walk(self, client, number, path, topdown):
        def visits(c):
            visits = list(c.walk(path, topdown))
            order = [each for each, _, _ in visits]
            for each in order[1:] if topdown else order[:-1]:
                above = each.rpartition("/")[0]
                assert (order.index(above) < order.index(each)) == topdown
            return sorted((each, value, sorted(children)) for each, value, children in visits)

        self.query(client, number, visits)

    # Transactions

    @rule(target=transactions, client=clients)
    def start(self, client):
        if len(self.running) >= 4:
            return multiple()
        self.last_number = number = self.last_number + 1
        for world in self.worlds:
            world.transactions[number] = world.clients[client].transaction()
        self.running[number] = client, False
        return number

    @rule(number=consumes(transactions), commit=st.booleans())
    def end(self, number, commit):
        overtaken = self.running.pop(number)[1]
        results = self.run(
            lambda world: world.transactions.pop(number).transaction_end(commit),
            comparable=not (overtaken and commit),
            more_events=True,
        )
        assert commit or results["c"] is None
        if commit and results["c"] is None:
            self.running = {each: (owner, True) for each, (owner, _) in self.running.items()}
        if commit and overtaken:
            self.make_equal()

    def make_equal(self):
        """Empty every store; for running transactions that is a change outside."""
        for world in self.worlds:
            world.clients[0].rm(TOP)
            world.events()
        self.running = {each: (owner, True) for each, (owner, _) in self.running.items()}

    # Watches

    @rule(client=clients, wpath=wpaths, token=tokens)
    def watch(self, client, wpath, token):
        self.run(lambda world: world.monitors[client].watch(wpath, token))

    @rule(client=clients, wpath=wpaths, token=tokens)
    def unwatch(self, client, wpath, token):
        self.run(lambda world: world.monitors[client].unwatch(wpath, token))

    @rule(client=clients)
    def reset_watches(self, client):
        self.run(lambda world: world.reset_watches(client))


@pytest.fixture
def every_daemon(start_daemon):
    for kind in daemons.KINDS:
        reason = daemons.missing(kind)
        if reason is not None:
            skip_or_fail(reason)
    SameCommands.started = {kind: start_daemon(kind) for kind in daemons.KINDS}
    yield
    SameCommands.started = {}


@pytest.mark.timeout(7200 if LONG else 300)
@pytest.mark.usefixtures("every_daemon")
def test_every_daemon_does_the_same():
    run_state_machine_as_test(
        SameCommands,
        settings=settings(
            max_examples=2000 if LONG else 25,
            stateful_step_count=50 if LONG else 25,
            deadline=None,
            derandomize=not LONG,  # the same examples each time in CI, new ones in the long form
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize("daemon", ["memory", "c"], indirect=True)
def test_a_child_removed_outside_and_written_again_in_a_transaction(daemon):
    # The random commands found this: the in-memory daemon ended the connection.
    with pyxs.Client(daemon.path, socket_timeout=PATIENCE) as client:
        client.write("/m/a/b/c", 1)
        transaction = client.transaction()
        transaction.read("/m/a")
        client.rm("/m/a/b")
        transaction.write("/m/a/b/c", 2)
        assert transaction.ls("/m/a") == ["b", "b"]
        assert outcome(transaction.rm, "/m/a") == "EIO"
        assert transaction.exists("/m/a")
        assert not transaction.exists("/m/a/b")
        assert outcome(transaction.transaction_end) == "EAGAIN"
