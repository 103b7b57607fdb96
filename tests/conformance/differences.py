"""The known differences between daemons. Tests assert them exactly, and ``docs/`` shows them.

An entry has, for each daemon, what a call returns or the name of its errno. Where versions
differ too, that is a dictionary by the first version that behaves so. Unless the entry says
otherwise, the in-memory daemon does what the C daemon of Xen 4.17, or of 4.22, does.
"""

from typing import Any, NamedTuple

#: The versions of Xen whose daemons run these tests. Debian does not have 4.22 yet: until then,
#: its answers are those of ``tests/test_xenstored_versions.py``, from Xen's sources.
VERSIONS = ((4, 14), (4, 17), (4, 20), (4, 22))


_AS_C = object()


class _Difference(NamedTuple):
    why: str
    c: Any
    ocaml: Any
    memory: Any

    def answer(self, kind, version=None):
        """Return what a daemon of this kind and version of Xen does."""
        if kind == "memory-4.22" and self.memory is _AS_C:
            kind, version = "c", (4, 22)
        elif kind.startswith("memory"):
            kind, version = ("c", (4, 17)) if self.memory is _AS_C else ("memory", None)
        answer = getattr(self, kind)
        if not isinstance(answer, dict):
            return answer
        return answer[max(since for since in answer if since <= version)]


def _differ(why, c, ocaml, memory=_AS_C):
    return _Difference(why, c, ocaml, memory)


_EQUOTA = "oxenstored answers EQUOTA, which is no errno"
_NO_SPACE = "No space left on device"
_NO_ERRNO = "EQUOTA: an error that errno does not know"

DIFFERENCES = {
    "a value of 2,049 bytes": _differ(
        "oxenstored holds dom0 to the guests' quota-maxsize of 2048 too",
        c=None,
        ocaml="E2BIG",
    ),
    "a path of 1,025 bytes": _differ(
        "oxenstored's quota-path-max is 1024, XENSTORE_ABS_PATH_MAX is 3072",
        c=None,
        ocaml="EINVAL",
    ),
    "a path of 2,049 bytes": _differ(
        "Xen's quota-path-max of 2048 held dom0 too, for some versions",
        c={(4, 14): None, (4, 17): "EINVAL", (4, 20): None},
        ocaml="EINVAL",
    ),
    "special nodes in the root": _differ(
        "oxenstored keeps the permissions of @introduceDomain and @releaseDomain in nodes",
        c=set(),
        ocaml={"@introduceDomain", "@releaseDomain"},
    ),
    "an owner that does not exist": _differ(
        "xenstored looks for the domain that a node is given to; in memory every domain exists",
        c="ENOENT",
        ocaml=None,
        memory=None,
    ),
    "events of a missing node whose parent is removed": _differ(
        "xenstored reports to the watches of nodes that went with it",
        c=[],
        ocaml=["t"],
    ),
    "events of a transaction that did things twice": _differ(
        "xenstored reports each node that changed once, in the order of their first use, "
        "oxenstored each request",
        c=["b", "a"],
        ocaml=["b", "a", "b", "undone", "undone"],
    ),
    "removing what lists a child that is gone": _differ(
        "oxenstored's transaction sees the store as it was at its start, xenstored's each node "
        "as it is when first used: it stumbles over the child, halfway",
        c="EIO",
        ocaml=None,
    ),
    "a long list over XenBus": _differ(
        "oxenstored answers in one message, which over XenBus it holds to 4096 bytes (E2BIG); "
        "it has no DIRECTORY_PART",
        c=None,
        ocaml="E2BIG",
    ),
    "a watch with a depth": _differ(
        "it came with Xen 4.22", c={(4, 14): "EINVAL", (4, 22): None}, ocaml="EINVAL", memory=None
    ),
    "releasing what was not introduced": _differ("different errnos", c="ENOENT", ocaml="EINVAL"),
    "resuming what was not introduced": _differ("different errnos", c="ENOENT", ocaml="EINVAL"),
    "a target that was not introduced": _differ("oxenstored does not look", c="ENOENT", ocaml=None),
    "words of control help": _differ(
        "oxenstored ignores commands that it does not know, and help is one",
        c=["help", "print"],
        ocaml=["OK"],
    ),
    "an unknown control command": _differ(
        "oxenstored ignores commands that it does not know", c="EINVAL", ocaml="OK"
    ),
    "a missing node below one that may not be read": _differ(
        "oxenstored tells that it is missing", c="EACCES", ocaml="ENOENT"
    ),
    "giving a node away": _differ(
        "different errnos", c={(4, 14): "EINVAL", (4, 17): "EPERM"}, ocaml="EACCES"
    ),
    "control by a guest": _differ("oxenstored ignores it from everyone", c="EACCES", ocaml="OK"),
    "a guest's value of 2,049 bytes": _differ("different errnos", c="ENOSPC", ocaml="E2BIG"),
    "a guest's nodes": _differ(
        _EQUOTA + "; since 4.22 xenstored allows one less than its quota",
        c={(4, 14): (1000, _NO_SPACE), (4, 22): (999, _NO_SPACE)},
        ocaml=(1000, _NO_ERRNO),
    ),
    "a guest's transactions": _differ(
        _EQUOTA + ", and EINVAL for pyxs.xs; both allow one more than their quota of 10, "
        "xenstored since 4.22 one less",
        c={(4, 14): (11, _NO_SPACE), (4, 22): (9, _NO_SPACE)},
        ocaml=(11, "Invalid argument"),
    ),
    "a guest's watches": _differ(
        _EQUOTA + "; xenstored allows one more than its quota of 128, since 4.22 one less, "
        "oxenstored one more than 100",
        c={(4, 14): (129, "Argument list too long"), (4, 22): (127, _NO_SPACE)},
        ocaml=(101, _NO_ERRNO),
    ),
    "features": _differ(
        "they came with Xen 4.21",
        c={(4, 14): "ENOSYS", (4, 21): "served"},
        ocaml="ENOSYS",
        memory="served",
    ),
    "quotas": _differ(
        "they came with Xen 4.22",
        c={(4, 14): "ENOSYS", (4, 22): "served"},
        ocaml="ENOSYS",
        memory="served",
    ),
    "a guest that may not hear of domains": _differ(
        "since 4.22 every guest may hear of releases",
        c={(4, 14): [], (4, 22): ["@releaseDomain"]},
        ocaml=[],
    ),
    "permissions of a special path": _differ(
        "since 4.18 the special paths are nodes; since 4.22 any domain may hear of releases",
        c={(4, 14): "EINVAL", (4, 18): ["n0"], (4, 22): ["n0", "r32757"]},
        ocaml=["n0"],
    ),
}

# Each key: an operation in a transaction, and another one outside before its commit.
DIFFERENCES.update(
    {
        "commit: " + case: _differ(
            "xenstored refuses a commit when any node used has another generation; oxenstored, "
            "when what was used in common has changed, runs the requests again and refuses it "
            "when their results are others",
            c="EAGAIN",
            ocaml=None,
        )
        for case in (
            "read, rewritten",
            "read, rewritten with the same value",
            "written, rewritten",
            "written, removed",
            "written, removed and made again",
            "found missing and another written, created",
            "read, child created",
            "created, sibling created",
            "permissions set, permissions set",
        )
    }
)
