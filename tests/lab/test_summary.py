"""The summary that the demo prints."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

from rich.console import Console
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.lab.summary import fetch, save, summarise, table


def stats(origin: int, peers: int, *segments: tuple[str, int], **qoe: Any) -> dict[str, Any]:
    return {
        "v": 1,
        "bytes": {
            "origin": origin,
            "peers": peers,
            "cache": 10,
            "delivered": origin + peers + 10,
            "uploaded": 50,
            "duplicate": 1,
            "control": 2,
            "wasted": 0,
        },
        "segments": [{"path": path, "size_bytes": size, "hedges": 1} for path, size in segments],
        "sessions": [{"sid": "s", "qoe": qoe or None}],
    }


class SummaryTests(SynchronousTestCase):
    def test_one_copy_for_two_is_told_as_such(self) -> None:
        found = summarise([stats(100, 0, ("a", 100)), stats(0, 100, ("a", 100))])
        self.assertEqual(found.copies_per_segment, 1.0)
        self.assertEqual(found.offload_limit, 0.5)
        self.assertAlmostEqual(found.offload or 0, 1 - 100 / 220)

    def test_the_origins_own_count_goes_before_the_peers(self) -> None:
        found = summarise([stats(100, 0, ("a", 100))], origin_sent_bytes=150)
        self.assertEqual(found.copies_per_segment, 1.5)

    def test_viewers_figures_come_from_those_that_told(self) -> None:
        quick = stats(1, 0, startup_ms=200, stalls=0, stalled_ms=0, mean_bitrate_bps=4e6)
        slow = stats(1, 0, startup_ms=900, stalls=2, stalled_ms=1500, mean_bitrate_bps=2e6)
        found = summarise([quick, slow, stats(1, 0)])
        self.assertEqual((found.peers, found.viewers), (3, 2))
        self.assertEqual((found.startup_ms_median, found.startup_ms_worst), (550, 900))
        self.assertEqual((found.stalls, found.stalled_ms), (2, 1500))
        self.assertEqual(found.mean_bitrate_bps, 3e6)

    def test_nothing_at_all_is_no_error(self) -> None:
        found = summarise([])
        self.assertIsNone(found.copies_per_segment)
        self.assertIsNone(found.offload)
        self._printed(found)
        self._printed(summarise([{}]))

    def test_it_prints_copies_and_the_limit(self) -> None:
        printed = self._printed(summarise([stats(100, 0, ("a", 100)), stats(0, 100, ("a", 100))]))
        self.assertIn("1.00", printed)
        self.assertIn("50.0%", printed)

    def test_it_saves_every_figure(self) -> None:
        path = Path(self.mktemp())
        save(summarise([stats(100, 0, ("a", 100))]), path)
        saved = json.loads(path.read_text())
        self.assertEqual(saved["copies_per_segment"], 1.0)
        self.assertIn("control_share", saved)

    def test_a_peer_that_does_not_answer_is_none(self) -> None:
        self.assertIsNone(fetch("http://127.0.0.1:1"))

    def _printed(self, found: Any) -> str:
        text = StringIO()
        Console(file=text, width=120).print(table(found))
        return text.getvalue()
