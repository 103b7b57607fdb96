"""Tests in dom0 and in a guest of a real Xen, and their helpers."""

import subprocess
import sys

from common import PATIENCE


def taken(monitor, count):
    """Return the next events; fail if they do not come."""
    return [monitor.wait(timeout=PATIENCE) for _ in range(count)]


def pyxs_command(*args):
    """Run the ``pyxs`` command; return the finished process."""
    return subprocess.run(
        [sys.executable, "-m", "pyxs"] + list(args),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        timeout=PATIENCE,
    )
