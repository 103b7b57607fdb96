"""The arguments of ``pyxs devices`` and ``pyxs trace``."""

from .parsers import add_on_store
from .run import later, on_store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["add_devices", "add_trace"]

_DEVICES_TEXT = """\
'!=' marks a device whose ends are in different states, or have only one end. On a terminal,
--watch shows all devices again when one changes; otherwise it prints those that change, and
one that is gone with two missing ends.

"""


def add_devices(subcommands: "Any") -> None:
    """Add the parser of ``pyxs devices``."""
    devices = add_on_store(
        subcommands,
        "devices",
        "print the devices of all domains, with the states of frontend and backend",
        "pyxs devices | grep '!='",
        on_store("devices", "devices"),
    )
    devices.add_argument("-w", "--watch", action="store_true", help="go on, and print what changes")
    devices.add_argument("--json", action="store_true", help="print a JSON object for each device")
    devices.epilog = _DEVICES_TEXT + str(devices.epilog)


_TRACE_TEXT = """\
The command finds a socket in $XENSTORED_PATH that forwards to the daemon. Each line has the time
in UTC, the number of the connection, the operation, its transaction, its arguments, the result or
the name of the error, and the microseconds until the reply. The summary counts requests, errors
and round trips: how often a connection waited for a reply before it sent more. If the command
leaves processes behind, pyxs forwards until their last connection ends, or until Ctrl-C.

"""


def add_trace(subcommands: "Any") -> None:
    """Add the parser of ``pyxs trace``."""
    trace = add_on_store(
        subcommands,
        "trace",
        "run a command and print each request that it sends to the daemon",
        "pyxs trace -o requests.txt -- xl list",
        later("trace", "trace"),
        options_first=True,
    )
    trace.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="print to a file; by default to the standard error",
    )
    trace.add_argument(
        "--json",
        action="store_true",
        help="print a JSON object for each request, for each event, and for the summary",
    )
    trace.add_argument(
        "command", metavar="COMMAND", nargs="+", help="the command and its arguments"
    )
    trace.epilog = _TRACE_TEXT + str(trace.epilog)
