"""A segment that is here goes to a player as fast as its network would bring it."""

from __future__ import annotations

from dashp2p.peer import body as body_module
from dashp2p.swarm.policy import Policy
from dashp2p.testing import FakeDisk, MemoryFilm, MemorySwarm
from tests.peer.proxies import Proxy, ProxyTestCase
from tests.web.support import Answer, Connection

SIZE = 500_000 - 7 * 3
"""Of the third segment: 1 Mbit/s, as its rung says."""
TOLD = "CMCD-Request: bl=12000,dl=12000"


class PaceTestCase(ProxyTestCase):
    """The network gives 2 Mbit/s; the third segment is here, and a player watches."""

    def setUp(self) -> None:
        ProxyTestCase.setUp(self)
        self.proxy.stop()
        self.swarm = MemorySwarm(MemoryFilm.make(segments=4, segment_bytes=500_000))
        self.origin = self.swarm.origin
        self.peer = self.swarm.add_peer(disk=FakeDisk())
        self.proxy = Proxy(self.swarm, self.peer, self.policy)
        self.proxy.learn()
        self.proxy.advice.learn_ladder((1_000_000, 3_000_000))
        for number in (1, 2, 3):
            self.peer.play(f"chunk_0_{number}.m4s")
        self.swarm.advance(3.0)
        self.proxy.advice.etp_bps = 2e6

    def watch_from(self, first: int = 1) -> None:
        """The player has a picture."""
        for number in range(first, 3):
            self.proxy.answer(f"/dash/chunk_0_{number}.m4s", TOLD, wait_s=3.0)

    def ask_third(self, *headers: str) -> Connection:
        return self.proxy.ask("/dash/chunk_0_3.m4s", *(headers or (TOLD,)))


class PaceTests(PaceTestCase):
    def test_what_is_here_comes_as_fast_as_the_network_would_bring_it(self) -> None:
        self.watch_from()
        network_bps = self.proxy.advice.sustained_bps
        assert network_bps is not None
        connection = self.ask_third()
        for after_s in (0.5, 1.0, 1.5):
            came = len(self.proxy.watch(connection, 0.5))
            self.assertLess(abs(came - after_s * network_bps / 8), 20_000)
        self.proxy.watch(connection, 0.6)
        self.assertEqual(Answer.of(connection).body, self.swarm.film.files["chunk_0_3.m4s"])

    def test_its_first_bytes_come_at_once(self) -> None:
        self.watch_from()
        self.assertGreater(len(self.proxy.watch(self.ask_third(), 0.05)), 0)

    def test_a_player_that_starts_waits_no_longer_than_for_the_network_or_half_its_grace(
        self,
    ) -> None:
        self.proxy.advice.learn_ladder((1_000_000, 5_000_000))
        for rate_bps, longest_s in ((8e6, 0.5), (2e6, 0.6)):
            self.proxy.advice.etp_bps = rate_bps
            connection = self.ask_third(f"{TOLD},su")
            came = self.proxy.watch(connection, longest_s - 0.1)
            self.assertTrue(0 < len(came) < SIZE)
            self.assertEqual(len(self.proxy.watch(connection, 0.15)), SIZE)

    def test_a_player_that_has_run_dry_gets_it_at_once(self) -> None:
        self.watch_from()
        came = self.proxy.watch(self.ask_third(f"{TOLD},bs"), 0.1)
        self.assertEqual(len(came), SIZE)

    def test_where_the_network_is_not_known_it_comes_at_once(self) -> None:
        self.proxy.advice.etp_bps = None
        self.watch_from()
        self.assertEqual(len(self.proxy.watch(self.ask_third(), 0.1)), SIZE)

    def test_a_player_with_little_time_gets_it_sooner(self) -> None:
        self.watch_from()
        came = self.proxy.watch(self.ask_third("CMCD-Request: bl=1000,dl=1000"), 0.55)
        self.assertEqual(len(came), SIZE)

    def test_a_player_that_tells_nothing_is_paced_too(self) -> None:
        for number in (1, 2):
            self.proxy.answer(f"/dash/chunk_0_{number}.m4s", wait_s=3.0)
        connection = self.proxy.ask("/dash/chunk_0_3.m4s")
        came = len(self.proxy.watch(connection, 0.5))
        self.assertTrue(100_000 < came < 300_000, came)

    def test_where_the_network_has_plenty_it_comes_at_once(self) -> None:
        self.proxy.advice.etp_bps = 7e6
        self.watch_from()
        self.assertEqual(len(self.proxy.watch(self.ask_third(), 0.1)), SIZE)

    def test_what_arrives_meanwhile_is_not_held_back(self) -> None:
        self.watch_from()
        self.origin.chunk_s = 0.05
        self.peer.play("chunk_0_4.m4s")
        [incoming] = self.peer.engine.incoming.values()
        self.swarm.until(lambda: incoming.assembly.readable_bytes(0) > 150_000)
        ready = incoming.assembly.readable_bytes(0)
        connection = self.proxy.ask("/dash/chunk_0_4.m4s", TOLD)
        came = len(self.proxy.watch(connection, 0.4))
        arrived = incoming.assembly.readable_bytes(0) - ready
        self.assertGreater(arrived, 100_000)
        self.assertLess(abs(came - arrived - 0.4 * 2e6 / 8), 30_000)

    def test_the_kernel_sends_only_what_goes_at_once(self) -> None:
        given: list[object] = []
        self.patch(body_module, "socket_sender", lambda *sent, **_: given.append(sent))
        self.watch_from()
        self.ask_third()
        self.assertEqual(given, [])
        self.proxy.advice.etp_bps = None
        self.ask_third()
        self.assertEqual(len(given), 1)

    def test_after_much_film_from_the_cache_more_is_dared(self) -> None:
        self.watch_from()
        dared_bps = self.proxy.advice.sustained_bps
        assert dared_bps is not None
        self.assertGreater(dared_bps, 2e6 * 1.05)

    def test_what_was_fetched_ahead_is_no_film_from_the_cache(self) -> None:
        self.peer.engine.want(self.swarm.film.entry("chunk_0_4.m4s"), self.peer.now + 20.0)
        self.swarm.advance(5.0)
        self.proxy.answer("/dash/chunk_0_4.m4s", TOLD, wait_s=3.0)
        self.assertEqual(self.proxy.advice.sustained_bps, self.proxy.advice.etp_bps)

    def test_nothing_is_left_when_the_player_leaves(self) -> None:
        self.watch_from()
        connection = self.ask_third()
        self.proxy.watch(connection, 0.1)
        connection.transport.abortConnection()
        self.swarm.advance(0.0)
        calls = [str(call) for call in self.swarm.clock.getDelayedCalls()]
        self.assertFalse([call for call in calls if "_go_on" in call], calls)


