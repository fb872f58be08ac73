"""Dialling back: each address once in a while, a few at a time, and nothing left at the end."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.internet.testing import StringTransportWithDisconnection
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.tracker import limits
from dashp2p.tracker.addresses import HostPort
from dashp2p.tracker.dialback import DialBack
from tests.tracker.support import Dialler

ADDRESS = HostPort("198.51.100.7", 4001)


class DialBackTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.dialler = Dialler()
        self.dialback = DialBack(self.dialler, self.clock, self.clock.seconds)
        self.told: list[bool] = []

    def check(self, address: HostPort = ADDRESS, site: str | None = None) -> None:
        self.dialback.check(address, site or address.host, self.told.append)

    def test_an_address_that_answers_is_reached(self) -> None:
        self.check()
        self.assertEqual(self.dialler.dialled, ["198.51.100.7:4001"])
        self.assertIsNone(self.dialback.known(ADDRESS))
        self.dialler.endpoints[0].answer()
        self.assertEqual((self.told, self.dialback.known(ADDRESS)), ([True], True))
        self.assertEqual(self.dialback.succeeded, 1)

    def test_an_address_that_refuses_is_not(self) -> None:
        self.check()
        self.dialler.endpoints[0].refuse()
        self.assertEqual((self.told, self.dialback.known(ADDRESS)), ([False], False))
        self.assertEqual(self.dialback.failed, 1)

    def test_an_address_that_is_silent_for_two_seconds_is_not(self) -> None:
        self.check()
        self.clock.advance(limits.DIAL_S - 0.1)
        self.assertEqual(self.told, [])
        self.clock.advance(0.1)
        self.assertEqual(self.told, [False])
        self.assertTrue(self.dialler.endpoints[0].cancelled)

    def test_the_connection_is_closed_at_once(self) -> None:
        self.check()
        protocol = self.dialler.endpoints[0].factory.buildProtocol(None)  # type: ignore[arg-type]
        assert protocol is not None
        transport = StringTransportWithDisconnection()
        transport.protocol = protocol
        protocol.makeConnection(transport)
        self.assertFalse(transport.connected)

    def test_an_address_is_dialled_once_for_all_who_wait(self) -> None:
        for _ in range(3):
            self.check()
        self.dialler.endpoints[0].answer()
        self.assertEqual((self.told, len(self.dialler.endpoints)), ([True] * 3, 1))

    def test_so_many_wait_for_one_dial(self) -> None:
        for _ in range(limits.MAX_TOLD_PER_DIAL + 50):
            self.check()
        self.dialler.endpoints[0].answer()
        self.assertEqual(len(self.told), limits.MAX_TOLD_PER_DIAL)

    def test_a_result_is_forgotten_after_a_while(self) -> None:
        self.check()
        self.dialler.endpoints[0].answer()
        self.clock.advance(limits.REACHED_FOR_S)
        self.assertIsNone(self.dialback.known(ADDRESS))
        self.check()
        self.dialler.endpoints[1].refuse()
        self.clock.advance(limits.UNREACHED_FOR_S - 1)
        self.assertIs(self.dialback.known(ADDRESS), False)
        self.clock.advance(1)
        self.assertIsNone(self.dialback.known(ADDRESS))

    def test_one_site_is_dialled_a_few_times_at_once(self) -> None:
        for port in range(20):
            self.check(HostPort("198.51.100.7", 5000 + port))
        self.assertEqual(len(self.dialler.endpoints), limits.MAX_DIALS_PER_SITE)
        self.dialler.endpoints[0].answer()
        self.assertEqual(len(self.dialler.endpoints), limits.MAX_DIALS_PER_SITE + 1)

    def test_many_dials_of_one_site_hold_up_nobody_else(self) -> None:
        for port in range(200):
            self.check(HostPort("198.51.100.7", 5000 + port))
        self.check(HostPort("203.0.113.9", 4001))
        self.assertIn("203.0.113.9:4001", self.dialler.dialled)

    def test_so_many_are_dialled_at_once_and_all_in_the_end(self) -> None:
        for n in range(200):
            self.check(HostPort(f"198.51.100.{n}", 4001))
        self.assertEqual(len(self.dialler.endpoints), limits.MAX_DIALS)
        done = 0
        while done < len(self.dialler.endpoints):
            self.dialler.endpoints[done].answer()
            done += 1
        self.assertEqual((done, len(self.told)), (200, 200))
        self.assertEqual((self.dialback._sites, self.dialback._checks), ({}, {}))

    def test_so_many_wait_and_the_rest_is_turned_away(self) -> None:
        for port in range(limits.MAX_DIALS_WAITING_PER_SITE + 100):
            self.check(HostPort("198.51.100.7", 1 + port))
        self.assertEqual(self.dialback.turned_away, 100 - limits.MAX_DIALS_PER_SITE)
        for n in range(limits.MAX_DIALS_WAITING):
            self.check(HostPort(f"10.{n >> 8}.{n & 255}.1", 4001))
        self.assertLessEqual(len(self.dialback._checks), limits.MAX_DIALS_WAITING)

    def test_so_many_results_are_remembered(self) -> None:
        self.patch(limits, "MAX_DIALLED", 10)
        for n in range(50):
            self.check(HostPort(f"198.51.100.{n}", 4001))
            self.dialler.endpoints[-1].answer()
        self.assertEqual(len(self.dialback._results), 10)
        self.assertIs(self.dialback.known(HostPort("198.51.100.49", 4001)), True)

    def test_stopping_gives_up_every_dial_and_tells_nobody(self) -> None:
        for n in range(100):
            self.check(HostPort(f"198.51.100.{n}", 4001))
        self.dialback.stop()
        self.assertEqual(self.told, [])
        self.assertTrue(all(endpoint.cancelled for endpoint in self.dialler.endpoints))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.check(HostPort("203.0.113.9", 4001))
        self.assertNotIn("203.0.113.9:4001", self.dialler.dialled)
