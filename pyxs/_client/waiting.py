"""Waits for the value of a node."""

from .._annotations import t
from ..helpers import decode_text, error, validate_path, validate_value
from ..monitor import seconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Optional, Union

    Condition = Union[t.Value, Callable[[str], object], None]


def wait_for(
    client: "t.Client", path: "t.Text", condition: "Condition", timeout: "Optional[float]"
) -> str:
    """Wait until a node exists and its value meets a condition; see :meth:`Client.wait_for`."""
    node = validate_path(path)
    satisfied = _satisfied(condition)
    if timeout is not None:
        timeout = seconds(timeout, "timeout")
    if client.tx_id:
        why = "a value does not change in a transaction"
        raise error("EALREADY", decode_text(node), why)
    from .._channels.waiting import wait_for_value

    return wait_for_value(client._pool, node, satisfied, timeout)


def _satisfied(condition: "Condition") -> "Callable[[str], object]":
    if condition is None:
        return lambda _value: True
    if callable(condition):
        return condition
    wanted = decode_text(validate_value(condition))
    return lambda value: value == wanted
