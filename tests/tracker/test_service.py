"""The daemon's options, and the service's life, without a reactor."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.tracker.memory import MemoryRegistry
from dashp2p.tracker.tap import Options, makeService
from tests.tracker.support import Tracker, announce_fields, announce_of, at, want
from tests.web.support import Connection, code_under


def options(*arguments: str, **environ: str) -> Options:
    found = Options()
    found.environ = environ
    found.parseOptions(list(arguments))
    return found


class OptionTests(SynchronousTestCase):
    def test_the_defaults_are_the_designs(self) -> None:
        config = options().config()
        self.assertEqual((config.listen, config.admin), ("tcp:7000", None))
        rules = config.registry
        self.assertEqual((rules.interval_shortest_s, rules.interval_longest_s), (30.0, 120.0))
        self.assertEqual((rules.peers_per_swarm, rules.peers, rules.swarms), (10_000, 50_000, 1000))
        self.assertEqual((rules.peers_per_address, rules.leases.most_live_per_peer), (0, 4))

    def test_each_option_reaches_the_service(self) -> None:
        config = options(
            *("--listen", "tcp:7070", "--admin", "tcp:7071", "--interval", "3m"),
            *("--peers-per-swarm", "5", "--max-peers", "6", "--max-swarms", "7"),
            *("--leases-per-peer", "8", "--peers-per-address", "9"),
            *("--calls-per-address", "10", "--connections-per-address", "11"),
        ).config()
        rules = config.registry
        self.assertEqual((config.listen, config.admin), ("tcp:7070", "tcp:7071"))
        self.assertEqual((rules.interval_shortest_s, rules.interval_longest_s), (180.0, 180.0))
        self.assertEqual((rules.peers_per_swarm, rules.peers, rules.swarms), (5, 6, 7))
        self.assertEqual((rules.leases.most_live_per_peer, rules.peers_per_address), (8, 9))
        self.assertEqual((config.calls_per_address, config.connections_per_address), (10, 11))

    def test_the_environment_is_read(self) -> None:
        self.assertEqual(options(PORT="7300").config().listen, "tcp:7300")
        found = options(DASHP2P_LISTEN="tcp:7301", PORT="7300", DASHP2P_MAX_SWARMS="3").config()
        self.assertEqual((found.listen, found.registry.swarms), ("tcp:7301", 3))

    def test_a_bad_option_is_named(self) -> None:
        for arguments in (
            ("--listen", "tcp:nonsense"),
            ("--interval", "soon"),
            ("--max-peers", "0"),
            ("--leases-per-peer", "x"),
            ("--unknown",),
        ):
            with self.assertRaisesRegex(UsageError, arguments[0].lstrip("-").split("=")[0]):
                options(*arguments)

    def test_a_service_is_made_of_them(self) -> None:
        reactor = MemoryReactorClock()
        service: Any = makeService(options("--admin", "tcp:7001:interface=127.0.0.1"), reactor)
        service.startService()
        self.addCleanup(service.stopService)
        self.assertEqual([server[0] for server in reactor.tcpServers], [7000, 7001])
        self.assertEqual([each.site.private for each in service.listeners], [False, True])

    def test_the_admin_listener_heeds_under_which_name_it_is_asked(self) -> None:
        service: Any = makeService(
            options("--admin", "tcp:7001", "--admin-host", "ops.example"), MemoryReactorClock()
        )
        _, admin = service.listeners
        self.assertEqual(code_under(admin.site, "evil.example:7001", "/readyz"), 421)
        self.assertEqual(code_under(admin.site, "ops.example:7001", "/readyz"), 200)
        self.assertEqual(code_under(admin.site, "tracker:7001", "/readyz"), 200)


class DialTests(SynchronousTestCase):
    def test_the_address_that_an_announce_came_from_is_dialled_by_tcp(self) -> None:
        reactor = MemoryReactorClock()
        service: Any = makeService(options(), reactor)
        service.startService()
        self.addCleanup(service.stopService)
        for host in ("198.51.100.7", "2001:db8::7"):
            body = json.dumps(announce_fields(1)).encode()
            self.successResultOf(Deferred.fromCoroutine(service.api.announce(body, host)))
        self.assertEqual(
            [(host, port, timeout) for host, port, _, timeout, _ in reactor.tcpClients],
            [("198.51.100.7", 4001, 2.0), ("2001:db8::7", 4001, 2.0)],
        )


class LifeTests(SynchronousTestCase):
    def stop(self, tracker: Tracker) -> Deferred[None]:
        stopping: Deferred[None] = tracker.service.stopService()
        tracker.clock.advance(10.0)
        return stopping

    def test_it_stops_with_nothing_left_to_happen(self) -> None:
        tracker = Tracker()
        tracker.announce(1, "198.51.100.7")
        self.successResultOf(self.stop(tracker))
        self.assertTrue(tracker.dialler.endpoints[0].cancelled)
        self.assertEqual(tracker.clock.getDelayedCalls(), [])

    def test_it_is_not_ready_while_it_stops(self) -> None:
        tracker = Tracker()
        self.assertEqual(tracker.service.reasons(), [])
        self.stop(tracker)
        self.assertEqual(tracker.service.reasons(), ["the tracker is stopping"])

    def test_an_error_while_expiring_does_not_end_the_ticks(self) -> None:
        tracker = Tracker()
        tracker.announce(1)
        calls = []

        async def fails(registry: MemoryRegistry, now: float) -> None:
            calls.append(now)
            raise ZeroDivisionError

        self.patch(MemoryRegistry, "expire", fails)
        tracker.clock.pump([1.0] * 3)
        self.assertEqual(len(calls), 3)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 3)

    def test_a_pause_of_the_machine_is_held_against_nobody(self) -> None:
        tracker = Tracker()
        for number in (1, 2):
            tracker.announce(number)
        tracker.clock.advance(0.5)
        [granted] = tracker.lease(1, want=[want(7)])
        tracker.clock.advance(3600.0)
        swarms = json.loads(tracker.get("/swarms").body)["swarms"]
        self.assertEqual([swarm["peers"] for swarm in swarms], [2])
        self.assertEqual(swarms[0]["takeovers"], 0)
        [led] = tracker.lease(2, want=[want(7)])
        self.assertEqual((led["granted"], led["epoch"]), (False, granted["epoch"]))

    def test_silence_of_the_peers_is(self) -> None:
        tracker = Tracker()
        tracker.announce(1)
        tracker.clock.pump([1.0] * 200)
        self.assertEqual(json.loads(tracker.get("/swarms").body)["swarms"], [])

    def test_a_store_that_answers_late_is_waited_for_and_given_up_with_the_client(self) -> None:
        tracker = Tracker()
        waiting: list[Deferred[Any]] = []
        cancelled: list[Deferred[Any]] = []

        async def late(*args: object) -> Any:
            waiting.append(Deferred(cancelled.append))
            return await waiting[-1]

        welcome = self.successResultOf(
            Deferred.fromCoroutine(
                tracker.service.registry.announce(
                    announce_of(1), at("127.0.0.1"), tracker.clock.seconds(), None
                )
            )
        )
        self.patch(MemoryRegistry, "announce", late)
        patient, gone = (
            Connection(tracker.site, IPv4Address("TCP", "127.0.0.1", 5)) for _ in range(2)
        )
        for connection in (patient, gone):
            connection.send(_announce_request())
        self.assertEqual(patient.received(), b"")
        waiting[0].callback(welcome)
        self.assertIn(b"200 OK", patient.received())
        gone.transport.abortConnection()
        self.assertEqual(cancelled, [waiting[1]])


def _announce_request() -> bytes:
    body = json.dumps(announce_fields(2)).encode()
    head = (
        "POST /announce HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
