"""Scripts like those of users run the same on pyxs and on the C extension."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

import daemons
import pyxs
import xen_utils
from common import PATIENCE
from conftest import skip_or_fail

CALLERS = pathlib.Path(__file__).with_name("callers")

RUN = "; import runpy, sys; sys.argv[:1] = []; runpy.run_path(sys.argv[0], run_name='__main__')"
ON_PYXS = [sys.executable, "-c", "import pyxs; pyxs.install_as_xen_lowlevel_xs()" + RUN]
ON_C = [
    "/usr/bin/python3",
    "-c",
    "import sys; sys.path[0] = {!r}".format(xen_utils.EXTENSION) + RUN,
]

pytestmark = pytest.mark.parametrize("daemon", ["c", "ocaml"], indirect=True)


@pytest.fixture(params=["pyxs", "C"])
def start(request, daemon):
    """Start a script of ``callers/`` on either implementation."""
    command = ON_PYXS
    if request.param == "C":
        command = ON_C
        if not shutil.which(ON_C[0]) or not os.path.isdir(xen_utils.EXTENSION):
            skip_or_fail("xen.lowlevel.xs is missing: " + xen_utils.INSTALL)
    started = []

    def start(script, *args):
        started.append(
            subprocess.Popen(
                command + [str(CALLERS / script)] + [str(arg) for arg in args],
                env=dict(daemon.environ, PYTHONIOENCODING="utf-8"),
                stdout=subprocess.PIPE,
                universal_newlines=True,
            )
        )
        return started[-1]

    yield start
    for process in started:
        process.stdout.close()
        process.kill()
        process.wait()


def finished(process):
    """Wait until a script has succeeded; return what it printed."""
    output, _ = process.communicate(timeout=3 * PATIENCE)
    assert process.returncode == 0
    return output.splitlines()


def test_a_toolstack(start):
    assert finished(start("toolstack.py")) == [
        "/local/domain/2",
        "[{'dom': 2, 'read': 0, 'write': 0}, {'dom': 1, 'read': 1, 'write': 0}]",
        "[{'dom': 0, 'read': 0, 'write': 0}, {'dom': 2, 'read': 1, 'write': 2}]",
        "b'g\\xc3\\xa4st' ['name']",
        "nothing there: (2, 'No such file or directory')",
        "[{'dom': 0, 'read': 0, 'write': 0}, {'dom': 2, 'read': 1, 'write': 2}]",
        "(7, 'Argument list too long')",
        "True Invalid argument",
        "None None",
    ]


def test_a_storage_script_run_by_several_at_once(start, daemon):
    for script in [start("storage.py", 20) for _ in range(3)]:
        assert finished(script) == []
    with pyxs.Client(daemon.path) as client:
        assert client["/local/domain/0/storage/next"] == "60"
        assert len(client.ls("/local/domain/0/backend/vbd")) == 30


def test_a_memory_balancer(start, daemon):
    pytest.importorskip("dataclasses")  # not in Python 3.6
    balancer = start("balancer.py")
    with pyxs.Client(daemon.path) as client:
        assert balancer.stdout.readline() == "running\n"
        for domid in daemons.DOMIDS[:2]:
            client.mkdir("/local/domain/{}".format(domid))
            client.introduce_domain(domid, 1, 1)
            assert balancer.stdout.readline() == "guest {}\n".format(domid)
            client["/local/domain/{}/memory/meminfo".format(domid)] = 1000 * domid
            assert balancer.stdout.readline() == "target {} {}\n".format(domid, 1100 * domid)
            assert client["/local/domain/{}/memory/target".format(domid)] == str(1100 * domid)
        client.rm("/local/domain/1")
        client.release_domain(1)
        assert balancer.stdout.readline() == "no guest 1\n"
        client["/local/domain/1/memory/meminfo"] = 5
        client["/local/domain/2/memory/meminfo"] = 3000
        assert balancer.stdout.readline() == "target 2 3300\n"
        client["/tool/balancer/stop"] = ""
    assert finished(balancer) == []
