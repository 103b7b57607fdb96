"""Tests of the Debian package in dom0: its command, the service of its guest agent, and ``xs``."""

import os
import pathlib
import shlex
import subprocess

import pytest

import pyxs
from common import PATIENCE

EXAMPLES = pathlib.Path("/usr/share/doc/python3-pyxs/examples")
SWITCH = "/usr/lib/python3/dist-packages/pyxs/as_xen_lowlevel_xs"
#: The path of the agent in the unit.
AGENT = pathlib.Path("/usr/local/lib/guest_agent.py")
PROGRAM = """
from xen.lowlevel import xc
from xen.lowlevel.xs import xs
print(xs.__module__, xs().read("", "/local/domain/0/name"))
"""


def environ(**more):
    """Return an environment in which Python finds the package, not the checkout."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return dict(kept, **more)


def output(*command, **more):
    return subprocess.check_output(
        command, cwd="/", env=environ(**more), universal_newlines=True, timeout=PATIENCE
    )


def test_the_command_lists_the_store():
    assert 'name = "Domain-0"' in output("/usr/bin/pyxs", "ls", "/")


def test_a_variable_switches_a_program_over():
    assert output("python3", "-c", PROGRAM) == "xen.lowlevel.xs b'Domain-0'\n"
    assert output("python3", "-c", PROGRAM, PYTHONPATH=SWITCH) == "pyxs._xs.api b'Domain-0'\n"


@pytest.fixture
def agent():
    """The process that systemd would start for the unit."""
    AGENT.parent.mkdir(parents=True, exist_ok=True)
    AGENT.write_bytes((EXAMPLES / AGENT.name).read_bytes())
    unit = (EXAMPLES / "guest-agent.service").read_text().splitlines()
    settings = dict(line.split("=", 1) for line in unit if "=" in line)
    assert os.path.exists(settings["ConditionPathExists"])
    with subprocess.Popen(
        shlex.split(settings["ExecStart"]),
        cwd="/",
        env=environ(),
        stdout=subprocess.PIPE,
        universal_newlines=True,
    ) as process:
        yield process
        process.kill()


def test_the_command_of_the_unit_publishes_facts_and_answers(agent):
    home = "/local/domain/0/"
    with pyxs.Client() as client, client.monitor() as monitor:
        monitor.watch(home + "data/os_name")
        while client.read(home + "data/os_name", default=None) != "Linux":
            assert monitor.wait(timeout=PATIENCE) is not None
        # Linux in dom0 reads the node too, but ignores s3.
        client.write(home + "control/shutdown", "s3")
        assert agent.stdout.readline() == "asked for s3\n"
        assert client.read(home + "control/shutdown") == ""
