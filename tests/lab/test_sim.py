"""Simulated crowds from fixed seeds: what must hold at every step, and that all see their film."""

from __future__ import annotations

import random

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.lab.loss import Loss
from dashp2p.lab.scenario import Churn, Ending, Lie, Links, Scenario, Variant
from dashp2p.lab.sim.figures import SimFigures, figures
from dashp2p.lab.sim.film import LADDER_BPS, make_film
from dashp2p.lab.sim.incoming import BrokenInvariantError
from dashp2p.lab.sim.invariants import Invariants
from dashp2p.lab.sim.peer import Peer
from dashp2p.lab.sim.simulation import Settings, Simulation
from dashp2p.swarm import commands as do
from dashp2p.swarm.policy import Policy
from dashp2p.wire.errors import Code

CROWD = Scenario("crowd", "a small crowd", peers=6, film_s=16.0)
QUICK = Settings(CROWD, block_size_bytes=65536, quantum_bytes=65536)
"""Blocks four times as large as real ones, so that the tests are quick."""


def simulate(settings: Settings) -> tuple[Simulation, SimFigures]:
    sim = Simulation(settings)
    if settings.variant is Variant.PEERS:
        Invariants(sim).attach()
    sim.run()
    return sim, figures(sim)


def begun_ahead(sim: Simulation) -> int:
    return sum(seat.proxy.foresight.begun for seat in sim.seats if seat.proxy is not None)


class CrowdTests(SynchronousTestCase):
    def see(self, settings: Settings, copies: float = 2.0) -> tuple[Simulation, SimFigures]:
        """Simulate; everybody who stays sees the film to its end, and it costs so many copies."""
        sim, found = simulate(settings)
        self.assertEqual(found.unfinished, 0, "somebody did not see the end")
        assert found.copies is not None
        self.assertLessEqual(found.copies, copies)
        return sim, found

    def test_all_at_once(self) -> None:
        for seed in (1, 2):
            self.see(evolve(QUICK, seed=seed), copies=1.6)

    def test_one_after_the_other_over_blocks_as_large_as_real_ones(self) -> None:
        crowd = evolve(CROWD, spacing_s=1.0, film_s=8.0)
        self.see(Settings(crowd), copies=1.1)

    def test_far_from_the_origin_with_loss(self) -> None:
        links = Links(far=True, loss=Loss(0.02))
        self.see(evolve(QUICK, seed=3, scenario=evolve(CROWD, links=links)))

    def test_two_killed_in_the_middle(self) -> None:
        crowd = evolve(CROWD, spacing_s=0.5, killed=2, killed_at_s=6.0)
        self.see(evolve(QUICK, seed=4, scenario=crowd))

    def test_what_only_the_first_viewer_has_is_not_lost_with_it(self) -> None:
        crowd = evolve(CROWD, peers=3, spacing_s=8.0, film_s=40.0, killed=1, killed_at_s=20.0)
        self.assertEqual([v.host for v in crowd.visits(Variant.PEERS, 2) if v.leaves_s], ["p01"])
        settings = evolve(QUICK, seed=2, scenario=crowd)
        without = evolve(settings, policy=Policy.without(frozenset({"no-replicas"})))
        self.see(settings, copies=1.05)
        _, found = self.see(without)
        assert found.copies is not None
        self.assertGreater(found.copies, 1.15)

    def test_the_tracker_dies(self) -> None:
        self.see(evolve(QUICK, seed=5, scenario=evolve(CROWD, tracker_killed_at_s=3.0)))

    def test_daemons_that_start_with_their_players(self) -> None:
        self.see(evolve(QUICK, seed=6, scenario=evolve(CROWD, cold=True)))

    def test_uplinks_too_thin_for_the_crowd(self) -> None:
        crowd = evolve(CROWD, links=Links(uplink_bps=2e6))
        self.see(evolve(QUICK, seed=7, scenario=crowd), copies=6.0)

    def test_the_origin_comes_back(self) -> None:
        self.see(evolve(QUICK, seed=8, origin_down_s=(2.0, 4.0)), copies=3.0)

    def test_what_players_name_as_next_comes_before_they_ask(self) -> None:
        crowd = evolve(CROWD, peers=4, spacing_s=0.5, film_s=24.0)
        telling = evolve(QUICK, seed=11, scenario=crowd, tells=True, buffer_s=5.0)
        sim, found = self.see(telling, copies=1.1)
        self.assertGreater(begun_ahead(sim), 4)
        assert found.waste_share is not None
        self.assertLess(found.waste_share, 0.03)
        without = evolve(telling, policy=Policy.without(frozenset({"no-prefetch"})))
        self.assertEqual(begun_ahead(self.see(without)[0]), 0)

    def test_liars_are_banned_and_nobody_plays_a_false_block(self) -> None:
        crowd = evolve(CROWD, liars=(Lie.FALSE, Lie.FALSE))
        sim, _ = self.see(evolve(QUICK, seed=9, scenario=crowd), copies=4.0)
        banned = {peer_id for peer in sim.peers for peer_id in peer.exchange.banned}
        liars = {peer.peer_id for peer in sim.liars}
        self.assertTrue(banned)
        self.assertLessEqual(banned, liars)

    def test_liars_of_all_kinds_are_left_alone_and_nobody_else_is(self) -> None:
        lies = (Lie.EMPTY, Lie.SILENT, Lie.FALSE, Lie.SQUAT, Lie.SQUAT)
        crowd = evolve(CROWD, peers=4, liars=lies)
        sim, found = self.see(evolve(QUICK, seed=12, scenario=crowd), copies=1.1)
        self.assertEqual((found.liars_kept, found.stalls), (0, 0))
        liars = {peer.peer_id for peer in sim.liars}
        for peer in sim.peers:
            self.assertEqual(peer.exchange.banned.keys(), liars)

    def test_in_thin_and_lossy_crowds_nobody_is_taken_for_a_liar(self) -> None:
        for links in (Links(uplink_bps=2e6), Links(far=True, loss=Loss(0.05))):
            sim, _ = simulate(evolve(QUICK, seed=13, scenario=evolve(CROWD, links=links)))
            self.assertEqual([peer.exchange.banned for peer in sim.peers], [{}] * 6)

    def test_a_crowd_that_comes_and_goes(self) -> None:
        churn = Churn(5, 8.0, tuple(Ending))
        crowd = evolve(CROWD, film_s=24.0, churn=churn)
        sim, found = simulate(evolve(QUICK, seed=10, scenario=crowd))
        self.assertGreater(sum(seat.left for seat in sim.seats), 5)
        self.assertEqual(found.failures, 0)

    def test_without_leases_it_costs_more(self) -> None:
        _, with_leases = self.see(QUICK, copies=1.6)
        policy = Policy.without(frozenset({"no-lease"}))
        _, without = self.see(evolve(QUICK, policy=policy), copies=6.0)
        assert with_leases.copies is not None and without.copies is not None
        self.assertGreater(without.copies, with_leases.copies)


