"""The store of the in-memory daemon, without sockets.

``test_xenstored_like_c.py`` compares the store with the C daemon. These tests are of guests, of
requests that Xen 4.17 does not know, and of requests that would end the C
daemon.
"""

import os
import random
import re
import subprocess
import sys
import tracemalloc

import pytest

from pyxs._wire.framing import Framer
from pyxs._wire.packets import Op, packet_from_wire
from pyxs.xenstored import requests
from pyxs.xenstored.store import Store

HOME = b"/local/domain/1"


class Speaker:
    """A session, its requests and its events."""

    def __init__(self, store, domid):
        self.store = store
        self.session = store.connect(domid)
        self._framer = Framer()
        self._events = []

    def ask(self, op, *strings, tx_id=0):
        """Return the payload of the reply, or the name of the errno as ``str``."""
        return self.send(op, b"".join(string + b"\0" for string in strings), tx_id)

    def send(self, op, payload, tx_id=0):
        packet = packet_from_wire(op, 7, tx_id, payload)
        requests.answer(self.store, self.session, packet)
        replies = [packet for packet in self._received() if packet.op != Op.WATCH_EVENT]
        assert [(reply.rq_id, reply.tx_id) for reply in replies] == [(7, tx_id)]
        (reply,) = replies
        return reply.payload[:-1].decode() if reply.op == Op.ERROR else reply.payload

    def heard(self):
        """Return the events since the last call."""
        self._received()
        events, self._events = self._events, []
        return events

    def _received(self):
        packets = []
        while self.session.has_output:
            packets += self._framer.feed(self.session.take_output(1 << 16))
        self._events += [packet.payload for packet in packets if packet.op == Op.WATCH_EVENT]
        return packets

    def write(self, path, value=b"", tx_id=0):
        return self.send(Op.WRITE, path + b"\0" + value, tx_id)

    def read(self, path, tx_id=0):
        return self.ask(Op.READ, path, tx_id=tx_id)

    def begin(self):
        return int(self.ask(Op.TRANSACTION_START, b"")[:-1])

    def commit(self, tx_id):
        return self.ask(Op.TRANSACTION_END, b"T", tx_id=tx_id)

    def watch(self, path, token=b"t", *depth):
        answer = self.ask(Op.WATCH, path, token, *depth)
        self.heard()
        return answer

    def set_perms(self, path, *perms):
        return self.ask(Op.SET_PERMS, path, *perms)


OK = b"OK\0"


@pytest.fixture
def store():
    return Store()


@pytest.fixture
def dom0(store):
    return Speaker(store, 0)


@pytest.fixture
def guest(store, dom0):
    """Domain 1, with a home of its own as a toolstack makes one."""
    store.introduce(1)
    dom0.write(HOME)
    dom0.set_perms(HOME, b"r1")
    return Speaker(store, 1)


@pytest.fixture
def other(store, guest):
    """Domain 2, which has no home."""
    store.introduce(2)
    return Speaker(store, 2)


def test_mkdir_creates_a_node_that_is_missing_and_leaves_one_that_exists_alone(guest):
    guest.watch(b"key")
    assert guest.ask(Op.MKDIR, b"key") == OK
    assert guest.read(b"key") == b""
    assert guest.heard() == [b"key\0t\0"]
    guest.write(b"key", b"value")
    guest.heard()
    assert guest.ask(Op.MKDIR, b"key") == OK
    assert guest.read(b"key") == b"value"
    assert guest.heard() == []


# Relative paths


def test_a_guest_s_relative_paths_begin_at_its_home(guest, dom0):
    guest.write(b"data/key", b"value")
    assert dom0.read(HOME + b"/data/key") == b"value"
    assert guest.ask(Op.DIRECTORY, b"data") == b"key\0"


def test_a_relative_watch_reports_relative_paths_and_an_absolute_one_absolute_ones(guest, dom0):
    guest.watch(b"data", b"relative")
    guest.watch(HOME + b"/data", b"absolute")
    dom0.write(HOME + b"/data/key")
    assert guest.heard() == [b"data/key\0relative\0", HOME + b"/data/key\0absolute\0"]


def test_a_relative_and_an_absolute_watch_of_one_node_are_the_same_watch(guest):
    guest.watch(b"data", b"t")
    assert guest.ask(Op.WATCH, HOME + b"/data", b"t") == "EEXIST"
    assert guest.ask(Op.UNWATCH, HOME + b"/data", b"t") == OK


# Permissions


def test_a_guest_may_not_read_or_write_nodes_of_dom0(guest, dom0):
    dom0.write(b"/secret", b"value")
    assert guest.read(b"/secret") == "EACCES"
    assert guest.ask(Op.DIRECTORY, b"/secret") == "EACCES"
    assert guest.ask(Op.GET_PERMS, b"/secret") == "EACCES"
    assert guest.write(b"/secret", b"other") == "EACCES"
    assert guest.ask(Op.MKDIR, b"/secret") == "EACCES"
    assert guest.ask(Op.RM, b"/secret") == "EACCES"
    assert dom0.read(b"/secret") == b"value"


@pytest.mark.parametrize(
    ("perm", "may_read", "may_write"),
    [(b"n2", False, False), (b"r2", True, False), (b"w2", False, True), (b"b2", True, True)],
)
def test_an_entry_gives_a_domain_what_it_says(guest, other, perm, may_read, may_write):
    guest.write(b"key", b"value")
    guest.set_perms(b"key", b"n1", perm)
    path = HOME + b"/key"
    assert other.read(path) == (b"value" if may_read else "EACCES")
    assert other.write(path, b"new") == (OK if may_write else "EACCES")


def test_the_first_entry_is_for_everyone_without_an_entry(guest, other, dom0):
    guest.write(b"key", b"value")
    guest.set_perms(b"key", b"r1", b"n2")
    dom0.store.introduce(3)
    assert Speaker(dom0.store, 3).read(HOME + b"/key") == b"value"
    assert other.read(HOME + b"/key") == "EACCES"


