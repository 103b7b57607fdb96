"""The fixture that finds the C extension."""

import pathlib
import shutil
import subprocess

import pytest

import xen_utils
from conftest import skip_or_fail

WORKER = pathlib.Path(__file__).with_name("worker.py")


@pytest.fixture(scope="session")
def python():
    """The Python for which the C extension was built."""
    found = shutil.which("python3", path="/usr/bin")
    if found is None or not pathlib.Path(xen_utils.EXTENSION).is_dir():
        skip_or_fail("xen.lowlevel.xs is missing: " + xen_utils.INSTALL)
    # Without programs to run, the worker only imports the extension.
    subprocess.check_call([found, str(WORKER)], stdin=subprocess.DEVNULL)
    return found
