"""The in-memory daemon behaves as the version of Xen that it is to be like.

Each row of the table is a fact about the C daemon: the file and the function of Xen's sources that
tell it, and what the daemon of each version answers. The sources are in ``tools/xenstored`` in
4.22; in 4.17, in ``tools/xenstore``, where the names of files begin with ``xenstored_``. Where a
real daemon of one of these versions is installed, the row is checked on it too.
"""

import contextlib
import re

import pytest

import daemons
import xen_utils
from pyxs import InvalidPayload
from pyxs.xenstored import XenStored
from wire import Op, Wire

LIKE = {"memory": "4.17", "memory-4.22": "4.22", "c": "{}.{}".format(*xen_utils.VERSION)}

OK = b"OK\0"


class Host:
    """A daemon, with connections of domain 0 and of guests."""

    def __init__(self, daemon, stack):
        self._daemon = daemon
        self._stack = stack
        self.dom0 = self.connect(daemon.path)

    def connect(self, path):
        return self._stack.enter_context(Wire(path))

    def guest(self, domid=1):
        """Introduce a domain, give it a home as a toolstack does, and return a connection of it."""
        wire = self.connect(self._daemon.socket_for(domid))
        self.dom0.get(Op.WRITE, b"/local/domain/%d\0" % domid)
        self.dom0.get(Op.SET_PERMS, b"/local/domain/%d\0n%d\0" % (domid, domid))
        return wire

    def introduce(self, domid):
        assert self.dom0.get(Op.INTRODUCE, b"%d\0001\0001\0" % domid) == OK

    def release(self, domid):
        assert self.dom0.get(Op.RELEASE, b"%d\0" % domid) == OK

    def key(self, *perms):
        """Make the node ``/key`` with these permissions."""
        self.dom0.get(Op.WRITE, b"/key\0value")
        self.dom0.get(Op.SET_PERMS, b"/key\0" + b"".join(perm + b"\0" for perm in perms))


def hears(wire, watches, change):
    """Return the events of watches, payloads of WATCH, that a change causes."""
    for watch in watches:
        assert wire.get(Op.WATCH, watch) == OK
    wire.heard()
    change()
    return [tuple(event.split(b"\0")[:2]) for event in wire.heard()]


def most(call):
    """Return how many calls succeed before one is refused, and with which errno."""
    for number in range(3000):
        answer = call(number)
        if isinstance(answer, str):
            return number, answer
    return "no limit"


# Features


def features_of_a_new_daemon(host):
    return host.dom0.get(Op.GET_FEATURE, b"")


def features_that_a_guest_asks_for(host):
    guest = host.guest()
    return [guest.get(Op.GET_FEATURE, payload) for payload in (b"", b"\0", b"1\0", b"0\0")]


def features_of_a_domain(host):
    host.introduce(1)
    ask = host.dom0.get
    return [ask(Op.GET_FEATURE, domid) for domid in (b"\0", b"1\0", b"2\0", b"40000\0")]


def setting_features(host):
    host.introduce(1)
    pairs = [b"1\0000\0", b"2\0001\0", b"2\00015\0", b"2\0004\0", b"2\0x\0", b"2\0"]
    return [host.dom0.get(Op.SET_FEATURE, pair) for pair in pairs]


def a_depth_without_the_feature(host):
    host.dom0.get(Op.SET_FEATURE, b"1\0002\0")
    return host.guest().get(Op.WATCH, b"key\0t\0001\0")


# Quotas


def names_of_quotas(host):
    return host.dom0.get(Op.GET_QUOTA, b"")


def values_of_quotas(host):
    names = host.dom0.get(Op.GET_QUOTA, b"")[:-1].split(b" ")
    return [int(host.dom0.get(Op.GET_QUOTA, name + b"\0")[:-1]) for name in names]


def quotas_that_a_guest_asks_for(host):
    guest = host.guest()
    return [guest.get(Op.GET_QUOTA, b"nodes\0"), guest.get(Op.SET_QUOTA, b"nodes\0009\0")]


def a_global_quota(host):
    host.introduce(1)
    host.dom0.get(Op.SET_QUOTA, b"watches\0009\0")
    host.introduce(2)
    return [host.dom0.get(Op.GET_QUOTA, domid + b"watches\0") for domid in (b"", b"1\0", b"2\0")]


