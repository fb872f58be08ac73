"""One block, one fetcher: the lease table's rules, one behaviour a test."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.swarm.deadlines import Deadlines
from dashp2p.swarm.lease_rules import first_run
from dashp2p.swarm.leases import Answer, Elsewhere, Granted, LeaseRules, LeaseTable, Want

A, B, C, D = (bytes([n]) * 32 for n in b"ABCD")
MEBI = 1 << 20
WANT = Want(segment=7, blocks=8, size_bytes=2 * MEBI, media_bps=5_000_000)


class LeaseCase(SynchronousTestCase):
    """A table whose origin is expected to send 16 Mbit/s: WANT takes 1.05 s, its lease 2.1."""

    def setUp(self) -> None:
        self.table = LeaseTable(LeaseRules())
        self.now = 100.0

    def ask(self, peer: bytes, want: Want = WANT, **kw: Any) -> Answer:
        live_peers = kw.pop("live_peers", 10)
        upload_bps = kw.pop("upload_bps", 0)
        return self.table.ask(
            peer,
            evolve(want, **kw) if kw else want,
            self.now,
            live_peers=live_peers,
            upload_bps=upload_bps,
        )

    def granted(self, peer: bytes, want: Want = WANT, **kw: Any) -> Granted:
        answer = self.ask(peer, want, **kw)
        assert isinstance(answer, Granted), answer
        return answer

    def elsewhere(self, peer: bytes, want: Want = WANT, **kw: Any) -> Elsewhere:
        answer = self.ask(peer, want, **kw)
        assert isinstance(answer, Elsewhere), answer
        return answer

    def done(self, peer: bytes, epoch: int = 0, segment: int = 7) -> None:
        self.table.done(peer, segment, epoch, self.now)

    def progress(self, peer: bytes, epoch: int, blocks_done: int) -> None:
        self.table.progress(peer, 7, epoch, blocks_done, self.now)


class GrantTests(LeaseCase):
    def test_the_first_who_asks_may_fetch_every_block(self) -> None:
        lease = self.granted(A)
        self.assertEqual((lease.segment, lease.first, lease.count), (7, 0, 8))

    def test_the_next_who_asks_learns_who_leads(self) -> None:
        epoch = self.granted(A).epoch
        answer = self.elsewhere(B)
        self.assertEqual((answer.leader, answer.epoch, answer.holders), (A, epoch, ()))

    def test_it_may_ask_again_in_a_second_or_when_the_lease_would_run_out(self) -> None:
        expires_s = self.granted(A).expires_s
        self.assertEqual(self.elsewhere(B).retry_s, 1.0)
        self.now += expires_s - 0.4
        self.assertAlmostEqual(self.elsewhere(B).retry_s, 0.4)

    def test_a_repeated_question_gets_the_same_lease(self) -> None:
        lease = self.granted(A)
        self.now += 0.5
        again = self.granted(A)
        self.assertEqual(again, evolve(lease, expires_s=lease.expires_s - 0.5))
        self.assertEqual(self.table.counts.granted, 1)

    def test_only_what_is_missing_is_leased(self) -> None:
        lease = self.granted(A, missing=0b01011000)
        self.assertEqual((lease.first, lease.count), (3, 4))

    def test_two_peers_may_lead_different_blocks(self) -> None:
        self.granted(A, missing=0b00001111)
        lease = self.granted(B)
        self.assertEqual((lease.first, lease.count), (4, 4))

    def test_a_peer_that_lost_its_lease_to_release_may_ask_again(self) -> None:
        lease = self.granted(A)
        self.table.release(A, 7, lease.epoch, self.now)
        self.assertGreater(self.granted(B).epoch, lease.epoch)
        self.assertEqual((self.table.counts.broken, self.table.counts.takeovers), (0, 0))

    def test_a_peer_that_left_frees_its_leases(self) -> None:
        self.granted(A)
        self.table.drop(A)
        self.granted(B)
        self.assertEqual(self.table.live_leases, 1)

    def test_a_swarm_rebuilt_later_hands_out_higher_epochs(self) -> None:
        before = self.granted(A).epoch
        reborn = LeaseTable(epoch_offset=1_000_000)
        answer = reborn.ask(A, WANT, 0.0)
        assert isinstance(answer, Granted)
        self.assertGreater(answer.epoch, before)


class HolderTests(LeaseCase):
    def test_what_a_peer_holds_is_not_leased(self) -> None:
        self.done(A, self.granted(A).epoch)
        answer = self.elsewhere(B)
        self.assertEqual((answer.leader, answer.holders), (None, (A,)))

    def test_a_peer_may_say_that_it_holds_what_it_never_leased(self) -> None:
        self.done(C)
        self.assertEqual(self.elsewhere(B).holders, (C,))

    def test_a_holder_tried_in_vain_does_not_keep_others_from_the_origin(self) -> None:
        self.done(A)
        self.granted(B, refused=(A,))

    def test_all_known_holders_must_have_been_tried(self) -> None:
        self.done(A)
        self.done(C)
        self.assertEqual(self.elsewhere(B, refused=(A,)).holders, (C,))
        self.granted(B, refused=(A, C))

    def test_a_holder_tried_in_vain_is_told_last(self) -> None:
        self.done(C)
        self.done(A)
        self.assertEqual(self.elsewhere(B).holders, (A, C))
        self.elsewhere(B, refused=(A,))
        self.assertEqual(self.elsewhere(D).holders, (C, A))

    def test_a_holder_that_asks_has_lost_it(self) -> None:
        self.done(A)
        self.granted(A)
        self.assertEqual(self.elsewhere(B).holders, ())

    def test_a_holder_that_misses_some_blocks_still_holds_the_others(self) -> None:
        self.done(A)
        lease = self.granted(A, missing=0b11)
        self.assertEqual((lease.first, lease.count), (0, 2))
        self.assertEqual(self.elsewhere(B, missing=0b100).holders, (A,))

    def test_a_peer_that_left_holds_nothing(self) -> None:
        self.done(A)
        self.table.drop(A)
        self.granted(B)

    def test_who_holds_it_all_gives_up_its_lease_on_it(self) -> None:
        self.granted(A)
        self.done(A)
        self.assertEqual((self.table.live_leases, self.table.counts.broken), (0, 0))

    def test_a_long_list_of_holders_is_told_in_part_and_to_each_asker_another(self) -> None:
        holders = [bytes([n]) * 32 for n in range(100, 150)]
        for holder in holders:
            self.done(holder)
        told = [self.elsewhere(bytes([n]) * 32).holders for n in range(40)]
        self.assertEqual({len(each) for each in told}, {16})
        self.assertGreater(len(set().union(*told)), 40)

    def test_people_may_ask_who_has_a_segment_by_its_path(self) -> None:
        self.ask(A, path="chunk_0_1.m4s")
        self.done(B)
        self.assertEqual(self.table.position_of("chunk_0_1.m4s"), 7)
        known = self.table.whereabouts(7, self.now)
        assert known is not None
        self.assertEqual((known.leader, known.holders), (A, (B,)))
        self.assertIsNone(self.table.whereabouts(8, self.now))
        self.assertIsNone(self.table.position_of("chunk_0_2.m4s"))


class ExpiryTests(LeaseCase):
    def test_a_lease_lasts_twice_the_expected_fetch(self) -> None:
        self.assertAlmostEqual(self.granted(A).expires_s, 2 * 2 * MEBI * 8 / 16e6)

    def test_no_lease_lasts_less_than_a_second_or_more_than_five(self) -> None:
        self.assertEqual(self.granted(A, size_bytes=1).expires_s, 1.0)
        self.assertEqual(self.granted(A, segment=8, size_bytes=64 * MEBI).expires_s, 5.0)

    def test_an_expired_lease_goes_to_the_next_who_asks_and_is_counted(self) -> None:
        lease = self.granted(A)
        self.now += lease.expires_s
        self.assertGreater(self.granted(B).epoch, lease.epoch)
        self.assertEqual(self.table.counts.takeovers, 1)

    def test_it_is_no_takeover_when_the_same_peer_asks_again(self) -> None:
        self.now += self.granted(A).expires_s
        self.granted(A)
        self.assertEqual((self.table.counts.broken, self.table.counts.takeovers), (1, 0))

    def test_progress_renews_the_lease(self) -> None:
        lease = self.granted(A)
        for blocks_done in range(1, 6):
            self.now += lease.expires_s - 0.1
            self.progress(A, lease.epoch, blocks_done)
        self.assertEqual(self.elsewhere(B).leader, A)

    def test_empty_progress_does_not(self) -> None:
        lease = self.granted(A)
        self.progress(A, lease.epoch, 1)
        for _ in range(3):
            self.now += 0.8
            self.progress(A, lease.epoch, 1)
        self.granted(B)

    def test_progress_beyond_the_lease_does_not(self) -> None:
        lease = self.granted(A)
        self.progress(A, lease.epoch, 8)
        self.now += 2.0
        self.progress(A, lease.epoch, 900)
        self.now += 1.0
        self.granted(B)

    def test_no_progress_renews_a_lease_for_ever(self) -> None:
        lease = self.granted(A, blocks=1000)
        for blocks_done in range(1, 60):
            self.now += 0.9
            self.progress(A, lease.epoch, blocks_done)
        self.granted(B, blocks=1000)

    def test_leases_follow_the_measured_rate(self) -> None:
        for segment in range(20):
            lease = self.granted(A, segment=segment)
            self.now += 4.0 if segment == 0 else 2.0
            if segment:
                self.done(A, lease.epoch, segment)
            else:
                self.table.release(A, segment, lease.epoch, self.now)
        self.assertLess(abs(self.table.rate_bps - 2 * MEBI * 4), 400_000)
        self.assertLess(abs(self.granted(B, segment=99).expires_s - 4.0), 0.4)

    def test_small_fetches_say_little_about_the_rate(self) -> None:
        for segment in range(20):
            lease = self.granted(A, segment=segment, size_bytes=800)
            self.now += 0.1
            self.done(A, lease.epoch, segment)
        self.assertGreater(self.table.rate_bps, 15e6)

    def test_one_lie_about_a_size_moves_the_measured_rate_little(self) -> None:
        lease = self.granted(A, size_bytes=64 * MEBI)
        self.done(A, lease.epoch)
        self.assertLess(self.table.rate_bps, 2 * 16e6)


class FenceTests(LeaseCase):
    def setUp(self) -> None:
        super().setUp()
        self.stale = self.granted(A).epoch
        self.now += 3.0
        self.fresh = self.granted(B)

    def test_progress_of_a_lost_lease_renews_nothing(self) -> None:
        self.now += 2.0
        self.progress(A, self.stale, 5)
        self.now += 1.0
        self.granted(C)

    def test_a_lost_lease_frees_nothing(self) -> None:
        self.table.release(A, 7, self.stale, self.now)
        self.table.release(A, 7, self.fresh.epoch, self.now)
        self.assertEqual(self.elsewhere(C).leader, B)
        self.assertEqual(self.table.counts.fenced, 2)

    def test_who_is_late_still_holds_what_it_fetched(self) -> None:
        self.done(A, self.stale)
        answer = self.elsewhere(C)
        self.assertEqual((answer.leader, answer.holders), (B, (A,)))
        self.assertEqual(self.table.counts.fulfilled, 0)

    def test_who_is_late_with_a_part_holds_that_part(self) -> None:
        part = self.granted(C, segment=9, upload_bps=4e6)
        self.now += 3.0
        self.done(C, part.epoch, 9)
        self.assertEqual(self.elsewhere(D, segment=9, missing=0b00000111).holders, (C,))
        self.assertEqual(self.granted(D, segment=9).first, 3)

    def test_to_say_twice_that_a_part_is_done_does_not_make_it_the_whole(self) -> None:
        part = self.granted(C, segment=9, upload_bps=4e6)
        self.done(C, part.epoch, 9)
        self.done(C, part.epoch, 9)
        self.assertEqual(self.granted(D, segment=9).first, part.count)


class AllowanceTests(LeaseCase):
    def lease_many(self, peer: bytes, first: int) -> int:
        answers = [self.ask(peer, segment=first + n) for n in range(10)]
        return sum(isinstance(answer, Granted) for answer in answers)

    def test_leases_on_a_block_hardly_count(self) -> None:
        """A manifest, two init segments, sound and pictures: what a film begins with is five."""
        for segment in range(3):
            self.granted(A, segment=segment, blocks=1, size_bytes=800)
        for segment in range(3, 7):
            self.granted(A, segment=segment)
        self.assertEqual(self.elsewhere(A, segment=7).retry_s, 0.1)

    def test_but_they_do_count(self) -> None:
        for segment in range(16):
            self.granted(A, segment=segment, blocks=1, size_bytes=800)
        self.elsewhere(A, segment=16, blocks=1, size_bytes=800)

    def test_a_peer_leads_at_most_four_leases(self) -> None:
        self.assertEqual(self.lease_many(A, 10), 4)
        self.assertEqual(self.lease_many(B, 20), 4)

    def test_a_fulfilled_lease_makes_room_for_another(self) -> None:
        epoch = self.granted(A, segment=10).epoch
        self.lease_many(A, 11)
        self.done(A, epoch, 10)
        self.assertEqual(self.lease_many(A, 30), 1)

    def test_who_breaks_leases_gets_fewer_and_at_last_none(self) -> None:
        granted = []
        for n in range(6):
            granted.append(self.lease_many(A, 100 * n))
            self.now += 5.0
        self.assertEqual(granted, [4, 2, 1, 1, 0, 0])
        self.assertEqual(self.lease_many(B, 900), 4)

    def test_time_forgives(self) -> None:
        for n in range(4):
            self.lease_many(A, 100 * n)
            self.now += 5.0
        self.now += 240.0
        self.assertEqual(self.lease_many(A, 900), 4)

    def test_fulfilled_leases_make_good_for_broken_ones(self) -> None:
        self.lease_many(A, 0)
        self.now += 5.0
        for n in range(4):
            self.done(A, self.granted(A, segment=100 + n).epoch, 100 + n)
        self.assertEqual(self.lease_many(A, 900), 4)

    def test_leaving_and_coming_back_washes_nobody_clean(self) -> None:
        self.lease_many(A, 0)
        self.now += 5.0
        self.ask(B)
        self.table.drop(A)
        self.assertEqual(self.lease_many(A, 100), 2)

    def test_who_has_as_many_leases_as_it_may_have_asks_again_soon(self) -> None:
        self.lease_many(A, 10)
        answer = self.elsewhere(A)
        self.assertEqual((answer.leader, answer.retry_s), (None, 0.1))

    def test_a_notorious_breaker_asks_again_later(self) -> None:
        for n in range(6):
            self.lease_many(A, 100 * n)
            self.now += 5.0
        self.assertEqual(self.elsewhere(A).retry_s, 1.0)


class HedgeTests(LeaseCase):
    def setUp(self) -> None:
        super().setUp()
        self.main = self.granted(A, size_bytes=64 * MEBI)

    def test_nobody_hedges_while_the_leader_advances(self) -> None:
        self.now += 0.4
        answer = self.elsewhere(B, hedge=True, missing=0b11110000)
        self.assertAlmostEqual(answer.retry_s, 0.1)

    def test_a_stale_leader_is_hedged_for_what_is_missing(self) -> None:
        self.now += 0.5
        lease = self.granted(B, hedge=True, missing=0b01110000)
        self.assertEqual((lease.first, lease.count), (4, 3))
        self.assertGreater(lease.epoch, self.main.epoch)
        self.assertEqual(self.table.counts.hedges, 1)

    def test_fresh_progress_forbids_it_again(self) -> None:
        self.now += 0.6
        self.progress(A, self.main.epoch, 1)
        self.elsewhere(B, hedge=True, missing=0b1)

    def test_a_hedge_names_what_is_missing(self) -> None:
        self.now += 0.6
        self.elsewhere(B, hedge=True)

    def test_one_hedges_and_the_rest_follow(self) -> None:
        self.now += 0.6
        self.granted(B, hedge=True, missing=0b1)
        self.elsewhere(C, hedge=True, missing=0b11)

    def test_a_hedge_whose_leader_died_leads_and_may_be_hedged(self) -> None:
        self.now += 4.5
        hedge = self.granted(B, hedge=True, missing=0b11111111, size_bytes=64 * MEBI)
        self.now += 0.6
        self.assertEqual(self.elsewhere(C).leader, B)
        again = self.granted(C, hedge=True, missing=0b1)
        self.assertGreater(again.epoch, hedge.epoch)

    def test_what_a_peer_holds_is_asked_of_it_rather_than_hedged(self) -> None:
        self.done(D)
        self.now += 0.6
        self.assertEqual(self.elsewhere(B, hedge=True, missing=0b1).holders, (D,))

    def test_a_leader_tried_in_vain_may_be_hedged_however_fresh_it_claims_to_be(self) -> None:
        self.granted(B, hedge=True, missing=0b1, refused=(A,))
        self.elsewhere(C, hedge=True, missing=0b1, refused=(A,))

    def test_a_hedge_where_nobody_leads_is_a_lease_like_any_other(self) -> None:
        self.granted(B, segment=8, hedge=True, missing=0b1)
        self.assertEqual(self.table.counts.hedges, 0)

    def test_a_fulfilled_hedge_makes_a_holder_of_the_whole(self) -> None:
        self.now += 0.6
        lease = self.granted(B, hedge=True, missing=0b11)
        self.done(B, lease.epoch)
        self.assertEqual(self.elsewhere(C).holders, (B,))


class SplitTests(LeaseCase):
    """media at 5 Mbit/s, uplinks of 4: ceil(10 / 4) = 3 parts of 3, 3 and 2 blocks."""

    def part(self, peer: bytes, **kw: Any) -> tuple[int, int]:
        lease = self.granted(peer, upload_bps=4e6, **kw)
        return lease.first, lease.count

    def test_narrow_uplinks_share_a_segment(self) -> None:
        self.assertEqual([self.part(peer) for peer in (A, B, C)], [(0, 3), (3, 3), (6, 2)])
        self.assertIsInstance(self.ask(D, upload_bps=4e6), Elsewhere)

    def test_a_wide_or_unknown_uplink_gets_the_whole(self) -> None:
        self.assertEqual(self.granted(A, upload_bps=10e6).count, 8)
        self.assertEqual(self.granted(A, segment=8, upload_bps=0).count, 8)

    def test_there_are_no_more_parts_than_peers_and_at_most_eight(self) -> None:
        self.assertEqual(self.granted(A, upload_bps=1e6, live_peers=2).count, 4)
        lease = self.granted(A, segment=8, blocks=80, upload_bps=1e5, live_peers=99)
        self.assertEqual(lease.count, 10)
        self.assertEqual(self.granted(B, segment=9, upload_bps=1, live_peers=1).count, 8)

    def test_who_has_a_part_waits_for_others_before_it_takes_the_next(self) -> None:
        self.part(A)
        rest = 0b11111000
        answer = self.elsewhere(A, missing=rest, upload_bps=4e6)
        self.assertEqual(answer.leader, None)
        self.assertAlmostEqual(answer.retry_s, 0.3)
        self.now += 0.3
        self.assertEqual(self.part(A, missing=rest), (3, 3))

    def test_who_asks_for_the_whole_again_gets_its_part_and_later_the_next(self) -> None:
        self.assertEqual(self.part(A), (0, 3))
        self.now += 0.2
        self.assertEqual(self.part(A), (0, 3))
        self.now += 0.2
        self.assertEqual(self.part(A), (3, 3))

    def test_who_fulfilled_its_part_waits_for_others_too(self) -> None:
        self.done(A, self.granted(A, upload_bps=4e6).epoch)
        self.elsewhere(A, upload_bps=4e6)
        self.now += 0.3
        self.assertEqual(self.part(A), (3, 3))

    def test_a_part_that_was_fetched_is_not_fetched_again(self) -> None:
        self.done(A, self.granted(A, upload_bps=4e6).epoch)
        self.assertEqual(self.granted(B).first, 3)
        answer = self.elsewhere(C)
        self.assertEqual((answer.leader, answer.holders), (B, (A,)))

    def test_a_split_is_counted(self) -> None:
        self.part(A)
        self.assertEqual(self.table.counts.splits, 1)


class ThinTests(LeaseCase):
    """media at 5 Mbit/s, uplinks of 4: three parts, and from three whole holders on no more."""

    def slow(self, peer: bytes, **kw: Any) -> Answer:
        missing = kw.pop("missing", 0xFF)
        return self.ask(peer, missing=missing, slow=True, upload_bps=kw.pop("upload_bps", 4e6))

    def test_of_what_a_lone_holder_brings_too_slowly_a_part_may_be_fetched(self) -> None:
        self.done(A)
        answer = self.slow(B)
        assert isinstance(answer, Granted)
        self.assertEqual(answer.count, 3)

    def test_two_who_ask_get_different_parts(self) -> None:
        self.done(A)
        one, other = self.slow(B), self.slow(C)
        assert isinstance(one, Granted) and isinstance(other, Granted)
        blocks = [set(range(each.first, each.first + each.count)) for each in (one, other)]
        self.assertFalse(blocks[0] & blocks[1])

    def test_nobody_gets_what_he_has(self) -> None:
        self.done(A)
        answer = self.slow(B, missing=0b1)
        assert isinstance(answer, Granted)
        self.assertEqual((answer.first, answer.count), (0, 1))

    def test_what_is_held_and_comes_in_time_is_not_fetched(self) -> None:
        self.done(A)
        self.elsewhere(B, upload_bps=4e6)

    def test_enough_holders_feed_everybody(self) -> None:
        for peer in (A, B, C):
            self.done(peer)
        self.assertIsInstance(self.slow(D), Elsewhere)

    def test_with_a_wide_or_unknown_uplink_what_is_held_is_not_fetched(self) -> None:
        self.done(A)
        self.assertIsInstance(self.slow(B, upload_bps=10e6), Elsewhere)
        self.assertIsInstance(self.slow(B, upload_bps=0), Elsewhere)

    def test_what_another_is_fetching_is_not_fetched_beside_him(self) -> None:
        self.granted(A)
        self.assertIsInstance(self.slow(B), Elsewhere)


class BoundTests(SynchronousTestCase):
    def test_the_least_used_segments_are_forgotten(self) -> None:
        table = LeaseTable(LeaseRules(most_segments=10))
        for segment in range(100):
            table.done(A, segment, 0, 0.0)
        self.assertEqual(table.cells, 20)
        self.assertIsNone(table.whereabouts(89, 0.0))
        self.assertIsNotNone(table.whereabouts(90, 0.0))

    def test_a_segment_with_a_live_lease_is_not_forgotten(self) -> None:
        table = LeaseTable(LeaseRules(most_segments=2))
        table.ask(A, WANT, 0.0)
        for segment in range(100, 110):
            table.done(B, segment, 0, 0.0)
        self.assertIsInstance(table.ask(B, WANT, 0.5), Elsewhere)
        table.expire(9.0)
        self.assertEqual(table.live_leases, 0)

    def test_so_many_holders_of_a_segment_are_remembered(self) -> None:
        table = LeaseTable()
        for n in range(200):
            table.done(n.to_bytes(32, "big"), 7, 0, 0.0)
        known = table.whereabouts(7, 0.0)
        assert known is not None
        self.assertEqual(len(known.holders), 64)
        self.assertIn((199).to_bytes(32, "big"), known.holders)

    def test_segments_and_holders_together_are_bounded(self) -> None:
        table = LeaseTable(LeaseRules(most_cells=300))
        for segment in range(50):
            for n in range(20):
                table.done(n.to_bytes(32, "big"), segment, 0, 0.0)
                self.assertLessEqual(table.cells, 300)

    def test_a_table_sheds_what_it_is_told_to(self) -> None:
        table = LeaseTable()
        for segment in range(50):
            table.done(A, segment, 0, 0.0)
        table.shed(60)
        self.assertEqual(table.cells, 40)

    def test_leases_taken_and_given_back_leave_nothing_behind(self) -> None:
        table = LeaseTable()
        for n in range(5000):
            lease = table.ask(A, WANT, n * 1e-6)
            assert isinstance(lease, Granted)
            table.release(A, 7, lease.epoch, n * 1e-6)
        self.assertLess(len(table._deadlines._heap), 100)
        self.assertLessEqual(len(table._segments[7].ended), 16)

    def test_the_records_of_breakers_are_bounded(self) -> None:
        table = LeaseTable(LeaseRules(most_rated=10))
        for n in range(50):
            table.ask(n.to_bytes(32, "big"), evolve(WANT, segment=n), 0.0)
        table.expire(10.0)
        self.assertEqual((table.counts.broken, len(table.ratings)), (50, 10))


class RunTests(SynchronousTestCase):
    @given(st.integers(0, 1 << 40), st.integers(0, 1 << 40))
    def test_a_run_starts_and_ends_wanted_and_is_nowhere_blocked(
        self, wanted: int, blocked: int
    ) -> None:
        free = {b for b in range(41) if wanted >> b & 1 and not blocked >> b & 1}
        if not free:
            self.assertRaises(ValueError, first_run, wanted, blocked)
            return
        first, count = first_run(wanted, blocked)
        self.assertEqual(first, min(free))
        self.assertTrue(wanted >> (first + count - 1) & 1)
        self.assertFalse(any(blocked >> b & 1 for b in range(first, first + count)))
        after = next((b for b in sorted(free) if b >= first + count), None)
        if after is not None:
            self.assertTrue(any(blocked >> b & 1 for b in range(first + count, after)))


class DeadlineTests(SynchronousTestCase):
    @given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 50), st.integers(0, 2))))
    def test_each_key_falls_due_once_at_its_latest_word(
        self, moves: list[tuple[int, int, int]]
    ) -> None:
        deadlines: Deadlines[int] = Deadlines()
        naive: dict[int, float] = {}
        now = 0.0
        for key, ahead, what in moves:
            now += 1.0
            if what == 0:
                deadlines.set(key, now + ahead)
                naive[key] = now + ahead
            elif what == 1:
                deadlines.discard(key)
                naive.pop(key, None)
            due = sorted(key for key, at in naive.items() if at <= now)
            self.assertEqual(sorted(deadlines.due(now)), due)
            naive = {key: at for key, at in naive.items() if at > now}
            self.assertEqual(len(deadlines), len(naive))


class UrgentTests(LeaseCase):
    """14 blocks that a starting crowd of ten wants at once."""

    WANT = Want(segment=7, blocks=14, size_bytes=14 * 16384, media_bps=500_000, urgent=True)

    def part(self, peer: bytes, **kw: Any) -> tuple[int, int]:
        lease = self.granted(peer, self.WANT, **kw)
        return lease.first, lease.count

    def test_each_who_asks_gets_a_share(self) -> None:
        self.assertEqual([self.part(peer) for peer in (A, B, C)], [(0, 2), (2, 2), (4, 2)])

    def test_the_fewer_peers_there_are_the_larger_it_is(self) -> None:
        self.assertEqual(self.part(A, live_peers=2), (0, 7))

    def test_a_lone_peer_gets_it_all(self) -> None:
        self.assertEqual(self.part(A, live_peers=1), (0, 14))

    def test_what_is_not_urgent_is_not_shared(self) -> None:
        self.assertEqual(self.part(A, urgent=False), (0, 14))

    def test_who_has_a_share_waits_for_others_and_then_gets_the_rest(self) -> None:
        self.part(A)
        rest = 0b11_1111_1111_1100
        self.now += 0.02
        self.assertAlmostEqual(self.elsewhere(A, self.WANT, missing=rest).retry_s, 0.04)
        self.now += 0.05
        self.assertEqual(self.part(A, missing=rest), (2, 12))

    def test_those_who_gathered_share_the_rest(self) -> None:
        self.part(A)
        self.part(B)
        self.now += 0.07
        self.assertEqual(self.part(A, missing=0b11_1111_1111_0000), (4, 5))

    def test_who_brings_pictures_may_bring_sound_too(self) -> None:
        """To leave it to others for a moment made row 1's sound 0.25 s late."""
        self.part(A)
        sound = evolve(self.WANT, segment=8, blocks=4)
        self.assertEqual(self.granted(A, sound).count, 2)

    def test_a_later_crowd_gathers_anew(self) -> None:
        self.part(A)
        self.now += 10.0
        self.assertEqual(self.part(B)[1], 2)

    def test_in_a_hurry_a_silent_leader_of_a_share_is_hedged_sooner(self) -> None:
        self.part(A)
        self.now += 0.24
        self.elsewhere(B, self.WANT, missing=0b11, hedge=True)
        self.now += 0.02
        self.elsewhere(B, self.WANT, missing=0b11, hedge=True, urgent=False)
        self.assertEqual(self.part(B, missing=0b11, hedge=True), (0, 2))

    def test_in_a_hurry_a_silent_leader_of_much_is_given_its_time(self) -> None:
        big = evolve(self.WANT, size_bytes=2 * MEBI)
        self.granted(A, big, live_peers=1)
        self.now += 0.3
        self.elsewhere(B, big, missing=0b11, hedge=True)
