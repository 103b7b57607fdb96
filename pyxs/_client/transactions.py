"""The clients of transactions: how they are made, and what is said when one is not used."""

from .._annotations import t
from .._channels.transaction import start_transaction
from ..helpers import error, warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .._channels.transaction import Transaction


def start_own(client: "t.Client") -> "Transaction":
    """Start a transaction of a client itself."""
    from .._channels.turns import Turn, Turns

    # setdefault() is atomic: two threads get the same.
    turns: Turns = vars(client).setdefault("_starting", Turns())
    turn = Turn()
    turns.enter(turn)
    try:
        client._running = running = _start(client)
    finally:
        turns.leave(turn)
    return running


def client_in_transaction(client: "t.Client") -> "t.Client":
    """Return a new client like another, in a new transaction."""
    running = _start(client)
    twin = _twin(client)
    twin._borrowed = True
    twin._running = running
    running.is_used = False  # so far, for warn_unused()
    return twin


def _start(client: "t.Client") -> "Transaction":
    if client._running is None:
        return start_transaction(client._pool)
    raise error("EALREADY", why="this client is in a transaction, and they do not nest")


def _twin(client: "t.Client") -> "t.Client":
    """Return a client with the attributes of another, whatever its class takes as arguments."""
    twin: t.Client = object.__new__(type(client))
    vars(twin).update(vars(client))
    for cls in type(client).__mro__[:-2]:  # but not of Client and object, which have none
        slots = vars(cls).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name[:2] == "__" != name[-2:]:
                name = "_{}{}".format(cls.__name__.lstrip("_"), name)  # as the compiler has it
            if name not in ("__dict__", "__weakref__") and hasattr(client, name):
                setattr(twin, name, getattr(client, name))
    for name in ("_own_monitor", "_starting"):
        vars(twin).pop(name, None)
    return twin


def warn_unused() -> None:
    """Warn that nothing was asked in a transaction up to the end of its ``with`` block."""
    warn(
        "nothing was asked in this transaction; if the block wrote with another client, that was "
        "written at once. Write 'with client.transaction() as t:', and use t in the block"
    )


def warn_dropped(running: "Transaction") -> None:
    """Warn that a client was dropped in a transaction, from its ``__del__``."""
    # Not a ResourceWarning, which Python hides by default: the program may have written
    # outside the transaction what it meant to write in it.
    warn(
        "transaction {} was neither committed nor aborted before its client was dropped; "
        "it is aborted. Use the client that transaction() returns, in a with block".format(
            running.tx_id
        ),
        source=running,  # not the client, of which tracemalloc has no traceback on Python 3.11
    )
