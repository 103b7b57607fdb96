"""Tests in dom0 and in a guest of a real Xen, and their common helpers."""

import contextlib
import errno
import os
import subprocess
import sys

import pytest

import pyxs

#: Seconds after which something that should have happened has not.
PATIENCE = int(os.environ.get("PYXS_PATIENCE", 20))


@contextlib.contextmanager
def refused(*names):
    """The one request in the body is answered with one of these errnos."""
    with pytest.raises(pyxs.PyXSError) as caught:
        yield
    assert type(caught.value) is pyxs.PyXSError, caught.value
    assert errno.errorcode[caught.value.errno] in names


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
