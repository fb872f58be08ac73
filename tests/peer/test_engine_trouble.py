"""Whole peers in memory among liars, and with an origin that fails: only true bytes are played."""

from __future__ import annotations

from hashlib import sha256

from dashp2p.content.index import BLOCKS_NAME
from dashp2p.content.signature import INDEX_NAME
from dashp2p.peer.fakeweb import Answer, Asked
from dashp2p.peer.limits import ORIGIN_PATIENCE_S
from dashp2p.swarm.courtesy import TOP_FACTOR
from dashp2p.swarm.policy import Policy
from dashp2p.testing import ORIGIN, MemoryFilm, MemorySwarm
from dashp2p.wire.errors import Code
from dashp2p.wire.frames import (
    Cancel,
    Data,
    Fetching,
    Getting,
    Got,
    Hashes,
    Reject,
    Request,
)
from tests.peer.swarms import DATA, ENTRY, FILM, SEGMENT, WHOLE, Liar, SwarmTestCase, hashes_of


class LieTests(SwarmTestCase):
    """Neighbours that send false bytes: none reaches a player, and each lie is the last one."""

    def setUp(self) -> None:
        SwarmTestCase.setUp(self)
        [self.peer] = self.peers(1)
        self.origin.silent = True  # until the test lets it
        self.liar = Liar(self.peer)

    def banned(self) -> bool:
        return self.peer.exchange.banned == 1 and self.liar.errors == [Code.INTEGRITY]

    def test_a_false_block_bans_its_sender_and_is_never_played(self) -> None:
        self.liar.holds()
        viewing = self.peer.play(SEGMENT, deadline_s=20.0)
        self.swarm.advance(0.05)
        self.liar.answer(bytes(len(DATA)))
        self.assertTrue(self.banned(), self.liar.errors)
        self.assertEqual(viewing.data, b"")
        self.assertEqual(self.peer.engine.records.peers_bytes, 0)

    def test_what_was_asked_of_the_liar_is_asked_elsewhere(self) -> None:
        honest = Liar(self.peer, b"honest")
        for neighbour in (self.liar, honest):
            neighbour.holds()
        viewing = self.peer.play(SEGMENT, deadline_s=20.0)
        self.swarm.advance(0.05)
        self.liar.answer(bytes(len(DATA)))
        self.assertTrue(self.banned(), self.liar.errors)
        for _ in range(20):
            honest.answer()
            self.swarm.advance(0.02)
        self.assert_played(viewing)
        self.assertEqual(self.origin.log, [])

    def test_the_origin_fills_in_for_a_liar(self) -> None:
        self.origin.silent = False
        self.liar.holds()
        viewing = self.peer.play(SEGMENT)
        self.swarm.advance(0.05)
        self.liar.answer(bytes(len(DATA)))
        self.swarm.until(lambda: viewing.whole)
        self.assert_played(viewing)

    def test_true_blocks_before_the_lie_are_kept(self) -> None:
        self.origin.silent = False
        self.liar.holds()
        viewing = self.peer.play(SEGMENT)
        self.swarm.advance(0.05)
        self.liar.answer(bytes(len(DATA)), true_blocks=8)
        self.assertTrue(self.banned(), self.liar.errors)
        self.swarm.until(lambda: viewing.whole)
        self.assert_played(viewing)
        self.assertGreater(self.peer.engine.records.peers_bytes, 0)
        self.assertLess(self.origin.sent_bytes(SEGMENT), len(DATA))

    def test_false_hashes_ban_their_sender(self) -> None:
        self.liar.holds()
        viewing = self.peer.play(SEGMENT, deadline_s=20.0)
        self.swarm.advance(0.05)
        self.liar.answer(bytes(len(DATA)), hashes=bytes(32 * ENTRY.block_count))
        self.assertTrue(self.banned(), self.liar.errors)
        self.assertEqual(viewing.data, b"")

    def test_hashes_that_fit_the_lie_do_not_help_it(self) -> None:
        lie = bytes(len(DATA))
        hashes = b"".join(
            sha256(bytes(ENTRY.block_length(block))).digest() for block in range(ENTRY.block_count)
        )
        self.liar.holds()
        viewing = self.peer.play(SEGMENT, deadline_s=20.0)
        self.swarm.advance(0.05)
        self.liar.answer(lie, hashes)
        self.assertTrue(self.banned(), self.liar.errors)
        self.assertEqual(viewing.data, b"")

    def test_a_block_of_a_wrong_size_ends_the_link(self) -> None:
        self.liar.holds()
        viewing = self.peer.play(SEGMENT, deadline_s=20.0)
        self.swarm.advance(0.05)
        request = self.liar.take_requests()[0]
        if request.hashes:
            self.liar.send(Hashes(request.request_id, ENTRY.position, hashes_of(ENTRY.position)))
        first = (request.blocks & -request.blocks).bit_length() - 1
        self.liar.send(Data(request.request_id, ENTRY.position, first, 1, b"short"))
        self.swarm.advance(0.1)
        self.assertEqual(self.liar.errors, [Code.BAD_REQUEST])
        self.assertEqual(viewing.data, b"")

    def test_what_is_not_verified_is_told_to_nobody(self) -> None:
        other = Liar(self.peer, b"listener")
        self.liar.holds()
        self.peer.play(SEGMENT, deadline_s=20.0)
        self.swarm.advance(0.05)
        self.liar.answer(bytes(len(DATA)))
        self.swarm.advance(1.0)
        self.assertEqual(other.of(Got), [])

    def test_what_waits_for_its_hashes_is_told_and_sent_to_nobody(self) -> None:
        other = Liar(self.peer, b"listener")
        self.liar.holds()
        viewing = self.peer.play(SEGMENT, deadline_s=20.0)
        self.swarm.advance(0.05)
        for request in self.liar.take_requests():
            first = (request.blocks & -request.blocks).bit_length() - 1
            start = ENTRY.block_offset(first)
            piece = DATA[start : start + ENTRY.block_length(first)]
            if not request.hashes:
                self.liar.send(Data(request.request_id, ENTRY.position, first, 1, piece))
        other.send(Request(ENTRY.position, 1, 1000))
        self.swarm.advance(0.3)
        self.assertEqual(viewing.data, b"")
        self.assertEqual(other.of(Got) + other.of(Data), [])

    def test_who_promises_and_gives_nothing_does_not_hold_a_player_up(self) -> None:
        self.origin.silent = False
        self.liar.holds()
        viewing = self.peer.play(SEGMENT, deadline_s=3.0)
        took_s = self.swarm.until(lambda: viewing.whole)
        self.assertLess(took_s, 4.0)
        self.assert_played(viewing)

    def test_who_is_getting_it_forever_does_not_hold_a_player_up(self) -> None:
        self.origin.silent = False
        self.liar.send(Getting((Fetching(ENTRY.position, 1, 0, WHOLE),)))
        self.liar.wait(0.01)
        viewing = self.peer.play(SEGMENT, deadline_s=3.0)
        took_s = self.swarm.until(lambda: viewing.whole)
        self.assertLess(took_s, 4.0)
        self.assert_played(viewing)

    def test_who_rejects_everything_does_not_hold_a_player_up(self) -> None:
        self.origin.silent = False
        self.liar.holds()
        viewing = self.peer.play(SEGMENT, deadline_s=3.0)
        for _ in range(20):
            self.swarm.advance(0.01)
            for request in self.liar.take_requests():
                self.liar.send(Reject(request.request_id, ENTRY.position, WHOLE, Code.NOT_HERE))
        self.swarm.until(lambda: viewing.whole)
        self.assert_played(viewing)

    def test_who_rejects_again_and_again_what_he_says_he_has_is_left_alone(self) -> None:
        for number in range(1, Policy().shun_after_refusals + 1):
            self.assertEqual(self.peer.exchange.shunned, 0)
            self.liar.holds(f"chunk_0_{number}.m4s")
            self.peer.play(f"chunk_0_{number}.m4s", deadline_s=20.0)
            self.swarm.advance(0.05)
            for request in self.liar.take_requests():
                if not self.liar.errors:
                    code = int(Code.NOT_HERE)
                    self.liar.send(Reject(request.request_id, request.segment, WHOLE, code))
            self.swarm.advance(0.05)
        self.assertEqual((self.peer.exchange.shunned, self.peer.exchange.links), (1, {}))

    def test_who_answers_nothing_and_is_alive_is_left_alone(self) -> None:
        self.origin.silent = False
        self.liar.holds()
        viewing = self.peer.play(SEGMENT, deadline_s=3.0)
        self.swarm.advance(3.0)
        self.assertEqual((self.peer.exchange.shunned, self.peer.exchange.links), (1, {}))
        self.assert_played(viewing)

    def test_a_link_that_is_full_of_what_was_never_answered_is_seen(self) -> None:
        [link] = self.peer.exchange.links.values()
        while link.session.can_request:
            request_id = link.send(Request(2, 1))
            assert request_id is not None
            link.send(Cancel(request_id, 2, 1))
        self.liar.holds()
        self.peer.play(SEGMENT, deadline_s=20.0)
        self.swarm.advance(1.5)
        self.assertEqual((self.peer.exchange.shunned, self.peer.exchange.links), (1, {}))

    def test_the_node_knows_who_is_left_alone(self) -> None:
        [peer_id] = self.peer.exchange.links
        self.assertFalse(self.peer.node.state.shuns(peer_id))
        self.peer.exchange.shun(peer_id, "a test")
        self.assertTrue(self.peer.node.state.shuns(peer_id))

    def test_who_stands_still_is_not_left_alone(self) -> None:
        self.origin.silent = False
        self.liar.holds()
        self.liar.heeds = False
        viewing = self.peer.play(SEGMENT, deadline_s=3.0)
        self.swarm.advance(3.0)
        self.assertEqual(self.peer.exchange.shunned, 0)
        self.assert_played(viewing)


