"""Who fetches from the origin."""

from twisted.trial.unittest import SynchronousTestCase

from dashp2p.swarm.commands import (
    Abandoned,
    Ask,
    CallTracker,
    FetchOrigin,
    StopOrigin,
    SuspectOrigin,
    Want,
)
from dashp2p.swarm.leading import HOPELESS_S, SHARE_S, Grant, merged_runs
from dashp2p.swarm.policy import Policy
from dashp2p.swarm.sourcing import leader_by_hash
from tests.swarm.support import Bench, entry, full, peer

POLICY = Policy()


def granted(bench: Bench, first: int = 0, count: int = 10, epoch: int = 1) -> None:
    """The tracker grants a lease on segment 1."""
    bench.node.lease_answered([Grant(1, True, epoch, first, count)], bench.now)


def refused(bench: Bench, leader: str | None = "leader", retry_s: float = 1.0) -> None:
    """The tracker says who leads segment 1."""
    name = None if leader is None else peer(leader)
    bench.node.lease_answered([Grant(1, False, 1, leader=name, retry_s=retry_s)], bench.now)


def thin(limit_bps: float | None = 4e6) -> Bench:
    """A segment of 3.3 Mbit/s that one neighbour has, and a player that waits for it."""
    bench = Bench(entry(blocks=100), upload_limit_bps=limit_bps)
    bench.join("a", whole=0b10)
    bench.want()
    bench.quiet()
    return bench


def slow_wants(bench: Bench) -> list[Want]:
    """What is asked of the tracker because it comes too slowly."""
    return [want for call in bench.take(CallTracker) for want in call.wants if want.slow]


class ThinUplinks(SynchronousTestCase):
    def test_what_comes_too_slowly_is_asked_for_at_the_tracker(self) -> None:
        bench = thin()
        bench.later(0.25)
        [want] = slow_wants(bench)
        self.assertEqual(want.missing, full(100))

    def test_it_is_given_a_moment_to_come(self) -> None:
        bench = thin()
        bench.later(0.15)
        self.assertEqual(slow_wants(bench), [])

    def test_what_comes_in_time_is_left_to_neighbours(self) -> None:
        bench = thin()
        bench.now += 0.25  # at 1.4 times its rate 8.75 blocks
        bench.node.blocks_arrived(peer("a"), bench.entry, full(9), bench.now)
        bench.node.tick(bench.now)
        self.assertEqual(slow_wants(bench), [])

    def test_an_origin_that_gives_files_only_whole_is_asked_for_no_part(self) -> None:
        bench = thin()
        bench.node.state.origin_gives_parts = lambda: False
        bench.later(0.25)
        self.assertEqual(slow_wants(bench), [])

    def test_where_uplinks_are_wide_or_unknown_neighbours_are_waited_for(self) -> None:
        for limit_bps in (7e6, None):
            bench = thin(limit_bps)
            bench.later(0.25)
            self.assertEqual(slow_wants(bench), [])

    def test_what_no_player_waits_for_may_be_slow(self) -> None:
        bench = Bench(entry(blocks=100), upload_limit_bps=4e6)
        bench.join("a", whole=0b10)
        bench.node.want(bench.entry, bench.now + 10.0, bench.now, waiting=False)
        bench.later(0.25)
        self.assertEqual(slow_wants(bench), [])

    def test_after_a_refusal_it_is_asked_again_when_the_tracker_said(self) -> None:
        bench = thin()
        bench.later(0.2)
        bench.quiet()
        refused(bench, retry_s=0.22)
        bench.later(0.15)
        self.assertEqual(slow_wants(bench), [])
        bench.later(0.1)
        self.assertEqual(len(slow_wants(bench)), 1)

    def test_while_a_part_is_fetched_no_other_is_asked_for(self) -> None:
        bench = thin()
        bench.later(0.25)
        bench.quiet()
        granted(bench, 0, 30)
        [fetch] = bench.take(FetchOrigin)
        self.assertEqual((fetch.first, fetch.count), (0, 30))
        bench.later(0.4)
        self.assertEqual(slow_wants(bench), [])

    def test_to_help_a_slow_holder_is_neither_a_hedge_nor_a_takeover(self) -> None:
        bench = thin()
        bench.later(0.25)
        bench.quiet()
        granted(bench, 0, 30)
        self.assertEqual((bench.node.leading.hedges, bench.node.leading.takeovers), (0, 0))


