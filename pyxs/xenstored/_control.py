"""The commands of CONTROL that an in-memory store supports."""

from typing import Callable, Dict, List, Tuple

from ._errors import Refused
from ._numbers import number
from .store import Store

_SOFT = b"soft-"
_INT_MAX = 0x7FFFFFFF


def run(store: Store, command: bytes, arguments: "List[bytes]") -> bytes:
    """Run a command and return its output.

    :raises Refused: ``EINVAL``: no such command, or wrong arguments.
    """
    try:
        handler, _syntax = _COMMANDS[command]
    except KeyError:
        raise Refused("EINVAL") from None
    return handler(store, arguments) + b"\0"


def _help(_store: Store, arguments: "List[bytes]") -> bytes:
    _expect(not arguments)
    return b"".join(b"%s\t%s\n" % (name, syntax) for name, (_, syntax) in _COMMANDS.items())


def _check(_store: Store, arguments: "List[bytes]") -> bytes:
    _expect(not arguments)
    return b"OK"


def _log(_store: Store, arguments: "List[bytes]") -> bytes:
    _expect(arguments in ([b"on"], [b"off"]))
    return b"OK"


def _print(_store: Store, arguments: "List[bytes]") -> bytes:
    _expect(len(arguments) == 1)
    return b"OK"


def _quota(store: Store, arguments: "List[bytes]") -> bytes:
    if len(arguments) == 1:
        domid = number(arguments[0])
        lines = [b"%-16s: %8d\n" % used for used in store.usage(domid).items()]
        return b"Domain %d:\n" % domid + b"".join(lines)
    return _quotas(store, arguments, b"")


def _soft_quota(store: Store, arguments: "List[bytes]") -> bytes:
    return _quotas(store, arguments, _SOFT)


def _quotas(store: Store, arguments: "List[bytes]", prefix: bytes) -> bytes:
    quotas = {
        name[len(prefix) :]: quota
        for name, quota in store.version.quotas.items()
        if name.startswith(_SOFT) == bool(prefix)
    }
    if not arguments:
        lines = [
            b"%-17s: %8d %s\n" % (name, store.domains.limits[prefix + name], quota.meaning)
            for name, quota in quotas.items()
        ]
        return b"Quota settings:\n" + b"".join(lines)
    _expect(len(arguments) == 3 and arguments[0] == b"set" and arguments[1] in quotas)
    value = number(arguments[2])
    # From a number that C's int cannot hold, the C daemon would take the low 32 bits.
    _expect(0 < value <= _INT_MAX)
    store.domains.set_limit(prefix + arguments[1], value)
    return b"OK"


def _expect(right: bool) -> None:
    if not right:
        raise Refused("EINVAL")


_COMMANDS: "Dict[bytes, Tuple[Callable[[Store, List[bytes]], bytes], bytes]]" = {
    b"check": (_check, b""),
    b"log": (_log, b"on|off"),
    b"print": (_print, b"<string>"),
    b"quota": (_quota, b"[set <name> <val>|<domid>]"),
    b"quota-soft": (_soft_quota, b"[set <name> <val>]"),
    b"help": (_help, b""),
}
