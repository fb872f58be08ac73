"""What benchmarks/switches.py puts into caches, and what it makes of viewers' reports."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.trails import GAP_SEGMENTS, STRETCH_SEGMENTS, Viewing, files_of, left_behind, table
from dashp2p.testing import MemoryFilm

FILM = MemoryFilm.make(segments=40, segment_bytes=2000, rungs=3, audio=True)
RUNGS = ("0", "1", "2")
SOUND = "3"


def report(**changes: Any) -> dict[str, Any]:
    """A viewer's, of a minute and a half."""
    told = {
        "id": "viewer",
        "state": "ended",
        "error": None,
        "startup_ms": 500.0,
        "stalls": 1,
        "stalled_ms": 1500.0,
        "mean_bitrate_bps": 2_500_000,
        "switches": 3,
        "position_s": 90.0,
        "segments": [
            {"path": "chunk_0_1.m4s", "track": "video"},
            {"path": "chunk_1_2.m4s", "track": "video"},
            {"path": "chunk_3_1.m4s", "track": "audio"},
        ],
    }
    return told | changes


class TrailTests(SynchronousTestCase):
    def trail(self, seed: int = 1) -> dict[int, str]:
        """By number, the rung of the picture that was left there."""
        return {
            entry.number: entry.representation_id
            for entry in left_behind(FILM.index, seed)
            if entry.number is not None
            and entry.representation_id is not None
            and entry.representation_id in RUNGS
        }

    def test_a_seed_gives_one_trail_and_another_seed_another(self) -> None:
        self.assertEqual(self.trail(), self.trail())
        self.assertNotEqual(self.trail(1), self.trail(2))

    def test_it_begins_on_the_lowest_rung_and_goes_on_above_it_on_several(self) -> None:
        for seed in range(5):
            trail = self.trail(seed)
            self.assertEqual(trail.pop(0), "0")
            self.assertEqual(set(trail.values()), {"1", "2"})

    def test_there_are_stretches_and_gaps(self) -> None:
        trail = self.trail()
        missing = set(range(40)) - set(trail)
        self.assertTrue(40 * 0.15 < len(missing) < 40 * 0.6, missing)
        lengths = [
            length
            for first in missing
            if first + 1 in trail
            for length in [next(n for n in range(1, 42) if first + n + 1 not in trail)]
            if first + 1 + length < 40
        ]
        self.assertTrue(lengths)
        self.assertTrue(
            all(STRETCH_SEGMENTS[0] <= length <= STRETCH_SEGMENTS[1] for length in lengths)
        )
        self.assertGreaterEqual(len(missing), len(lengths) * GAP_SEGMENTS[0])

    def test_sound_was_heard_with_every_picture(self) -> None:
        entries = left_behind(FILM.index, 1)
        heard = {entry.number for entry in entries if entry.representation_id == SOUND}
        self.assertEqual(heard, set(self.trail()))

    def test_a_cache_holds_what_it_takes_to_play_it(self) -> None:
        files = files_of(FILM.index, left_behind(FILM.index, 1))
        self.assertEqual(len(files), len(set(files)))
        self.assertEqual(files[0], "dash.mpd")
        for path in ("init_0.m4s", f"init_{SOUND}.m4s", "chunk_0_1.m4s"):
            self.assertIn(path, files)


class ViewingTests(SynchronousTestCase):
    def test_the_figures_of_a_report(self) -> None:
        viewing = Viewing.of(report(), ["chunk_1_2.m4s", "chunk_3_1.m4s"])
        self.assertEqual(viewing, Viewing(2.0, 2.5, 1, 1.5, 0.5, 0.5))

    def test_who_did_not_play_to_the_end_is_no_figure(self) -> None:
        for changes in ({"state": "failed", "error": "no answer"}, {"startup_ms": None}):
            self.assertRaises(ValueError, Viewing.of, report(**changes), [])

    def test_a_line_has_the_median_and_the_spread(self) -> None:
        viewings = [Viewing(rate, 2.5, 0, 0.0, 0.5, 0.5) for rate in (1.0, 4.0, 2.0)]
        self.assertIn("2.00 (1.00-4.00)", table({"direct": viewings})[1])
