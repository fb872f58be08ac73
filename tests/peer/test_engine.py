"""Whole peers in memory: how they fetch, share, keep and drop what players ask for."""

from __future__ import annotations

from dashp2p.content.blocks import HASH_BYTES
from dashp2p.content.index import BLOCKS_NAME
from dashp2p.content.signature import INDEX_NAME
from dashp2p.swarm.policy import ABLATIONS, Policy
from dashp2p.testing import FakeDisk, MemoryFilm, MemorySwarm, Viewing
from dashp2p.wire.errors import Code
from dashp2p.wire.frames import (
    Data,
    Error,
    Fetching,
    Getting,
    Hashes,
    Reject,
    Request,
)
from tests.peer.swarms import DATA, ENTRY, FILM, SEGMENT, WHOLE, Liar, SwarmTestCase, hashes_of


class AloneTests(SwarmTestCase):
    def test_a_segment_comes_from_the_origin_and_is_played_as_it_comes(self) -> None:
        [peer] = self.peers(1)
        self.origin.chunk_s = 0.05
        viewing = peer.play(SEGMENT)
        self.swarm.advance(0.4)
        self.assertTrue(0 < len(viewing.data) < len(DATA))
        self.swarm.advance(2.0)
        self.assert_played(viewing)
        self.assertEqual(peer.engine.records.origin_bytes, len(DATA))

    def test_what_is_here_is_not_fetched_again(self) -> None:
        [peer] = self.peers(1)
        peer.play(SEGMENT)
        self.swarm.advance(1.0)
        before = len(self.origin.log)
        self.assert_played(peer.play(SEGMENT))
        self.assertEqual(len(self.origin.log), before)

    def test_two_players_share_one_delivery(self) -> None:
        [peer] = self.peers(1)
        one, other = peer.play(SEGMENT), peer.play(SEGMENT)
        self.swarm.advance(1.0)
        self.assert_played(one)
        self.assert_played(other)
        self.assertEqual(self.origin.sent_bytes(SEGMENT), len(DATA))

    def test_every_kind_of_file_travels_the_same_way(self) -> None:
        [peer] = self.peers(1)
        viewings = {path: peer.play(path) for path in ("dash.mpd", "init_0.m4s", INDEX_NAME)}
        self.swarm.advance(1.0)
        for path, viewing in viewings.items():
            self.assert_played(viewing, path)

    def test_an_index_of_many_blocks_proves_itself(self) -> None:
        film = MemoryFilm.make(segments=400, segment_bytes=3000)
        self.assertGreater(film.signature.index_entry().block_count, 1)
        swarm = MemorySwarm(film)
        viewing = swarm.add_peer(indexed=False).play(INDEX_NAME)
        swarm.advance(1.0)
        self.assertEqual(viewing.data, film.files[INDEX_NAME])
        swarm.stop()

    def test_a_record_is_kept_of_each_segment(self) -> None:
        [peer] = self.peers(1)
        self.origin.chunk_s = 0.01
        peer.play(SEGMENT)
        self.swarm.advance(1.0)
        [record] = peer.engine.records.segments
        self.assertEqual((record.path, record.kind, record.number), (SEGMENT, "video", 0))
        self.assertEqual((record.origin, record.peers), (len(DATA), 0))
        self.assertGreater(record.took_ms, 0)


