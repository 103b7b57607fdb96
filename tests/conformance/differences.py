"""The known differences between daemons. Tests assert them exactly, and ``docs/`` shows them.

An entry has, for each daemon, what a call returns or the name of its errno. Where versions
differ too, that is a dictionary by the first version that behaves so. Unless the entry says
otherwise, the in-memory daemon does what the C daemon of Xen 4.17 does.
"""

from typing import Any, NamedTuple

#: The versions of Xen whose daemons run these tests.
VERSIONS = ((4, 14), (4, 17), (4, 20))


class _Difference(NamedTuple):
    why: str
    c: Any
    ocaml: Any
    memory: Any

    def answer(self, kind, version=None):
        """Return what a daemon of this kind and version of Xen does."""
        answer = getattr(self, kind)
        if not isinstance(answer, dict):
            return answer
        return answer[max(since for since in answer if since <= version)]


_AS_C = object()


def _differ(why, c, ocaml, memory=_AS_C):
    row = _Difference(why, c, ocaml, memory)
    return row if memory is not _AS_C else row._replace(memory=row.answer("c", (4, 17)))


_EQUOTA = "oxenstored answers EQUOTA, which is no errno"
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
        "only Xen's head knows it", c="EINVAL", ocaml="EINVAL", memory=None
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
        _EQUOTA, c=(1000, "No space left on device"), ocaml=(1000, _NO_ERRNO)
    ),
    "a guest's transactions": _differ(
        _EQUOTA + "; both allow one more than their quota of 10",
        c=(11, "No space left on device"),
        ocaml=(11, _NO_ERRNO),
    ),
    "a guest's watches": _differ(
        _EQUOTA + "; xenstored allows one more than its quota of 128, and oxenstored than 100",
        c=(129, "Argument list too long"),
        ocaml=(101, _NO_ERRNO),
    ),
    "features and quotas": _differ(
        "only Xen's head knows these requests", c="ENOSYS", ocaml="ENOSYS", memory="served"
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
