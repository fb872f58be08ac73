"""Which block is asked of whom."""

from twisted.trial.unittest import SynchronousTestCase

from dashp2p.swarm.commands import Ask, CallTracker, Drop, Withdraw
from dashp2p.swarm.delivery import NO_DISTANCE
from dashp2p.swarm.policy import Policy
from dashp2p.swarm.sourcing import highest, leader_by_hash, lowest
from dashp2p.wire.errors import Code
from tests.swarm.support import BLOCK, Bench, entry, full, peer


class Pulling(SynchronousTestCase):
    def test_a_lone_holder_is_asked_for_everything_at_once_to_spread_it(self) -> None:
        bench = Bench(entry(blocks=40))
        bench.join("a", whole=0b10)
        bench.want()
        asks = bench.take(Ask)
        blocks = 0
        for ask in asks:
            self.assertEqual(blocks & ask.blocks, 0)
            blocks |= ask.blocks
        self.assertEqual(blocks, full(40))
        self.assertTrue(any(ask.spread for ask in asks))

    def test_more_waits_at_a_neighbour_with_slack_than_in_a_hurry(self) -> None:
        waiting: dict[float, int] = {}
        for slack_s in (1.0, 30.0):
            bench = Bench(entry(blocks=80))
            for name in "abcd":
                bench.join(name, whole=0b10)
            bench.want(slack_s=slack_s)
            waiting[slack_s] = max(ask.blocks.bit_count() for ask in bench.take(Ask))
        self.assertGreater(waiting[30.0], waiting[1.0])

    def test_several_holders_share_the_blocks_and_none_is_asked_of_two(self) -> None:
        bench = Bench(entry(blocks=40))
        for name in "abcd":
            bench.join(name, whole=0b10)
        bench.want(slack_s=1.0)
        asks = bench.take(Ask)
        self.assertEqual({ask.peer_id for ask in asks}, {peer(name) for name in "abcd"})
        seen = 0
        for ask in asks:
            self.assertEqual(seen & ask.blocks, 0)
            seen |= ask.blocks

    def test_with_slack_who_has_the_fewest_segments_is_asked_and_no_more_than_it_takes(
        self,
    ) -> None:
        """Who came last is wanted by the fewest: else who came first serves all the others."""
        bench = Bench(entry(blocks=40))
        for name, whole in (("first", 0b111110), ("second", 0b1110), ("last", 0b10)):
            bench.join(name, whole=whole)
        bench.want(slack_s=10.0)
        self.assertEqual([ask.peer_id for ask in bench.take(Ask)], [peer("last")])

    def test_with_slack_more_are_asked_where_the_first_is_slow(self) -> None:
        bench = Bench(entry(blocks=40))
        for name, whole in (("first", 0b111110), ("second", 0b1110), ("last", 0b10)):
            bench.join(name, whole=whole).download.rate_bps = 4e6
        bench.want(slack_s=10.0)
        asked = [ask.peer_id for ask in bench.take(Ask)]
        self.assertEqual(asked, [peer("last"), peer("second")])

    def test_when_urgent_who_will_have_sent_a_block_first_is_asked_first(self) -> None:
        bench = Bench(entry(blocks=4))
        for name, rate_bps in (("slow", 1e6), ("slower", 0.5e6), ("fast", 50e6)):
            bench.join(name, whole=0b10).download.rate_bps = rate_bps
        bench.want(slack_s=0.5)
        self.assertEqual([ask.peer_id for ask in bench.take(Ask)], [peer("fast")])

    def test_a_neighbours_queue_is_never_seconds_deep(self) -> None:
        bench = Bench(entry(blocks=100))
        for name in "abcd":
            neighbour = bench.join(name, whole=0b10)
            neighbour.download.rate_bps = 8e6
            neighbour.rtt_s = 0.02
        bench.want()
        for ask in bench.take(Ask):
            self.assertLess(ask.blocks.bit_count() * 16384 * 8 / 8e6, 0.2)

    def test_the_next_blocks_are_asked_for_when_earlier_ones_come(self) -> None:
        bench = Bench(entry(blocks=100))
        for name in "abcd":
            bench.join(name, whole=0b10)
        bench.want()
        first = bench.take(Ask)[0]
        bench.arrive("a" if first.peer_id == peer("a") else "b", first.blocks & -first.blocks)
        self.assertTrue(bench.take(Ask))

    def test_a_peer_that_does_not_upload_is_never_asked(self) -> None:
        bench = Bench()
        bench.join("a", whole=0b10, uploads=False)
        bench.want()
        self.assertEqual(bench.take(Ask), [])

    def test_a_peer_that_is_leaving_is_never_asked(self) -> None:
        bench = Bench()
        bench.join("a", whole=0b10)
        bench.node.leaving(peer("a"), bench.now)
        bench.want()
        self.assertEqual(bench.take(Ask), [])

    def test_what_was_asked_of_it_before_is_waited_for(self) -> None:
        bench = Bench()
        bench.join("a", whole=0b10)
        bench.want()
        bench.quiet()
        bench.node.leaving(peer("a"), bench.now)
        self.assertEqual(bench.take(CallTracker), [])
        self.assertEqual([type(command) for command in bench.said], [])

    def test_when_it_is_gone_the_rest_is_had_elsewhere(self) -> None:
        bench = Bench()
        bench.join("a", whole=0b10)
        bench.want()
        bench.quiet()
        bench.node.leaving(peer("a"), bench.now)
        bench.node.left(peer("a"), bench.now)
        [call] = bench.take(CallTracker)
        self.assertEqual([want.missing for want in call.wants], [full(10)])

    def test_the_rarest_block_is_asked_for_first_with_slack(self) -> None:
        bench = Bench(entry(blocks=64))
        for name in "abc":
            bench.join(name)
            bench.got(name, full(63))
        bench.join("d").download.rate_bps = 1.0
        bench.got("d", 1 << 63 | 1)
        bench.want(slack_s=30.0)
        [rare] = [ask for ask in bench.take(Ask) if ask.peer_id == peer("d")]
        self.assertEqual(rare.blocks, 1 << 63)

    def test_blocks_are_asked_for_in_order_when_urgent(self) -> None:
        bench = Bench(entry(blocks=64))
        for name in "abc":
            bench.join(name)
            bench.got(name, full(60))
        bench.want(slack_s=0.5)
        asked = 0
        for ask in bench.take(Ask):
            self.assertTrue(ask.urgent)
            asked |= ask.blocks
        self.assertEqual(asked & (asked + 1), 0)