def odd_values_of_quotas(host):
    values = [b"4294967295", b"-1", b"4294967294", b"0", b"x", b"-2"]
    return [host.dom0.get(Op.SET_QUOTA, b"nodes\0%s\0" % value) for value in values]


def a_quota_set_by_control(host):
    guest = host.guest()
    host.dom0.get(Op.CONTROL, b"quota\0set\0watches\0005\0")
    return most(lambda number: guest.get(Op.WATCH, b"key\0%d\0" % number))


def soft_quotas_by_control(host):
    return b"\nmemory " in host.dom0.get(Op.CONTROL, b"quota-soft\0")


# A guest's limits


def nodes(host):
    guest = host.guest()
    # A node with very many children would be too large.
    return most(lambda number: guest.get(Op.WRITE, b"%d/%d\0" % (number % 20, number)))


def nodes_of_one_request(host):
    host.dom0.get(Op.CONTROL, b"quota\0set\0nodes\0004\0")
    guest = host.guest()
    return [guest.get(Op.MKDIR, b"a/b/c/d/e\0"), guest.get(Op.MKDIR, b"x\0")]


def nodes_of_a_transaction(host):
    host.dom0.get(Op.CONTROL, b"quota\0set\0nodes\0004\0")
    guest = host.guest()
    commits = []
    for names in (b"abc", b"ab"):
        tx_id = int(guest.get(Op.TRANSACTION_START, b"\0")[:-1])
        for name in names:
            assert guest.get(Op.MKDIR, b"%c\0" % name, tx_id) == OK
        commits.append(guest.get(Op.TRANSACTION_END, b"T\0", tx_id))
    return commits


def watches(host):
    guest = host.guest()
    return most(lambda number: guest.get(Op.WATCH, b"key\0%d\0" % number))


def transactions(host):
    guest = host.guest()
    return most(lambda _: guest.get(Op.TRANSACTION_START, b"\0"))


def nodes_that_a_transaction_uses(host):
    guest = host.guest()
    tx_id = int(guest.get(Op.TRANSACTION_START, b"\0")[:-1])

    def read(number):
        answer = guest.get(Op.READ, b"%d\0" % number, tx_id)
        return answer if answer == "ENOSPC" else b""  # the first also reads its home

    return most(read)


def permissions(host):
    guest = host.guest()
    guest.get(Op.WRITE, b"key\0")
    return most(lambda number: guest.get(Op.SET_PERMS, b"key\0n1\0" + b"r0\0" * number))


def the_size_of_a_node(host):
    guest = host.guest()
    return most(lambda number: guest.get(Op.WRITE, b"key\0" + b"v" * number))


def the_length_of_a_path(host):
    guest = host.guest()
    paths = [b"p" * length + b"\0" for length in (2047, 2048, 2049)]
    return [wire.get(Op.READ, path) for wire in (guest, host.dom0) for path in paths]


# Permissions


def permissions_of_special_paths(host):
    paths = (b"@introduceDomain\0", b"@releaseDomain\0", b"@other\0")
    return [host.dom0.get(Op.GET_PERMS, path) for path in paths]


def numbers_in_permissions(host):
    host.key(b"n0")
    entries = [b"r010", b"r0x1F", b"r-2", b"r +7", b"r4294967297", b"r08", b"r1x", b"r"]
    return [
        (
            host.dom0.get(Op.SET_PERMS, b"/key\0n0\0%s\0" % entry),
            host.dom0.get(Op.GET_PERMS, b"/key\0").split(b"\0")[1],
        )
        for entry in entries
    ]


def a_special_path_that_does_not_exist(host):
    return host.dom0.get(Op.SET_PERMS, b"@other\0n0\0")


def any_domain(host):
    guest, other = host.guest(), host.guest(2)
    host.key(b"n1")
    return [
        guest.get(Op.SET_PERMS, b"/key\0n1\0r32757\0"),
        host.dom0.get(Op.GET_PERMS, b"/key\0"),
        other.get(Op.READ, b"/key\0"),
        other.get(Op.WRITE, b"/key\0"),
    ]


def any_domain_without_the_feature(host):
    host.dom0.get(Op.SET_FEATURE, b"1\0006\0")
    guest, other = host.guest(), host.guest(2)
    host.key(b"n1")
    return [guest.get(Op.SET_PERMS, b"/key\0n1\0r32757\0"), other.get(Op.READ, b"/key\0")]


