"""Deadlines, in seconds of :func:`time.monotonic`; ``None``: without limit."""

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional


class LateError(Exception):
    """A deadline has passed."""


def sooner(deadline: "Optional[float]", seconds: "Optional[float]") -> "Optional[float]":
    """Return the deadline, or that of a timeout which begins now if it is earlier."""
    if seconds is None:
        return deadline
    due = time.monotonic() + seconds
    return due if deadline is None else min(due, deadline)


def has_passed(deadline: "Optional[float]") -> bool:
    """Return whether a deadline has passed."""
    return deadline is not None and time.monotonic() >= deadline


def milliseconds(deadline: "Optional[float]") -> "Optional[int]":
    """Return the time until a deadline for poll(), rounded up, so that it does not end early."""
    if deadline is None:
        return None
    return int(max(0.0, deadline - time.monotonic()) * 1000 + 0.999)
