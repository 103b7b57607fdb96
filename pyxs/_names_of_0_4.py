"""The replacements of names of pyxs 0.4, for the message of an ``AttributeError``."""

from ._annotations import t

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


class _Absent:
    """A name that a class had in 0.4: asking for it raises an ``AttributeError`` that helps.

    ``__getattr__`` would do as well, and would make every other attribute slower.
    """

    def __init__(self, name: str, now: str) -> None:
        self._name = name
        self._now = now

    def __get__(self, instance: "t.Any", owner: type) -> "t.NoReturn":
        subject = "type object {!r}" if instance is None else "{!r} object"
        said = "{} has no attribute {!r}".format(subject.format(owner.__name__), self._name)
        raise AttributeError(with_note(said, self._now))


def explain(cls: type, names: "t.Dict[str, str]") -> None:
    """Let a class say what became of the names that it had in 0.4, and not list them."""

    def listed(self: object) -> "t.List[str]":
        """Return the names of the attributes that are there."""
        return [name for name in object.__dir__(self) if name not in names]

    for name, now in names.items():
        setattr(cls, name, _Absent(name, now))
    cls.__dir__ = listed  # type: ignore[assignment, method-assign]


def with_note(message: str, now: str) -> str:
    """Return what the interpreter would say, and what the name is now."""
    return "{}; since pyxs 1.0 {}".format(message, now)
