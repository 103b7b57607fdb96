"""Runs pytest in dom0 and in a guest, and prints the results; ``run`` calls it.

It prints a line ``XEN-PART name passed|FAILED: counts`` for each connection, for the other
tests of dom0, and for the guest.
"""

import collections
import os
import sys

import pytest

IN_DOM0 = os.environ["PYXS_XEN"] == "dom0"
KIND = {"xenstored": "c", "oxenstored": "ocaml"}[os.environ["XENSTORED"]]
SOCKET = "/run/xenstored/socket"
DEVICES = ["/dev/xen/xenbus", "/proc/xen/xenbus"]

if IN_DOM0:
    PLACES = ["socket:" + SOCKET] + ["xenbus:" + device for device in DEVICES]
    # test_xs.py comes last, because it empties the store.
    FILES = [
        "conformance",
        "xen/test_xenbus.py",
        "xen/test_package.py",
        "xen/test_dom0.py",
        "xen/test_xs.py",
    ]
else:
    PLACES = ["xenbus:" + DEVICES[0]]
    FILES = ["conformance", "xen/test_xenbus.py", "xen/test_guest.py"]

# Under emulation all tests take about thirty times as long as elsewhere. Tests with these marks
# are left out: they make thousands of requests, or do not depend on the connection.
LEFT_OUT = {"busy", "anywhere", "own_daemon"}
OPTIONS = ["-q", "-m", " and ".join("not " + mark for mark in sorted(LEFT_OUT))]
OPTIONS += ["--ignore", "tests/conformance/test_differences.py"]
OPTIONS += ["--timeout", "120", "-p", "no:cacheprovider", "--durations", "10"]
# These features of pytest take a third of the time. Elsewhere the same tests run with them.
OPTIONS += ["--capture=sys", "-p", "no:logging", "-p", "no:warnings"]
OPTIONS += ["-p", "no:unraisableexception", "-p", "no:threadexception"]


class Plugin:
    """Leaves tests out before pytest parametrizes them, and counts outcomes by connection."""

    def __init__(self):
        self._parts = collections.defaultdict(collections.Counter)

    def pytest_pycollect_makeitem(self, collector, name, obj):
        if name.startswith("test_"):
            marks = list(collector.iter_markers()) + getattr(obj, "pytestmark", [])
            if LEFT_OUT & {mark.name for mark in marks}:
                return []
        return None

    def pytest_runtest_logreport(self, report):
        if report.when == "call" or report.outcome != "passed":
            self._parts[self._part(report.nodeid)][report.outcome] += 1

    def _part(self, nodeid):
        if not IN_DOM0:
            return "guest"
        named = [place for place in [SOCKET] + DEVICES if place in nodeid]
        return named[0] if named and "test_dom0" not in nodeid else "dom0"

    def print(self):
        for name, counts in self._parts.items():
            how = "FAILED" if counts["failed"] else "passed"
            text = ", ".join("{} {}".format(counts[key], key) for key in sorted(counts))
            print("XEN-PART {} {}: {}".format(name, how, text), flush=True)


def main():
    # Thirty times the default. Under emulation a thread does very little in the default
    # of 5 ms.
    sys.setswitchinterval(0.15)
    os.environ.update(
        PYXS_XENSTORED=KIND,
        PYXS_CONFORMANCE=",".join("{}@{}".format(KIND, place) for place in PLACES),
        PYXS_PATIENCE="60",
    )
    plugin = Plugin()
    status = pytest.main(OPTIONS + ["tests/" + file for file in FILES], [plugin])
    plugin.print()
    return status


if __name__ == "__main__":
    sys.exit(main())