class Leases(SynchronousTestCase):
    def test_a_lease_is_asked_for_what_nobody_has(self) -> None:
        bench = Bench()
        bench.want()
        [call] = bench.take(CallTracker)
        [want] = call.wants
        self.assertEqual((want.entry, want.missing, want.hedge), (bench.entry, full(10), False))

    def test_nothing_is_fetched_before_it_is_granted(self) -> None:
        bench = Bench()
        bench.want()
        self.assertEqual(bench.take(FetchOrigin), [])

    def test_a_granted_lease_is_fetched(self) -> None:
        bench = Bench()
        bench.want()
        granted(bench)
        [fetch] = bench.take(FetchOrigin)
        self.assertEqual((fetch.first, fetch.count, fetch.why), (0, 10, "lease"))

    def test_a_part_is_fetched_and_the_rest_asked_for(self) -> None:
        bench = Bench()
        bench.want()
        bench.quiet()
        granted(bench, 0, 4)
        bench.node.take_commands(bench.now)
        self.assertEqual(bench.node.state.deliveries[1].origin, full(4))
        bench.later(SHARE_S)
        [call] = bench.take(CallTracker)
        self.assertEqual([want.missing for want in call.wants], [full(10) & ~full(4)])

    def test_who_was_granted_a_part_first_hears_who_has_the_others(self) -> None:
        bench = Bench()
        bench.join("a")
        bench.want()
        bench.quiet()
        granted(bench, 0, 4)
        bench.getting("a", blocks=full(10) & ~full(4))
        bench.later(2 * SHARE_S)
        self.assertEqual(bench.take(CallTracker), [])

    def test_a_part_that_is_here_is_told_of_before_the_whole_is(self) -> None:
        bench = Bench()
        bench.join("a")
        bench.want()
        bench.quiet()
        granted(bench, 0, 4)
        bench.getting("a", blocks=full(10) & ~full(4))
        bench.arrive(None, full(4))
        bench.quiet()
        bench.later(0.4)
        [call] = bench.take(CallTracker)
        self.assertEqual([(held.segment, held.epoch) for held in call.done], [(1, 1)])

    def test_a_part_beside_the_leaders_is_neither_hedge_nor_takeover(self) -> None:
        bench = Bench()
        bench.join("leader")
        bench.want()
        bench.quiet()
        refused(bench)
        bench.getting("leader", blocks=full(4))
        bench.quiet()
        granted(bench, 4, 6)
        leading = bench.node.leading
        self.assertEqual((leading.hedges, leading.takeovers), (0, 0))

    def test_the_tracker_hears_who_is_in_a_hurry(self) -> None:
        for slack_s, urgent in ((1.0, True), (10.0, False)):
            bench = Bench()
            for name in "abc":
                bench.join(name)
            bench.want(slack_s=slack_s)
            [call] = bench.take(CallTracker)
            self.assertEqual([want.urgent for want in call.wants], [urgent])

    def test_who_has_hardly_a_neighbour_yet_asks_for_no_share(self) -> None:
        bench = Bench()
        bench.join("a")
        bench.want(slack_s=1.0)
        [call] = bench.take(CallTracker)
        self.assertEqual([want.urgent for want in call.wants], [False])

    def test_no_share_is_asked_of_an_origin_that_gives_files_only_whole(self) -> None:
        """Each who fetches a share would cost it all of the file up to the share's end."""
        bench = Bench()
        for name in "abc":
            bench.join(name)
        bench.node.state.origin_gives_parts = lambda: False
        bench.want(slack_s=1.0)
        [call] = bench.take(CallTracker)
        self.assertEqual([want.urgent for want in call.wants], [False])

    def shared(self, slack_s: float) -> Bench:
        """Two bring a segment together, one of them two blocks."""
        bench = Bench()
        bench.join("leader")
        bench.join("a", whole=0)
        bench.want(slack_s=slack_s)
        bench.getting("leader", blocks=0b11)
        bench.getting("a", blocks=full(10) & ~0b11)
        return bench

    def test_in_a_hurry_what_one_brings_not_is_hedged_as_soon_as_the_rest_is_here(self) -> None:
        for slack_s, hedges in ((1.2, [0b11]), (10.0, [])):
            bench = self.shared(slack_s)
            bench.later(0.1)
            bench.arrive("a", full(10) & ~0b11)
            bench.quiet()
            bench.later(0.2)
            wants = [want for call in bench.take(CallTracker) for want in call.wants]
            self.assertEqual([want.missing for want in wants if want.hedge], hedges)

    def test_on_a_busy_machine_nothing_is_hedged_for_a_short_silence(self) -> None:
        bench = self.shared(slack_s=1.2)
        bench.later_on_a_busy_machine(3)
        bench.arrive("a", full(10) & ~0b11)
        bench.quiet()
        bench.later(0.1)
        wants = [want for call in bench.take(CallTracker) for want in call.wants]
        self.assertEqual([want for want in wants if want.hedge], [])

    def test_no_lease_is_asked_for_what_a_neighbour_has(self) -> None:
        bench = Bench()
        bench.join("a", whole=0b10)
        bench.want()
        self.assertEqual(bench.take(CallTracker), [])

    def test_no_lease_is_asked_for_what_a_neighbour_is_getting(self) -> None:
        bench = Bench()
        bench.join("a")
        bench.getting("a")
        bench.want()
        self.assertEqual(bench.take(CallTracker), [])

    def test_several_segments_are_asked_for_in_one_call(self) -> None:
        bench = Bench(entry(1), entry(2))
        for segment in bench.entries.values():
            bench.want(segment)
        [call] = bench.take(CallTracker)
        self.assertEqual([want.entry.position for want in call.wants], [1, 2])

    def test_where_another_leads_we_wait_and_then_ask_again(self) -> None:
        bench = Bench()
        bench.want()
        bench.quiet()
        refused(bench, retry_s=1.0)
        bench.later(0.9)
        self.assertEqual(bench.take(CallTracker), [])
        bench.later(0.3)
        [call] = bench.take(CallTracker)
        self.assertTrue(call.wants)

    def test_holders_that_went_away_are_told_to_the_tracker(self) -> None:
        """It does not know yet, and would grant nobody the lease because they have it."""
        bench = Bench()
        bench.join("a", whole=0b10)
        bench.want()
        bench.quiet()
        bench.node.left(peer("a"), bench.now)
        [call] = bench.take(CallTracker)
        self.assertEqual(call.wants[0].refused, (peer("a"),))

    def waiting_for(self, *names: str, blocks: int = 10) -> Bench:
        """The first of these brings the segment, all of which is asked of it, and falls quiet."""
        bench = Bench(entry(blocks=blocks))
        for name in names:
            bench.join(name)
        bench.getting(names[0])
        bench.want(slack_s=6.0)
        [ask] = bench.take(Ask)
        self.assertEqual((ask.peer_id, ask.blocks), (peer(names[0]), full(blocks)))
        return bench

    def test_what_a_silent_leader_was_to_bring_is_asked_of_whoever_takes_over(self) -> None:
        bench = self.waiting_for("first", "second")
        bench.later(POLICY.stale_s + 0.2)
        bench.quiet()
        bench.getting("second", blocks=full(10) & ~0b11)
        bench.later(0.1)
        asks = bench.take(Ask)
        self.assertEqual(
            [(ask.peer_id, ask.blocks) for ask in asks], [(peer("second"), 0b1111111100)]
        )

    def test_or_of_who_has_it_meanwhile(self) -> None:
        bench = self.waiting_for("first", "second", blocks=100)
        bench.later(POLICY.stale_s - 0.1)
        bench.got("second", -1)
        bench.later(0.3)
        bench.quiet()
        [delivery] = bench.node.state.deliveries.values()
        self.assertEqual(delivery.asked, {peer("second"): full(100)})

    def test_but_not_of_who_gives_nothing(self) -> None:
        bench = self.waiting_for("first")
        bench.join("taker", uploads=False)
        bench.getting("taker")
        bench.later(POLICY.stale_s + 0.3)
        [delivery] = bench.node.state.deliveries.values()
        self.assertEqual(delivery.asked, {peer("first"): full(10)})

    def test_not_before_it_had_time_to_answer(self) -> None:
        bench = Bench()
        for name in ("first", "second"):
            bench.join(name)
            bench.getting(name)
        bench.later(1.0)
        bench.want(slack_s=6.0)
        bench.later(POLICY.stale_s - 0.1)
        [delivery] = bench.node.state.deliveries.values()
        self.assertEqual((delivery.asked_blocks(), delivery.avoid), (full(10), {}))

    def test_not_while_something_is_heard_of_the_leader(self) -> None:
        bench = self.waiting_for("first", "second")
        bench.getting("second")
        bench.later(POLICY.stale_s - 0.1)
        bench.got("first", 0b1, segment=7)
        bench.later(0.3)
        self.assertEqual(bench.take(Ask), [])

    def test_nor_of_who_only_waits_too(self) -> None:
        bench = self.waiting_for("first", "second")
        bench.getting("second", distance=1)
        bench.later(POLICY.stale_s + 0.3)
        self.assertEqual(bench.take(Ask), [])

    def late_holder(self, slack_s: float = 3.0) -> Bench:
        """A holder that has kept its word so far is asked, and owes some of the blocks."""
        bench = Bench()
        bench.join("a", whole=0b10)
        bench.want(slack_s=slack_s)
        bench.quiet()
        bench.arrive("a", 0b1)
        bench.quiet()
        return bench

    def told_after(self, bench: Bench, seconds: float) -> tuple[bytes, ...]:
        """Whom the tracker is told not to count on."""
        bench.later(seconds)
        return next((call.wants[0].refused for call in bench.take(CallTracker) if call.wants), ())

    def test_a_holder_from_whom_nothing_is_heard_any_more_is_told_to_the_tracker(self) -> None:
        bench = self.late_holder()
        self.assertEqual(self.told_after(bench, POLICY.late_floor_s + 0.2), (peer("a"),))

    def test_not_so_soon_where_there_is_time(self) -> None:
        bench = self.late_holder(slack_s=12.0)
        [delivery] = bench.node.state.deliveries.values()
        bench.later(2.0)
        self.assertEqual(delivery.refused, set())  # it may have lost packets
        bench.later(2.0)
        self.assertEqual(delivery.refused, {peer("a")})

    def test_one_that_is_only_late_is_not(self) -> None:
        for word in ("news", "a request"):
            bench = self.late_holder()
            bench.later(POLICY.late_floor_s - 0.1)
            if word == "news":
                bench.got("a", 0b1, segment=7)
            else:
                bench.ask("a", 0b1)
            self.assertEqual(self.told_after(bench, 0.3), (), word)

    def test_holders_that_could_not_be_reached_are_told_to_the_tracker(self) -> None:
        bench = Bench()
        bench.want()
        bench.quiet()
        grant = Grant(1, False, 0, retry_s=0.5, holders=(peer("far"), peer("near")))
        bench.node.lease_answered([grant], bench.now)
        bench.later(0.6)
        [call] = bench.take(CallTracker)
        self.assertEqual(call.wants[0].refused, ())  # a dial may take a while
        bench.node.lease_answered([grant], bench.now)
        bench.join("near")
        bench.later(0.6)
        [call] = bench.take(CallTracker)
        self.assertEqual(call.wants[0].refused, (peer("far"),))

    def test_the_tracker_hears_of_completion_within_moments_and_with_the_epoch(self) -> None:
        bench = Bench()
        bench.want()
        granted(bench, epoch=7)
        bench.quiet()
        bench.arrive(None, full(10))
        bench.later(bench.node.policy.done_s)
        [call] = bench.take(CallTracker)
        self.assertEqual([(held.segment, held.epoch) for held in call.done], [(1, 7)])

    def test_who_got_it_from_peers_reports_later_and_in_one_call(self) -> None:
        bench = Bench()
        bench.join("a", whole=0b10)
        bench.want()
        bench.arrive("a", full(10))
        self.assertEqual(bench.take(CallTracker), [])
        bench.now += 1.1
        bench.node.tick(bench.now)
        [call] = bench.take(CallTracker)
        self.assertEqual([(held.segment, held.epoch) for held in call.done], [(1, 0)])

    def test_progress_is_reported_while_it_lasts(self) -> None:
        bench = Bench()
        bench.want()
        granted(bench)
        bench.quiet()
        bench.arrive(None, full(3))
        bench.later(0.5)
        [call] = bench.take(CallTracker)
        self.assertEqual([held.blocks_done for held in call.progress], [3])

    def test_a_lease_that_comes_too_late_is_released(self) -> None:
        bench = Bench()
        bench.want()
        bench.quiet()
        bench.node.stop_delivery(bench.entry, bench.now)
        granted(bench, epoch=3)
        [call] = bench.take(CallTracker)
        self.assertEqual([(held.segment, held.epoch) for held in call.release], [(1, 3)])


