"""``xen.lowlevel.xs`` of a program that cannot be edited: bytes, or text by a variable."""

import os
import subprocess
import sys

import pytest

import pyxs

DIRECTORY = os.path.join(os.path.dirname(pyxs.__file__), "as_xen_lowlevel_xs")
PROGRAM = """
from xen.lowlevel.xs import xs, Error
import pyxs

h = xs()
h.write("", "/state", "4")
print(type(h.read("", "/state")).__name__, isinstance(h, pyxs.xs), Error is pyxs.Error)
"""


@pytest.mark.parametrize(
    ("value", "kind"), [("1", "str"), ("0", "bytes"), ("", "bytes"), (None, "bytes")]
)
def test_a_variable_makes_values_text(xenstored, value, kind):
    paths = [DIRECTORY] + [path for path in sys.path if path]
    environ = dict(os.environ, PYTHONPATH=os.pathsep.join(paths))
    environ.pop("PYXS_TEXT", None)
    if value is not None:
        environ["PYXS_TEXT"] = value
    said = subprocess.check_output(
        [sys.executable, "-W", "error", "-c", PROGRAM], env=environ, universal_newlines=True
    )
    assert said == kind + " True True\n"
