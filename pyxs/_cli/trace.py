"""``pyxs trace``: runs a command and prints the requests that it sends to the daemon."""

import argparse
import os
import sys
import threading
import time

from ..connection import UnixSocketConnection
from . import child
from .console import CommandError, warn
from .relay import Observer, Relay
from .store import connected_client
from .trace_stream import Streams
from .trace_text import Summary, json_line, plain_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterable

    from .trace_stream import Exchange

__all__ = ["trace"]


def trace(args: argparse.Namespace) -> int:
    """Run a command and return its exit status, as ``pyxs run`` does."""
    path = _daemon_path(args)
    output = _Output(args.output)
    tracer = _Tracer(output, args.json)
    try:
        with Relay(path, tracer) as relay, child.SignalForwarder(relay.stop) as forwarder:
            process = child.start(args.command, relay.path)
            forwarder.attach(process)

            def wait() -> None:
                process.wait()
                relay.finish()

            waiter = threading.Thread(target=wait, name="pyxs-trace", daemon=True)
            waiter.start()
            relay.run()
            waiter.join()
        tracer.end()
    finally:
        output.close()
    return child.exit_status(process.returncode)


def _daemon_path(args: argparse.Namespace) -> str:
    """Return the path of the socket that the command line or the environment names.

    :raises CommandError: no daemon answers there, or it is a XenBus device.
    """
    client = connected_client(args)
    connection = client.connection
    client.close()
    if not isinstance(connection, UnixSocketConnection):
        raise CommandError(
            "{}: a XenBus device; trace needs the socket of a daemon".format(connection.path)
        )
    return os.fspath(connection.path)


class _Tracer(Observer):
    """Prints what a relay forwards."""

    def __init__(self, output: "_Output", as_json: bool) -> None:
        self._output = output
        self._json = as_json
        self._streams: Dict[int, Streams] = {}
        self._summary = Summary()
        self._clock = time.time() - time.monotonic()

    def opened(self, number: int) -> None:
        self._streams[number] = Streams(number)

    def refused(self, number: int, error: OSError) -> None:
        warn("pyxs trace: connection {}: {}".format(number, error.strerror))

    def sent(self, number: int, data: bytes, now: float) -> None:
        self._streams[number].send(data, now)

    def received(self, number: int, data: bytes, now: float) -> None:
        self._print(self._streams[number].receive(data, now))

    def closed(self, number: int, now: float) -> None:
        streams = self._streams.pop(number)
        self._print(streams.end(now))
        if streams.unfinished:
            warn("pyxs trace: connection {}: it ended inside a message".format(number))
        self._summary.add_connection(streams.round_trips)

    def end(self) -> None:
        """Print the summary."""
        summary = self._summary
        self._output.write([summary.json(self._clock) if self._json else summary.plain()])

    def _print(self, exchanges: "Iterable[Exchange]") -> None:
        line = json_line if self._json else plain_line
        lines = []
        for exchange in exchanges:
            self._summary.add(exchange)
            lines.append(line(exchange, self._clock))
        self._output.write(lines)


class _Output:
    """Where the lines go. A failure to write does not end the command that is traced.

    :param path: ``None``: to the standard error.
    :raises OSError: the file cannot be opened.
    """

    def __init__(self, path: "Any") -> None:
        self._name = path or "standard error"
        self._file = None
        if path is not None:
            self._file = open(path, "wb", buffering=0)  # noqa: SIM115  # close() closes it
        elif sys.stderr is not None:
            self._file = open(sys.stderr.fileno(), "wb", buffering=0, closefd=False)  # noqa: SIM115

    def write(self, lines: "Iterable[str]") -> None:
        """Write lines at once."""
        data = memoryview("".join(line + "\n" for line in lines).encode("ascii"))
        try:
            while data and self._file is not None:
                data = data[self._file.write(data) or 0 :]
        except OSError as exc:
            self.close()
            warn("pyxs trace: {}: {}; nothing more is printed".format(self._name, exc.strerror))

    def close(self) -> None:
        """Close the file; nothing more is written."""
        if self._file is not None:
            self._file.close()
            self._file = None
