"""Daemons that die, lie and stall; threads, forks, signals, and bytes nobody planned.

Each test runs in a short form. ``PYXS_LONG=1 pytest tests/faults`` runs the long ones.
"""

import os

LONG = bool(os.environ.get("PYXS_LONG"))


def scaled(short, long):
    """So many in CI, so many when there is time."""
    return long if LONG else short


def resident_kib():
    """The memory of this process."""
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    raise AssertionError("no VmRSS")
