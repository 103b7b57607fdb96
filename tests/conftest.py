"""Fixtures that every test may use."""

import os

import pytest

import daemons


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