class CrowdTests(SwarmTestCase):
    def test_three_at_once_cost_the_origin_one_copy(self) -> None:
        viewings = [peer.play(SEGMENT) for peer in self.peers(3)]
        self.swarm.advance(2.0)
        for viewing in viewings:
            self.assert_played(viewing)
        self.assertEqual(self.origin.sent_bytes(SEGMENT), len(DATA))
        self.assertEqual(self.origin.sent_bytes(BLOCKS_NAME), ENTRY.block_count * HASH_BYTES)

    def test_who_comes_later_gets_it_from_who_has_it(self) -> None:
        one, other = self.peers(2)
        one.play(SEGMENT)
        self.swarm.advance(1.0)
        viewing = other.play(SEGMENT)
        self.swarm.advance(1.0)
        self.assert_played(viewing)
        self.assertEqual(self.origin.sent_bytes(SEGMENT), len(DATA))
        self.assertEqual(other.engine.records.peers_bytes, len(DATA))
        self.assertEqual(other.engine.records.origin_bytes, 0)

    def test_who_joins_later_learns_what_is_here(self) -> None:
        [one] = self.peers(1)
        one.play(SEGMENT)
        self.swarm.advance(1.0)
        other = self.swarm.add_peer()
        self.swarm.connect_all()
        viewing = other.play(SEGMENT)
        self.swarm.advance(1.0)
        self.assert_played(viewing)
        self.assertEqual(self.origin.sent_bytes(SEGMENT), len(DATA))

    def test_blocks_are_passed_on_before_the_segment_is_whole(self) -> None:
        one, other = self.peers(2)
        self.origin.chunk_s = 0.1
        one.play(SEGMENT)
        self.swarm.advance(0.1)
        viewing = other.play(SEGMENT)
        self.swarm.advance(0.6)
        self.assertFalse(one.has(SEGMENT))
        self.assertGreater(len(viewing.data), 0)
        self.swarm.advance(3.0)
        self.assert_played(viewing)

    def test_without_a_tracker_one_of_them_leads(self) -> None:
        self.swarm.tracker.away = True
        viewings = [peer.play(SEGMENT) for peer in self.peers(3)]
        self.swarm.advance(3.0)
        for viewing in viewings:
            self.assert_played(viewing)
        self.assertEqual(self.origin.sent_bytes(SEGMENT), len(DATA))

    def test_a_tracker_that_hangs_makes_nobody_wait_for_long(self) -> None:
        self.swarm.tracker.silent = True
        viewings = [peer.play(SEGMENT) for peer in self.peers(3)]
        took_s = self.swarm.until(lambda: all(viewing.whole for viewing in viewings))
        self.assertLess(took_s, 4.0)

    def test_a_leader_that_dies_is_replaced(self) -> None:
        self.origin.chunk_s = 0.2
        peers = self.peers(3)
        viewings = {peer.peer_id: peer.play(SEGMENT, deadline_s=8.0) for peer in peers}
        self.swarm.until(lambda: bool(self.origin.log))
        self.swarm.advance(0.5)
        [leader] = [peer for peer in peers if peer.engine.node.leading.leases_won]
        self.origin.chunk_s = 0.0
        leader.stop()
        del viewings[leader.peer_id]
        self.swarm.until(lambda: all(viewing.whole for viewing in viewings.values()))
        for viewing in viewings.values():
            self.assert_played(viewing)

    def test_the_index_travels_too(self) -> None:
        one = self.swarm.add_peer(indexed=False)
        other = self.swarm.add_peer(indexed=False)
        self.swarm.connect_all()
        viewings = [one.play(INDEX_NAME), other.play(INDEX_NAME)]
        self.swarm.advance(2.0)
        for viewing in viewings:
            self.assert_played(viewing, INDEX_NAME)
        self.assertEqual(self.origin.sent_bytes(INDEX_NAME), len(FILM.files[INDEX_NAME]))