class NoPaceTests(PaceTestCase):
    policy = Policy.without(frozenset({"no-pacing"}))

    def test_the_lab_may_turn_it_off(self) -> None:
        self.watch_from()
        self.assertEqual(len(self.proxy.watch(self.ask_third(), 0.1)), SIZE)


class MeasureTests(PaceTestCase):
    """What the network gives is measured where bytes came while somebody waited."""

    def setUp(self) -> None:
        PaceTestCase.setUp(self)
        self.proxy.advice.etp_bps = None
        self.origin.chunk_s = 0.05

    def foresee(self) -> None:
        self.peer.engine.want(self.swarm.film.entry("chunk_0_4.m4s"), self.peer.now + 20.0)

    def rate_bps(self, connection: Connection) -> float:
        began_at = self.swarm.clock.seconds()
        while len(self.proxy.watch(connection, 0.05)) < 499_972:
            self.assertLess(self.swarm.clock.seconds() - began_at, 60.0)
        return 499_972 * 8 / (self.swarm.clock.seconds() - began_at)

    def test_a_delivery_that_was_begun_before_does_not_inflate_it(self) -> None:
        self.foresee()
        self.swarm.advance(1.0)
        [incoming] = self.peer.engine.incoming.values()
        here_share = incoming.assembly.readable_bytes(0) / 499_972
        self.assertTrue(0.3 < here_share < 0.7, here_share)
        seen_bps = self.rate_bps(self.proxy.ask("/dash/chunk_0_4.m4s"))
        etp_bps = self.proxy.advice.etp_bps
        assert etp_bps is not None
        self.assertTrue(0.85 < etp_bps / seen_bps / (1 - here_share) < 1.15)

    def test_what_nobody_waited_for_lowers_nothing(self) -> None:
        self.proxy.advice.etp_bps = 50e6
        self.foresee()
        self.swarm.advance(5.0)
        self.assertTrue(self.peer.has("chunk_0_4.m4s"))
        self.assertEqual(self.proxy.advice.etp_bps, 50e6)

    def test_it_is_measured_for_who_waits(self) -> None:
        seen_bps = self.rate_bps(self.proxy.ask("/dash/chunk_0_4.m4s"))
        etp_bps = self.proxy.advice.etp_bps
        assert etp_bps is not None
        self.assertTrue(0.8 < etp_bps / seen_bps < 1.25, (etp_bps, seen_bps))
