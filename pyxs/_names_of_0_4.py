"""The replacements of names of pyxs 0.4, for the message of an ``AttributeError``."""

from typing import Dict

CLIENT = {
    "ack": "it is execute_command()",
    "commit": "it is transaction_end(), or the end of the with block of transaction()",
    "connect": "it is not needed: a client connects at its first command",
    "delete": "it is rm()",
    "get_perms": "it is get_permissions()",
    "list": "it is ls()",
    "rollback": "it is transaction_end(commit=False)",
    "router": "it is not needed: see client.connection",
    "set_perms": "it is set_permissions()",
}

MONITOR = {
    "client": "it is not needed: a monitor has a connection of its own",
    "events": "it is not needed: see check()",
    "watched": "there is none: your program has to remember its watches",
}

PACKAGE = {
    "Router": "there is none: a Client takes a connection, and many threads may use it",
}


def missing(message: str, name: str, names: "Dict[str, str]") -> AttributeError:
    """Return the exception for an attribute that does not exist.

    :param message: the message of the interpreter.
    :param names: the replacement of each name that the object had in 0.4.
    """
    now = names.get(name)
    return AttributeError(message if now is None else "{}; since pyxs 1.0 {}".format(message, now))
