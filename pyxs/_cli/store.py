"""Connects to the store that a command line names."""

import os

from .._choice import named_connection
from ..client import Client
from ..connection import PacketConnection, UnixSocketConnection, XenBusConnection
from ..exceptions import ConnectionError
from .console import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import List

__all__ = ["connected_client"]

#: What the C programs print when they cannot connect, by subcommand.
_PHRASES = dict.fromkeys(
    ("chmod", "exists", "list", "ls", "read", "rm", "watch", "write"), "xs_open"
)
_PHRASES["control"] = "Failed to contact Xenstored"


def connected_client(args: "argparse.Namespace") -> Client:
    """Return a client that is connected to the store that the arguments name.

    :raises CommandError: no connection can be made; the message says why.
    """
    failure = ""
    for connection in _connections(args):
        try:
            return Client(connection=connection).__enter__()
        except ConnectionError as exc:
            failure = str(exc)
    phrase = _PHRASES.get(args.subcommand)
    raise CommandError(failure if phrase is None else "{}: {}".format(phrase, failure))


def _connections(args: "argparse.Namespace") -> "List[PacketConnection]":
    """Return the connections to try, in order."""
    if args.socket is not None:
        return [UnixSocketConnection(args.socket)]
    if args.device is not None:
        return [XenBusConnection(args.device)]
    if args.xenbus:
        return [XenBusConnection()]
    named = named_connection()
    if named is not None:
        return [named]
    device = XenBusConnection()
    if args.socket_only or not os.path.exists(device.path):
        return [UnixSocketConnection()]
    return [UnixSocketConnection(), device]