class ServingTests(SwarmTestCase):
    def setUp(self) -> None:
        SwarmTestCase.setUp(self)
        [self.peer] = self.peers(1)
        self.peer.play(SEGMENT)
        self.swarm.advance(1.0)
        self.asker = Liar(self.peer, b"asker")

    def test_blocks_that_are_here_are_sent_after_their_hashes(self) -> None:
        self.asker.send(Request(ENTRY.position, 0b11, 1000, hashes=True))
        self.swarm.advance(0.5)
        answers = [event for event in self.asker.events if isinstance(event, Hashes | Data)]
        self.assertIsInstance(answers[0], Hashes)
        self.assertEqual(getattr(answers[0], "hashes", b""), hashes_of(ENTRY.position))
        sent = b"".join(event.data for event in answers if isinstance(event, Data))
        self.assertEqual(sent, DATA[: 2 * ENTRY.block_size_bytes])

    def test_hashes_alone_can_be_asked_for(self) -> None:
        self.asker.send(Request(ENTRY.position, 0, 1000, hashes=True))
        self.swarm.advance(0.5)
        [hashes] = self.asker.of(Hashes)
        self.assertEqual(getattr(hashes, "hashes", b""), hashes_of(ENTRY.position))

    def test_what_is_not_here_is_refused(self) -> None:
        other = FILM.entry("chunk_0_2.m4s").position
        self.asker.send(Request(other, 0b1, 1000))
        self.asker.send(Request(other, 0, 1000, hashes=True))
        self.asker.send(Request(60_000, 0b1, 1000))
        self.swarm.advance(0.5)
        codes = [event.code for event in self.asker.events if isinstance(event, Reject)]
        self.assertEqual(codes, [Code.NOT_HERE] * 3)

    def test_blocks_beyond_the_end_are_refused(self) -> None:
        self.asker.send(Request(ENTRY.position, 1 << ENTRY.block_count, 1000))
        self.swarm.advance(0.5)
        [reject] = self.asker.of(Reject)
        self.assertEqual(getattr(reject, "code", None), Code.BAD_REQUEST)

    def test_a_burst_of_frames_that_ends_in_an_error_costs_other_deliveries_nothing(self) -> None:
        self.origin.chunk_s = 0.05
        viewing = self.peer.play("chunk_0_2.m4s")
        self.swarm.advance(0.2)
        position = FILM.entry("chunk_0_3.m4s").position
        self.asker.send(
            Getting((Fetching(position, 1, 0, WHOLE),)),
            Request(ENTRY.position, 0b1, 1000),
            Error(Code.SHUTTING_DOWN),
        )
        self.swarm.advance(3.0)
        self.assert_played(viewing, "chunk_0_2.m4s")


class AbortTests(SwarmTestCase):
    """A player that gives up: what it asked for is finished or dropped, never fetched twice."""

    def setUp(self) -> None:
        SwarmTestCase.setUp(self)
        self.one, self.other = self.peers(2)
        self.origin.chunk_s = 0.05

    def start(self, seconds: float) -> Viewing:
        viewing = self.one.play(SEGMENT)
        self.swarm.advance(seconds)
        return viewing

    def test_with_less_than_half_here_it_is_dropped(self) -> None:
        viewing = self.start(0.2)
        self.assertLess(len(viewing.data), len(DATA) / 2)
        viewing.leave()
        sent = self.origin.sent_bytes(SEGMENT)
        self.swarm.advance(3.0)
        self.assertFalse(self.one.has(SEGMENT))
        self.assertEqual(self.origin.sent_bytes(SEGMENT), sent)
        self.assertTrue(self.origin.responses[0].closed)

    def test_with_more_than_half_here_it_is_finished(self) -> None:
        viewing = self.start(0.5)
        self.assertTrue(len(DATA) / 2 < len(viewing.data) < len(DATA))
        viewing.leave()
        self.swarm.advance(3.0)
        self.assertTrue(self.one.has(SEGMENT))
        self.assertEqual(self.origin.sent_bytes(SEGMENT), len(DATA))

    def test_it_is_finished_for_another_player(self) -> None:
        second = self.one.play(SEGMENT)
        self.start(0.1).leave()
        self.swarm.advance(3.0)
        self.assert_played(second)
        self.assertEqual(self.origin.sent_bytes(SEGMENT), len(DATA))

    def test_it_is_finished_for_a_neighbour_that_waits(self) -> None:
        viewing = self.start(0.1)
        there = self.other.play(SEGMENT)
        self.swarm.advance(0.1)
        self.assertLess(len(viewing.data), len(DATA) / 2)
        viewing.leave()
        self.swarm.advance(5.0)
        self.assert_played(there)
        self.assertEqual(self.origin.sent_bytes(SEGMENT), len(DATA))

    def test_asking_again_after_it_was_dropped_starts_anew(self) -> None:
        self.start(0.2).leave()
        viewing = self.one.play(SEGMENT)
        self.swarm.advance(3.0)
        self.assert_played(viewing)

    def test_its_memory_is_given_back(self) -> None:
        self.start(0.2).leave()
        self.assertIsNone(self.one.store.assembly(ENTRY.digest))
        self.assertEqual(self.one.engine.incoming, {})