def test_the_owner_and_dom0_may_do_everything_whatever_the_entries_say(guest, dom0):
    guest.write(b"key", b"value")
    guest.set_perms(b"key", b"n1")
    assert guest.read(b"key") == dom0.read(HOME + b"/key") == b"value"
    assert guest.write(b"key", b"new") == OK


def test_a_guest_owns_the_nodes_it_creates_with_the_parent_s_entries(guest, other):
    guest.write(b"shared")
    guest.set_perms(b"shared", b"n1", b"b2")
    assert other.write(HOME + b"/shared/deep/key") == OK
    for path in (b"/shared/deep", b"/shared/deep/key"):
        assert other.ask(Op.GET_PERMS, HOME + path) == b"n2\0b2\0"


def test_a_node_that_dom0_creates_has_the_parent_s_owner(guest, dom0):
    dom0.write(HOME + b"/device/vif/0")
    assert dom0.ask(Op.GET_PERMS, HOME + b"/device/vif/0") == b"r1\0"


def test_a_guest_without_rights_above_is_not_told_that_a_node_is_missing(guest, dom0):
    assert guest.read(b"/missing") == "EACCES"
    assert guest.read(b"missing") == "ENOENT"
    dom0.write(b"/open")
    dom0.set_perms(b"/open", b"r0")
    assert guest.read(b"/open/missing") == "ENOENT"
    assert guest.write(b"/open/missing") == "EACCES"
    assert guest.set_perms(b"/open/missing", b"n1") == "EACCES"
    dom0.set_perms(b"/open", b"w0")
    assert guest.set_perms(b"/open/missing", b"n1") == "ENOENT"


def test_a_guest_may_remove_a_node_it_may_write_with_all_below_it(guest, other):
    guest.write(b"shared")
    guest.set_perms(b"shared", b"n1", b"b2")
    other.write(HOME + b"/shared/secret")
    other.set_perms(HOME + b"/shared/secret", b"n2")
    assert guest.ask(Op.RM, b"shared/secret") == "EACCES"
    assert guest.ask(Op.RM, b"shared") == OK
    assert other.read(HOME + b"/shared/secret") == "ENOENT"


def test_only_the_owner_sets_permissions_and_cannot_give_the_node_away(guest, other):
    guest.write(b"key")
    guest.set_perms(b"key", b"b1")
    assert other.set_perms(HOME + b"/key", b"b1", b"b2") == "EACCES"
    assert guest.set_perms(b"key", b"n2") == "EPERM"
    assert guest.set_perms(b"key", b"n1", b"r2") == OK
    assert guest.set_perms(b"key", b"n2", b"r1") == "EPERM"
    assert guest.set_perms(b"key", b"n1") == OK


def test_a_domain_acts_on_behalf_of_its_target(guest, other, dom0):
    guest.write(b"key", b"value")
    guest.set_perms(b"key", b"n1")
    assert other.read(HOME + b"/key") == "EACCES"
    dom0.ask(Op.SET_TARGET, b"2", b"1")
    assert other.read(HOME + b"/key") == b"value"
    assert other.set_perms(HOME + b"/key", b"b1") == OK


@pytest.mark.parametrize(
    "op",
    [
        Op.CONTROL,
        Op.INTRODUCE,
        Op.RELEASE,
        Op.RESUME,
        Op.SET_TARGET,
        Op.IS_DOMAIN_INTRODUCED,
        Op.SET_FEATURE,
        Op.SET_QUOTA,
    ],
)
def test_a_guest_is_refused_the_requests_of_dom0(guest, op):
    assert guest.ask(op, b"2", b"1", b"1") == "EACCES"
    assert guest.ask(op, tx_id=77) == "EACCES"


def test_a_domid_that_no_domain_can_have_owns_nothing(dom0):
    dom0.write(b"/key")
    assert dom0.set_perms(b"/key", b"n32751") == OK
    assert dom0.set_perms(b"/key", b"n32752") == "ENOENT"


# Events


def test_a_guest_gets_events_only_of_nodes_it_may_read(guest, other):
    other.watch(HOME)
    guest.write(b"key")
    assert other.heard() == [HOME + b"/key\0t\0"]
    guest.set_perms(b"key", b"n1")
    other.heard()
    guest.write(b"key/below")
    assert other.heard() == []
    guest.set_perms(b"key/below", b"r1")
    assert other.heard() == [HOME + b"/key/below\0t\0"]


def test_a_guest_gets_an_event_when_it_loses_the_right_to_read(guest, other, dom0):
    dom0.write(b"/top/key")
    dom0.set_perms(b"/top/key", b"r0")
    other.watch(b"/top/key")
    dom0.set_perms(b"/top/key", b"n0")
    assert other.heard() == [b"/top/key\0t\0"]
    dom0.write(b"/top/key", b"value")
    assert other.heard() == []


def test_a_guest_gets_no_event_of_permissions_of_a_node_it_could_never_read(guest, other, dom0):
    dom0.write(b"/top/key")
    dom0.set_perms(b"/top", b"n0")
    dom0.set_perms(b"/top/key", b"n0")
    other.watch(b"/top/key")
    dom0.set_perms(b"/top/key", b"n0", b"r1")
    assert other.heard() == []


def test_a_guest_gets_an_event_when_a_node_that_it_could_read_is_removed(guest, other, dom0):
    dom0.write(b"/top/key")
    dom0.set_perms(b"/top", b"n0")
    dom0.set_perms(b"/top/key", b"r0")
    other.watch(b"/top/key")
    dom0.ask(Op.RM, b"/top/key")
    assert other.heard() == [b"/top/key\0t\0"]


