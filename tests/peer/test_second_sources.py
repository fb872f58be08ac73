"""When the first source of something fails, the second is taken, and nothing is left waiting."""

from __future__ import annotations

from dashp2p.testing import FakeDisk
from tests.peer.swarms import DATA, ENTRY, SEGMENT, Liar, SwarmTestCase


class SecondSourceTests(SwarmTestCase):
    def setUp(self) -> None:
        SwarmTestCase.setUp(self)
        [self.peer] = self.peers(1)

    def test_who_waits_for_what_turns_up_in_the_cache_gets_it(self) -> None:
        disk = FakeDisk()
        disk.plant(ENTRY.digest.hex(), DATA)
        peer = self.swarm.add_peer(disk=disk)
        self.origin.silent = True
        viewing = peer.play(SEGMENT)
        self.swarm.advance(0.1)
        segments = peer.store.segments
        assert segments is not None
        examined = segments.examine(ENTRY.digest, ENTRY.block_size_bytes)
        self.assertTrue(peer.store.verified(examined))
        peer.engine.found(ENTRY)
        self.swarm.advance(0.1)
        self.assert_played(viewing)
        self.assertEqual(peer.engine.incoming, {})

    def test_a_leader_whose_fetch_hangs_takes_the_rest_from_who_has_it(self) -> None:
        other = self.swarm.add_peer()
        self.swarm.connect_all()
        self.origin.hangs_at = 50_000
        viewings = [peer.play(SEGMENT, deadline_s=4.0) for peer in (self.peer, other)]
        self.swarm.advance(0.3)
        self.origin.hangs_at = None
        took_s = self.swarm.until(lambda: all(viewing.whole for viewing in viewings))
        self.assertLess(took_s, 3.7)

    def test_all_that_came_from_a_neighbour_is_counted_for_it(self) -> None:
        other = self.swarm.add_peer()
        self.swarm.connect_all()
        other.play(SEGMENT)
        self.swarm.advance(1.0)
        self.peer.play(SEGMENT)
        self.swarm.advance(1.0)
        neighbour = self.peer.node.state.neighbours[other.peer_id]
        self.assertEqual(neighbour.received_bytes, len(DATA))

    def test_a_neighbour_that_keeps_the_hashes_back_costs_no_second_copy(self) -> None:
        silent, honest = Liar(self.peer), Liar(self.peer, b"honest")
        silent.holds()
        honest.holds()
        viewing = self.peer.play(SEGMENT, deadline_s=10.0)
        for _ in range(200):
            self.swarm.advance(0.02)
            honest.answer()
        self.assert_played(viewing)
        self.assertEqual(self.origin.sent_bytes(SEGMENT), 0)
