"""Threads that share a channel never deadlock, in any order with up to two preemptions.

Each step stands for a moment at which the interpreter may switch threads, or at which a signal
handler may raise. ``PYXS_LONG=1`` runs every order; otherwise a part of them.
"""

import contextlib
import os

import pytest

from common import HandlerError
from pyxs import ConnectionError
from pyxs._channels.shared import Shared

from . import scaled
from .interleavings import Scheduler, explore

STRIDES = scaled((13, 67), (1, 1))


class Channel:
    """Stands for an open channel; events arrive by :meth:`arrive`."""

    def __init__(self, scheduler):
        self._scheduler = scheduler
        self.poller = self
        self.pid = os.getpid()
        self.is_used = self.is_woken = self.is_closed = False
        self.arrived, self.events = 0, 0
        self.requests = 0

    def make_wakeup(self):
        return self

    def set(self):
        self.is_woken = True

    def use(self):
        """Let other threads run while this one alone uses the channel."""
        assert not self.is_used, "two calls at once"
        self.is_used = True
        try:
            self._scheduler.at_step()
        finally:
            self.is_used = False

    def is_readable(self, deadline):
        assert not self.is_used, "two calls at once"
        self.is_used = True
        seconds = None if deadline is None else max(0, deadline - self._scheduler.now)
        try:
            self._scheduler.block(lambda: self.is_woken or self.arrived or self.is_closed, seconds)
        finally:
            self.is_used = self.is_woken = False
        self.check()
        return bool(self.arrived)

    def receive_events(self, may_block=True):
        self.use()
        self.events, self.arrived = self.events + self.arrived, 0

    def arrive(self):
        self.arrived += 1

    def take(self):
        if not self.events:
            return False
        self.events -= 1
        return True

    def check(self):
        if self.is_closed:
            raise ConnectionError("closed")

    def is_usable(self):
        return not self.is_closed

    def finish(self, deadline):
        """Nothing is due."""
        return True

    def end(self, why):
        self.is_closed = True

    def close(self):
        self.is_closed = True


class Subject:
    """Calls on a shared channel, as a monitor makes them; it opens another after close()."""

    def __init__(self, scheduler):
        self._scheduler = scheduler
        self.shared = Shared()
        self.opened = []

    def ready(self):
        channel = self.shared.channel
        if channel is None or channel.is_closed:
            channel = self.shared.channel = Channel(self._scheduler)
            self.opened.append(channel)
        return channel

    def request(self):
        self.shared.use(self.ready, self._request)

    def _request(self, channel, answers):
        channel.use()
        channel.requests += 1

    def watch(self):
        """Make a request after which an event arrives."""
        self.shared.use(self.ready, self._watch)

    def _watch(self, channel, answers):
        channel.use()
        channel.arrive()

    def wait(self, deadline=None):
        self.shared.wait(self.ready, self._take, deadline)

    def _take(self):
        channel = self.shared.channel
        return channel is not None and channel.take()


@pytest.fixture(params=[False, True], ids=["switches", "interruptions"])
def run(request, monkeypatch):
    """Explore threads; *threads* returns their functions and a check of the results."""

    def run(threads, time=0):
        def prepare(schedule):
            scheduler = Scheduler(schedule, request.param)
            monkeypatch.setattr("pyxs._channels.turns.threading", scheduler)
            monkeypatch.setattr("pyxs._channels.turns.time", scheduler)
            monkeypatch.setattr("pyxs._channels.shared.time", scheduler)
            monkeypatch.setattr("pyxs._channels.deadlines.time", scheduler)
            subject = Subject(scheduler)
            functions, check = threads(subject)

            def check_all():
                if not request.param:
                    check()
                    assert scheduler.now <= time, "a thread was not woken"
                assert not any(channel.is_used for channel in subject.opened)
                subject.request()  # nobody has a turn any more

            return scheduler, [interruptible(function) for function in functions], check_all

        print(explore(prepare, STRIDES), "schedules")

    return run


def interruptible(function):
    def thread():
        with contextlib.suppress(HandlerError):
            function()

    return thread


def closed(call):
    def thread():
        with contextlib.suppress(ConnectionError):
            call()

    return thread


@pytest.mark.parametrize("count", [2, 3])
def test_requests(count, run):
    def threads(subject):
        def check():
            (channel,) = subject.opened
            assert channel.requests == count

        return [subject.request] * count, check

    run(threads)


def test_a_wait_beside_a_watch(run):
    def threads(subject):
        return [lambda: subject.wait(30), subject.watch], lambda: None

    run(threads)


def test_a_wait_beside_a_watch_and_a_request(run):
    def threads(subject):
        return [lambda: subject.wait(30), subject.watch, subject.request], lambda: None

    run(threads)


def test_two_waits_get_one_event_each(run):
    def threads(subject):
        def watch_twice():
            subject.watch()
            subject.watch()

        def check():
            assert subject.opened[0].events == 0

        return [lambda: subject.wait(30), lambda: subject.wait(30), watch_twice], check

    run(threads)


def test_a_wait_and_a_request_beside_close(run):
    def threads(subject):
        functions = [lambda: subject.wait(30), subject.request, subject.shared.close]
        return [closed(function) for function in functions], lambda: None

    run(threads, time=30)  # that of wait(), if it comes after close()


def test_a_request_behind_one_that_waits_no_longer(run):
    def threads(subject):
        return [lambda: subject.wait(0.5), subject.request, subject.request], lambda: None

    run(threads, time=0.5)