class Spreading(SynchronousTestCase):
    def test_who_leads_is_asked_for_blocks_that_are_still_on_their_way(self) -> None:
        bench = Bench()
        bench.join("leader")
        bench.want()
        bench.getting("leader")
        [ask] = bench.take(Ask)
        self.assertTrue(ask.spread)
        self.assertEqual(ask.blocks, full(10))

    def test_what_turns_up_elsewhere_is_pulled_there_and_withdrawn_at_the_leader(self) -> None:
        bench = Bench()
        bench.join("leader")
        bench.join("other")
        bench.want()
        bench.getting("leader")
        bench.quiet()
        bench.got("other", 0b100)
        bench.node.take_commands(bench.now)
        self.assertEqual(bench.node.state.deliveries[1].asked[peer("other")], 0b100)
        self.assertEqual(bench.node.state.deliveries[1].asked[peer("leader")], full(10) & ~0b100)

    def test_withdrawals_are_said_together_to_who_was_asked(self) -> None:
        bench = Bench()
        bench.join("leader")
        for other in ("a", "b"):
            bench.join(other)
        bench.want()
        bench.getting("leader")
        bench.quiet()
        bench.got("a", 0b100)
        self.assertEqual(bench.take(Withdraw), [])
        bench.got("b", 0b1000)
        self.assertEqual(bench.take(Withdraw), [])
        bench.now += bench.node.policy.withdraw_delay_s
        self.assertEqual(bench.take(Withdraw), [], "there is ample slack")
        bench.now += bench.node.policy.withdraw_ample_delay_s
        [withdrawn] = bench.take(Withdraw)
        self.assertEqual((withdrawn.peer_id, withdrawn.blocks), (peer("leader"), 0b1100))

    def test_a_farther_one_is_not_asked_for_the_few_that_a_nearer_one_cannot_take_yet(self) -> None:
        bench = Bench(entry(blocks=180), entry(position=2, blocks=4))
        bench.join("leader")
        bench.join("other")
        for segment in (2, 1):
            bench.want(bench.entries[segment])
            bench.getting("leader", segment=segment)
            bench.getting("other", segment=segment, distance=1)
            self.assertEqual({ask.peer_id for ask in bench.take(Ask)}, {peer("leader")})

    def test_who_spreads_is_asked_for_more_when_it_is_worth_a_word(self) -> None:
        bench = Bench(entry(blocks=180))
        bench.join("leader")
        bench.want()
        bench.getting("leader")
        bench.quiet()
        bench.node.blocks_arrived(peer("leader"), bench.entry, full(15), bench.now)
        self.assertEqual(bench.take(Ask), [])
        bench.node.blocks_arrived(peer("leader"), bench.entry, 1 << 15, bench.now)
        self.assertEqual([ask.blocks.bit_count() for ask in bench.take(Ask)], [16])

    def test_but_who_has_broken_his_word_may_make_it_good_with_one_block(self) -> None:
        bench = Bench(entry(blocks=180))
        bench.join("leader")
        bench.join("doubted").broken = 1
        bench.join("rival")
        bench.getting("rival", distance=NO_DISTANCE, blocks=0)
        bench.want()
        bench.getting("leader", blocks=full(120))
        bench.quiet()
        bench.getting("doubted", blocks=full(180) & ~full(120))
        [asked] = bench.take(Ask)
        self.assertEqual((asked.peer_id, asked.blocks.bit_count()), (peer("doubted"), 1))

    def test_who_is_asked_in_order_is_asked_for_more_when_four_fit(self) -> None:
        bench = Bench(entry(blocks=180))
        neighbour = bench.join("a", whole=0b10)
        for other in ("b", "c"):
            bench.join(other, whole=0b10).download.rate_bps = 1.0
        neighbour.download.rate_bps = 16e6
        bench.want(slack_s=30.0)
        first = next(ask for ask in bench.take(Ask) if ask.peer_id == peer("a")).blocks
        one = first & -first
        bench.arrive("a", one)
        self.assertNotIn(peer("a"), [ask.peer_id for ask in bench.take(Ask)])
        bench.arrive("a", lowest(first & ~one, 3))
        self.assertIn(peer("a"), [ask.peer_id for ask in bench.take(Ask)])

    def test_what_is_taken_back_without_a_word_yet_counts_as_asked(self) -> None:
        """Or he would say that he is busy, and be left alone for a while."""
        bench = Bench(entry(blocks=300))
        bench.join("leader")
        bench.join("other")
        bench.want(slack_s=30.0)
        bench.getting("leader")
        bench.quiet()
        bench.node.blocks_arrived(peer("leader"), bench.entry, full(20), bench.now)
        bench.got("other", full(40) << 20)
        asked = [ask for ask in bench.take(Ask) if ask.peer_id == peer("leader")]
        self.assertEqual(sum(ask.blocks.bit_count() for ask in asked), 20)

    def test_one_that_is_urgent_does_not_wait_with_one_that_is_not(self) -> None:
        bench = Bench(entry(), entry(position=2))
        bench.join("leader")
        bench.join("other")
        for segment, slack_s in ((1, 30.0), (2, 1.0)):
            bench.want(bench.entries[segment], slack_s)
            bench.getting("leader", segment=segment)
            bench.quiet()
        for segment in (2, 1):
            bench.got("other", 0b100, segment=segment)
            bench.quiet()
        bench.now += bench.node.policy.withdraw_delay_s
        self.assertTrue(bench.take(Withdraw))

    def test_a_withdrawal_never_takes_back_what_is_asked_for_after_it(self) -> None:
        bench = Bench()
        bench.join("leader")
        bench.join("other")
        bench.want()
        bench.getting("leader")
        bench.quiet()
        bench.got("other", full(10) & ~1)
        bench.quiet()
        bench.node.left(peer("other"), bench.now)
        said = bench.node.take_commands(bench.now)
        kinds = [type(one) for one in said if isinstance(one, Ask | Withdraw)]
        self.assertEqual(kinds, [Withdraw, Ask])
        bench.now += 1.0
        self.assertEqual(bench.take(Withdraw), [])

    def test_what_each_of_many_brings_a_share_of_is_sent_by_him_to_all(self) -> None:
        bench = Bench()
        for name, blocks in (("a", 0b1), ("b", 0b110), ("c", 0b1111111000)):
            bench.join(name)
            bench.getting(name, blocks=blocks)
        bench.want()
        spread = {ask.peer_id: ask.spread for ask in bench.take(Ask)}
        self.assertEqual(spread, {peer("a"): False, peer("b"): False, peer("c"): True})

    def test_who_is_busy_with_what_he_was_asked_still_brings_the_rest(self) -> None:
        bench = Bench(entry(blocks=200))
        bench.join("leader")
        bench.getting("leader")
        bench.want()
        bench.quiet()
        bench.node.refused(peer("leader"), bench.entry, 1 << 120, int(Code.BUSY), bench.now)
        delivery = bench.node.state.deliveries[1]
        self.assertEqual(bench.node.sourcing.supplied(delivery), full(200))

    def test_the_window_bounds_what_is_asked_of_one(self) -> None:
        bench = Bench(entry(blocks=400))
        bench.join("leader")
        bench.want()
        bench.getting("leader")
        [ask] = bench.take(Ask)
        self.assertEqual(ask.blocks, full(128))

    def test_no_more_is_asked_of_one_than_its_link_takes_whatever_the_segment(self) -> None:
        """It would say BUSY, and be left alone for half a second by everybody at once."""
        bench = Bench(entry(1, blocks=20), entry(2, blocks=200))
        bench.join("leader")
        for position in (1, 2):
            bench.want(bench.entries[position])
            bench.getting("leader", segment=position)
        asked = sum(ask.blocks.bit_count() for ask in bench.take(Ask))
        self.assertEqual(asked * BLOCK, bench.node.policy.outstanding_bytes)

    def test_of_two_whole_holders_all_is_pulled_where_few_others_want_it(self) -> None:
        """Nothing is asked of both, so nothing comes twice; and no uplink needs sparing."""
        bench = Bench(entry(blocks=100))
        for name in "ab":
            bench.join(name, whole=0b10)
        bench.want()
        asks = bench.take(Ask)
        self.assertEqual([ask.spread for ask in asks], [False, False])
        self.assertEqual(asks[0].blocks & asks[1].blocks, 0)

    def test_of_two_whole_holders_it_is_spread_where_many_want_it(self) -> None:
        bench = Bench(entry(blocks=100))
        for name in "ab":
            bench.join(name, whole=0b10)
        for name in "cd":
            bench.join(name)
            bench.getting(name, distance=255, blocks=0)
        bench.want()
        self.assertIn(True, [ask.spread for ask in bench.take(Ask)])

    def test_room_at_a_neighbour_goes_to_what_is_due_first_and_to_the_smaller_of_equals(
        self,
    ) -> None:
        """Else a video segment takes all the room, and the sound beside it waits for its end."""
        bench = Bench(entry(1, blocks=200), entry(2, blocks=4))
        names = "abc"
        for name in names:
            bench.join(name, whole=0b110)
        bench.want(bench.entries[1], slack_s=1.0)
        asks = bench.take(Ask)
        bench.want(bench.entries[2], slack_s=1.0)
        self.assertEqual(bench.take(Ask), [], "there is no room")
        bench.arrive(names[0], next(ask.blocks for ask in asks if ask.peer_id == peer("a")))
        self.assertIn(2, [ask.entry.position for ask in bench.take(Ask)])

    def test_of_what_a_parent_will_send_too_the_last_is_pulled_elsewhere(self) -> None:
        """He sends the first ones next: pulled elsewhere they would cross, and come twice."""
        bench = Bench(entry(blocks=100))
        bench.join("leader")
        bench.want(slack_s=10.0)
        bench.getting("leader")
        bench.join("other").download.rate_bps = 1e6
        bench.quiet()
        bench.got("other", full(50))
        bench.quiet()
        asked = bench.node.state.deliveries[1].asked[peer("other")]
        self.assertEqual(asked, full(50) & ~full(50 - asked.bit_count()))

    def test_two_that_wait_for_each_other_cannot_be(self) -> None:
        bench = Bench()
        bench.join("leader")
        bench.join("follower")
        bench.want()
        bench.getting("leader")
        bench.getting("follower", distance=1)
        bench.quiet()
        bench.node.left(peer("leader"), bench.now)
        self.assertEqual(bench.take(Ask), [])

    def test_one_nearer_to_the_origin_may_be_asked(self) -> None:
        bench = Bench()
        bench.join("relay")
        bench.want()
        bench.getting("relay", distance=3)
        [ask] = bench.take(Ask)
        self.assertEqual(ask.peer_id, peer("relay"))
        self.assertEqual(bench.node.state.deliveries[1].distance, 4)

    def test_without_cut_through_only_whole_holders_are_asked(self) -> None:
        bench = Bench(policy=Policy.without(frozenset({"store-and-forward"})))
        bench.join("leader")
        bench.want()
        bench.getting("leader")
        bench.got("leader", 0b11)
        self.assertEqual(bench.take(Ask), [])
        bench.got("leader", -1)
        self.assertTrue(bench.take(Ask))

    def test_in_order_without_spreading(self) -> None:
        bench = Bench(policy=Policy.without(frozenset({"in-order"})))
        bench.join("leader")
        bench.want()
        bench.getting("leader")
        [ask] = bench.take(Ask)
        self.assertFalse(ask.spread)


