"""What a daemon tells systemd, heard on a socket of the test's own."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import SkipTest

from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.web.supervisor import Supervisor
from tests.processes import END_S, Daemons, free_port


class FakeReactor(Clock):
    """A clock that begins and ends when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.at_start: list[Callable[[], Any]] = []
        self.triggers: dict[str, list[tuple[Callable[..., Any], tuple[Any, ...]]]] = {}

    def callWhenRunning(self, call: Callable[[], Any]) -> None:  # noqa: N802  # twisted's name
        self.at_start.append(call)

    def addSystemEventTrigger(  # noqa: N802  # twisted's name
        self, phase: str, event: str, call: Callable[..., Any], *arguments: Any
    ) -> None:
        self.triggers.setdefault(f"{phase} {event}", []).append((call, arguments))

    def begin(self) -> None:
        for call in self.at_start:
            call()

    def fire(self, moment: str) -> None:
        for call, arguments in self.triggers.get(moment, []):
            call(*arguments)


class SupervisorTests(SynchronousTestCase):
    """From the start to the end."""

    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory(prefix="dashp2p-notify-")
        self.addCleanup(scratch.cleanup)
        self.path = str(Path(scratch.name) / "notify")
        self.socket = self.listen(self.path)
        self.reactor = FakeReactor()

    def listen(self, address: str) -> socket.socket:
        heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(heard.close)
        heard.bind(address)
        heard.setblocking(False)
        return heard

    def heard(self) -> list[bytes]:
        messages = []
        while True:
            try:
                messages.append(self.socket.recv(4096))
            except BlockingIOError:
                return messages

    def attend(self, **environ: str) -> None:
        Supervisor(self.reactor, {"NOTIFY_SOCKET": self.path, **environ}).attend()

    def test_it_is_ready_when_the_reactor_runs_and_not_before(self) -> None:
        self.attend()
        self.assertEqual(self.heard(), [])
        self.reactor.begin()
        self.assertEqual(self.heard(), [b"READY=1"])

    def test_signs_of_life_come_three_times_in_a_watchdogs_period(self) -> None:
        self.attend(WATCHDOG_USEC="30000000")
        self.reactor.begin()
        self.assertEqual(self.heard(), [b"READY=1", b"WATCHDOG=1"])
        self.reactor.pump([1.0] * 30)
        self.assertEqual(self.heard(), [b"WATCHDOG=1"] * 3)

    def test_without_a_watchdog_there_are_none(self) -> None:
        for told in ({}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "-5"}, {"WATCHDOG_USEC": "x"}):
            self.reactor = FakeReactor()
            self.attend(**told)
            self.reactor.begin()
            self.assertEqual(self.heard(), [b"READY=1"], told)
            self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_a_watchdog_of_another_process_is_not_ours(self) -> None:
        self.attend(WATCHDOG_USEC="30000000", WATCHDOG_PID=str(os.getpid() + 1))
        self.reactor.begin()
        self.assertEqual(self.heard(), [b"READY=1"])

    def test_it_tells_of_the_stop_and_lives_until_all_is_closed(self) -> None:
        self.attend(WATCHDOG_USEC="3000000", WATCHDOG_PID=str(os.getpid()))
        self.reactor.begin()
        self.heard()
        self.reactor.fire("before shutdown")
        self.reactor.advance(1.0)
        self.assertEqual(self.heard(), [b"STOPPING=1", b"WATCHDOG=1"])
        self.reactor.fire("after shutdown")
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_without_a_supervisor_nothing_is_arranged(self) -> None:
        Supervisor(self.reactor, {"WATCHDOG_USEC": "3000000"}).attend()
        self.assertEqual((self.reactor.at_start, self.reactor.triggers), ([], {}))

    def test_a_supervisor_that_is_gone_is_complained_of_once(self) -> None:
        self.attend(WATCHDOG_USEC="3000000")
        self.socket.close()
        os.unlink(self.path)
        with capturedLogs() as events:
            self.reactor.begin()
            self.reactor.pump([1.0] * 5)
        mine = [event for event in events if event["log_namespace"].endswith("supervisor")]
        self.assertEqual(len(mine), 1)

    def test_an_abstract_name_works_too(self) -> None:
        name = f"dashp2p-test-{os.getpid()}"
        try:
            self.socket = self.listen("\0" + name)
        except OSError:
            raise SkipTest("this system has no abstract socket names") from None
        Supervisor(self.reactor, {"NOTIFY_SOCKET": "@" + name}).attend()
        self.reactor.begin()
        self.assertEqual(self.heard(), [b"READY=1"])

    def test_a_daemon_under_twistd_tells_all_of_it(self) -> None:
        self.socket.setblocking(True)
        self.socket.settimeout(END_S)
        told = {"NOTIFY_SOCKET": self.path, "WATCHDOG_USEC": "300000"}
        for name, value in told.items():
            self.patch_environment(name, value)
        tracker = Daemons(self).start("tracker", "dashp2p-tracker", free_port())
        self.assertEqual(self.socket.recv(100), b"READY=1")
        tracker.wait_ready(patience_s=1.0)
        self.assertEqual([self.socket.recv(100) for _ in range(3)], [b"WATCHDOG=1"] * 3)
        tracker.process.send_signal(signal.SIGTERM)
        while (message := self.socket.recv(100)) == b"WATCHDOG=1":
            continue
        self.assertEqual(message, b"STOPPING=1")
        self.assertEqual(tracker.process.wait(END_S), 0)

    def patch_environment(self, name: str, value: str) -> None:
        os.environ[name] = value
        self.addCleanup(os.environ.pop, name)
