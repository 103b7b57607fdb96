"""Tests in dom0 and in a guest of a real Xen, and their common helpers."""

import subprocess
import sys

from common import PATIENCE


def taken(monitor, count):
    """The next events, which must come."""
    return [monitor.wait(timeout=PATIENCE) for _ in range(count)]


def pyxs_command(*args):
    """Run the ``pyxs`` command; return what came of it."""
    return subprocess.run(
        [sys.executable, "-m", "pyxs"] + list(args),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        timeout=PATIENCE,
    )
