"""What is fetched before any player has come."""

from __future__ import annotations

from typing import Any

from dashp2p.content.entry import Entry
from dashp2p.peer.incoming import Incoming
from dashp2p.peer.limits import BEGINNING_AFTER_S
from dashp2p.peer.service import DOWNLOAD_ONLY, PeerService
from dashp2p.store.errors import StoreError
from dashp2p.testing import MemoryFilm
from tests.peer.test_service import ServiceTestCase

FILM = MemoryFilm.make(segments=2, rungs=3, audio=True)
BEGINNING = {"chunk_0_1.m4s", "chunk_3_1.m4s"}
RATE_BPS = 1.2e6


class WarmingTests(ServiceTestCase):
    def setUp(self) -> None:
        ServiceTestCase.setUp(self)
        self.origin.files = dict(FILM.files)

    def media_here(self, service: PeerService) -> set[str]:
        index = service.presentation.index
        assert index is not None
        media = [entry for entry in index.entries if entry.path.startswith("chunk")]
        return {entry.path for entry in media if service.engine.is_here(entry)}

    def test_the_beginning_of_the_lowest_rung_is_here_before_a_player_comes(self) -> None:
        self.assertEqual(self.media_here(self.start()), BEGINNING)

    def test_it_is_left_until_there_can_be_links(self) -> None:
        service = self.start(BEGINNING_AFTER_S - 0.1)
        self.assertEqual(self.media_here(service), set())
        self.advance(0.5)
        self.assertEqual(self.media_here(service), BEGINNING)

    def test_without_a_tracker_there_is_no_crowd_to_save_it_for(self) -> None:
        self.assertEqual(self.media_here(self.start(tracker_url=None)), set())

    def test_who_gives_nothing_takes_nothing_ahead_of_its_player(self) -> None:
        self.assertEqual(self.media_here(self.start(mode=DOWNLOAD_ONLY)), set())

    def test_where_there_is_no_memory_for_it_the_peer_is_ready_all_the_same(self) -> None:
        service = self.start(0.0)
        want = service.engine.want

        def only_the_index(entry: Entry, *rest: Any) -> Incoming | None:
            if entry.position:
                raise StoreError("no room")
            return want(entry, *rest)

        self.patch(service.engine, "want", only_the_index)
        self.advance(2.0)
        self.assertEqual(service.presentation.mode, "sharing")
        self.assertEqual(self.media_here(service), set())

    def test_without_prefetch_there_is_none_of_it(self) -> None:
        service = self.start(ablations=frozenset({"no-prefetch"}))
        self.assertEqual(self.media_here(service), set())

    def test_while_somebody_plays_it_is_left(self) -> None:
        service = self.start(0.1)
        self.ask(service, "/dash/chunk_1_2.m4s")
        self.assertEqual(self.media_here(service), {"chunk_1_2.m4s"})

    def test_a_peer_that_stops_begins_nothing(self) -> None:
        service = self.start(0.1)
        self.stop(service)
        self.assertEqual(self.origin.asked_for("chunk_0_1.m4s"), [])

    def test_a_player_that_takes_it_is_not_counted_as_served_from_the_cache(self) -> None:
        service = self.start()
        self.assertLess(BEGINNING, set(service.engine.records.unplayed))
        for path in BEGINNING:
            self.assertEqual(self.ask(service, f"/dash/{path}", 2.0).body, FILM.files[path])
            self.assertNotIn(path, service.engine.records.unplayed)
        self.assertEqual(service.engine.records.cache_bytes, 0)


class GuessTests(ServiceTestCase):
    """What came before a player did shows how fast the network is."""

    film = MemoryFilm.make(segments=2, segment_bytes=400_000)

    def setUp(self) -> None:
        ServiceTestCase.setUp(self)
        self.origin.files = dict(self.film.files)
        self.origin.chunk_s = 16384 * 8 / RATE_BPS

    def test_it_counts_until_something_is_measured(self) -> None:
        service = self.start(5.0)
        guess_bps = service.advice.sustained_bps
        assert guess_bps is not None
        self.assertLess(abs(guess_bps / RATE_BPS - 1.0), 0.1)
        self.assertIsNone(service.advice.measured_bps)

    def test_a_player_gets_the_beginning_no_faster(self) -> None:
        service = self.start(5.0)
        answer = self.ask(service, "/dash/chunk_0_1.m4s", 0.3)
        self.assertLess(len(answer.body), 300_000)
        self.assertGreater(len(answer.body), 50_000)

    def test_what_a_player_waited_for_is_measured_and_not_guessed_from(self) -> None:
        small = MemoryFilm.make(segments=2, segment_bytes=40_000)
        self.origin.files = dict(small.files)
        service = self.start(0.1)
        self.assertEqual(self.ask(service, "/dash/chunk_0_2.m4s").code, 200)
        self.assertIsNone(service.advice.sustained_bps)

    def test_what_an_earlier_run_measured_is_known_better(self) -> None:
        first = self.start(0.1)
        self.ask(first, "/dash/chunk_0_2.m4s", 3.0)
        measured_bps = first.advice.measured_bps
        assert measured_bps is not None
        self.stop(first)
        self.origin.chunk_s /= 10
        self.assertEqual(self.start(5.0).advice.sustained_bps, round(measured_bps))


class ReplacedTests(ServiceTestCase):
    def test_another_film_in_its_place_begins_as_well(self) -> None:
        service = self.start(0.1)
        again = MemoryFilm.make(segments=3, issued_s=1_700_000_060.0)
        self.origin.files = dict(again.files)
        self.advance(90.0)
        self.assertTrue(service.engine.is_here(again.entry("chunk_0_1.m4s")))


class ThinUplinkTests(ServiceTestCase):
    def test_all_of_a_thin_uplink_is_left_to_those_who_wait(self) -> None:
        self.origin.files = dict(FILM.files)
        thin = self.start(upload_bps=2_000_000)
        self.assertFalse(thin.engine.is_here(FILM.entry("chunk_0_1.m4s")))
        self.assertTrue(thin.engine.is_here(FILM.entry("init_0.m4s")))