def test_a_node_that_was_written_in_a_transaction_and_went_with_its_parent(dom0):
    tx_id = dom0.begin()
    dom0.write(b"/a/b", b"", tx_id)
    assert dom0.commit(tx_id) == OK
    for path in (b"/", b"/a", b"/a/b"):
        dom0.watch(path, path[-1:])
    tx_id = dom0.begin()
    dom0.write(b"/a/b", b"x", tx_id)
    dom0.ask(Op.RM, b"/a", tx_id=tx_id)
    assert dom0.commit(tx_id) == OK
    assert dom0.heard() == [
        *(b"/a/b\0%s\0" % token for token in (b"/", b"a", b"b")),
        *(b"/a\0%s\0" % token for token in (b"/", b"a")),
    ]


@pytest.mark.parametrize(
    ("perms", "changes", "hears"),
    [
        (b"r1", [(Op.SET_PERMS, b"n0\0"), (Op.WRITE, b"")], True),
        (b"r1", [(Op.SET_PERMS, b"n0\0"), (Op.RM, b"")], True),
        (b"r1", [(Op.RM, b""), (Op.WRITE, b"")], True),
        (b"n1", [(Op.SET_PERMS, b"n0\0r1\0"), (Op.RM, b"")], False),
        (b"n1", [(Op.SET_PERMS, b"n0\0r1\0"), (Op.SET_PERMS, b"n0\0")], False),
        (b"n1", [(Op.RM, b""), (Op.WRITE, b"")], False),
    ],
)
def test_a_guest_hears_of_a_transaction_by_what_it_could_read_at_first(
    guest, dom0, perms, changes, hears
):
    dom0.write(b"/key")
    dom0.set_perms(b"/key", b"n0", perms)
    guest.watch(b"/key")
    tx_id = dom0.begin()
    for op, rest in changes:
        assert dom0.send(op, b"/key\0" + rest, tx_id) == OK
    assert dom0.commit(tx_id) == OK
    assert guest.heard() == [b"/key\0t\0"] * hears


def test_the_first_event_comes_even_when_the_guest_may_not_read(guest, dom0):
    dom0.write(b"/secret")
    guest.ask(Op.WATCH, b"/secret", b"t")
    assert guest.heard() == [b"/secret\0t\0"]


def test_a_guest_gets_events_of_domains_only_with_permission(guest, other, dom0, store):
    for name in (b"@introduceDomain", b"@releaseDomain"):
        guest.watch(name)
    store.introduce(5)
    store.release(5)
    assert guest.heard() == []
    for name in (b"@introduceDomain", b"@releaseDomain"):
        assert dom0.set_perms(name, b"n0", b"r1") == OK
    store.introduce(5)
    store.release(5)
    assert guest.heard() == [b"@introduceDomain\0t\0", b"@releaseDomain\0t\0"]
    assert guest.set_perms(b"@introduceDomain", b"n0", b"r2") == "EACCES"


def test_an_event_that_would_be_too_long_is_not_sent(dom0):
    token = b"t" * 3000
    assert dom0.watch(b"/", token) == OK
    dom0.write(b"/" + b"p" * 2000)
    dom0.write(b"/short")
    assert dom0.heard() == [b"/short\0" + token + b"\0"]


def test_an_event_that_just_fits_a_message_is_sent(dom0):
    token = b"t" * 3000
    assert dom0.watch(b"/", token) == OK
    longest = b"/".ljust(4096 - len(token) - 2, b"p")
    dom0.write(longest)
    dom0.write(longest + b"p")
    assert dom0.heard() == [longest + b"\0" + token + b"\0"]


# The end of a domain


def test_a_released_domain_s_nodes_go_with_all_below_them(guest, dom0):
    dom0.write(b"/backend/of-1/state")
    dom0.set_perms(b"/backend/of-1", b"n1")
    dom0.write(b"/shared")
    dom0.set_perms(b"/shared", b"n0", b"r1")
    dom0.watch(b"/backend/of-1")
    assert dom0.ask(Op.RELEASE, b"1") == OK
    assert dom0.read(HOME) == dom0.read(b"/backend/of-1/state") == "ENOENT"
    assert dom0.ask(Op.DIRECTORY, b"/") == b"tool\0local\0backend\0shared\0"
    assert dom0.heard() == [b"/backend/of-1\0t\0"]


def test_a_released_domain_s_sessions_end(guest, dom0, store):
    dom0.ask(Op.RELEASE, b"1")
    assert guest.session.ended
    assert not store.domains.is_introduced(1)


def test_a_released_domain_comes_back_with_fresh_quotas(guest, dom0):
    dom0.ask(Op.SET_QUOTA, b"1", b"nodes", b"5")
    dom0.ask(Op.RELEASE, b"1")
    dom0.ask(Op.INTRODUCE, b"1", b"1", b"1")
    assert dom0.ask(Op.GET_QUOTA, b"1", b"nodes") == b"1000\0"


@pytest.mark.parametrize("in_a_transaction", [False, True])
def test_a_new_domain_has_no_rights_of_the_one_before(guest, dom0, store, in_a_transaction):
    tx_id = dom0.begin() if in_a_transaction else 0
    for path, perm in ((b"/a", b"r1"), (b"/b", b"b1"), (b"/c", b"w1")):
        dom0.write(path, b"value", tx_id)
        dom0.ask(Op.SET_PERMS, path, b"n0", perm, tx_id=tx_id)
    store.release(1)
    store.introduce(1)
    if in_a_transaction:
        assert dom0.commit(tx_id) == OK
    dom0.write(b"/a/child")
    new = Speaker(store, 1)
    assert new.read(b"/a") == new.read(b"/a/child") == new.read(b"/b") == "EACCES"
    assert new.write(b"/b") == new.write(b"/c") == "EACCES"
    assert dom0.set_perms(b"/a", b"n0", b"r1") == OK
    assert new.read(b"/a") == b"value"


def test_a_new_domain_is_not_the_target_that_the_one_before_was(guest, other, dom0, store):
    dom0.ask(Op.SET_TARGET, b"2", b"1")
    store.release(1)
    store.introduce(1)
    dom0.write(b"/key")
    for perms in ([b"n1"], [b"n0", b"b1"]):
        dom0.set_perms(b"/key", *perms)
        assert other.read(b"/key") == "EACCES"