class Hedges(SynchronousTestCase):
    def led(self, policy: Policy | None = None, slack_s: float = 2.5) -> Bench:
        bench = Bench(policy=policy)
        bench.join("leader")
        bench.want(slack_s=slack_s)
        bench.getting("leader")
        refused(bench)
        bench.quiet()
        return bench

    def test_nobody_hedges_while_news_is_fresh(self) -> None:
        bench = self.led(slack_s=4.0)
        for block in range(5):
            bench.later(0.3)
            bench.arrive("leader", 1 << block)
        self.assertEqual(bench.take(CallTracker), [])

    def test_a_silent_leader_is_hedged_under_a_lease_for_what_is_missing(self) -> None:
        bench = self.led()
        bench.arrive("leader", 0b1)
        bench.later(0.7)
        [call] = bench.take(CallTracker)
        [want] = call.wants
        self.assertTrue(want.hedge)
        self.assertEqual(want.missing, full(10) & ~1)

    def test_with_slack_it_has_a_share_of_it(self) -> None:
        bench = self.led(slack_s=4.0)
        bench.later(0.7)
        self.assertEqual(bench.take(CallTracker), [])
        bench.later(0.2)
        self.assertTrue(bench.take(CallTracker))

    def test_with_ample_slack_it_has_no_more_than_a_second(self) -> None:
        bench = self.led(slack_s=60.0)
        bench.later(0.9)
        self.assertEqual(bench.take(CallTracker), [])
        bench.later(0.2)
        self.assertTrue(bench.take(CallTracker))

    def test_a_leader_on_a_busy_machine_has_longer(self) -> None:
        bench = self.led()
        bench.later_on_a_busy_machine(5)
        self.assertEqual(bench.take(CallTracker), [])
        bench.later_on_a_busy_machine(2)
        self.assertTrue(bench.take(CallTracker))

    def test_a_granted_hedge_is_counted(self) -> None:
        bench = self.led()
        bench.later(0.7)
        bench.quiet()
        granted(bench, epoch=2)
        self.assertTrue(bench.take(FetchOrigin))
        self.assertEqual(bench.node.leading.hedges, 1)

    def test_without_hedging_nobody_hedges(self) -> None:
        bench = self.led(Policy.without(frozenset({"no-hedge"})))
        bench.later(0.9)
        self.assertEqual(bench.take(CallTracker), [])

    def test_the_last_way_out_is_the_origin_without_asking(self) -> None:
        bench = Bench()
        bench.join("leader")
        bench.want(slack_s=1.0)
        bench.getting("leader")
        bench.quiet()
        bench.later(1.0)
        self.assertIn("deadline", [fetch.why for fetch in bench.take(FetchOrigin)])

    def test_where_others_wait_too_each_takes_a_part_of_the_last_way_out(self) -> None:
        """A crowd that is late together would else ask the origin for a copy each."""
        bench = Bench(entry(blocks=64))
        bench.join("leader")
        for name in "abcdefg":
            bench.join(name)
        bench.getting("leader", blocks=full(64))
        for name in "abcdefg":
            bench.getting(name, distance=1, blocks=0)
        bench.want(slack_s=2.0)
        bench.quiet()
        fetched: list[int] = []
        for _ in range(60):
            bench.later(0.05)
            late = [each.count for each in bench.take(FetchOrigin) if each.why == "deadline"]
            fetched += [sum(late)] if late else []
        self.assertEqual(fetched, [8, 14, 21, 21])

    def test_the_last_way_out_is_bounded(self) -> None:
        segments = [entry(position) for position in range(1, 12)]
        bench = Bench(*segments)
        bench.join("leader")
        for segment in segments:
            bench.getting("leader", segment=segment.position)
            bench.want(segment, slack_s=0.5)
        bench.later(1.0)
        self.assertLessEqual(bench.node.leading.rescues, bench.node.policy.rescue_burst + 1)

    def test_a_prefetch_never_takes_the_last_way_out(self) -> None:
        bench = Bench()
        bench.join("leader")
        bench.node.want(bench.entry, bench.now + 0.5, bench.now, waiting=False)
        bench.getting("leader")
        bench.later(0.9)
        self.assertNotIn("deadline", [fetch.why for fetch in bench.take(FetchOrigin)])


