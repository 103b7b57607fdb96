"""Daemons that die, lie and stall; threads, forks, signals, and bytes nobody planned.

Each test runs in a short form. ``PYXS_LONG=1 pytest tests/faults`` runs the long ones.
"""

import faulthandler
import os
import sys
import threading
import time

LONG = bool(os.environ.get("PYXS_LONG"))


def scaled(short, long):
    """So many in CI, so many when there is time."""
    return long if LONG else short


def run_threads(functions, seconds=240):
    """Run each function in a thread; raise the first failure.

    Threads that do not end in time are a deadlock: their stacks are shown.
    """
    failures = []

    def run(function):
        try:
            function()
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=run, args=[function], daemon=True) for function in functions]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0, deadline - time.monotonic()))
    if any(thread.is_alive() for thread in threads):
        faulthandler.dump_traceback(file=sys.__stderr__, all_threads=True)
        raise AssertionError(
            "a deadlock: {} threads hang".format(sum(t.is_alive() for t in threads))
        )
    if failures:
        raise failures[0]


def descriptors():
    """How many this process has open."""
    return len(os.listdir("/proc/self/fd"))


def resident_kib():
    """The memory of this process."""
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    raise AssertionError("no VmRSS")
