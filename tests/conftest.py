"""Fixtures that every test may use."""

import faulthandler
import os
import platform

import pytest

import daemons
import xen_utils

# Long, or random programs: what they find does not depend on the interpreter. tox leaves
# them to the run that README.rst names.
THOROUGH = (
    "conformance/test_harmless.py",
    "differential/test_differential.py",
    "faults/test_fuzz.py",
    "faults/test_restart.py",
    "faults/test_soak.py",
    "test_model.py",
    "test_xenstored_like_c.py",
)

RUN_MAX = 1200  # seconds; five times what the slowest run here took


def pytest_configure():
    """Let a run that hangs, even at its very end, show where, and end."""
    if not os.environ.get("PYXS_LONG"):
        faulthandler.dump_traceback_later(RUN_MAX, exit=True, file=os.dup(2))


def pytest_terminal_summary(terminalreporter):
    """Say above the closing line what ran the tests, and on what."""
    terminalreporter.write_line(
        "{}: {} {}, {}".format(
            distribution(),
            platform.python_implementation(),
            platform.python_version(),
            xen_utils.description(),
        )
    )


def distribution():
    try:
        with open("/etc/os-release", encoding="utf-8") as release:
            named = dict(line.rstrip().split("=", 1) for line in release if "=" in line)
        return named["PRETTY_NAME"].strip("\"'")
    except (OSError, KeyError):
        return platform.system()


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.as_posix().endswith(THOROUGH):
            item.add_marker("thorough")


def skip_or_fail(reason):
    """Skip the test; on a machine that must have everything (``CI`` is set), fail it."""
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture
def start_daemon():
    """``daemons.start``, for a test that needs several; they end with the test."""
    started = []

    def start(kind, **options):
        reason = daemons.missing(kind)
        if reason is not None:
            skip_or_fail(reason)
        started.append(daemons.start(kind, **options))
        return started[-1]

    yield start
    for daemon in started:
        daemon.stop()


@pytest.fixture(params=daemons.KINDS)
def daemon(request, start_daemon):
    """A fresh daemon of each kind in turn.

    For some only: ``@pytest.mark.parametrize("daemon", ["c"], indirect=True)``.
    """
    return start_daemon(request.param)