class WithoutTracker(SynchronousTestCase):
    def test_the_lowest_hash_among_those_who_want_it_fetches(self) -> None:
        for name in "abcdefgh":
            bench = Bench()
            bench.join(name)
            bench.getting(name, distance=255, blocks=0)
            bench.node.lease_unanswered([], bench.now)
            bench.want()
            bench.later(0.4)
            leads = leader_by_hash([peer("me"), peer(name)], 1) == peer("me")
            self.assertEqual(bool(bench.take(FetchOrigin)), leads)

    def test_when_the_elected_does_nothing_another_fetches(self) -> None:
        bench = Bench()
        for name in "abcdefgh":
            bench.join(name)
            bench.getting(name, distance=255, blocks=0)
        bench.node.lease_unanswered([], bench.now)
        bench.want()
        bench.later(1.5)
        self.assertTrue(bench.take(FetchOrigin))

    def test_the_tracker_counts_as_away_when_a_call_is_not_answered(self) -> None:
        bench = Bench()
        bench.want()
        bench.later(1.3)
        self.assertTrue(bench.take(FetchOrigin))

    def test_an_answer_ends_it(self) -> None:
        bench = Bench()
        bench.node.lease_unanswered([], bench.now)
        bench.node.lease_answered([], bench.now)
        bench.want()
        self.assertTrue(bench.take(CallTracker))