class Losing(SynchronousTestCase):
    def asked(self) -> Bench:
        """All is asked of one holder, and then another comes."""
        bench = Bench(entry(blocks=2))
        bench.join("a", whole=0b10)
        bench.want()
        bench.quiet()
        bench.join("b", whole=0b10)
        bench.quiet()
        return bench

    def test_a_block_that_is_not_there_after_all_is_asked_of_another(self) -> None:
        bench = self.asked()
        bench.node.refused(peer("a"), bench.entry, 0b11, Code.NOT_HERE, bench.now)
        asks = bench.take(Ask)
        self.assertEqual({ask.peer_id for ask in asks}, {peer("b")})

    def test_what_a_lost_neighbour_owed_is_asked_of_another(self) -> None:
        bench = self.asked()
        bench.node.left(peer("a"), bench.now)
        asked = 0
        for ask in bench.take(Ask):
            self.assertEqual(ask.peer_id, peer("b"))
            asked |= ask.blocks
        self.assertEqual(asked, 0b11)

    def test_in_a_hurry_a_gap_is_filled_by_who_has_the_same(self) -> None:
        for slack_s, asked in ((1.2, [peer("b")]), (10.0, [])):
            bench = Bench()
            bench.join("leader")
            bench.join("b")
            bench.want(slack_s=slack_s)
            bench.getting("leader", blocks=0b11)
            bench.getting("b", blocks=full(10) & ~0b11)
            bench.arrive("b", full(10) & ~0b11)
            bench.quiet()
            bench.got("b", 0b11)
            self.assertEqual(bench.take(Ask), [])
            bench.later(0.1)
            self.assertEqual([ask.peer_id for ask in bench.take(Ask)], asked)

    def test_on_a_busy_machine_a_short_silence_is_no_gap(self) -> None:
        for late_s, asked in ((0.0, [peer("b")]), (0.1, [])):
            bench = Bench()
            bench.join("leader")
            bench.join("b")
            bench.want(slack_s=1.2)
            bench.getting("leader", blocks=0b11)
            bench.getting("b", blocks=full(10) & ~0b11)
            for _ in range(3):
                bench.now += bench.node.policy.tick_s + late_s
                bench.node.tick(bench.now)
            bench.arrive("b", full(10) & ~0b11)
            bench.quiet()
            bench.got("b", 0b11)
            bench.later(0.1)
            self.assertEqual([ask.peer_id for ask in bench.take(Ask)], asked)

    def test_a_holder_on_a_busy_machine_has_longer(self) -> None:
        bench = self.asked()
        bench.later_on_a_busy_machine(5)
        self.assertEqual(bench.take(Withdraw), [])
        bench.later_on_a_busy_machine(3)
        self.assertTrue(bench.take(Withdraw))

    def test_a_silent_holder_is_left_for_another(self) -> None:
        bench = self.asked()
        bench.later(1.0)
        self.assertIn(peer("b"), {ask.peer_id for ask in bench.take(Ask)})

    def test_a_neighbour_that_always_breaks_its_word_is_dropped(self) -> None:
        segments = [entry(position) for position in range(1, 6)]
        bench = Bench(*segments)
        bench.join("a", whole=0b111110)
        for segment in segments:
            bench.want(segment, slack_s=1000.0)
            bench.later(0.8)
        self.assertIn(peer("a"), [drop.peer_id for drop in bench.take(Drop)])


class Helpers(SynchronousTestCase):
    def test_lowest_takes_the_lowest(self) -> None:
        self.assertEqual(lowest(0b101100, 2), 0b1100)
        self.assertEqual(lowest(0b101100, 9), 0b101100)
        self.assertEqual(lowest(0b101100, 0), 0)

    def test_highest_takes_the_highest(self) -> None:
        self.assertEqual(highest(0b101101, 2), 0b101000)
        self.assertEqual(highest(0b101101, 9), 0b101101)
        self.assertEqual(highest(0b101101, 0), 0)

    def test_all_agree_on_who_leads_without_a_tracker(self) -> None:
        peers = [peer(name) for name in "abc"]
        self.assertEqual(leader_by_hash(peers, 7), leader_by_hash(peers[::-1], 7))
