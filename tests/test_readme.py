"""The programs and the commands that README.rst shows, run as a reader runs them."""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

CHECKOUT = Path(__file__).parent.parent
README = (CHECKOUT / "README.rst").read_text(encoding="utf-8")


def blocks(kind):
    """Return the blocks of code of one kind."""
    found = re.findall(r"^\.\. code-block:: {}\n\n((?:    .*\n|\n)+)".format(kind), README, re.M)
    return [textwrap.dedent(block).strip() + "\n" for block in found]


@pytest.fixture
def directory(tmp_path):
    """A directory with the examples, and the programs of README, which name themselves."""
    for program in blocks("python"):
        (tmp_path / program.split()[1]).write_text(program, encoding="utf-8")
    (tmp_path / "docs").symlink_to(CHECKOUT / "docs")
    return tmp_path


@pytest.fixture
def path(tmp_path):
    """A ``$PATH`` on which are this ``python`` and its ``pyxs``."""
    for name, words in [("python", ""), ("pyxs", "-m pyxs")]:
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text('#!/bin/sh\nexec {} {} "$@"\n'.format(sys.executable, words))
        program.chmod(0o755)
    return "{}:{}".format(tmp_path / "bin", os.environ["PATH"])


@pytest.mark.parametrize("block", blocks("console"))
def test_a_command_prints_what_stands_below_it(directory, path, block):
    command, _, printed = block.partition("\n")
    done = subprocess.run(
        ["sh", "-c", command[len("$ ") :]],
        cwd=str(directory),
        env=dict(os.environ, PATH=path),
        stdout=subprocess.PIPE,
        universal_newlines=True,
        check=True,
    )
    assert done.stdout == printed


def test_the_test_of_the_program_passes(directory, pytester):
    pytester.syspathinsert(directory)
    words = ["-p", "no:hypothesispytest", str(directory / "test_guests.py")]
    pytester.runpytest_subprocess(*words).assert_outcomes(passed=1)


def test_links_lead_to_files():
    links = [link for link in re.findall(r"<([^<>]+)>`_", README) if ":" not in link]
    assert links
    assert [link for link in links if not (CHECKOUT / link).exists()] == []