def given_up(bench: Bench) -> bool:
    """Whether who waits for the only segment was told that it cannot be had."""
    return bench.entry in [gone.entry for gone in bench.take(Abandoned)]


class Origin(SynchronousTestCase):
    def test_a_failed_fetch_gives_the_lease_back_and_is_tried_again(self) -> None:
        bench = Bench()
        bench.want(slack_s=100.0)
        granted(bench)
        bench.quiet()
        bench.node.origin_ended(bench.entry, full(10), True, bench.now)
        [call] = bench.take(CallTracker)
        self.assertEqual([held.epoch for held in call.release], [1])
        bench.later(1.0)
        self.assertTrue(bench.take(CallTracker))

    def test_only_what_is_missing_is_fetched_in_the_middle_of_a_segment(self) -> None:
        bench = Bench()
        bench.join("a")
        bench.got("a", full(4))
        bench.want()
        bench.arrive("a", full(4))
        bench.quiet()
        granted(bench, 0, 10)
        [fetch] = bench.take(FetchOrigin)
        self.assertEqual((fetch.first, fetch.count), (4, 6))

    def test_a_rung_that_nobody_has_is_given_up_when_the_origin_is_gone(self) -> None:
        bench = Bench()
        bench.want()
        for _ in range(2):
            granted(bench)
            bench.node.origin_ended(bench.entry, full(10), True, bench.now)
        bench.node.origin_reachable(False, bench.now)
        bench.later(0.1)
        self.assertTrue(given_up(bench))

    def test_an_origin_that_was_away_before_need_fail_but_once(self) -> None:
        bench = Bench()
        bench.node.origin_reachable(False, bench.now)
        bench.later(5.0)
        bench.want()
        bench.later(0.1)
        self.assertFalse(given_up(bench))
        granted(bench)
        bench.node.origin_ended(bench.entry, full(10), True, bench.now)
        bench.later(0.1)
        self.assertTrue(given_up(bench))

    def test_an_origin_that_fails_for_the_first_time_is_tried_again(self) -> None:
        bench = Bench()
        bench.want()
        granted(bench)
        bench.later(0.1)
        bench.node.origin_reachable(False, bench.now)
        bench.node.origin_ended(bench.entry, full(10), True, bench.now)
        bench.later(HOPELESS_S - 0.1)
        self.assertFalse(given_up(bench))


