"""``pyxs devices``: the states of devices, once or as they change."""

import argparse
import contextlib
import errno
import os

from ..client import Client
from ..exceptions import PyXSError
from .console import flush, on_terminal, show, shows_utf8
from .device_table import json_line, table
from .device_tree import TOP, Device, Devices

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable, Iterator, List, Optional, Sequence, Set, Tuple

    from ..monitor import Monitor

__all__ = ["devices"]

_CLEAR = "\x1b[H\x1b[2J"  # the cursor to the upper left corner, and all erased (ECMA-48)
_EVENTS_MAX = 1000  # how many are read before devices are shown again


def devices(client: Client, args: argparse.Namespace) -> None:
    _check_readable(client)
    known = Devices()
    if args.watch:
        with contextlib.closing(client.monitor()) as monitor:
            _follow(client, monitor, known, args.json)
    else:
        known.read(client)
        size = _terminal_size()
        _print(_lines(known.all(), args.json, size and size[0]))


def _check_readable(client: Client) -> None:
    """Fail if domains may not be listed; where there is no node yet, there are no devices."""
    try:
        client.ls(TOP)
    except PyXSError as exc:
        if exc.errno != errno.ENOENT:
            raise


def _follow(client: Client, monitor: "Monitor", known: Devices, as_json: bool) -> None:
    """Print all devices and then, without end, what changes; a terminal shows all of them anew."""
    monitor.watch(TOP)
    before: Optional[List[Device]] = None
    for paths in _changes(monitor):
        known.read(client, paths)
        now = known.all()
        size = None if as_json else _terminal_size()
        if now == before:
            continue
        if size is not None:
            _print([_CLEAR + "\n".join(_screen(now, *size))])
        elif before is None:
            _print(_lines(now, as_json, None))
        else:
            _print(_lines(_differing(before, now), as_json, None)[0 if as_json else 1 :])
        flush()
        before = now


def _changes(monitor: "Monitor") -> "Iterator[Set[str]]":
    """Yield the paths of all events that have arrived, as often as there are some."""
    for event in monitor:
        paths = {event.path}
        for _ in range(_EVENTS_MAX):
            more = monitor.check()
            if more is None:
                break
            paths.add(more.path)
        yield paths


def _differing(before: "List[Device]", now: "List[Device]") -> "List[Device]":
    """Return the devices that have changed; those that are gone have neither end."""
    known, present = set(before), {(device.domid, device.device) for device in now}
    gone = [
        device._replace(frontend=None, backend=None)
        for device in before
        if (device.domid, device.device) not in present
    ]
    return [device for device in now if device not in known] + gone


def _lines(devices: "List[Device]", as_json: bool, columns: "Optional[int]") -> "List[str]":
    return list(map(json_line, devices)) if as_json else _table(devices, columns)


def _table(devices: "Sequence[Device]", columns: "Optional[int]") -> "List[str]":
    return table(devices, columns, utf8=shows_utf8() or not on_terminal())


def _screen(devices: "List[Device]", columns: int, rows: int) -> "List[str]":
    """Return what fits on a terminal: if not all devices do, mismatches come first."""
    room = max(rows - 3, 1)  # besides the header, the last line, and that of the cursor
    if len(devices) <= room:
        return _table(devices, columns)
    shown = sorted(devices, key=lambda device: not device.mismatch)[:room]
    return _table(shown, columns) + ["{} more".format(len(devices) - room)]


def _print(lines: "Iterable[str]") -> None:
    show("".join(line + "\n" for line in lines).encode("utf-8"))


def _terminal_size() -> "Optional[Tuple[int, int]]":
    """Return the columns and lines of the terminal, ``None`` if the output is not one."""
    try:
        size = os.get_terminal_size(1)
    except OSError:
        return None
    # A serial line does not tell its size.
    return (size.columns, size.lines) if size.columns and size.lines else (80, 24)