def any_domain_as_owner(host):
    guest = host.guest()
    host.key(b"n1")
    return guest.get(Op.SET_PERMS, b"/key\0r32757\0")


def entries_of_a_domain_that_is_gone(host):
    host.introduce(1)
    host.key(b"n0", b"r1")
    tx_id = int(host.dom0.get(Op.TRANSACTION_START, b"\0")[:-1])
    host.dom0.get(Op.READ, b"/key\0", tx_id)
    heard = hears(host.dom0, [b"/key\0t\0"], lambda: host.release(1))
    commit = host.dom0.get(Op.TRANSACTION_END, b"T\0", tx_id)
    return heard, commit, host.dom0.get(Op.GET_PERMS, b"/key\0")


def special_permissions_in_a_transaction(host):
    guest = host.guest()
    tx_id = int(host.dom0.get(Op.TRANSACTION_START, b"\0")[:-1])
    host.dom0.get(Op.SET_PERMS, b"@introduceDomain\0n0\0r1\0", tx_id)
    before = hears(guest, [b"@introduceDomain\0t\0"], lambda: host.introduce(2))
    host.dom0.get(Op.TRANSACTION_END, b"T\0", tx_id)
    return len(before), len(hears(guest, [], lambda: host.introduce(7)))


# Events


def the_release_of_a_domain_for_a_guest(host):
    guest = host.guest()
    host.introduce(2)
    return hears(guest, [b"@releaseDomain\0t\0"], lambda: host.release(2))


def the_introduction_of_a_domain_for_a_guest(host):
    guest = host.guest()
    watches = [b"@introduceDomain\0t\0"]
    return [hears(guest, watches, lambda: host.introduce(2))] + [
        host.dom0.get(Op.SET_PERMS, b"/\0r0\0"),
        hears(guest, [], lambda: host.introduce(7)),
    ]


def special_permissions_that_are_set(host):
    return hears(
        host.dom0,
        [b"@releaseDomain\0t\0"],
        lambda: host.dom0.get(Op.SET_PERMS, b"@releaseDomain\0n0\0"),
    )


def depths_of_special_watches(host):
    watches = [
        b"@%sDomain%s\0t%s\0%s" % (what, domid, domid + depth[:-1], depth)
        for what in (b"introduce", b"release")
        for domid in (b"", b"/7")
        for depth in (b"", b"0\0", b"1\0", b"2\0")
    ]

    def come_and_go():
        host.introduce(7)
        host.release(7)

    return hears(host.dom0, watches, come_and_go)


# Validation


def odd_domids(host):
    texts = [b"7x", b" 7", b"-1", b"65535", b"65536", b""]
    return [host.dom0.get(Op.GET_DOMAIN_PATH, text + b"\0") for text in texts]


def a_special_watch_of_odd_characters(host):
    return [host.dom0.get(Op.WATCH, path + b"\0t\0") for path in (b"@a b", b"@a/b", b"@a/")]


def the_end_of_a_watch_of_no_path(host):
    return [host.dom0.get(Op.UNWATCH, path + b"\0t\0") for path in (b"/a//b", b"/a")]


def whether_the_domid_that_means_oneself_is_introduced(host):
    return host.dom0.get(Op.IS_DOMAIN_INTRODUCED, b"32752\0")


def path_of(domid):
    return b"/local/domain/%d\0" % domid


QUOTAS_4_22 = (
    b"nodes watches outstanding memory soft-memory transactions transaction-nodes "
    b"node-permissions path-max node-size\0"
)
COME, GO = b"@introduceDomain", b"@releaseDomain"

