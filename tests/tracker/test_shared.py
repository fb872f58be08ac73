"""Several trackers over one store: the tests of the registry in memory, each call to another
tracker than the last; and what only several trackers meet."""

from __future__ import annotations

from itertools import cycle
from random import Random
from typing import Any

from twisted.internet.defer import Deferred

from dashp2p.swarm.leases import Elsewhere, Granted, Want
from dashp2p.tracker.memory import RegistryRules
from dashp2p.tracker.messages import Event, Mark
from dashp2p.tracker.registry import LeaseAnswer, Registry, Welcome
from dashp2p.tracker.shared import SharedRegistry
from tests.tracker import test_memory
from tests.tracker.fakestore import FakeStore
from tests.tracker.support import OTHER_SWARM, SWARM, announce_of, at, peer_id

COUNTED = ("granted", "fulfilled", "released", "broken", "takeovers", "hedges", "splits", "fenced")


class InTurns:
    """Two trackers, asked in turns by all the tests of one."""

    def __init__(self, one: SharedRegistry, other: SharedRegistry) -> None:
        self.both = (one, other)
        self._turns = cycle(self.both)

    def __getattr__(self, name: str) -> Any:
        return getattr(next(self._turns), name)


class SharedCase(test_memory.RegistryCase):
    def made(self, rules: RegistryRules) -> Registry:
        self.store = FakeStore(lambda: self.now)
        self.one = SharedRegistry(rules, self.store, "one", Random(3))
        self.other = SharedRegistry(rules, self.store, "other", Random(3))
        self.turns: Any = InTurns(self.one, self.other)
        registry: Registry = self.turns
        return registry

    def figure(self, name: str) -> float:
        found = [self.ran(each.counters(self.now))[name] for each in (self.one, self.other)]
        return sum(found) if name in COUNTED else found[0]


class SharedPeerTests(SharedCase, test_memory.PeerTests):
    """As in one tracker's memory."""


class SharedBoundTests(SharedCase, test_memory.BoundTests):
    """As in one tracker's memory."""

    def test_in_a_full_tracker_a_peer_gives_way_in_its_own_swarm(self) -> None:
        """Each tracker counts those that it knows: who gives way differs, the bound holds."""
        for n in range(1, 6):
            self.announce(n)
        for n in range(6, 12):
            self.announce(n, swarm=OTHER_SWARM)
        for tracker in (self.one, self.other):
            self.assertLessEqual(self.ran(tracker.counters(self.now))["peers"], 8)


class SharedLeaseTests(SharedCase, test_memory.LeaseTests):
    """As in one tracker's memory."""


class SharedUnannouncedTests(SharedCase, test_memory.UnannouncedTests):
    """As in one tracker's memory."""


class SharedQuestionTests(SharedCase, test_memory.QuestionTests):
    """As in one tracker's memory."""


class SharedTotalTests(SharedCase, test_memory.TotalTests):
    """As in one tracker's memory."""


class TwoTrackersCase(SharedCase):
    def setUp(self) -> None:
        super().setUp()
        for number in (1, 2, 3):
            self.announce_to(self.one, number)

    def announce_to(self, tracker: SharedRegistry, number: int, **changes: Any) -> Welcome:
        announce = announce_of(number, **changes)
        return self.ran(tracker.announce(announce, at("127.0.0.1"), self.now, None))

    def ask_of(
        self, tracker: SharedRegistry, number: int, segment: int = 7, **changes: Any
    ) -> Granted | Elsewhere:
        want = Want(segment, 8, 2_000_000, 5_000_000, **changes)
        return self.call_to(tracker, number, want=(want,)).answers[0]

    def call_to(self, tracker: SharedRegistry, number: int, **lists: Any) -> LeaseAnswer:
        call = self.call(number, **lists)
        return self.ran(tracker.lease(call, at("127.0.0.1"), self.now))


class RaceTests(TwoTrackersCase):
    """One tracker writes between another's reading and writing."""

    def test_a_lease_stays_one_lease(self) -> None:
        def first() -> None:
            self.first = self.ask_of(self.other, 2)

        self.store.before_save = first
        late = self.ask_of(self.one, 1)
        self.assertIsInstance(self.first, Granted)
        assert isinstance(late, Elsewhere)
        self.assertEqual(late.leader, peer_id(2))
        self.assertEqual(self.one.retries, 1)

    def test_what_was_decided_in_vain_is_not_counted(self) -> None:
        self.store.before_save = lambda: self.assertIsInstance(self.ask_of(self.other, 2), Granted)
        self.ask_of(self.one, 1)
        self.assertEqual(self.figure("granted"), 1)

    def test_a_peer_has_no_more_leases_for_asking_two_trackers(self) -> None:
        answers = [
            self.ask_of(tracker, 1, segment)
            for segment in range(0, 8, 2)
            for tracker, segment in ((self.one, segment), (self.other, segment + 1))
        ]
        self.assertEqual(sum(isinstance(answer, Granted) for answer in answers), 4)

    def test_who_loses_every_race_is_told_to_come_again(self) -> None:
        self.store.others_are_faster = True
        refused = self.refused(
            self.one.lease(self.call(1, want=(Want(7, 8),)), at("127.0.0.1"), self.now), 503
        )
        self.assertEqual(refused.retry_after_s, 1.0)

    def test_an_answer_that_changes_nothing_writes_nothing(self) -> None:
        self.ask_of(self.one, 1)
        saves = self.store.saves
        self.assertIsInstance(self.ask_of(self.other, 2), Elsewhere)
        self.assertEqual(self.store.saves, saves)