class Suspicion(SynchronousTestCase):
    """Who waits for what a neighbour fetches from the origin looks when that is given up."""

    def suspects(self, distance: int, wants: bool = True) -> bool:
        bench = Bench()
        bench.join("a")
        if wants:
            bench.want()
        bench.getting("a", distance)
        bench.quiet()
        bench.gone("a")
        return bool(bench.take(SuspectOrigin))

    def test_a_fetch_from_the_origin(self) -> None:
        self.assertTrue(self.suspects(0))

    def test_not_what_came_from_another_neighbour(self) -> None:
        self.assertFalse(self.suspects(1))

    def test_not_what_is_not_wanted_here(self) -> None:
        self.assertFalse(self.suspects(0, wants=False))

    def test_not_what_had_been_there_and_was_evicted(self) -> None:
        bench = Bench()
        bench.join("a", whole=0b10)
        bench.want()
        bench.quiet()
        bench.gone("a")
        self.assertEqual(bench.take(SuspectOrigin), [])


class Hopeless(SynchronousTestCase):
    """With the origin away a player waits a moment for what nobody has, whatever is promised."""

    def setUp(self) -> None:
        self.bench = Bench()
        self.bench.join("a")
        self.bench.node.origin_reachable(False, self.bench.now)

    def test_a_promise_is_not_waited_for(self) -> None:
        self.bench.getting("a")
        self.bench.want()
        self.bench.later(HOPELESS_S - 0.1)
        self.assertFalse(given_up(self.bench))
        self.bench.later(0.3)
        self.assertTrue(given_up(self.bench))

    def test_nor_is_a_fetch_of_ours_that_hangs(self) -> None:
        self.bench.want()
        granted(self.bench)
        self.bench.later(1.0)
        self.assertTrue(given_up(self.bench))

    def test_it_counts_from_when_the_origin_went(self) -> None:
        self.bench.node.origin_reachable(True, self.bench.now)
        self.bench.want()
        self.bench.later(3.0)
        self.assertFalse(given_up(self.bench))
        self.bench.node.origin_reachable(False, self.bench.now)
        self.bench.later(HOPELESS_S - 0.1)
        self.assertFalse(given_up(self.bench))
        self.bench.later(0.3)
        self.assertTrue(given_up(self.bench))

    def test_an_outage_that_was_over_does_not_count(self) -> None:
        self.bench.want()
        for _ in range(3):
            self.bench.later(HOPELESS_S - 0.1)
            self.bench.node.origin_reachable(True, self.bench.now)
            self.bench.later(0.2)
            self.bench.node.origin_reachable(False, self.bench.now)
        self.bench.later(HOPELESS_S - 0.1)
        self.assertFalse(given_up(self.bench))

    def test_what_somebody_has_who_gives_nothing_is_not_waited_for(self) -> None:
        self.bench.join("b", whole=0b10, uploads=False)
        self.bench.want()
        self.bench.later(1.0)
        self.assertTrue(given_up(self.bench))

    def test_what_a_neighbour_has_is_waited_for(self) -> None:
        self.bench.got("a", full(10))
        self.bench.want()
        self.bench.later(5.0)
        self.assertFalse(given_up(self.bench))

    def test_as_long_as_something_comes_it_is_waited_for(self) -> None:
        self.bench.want()
        for block in range(5):
            self.bench.arrive(None, 1 << block)
            self.bench.later(HOPELESS_S - 0.1)
            self.assertFalse(given_up(self.bench))

    def test_as_long_as_a_neighbour_gets_more_of_it_it_is_waited_for(self) -> None:
        self.bench.want()
        for block in range(5):
            self.bench.got("a", 1 << block)
            self.bench.later(HOPELESS_S - 0.1)
            self.assertFalse(given_up(self.bench))

    def test_a_holder_that_the_tracker_named_has_time_to_be_reached(self) -> None:
        self.bench.want()
        self.bench.later(HOPELESS_S - 0.1)
        holders = (peer("far"),)
        self.bench.node.lease_answered([Grant(1, False, 1, holders=holders)], self.bench.now)
        self.bench.later(HOPELESS_S - 0.1)
        self.assertFalse(given_up(self.bench))
        self.bench.later(0.3)
        self.assertTrue(given_up(self.bench))

    def test_without_a_player_nothing_is_given_up(self) -> None:
        self.bench.node.want(self.bench.entry, self.bench.now + 10, self.bench.now, waiting=False)
        self.bench.later(3.0)
        self.assertFalse(given_up(self.bench))

    def test_without_leases_everybody_fetches_for_himself(self) -> None:
        bench = Bench(policy=Policy.without(frozenset({"no-lease"})))
        bench.want()
        [fetch] = bench.take(FetchOrigin)
        self.assertEqual(fetch.why, "no-lease")

    def test_without_leases_too_nobody_waits_beyond_the_deadline_for_a_promise(self) -> None:
        bench = Bench(policy=Policy.without(frozenset({"no-lease"})))
        bench.join("a")
        bench.getting("a")
        bench.want(slack_s=3.0)
        bench.later(1.0)
        self.assertEqual(bench.take(FetchOrigin), [])
        bench.later(2.5)
        self.assertEqual([fetch.why for fetch in bench.take(FetchOrigin)], ["deadline"])


