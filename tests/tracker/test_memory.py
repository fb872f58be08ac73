"""The registry in memory: who is remembered, for how long, and what is summed."""

from __future__ import annotations

from collections.abc import Coroutine
from random import Random
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.swarm.leases import Elsewhere, Granted, LeaseRules, Want
from dashp2p.tracker import limits
from dashp2p.tracker.addresses import private_address
from dashp2p.tracker.errors import Refused
from dashp2p.tracker.memory import MemoryRegistry, RegistryRules
from dashp2p.tracker.messages import Event, LeaseCall, Mark
from dashp2p.tracker.registry import LeaseAnswer, Registry, Welcome
from tests.tracker.support import OTHER_SWARM, SWARM, announce_of, at, peer_id

T = TypeVar("T")


class RegistryCase(SynchronousTestCase):
    rules = RegistryRules()

    def setUp(self) -> None:
        self.now = 1000.0
        self.registry = self.made(self.rules)

    def made(self, rules: RegistryRules) -> Registry:
        """A registry that knows nothing yet; test_shared makes others."""
        return MemoryRegistry(rules, Random(3))

    def ran(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Its coroutines never suspend."""
        found: T = self.successResultOf(Deferred.fromCoroutine(coroutine))
        return found

    def refused(self, coroutine: Coroutine[Any, Any, Any], status: int) -> Refused:
        error = self.failureResultOf(Deferred.fromCoroutine(coroutine), Refused).value
        assert isinstance(error, Refused)
        self.assertEqual(error.status, status)
        return error

    def announce(
        self, number: int, host: str = "127.0.0.1", reached: bool | None = None, **changes: Any
    ) -> Welcome:
        announce = announce_of(number, **changes)
        return self.ran(self.registry.announce(announce, at(host), self.now, reached))

    def call(self, number: int, **lists: Any) -> LeaseCall:
        lists = {"want": (), "progress": (), "done": (), "release": (), **lists}
        swarm = lists.pop("swarm", SWARM)
        return LeaseCall(swarm=swarm, peer=peer_id(number), **lists)

    def ask(self, number: int, segment: int = 7, **changes: Any) -> Granted | Elsewhere:
        call = self.call(number, want=(Want(segment, 8, 2_000_000, 5_000_000, **changes),))
        return self.lease(call).answers[0]

    def lease(self, call: LeaseCall, host: str = "127.0.0.1") -> LeaseAnswer:
        return self.ran(self.registry.lease(call, at(host), self.now))

    def told(self, welcome: Welcome) -> set[int]:
        return {int.from_bytes(neighbour.peer, "big") for neighbour in welcome.peers}

    def figure(self, name: str) -> float:
        return self.ran(self.registry.counters(self.now))[name]


class PeerTests(RegistryCase):
    def test_two_peers_learn_of_each_other(self) -> None:
        self.assertEqual(self.told(self.announce(1)), set())
        welcome = self.announce(2)
        self.assertEqual((self.told(welcome), welcome.swarm_peers), ({1}, 2))
        self.assertEqual(self.told(self.announce(1)), {2})

    def test_swarms_know_nothing_of_each_other(self) -> None:
        self.announce(1)
        self.assertEqual(self.told(self.announce(2, swarm=OTHER_SWARM)), set())

    def test_who_stops_is_forgotten_at_once(self) -> None:
        self.announce(1)
        self.announce(2)
        welcome = self.announce(1, event=Event.STOPPED)
        self.assertEqual((self.told(welcome), welcome.swarm_peers), (set(), 1))
        self.assertEqual(self.told(self.announce(2)), set())

    def test_to_stop_without_having_announced_is_harmless(self) -> None:
        self.assertEqual(self.announce(1, event=Event.STOPPED).swarm_peers, 0)
        self.assertEqual(self.figure("swarms"), 0)

    def test_who_is_silent_for_two_and_a_half_intervals_is_forgotten(self) -> None:
        self.announce(1)
        self.now += 74.9
        self.assertEqual(self.told(self.announce(2)), {1})
        self.now += 0.2
        self.assertEqual(self.told(self.announce(2)), set())

    def test_each_announce_keeps_a_peer(self) -> None:
        for _ in range(10):
            self.announce(1)
            self.now += 60.0
        self.assertEqual(self.told(self.announce(2)), {1})

    def test_a_swarm_ends_with_its_last_peer(self) -> None:
        self.announce(1)
        self.now += 76.0
        self.ran(self.registry.expire(self.now))
        self.assertEqual((self.figure("swarms"), self.figure("peers")), (0, 0))

    def test_large_swarms_announce_less_often(self) -> None:
        rules = RegistryRules()
        self.assertEqual([rules.interval_s(n) for n in (1, 100, 550, 1000, 9999)],
                         [30.0, 30.0, 75.0, 120.0, 120.0])  # fmt: skip

    def test_who_was_dialled_is_told_to_strangers(self) -> None:
        self.announce(1, "198.51.100.7", reached=None)
        self.assertEqual(self.told(self.announce(2, "203.0.113.9")), set())
        dialled = self.registry.dialled(SWARM, peer_id(1), at("198.51.100.7"), 4001, True)
        self.ran(dialled)
        self.assertEqual(self.told(self.announce(2, "203.0.113.9")), {1})

    def test_a_dial_of_an_old_address_says_nothing_of_the_new_one(self) -> None:
        self.announce(1, "198.51.100.8")
        self.ran(self.registry.dialled(SWARM, peer_id(1), at("198.51.100.7"), 4001, True))
        self.ran(self.registry.dialled(SWARM, peer_id(1), at("198.51.100.8"), 4999, True))
        self.ran(self.registry.dialled(SWARM, peer_id(9), at("198.51.100.8"), 4001, True))
        self.ran(self.registry.dialled(OTHER_SWARM, peer_id(1), at("1.2.3.4"), 4001, True))
        self.assertEqual(self.told(self.announce(2, "203.0.113.9")), set())

    def test_who_moves_must_be_dialled_again(self) -> None:
        self.announce(1, "198.51.100.7", reached=True)
        self.announce(1, "198.51.100.8")
        self.assertEqual(self.told(self.announce(2, "203.0.113.9")), set())

    def test_an_announce_without_news_of_dialling_changes_nothing(self) -> None:
        self.announce(1, "198.51.100.7", reached=True)
        self.announce(1, "198.51.100.7", reached=None)
        self.assertEqual(self.told(self.announce(2, "203.0.113.9")), {1})
        self.announce(1, "198.51.100.7", reached=False)
        self.assertEqual(self.told(self.announce(2, "203.0.113.9")), set())


class BoundTests(RegistryCase):
    rules = RegistryRules(
        peers_per_swarm=5, peers=8, swarms=2, peers_per_address=3, lease_cells=100
    )

    def test_in_a_full_swarm_who_was_silent_longest_gives_way(self) -> None:
        for n in range(1, 6):
            self.announce(n)
        self.announce(1)
        self.announce(6)
        self.assertEqual(self.told(self.announce(6)), {1, 3, 4, 5})

    def test_in_a_full_tracker_a_peer_gives_way_in_its_own_swarm(self) -> None:
        for n in range(1, 6):
            self.announce(n)
        for n in range(6, 12):
            self.announce(n, swarm=OTHER_SWARM)
        self.assertEqual(self.figure("peers"), 8)
        self.assertEqual(len(self.told(self.announce(1))), 4)

    def test_a_full_tracker_takes_no_new_swarm(self) -> None:
        self.announce(1)
        self.announce(2, swarm=OTHER_SWARM)
        announce = announce_of(3, swarm=b"U" * 32)
        error = self.refused(self.registry.announce(announce, at("127.0.0.1"), self.now, None), 503)
        self.assertEqual(error.retry_after_s, 120.0)
        self.assertEqual(self.figure("swarms"), 2)

    def test_one_address_has_so_many_peers_in_a_swarm(self) -> None:
        for n in range(1, 4):
            self.announce(n, "198.51.100.7")
        announce = announce_of(4)
        self.refused(self.registry.announce(announce, at("198.51.100.7"), self.now, None), 429)
        self.announce(3, "198.51.100.7")
        self.announce(4, "198.51.100.8")

    def test_this_machine_has_as_many_as_it_likes(self) -> None:
        for n in range(1, 6):
            self.announce(n, "127.0.0.1")
        self.assertEqual(self.figure("peers"), 5)

    def test_so_many_names_are_summed(self) -> None:
        for n in range(1, 5):
            stats = {f"of_{n}_{k}_bytes": 1 for k in range(limits.MAX_STATS)}
            self.announce(n, stats=stats)
        summary = self.ran(self.registry.swarms(self.now))[0]
        self.assertEqual(len(summary.totals), limits.MAX_TOTALS)


class LeaseTests(RegistryCase):
    def setUp(self) -> None:
        super().setUp()
        for n in (1, 2, 3):
            self.announce(n)

    def test_one_leads_and_the_others_learn_who(self) -> None:
        self.assertIsInstance(self.ask(1), Granted)
        answer = self.ask(2)
        assert isinstance(answer, Elsewhere)
        self.assertEqual(answer.leader, peer_id(1))

    def test_a_peer_whose_announce_ran_out_neither_holds_nor_leads(self) -> None:
        self.now += 60.0
        self.lease(self.call(1, done=(Mark(5, 0),)))
        self.assertIsInstance(self.ask(1), Granted)
        self.announce(2)
        self.now += 15.1
        self.assertIsInstance(self.ask(2, 5), Granted)
        self.assertIsInstance(self.ask(2, 7), Granted)

    def test_the_answer_says_how_leaders_and_holders_are_reached(self) -> None:
        self.ask(1, 7)
        self.lease(self.call(2, done=(Mark(8, 0),)))
        answer = self.lease(self.call(3, want=(Want(7, 8), Want(8, 8), Want(9, 8))))
        told = {neighbour.peer: neighbour.port for neighbour in answer.peers}
        self.assertEqual(told, {peer_id(1): 4001, peer_id(2): 4002})

    def test_it_tells_no_more_than_an_announce_would(self) -> None:
        self.announce(4, "198.51.100.7", reached=False)
        self.lease(self.call(4, done=(Mark(8, 0),)))
        answer = self.lease(self.call(3, want=(Want(8, 8),)), "203.0.113.9")
        self.assertIsInstance(answer.answers[0], Elsewhere)
        self.assertEqual(answer.peers, [])

    def test_it_tells_of_a_few(self) -> None:
        for number in range(10, 60):
            self.announce(number)
            segment = 100 + number % 10
            self.lease(self.call(number, done=(Mark(segment, 0),)))
        wants = tuple(Want(100 + n, 8) for n in range(10))
        answer = self.lease(self.call(3, want=wants))
        self.assertEqual(len(answer.peers), limits.LEASE_PEERS_TOLD)
        answer = self.lease(self.call(3, want=wants[:1]))
        self.assertEqual(len(answer.peers), limits.LEASE_PEERS_PER_ANSWER)

    def test_what_is_told_counts_before_what_is_asked(self) -> None:
        lease = self.ask(1)
        call = self.call(1, release=(Mark(7, lease.epoch),), want=(Want(8, 8),))
        self.lease(call)
        self.assertIsInstance(self.ask(2, 7), Granted)

    def test_a_narrow_uplink_gets_a_part(self) -> None:
        self.announce(1, upload_bps=4_000_000)
        lease = self.ask(1)
        assert isinstance(lease, Granted)
        self.assertEqual(lease.count, 3)

    def test_a_restarted_tracker_hands_out_higher_epochs(self) -> None:
        before = self.ask(1).epoch
        self.now += 100.0
        self.registry = self.made(self.rules)
        self.announce(1)
        self.assertGreater(self.ask(1).epoch, before)

    def test_counters_outlive_the_swarm(self) -> None:
        self.ask(1)
        for n in (1, 2, 3):
            self.announce(n, event=Event.STOPPED)
        self.assertEqual((self.figure("swarms"), self.figure("granted")), (0, 1))

    def test_the_number_of_live_leases_of_a_peer_is_an_option(self) -> None:
        rules = RegistryRules(leases=LeaseRules(most_live_per_peer=2))
        self.registry = self.made(rules)
        self.announce(1)
        answers = [self.ask(1, segment) for segment in range(5)]
        self.assertEqual(sum(isinstance(answer, Granted) for answer in answers), 2)


class UnannouncedTests(RegistryCase):
    """After a restart, nobody is known."""

    def want(self, number: int) -> LeaseAnswer:
        return self.lease(self.call(number, want=(Want(7, 8),)), "198.51.100.7")

    def test_who_was_forgotten_leads_as_before_and_is_told_to_announce_itself(self) -> None:
        answer = self.want(1)
        self.assertIsInstance(answer.answers[0], Granted)
        self.assertTrue(answer.unannounced)
        answer = self.want(2)
        self.assertIsInstance(answer.answers[0], Elsewhere)
        self.assertTrue(answer.unannounced)

    def test_nobody_is_told_of_it_until_it_does(self) -> None:
        self.want(1)
        welcome = self.announce(2, "198.51.100.7")
        self.assertEqual((self.told(welcome), welcome.swarm_peers), (set(), 2))
        address = private_address("10.0.0.5:4001")
        assert address is not None
        self.announce(1, "198.51.100.7", private=(address,))
        self.assertEqual(self.told(self.announce(2, "198.51.100.7")), {1})
        self.assertFalse(self.want(1).unannounced)
        self.assertIsInstance(self.want(2).answers[0], Elsewhere)

    def test_it_is_forgotten_like_anyone_when_it_falls_silent(self) -> None:
        self.want(1)
        self.now += 60.0
        self.want(1)
        self.now += 60.0
        self.assertEqual(self.figure("peers"), 1)
        self.now += 16.0
        self.assertEqual(self.figure("peers"), 0)

    def test_the_bounds_hold_for_it_too(self) -> None:
        self.registry = self.made(RegistryRules(peers_per_swarm=2, swarms=1))
        for number in range(5):
            self.want(number)
        self.assertEqual(self.figure("peers"), 2)
        call = self.call(9, swarm=OTHER_SWARM)
        self.refused(self.registry.lease(call, at("127.0.0.1"), self.now), 503)


class QuestionTests(RegistryCase):
    def test_who_has_a_segment_is_told_by_path_and_by_position(self) -> None:
        for n in (1, 2):
            self.announce(n)
        self.ask(1, path="chunk_0_1.m4s")
        self.lease(self.call(2, done=(Mark(7, 0),)))
        for key in ("chunk_0_1.m4s", "7"):
            (holding,) = self.ran(self.registry.holding(key, None, self.now))
            self.assertEqual((holding.swarm, holding.position), (SWARM, 7))
            self.assertEqual((holding.leader, holding.holders), (peer_id(1), (peer_id(2),)))
        for key in ("chunk_0_2.m4s", "8", "9" * 500, "٧", ""):
            self.assertEqual(self.ran(self.registry.holding(key, None, self.now)), [])
        self.assertEqual(self.ran(self.registry.holding("7", OTHER_SWARM, self.now)), [])

    def test_swarms_are_told_the_largest_first(self) -> None:
        self.announce(9, swarm=OTHER_SWARM)
        for n in (1, 2, 3):
            self.announce(n)
        self.ask(1)
        summaries = self.ran(self.registry.swarms(self.now))
        self.assertEqual([(s.swarm, s.peers) for s in summaries], [(SWARM, 3), (OTHER_SWARM, 1)])
        self.assertEqual(summaries[0].figures["leases"], 1)
        self.assertEqual(summaries[0].figures["interval_s"], 30.0)

    def test_peers_are_told_with_their_figures_and_without_their_addresses(self) -> None:
        self.announce(1, have=3, upload_bps=5, stats={"buffer_s": 2.5})
        self.now += 4.0
        self.announce(2)
        latest, peer = self.ran(self.registry.peers(SWARM, self.now))
        self.assertEqual((latest.peer, peer.peer), (peer_id(2), peer_id(1)))
        self.assertEqual((peer.have, peer.upload_bps, peer.seen_s), (3, 5, 4.0))
        self.assertEqual(peer.stats, {"buffer_s": 2.5})
        self.assertEqual(self.ran(self.registry.peers(OTHER_SWARM, self.now)), [])

    def test_no_more_peers_are_told_than_were_asked_for(self) -> None:
        for number in range(1, 5):
            self.announce(number)
        self.assertEqual(len(self.ran(self.registry.peers(SWARM, self.now))), 4)
        self.assertEqual(len(self.ran(self.registry.peers(SWARM, self.now, 2))), 2)

    def test_what_those_report_that_have_viewers_is_told_by_itself(self) -> None:
        self.announce(1, stats={"viewers": 2, "bitrate_bps": 5})
        self.announce(2, stats={"viewers": 0, "bitrate_bps": 7})
        self.announce(3)
        playing = self.ran(self.registry.playing(SWARM, self.now))
        self.assertEqual(playing, [{"viewers": 2, "bitrate_bps": 5}])
        self.now += 1000.0
        self.assertEqual(self.ran(self.registry.playing(SWARM, self.now)), [])


class TotalTests(RegistryCase):
    def total(self, name: str = "peers_bytes") -> float:
        return self.ran(self.registry.swarms(self.now))[0].totals.get(name, 0)

    def test_what_peers_counted_is_summed(self) -> None:
        self.announce(1, stats={"peers_bytes": 100, "stalls_total": 1, "buffer_s": 9})
        self.announce(2, stats={"peers_bytes": 50})
        self.announce(1, stats={"peers_bytes": 130, "stalls_total": 1, "buffer_s": 9})
        self.assertEqual((self.total(), self.total("stalls_total")), (180, 1))
        self.assertEqual(self.total("buffer_s"), 0)

    def test_a_peer_started_anew_counts_from_zero(self) -> None:
        self.announce(1, stats={"peers_bytes": 100})
        self.announce(1, stats={"peers_bytes": 30})
        self.assertEqual(self.total(), 130)
        self.announce(1, stats={"peers_bytes": 40}, event=Event.STARTED)
        self.assertEqual(self.total(), 170)

    def test_the_sums_keep_what_peers_that_left_had_counted(self) -> None:
        self.announce(2)
        self.announce(1, stats={"peers_bytes": 100})
        self.announce(1, stats={"peers_bytes": 120}, event=Event.STOPPED)
        self.assertEqual(self.total(), 120)

    def test_nobody_counts_backwards(self) -> None:
        self.announce(1, stats={"peers_bytes": -5})
        self.announce(1, stats={"peers_bytes": 10})
        self.assertEqual(self.total(), 10)


class CellTests(RegistryCase):
    """What only a registry with all leases in its own memory does."""

    rules = RegistryRules(peers_per_swarm=5, swarms=2, lease_cells=100)

    def test_the_swarm_whose_leases_grow_pays_for_it(self) -> None:
        self.announce(1)
        self.announce(2, swarm=OTHER_SWARM)
        few = self.call(2, swarm=OTHER_SWARM, done=tuple(Mark(n, 0) for n in range(20)))
        self.lease(few)
        for base in range(0, 200, 20):
            done = tuple(Mark(base + n, 0) for n in range(20))
            self.lease(self.call(1, done=done))
        self.assertLessEqual(self.figure("lease_cells"), 100)
        small = self.ran(self.registry.holding("5", OTHER_SWARM, self.now))
        self.assertEqual(small[0].holders, (peer_id(2),))
        self.announce(1, event=Event.STOPPED)
        self.assertEqual(self.figure("lease_cells"), 40)

    def test_leases_run_out_without_being_asked_for(self) -> None:
        self.announce(1)
        self.ask(1)
        self.now += 6.0
        self.ran(self.registry.expire(self.now))
        self.assertEqual((self.figure("leases"), self.figure("broken")), (0, 1))
