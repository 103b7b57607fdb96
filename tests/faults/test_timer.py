"""A timer whose handler raises all the time causes no hang, and no error but the promised ones."""

import os
import subprocess
import sys

import pytest

import pyxs


def run(subject, seconds, interval, path):
    # In a process of its own: if it hangs, it prints where and exits, and other tests go on.
    here = os.path.dirname(os.path.abspath(__file__))
    root = os.path.dirname(os.path.dirname(pyxs.__file__))
    done = subprocess.run(
        [
            sys.executable,
            os.path.join(here, "timer.py"),
            subject,
            str(seconds),
            str(interval),
            path,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
        env=dict(os.environ, PYTHONPATH=os.pathsep.join([root, os.path.dirname(here)])),
    )
    assert done.returncode == 0, done.stdout
    print("{}, {}: {}".format(subject, path, done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("daemon", ["memory", "c"], indirect=True)
@pytest.mark.parametrize("seconds", [1, pytest.param(10, marks=pytest.mark.thorough)])
@pytest.mark.parametrize("subject", ["client", "monitor", "xs"])
def test_a_timer_that_raises_every_few_hundred_microseconds(subject, seconds, daemon):
    run(subject, seconds, 0.0003, daemon.path)


@pytest.mark.thorough
@pytest.mark.parametrize("daemon", ["memory", "c"], indirect=True)
@pytest.mark.parametrize("subject", ["blocks", "xs transactions"])
def test_a_timer_that_raises_every_three_milliseconds_beside_transactions(subject, daemon):
    run(subject, 4, 0.003, daemon.path)
