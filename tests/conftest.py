"""Fixtures for all tests."""

import faulthandler
import os
import platform

import pytest

import daemons
import xen_utils

# Long tests and random programs. People run the tests before each commit, so ``pytest`` leaves them
# out; CI runs ``pytest -m thorough`` too.
THOROUGH = (
    "conformance/test_harmless.py",
    "differential/test_differential.py",
    "faults/test_fuzz.py",
    "faults/test_restart.py",
    "faults/test_soak.py",
    "test_model.py",
    "test_xenstored_like_c.py",
)

RUN_MAX = 1200  # seconds; the slowest run took a fifth of it


def pytest_configure():
    """Show the stacks of a run that hangs, even at exit, and end it."""
    if not os.environ.get("PYXS_LONG"):
        faulthandler.dump_traceback_later(RUN_MAX, exit=True, file=os.dup(2))


def pytest_terminal_summary(terminalreporter):
    """Print the interpreter and the daemons above the summary line."""
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
    """Return ``daemons.start``, for a test that needs several; all stop after the test."""
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
    """Start a fresh daemon; each test runs once for each kind.

    To choose kinds: ``@pytest.mark.parametrize("daemon", ["c"], indirect=True)``.
    """
    return start_daemon(request.param)