#: A fact: its source in 4.22, the requests that show it, and the answers by version.
FACTS = [
    ("domain.c: do_get_feature", features_of_a_new_daemon, {"4.22": b"14\0"}),
    (
        "domain.c: do_get_feature",
        features_that_a_guest_asks_for,
        {"4.22": [b"14\0", "EACCES", "EACCES", "EACCES"]},
    ),
    ("domain.c: do_get_feature", features_of_a_domain, {"4.22": [b"14\0"] * 3 + ["ENOENT"]}),
    (
        "domain.c: do_set_feature",
        setting_features,
        {"4.22": ["EBUSY", "EINVAL", "EINVAL", OK, OK, "EINVAL"]},
    ),
    ("watch.c: do_watch", a_depth_without_the_feature, {"4.22": "EINVAL"}),
    ("domain.c: do_get_quota", names_of_quotas, {"4.22": QUOTAS_4_22}),
    (
        "domain.c: quotas",
        values_of_quotas,
        {"4.22": [1000, 128, 20, 2621440, 2097152, 10, 1024, 5, 2048, 2048]},
    ),
    ("core.c: wire_funcs", quotas_that_a_guest_asks_for, {"4.22": ["EACCES", "EACCES"]}),
    ("domain.c: do_set_quota", a_global_quota, {"4.22": [b"9\0", b"128\0", b"9\0"]}),
    (
        "domain.c: do_set_quota",
        odd_values_of_quotas,
        {"4.22": ["EINVAL", "EINVAL", OK, OK, OK, OK]},
    ),
    (
        "control.c: quota_set",
        a_quota_set_by_control,
        {"4.17": (6, "E2BIG"), "4.22": (127, "ENOSPC")},
    ),
    ("control.c: do_control_quota_s", soft_quotas_by_control, {"4.17": True, "4.22": True}),
    ("core.c: create_node", nodes, {"4.17": (979, "ENOSPC"), "4.22": (978, "ENOSPC")}),
    (
        "core.c: create_node",
        nodes_of_one_request,
        {"4.17": ["ENOSPC", OK], "4.22": [OK, "ENOSPC"]},
    ),
    (
        "domain.c: acc_fix_domains",
        nodes_of_a_transaction,
        {"4.17": ["ENOSPC", OK], "4.22": ["ENOSPC", OK]},
    ),
    ("watch.c: do_watch", watches, {"4.17": (129, "E2BIG"), "4.22": (127, "ENOSPC")}),
    (
        "transaction.c: do_transaction_start",
        transactions,
        {"4.17": (11, "ENOSPC"), "4.22": (9, "ENOSPC")},
    ),
    (
        "transaction.c: access_node",
        nodes_that_a_transaction_uses,
        {"4.17": (1023, "ENOSPC"), "4.22": (1022, "ENOSPC")},
    ),
    ("core.c: do_set_perms", permissions, {"4.17": (5, "ENOSPC"), "4.22": (4, "ENOSPC")}),
    (
        "core.c: write_node_raw",
        the_size_of_a_node,
        {"4.17": (2016, "ENOSPC"), "4.22": (2024, "ENOSPC")},
    ),
    (
        "core.c: canonicalize",
        the_length_of_a_path,
        {
            "4.17": ["ENOENT", "ENOENT", "EINVAL"] * 2,
            "4.22": ["ENOENT", "EINVAL", "EINVAL"] + ["ENOENT"] * 3,
        },
    ),
    (
        "core.c: setup_structure, do_get_perms",
        permissions_of_special_paths,
        {"4.17": ["EINVAL"] * 3, "4.22": [b"n0\0", b"n0\0r32757\0", "ENOENT"]},
    ),
    (
        "core.c: do_set_perms",  # in xs_lib.c, xenstore-common.h
        numbers_in_permissions,
        dict.fromkeys(
            ["4.17", "4.22"],
            [(OK, b"r8"), (OK, b"r31"), (OK, b"r-2"), (OK, b"r7"), (OK, b"r1")]
            + [("EINVAL", b"r1")] * 3,
        ),
    ),
    ("core.c: do_set_perms", a_special_path_that_does_not_exist, {"4.22": "ENOENT"}),
    (
        "core.c: perm_allows_conn",
        any_domain,
        {
            "4.17": [OK, b"n1\0r32757\0", "EACCES", "EACCES"],
            "4.22": [OK, b"n1\0r32757\0", b"value", "EACCES"],
        },
    ),
    (
        "domain.c: domain_alloc_permrefs",
        any_domain_without_the_feature,
        {"4.22": [OK, "EACCES"]},
    ),
    ("core.c: do_set_perms", any_domain_as_owner, {"4.17": "ENOENT", "4.22": "EPERM"}),
    (
        "domain.c: domain_tree_remove_sub",
        entries_of_a_domain_that_is_gone,
        {"4.17": ([], OK, b"n0\0r1\0"), "4.22": ([], OK, b"n0\0")},
    ),
    (
        "core.c: do_set_perms",
        special_permissions_in_a_transaction,
        {"4.17": (1, 1), "4.22": (0, 1)},
    ),
    (
        "core.c: setup_structure",
        the_release_of_a_domain_for_a_guest,
        {"4.17": [], "4.22": [(GO, b"t")]},
    ),
    (
        "watch.c: watch_permitted",
        the_introduction_of_a_domain_for_a_guest,
        {"4.17": [[], OK, []], "4.22": [[], OK, [(COME, b"t")]]},
    ),
    (
        "core.c: do_set_perms",
        special_permissions_that_are_set,
        {"4.17": [], "4.22": [(GO, b"t")]},
    ),
    (
        "watch.c: fire_watches",
        depths_of_special_watches,
        {
            "4.22": [
                event
                for special in (COME, GO)
                for event in (
                    [(special, b"t")]
                    + [(special + b"/7", token) for token in (b"t1", b"t2")]
                    + [(special + b"/7", b"t/7" + depth) for depth in (b"", b"0", b"1", b"2")]
                )
            ]
        },
    ),
    (
        "domain.c: parse_domid",
        odd_domids,
        {
            "4.17": [path_of(domid) for domid in (7, 7, 2**32 - 1, 65535, 65536, 0)],
            "4.22": ["EINVAL", path_of(7), "EINVAL", path_of(65535), "EINVAL", path_of(0)],
        },
    ),
    (
        "watch.c: check_watch_path",
        a_special_watch_of_odd_characters,
        {"4.17": [OK] * 3, "4.22": ["EINVAL", OK, "EINVAL"]},
    ),
    (
        "watch.c: do_unwatch",
        the_end_of_a_watch_of_no_path,
        {"4.17": ["ENOENT", "ENOENT"], "4.22": ["EINVAL", "ENOENT"]},
    ),
    (
        "domain.c: do_is_domain_introduced",
        whether_the_domid_that_means_oneself_is_introduced,
        {"4.17": b"T\0", "4.22": b"T\0"},
    ),
]


