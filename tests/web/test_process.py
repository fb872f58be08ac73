"""What a daemon does to its own process, with the system's calls replaced."""

from __future__ import annotations

import resource
import signal
from collections.abc import Callable

from twisted.internet.error import ReactorNotRunning
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.web.process import ENOUGH_OPEN_FILES, prepare_process, raise_open_files_limit


class FakeReactor:
    def __init__(self) -> None:
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


class ProcessTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.limits = (1024, 4096)
        self.set: list[tuple[int, int]] = []
        self.patch(resource, "getrlimit", lambda which: self.limits)
        self.patch(resource, "setrlimit", lambda which, limits: self.set.append(limits))

    def test_sigterm_stops_the_reactor_and_may_come_twice(self) -> None:
        handlers: dict[int, Callable[[int, object], None]] = {}
        self.patch(signal, "signal", handlers.__setitem__)
        reactor = FakeReactor()
        prepare_process(reactor)
        self.assertEqual(handlers, {})  # Twisted sets its own when it starts: ours comes after
        for call, args in reactor.when_running:
            call(*args)
        for _ in range(2):
            handlers[signal.SIGTERM](signal.SIGTERM, None)
        self.assertEqual(reactor.stops, 2)

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
