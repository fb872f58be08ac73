"""An origin that went away is asked now and then whether it is back."""

from __future__ import annotations

from dashp2p.content.index import SIGNATURE_NAME
from dashp2p.peer.fakeweb import Answer, Asked, MemoryResponse
from dashp2p.peer.limits import ORIGIN_WATCH_MAX_S
from dashp2p.testing import ORIGIN
from dashp2p.wire.frames import Fetching, Getting, Gone, SegmentBlocks
from tests.peer.swarms import ENTRY, SEGMENT, WHOLE, Liar, SwarmTestCase


class OriginWatchTests(SwarmTestCase):
    def setUp(self) -> None:
        SwarmTestCase.setUp(self)
        [self.peer] = self.peers(1)
        self.times: list[float] = []
        self.code: int | None = None
        """The status of every answer; None: as the origin likes."""
        self.peer.web.sites[ORIGIN] = self.answer

    def answer(self, asked: Asked) -> Answer:
        if asked.path == f"/dash/{SIGNATURE_NAME}":
            self.times.append(self.peer.now)
        if self.code is not None:
            return MemoryResponse(self.swarm.clock, self.code, b"")
        return self.origin(asked)

    def lose_the_origin(self, path: str = SEGMENT) -> None:
        viewing = self.peer.play(path)
        self.swarm.until(lambda: not self.peer.engine.origin_reachable)
        viewing.leave()
        self.times.clear()

    def knows_it_away(self) -> bool:
        return self.peer.node.state.origin_away_since is not None

    def test_it_is_known_to_be_back_without_anybody_having_asked_for_a_segment(self) -> None:
        self.origin.away = True
        self.lose_the_origin()
        self.assertTrue(self.knows_it_away())
        self.swarm.advance(20.0)
        self.assertTrue(self.knows_it_away())
        self.origin.away = False
        self.swarm.advance(ORIGIN_WATCH_MAX_S * 1.25)
        self.assertFalse(self.knows_it_away())
        self.assertTrue(self.peer.engine.origin_reachable)

    def test_a_hiccup_is_soon_over(self) -> None:
        self.origin.away = True
        self.lose_the_origin()
        self.origin.away = False
        self.swarm.advance(0.8)
        self.assertFalse(self.knows_it_away())

    def test_it_is_asked_ever_more_rarely(self) -> None:
        self.origin.away = True
        self.lose_the_origin()
        self.swarm.advance(200.0)
        gaps = [after - before for before, after in zip(self.times, self.times[1:], strict=False)]
        self.assertLess(gaps[0], 2.0)
        self.assertGreater(min(gaps[-3:]), ORIGIN_WATCH_MAX_S * 0.7)
        self.assertLess(max(gaps), ORIGIN_WATCH_MAX_S * 1.3)

    def test_it_is_asked_no_more_once_it_is_back(self) -> None:
        self.origin.away = True
        self.lose_the_origin()
        self.origin.away = False
        self.swarm.advance(60.0)
        self.assertEqual(len(self.times), 1)

    def test_a_gateway_that_answers_for_an_origin_that_is_away_is_not_the_origin(self) -> None:
        self.code = 503
        self.lose_the_origin()
        self.assertTrue(self.knows_it_away())
        self.swarm.advance(20.0)
        self.assertTrue(self.knows_it_away())
        self.code = None
        self.swarm.advance(ORIGIN_WATCH_MAX_S * 1.25)
        self.assertFalse(self.knows_it_away())

    def test_an_origin_without_a_signature_any_more_is_there(self) -> None:
        self.origin.away = True
        self.lose_the_origin()
        self.origin.away = False
        self.code = 404
        self.swarm.advance(2.0)
        self.assertFalse(self.knows_it_away())

    def test_it_goes_on_after_the_next_loss(self) -> None:
        for path in ("chunk_0_1.m4s", "chunk_0_2.m4s"):
            self.origin.away = True
            self.lose_the_origin(path)
            self.origin.away = False
            self.swarm.advance(0.8)
            self.assertFalse(self.knows_it_away())

    def test_a_hiccup_after_a_long_outage_is_soon_over_too(self) -> None:
        self.origin.away = True
        self.lose_the_origin()
        self.swarm.advance(100.0)
        self.origin.away = False
        self.swarm.advance(ORIGIN_WATCH_MAX_S * 1.25)
        self.origin.away = True
        self.lose_the_origin("chunk_0_2.m4s")
        self.origin.away = False
        self.swarm.advance(0.8)
        self.assertFalse(self.knows_it_away())

    def test_an_origin_that_breaks_off_is_looked_for_and_not_taken_for_away(self) -> None:
        self.origin.cut_at = 100_000
        self.peer.play(SEGMENT)
        self.swarm.advance(0.01)
        self.origin.cut_at = None
        self.assertFalse(self.knows_it_away())
        self.swarm.advance(0.2)
        self.assertEqual(len(self.times), 1)
        self.assertFalse(self.knows_it_away())

    def test_one_that_breaks_off_because_it_ends_is_soon_known_to_be_away(self) -> None:
        self.origin.cut_at = 100_000
        self.peer.play(SEGMENT)
        self.swarm.advance(0.01)
        self.origin.away = True
        self.swarm.advance(0.2)
        self.assertTrue(self.knows_it_away())

    def give_up_beside_it(self, number: int = 0) -> None:
        """Let a neighbour fetch what a player here waits for, and give it up."""
        neighbour = Liar(self.peer, b"%d" % number)
        viewing = self.peer.play(SEGMENT, deadline_s=60.0)
        position = ENTRY.position
        neighbour.send(Getting((Fetching(position, 1, 0, WHOLE),)))
        neighbour.wait(0.01)
        neighbour.send(Gone((SegmentBlocks(position, WHOLE),)))
        neighbour.wait(0.3)
        viewing.leave()

    def test_who_waits_for_a_neighbour_that_gave_up_looks_for_itself(self) -> None:
        self.swarm.tracker.silent = True
        self.origin.away = True
        self.give_up_beside_it()
        self.assertEqual(len(self.times), 1)
        self.assertTrue(self.knows_it_away())

    def test_a_neighbours_word_alone_is_not_believed(self) -> None:
        self.swarm.tracker.silent = True
        self.give_up_beside_it()
        self.assertEqual(len(self.times), 1)
        self.assertFalse(self.knows_it_away())

    def test_neighbours_that_give_up_again_and_again_make_it_look_but_now_and_then(self) -> None:
        self.swarm.tracker.silent = True
        for number in range(10):
            self.give_up_beside_it(number)
        self.assertEqual(len(self.times), 1)

    def test_a_look_that_is_under_way_ends_with_the_peer(self) -> None:
        self.origin.away = True
        self.lose_the_origin()
        self.origin.away, self.origin.silent = False, True
        self.swarm.advance(1.0)
        self.assertEqual(len(self.times), 1)
        # tearDown sees to it that no timer outlives the peer.
