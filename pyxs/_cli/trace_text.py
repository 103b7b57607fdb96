"""The lines and the summary of ``pyxs trace``; without I/O."""

import json
import time
from collections import namedtuple

from .._records import make_value
from .._wire.packets import OPS, Op
from .format import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Sequence, Tuple

    from .trace_stream import Exchange, Frame

__all__ = ["Summary", "json_line", "plain_line"]

_SHOWN_MAX = 200  # bytes of a value or a list in a plain line; --json shows all
_SLOWEST = 3  # how many the summary lists

_WITH_PATH = frozenset(
    (
        Op.DIRECTORY,
        Op.DIRECTORY_PART,
        Op.READ,
        Op.GET_PERMS,
        Op.SET_PERMS,
        Op.WATCH,
        Op.UNWATCH,
        Op.WATCH_EVENT,
        Op.WRITE,
        Op.MKDIR,
        Op.RM,
    )
)
_LISTS = frozenset((Op.DIRECTORY, Op.DIRECTORY_PART, Op.GET_PERMS))


class _Request(namedtuple("_Request", ["path", "args", "value"])):
    """What the payload of a request or an event says."""

    __slots__ = ()

    path: "Optional[bytes]"
    args: "List[bytes]"  #: the strings after the path; all of them if there is no path
    value: "Optional[bytes]"  #: what WRITE writes


def _parsed(frame: "Frame") -> _Request:
    payload = frame.payload
    if payload is None:
        return _Request(None, [b"<%d bytes>" % frame.size], None)
    if frame.op == Op.WRITE:
        path, end, value = payload.partition(b"\0")
        return _Request(path, [], value if end else None)
    strings = _strings(payload)
    if frame.op in _WITH_PATH and strings:
        return _Request(strings[0], strings[1:], None)
    return _Request(None, [string for string in strings if string], None)


def _strings(payload: bytes) -> "List[bytes]":
    strings = payload.split(b"\0")
    if not strings[-1]:
        strings.pop()
    return strings


def _error(reply: "Optional[Frame]") -> "Optional[str]":
    """Return the errno's name in a reply, ``None`` if the request succeeded."""
    if reply is None or reply.op != Op.ERROR:
        return None
    return _text((reply.payload or b"").rstrip(b"\0"))


def _text(data: bytes) -> str:
    return escape(data).decode("ascii")


def _name(op: int) -> str:
    return OPS[op].name if op in OPS else str(op)


# -- lines ---------------------------------------------------------------------------------


def plain_line(exchange: "Exchange", clock: float) -> str:
    """Return the line for a request and its reply, or for an event.

    :param clock: what to add to the times of *exchange* to get seconds since 1970.
    """
    words = [_time(exchange.sent + clock), str(exchange.connection), _description(exchange.message)]
    if exchange.request is None:
        if exchange.message.op != Op.WATCH_EVENT:
            words.append("-> a reply to no request")
    elif exchange.reply is None:
        words.append("-> no reply")
    else:
        words.append("-> {}  {} us".format(_plain_result(exchange.reply), _us(exchange)))
    return " ".join(words)


def _time(seconds: float) -> str:
    whole, fraction = divmod(int(seconds * 1000000), 1000000)
    return time.strftime("%H:%M:%S", time.gmtime(whole)) + ".{:06}".format(fraction)


def _us(exchange: "Exchange") -> int:
    return round((exchange.received - exchange.sent) * 1000000)


def _description(frame: "Frame") -> str:
    path, args, value = _parsed(frame)
    words = ["{:<9}".format(_name(frame.op))]
    if frame.tx_id and frame.op != Op.WATCH_EVENT:
        words.append("tx={}".format(frame.tx_id))
    if path is not None:
        words.append(_text(path))
    words += [_shortened(arg) for arg in args]
    if value is not None:
        words.append('"{}"'.format(_shortened(value)))
    return " ".join(words).rstrip()


def _plain_result(reply: "Frame") -> str:
    error = _error(reply)
    if error is not None:
        return error
    if reply.payload is None:
        return "<{} bytes>".format(reply.size)
    if reply.op == Op.READ:
        return '"{}"'.format(_shortened(reply.payload))
    text = _shortened(b" ".join(_strings(reply.payload)))
    return "[{}]".format(text) if reply.op in _LISTS else text


def _shortened(data: bytes) -> str:
    if len(data) <= _SHOWN_MAX:
        return _text(data)
    return "{}... ({} bytes)".format(_text(data[:_SHOWN_MAX]), len(data))