class PlainTests(SynchronousTestCase):
    def test_one_plain_viewer_sees_what_the_lab_measured(self) -> None:
        """Start-up 0.17 s near and 0.47 s far, and some 4 Mbit/s."""
        for far, startup_s in ((False, 0.17), (True, 0.47)):
            crowd = Scenario("lone", "one viewer", links=Links(far=far))
            _, found = simulate(Settings(crowd, variant=Variant.LONE))
            assert found.startup_median_s is not None and found.mean_bitrate_bps is not None
            self.assertLess(abs(found.startup_median_s - startup_s), 0.05)
            self.assertTrue(3.7e6 < found.mean_bitrate_bps < 4.5e6)
            self.assertEqual(found.stalls, 0)
            self.assertTrue(found.copies is not None and 1.0 < found.copies < 1.01)

    def test_a_plain_crowd_costs_a_copy_each(self) -> None:
        _, found = simulate(evolve(QUICK, variant=Variant.PLAIN))
        self.assertLess(abs(found.egress_bytes / found.delivered_bytes - 1), 0.01)


class RepeatTests(SynchronousTestCase):
    def test_a_seed_gives_the_same_run_again(self) -> None:
        crowd = evolve(CROWD, film_s=8.0, links=Links(loss=Loss(0.01)))
        runs = [simulate(evolve(QUICK, seed=11, scenario=crowd))[1] for _ in range(2)]
        first, second = (evolve(found, took_s=0.0) for found in runs)
        self.assertEqual(first, second)

    def test_another_seed_gives_another_run(self) -> None:
        crowd = evolve(CROWD, film_s=4.0)
        first, second = (simulate(evolve(QUICK, seed=n, scenario=crowd))[1] for n in (1, 2))
        self.assertNotEqual(first.delivered_bytes, second.delivered_bytes)

    def test_a_film_has_the_sizes_that_its_rates_say(self) -> None:
        film = make_film(1, 40.0)
        for rung, rate in zip(film.video, LADDER_BPS, strict=True):
            self.assertLess(abs(film.bytes_of(rung) * 8 / 40.0 / rate - 1), 0.1)


