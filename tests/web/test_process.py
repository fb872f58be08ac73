"""What a daemon does to its own process, with the system's calls replaced."""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Callable

from twisted.internet.error import ReactorNotRunning
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.web.process import (
    ENOUGH_OPEN_FILES,
    LAST_RESORT_S,
    monotonic_clock,
    prepare_process,
    raise_open_files_limit,
    stop_on_signals,
    use_monotonic_time,
)


class FakeReactor(Clock):
    def __init__(self) -> None:
        Clock.__init__(self)
        self.stops = 0
        self.when_running: list[tuple[Callable[..., None], tuple[object, ...]]] = []

    def callWhenRunning(self, call: Callable[..., None], *args: object) -> None:  # noqa: N802
        self.when_running.append((call, args))

    def callFromThread(self, call: Callable[[], None]) -> None:  # noqa: N802
        call()

    def stop(self) -> None:
        self.stops += 1
        if self.stops > 1:
            raise ReactorNotRunning


class Left(BaseException):
    """The process would be gone."""


class SignalTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.handlers: dict[int, Callable[[int, object], None]] = {}
        self.alarms: list[tuple[int, float]] = []
        self.patch(signal, "signal", self.handlers.__setitem__)
        self.patch(signal, "setitimer", lambda which, after_s: self.alarms.append((which, after_s)))
        self.patch(os, "write", lambda descriptor, text: len(text))
        self.patch(os, "_exit", self.leave)
        self.reactor = FakeReactor()

    def leave(self, status: int) -> None:
        raise Left(status)

    def test_twisteds_own_handlers_are_replaced_once_it_has_set_them(self) -> None:
        prepare_process(self.reactor)
        self.assertEqual(self.handlers, {})
        for call, args in self.reactor.when_running:
            call(*args)
        self.assertEqual(set(self.handlers), {signal.SIGTERM, signal.SIGINT})

    def test_the_first_stops_in_order_and_within_a_time(self) -> None:
        stop_on_signals(self.reactor)
        self.handlers[signal.SIGTERM](signal.SIGTERM, None)
        self.assertEqual(self.reactor.stops, 1)
        self.assertEqual(self.alarms, [(signal.ITIMER_REAL, LAST_RESORT_S)])

    def test_the_second_stops_at_once_whichever_it_is(self) -> None:
        stop_on_signals(self.reactor)
        self.handlers[signal.SIGTERM](signal.SIGTERM, None)
        with self.assertRaises(Left) as left:
            self.handlers[signal.SIGINT](signal.SIGINT, None)
        self.assertEqual(left.exception.args, (128 + signal.SIGINT,))

    def test_a_process_that_ends_already_is_not_stopped_again(self) -> None:
        self.reactor.stop()
        stop_on_signals(self.reactor)
        self.handlers[signal.SIGTERM](signal.SIGTERM, None)
        self.assertEqual(self.reactor.stops, 2)


class ClockTests(SynchronousTestCase):
    def test_the_time_of_day_moves_no_timer(self) -> None:
        reactor = FakeReactor()
        use_monotonic_time(reactor)
        self.patch(time, "time", lambda: 0.0)
        self.assertApproximates(reactor.seconds(), monotonic_clock()(), 5.0)

    def test_timers_that_wait_already_keep_their_distance(self) -> None:
        reactor = FakeReactor()
        reactor.advance(1.7e9)
        waiting = reactor.callLater(3.0, lambda: None)
        use_monotonic_time(reactor)
        self.assertApproximates(waiting.getTime() - reactor.seconds(), 3.0, 1.0)


class ProcessTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.limits = (1024, 4096)
        self.set: list[tuple[int, int]] = []
        self.patch(resource, "getrlimit", lambda which: self.limits)
        self.patch(resource, "setrlimit", lambda which, limits: self.set.append(limits))

    def test_as_many_open_files_as_are_allowed(self) -> None:
        raise_open_files_limit()
        self.assertEqual(self.set, [(4096, 4096)])

    def test_no_more_open_files_than_are_enough(self) -> None:
        self.limits = (1024, resource.RLIM_INFINITY)
        raise_open_files_limit()
        self.assertEqual(self.set, [(ENOUGH_OPEN_FILES, resource.RLIM_INFINITY)])

    def test_enough_stays_as_it_is(self) -> None:
        self.limits = (ENOUGH_OPEN_FILES, ENOUGH_OPEN_FILES * 2)
        raise_open_files_limit()
        self.assertEqual(self.set, [])

    def test_a_system_that_refuses_is_no_error(self) -> None:
        def refuse(which: int, limits: tuple[int, int]) -> None:
            raise OSError("not permitted")

        self.patch(resource, "setrlimit", refuse)
        raise_open_files_limit()