class LossTests(TwoTrackersCase):
    """A tracker, or the store, is gone."""

    def test_what_a_killed_tracker_granted_another_renews_and_ends(self) -> None:
        lease = self.ask_of(self.one, 1)
        del self.one
        again = self.ask_of(self.other, 1)
        self.assertEqual((again.segment, again.epoch), (lease.segment, lease.epoch))
        self.call_to(self.other, 1, done=(Mark(7, lease.epoch),))
        answer = self.ask_of(self.other, 2)
        assert isinstance(answer, Elsewhere)
        self.assertEqual(answer.holders, (peer_id(1),))
        self.one = self.other

    def test_a_broken_lease_is_taken_over_at_another_tracker(self) -> None:
        lease = self.ask_of(self.one, 1)
        self.now += 5.1
        takeover = self.ask_of(self.other, 2)
        self.assertIsInstance(takeover, Granted)
        self.assertGreater(takeover.epoch, lease.epoch)
        self.assertEqual(self.figure("takeovers"), 1)

    def test_who_was_fenced_at_one_tracker_is_fenced_at_all(self) -> None:
        lease = self.ask_of(self.one, 1)
        self.now += 5.1
        self.ask_of(self.other, 2)
        self.call_to(self.one, 1, release=(Mark(7, lease.epoch),))
        answer = self.ask_of(self.one, 3)
        assert isinstance(answer, Elsewhere)
        self.assertEqual(answer.leader, peer_id(2))
        self.assertEqual(self.figure("fenced"), 1)

    def test_a_tracker_that_begins_knows_all_peers(self) -> None:
        new = SharedRegistry(self.rules, self.store, "new", Random(3))
        welcome = self.announce_to(new, 4)
        self.assertEqual((self.told(welcome), welcome.swarm_peers), ({1, 2, 3}, 4))

    def test_it_forgets_them_when_the_others_do(self) -> None:
        self.now += 60.0
        new = SharedRegistry(self.rules, self.store, "new", Random(3))
        self.announce_to(new, 4)
        self.now += 15.1
        self.assertEqual(self.told(self.announce_to(new, 4)), set())

    def test_who_stops_at_one_tracker_is_gone_at_all(self) -> None:
        self.ask_of(self.one, 1)
        self.announce_to(self.one, 1, event=Event.STOPPED)
        self.assertEqual(self.told(self.announce_to(self.other, 2)), {3})
        self.assertIsInstance(self.ask_of(self.other, 2), Granted)

    def test_an_emptied_store_is_rebuilt_from_the_next_calls(self) -> None:
        before = self.ask_of(self.one, 1)
        self.now += 10.0
        self.store.empty()
        answer = self.call_to(self.one, 2, want=(Want(7, 8),))
        self.assertTrue(answer.unannounced, "it is to announce itself, and tells what it holds")
        self.assertGreater(answer.answers[0].epoch, before.epoch)
        self.assertIsInstance(self.ask_of(self.other, 1), Elsewhere)
        self.announce_to(self.one, 2)
        self.announce_to(self.other, 1)
        self.assertEqual(self.told(self.announce_to(self.one, 3)), {1, 2})

    def test_a_store_emptied_between_reading_and_writing_is_noticed(self) -> None:
        self.store.before_save = self.store.empty
        answer = self.call_to(self.one, 1, want=(Want(7, 8),))
        self.assertIsInstance(answer.answers[0], Granted)
        self.assertIsInstance(self.ask_of(self.other, 2), Elsewhere)

    def test_while_the_store_is_away_peers_are_introduced_and_leases_refused(self) -> None:
        self.announce_to(self.one, 1)
        self.store.why_away = "the registry does not answer"
        self.assertEqual(self.told(self.announce_to(self.one, 2)), {1, 3})
        call = self.call(1, want=(Want(7, 8),))
        refused = self.refused(self.one.lease(call, at("127.0.0.1"), self.now), 503)
        self.assertIn("the registry does not answer", refused.sentence)
        self.assertEqual(self.one.reasons(), ["the registry does not answer"])
        self.assertEqual(len(self.ran(self.one.swarms(self.now))), 1)
        self.assertEqual(len(self.ran(self.one.peers(SWARM, self.now))), 3)
        self.assertEqual(self.ran(self.one.holding("7", SWARM, self.now)), [])
        self.store.why_away = None
        self.assertEqual(self.one.reasons(), [])
        self.assertIsInstance(self.ask_of(self.one, 1), Granted)

    def test_what_no_tracker_wrote_is_refused(self) -> None:
        self.ask_of(self.one, 1)
        for data in (b"{}", b"[]", b"\xff", b'{"epoch":1}'):
            kept = self.store._swarms[SWARM].segments
            kept[7] = type(kept[7])(kept[7].version, data)
            call = self.call(2, want=(Want(7, 8),))
            self.refused(self.one.lease(call, at("127.0.0.1"), self.now), 503)

    def test_a_record_that_no_tracker_wrote_hurts_nobody(self) -> None:
        kept = self.store._swarms[SWARM].seen
        for number, record in enumerate((b"", b"[]", b"{}", b'{"by":"x","host":3}')):
            kept[peer_id(50 + number)] = type(kept[peer_id(1)])(
                peer_id(50 + number), self.now, record
            )
        self.assertEqual(self.told(self.announce_to(self.other, 4)), {1, 2, 3})

    def test_swarms_are_bounded(self) -> None:
        registry = SharedRegistry(RegistryRules(swarms=5), self.store, "small", Random(3))
        for number in range(50):
            swarm = number.to_bytes(32, "big")
            peeking = Deferred.fromCoroutine(registry.peers(swarm, self.now))
            self.successResultOf(peeking)
        self.assertLessEqual(len(registry._swarms), 5)