class RedTests(SynchronousTestCase):
    """The invariants see what is broken: each test breaks one thing."""

    def setUp(self) -> None:
        self.sim = Simulation(evolve(QUICK, scenario=evolve(CROWD, peers=3, film_s=8.0)))
        self.checks = Invariants(self.sim)

    def run_until(self, seconds: float) -> None:
        self.checks.attach()
        self.sim.clock.run_until(self.sim.opens_at + seconds)

    def break_in(self, seconds: float) -> Peer:
        """Let the crowd run so long, then give one peer that has a delivery under way."""
        self.run_until(seconds)
        busy = [peer for peer in self.sim.peers if peer.incoming]
        self.assertTrue(busy, "nothing is under way at that time")
        return random.Random(1).choice(busy)

    def assert_broken(self, peer: Peer, words: str) -> None:
        error = self.assertRaises(BrokenInvariantError, self.checks.step, peer)
        self.assertIn(words, str(error))

    def test_blocks_that_count_as_here_but_were_not_verified(self) -> None:
        peer = self.break_in(0.05)
        incoming = next(iter(peer.incoming.values()))
        incoming.delivery.here |= incoming.full & ~incoming.verified
        self.assert_broken(peer, "unverified")

    def test_files_that_are_announced_but_not_here(self) -> None:
        peer = self.break_in(0.05)
        peer.node.state.have |= 1 << 60
        self.assert_broken(peer, "announces files")

    def test_a_delivery_that_the_driver_does_not_know(self) -> None:
        peer = self.break_in(0.05)
        peer.incoming.clear()
        self.assert_broken(peer, "disagree")

    def test_blocks_that_nobody_was_asked_for(self) -> None:
        peer = self.break_in(0.05)
        incoming = next(iter(peer.incoming.values()))
        incoming.delivery.asked[next(iter(peer.exchange.links))] = incoming.full
        self.assert_broken(peer, "waits for blocks")

    def test_more_asked_on_a_link_than_may_be(self) -> None:
        peer = self.break_in(0.05)
        next(iter(peer.node.state.neighbours.values())).outstanding_bytes = 1 << 30
        self.assert_broken(peer, "are asked on one link")

    def test_more_owed_on_a_link_than_may_be(self) -> None:
        peer = self.break_in(0.05)
        next(iter(peer.node.uplink.outlets.values())).owed_bytes = 1 << 30
        self.assert_broken(peer, "are owed on one link")

    def test_books_that_owe_less_than_nothing(self) -> None:
        peer = self.break_in(0.05)
        next(iter(peer.node.uplink.outlets.values())).owed_bytes = -1
        self.assert_broken(peer, "are owed on one link")

    def test_more_deliveries_at_once_than_may_be(self) -> None:
        peer = self.break_in(0.05)
        incoming = next(iter(peer.incoming.values()))
        for position in range(100, 130):
            peer.incoming[position] = incoming
            peer.node.state.deliveries[position] = incoming.delivery
        self.assert_broken(peer, "deliveries at once")

    def test_blocks_that_are_asked_of_somebody_who_is_gone(self) -> None:
        peer = self.break_in(0.05)
        next(iter(peer.incoming.values())).delivery.asked[b"nobody"] = 1
        self.assert_broken(peer, "asked of nobody")

    def test_a_request_that_nothing_is_done_about(self) -> None:
        self.run_until(0.02)
        seat = next(seat for seat in self.sim.seats if seat.proxy and seat.proxy.open)
        assert seat.peer is not None
        seat.peer.incoming.clear()
        error = self.assertRaises(BrokenInvariantError, self.checks.sweep, self.sim)
        self.assertIn("not under way", str(error))

    def test_a_peer_never_sends_what_it_has_not_verified(self) -> None:
        self.run_until(0.0)
        for peer in self.sim.peers:
            peer.node.state.have = -1  # it thinks that it has everything
        self.assertRaises(BrokenInvariantError, self.run_until, 8.0)

    def test_what_was_given_up_before_it_was_sent_is_refused(self) -> None:
        peer = self.break_in(0.05)
        entry = next(iter(peer.incoming.values())).entry
        neighbour = next(iter(peer.exchange.links))
        peer.node.stop_delivery(entry, self.sim.clock.now)
        del peer.incoming[entry.position]
        peer.neighbourhood.send(do.Send(neighbour, 1, entry, 0, 1))
        refused = [each for each in peer.node.state.out if isinstance(each, do.Refuse)]
        self.assertIn(
            do.Refuse(neighbour, 1, entry.position, 1, int(Code.NOT_HERE)),
            refused,
        )

    def test_peers_that_wait_for_each_other(self) -> None:
        self.run_until(0.05)
        one, other = [peer for peer in self.sim.peers if peer.incoming][:2]
        position = next(iter(one.incoming.keys() & other.incoming.keys()))
        for peer, asked in ((one, other), (other, one)):
            delivery = peer.incoming[position].delivery
            delivery.here = delivery.origin = 0
            delivery.asked = {asked.peer_id: peer.incoming[position].full}
        self.checks.sweep(self.sim)
        self.sim.clock.now += 3.0
        error = self.assertRaises(BrokenInvariantError, self.checks.sweep, self.sim)
        self.assertIn("ring", str(error))

    def test_a_player_who_is_left_waiting(self) -> None:
        self.run_until(0.02)
        seat = next(seat for seat in self.sim.seats if seat.proxy and seat.proxy.open)
        assert seat.peer is not None
        for incoming in seat.peer.incoming.values():
            incoming.fetches.clear()
        self.checks.sweep(self.sim)
        self.sim.clock.now += 10.0
        error = self.assertRaises(BrokenInvariantError, self.checks.sweep, self.sim)
        self.assertIn("nothing moves", str(error))
