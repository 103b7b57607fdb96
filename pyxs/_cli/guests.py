"""The nodes that a guest finds at its home, for ``pyxs run --domid`` and ``serve --domid``."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterable

__all__ = ["with_guests"]

# As libxl makes them (libxl_create.c): the guest may read its home, and write a few nodes below.
_READABLE = ("cpu", "memory", "device", "control")
_WRITABLE = (
    "control/shutdown",
    "control/feature-poweroff",
    "control/feature-reboot",
    "control/feature-suspend",
    "control/sysrq",
    "data",
    "drivers",
    "feature",
    "attr",
    "error",
)


def with_guests(snapshot: "Dict[str, Any]", domids: "Iterable[int]") -> "Dict[str, Any]":
    """Return a snapshot that has a home for each domain, also for those that it lacks."""
    whole = dict(snapshot)
    for domid in domids:
        home = "/local/domain/{}".format(domid)
        if not any(path == home or path.startswith(home + "/") for path in snapshot):
            whole.update(_home(home, domid))
    return whole


def _home(home: str, domid: int) -> "Dict[str, Any]":
    readable, writable = ["n0", "r{}".format(domid)], ["n{}".format(domid)]
    nodes = {
        home: {"value": "", "perms": readable},
        home + "/name": {"value": "guest-{}".format(domid), "perms": readable},
        home + "/domid": {"value": str(domid), "perms": readable},
    }
    for names, perms in ((_READABLE, readable), (_WRITABLE, writable)):
        for name in names:
            nodes["{}/{}".format(home, name)] = {"value": "", "perms": perms}
    return nodes
