"""What is fetched before the player asks for it."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from dashp2p.peer.foresight import beginnings
from dashp2p.testing import MemoryFilm
from tests.peer.proxies import ProxyTestCase
from tests.peer.swarms import SEGMENT


class BeginningTests(SynchronousTestCase):
    def test_the_lowest_rung_of_each_track_begins_with_its_init_and_its_first_segment(self) -> None:
        film = MemoryFilm.make(rungs=3, audio=True)
        paths = [entry.path for entry in beginnings(film.index)]
        self.assertEqual(paths, ["init_0.m4s", "chunk_0_1.m4s", "init_3.m4s", "chunk_3_1.m4s"])

    def test_a_film_without_sound_has_only_pictures(self) -> None:
        film = MemoryFilm.make()
        self.assertEqual(len(beginnings(film.index)), 2)


class ForesightTests(ProxyTestCase):
    def test_who_asks_for_the_manifest_finds_the_beginning_here(self) -> None:
        self.proxy.answer("/dash/dash.mpd")
        self.assertTrue(self.peer.has("init_0.m4s"))
        self.assertTrue(self.peer.has("chunk_0_1.m4s"))
        self.assertFalse(self.peer.has("chunk_0_2.m4s"))

    def test_manifest_and_beginning_are_asked_of_the_tracker_in_one_call(self) -> None:
        self.swarm.tracker.calls.clear()
        self.proxy.ask("/dash/dash.mpd")
        self.swarm.advance(0.05)
        asked = [json.loads(call.body) for call in self.swarm.tracker.calls]
        paths = [[want["path"] for want in call["want"]] for call in asked if call.get("want")]
        self.assertEqual(paths, [["dash.mpd", "init_0.m4s", "chunk_0_1.m4s"]])

    def test_what_was_foreseen_and_played_is_no_waste(self) -> None:
        self.proxy.answer("/dash/dash.mpd")
        for path in ("init_0.m4s", "chunk_0_1.m4s"):
            self.assertIn(path, self.proxy.records.unplayed)
            self.proxy.answer(f"/dash/{path}")
        self.assertEqual(self.proxy.records.unplayed, {})
        self.assertEqual(self.proxy.records.cache_bytes, 0)

    def test_head_foresees_nothing(self) -> None:
        self.proxy.answer("/dash/dash.mpd", method="HEAD")
        self.assertEqual(self.origin.log, [])

    def test_a_manifest_that_is_not_changed_foresees_nothing(self) -> None:
        tag = self.swarm.film.entry("dash.mpd").digest.hex()[:32]
        self.proxy.answer("/dash/dash.mpd", f'If-None-Match: "{tag}"')
        self.assertFalse(self.peer.has("chunk_0_1.m4s"))

    def test_while_somebody_plays_nothing_is_foreseen(self) -> None:
        self.proxy.answer("/dash/chunk_0_3.m4s")
        self.proxy.answer("/dash/dash.mpd")
        self.assertFalse(self.peer.has("chunk_0_1.m4s"))

    def test_a_segment_asked_for_first_is_only_itself(self) -> None:
        self.proxy.answer(f"/dash/{SEGMENT}")
        self.assertFalse(self.peer.has("init_0.m4s"))