RATES_BPS = [rung.bandwidth_bps for rung in FILM.index.representations]
FAIR_S = len(DATA) * 8 / (TOP_FACTOR * max(RATES_BPS))


class CourtesyTests(SwarmTestCase):
    def took_s(self, other: str | None, deadline_s: float = 30.0) -> float:
        """How long a segment is under way from an origin that gives all at once."""
        [peer] = self.peers(1)
        self.origin.chunk_s = 0.001
        neighbour = Liar(peer)
        if other is not None:
            news = Fetching(FILM.entry(other).position, 1, 0, WHOLE)
            neighbour.send(Getting((news,)))
            neighbour.wait(0.01)
        viewing = peer.play(SEGMENT, deadline_s=deadline_s)
        began_at = self.swarm.clock.seconds()
        self.swarm.until(lambda: viewing.whole)
        return self.swarm.clock.seconds() - began_at

    def test_who_leads_takes_his_time_while_another_fetches(self) -> None:
        self.assertGreater(self.took_s("chunk_0_2.m4s"), 0.7 * FAIR_S)

    def test_alone_he_takes_it_all_at_once(self) -> None:
        self.assertLess(self.took_s(None), 0.3 * FAIR_S)

    def test_so_he_does_when_a_player_waits(self) -> None:
        self.assertLess(self.took_s("chunk_0_2.m4s", deadline_s=0.5), 0.3 * FAIR_S)


