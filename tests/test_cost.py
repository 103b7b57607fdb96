"""The calls, bytecodes and imports of a read, which do not depend on the load of the machine."""

import os
import subprocess
import sys

import pytest

PROGRAM = os.path.join(os.path.dirname(__file__), "benchmarks", "instructions.py")


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="each version has bytecodes of its own")
def test_a_read_takes_at_most_10_calls_and_300_bytecodes():
    said = subprocess.check_output([sys.executable, PROGRAM], universal_newlines=True).split()
    calls, bytecodes = int(said[2]), int(said[4])
    assert calls <= 10
    assert bytecodes <= 300


READ = """
import sys

before = set(sys.modules)  # an environment may import some of them itself
import pyxs.cli

pyxs.cli.main(["read", "/tool"])
print(sorted({"typing", "argparse", "subprocess"}.intersection(set(sys.modules) - before)))
"""


@pytest.mark.skipif(
    sys.version_info < (3, 7), reason="pyxs.xs, which imports typing, is lazy on 3.7"
)
def test_a_command_that_reads_does_not_import_what_takes_long(xenstored):
    said = subprocess.check_output([sys.executable, "-c", READ], universal_newlines=True)
    assert said == "\n[]\n"  # the value of /tool, which is empty, and no module
