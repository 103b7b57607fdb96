"""Deadlines, in seconds of :func:`time.monotonic`; ``None``: without limit."""

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional


class LateError(Exception):
    """A deadline has passed."""


def sooner(one: "Optional[float]", other: "Optional[float]") -> "Optional[float]":
    """Return the earlier of two deadlines."""
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


def milliseconds(deadline: "Optional[float]") -> "Optional[int]":
    """Return the time until a deadline as poll() takes it.

    It is rounded up, so that the wait does not end before the deadline.
    """
    if deadline is None:
        return None
    return int(max(0.0, deadline - time.monotonic()) * 1000 + 0.999)
