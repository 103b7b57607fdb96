"""README.rst and the pages in docs/: what they show is run as a reader runs it, and is complete."""

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import pyxs

pytest_plugins = ["pytester"]

CHECKOUT = Path(__file__).parent.parent
README = CHECKOUT / "README.rst"
DOCS = CHECKOUT / "docs"


def blocks(page, kind):
    """Return the blocks of code of one kind."""
    text = page.read_text(encoding="utf-8")
    found = re.findall(r"^\.\. code-block:: {}\n\n((?:    .*\n|\n)+)".format(kind), text, re.M)
    return [textwrap.dedent(block).strip() + "\n" for block in found]


@pytest.fixture
def directory(tmp_path):
    """A directory with the examples, and the programs of README, which name themselves."""
    for program in blocks(README, "python"):
        (tmp_path / program.split()[1]).write_text(program, encoding="utf-8")
    (tmp_path / "host.json").symlink_to(DOCS / "examples" / "host.json")
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


@pytest.mark.parametrize("block", blocks(README, "console"))
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
    text = README.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"<([^<>]+)>`_", text) if ":" not in link]
    assert links
    assert [link for link in links if not (CHECKOUT / link).exists()] == []


NAME_GUEST = """#!/bin/sh
exec {} -m pyxs write "/local/domain/$1/name" "$2"
"""


@pytest.mark.parametrize(
    ("page", "tests"), [("index.rst", 1), ("tutorial/testing.rst", 6)], ids=["index", "testing"]
)
def test_the_tests_on_a_page_pass(pytester, page, tests):
    shutil.copy(str(DOCS / "examples" / "host.json"), str(pytester.path))
    script = pytester.path / "name-guest"
    script.write_text(NAME_GUEST.format(sys.executable))
    script.chmod(0o755)
    program, *others = blocks(DOCS / page, "python")
    pytester.makepyfile(inventory=program, test_page="\n".join(others or [program]))
    pytester.runpytest_subprocess("-p", "no:hypothesispytest").assert_outcomes(passed=tests)


@pytest.mark.parametrize("cls", [pyxs.Client, pyxs.Monitor])
def test_the_reference_has_each_public_name(cls):
    lines = (DOCS / "reference" / "client.rst").read_text(encoding="utf-8").splitlines()
    shown = {line.split(".")[-1] for line in lines if ":: {}.".format(cls.__name__) in line}
    # Names that only tell what to use instead are no attributes.
    public = {name for name in vars(cls) if not name.startswith("_") and hasattr(cls, name)}
    assert public - shown == set()


def test_the_overview_tells_what_each_howto_is_for():
    overview = (DOCS / "howto" / "index.rst").read_text(encoding="utf-8")
    pages = {page.stem for page in (DOCS / "howto").glob("*.rst")} - {"index"}
    assert {page for page in pages if ":doc:`{}`\n    ".format(page) not in overview} == set()