class NoRangesTests(SwarmTestCase):
    def copies(self, ignores_range: bool) -> float:
        """What five who are in a hurry together cost the origin, after a file that tells of it."""
        self.origin.ignores_range = ignores_range
        crowd = self.peers(5)
        for peer in crowd:
            peer.play("chunk_0_2.m4s", deadline_s=20.0)
        self.swarm.advance(5.0)
        viewings = [peer.play(SEGMENT, deadline_s=1.0) for peer in crowd]
        self.swarm.advance(5.0)
        for viewing in viewings:
            self.assert_played(viewing)
        return self.origin.sent_bytes(SEGMENT) / len(DATA)

    def test_all_fetch_a_share_from_an_origin_that_gives_ranges(self) -> None:
        self.assertEqual(self.copies(ignores_range=False), 1.0)
        self.assertGreater(len(self.origin.asked_for(SEGMENT)), 2)

    def test_one_fetches_all_from_an_origin_that_does_not(self) -> None:
        self.assertEqual(self.copies(ignores_range=True), 1.0)


class OriginTroubleTests(SwarmTestCase):
    def setUp(self) -> None:
        SwarmTestCase.setUp(self)
        [self.peer] = self.peers(1)

    def ranges(self, path: str = SEGMENT) -> list[str | None]:
        return [asked.header("Range") for asked in self.origin.asked_for(path)]

    def test_after_a_failure_only_the_missing_blocks_are_fetched(self) -> None:
        self.origin.cut_at = 100_000
        viewing = self.peer.play(SEGMENT, deadline_s=10.0)
        self.swarm.until(lambda: self.origin.sent_bytes(SEGMENT) == 100_000)
        self.origin.cut_at = None
        self.swarm.until(lambda: viewing.whole)
        self.assert_played(viewing)
        first = 100_000 // ENTRY.block_size_bytes * ENTRY.block_size_bytes
        self.assertEqual(self.ranges(), [None, f"bytes={first}-{len(DATA) - 1}"])

    def test_an_origin_that_hangs_in_the_middle_is_asked_again_for_the_rest(self) -> None:
        self.origin.hangs_at = 100_000
        viewing = self.peer.play(SEGMENT, deadline_s=5.0)
        self.swarm.advance(1.0)
        self.origin.hangs_at = None
        self.swarm.until(lambda: viewing.whole)
        self.assert_played(viewing)
        self.assertLess(self.origin.sent_bytes(SEGMENT), len(DATA) + 2 * ENTRY.block_size_bytes)

    def test_an_origin_that_trickles_is_given_up_and_asked_again(self) -> None:
        self.origin.chunk_s = 4.0  # a piece of 16 KiB each
        viewing = self.peer.play(SEGMENT, deadline_s=5.0)
        self.swarm.advance(1.0)
        self.origin.chunk_s = 0.0
        took_s = self.swarm.until(lambda: viewing.whole)
        self.assertLess(took_s, ORIGIN_PATIENCE_S + 2.0)
        self.assert_played(viewing)

    def test_a_neighbour_takes_over_from_a_leader_whose_origin_trickles(self) -> None:
        [other] = self.peers(1)
        self.swarm.advance(2.0)
        self.origin.chunk_s = 4.0
        led = self.peer.play(SEGMENT, deadline_s=20.0)
        self.swarm.until(lambda: bool(self.origin.asked_for(SEGMENT)))
        self.origin.chunk_s = 0.0
        waiting = other.play(SEGMENT, deadline_s=20.0)
        took_s = self.swarm.until(lambda: led.whole and waiting.whole)
        self.assertLess(took_s, ORIGIN_PATIENCE_S)
        self.assert_played(led)
        self.assert_played(waiting)

    def test_an_origin_that_never_answers_is_asked_again(self) -> None:
        self.origin.silent = True
        viewing = self.peer.play(SEGMENT, deadline_s=30.0)
        self.swarm.advance(2.0)
        self.origin.silent = False
        self.swarm.until(lambda: viewing.whole)
        self.assert_played(viewing)

    def test_an_origin_that_comes_back_is_used_again(self) -> None:
        self.origin.away = True
        viewing = self.peer.play(SEGMENT)
        self.swarm.until(lambda: viewing.failed is not None)
        self.assertFalse(self.peer.engine.origin_reachable)
        self.origin.away = False
        viewing = self.peer.play(SEGMENT)
        self.swarm.until(lambda: viewing.whole)
        self.assert_played(viewing)

    def test_without_origin_and_holders_the_player_hears_it_soon(self) -> None:
        self.origin.away = True
        viewing = self.peer.play(SEGMENT)
        took_s = self.swarm.until(lambda: viewing.failed is not None)
        self.assertLess(took_s, 10.0)
        self.assertEqual(viewing.data, b"")

    def test_without_an_origin_neighbours_are_enough(self) -> None:
        self.peer.play(SEGMENT)
        self.swarm.advance(1.0)
        other = self.swarm.add_peer()
        self.swarm.connect_all()
        self.origin.away = True
        viewing = other.play(SEGMENT)
        self.swarm.until(lambda: viewing.whole)
        self.assert_played(viewing)

    def test_false_bytes_of_the_origin_are_never_played(self) -> None:
        self.origin.latency_s = 0.2
        self.origin.files[SEGMENT] = DATA[:50_000] + bytes(len(DATA) - 50_000)
        viewing = self.peer.play(SEGMENT)
        self.swarm.advance(5.0)
        true_bytes = 50_000 // ENTRY.block_size_bytes * ENTRY.block_size_bytes
        self.assertEqual(viewing.data, DATA[:true_bytes])

    def test_nothing_is_played_with_false_hashes_of_the_origin(self) -> None:
        self.origin.latency_s = 0.2
        self.origin.files[BLOCKS_NAME] = bytes(len(FILM.files[BLOCKS_NAME]))
        viewing = self.peer.play(SEGMENT)
        self.swarm.advance(5.0)
        self.assertEqual(viewing.data, b"")

    def test_an_index_that_does_not_match_its_signature_is_refused(self) -> None:
        self.origin.latency_s = 0.2
        other = MemoryFilm.make(segments=3, seed=2)
        self.origin.files[INDEX_NAME] = other.files[INDEX_NAME]
        viewing = self.swarm.add_peer(indexed=False).play(INDEX_NAME)
        self.swarm.advance(5.0)
        self.assertEqual(viewing.data, b"")

    def test_a_fetch_that_completes_a_segment_leaves_the_connection_open(self) -> None:
        self.peer.play(SEGMENT)
        self.swarm.advance(1.0)
        self.assertEqual([response.closed for response in self.origin.responses], [False, False])

    def test_the_origins_rate_is_measured(self) -> None:
        self.origin.chunk_s = 0.1
        before = self.peer.node.state.origin_rate_bps
        self.peer.play(SEGMENT)
        self.swarm.advance(5.0)
        self.assertNotEqual(self.peer.node.state.origin_rate_bps, before)

    def test_an_origin_that_comes_back_is_called_reachable(self) -> None:
        self.origin.away = True
        viewing = self.peer.play(SEGMENT)
        self.swarm.until(lambda: viewing.failed is not None)
        self.origin.away = False
        viewing = self.peer.play(SEGMENT)
        self.swarm.until(lambda: viewing.whole)
        self.assertTrue(self.peer.engine.origin_reachable)
        self.assertIsNone(self.peer.node.state.origin_away_since)

    def test_false_bytes_of_the_origin_are_fetched_again_only_after_a_pause(self) -> None:
        self.origin.files[SEGMENT] = DATA[:50_000] + bytes(len(DATA) - 50_000)
        self.peer.play(SEGMENT)
        self.swarm.advance(5.0)
        self.assertLess(len(self.origin.asked_for(SEGMENT)), 30)

    def test_with_false_hashes_the_origin_is_asked_again_only_after_a_pause(self) -> None:
        self.origin.files[BLOCKS_NAME] = bytes(len(FILM.files[BLOCKS_NAME]))
        self.peer.play(SEGMENT)
        self.swarm.advance(5.0)
        self.assertLess(len(self.origin.asked_for(SEGMENT)), 30)
        self.origin.files[BLOCKS_NAME] = FILM.files[BLOCKS_NAME]
        again = self.peer.play(SEGMENT)
        self.swarm.until(lambda: again.whole)
        self.assert_played(again)

    def test_a_short_index_that_is_not_the_signed_one_is_asked_again_only_after_a_pause(
        self,
    ) -> None:
        other = MemoryFilm.make(segments=3, seed=2)
        self.origin.files[INDEX_NAME] = other.files[INDEX_NAME]
        peer = self.swarm.add_peer(indexed=False)
        peer.play(INDEX_NAME)
        self.swarm.advance(5.0)
        self.assertLess(len(self.origin.asked_for(INDEX_NAME)), 30)

    def test_hashes_that_fail_at_once_are_fetched_again(self) -> None:
        origin = self.origin

        def site(asked: Asked) -> Answer:
            return None if asked.path.endswith(BLOCKS_NAME) else origin(asked)

        self.peer.web.sites[ORIGIN] = site
        viewing = self.peer.play(SEGMENT, deadline_s=20.0)
        self.swarm.advance(0.1)
        self.assertEqual(len(origin.asked_for(SEGMENT)), 1)
        self.peer.web.sites[ORIGIN] = origin
        self.swarm.until(lambda: viewing.whole)
        self.assert_played(viewing)

    def test_slow_hashes_do_not_cost_a_second_copy(self) -> None:
        film = MemoryFilm.make(segments=2, segment_bytes=20_000)
        swarm = MemorySwarm(film)
        peer = swarm.add_peer()
        delayed = swarm.origin

        def site(asked: Asked) -> Answer:
            delayed.latency_s = 0.06 if asked.path.endswith(BLOCKS_NAME) else 0.02
            return delayed(asked)

        peer.web.sites[ORIGIN] = site
        viewing = peer.play(SEGMENT)
        swarm.advance(2.0)
        self.assertEqual(viewing.data, film.files[SEGMENT])
        self.assertEqual(delayed.sent_bytes(SEGMENT), len(film.files[SEGMENT]))
        swarm.stop()

    def test_a_long_index_that_does_not_match_its_signature_is_refused(self) -> None:
        film = MemoryFilm.make(segments=400, segment_bytes=3000)
        swarm = MemorySwarm(film)
        raw = film.files[INDEX_NAME]
        swarm.origin.files[INDEX_NAME] = raw[:-100] + b" " * 100
        viewing = swarm.add_peer(indexed=False).play(INDEX_NAME, deadline_s=60.0)
        swarm.advance(5.0)
        self.assertEqual(viewing.data, b"")
        self.assertLess(len(swarm.origin.asked_for(INDEX_NAME)), 30, "it is asked without a pause")
        swarm.origin.files[INDEX_NAME] = raw
        again = swarm.peers[0].play(INDEX_NAME)
        swarm.until(lambda: again.whole)
        self.assertEqual(again.data, raw)
        swarm.stop()

    def test_a_file_that_is_gone_from_the_origin_is_told(self) -> None:
        del self.origin.files[SEGMENT]
        viewing = self.peer.play(SEGMENT)
        self.swarm.until(lambda: viewing.failed is not None, patience_s=20.0)
        self.assertEqual(viewing.data, b"")
