"""``pyxs.xs`` does what the C extension does.

The seed is printed; ``PYXS_SEED`` sets it, ``PYXS_PROGRAMS`` how many programs are run.
"""

import contextlib
import os
import pathlib
import pickle
import random
import subprocess

import pytest

import pyxs

from . import programs

SEED = int(os.environ.get("PYXS_SEED") or random.randrange(10**6))
PROGRAMS = int(os.environ.get("PYXS_PROGRAMS") or 500)

#: Programs on one pair of daemons.
ROUND = 50

WORKER = pathlib.Path(__file__).with_name("worker.py")


class Extension:
    """A process that runs programs on the C extension, on one daemon."""

    def __init__(self, python, daemon):
        self.daemon = daemon
        self._process = subprocess.Popen(
            [python, str(WORKER)],
            env=daemon.environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def begin(self, program):
        pickle.dump(program, self._process.stdin, protocol=4)
        self._process.stdin.flush()

    def outcomes(self):
        return pickle.load(self._process.stdout)

    def close(self):
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(10)


@pytest.mark.parametrize("kind", ["c", "ocaml"])
def test_random_programs_have_the_outcomes_of_the_c_extension(
    kind, python, start_daemon, monkeypatch, capsys
):
    with capsys.disabled():
        print("\nPYXS_SEED={} PYXS_PROGRAMS={}".format(SEED, PROGRAMS))
    for first in range(0, PROGRAMS, ROUND):
        with contextlib.closing(Extension(python, start_daemon(kind))) as extension:
            daemon = start_daemon(kind)
            monkeypatch.setenv("XENSTORED_PATH", daemon.path)
            for number in range(first, min(first + ROUND, PROGRAMS)):
                program = programs.generate("{}:{}".format(SEED, number))
                assert len(program) >= programs.CALLS
                extension.begin(program)
                programs.clean(pyxs.xs, pyxs.Error)
                ours = programs.run(program, pyxs.xs, pyxs.Error)
                compare(number, program, ours, extension.outcomes())
        for each in (daemon, extension.daemon):
            each.stop()


def compare(number, program, ours, theirs):
    for index, (step, mine, other) in enumerate(zip(program, ours, theirs)):
        assert mine == other, "seed {}, program {}, step {}: {}\npyxs: {}\nC: {}".format(
            SEED, number, index, step, mine, other
        )
    assert len(ours) == len(theirs) == len(program)