class Aborts(SynchronousTestCase):
    def led(self) -> Bench:
        bench = Bench()
        bench.want()
        granted(bench)
        bench.quiet()
        return bench

    def test_a_delivery_that_nobody_needs_stops(self) -> None:
        bench = self.led()
        bench.node.unwant(bench.entry, bench.now)
        self.assertEqual([stop.entry for stop in bench.take(StopOrigin)], [bench.entry])
        self.assertEqual(bench.node.state.deliveries, {})

    def test_one_of_which_more_than_half_is_here_goes_on(self) -> None:
        bench = self.led()
        bench.arrive(None, full(6))
        bench.node.unwant(bench.entry, bench.now)
        self.assertEqual(bench.take(StopOrigin), [])
        self.assertTrue(bench.arrive(None, full(10)))

    def test_one_that_another_player_waits_for_goes_on(self) -> None:
        bench = self.led()
        bench.want()
        bench.node.unwant(bench.entry, bench.now)
        self.assertIn(1, bench.node.state.deliveries)

    def test_one_that_a_neighbour_waits_for_goes_on(self) -> None:
        bench = self.led()
        bench.join("a")
        bench.ask("a", full(10), spread=True)
        bench.node.unwant(bench.entry, bench.now)
        self.assertIn(1, bench.node.state.deliveries)

    def test_joining_a_delivery_fetches_nothing_twice(self) -> None:
        bench = self.led()
        bench.want()
        self.assertEqual(bench.take(FetchOrigin), [])