class DiskTests(SwarmTestCase):
    def test_a_segment_is_saved_and_found_again(self) -> None:
        disk = FakeDisk()
        peer = self.swarm.add_peer(disk=disk)
        peer.play(SEGMENT)
        self.swarm.advance(1.0)
        self.assertEqual(disk.content(ENTRY.digest.hex()), DATA)

    def test_a_full_disk_does_not_stop_the_film(self) -> None:
        peer = self.swarm.add_peer(disk=FakeDisk(capacity_bytes=50_000))
        viewing = peer.play(SEGMENT)
        self.swarm.advance(1.0)
        self.assert_played(viewing)
        assert peer.store.segments is not None
        self.assertIsNotNone(peer.store.segments.degraded_reason)

    def test_a_write_that_fails_does_not_stop_the_film(self) -> None:
        disk = FakeDisk()
        disk.failing["write"] = 5
        peer = self.swarm.add_peer(disk=disk)
        viewing = peer.play(SEGMENT)
        self.swarm.advance(1.0)
        self.assert_played(viewing)

    def test_neighbours_hear_of_what_the_quota_pushed_out(self) -> None:
        one = self.swarm.add_peer(disk=FakeDisk(), quota_bytes=450_000)
        one.store._memory.max_bytes = 0
        other = self.swarm.add_peer()
        self.swarm.connect_all()
        for number in (1, 2, 3):
            one.play(f"chunk_0_{number}.m4s")
            self.swarm.advance(1.0)
        self.swarm.advance(1.0)
        neighbour = other.node.state.neighbours[one.peer_id]
        self.assertFalse(neighbour.has_whole(ENTRY.position))
        self.assertTrue(neighbour.has_whole(FILM.entry("chunk_0_3.m4s").position))

    def test_a_neighbour_that_asks_for_what_is_damaged_is_told_that_it_is_not_here(self) -> None:
        disk = FakeDisk()
        peer = self.swarm.add_peer(disk=disk)
        peer.play(SEGMENT)
        self.swarm.advance(1.0)
        asker = Liar(peer, b"asker")
        disk.advance(60.0)
        disk.corrupt(ENTRY.digest.hex())
        peer.store._memory.discard(ENTRY.digest)
        peer.store._hashes.discard(ENTRY.digest)
        asker.send(Request(ENTRY.position, 0, 1000, hashes=True))
        asker.send(Request(ENTRY.position, 0b1, 1000, hashes=True))
        self.swarm.advance(0.5)
        codes = [event.code for event in asker.events if isinstance(event, Reject)]
        self.assertEqual(codes, [Code.NOT_HERE] * 2)


class AblationTests(SwarmTestCase):
    def test_every_ablation_still_plays_the_true_film(self) -> None:
        for name in ABLATIONS:
            with self.subTest(name=name):
                self.swarm = MemorySwarm(FILM)
                viewings = [
                    peer.play(SEGMENT) for peer in self.peers(3, Policy.without(frozenset({name})))
                ]
                self.swarm.advance(6.0)
                for viewing in viewings:
                    self.assert_played(viewing)
                self.swarm.stop()
