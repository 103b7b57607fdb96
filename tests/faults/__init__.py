"""Tests with daemons that fail, with threads, forks and signals, and with random input.

Each test runs in a short form. ``PYXS_LONG=1 pytest tests/faults`` runs the long ones.
"""

import os

LONG = bool(os.environ.get("PYXS_LONG"))


def scaled(short, long):
    """Return the number for the short form, or the one for the long form."""
    return long if LONG else short


def resident_kib():
    """Return how much memory this process uses, in KiB."""
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    raise AssertionError("no VmRSS")