@pytest.mark.parametrize(
    ("kind", "source", "requests", "answer"),
    [
        pytest.param(
            kind, source, requests, answers[like], id="{}-{}".format(requests.__name__, kind)
        )
        for source, requests, answers in FACTS
        for kind, like in LIKE.items()
        if like in answers
    ],
)
def test_a_fact_of_a_version(kind, source, requests, answer, start_daemon):
    assert re.fullmatch(r"\w+\.c: [\w, ]+", source)
    with contextlib.ExitStack() as stack:
        assert requests(Host(start_daemon(kind), stack)) == answer


def test_what_would_end_the_real_daemon_of_4_22_is_refused():
    with daemons.start("memory-4.22") as daemon, Wire(daemon.path) as dom0:
        dom0.get(Op.WRITE, b"/key\0")
        assert dom0.get(Op.SET_PERMS, b"/key\0n0\0r32757\0") == "EINVAL"
        dom0.get(Op.INTRODUCE, b"7\0001\0001\0")
        dom0.get(Op.SET_PERMS, b"@releaseDomain\0n7\0")
        assert dom0.get(Op.RELEASE, b"7\0") == OK
        assert dom0.get(Op.GET_PERMS, b"@releaseDomain\0") == b"n0\0"


@pytest.mark.parametrize("like", ["4.18", "", None, 4.17, ["4.17"]])
def test_a_version_that_is_not_in_the_table(like):
    with pytest.raises(InvalidPayload, match="can be like 4.17 and 4.22"):
        XenStored(like=like)


def test_requests_that_the_daemon_of_4_22_takes_or_refuses():
    with XenStored(like="4.22") as daemon, Wire(daemon.path) as dom0:
        assert dom0.get(Op.SET_FEATURE, b"1\0004\0") == OK
        assert dom0.get(Op.GET_FEATURE, b"1\0") == b"4\0"
        assert dom0.get(Op.GET_QUOTA, b"1\0more\0nodes\0") == "EINVAL"
        for op in (Op.READ, Op.DIRECTORY, Op.RM):
            assert dom0.get(op, b"@releaseDomain\0") == "EINVAL"
        for op in (Op.WATCH, Op.UNWATCH):
            assert dom0.get(op, b"@releaseDomain\0token\0") == OK
