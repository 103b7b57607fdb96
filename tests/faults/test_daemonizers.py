"""A child that closes all descriptors and opens files keeps those files."""

import os
import subprocess
import sys

import pytest

import pyxs

PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "daemonizing.py")


@pytest.mark.parametrize("daemon", ["c"], indirect=True)
@pytest.mark.parametrize("at_fork", [[], ["without"]], ids=["at fork", "without at fork"])
@pytest.mark.parametrize("then", ["use", "close", "drop"])
@pytest.mark.parametrize("subject", ["client", "transaction", "monitor", "xs"])
def test_the_log_file_of_a_daemon_is_its_own(subject, then, at_fork, daemon, tmp_path):
    done = subprocess.run(
        [sys.executable, PROGRAM, subject, then, daemon.path, str(tmp_path / "log"), *at_fork],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
        env=dict(os.environ, PYTHONPATH=os.path.dirname(os.path.dirname(pyxs.__file__))),
    )
    assert (done.returncode, done.stdout) == (0, "")
