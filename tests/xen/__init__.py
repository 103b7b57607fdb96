"""Tests in dom0 and in a guest of a real Xen, and what they share."""

import contextlib
import errno
import os

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
