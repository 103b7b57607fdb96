"""How much of Python a read takes, which no load of the machine changes."""

import os
import subprocess
import sys

import pytest

PROGRAM = os.path.join(os.path.dirname(__file__), "benchmarks", "instructions.py")


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="each version has bytecodes of its own")
def test_a_read_takes_at_most_20_calls_and_800_bytecodes():
    said = subprocess.check_output([sys.executable, PROGRAM], universal_newlines=True).split()
    calls, bytecodes = int(said[2]), int(said[4])
    assert calls <= 20
    assert bytecodes <= 800