def test_what_a_released_domain_owned_of_the_special_paths_is_dom0_s(guest, dom0, store):
    for path in (b"@introduceDomain", b"@releaseDomain"):
        dom0.set_perms(path, b"n1", b"r2", b"r1")
    store.release(1)
    store.introduce(1)
    new = Speaker(store, 1)
    assert new.set_perms(b"@introduceDomain", b"r1") == "EACCES"
    new.watch(b"@introduceDomain")
    new.watch(b"@releaseDomain")
    store.introduce(2)
    store.release(2)
    assert new.heard() == []


def test_a_domain_that_is_introduced_again_begins_anew(guest, dom0):
    tx_id = guest.begin()
    guest.watch(b"key")
    dom0.watch(b"@introduceDomain")
    assert dom0.ask(Op.INTRODUCE, b"1", b"1", b"1") == OK
    assert guest.commit(tx_id) == "ENOENT"
    guest.write(b"key")
    assert guest.heard() == dom0.heard() == []


# Quotas


def test_a_guest_owns_at_most_a_thousand_nodes(guest):
    created = 1  # its home
    while guest.write(b"n/%d/%d" % (created // 50, created)) == OK:
        created += 1
    usage = guest.store.usage(1)
    assert usage[b"nodes"] == 1000
    assert guest.write(b"one-more") == "ENOSPC"
    assert guest.write(b"n/0/1", b"a new value") == OK
    assert guest.ask(Op.RM, b"n/0/1") == OK
    assert guest.write(b"one-more") == OK


def test_nothing_is_left_of_a_write_that_is_over_the_quota(guest, dom0):
    dom0.ask(Op.SET_QUOTA, b"1", b"nodes", b"3")
    assert guest.write(b"a/b/c") == "ENOSPC"
    assert guest.ask(Op.DIRECTORY, HOME) == b""
    assert guest.store.usage(1)[b"nodes"] == 1


def test_a_transaction_that_creates_too_much_is_refused_at_its_end(guest, dom0):
    dom0.ask(Op.SET_QUOTA, b"1", b"nodes", b"5")
    tx_id = guest.begin()
    for name in (b"a", b"b", b"c", b"d", b"e"):
        assert guest.write(name, tx_id=tx_id) == OK
    assert guest.commit(tx_id) == "ENOSPC"
    tx_id = guest.begin()
    assert guest.write(b"a/b/c/d/e/f", tx_id=tx_id) == OK
    assert guest.commit(tx_id) == "ENOSPC"
    assert guest.ask(Op.DIRECTORY, HOME) == b""


def test_a_transaction_creates_one_node_less_than_the_quota_says(guest, dom0):
    """As in the C daemon."""
    dom0.ask(Op.SET_QUOTA, b"1", b"nodes", b"5")
    guest.set_perms(b"", b"n1", b"r2")  # a new node has these entries too
    tx_id = guest.begin()
    for name in (b"a", b"b", b"c", b"d"):
        assert guest.write(name, tx_id=tx_id) == OK
    assert guest.commit(tx_id) == "ENOSPC"
    tx_id = guest.begin()
    for name in (b"a", b"b", b"c"):
        assert guest.write(name, tx_id=tx_id) == OK
    assert guest.commit(tx_id) == OK
    assert guest.store.usage(1)[b"nodes"] == 4


def test_a_transaction_adds_up_the_nodes_that_it_creates_and_removes(guest, dom0):
    for name in (b"a", b"b", b"c"):
        guest.write(name)
    dom0.ask(Op.SET_QUOTA, b"1", b"nodes", b"5")
    tx_id = guest.begin()
    assert guest.ask(Op.RM, b"a", tx_id=tx_id) == OK
    assert guest.ask(Op.SET_PERMS, b"b", b"n1", b"r2", tx_id=tx_id) == OK
    for name in (b"d", b"e"):
        assert guest.write(name, tx_id=tx_id) == OK
    assert guest.commit(tx_id) == "ENOSPC"
    tx_id = guest.begin()
    assert guest.ask(Op.RM, b"a", tx_id=tx_id) == OK
    assert guest.ask(Op.SET_PERMS, b"b", b"n1", b"r3", tx_id=tx_id) == OK
    assert guest.write(b"d", tx_id=tx_id) == OK
    assert guest.commit(tx_id) == OK
    assert guest.write(b"e") == OK  # now the domain has as many nodes as it may have
    tx_id = guest.begin()
    assert guest.write(b"f", tx_id=tx_id) == "ENOSPC"
    assert guest.ask(Op.RM, b"d", tx_id=tx_id) == OK
    assert guest.commit(tx_id) == OK


def test_a_domain_at_its_quota_may_change_nodes_in_a_transaction(guest, dom0):
    guest.write(b"key")
    dom0.ask(Op.SET_QUOTA, b"1", b"nodes", b"2")
    tx_id = guest.begin()
    assert guest.write(b"key", b"value", tx_id) == OK
    assert guest.commit(tx_id) == OK
    tx_id = guest.begin()
    assert guest.ask(Op.SET_PERMS, b"key", b"r1", tx_id=tx_id) == OK
    assert guest.commit(tx_id) == OK
    assert guest.read(b"key") == b"value"


@pytest.mark.parametrize(("perms", "most"), [([b"n1"], 2015), ([b"n1", b"r2", b"r3"], 1999)])
def test_a_guest_s_node_has_at_most_2048_bytes_permissions_included(guest, perms, most):
    guest.write(b"key")
    guest.set_perms(b"key", *perms)
    assert guest.write(b"key", b"v" * (most + 1)) == "ENOSPC"
    assert guest.write(b"key", b"v" * most) == OK
    assert guest.write(b"key", b"w" * most) == OK
    assert guest.write(b"key/child") == "ENOSPC"


def test_each_node_that_is_made_is_measured(guest, dom0):
    name = b"b" * 2030
    assert guest.ask(Op.MKDIR, b"a/" + name) == "ENOSPC"
    assert guest.write(b"a/" + name, b"") == "ENOSPC"
    assert dom0.ask(Op.DIRECTORY, HOME) == b""
    assert guest.ask(Op.MKDIR, b"a/" + b"b" * 2000) == OK


def test_a_commit_over_two_quotas(guest, dom0):
    dom0.ask(Op.SET_QUOTA, b"1", b"nodes", b"3")
    tx_id = guest.begin()
    for key in (b"x", b"y", b"z"):
        guest.write(key, b"", tx_id)
    guest.write(b"x", b"v" * 2048, tx_id)
    assert guest.commit(tx_id) == "ENOMEM"


def test_a_removal_in_a_transaction_that_may_see_no_more_nodes(guest, dom0):
    for number in range(30):
        guest.write(b"a/%d" % number)
    dom0.ask(Op.SET_QUOTA, b"1", b"transaction-nodes", b"20")
    tx_id = guest.begin()
    assert guest.ask(Op.RM, b"a", tx_id=tx_id) == "EIO"
    assert guest.commit(tx_id) == "ENOMEM"


def test_a_transaction_in_which_a_node_was_too_large_cannot_be_committed(guest):
    guest.write(b"key", b"value")
    tx_id = guest.begin()
    assert guest.write(b"key", b"v" * 2048, tx_id) == "ENOSPC"
    assert guest.write(b"key", b"short", tx_id) == OK
    assert guest.commit(tx_id) == "ENOMEM"
    assert guest.read(b"key") == b"value"


def test_permissions_count_for_the_size_of_a_node(guest):
    guest.write(b"key", b"v" * 2008)
    assert guest.set_perms(b"key", b"n1", b"r2") == "ENOSPC"
    assert guest.set_perms(b"key", b"r1") == OK
    guest.write(b"key", b"v" * 2007)
    assert guest.set_perms(b"key", b"n1", b"r2") == OK


def test_the_names_of_children_count_for_the_size_of_their_parent(guest):
    created = 0
    while guest.write(b"parent/%020d" % created) == OK:
        created += 1
    assert created == 95
    assert guest.write(b"parent/%020d/a" % created) == "ENOSPC"
    assert guest.write(b"parent/%019d/a" % created) == OK


def test_a_guest_has_at_most_five_permissions_on_a_node(guest):
    guest.write(b"key")
    assert guest.set_perms(b"key", b"n1", b"r2", b"r3", b"r4", b"r5") == OK
    assert guest.set_perms(b"key", b"n1", b"r2", b"r3", b"r4", b"r5", b"r6") == "ENOSPC"


def test_a_guest_s_watches_are_counted_over_all_its_connections(guest, store):
    second = Speaker(store, 1)
    # The C daemon takes one more than its quota of 128.
    for number in range(129):
        assert (guest, second)[number % 2].watch(b"key", b"%d" % number) == OK
    assert guest.watch(b"key", b"more") == second.watch(b"key", b"more") == "E2BIG"
    guest.ask(Op.UNWATCH, b"key", b"0")
    assert second.watch(b"key", b"more") == OK


def test_a_guest_s_transactions_are_counted_over_all_its_connections(guest, store):
    second = Speaker(store, 1)
    # The C daemon takes one more than its quota of 10.
    for number in range(11):
        (guest, second)[number % 2].begin()
    assert guest.ask(Op.TRANSACTION_START, b"") == "ENOSPC"
    assert guest.commit(1) == OK
    assert second.ask(Op.TRANSACTION_START, b"") != "ENOSPC"


def test_a_guest_s_transaction_looks_at_1024_nodes_at_most(guest):
    tx_id = guest.begin()
    answers = [guest.read(b"missing-%d" % number, tx_id) for number in range(1024)]
    assert answers == ["ENOENT"] * 1023 + ["ENOSPC"]  # the home is one of them
    assert guest.commit(tx_id) == "ENOMEM"


def test_dom0_has_no_quotas(dom0):
    for number in range(1100):
        assert dom0.write(b"/n/%d" % number, b"v" * 3000) == OK
    for number in range(200):
        assert dom0.watch(b"/n", b"%d" % number) == OK
        dom0.begin()


def test_quotas_can_be_set_for_one_domain_and_for_those_to_come(guest, dom0):
    assert dom0.ask(Op.SET_QUOTA, b"watches", b"7") == OK
    assert dom0.ask(Op.GET_QUOTA, b"watches") == b"7\0"
    assert dom0.ask(Op.GET_QUOTA, b"1", b"watches") == b"128\0"
    dom0.ask(Op.INTRODUCE, b"9", b"1", b"1")
    assert dom0.ask(Op.GET_QUOTA, b"9", b"watches") == b"7\0"
    assert dom0.ask(Op.SET_QUOTA, b"1", b"watches", b"0") == OK
    for number in range(200):  # 0 is no limit
        assert guest.watch(b"key", b"%d" % number) == OK
    names = dom0.ask(Op.GET_QUOTA)[:-1].split(b" ")
    assert {b"nodes", b"watches", b"transactions", b"node-size", b"permissions"} <= set(names)
    assert dom0.ask(Op.GET_QUOTA, b"nonsense") == "EINVAL"
    assert dom0.ask(Op.SET_QUOTA, b"nonsense", b"1") == "EINVAL"
    assert dom0.ask(Op.SET_QUOTA, b"nodes", b"4294967295") == "EINVAL"
    assert dom0.ask(Op.SET_QUOTA, b"nodes", b"4294967294") == OK
    assert dom0.ask(Op.GET_QUOTA, b"77", b"nodes") == b"4294967294\0"
    assert dom0.ask(Op.GET_QUOTA, b"32752", b"nodes") == "ENOENT"
    assert guest.ask(Op.GET_QUOTA, b"nodes") == "EACCES"


def test_quotas_are_shown_and_set_by_control(guest, dom0):
    assert b"\nnodes            :     1000 Nodes per domain\n" in dom0.ask(
        Op.CONTROL, b"quota"
    ).replace(b"settings:\n", b"\n\n")
    assert dom0.ask(Op.CONTROL, b"quota", b"1").startswith(
        b"Domain 1:\nnodes           :        1\n"
    )
    assert dom0.ask(Op.CONTROL, b"quota", b"set", b"nodes", b"1") == OK
    assert guest.write(b"key") == "ENOSPC"
    assert dom0.ask(Op.CONTROL, b"quota", b"77") == "ENOENT"
    assert dom0.ask(Op.CONTROL, b"quota", b"set", b"nonsense", b"1") == "EINVAL"


@pytest.mark.parametrize("value", [b"0", b"-1", b"x", b"", b"2147483648", b"9" * 5000])
def test_control_sets_no_quota_that_is_not_a_positive_number_of_c(dom0, value):
    assert dom0.ask(Op.CONTROL, b"quota", b"set", b"nodes", value) == "EINVAL"
    assert dom0.ask(Op.GET_QUOTA, b"nodes") == b"1000\0"


def test_the_largest_quota_that_control_sets(dom0):
    assert dom0.ask(Op.CONTROL, b"quota", b"set", b"nodes", b"2147483647") == OK
    assert dom0.ask(Op.GET_QUOTA, b"nodes") == b"2147483647\0"


# Transactions that cannot be committed any more


def test_a_transaction_and_a_node_created_outside_after_its_start(dom0):
    tx_id = dom0.begin()
    assert dom0.read(b"/a/b", tx_id) == "ENOENT"  # and looks at / and /a
    dom0.write(b"/a/b/c")
    assert dom0.read(b"/a/b/c", tx_id) == b""
    assert dom0.ask(Op.RM, b"/a/b/c", tx_id=tx_id) == "EINVAL"
    tx_id = dom0.begin()
    assert dom0.ask(Op.DIRECTORY, b"/a", tx_id=tx_id) == b"b\0"
    dom0.write(b"/a/new")
    assert dom0.read(b"/a/new", tx_id) == b""
    assert dom0.ask(Op.RM, b"/a/new", tx_id=tx_id) == "EIO"
    assert dom0.read(b"/a/new", tx_id) == "ENOENT"
    assert dom0.commit(tx_id) == "EAGAIN"
    tx_id = dom0.begin()
    dom0.write(b"/a", b"value", tx_id)
    dom0.write(b"/a/newer")
    assert dom0.read(b"/a/newer", tx_id) == b""
    assert dom0.ask(Op.RM, b"/a/newer", tx_id=tx_id) == "EIO"


# Requests of the development version of Xen


@pytest.mark.parametrize(
    ("depth", "heard"),
    [
        (b"0", [b"/a"]),
        (b"1", [b"/a", b"/a/b"]),
        (b"2", [b"/a", b"/a/b", b"/a/b/c"]),
        (b"9", [b"/a", b"/a/b", b"/a/b/c", b"/a/b/c/d"]),
    ],
)
def test_the_depth_of_a_watch(dom0, depth, heard):
    assert dom0.watch(b"/a", b"t", depth) == OK
    for path in (b"/a", b"/a/b", b"/a/b/c", b"/a/b/c/d"):
        dom0.write(path)
    assert dom0.heard() == [path + b"\0t\0" for path in heard]


def test_a_depth_is_a_number_as_c_reads_it(dom0):
    assert dom0.watch(b"/a", b"t", b"-1") == "EINVAL"
    assert dom0.watch(b"/a", b"t", b"x") == OK
    dom0.write(b"/a/b")
    assert dom0.heard() == []


def test_a_watch_of_the_root_with_a_depth(dom0):
    dom0.watch(b"/", b"t", b"1")
    dom0.write(b"/a")
    dom0.write(b"/a/b")
    assert dom0.heard() == [b"/a\0t\0"]


def test_the_release_of_one_domain(dom0, store):
    dom0.watch(b"@releaseDomain/5")
    for domid in (5, 6):
        store.introduce(domid)
        store.release(domid)
    assert dom0.heard() == [b"@releaseDomain/5\0t\0"]


def test_features(dom0, guest):
    supported = dom0.ask(Op.GET_FEATURE)
    assert dom0.ask(Op.GET_FEATURE, b"") == supported
    assert guest.ask(Op.GET_FEATURE) == dom0.ask(Op.GET_FEATURE, b"1") == supported
    assert guest.ask(Op.GET_FEATURE, b"") == guest.ask(Op.GET_FEATURE, b"1") == "EACCES"
    assert dom0.ask(Op.SET_FEATURE, b"1", b"0") == "EBUSY"
    assert dom0.ask(Op.SET_FEATURE, b"7", b"%d" % (int(supported[:-1]) - 1)) == "EINVAL"
    assert dom0.ask(Op.SET_FEATURE, b"7", b"%d" % (1 << 31)) == "EINVAL"
    assert dom0.ask(Op.SET_FEATURE, b"7", b"0") == OK
    assert dom0.ask(Op.GET_FEATURE, b"7") == b"0\0"
    dom0.ask(Op.INTRODUCE, b"7", b"1", b"1")
    without = Speaker(dom0.store, 7)
    assert without.ask(Op.GET_FEATURE) == b"0\0"
    assert without.watch(b"key", b"t", b"1") == "EINVAL"
    assert dom0.ask(Op.GET_FEATURE, b"32752") == "ENOENT"


def test_a_long_directory_in_parts(dom0):
    names = [b"%040d" % number for number in range(1000)]
    for name in names:
        dom0.write(b"/dir/" + name)
    assert dom0.ask(Op.DIRECTORY, b"/dir") == "E2BIG"
    listing = b""
    generations = set()
    while not listing.endswith(b"\0\0"):
        part = dom0.ask(Op.DIRECTORY_PART, b"/dir", b"%d" % len(listing))
        generation, _, children = part.partition(b"\0")
        generations.add(generation)
        listing += children
    assert listing.split(b"\0")[:-2] == names
    assert len(generations) == 1
    dom0.write(b"/dir/new")
    assert dom0.ask(Op.DIRECTORY_PART, b"/dir", b"0").partition(b"\0")[0] not in generations


def test_a_part_of_a_directory_that_just_fits_a_message_is_the_last(dom0):
    for _ in range(10):
        dom0.write(b"/dir")
    generation = dom0.ask(Op.DIRECTORY_PART, b"/dir", b"0").partition(b"\0")[0]
    assert len(generation) == 2
    room = 4096 - len(generation + b"\0" + b"\0")
    names = [b"a" * 2000, b"b" * 2000, b"c" * (room - 2 * 2001 - 1)]
    for name in names:
        dom0.write(b"/dir/" + name)
    part = dom0.ask(Op.DIRECTORY_PART, b"/dir", b"0")
    assert len(part) == 4096
    assert part.split(b"\0")[1:] == [*names, b"", b""]
    dom0.ask(Op.RM, b"/dir/" + names[-1])
    dom0.write(b"/dir/c" + names[-1])
    part = dom0.ask(Op.DIRECTORY_PART, b"/dir", b"0")
    assert part.split(b"\0")[1:] == [*names[:-1], b""]
    for offset in (b"-1", b"%d" % (room + 1), b"%d" % (room + 2)):
        part = dom0.ask(Op.DIRECTORY_PART, b"/dir", offset)
        assert part.split(b"\0")[1:] == [b"", b""]


def test_a_reply_that_just_fits_a_message_is_sent(dom0):
    names = [b"a" * 2000, b"b" * 2000, b"c" * 93]
    for name in names:
        dom0.write(b"/dir/" + name)
    listing = b"".join(name + b"\0" for name in names)
    assert len(listing) == 4096
    assert dom0.ask(Op.DIRECTORY, b"/dir") == listing
    dom0.write(b"/dir/d")
    assert dom0.ask(Op.DIRECTORY, b"/dir") == "E2BIG"


def test_reset_watches_removes_watches_and_transactions_of_the_session_alone(guest, dom0, store):
    second = Speaker(store, 1)
    tx_id = guest.begin()
    for each in (guest, second):
        each.watch(b"key")
    assert guest.ask(Op.RESET_WATCHES, b"") == OK
    guest.write(b"key")
    assert guest.heard() == []
    assert second.heard() == [b"key\0t\0"]
    assert guest.commit(tx_id) == "ENOENT"


# Requests that end the real daemons


@pytest.mark.parametrize("op", [Op.READ, Op.DIRECTORY, Op.GET_PERMS, Op.MKDIR, Op.RM])
@pytest.mark.parametrize("payload", [b"", b"/a", b"/a\0b", b"/a\0\0", b"/a\0b\0", b"\0\0"])
def test_a_payload_that_is_not_one_string(dom0, op, payload):
    dom0.watch(b"/a")
    assert dom0.send(op, payload) == "EINVAL"


@pytest.mark.parametrize(
    ("op", "payload"),
    [
        (Op.UNWATCH, b"/\0"),
        (Op.UNWATCH, b"/\0t\0more\0"),
        (Op.READ, b"/a//b\0"),
        (Op.READ, b"/a b\0"),
        (Op.READ, b"/" + b"a" * 2048 + b"\0"),
        (Op.WRITE, b"/a"),
        (Op.TRANSACTION_END, b"T"),
        (Op.TRANSACTION_END, b"X\0"),
        (Op.INTRODUCE, b"5\0001\0000\0"),
        (Op.SET_TARGET, b"5\0"),
        (Op.WATCH, b"/\0t\0001\0002\0"),
        (Op.GET_FEATURE, b"1\0002\0"),
        (Op.GET_QUOTA, b"1\0nodes\0more\0"),
        (Op.SET_QUOTA, b"1\0more\0nodes\0005\0"),
    ],
)
def test_a_request_that_breaks_the_rules_is_refused_as_invalid(dom0, op, payload):
    assert dom0.watch(b"/") == OK
    assert dom0.send(op, payload) == "EINVAL"


def test_a_path_has_at_most_2048_bytes(dom0):
    longest = b"/" + b"a" * 2047
    assert dom0.read(longest) == "ENOENT"
    assert dom0.read(longest + b"a") == "EINVAL"
    longest = b"@" + b"a" * 2047
    assert dom0.watch(longest) == OK
    assert dom0.watch(longest + b"a") == "EINVAL"


@pytest.mark.parametrize(
    ("text", "domid"),
    [
        (b" +5x", 5),
        (b"-5", 2**32 - 5),
        (b"%d" % (2**62 + 5), 5),
        (b"%d" % (2**63 - 2), 2**32 - 2),
        (b"%d" % (2**63 + 5), 2**32 - 1),
        (b"%d" % (-(2**62) - 5), 2**32 - 5),
        (b"%d" % (-(2**63) - 5), 0),
        (b"%d" % -(2**70), 0),
    ],
)
def test_a_domid_is_parsed_as_c_does_it(dom0, text, domid):
    assert dom0.ask(Op.GET_DOMAIN_PATH, text) == b"/local/domain/%d\0" % domid


def test_further_arguments_of_introduce_are_ignored(dom0):
    assert dom0.ask(Op.INTRODUCE, b"5", b"1", b"1", b"more") == OK


def test_only_watch_and_unwatch_ignore_the_id_of_a_transaction(dom0):
    assert dom0.ask(Op.WATCH, b"/a", b"t", tx_id=99) == OK
    assert dom0.ask(Op.UNWATCH, b"/a", b"t", tx_id=99) == OK
    assert dom0.ask(Op.GET_DOMAIN_PATH, b"1", tx_id=99) == "ENOENT"


def test_a_domain_s_home_does_not_count_for_the_length_of_a_path(guest):
    assert guest.ask(Op.READ, b"a" * 2048) == "ENOENT"
    assert guest.ask(Op.READ, b"a" * 2049) == "EINVAL"


def test_the_release_of_dom0_and_the_removal_of_everything(dom0):
    for domid in (b"0", b"x", b""):
        assert dom0.ask(Op.RELEASE, domid) == "EINVAL"
    assert dom0.ask(Op.RM, b"/") == "EINVAL"
    assert dom0.ask(Op.DIRECTORY, b"/") == b"tool\0"


def test_the_release_of_the_domain_that_owns_the_root(guest, dom0):
    dom0.set_perms(b"/", b"n1")
    assert dom0.ask(Op.RELEASE, b"1") == "EINVAL"
    assert guest.ask(Op.DIRECTORY, b"/") == b"tool\0local\0"


def test_permissions_for_the_domid_that_is_any_domain(dom0):
    dom0.write(b"/a")
    assert dom0.set_perms(b"/a", b"n32757") == "ENOENT"
    assert dom0.set_perms(b"/a", b"n0", b"r32757") == OK


# Any request at all


def test_any_request_gets_one_answer_and_leaves_the_store_whole(dom0, guest):
    random_ = random.Random(1)
    pieces = [b"", b"/a", b"a", b"/", b"@releaseDomain", b"T", b"1", b"n0", b"\xff", b"x" * 2050]
    for _ in range(20000):
        speaker = random_.choice([dom0, guest])
        op = random_.choice(list(range(28)) + [65535])
        if op == Op.RELEASE:
            continue  # RELEASE would end the session of the guest
        payload = b"\0".join(random_.choice(pieces) for _ in range(random_.randrange(5)))
        speaker.send(op, payload[:4096], random_.choice([0, 0, 1, 2]))
        if op == Op.TRANSACTION_START and len(speaker.session.transactions) > 3:
            speaker.ask(Op.RESET_WATCHES, b"")
    for speaker in (dom0, guest):
        speaker.ask(Op.RESET_WATCHES, b"")
    assert_whole(dom0)


def test_random_transactions_leave_the_store_whole(dom0, store):
    random_ = random.Random(2)
    sessions = [Speaker(store, 0) for _ in range(3)]
    paths = [b"/a", b"/a/b", b"/a/b/c", b"/a/d", b"/e", b"/e/f"]
    for _ in range(5000):
        speaker = random_.choice(sessions)
        tx_id = random_.choice([0, *speaker.session.transactions])
        path = random_.choice(paths)
        op = random_.choice([Op.WRITE, Op.RM, Op.SET_PERMS, "begin", "end"])
        if op == Op.WRITE:
            speaker.write(path, b"%d" % random_.randrange(9), tx_id)
        elif op == Op.RM:
            speaker.ask(op, path, tx_id=tx_id)
        elif op == Op.SET_PERMS:
            speaker.ask(op, path, b"n%d" % random_.randrange(3), tx_id=tx_id)
        elif op == "begin" and len(speaker.session.transactions) < 3:
            speaker.begin()
        elif tx_id:
            speaker.ask(Op.TRANSACTION_END, random_.choice([b"T", b"F"]), tx_id=tx_id)
    for speaker in sessions:
        store.disconnect(speaker.session)
    assert_whole(dom0)


def assert_whole(dom0):
    """Check that the root leads to every other node, and that each is counted and not pinned."""
    tree = dom0.store.tree
    reached = {}
    stack = [b"/"]
    while stack:
        path = stack.pop()
        owner = int(dom0.ask(Op.GET_PERMS, path).split(b"\0")[0][1:])
        reached[owner] = reached.get(owner, 0) + 1
        names = dom0.ask(Op.DIRECTORY, path).split(b"\0")[:-1]
        assert len(set(names)) == len(names)
        stack += [path.rstrip(b"/") + b"/" + name for name in names]
    for special in (b"@introduceDomain", b"@releaseDomain"):
        owner = tree.get(special).perms[0].domid
        reached[owner] = reached.get(owner, 0) + 1
    assert sum(reached.values()) == len(tree._nodes)
    assert not any(node.pins for node in tree._nodes.values())
    for owner in set(reached) | {0, 1, 2}:
        assert tree.owned(owner) == reached.get(owner, 0)


# Size


def fill(speaker, nodes):
    """Write nodes below ``/wide`` directly into the store."""
    store = speaker.store
    for number in range(nodes):
        path = b"/wide/%06d" % number
        store.write(speaker.session, store.tree, path, b"value-%d" % number)


def test_a_process_with_100000_nodes_takes_less_than_100_mb():
    # Not getrusage(): its peak includes that of the process that forked this one.
    program = (
        "from test_xenstored_store import Speaker, Store, fill\n"
        "fill(Speaker(Store(), 0), 100000)\n"
        "print(open('/proc/self/status').read())\n"
    )
    status = subprocess.check_output(
        [sys.executable, "-c", program], env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    )
    assert int(re.search(rb"VmHWM:\s+(\d+) kB", status).group(1)) < 100000


def test_no_change_copies_the_tree_or_the_children_of_a_wide_node(dom0):
    fill(dom0, 20000)
    tracemalloc.start()
    try:
        dom0.write(b"/wide", b"value")
        dom0.write(b"/wide/created")
        dom0.ask(Op.RM, b"/wide/000003")
        dom0.set_perms(b"/wide", b"n0", b"r1")
        tx_id = dom0.begin()
        dom0.write(b"/wide/000001", b"new", tx_id)
        dom0.write(b"/wide/one-more", tx_id=tx_id)
        dom0.ask(Op.RM, b"/wide/000002", tx_id=tx_id)
        assert dom0.commit(tx_id) == OK
        assert tracemalloc.get_traced_memory()[1] < 50000  # a list of the names takes 160 kB
    finally:
        tracemalloc.stop()
