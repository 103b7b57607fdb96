"""``pyxs quota`` and ``pyxs feature``: what the daemon allows and offers domains."""

import errno

from ..exceptions import PyXSError
from .console import CommandError, about, show

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Callable, List, TypeVar

    from ..client import Client

    T = TypeVar("T")

__all__ = ["feature", "quota"]

#: By bit, from 0 on: XENSTORE_SERVER_FEATURE_* of *xs_wire.h*.
_FEATURES = ("reconnection", "error", "watch-depth", "domid-any")


def quota(client: "Client", args: "argparse.Namespace") -> None:
    name, domid = args.name, args.domid
    if args.value is not None:
        _asked("quota " + name, lambda: client.set_quota(name, args.value, domid), "4.22")
        return
    if name is not None:
        value = _asked("quota " + name, lambda: client.get_quota(name, domid), "4.22")
        show(b"%d\n" % value)
        return
    lines: List[str] = []
    for each in _asked("quotas", client.get_quota, "4.22"):
        with about("quota " + each):
            lines.append("{}: {}\n".format(each, client.get_quota(each, domid)))
    show("".join(lines).encode("utf-8"))


def feature(client: "Client", args: "argparse.Namespace") -> None:
    bits = _asked("features", lambda: client.get_feature(args.domid), "4.21")
    for number in range(bits.bit_length()):
        if bits >> number & 1:
            known = number < len(_FEATURES)
            name = _FEATURES[number] if known else "bit {}".format(number)
            show(name.encode("ascii") + b"\n")


def _asked(what: str, ask: "Callable[[], T]", since: str) -> "T":
    """Return the answer to a request that came with a version of Xen.

    :raises CommandError: the daemon refused.
    """
    try:
        with about(what):
            return ask()
    except CommandError as exc:
        cause = exc.__cause__
        if isinstance(cause, PyXSError) and cause.errno == errno.ENOSYS:
            raise CommandError(
                "{}: this daemon does not know the request, which came with Xen {}".format(
                    what, since
                )
            ) from cause
        raise
