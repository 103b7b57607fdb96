"""A call from a handler never deadlocks with the call that the handler interrupted."""

import os
import subprocess
import sys

import pytest

import pyxs

from . import scaled

SECONDS = scaled(0.3, 10)


@pytest.mark.parametrize("daemon", ["memory", "c"], indirect=True)
@pytest.mark.parametrize("caller", ["signal", "finalizer", "trace"])
@pytest.mark.parametrize("subject", ["client", "monitor", "xs"])
def test_a_call_from_a_handler_completes_or_is_refused(subject, caller, daemon):
    # In a process of its own: if it hangs, it prints where and exits, and other tests go on.
    program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "nested.py")
    done = subprocess.run(
        [sys.executable, program, subject, caller, str(SECONDS), daemon.path],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
        env=dict(os.environ, PYTHONPATH=os.path.dirname(os.path.dirname(pyxs.__file__))),
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout
