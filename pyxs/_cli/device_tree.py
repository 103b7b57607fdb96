"""The devices of all domains, from the nodes of their frontends and backends."""

import re
from collections import namedtuple

from .device_states import word

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Iterable, List, Optional, Pattern, Tuple

    from ..client import Client

__all__ = ["TOP", "Device", "Devices", "End"]

TOP = "/local/domain"


def _pattern(text: str) -> "List[Pattern[str]]":
    return [re.compile(name) for name in text.split()]


# What is read: an expression for each name in a path.
_NAME = _pattern(r"local domain \d+ name")
_FRONTEND = _pattern(r"local domain \d+ device .+ \d+ state|backend")
_BACKEND = _pattern(r"local domain \d+ backend .+ \d+ \d+ state|frontend")
_PATTERNS = (_NAME, _FRONTEND, _BACKEND)


class End(namedtuple("End", ["path", "state"])):
    """A frontend or a backend."""

    __slots__ = ()

    path: str
    state: "Optional[str]"  #: the value of its node ``state``, ``None`` if there is none

    @property
    def word(self) -> "Optional[str]":
        """The word for its state, or the state as it is; ``None`` if there is none."""
        return self.state and (word(self.state) or self.state)


class Device(namedtuple("Device", ["domid", "name", "device", "frontend", "backend"])):
    """A device of a domain."""

    __slots__ = ()

    domid: int  #: the domain of the frontend
    name: "Optional[str]"  #: the name of the domain, which the domain may have chosen
    device: str  #: class and number, such as ``vif/0``
    frontend: "Optional[End]"  #: ``None``: it is missing
    backend: "Optional[End]"

    @property
    def mismatch(self) -> bool:
        """Whether an end is missing, or the states of both ends differ."""
        frontend, backend = self.frontend, self.backend
        return frontend is None or backend is None or frontend.state != backend.state


class Devices:
    """Knows the devices of all domains, and reads them again where something has changed."""

    def __init__(self) -> None:
        self._names: Dict[str, str] = {}  # by domid
        # By path. An end is the nodes that are read of it, with their values.
        self._frontends: Dict[str, Dict[str, str]] = {}
        self._backends: Dict[str, Dict[str, str]] = {}

    def read(self, client: "Client", tops: "Iterable[str]" = (TOP,)) -> None:
        """Read what is at and below nodes.

        :param tops: the paths of nodes that have changed.
        """
        for path in _distinct(_unit(top) for top in tops if _is_read(top)):
            self._forget(path)
            for visited, value, children in client.walk(path):
                self._learn(visited, value)
                prefix = visited + "/"
                children[:] = [name for name in children if _is_read(prefix + name)]

    def all(self) -> "List[Device]":
        """Return the devices in the order of domids, classes and numbers."""
        devices = []
        alone = dict(self._backends)
        for path, end in self._frontends.items():
            # A domain may write the path of any backend into its frontend.
            backend = end.get("backend", "")
            mutual = self._backends.get(backend, {}).get("frontend") == path
            names = path.split("/")
            devices.append(
                self._device(
                    names[3],
                    "/".join(names[5:]),
                    _end(path, end),
                    _end(backend, alone.pop(backend)) if mutual else None,
                )
            )
        for path, end in alone.items():
            device = _device_of(path, end.get("frontend", ""))
            if device is not None:
                devices.append(self._device(path.split("/")[6], device, None, _end(path, end)))
        return sorted(devices, key=_order)

    def _device(
        self, domid: str, device: str, frontend: "Optional[End]", backend: "Optional[End]"
    ) -> Device:
        return Device(int(domid), self._names.get(domid), device, frontend, backend)

    def _forget(self, top: str) -> None:
        below = top + "/"
        for ends in (self._frontends, self._backends):
            for path in [path for path in ends if path == top or path.startswith(below)]:
                del ends[path]
        for domid in list(self._names):
            path = "{}/{}/name".format(TOP, domid)
            if path == top or path.startswith(below):
                del self._names[domid]

    def _learn(self, path: str, value: str) -> None:
        names = path.split("/")[1:]
        above = path.rpartition("/")[0]
        for pattern, ends in ((_FRONTEND, self._frontends), (_BACKEND, self._backends)):
            if not _matches(names, pattern):
                continue
            if len(names) == len(pattern) - 1:
                ends.setdefault(path, {})
            elif len(names) == len(pattern):
                ends.setdefault(above, {})[names[-1]] = value
        if len(names) == len(_NAME) and names[-1] == "name":
            self._names[names[2]] = value


def _device_of(backend: str, frontend: str) -> "Optional[str]":
    """Return class and number of the device of a backend whose frontend is missing.

    :param frontend: its path as the backend has it.
    :returns: ``None``: it is a console or the like, whose frontend is elsewhere and has no state.
    """
    names = backend.split("/")
    own = "{}/{}/".format(TOP, names[6])
    if frontend.startswith(own) and not frontend.startswith(own + "device/"):
        return None
    parts = frontend.split("/")
    if frontend.startswith(own) and len(parts) == len(_FRONTEND) and _matches(parts[1:], _FRONTEND):
        return "/".join(parts[5:])
    return names[5] + "/" + names[7]


def _end(path: str, nodes: "Dict[str, str]") -> End:
    return End(path, nodes.get("state"))


def _order(device: Device) -> "Tuple[object, ...]":
    class_, _, number = device.device.partition("/")
    return device.domid, class_, int(number), device.frontend is None


def _is_read(path: str) -> bool:
    """Return whether the node or something below it is read."""
    names = path.split("/")[1:]
    return any(_matches(names, pattern) for pattern in _PATTERNS)


def _matches(names: "List[str]", pattern: "List[Pattern[str]]") -> bool:
    return len(names) <= len(pattern) and all(
        wanted.fullmatch(name) for wanted, name in zip(pattern, names)
    )


def _unit(path: str) -> str:
    """Return the path of the end that a node belongs to; its nodes are read together."""
    names = path.split("/")[1:]
    for pattern in (_FRONTEND, _BACKEND):
        if len(names) == len(pattern) and _matches(names, pattern):
            return path.rpartition("/")[0]
    return path


def _distinct(paths: "Iterable[str]") -> "List[str]":
    """Return the paths without those that are below another of them."""
    distinct: List[str] = []
    for path in sorted(set(paths), key=lambda path: path.split("/")):
        if not distinct or not path.startswith(distinct[-1] + "/"):
            distinct.append(path)
    return distinct
