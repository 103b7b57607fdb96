"""The ``pyxs`` command: side by side with the C tools, and what it has beyond them."""

import os
import shutil
import signal
import subprocess
import sys

import pytest

from command_lines import COMMAND_LINES, run_c_tool
from conftest import skip_or_fail
from pyxs import Client, cli

PYXS = [sys.executable, "-m", "pyxs"]


@pytest.fixture
def pyxs(capfdbinary):
    """Run a command line in this process; return what it printed, and whether it succeeded."""

    def run(words):
        try:
            status = cli.main(words)
        except SystemExit as exc:
            status = exc.code
        return capfdbinary.readouterr().out, status == 0

    return run


#: Left out, by kind of daemon: pyxs never asks a daemon to remove everything.
REFUSED = {"ocaml": [["rm", "/"]]}


def test_every_command_line_is_answered_as_by_the_c_tool(daemon, start_daemon, pyxs, monkeypatch):
    if shutil.which("xenstore-ls") is None:
        skip_or_fail("xenstore-ls is missing: apt-get install xenstore-utils")
    theirs = start_daemon(daemon.kind)
    monkeypatch.setenv("XENSTORED_PATH", daemon.path)
    differing = []
    for words in COMMAND_LINES:
        if words in REFUSED.get(daemon.kind, []):
            continue
        expected, actual = run_c_tool(words, theirs.environ), pyxs(words)
        if actual != expected:
            differing.append((words, expected, actual))
    assert differing == []