def json_line(exchange: "Exchange", clock: float) -> str:
    """Return the JSON object for a request and its reply, or for an event, in one line."""
    frame, reply = exchange.message, exchange.reply
    path, args, value = _parsed(frame)
    line: Dict[str, Any] = {
        "time": round(exchange.sent + clock, 6),
        "connection": exchange.connection,
        "op": _name(frame.op),
        "rq_id": frame.rq_id,
        "tx_id": frame.tx_id,
        "path": None if path is None else make_value(path),
        "args": [make_value(arg) for arg in args],
    }
    if value is not None:
        line["value"] = make_value(value)
    if exchange.request is not None:
        line["result"] = None if reply is None else _json_result(reply)
        line["error"] = _error(reply)
        line["us"] = None if reply is None else _us(exchange)
    return json.dumps(line)


def _json_result(reply: "Frame") -> "Any":
    if reply.op == Op.ERROR or reply.payload is None:
        return None
    if reply.op == Op.READ:
        return make_value(reply.payload)
    strings = [make_value(string) for string in _strings(reply.payload)]
    if reply.op in _LISTS or len(strings) > 1:
        return strings
    return strings[0] if strings else ""


# -- the summary ---------------------------------------------------------------------------


class _Total:
    """The requests of one operation."""

    def __init__(self) -> None:
        self.requests = 0
        self.errors = 0
        self.us = 0
        self.us_max = 0


class Summary:
    """Counts requests and events."""

    def __init__(self) -> None:
        self._totals: Dict[int, _Total] = {}
        self._slowest: List[Tuple[int, Exchange]] = []
        self._events = 0
        self._connections = 0
        self._round_trips = 0

    def add(self, exchange: "Exchange") -> None:
        """Count a request and its reply, or an event."""
        if exchange.request is None:
            self._events += exchange.message.op == Op.WATCH_EVENT
            return
        total = self._totals.setdefault(exchange.request.op, _Total())
        total.requests += 1
        if exchange.reply is None:
            return
        us = _us(exchange)
        total.errors += exchange.reply.op == Op.ERROR
        total.us += us
        total.us_max = max(total.us_max, us)
        if len(self._slowest) < _SLOWEST or us > self._slowest[-1][0]:
            self._slowest.append((us, exchange))
            self._slowest.sort(key=lambda pair: -pair[0])
            del self._slowest[_SLOWEST:]

    def add_connection(self, round_trips: int) -> None:
        """Count a connection that has ended."""
        self._connections += 1
        self._round_trips += round_trips

    def plain(self) -> str:
        """Return the summary as lines."""
        requests = sum(total.requests for total in self._totals.values())
        lines = [
            "{}, {}, {}, {}".format(
                _counted(requests, "request"),
                _counted(self._round_trips, "round trip"),
                _counted(self._events, "event"),
                _counted(self._connections, "connection"),
            )
        ]
        if requests:
            lines.append("requests   errors         us   mean us    max us")
        for op, total in self._ordered():
            lines.append(
                "{:8} {:8} {:10} {:9} {:9}  {}".format(
                    total.requests,
                    total.errors,
                    total.us,
                    round(total.us / total.requests),
                    total.us_max,
                    _name(op),
                )
            )
        if self._slowest:
            lines.append("slowest:")
        for us, exchange in self._slowest:
            lines.append(
                "{:8} us  {} {}".format(us, exchange.connection, _description(exchange.message))
            )
        return "\n".join(lines)

    def json(self, clock: float) -> str:
        """Return the summary as a JSON object in one line."""
        summary = {
            "requests": sum(total.requests for total in self._totals.values()),
            "round_trips": self._round_trips,
            "events": self._events,
            "connections": self._connections,
            "ops": {
                _name(op): {
                    "requests": total.requests,
                    "errors": total.errors,
                    "us": total.us,
                    "us_max": total.us_max,
                }
                for op, total in self._ordered()
            },
            "slowest": [json.loads(json_line(exchange, clock)) for _us, exchange in self._slowest],
        }
        return json.dumps({"summary": summary})

    def _ordered(self) -> "Sequence[Tuple[int, _Total]]":
        return sorted(self._totals.items(), key=lambda item: -item[1].us)


def _counted(number: int, noun: str) -> str:
    return "{} {}{}".format(number, noun, "" if number == 1 else "s")