class Runs(SynchronousTestCase):
    def test_near_runs_are_fetched_as_one(self) -> None:
        self.assertEqual(merged_runs(0b1101, 2), [(0, 4)])

    def test_far_runs_are_fetched_apart(self) -> None:
        self.assertEqual(merged_runs(0b1000001, 2), [(0, 1), (6, 1)])


class TakingOnly(SynchronousTestCase):
    """A peer that does not upload: it must never be waited for."""

    def setUp(self) -> None:
        self.bench = Bench(uploads=False)

    def test_it_asks_for_no_lease_and_reports_nothing(self) -> None:
        self.bench.want()
        said = self.bench.node.take_commands(self.bench.now)
        for _ in range(100):
            self.bench.later(0.05)
            said += self.bench.node.take_commands(self.bench.now)
        self.bench.arrive(None, full(10))
        self.bench.later(2.0)
        said += self.bench.node.take_commands(self.bench.now)
        self.assertEqual([each for each in said if isinstance(each, CallTracker)], [])

    def test_alone_it_fetches_for_itself(self) -> None:
        self.bench.want()
        self.bench.later(0.3)
        [fetch] = self.bench.take(FetchOrigin)
        self.assertEqual((fetch.first, fetch.count), (0, 10))

    def test_it_waits_a_moment_for_a_neighbour_that_will_lead(self) -> None:
        # A segment that it would lead by its hash, if it led at all.
        mine = next(
            position
            for position in range(1, 50)
            if leader_by_hash([peer("me"), peer("a")], position) == peer("me")
        )
        bench = Bench(entry(mine), uploads=False)
        bench.join("a")
        bench.getting("a", distance=255, blocks=0, segment=mine)
        bench.want()
        bench.later(0.9)
        self.assertEqual(bench.take(FetchOrigin), [])
        bench.later(0.3)
        self.assertEqual(len(bench.take(FetchOrigin)), 1)

    def test_it_takes_what_a_neighbour_has(self) -> None:
        self.bench.join("a", whole=0b10)
        self.bench.want()
        self.assertTrue(self.bench.take(Ask))
        self.bench.later(0.3)
        self.assertEqual(self.bench.take(FetchOrigin), [])

    def test_others_that_elect_a_leader_leave_it_out(self) -> None:
        bench = Bench()
        bench.join("taker", uploads=False)
        bench.getting("taker", distance=255, blocks=0)
        bench.node.state.tracker_away = True
        bench.want()
        bench.later(0.3)
        self.assertEqual(len(bench.take(FetchOrigin)), 1)
