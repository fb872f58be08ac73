"""Whose word counts: liars are found out and left, and nobody honest is."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dashp2p.swarm.commands import Ask, CallTracker, Command, Doubt, Drop, Refuse, Tell
from dashp2p.swarm.leading import Grant
from dashp2p.swarm.policy import Policy
from dashp2p.wire.errors import Code
from dashp2p.wire.frames import Gone, Got
from tests.swarm.support import Bench, entry, full, peer

POLICY = Policy()
TIMES = POLICY.shun_after_refusals


class Refusing(SynchronousTestCase):
    """NOT_HERE for what somebody says that he has."""

    def setUp(self) -> None:
        self.segments = [entry(position, blocks=4) for position in range(1, 7)]
        self.bench = Bench(*self.segments)

    def shunned(self) -> list[bytes]:
        return [drop.peer_id for drop in self.bench.take(Drop) if drop.shun]

    def refuse(self, position: int, code: int = Code.NOT_HERE) -> None:
        node = self.bench.node
        node.refused(peer("a"), self.segments[position - 1], 0b1, code, self.bench.now)

    def test_who_refuses_again_and_again_what_he_says_he_has_is_shunned(self) -> None:
        self.bench.join("a", whole=0b1111110)
        for position in range(1, TIMES):
            self.refuse(position)
        self.assertEqual(self.shunned(), [])
        self.refuse(TIMES)
        self.assertEqual(self.shunned(), [peer("a")])

    def test_who_said_gone_before_is_not(self) -> None:
        self.bench.join("a", whole=0b1111110)
        for position in range(1, 7):
            self.bench.gone("a", segment=position)
            self.refuse(position)
        self.assertEqual(self.shunned(), [])

    def test_who_was_only_getting_it_is_not(self) -> None:
        self.bench.join("a")
        for position in range(1, 7):
            self.bench.getting("a", segment=position)
            self.refuse(position)
        self.assertEqual(self.shunned(), [])

    def test_who_is_busy_or_stops_is_not(self) -> None:
        self.bench.join("a", whole=0b1111110)
        for position in range(1, 4):
            self.refuse(position, Code.BUSY)
            self.refuse(position, Code.SHUTTING_DOWN)
            self.refuse(position, Code.CANCELLED)
        self.assertEqual(self.shunned(), [])

    def test_one_segment_counts_once_however_often_it_was_asked_for(self) -> None:
        self.bench.join("a", whole=0b10)
        for _ in range(TIMES):
            self.refuse(1)
        self.assertEqual(self.shunned(), [])

    def test_a_block_that_comes_makes_good_what_was_refused_before(self) -> None:
        self.bench.join("a", whole=0b1111110)
        for position in range(1, 7):
            self.bench.want(self.segments[position - 1])
            self.bench.quiet()
            self.bench.arrive("a", 0b10, self.segments[position - 1])
            self.refuse(position)
        self.assertEqual(self.shunned(), [])


class Losing(SynchronousTestCase):
    """We say GONE before we refuse, or others would take us for liars."""

    def said(self, bench: Bench) -> list[type[Command]]:
        bench.take(Tell)
        return [
            type(command)
            for command in bench.said
            if isinstance(command, Refuse)
            or (isinstance(command, Tell) and isinstance(command.frame, Gone))
        ]

    def holder(self) -> Bench:
        bench = Bench()
        bench.node.hold([1])
        bench.join("a")
        bench.ask("a", 0b1)  # sent at once
        bench.ask("a", 0b10, request_id=2)
        bench.quiet()
        return bench

    def test_when_a_segment_is_evicted(self) -> None:
        bench = self.holder()
        bench.node.evicted(1)
        self.assertEqual(self.said(bench), [Tell, Refuse])

    def test_when_what_was_to_be_sent_cannot_be_read(self) -> None:
        bench = self.holder()
        bench.node.lost(peer("a"), 1, bench.entry, 0b1, bench.now)
        self.assertEqual(self.said(bench), [Tell, Refuse, Refuse])


class Late(SynchronousTestCase):
    def wait(self, slack_s: float, seconds: float, known: bool = False) -> Bench:
        """One whole holder that answers nothing."""
        bench = Bench(entry(blocks=2), entry(2, blocks=2))
        neighbour = bench.join("a", whole=0b110)
        if known:
            neighbour.delivered(1)
        bench.want(bench.entries[1], slack_s=slack_s)
        bench.quiet()
        bench.later(seconds)
        return bench

    def test_it_is_seen_whether_a_late_one_answers_at_all(self) -> None:
        bench = self.wait(10.0, POLICY.late_floor_s + 0.1)
        self.assertEqual(bench.take(Doubt), [Doubt(peer("a"))])

    def test_who_answers_in_time_is_not_doubted(self) -> None:
        bench = self.wait(10.0, POLICY.late_floor_s - 0.1)
        bench.arrive("a", 0b1)
        bench.later(POLICY.late_floor_s - 0.1)
        bench.arrive("a", 0b10)
        self.assertEqual(bench.take(Doubt), [])

    def test_while_a_player_waits_a_stranger_has_less_time(self) -> None:
        bench = self.wait(1.0, POLICY.late_untried_s + 0.1)
        self.assertEqual(bench.take(Doubt), [Doubt(peer("a"))])

    def test_but_a_neighbour_that_kept_its_word_has_as_much_as_ever(self) -> None:
        bench = self.wait(1.0, POLICY.late_untried_s + 0.1, known=True)
        self.assertEqual(bench.take(Doubt), [])

    def test_and_with_slack_a_stranger_has_too(self) -> None:
        bench = self.wait(10.0, POLICY.late_untried_s + 0.1)
        self.assertEqual(bench.take(Doubt), [])

    def test_who_let_a_player_wait_is_a_suspect_until_a_block_comes(self) -> None:
        bench = self.wait(1.0, POLICY.late_untried_s + 0.1)
        neighbour = bench.node.state.neighbours[peer("a")]
        self.assertTrue(neighbour.suspect)
        bench.arrive("a", 0b1)
        self.assertFalse(neighbour.suspect)

    def test_who_is_withdrawn_before_he_was_late_is_not_doubted(self) -> None:
        bench = Bench(entry(blocks=2))
        bench.join("leader")
        bench.getting("leader")
        bench.want()
        bench.later(0.2)
        bench.arrive(None, 0b11)
        bench.take(Doubt)
        self.assertEqual([one for one in bench.said if isinstance(one, Doubt)], [])

    def test_the_tracker_is_told_of_strangers_that_were_late(self) -> None:
        bench = self.wait(10.0, POLICY.late_floor_s - 0.05)
        grant = Grant(1, False, 1, retry_s=5.0, holders=(peer("a"),))
        bench.node.lease_answered([grant], bench.now)
        bench.quiet()
        bench.later(0.2)
        [call] = bench.take(CallTracker)
        self.assertEqual(call.wants[0].refused, (peer("a"),))

    def test_where_we_are_slow_ourselves_nobody_is_hurried(self) -> None:
        bench = Bench(entry(blocks=2))
        bench.join("a", whole=0b10)
        bench.want(slack_s=1.0)
        bench.quiet()
        for _ in range(2):
            bench.now += 0.19  # ticks that come much too late
            bench.node.tick(bench.now)
            self.assertEqual(bench.take(Doubt), [])

    def test_haste_is_no_reason_to_drop_anybody(self) -> None:
        segments = [entry(position, blocks=2) for position in range(1, 9)]
        bench = Bench(*segments)
        bench.join("a", whole=full(9))
        for segment in segments:
            bench.want(segment, slack_s=1.0)
            bench.later(POLICY.late_untried_s + 0.1)
        self.assertEqual(bench.take(Drop), [])

    def test_a_hedge_over_a_silent_leader_asks_whether_he_answers(self) -> None:
        bench = Bench()
        bench.join("leader")
        bench.want()
        bench.getting("leader")
        bench.quiet()
        bench.later(POLICY.stale_s + 0.1)
        bench.node.lease_answered([Grant(1, True, 2, 0, 10)], bench.now)
        self.assertEqual(bench.take(Doubt), [Doubt(peer("leader"))])


class Trusting(SynchronousTestCase):
    def test_who_has_broken_his_word_is_asked_for_one_block(self) -> None:
        bench = Bench(entry(blocks=40))
        suspect = bench.join("a", whole=0b10)
        suspect.refusals = 1
        bench.want()
        self.assertEqual([ask.blocks.bit_count() for ask in bench.take(Ask)], [1])
        bench.later(0.1)
        self.assertEqual(bench.take(Ask), [])

    def test_and_trusted_again_when_it_has_come(self) -> None:
        bench = Bench(entry(blocks=40))
        suspect = bench.join("a", whole=0b10)
        suspect.refusals = 1
        bench.want()
        [ask] = bench.take(Ask)
        bench.arrive("a", ask.blocks)
        self.assertGreater(sum(ask.blocks.bit_count() for ask in bench.take(Ask)), 1)

    def test_one_block_in_all_whatever_is_wanted(self) -> None:
        segments = [entry(1), entry(2)]
        bench = Bench(*segments)
        bench.join("a", whole=0b110).refusals = 1
        for segment in segments:
            bench.want(segment)
        self.assertEqual([ask.blocks.bit_count() for ask in bench.take(Ask)], [1])

    def test_when_urgent_he_is_asked_last(self) -> None:
        bench = Bench(entry(blocks=2))
        bench.join("a", whole=0b10).broken = 1
        for name in "bc":
            bench.join(name, whole=0b10)
        bench.want(slack_s=1.0)
        self.assertNotIn(peer("a"), {ask.peer_id for ask in bench.take(Ask)})

    def test_he_is_no_holder_on_whom_spreading_is_given_up(self) -> None:
        bench = Bench(entry(blocks=40))
        for name in "abc":
            bench.join(name, whole=0b10).broken = 1
        bench.join("leader")
        bench.getting("leader")
        bench.want()
        spread = [ask.peer_id for ask in bench.take(Ask) if ask.spread]
        self.assertEqual(spread, [peer("leader")])

    def test_with_slack_who_was_never_tried_is_asked_though_he_has_everything(self) -> None:
        bench = Bench(entry(blocks=2))
        bench.join("new", whole=full(60) << 1)
        for name in "abc":
            bench.join(name, whole=0b10).delivered(1)
        bench.want()
        self.assertIn(peer("new"), {ask.peer_id for ask in bench.take(Ask)})


class Asking(SynchronousTestCase):
    """While a player waits, the tracker is asked about what only strangers say to have."""

    def calls(self, bench: Bench, slack_s: float) -> list[CallTracker]:
        bench.want(slack_s=slack_s)
        bench.quiet()
        bench.later(POLICY.stranger_s + 0.05)
        return bench.take(CallTracker)

    def test_not_before_they_had_a_moment_to_send_it(self) -> None:
        bench = Bench()
        bench.join("a", whole=0b10)
        bench.want(slack_s=1.0)
        bench.later(POLICY.stranger_s - 0.02)
        self.assertEqual(bench.take(CallTracker), [])

    def test_what_only_a_stranger_has(self) -> None:
        bench = Bench()
        bench.join("a", whole=0b10)
        [call] = self.calls(bench, 1.0)
        self.assertEqual([(want.missing, want.hedge) for want in call.wants], [(full(10), False)])

    def test_not_what_a_neighbour_has_that_kept_its_word(self) -> None:
        bench = Bench()
        bench.join("a", whole=0b10)
        bench.join("b", whole=0b10).delivered(1)
        self.assertEqual(self.calls(bench, 1.0), [])

    def test_not_what_is_on_its_way_to_a_stranger(self) -> None:
        bench = Bench()
        bench.join("a", whole=0b10)
        bench.join("leader")
        bench.getting("leader")
        self.assertEqual(self.calls(bench, 1.0), [])

    def test_not_with_slack(self) -> None:
        bench = Bench()
        bench.join("a", whole=0b10)
        self.assertEqual(self.calls(bench, 10.0), [])

    def test_not_again_before_the_tracker_said(self) -> None:
        bench = Bench()
        bench.join("a", whole=0b10)
        self.calls(bench, 1.0)
        bench.node.lease_answered([Grant(1, False, 1, holders=(peer("a"),))], bench.now)
        bench.later(0.05)
        self.assertEqual(bench.take(CallTracker), [])

    def test_at_once_when_the_last_holder_that_it_named_was_tried_in_vain(self) -> None:
        bench = Bench()
        for name in "ab":
            bench.join(name, whole=0b10)
        self.calls(bench, 1.0)
        named = peer("a"), peer("b")
        bench.node.lease_answered([Grant(1, False, 1, retry_s=1.0, holders=named)], bench.now)
        bench.quiet()
        bench.node.refused(peer("a"), bench.entry, full(10), Code.NOT_HERE, bench.now)
        self.assertEqual(bench.take(CallTracker), [])
        bench.node.refused(peer("b"), bench.entry, full(10), Code.NOT_HERE, bench.now)
        [call] = bench.take(CallTracker)
        self.assertEqual(set(call.wants[0].refused), set(named))

    def test_a_leader_or_holder_that_we_shun_is_not_waited_for(self) -> None:
        for named in ({"leader": peer("liar")}, {"holders": (peer("liar"),)}):
            bench = Bench()
            bench.node.state.shuns = lambda peer_id: peer_id == peer("liar")
            self.calls(bench, 10.0)
            grant = Grant(1, False, 1, retry_s=1.0, **named)
            bench.node.lease_answered([grant], bench.now)
            bench.later(0.2)
            [call] = bench.take(CallTracker)
            self.assertEqual(call.wants[0].refused, (peer("liar"),))

    def test_anybody_else_is(self) -> None:
        bench = Bench()
        self.calls(bench, 10.0)
        grant = Grant(1, False, 1, retry_s=1.0, leader=peer("somebody"))
        bench.node.lease_answered([grant], bench.now)
        bench.later(0.5)
        self.assertEqual(bench.take(CallTracker), [])


class Chains(SynchronousTestCase):
    def told(self, distance: int) -> list[Command]:
        """What a third neighbour hears when a source so far from the origin turns up."""
        bench = Bench()
        bench.join("source")
        bench.join("other")
        bench.want()
        bench.later(0.1)
        bench.quiet()
        bench.getting("source", distance=distance)
        return [
            tell
            for tell in bench.take(Tell)
            if tell.peer_id == peer("other") and not isinstance(tell.frame, Got)
        ]

    def test_promises_are_passed_on_hop_by_hop_and_end_somewhere(self) -> None:
        self.assertTrue(self.told(POLICY.most_hops - 1))
        self.assertEqual(self.told(POLICY.most_hops), [])
