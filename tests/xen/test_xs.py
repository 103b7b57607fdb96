"""Tests of ``xs`` in dom0: the same random programs on pyxs and on the C extension.

The seed is printed; ``PYXS_SEED`` sets it. This is the last of the tests: a program
begins with an empty store.
"""

import contextlib
import os
import types

import pytest

import pyxs
from differential import programs
from differential.test_differential import SEED, Extension, compare

PROGRAMS = 5

SOCKET = "/run/xenstored/socket"


@pytest.fixture
def extension():
    daemon = types.SimpleNamespace(environ=dict(os.environ, XENSTORED_PATH=SOCKET))
    with contextlib.closing(Extension("/usr/bin/python3", daemon)) as running:
        yield running


def test_random_programs_have_the_outcomes_of_the_c_extension(extension, monkeypatch, capsys):
    with capsys.disabled():
        print("\nPYXS_SEED={}".format(SEED))
    monkeypatch.setenv("XENSTORED_PATH", SOCKET)
    for number in range(PROGRAMS):
        program = programs.generate("{}:{}".format(SEED, number))
        extension.begin(program)
        theirs = extension.outcomes()
        programs.clean(pyxs.xs, pyxs.Error)
        compare(number, program, programs.run(program, pyxs.xs, pyxs.Error), theirs)
