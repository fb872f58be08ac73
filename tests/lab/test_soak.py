"""What the soak calls growth, and what it looks at."""

from __future__ import annotations

import gc
import mmap
import os
import threading
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from dashp2p.lab.soak.command import in_words
from dashp2p.lab.soak.samples import GROWTH_MAX, SAMPLES_MIN, Life, Sample, growth, look, slope


def life(rss_mb: list[float], descriptors: int = 10, more: float = 0.0) -> Life:
    made = Life("peer-0", 1, more_descriptors=more)
    made.samples = [Sample(2.0 * n, mb, descriptors, 3) for n, mb in enumerate(rss_mb)]
    return made


class VerdictTests(SynchronousTestCase):
    def verdict(self, made: Life, warm_up_s: float = 0.0) -> dict[str, Any]:
        verdict = made.verdict(warm_up_s)
        assert verdict is not None
        return verdict

    def test_what_stays_is_flat(self) -> None:
        verdict = self.verdict(life([60.0, 61.0] * 30))
        self.assertTrue(verdict["flat"])
        self.assertLess(abs(verdict["rss_mb"]["slope_per_hour"]), 10.0)

    def test_what_grows_to_the_end_is_not(self) -> None:
        verdict = self.verdict(life([60.0 + n / 2 for n in range(60)]))
        self.assertFalse(verdict["flat"])
        self.assertAlmostEqual(verdict["rss_mb"]["slope_per_hour"], 900.0)

    def test_what_grew_while_it_warmed_up_only_is(self) -> None:
        grew = [60.0 + min(n, 20) for n in range(60)]
        self.assertTrue(self.verdict(life(grew))["flat"])

    def test_a_longer_warm_up_counts(self) -> None:
        grew = [60.0 + min(n, 40) for n in range(80)]
        self.assertFalse(self.verdict(life(grew))["flat"])
        self.assertTrue(self.verdict(life(grew), warm_up_s=80.0)["flat"])

    def test_descriptors_and_threads_count_too(self) -> None:
        made = life([60.0] * 60)
        made.samples = [
            Sample(sample.at_s, 60.0, 10 + number, 3) for number, sample in enumerate(made.samples)
        ]
        self.assertFalse(self.verdict(made)["flat"])
        made.more_descriptors = 100.0
        self.assertTrue(self.verdict(made)["flat"])

    def test_a_short_life_is_not_judged(self) -> None:
        self.assertIsNone(life([60.0] * SAMPLES_MIN).verdict(0.0))
        self.assertIsNone(life([60.0] * 60).verdict(118.0))

    def test_slope_and_growth(self) -> None:
        self.assertEqual(slope([0, 1, 2], [5, 7, 9]), 2.0)
        self.assertEqual(slope([1, 1], [5, 7]), 0.0)
        self.assertEqual(growth([1, 1, 5, 5, 5, 5, 9, 9]), 8.0)
        self.assertEqual(growth([3]), 0.0)


def fresh_memory(size_bytes: int) -> mmap.mmap:
    """Resident memory of its own: the heap may hold so much free from earlier tests already."""
    held = mmap.mmap(-1, size_bytes)
    for page in range(0, size_bytes, mmap.PAGESIZE):
        held[page] = 1
    return held


class LookTests(SynchronousTestCase):
    def test_it_sees_memory_descriptors_and_threads(self) -> None:
        if not Path("/proc/self/statm").exists():
            raise SkipTest("this system has no /proc")
        gc.collect()  # so that nobody else's rubbish goes in between
        before = look(os.getpid(), 1.0)
        held = fresh_memory(40 << 20)
        ends = os.pipe()
        go = threading.Event()
        thread = threading.Thread(target=go.wait)
        thread.start()
        after = look(os.getpid(), 2.0)
        go.set()
        thread.join()
        grown_mb = len(held) / 2**20
        held.close()
        for end in ends:
            os.close(end)
        assert before is not None and after is not None
        self.assertGreater(after.rss_mb - before.rss_mb, grown_mb / 2)
        self.assertEqual(after.descriptors - before.descriptors, 2)
        self.assertEqual(after.threads - before.threads, 1)

    def test_who_is_gone_is_not_seen(self) -> None:
        self.assertIsNone(look(2**22 + 1, 1.0))


class WordsTests(SynchronousTestCase):
    def report(self, **changes: object) -> dict[str, Any]:
        flat: dict[str, Any] = {"flat": True, "growing": [], "judged": 9, "kills": 4, "freezes": 2}
        return {**flat, "viewers": {"films": 3}, "unexpected_ends": [], **changes}

    def test_it_says_what_came_of_it(self) -> None:
        self.assertTrue(in_words(self.report(), Path("x")).startswith("flat: 9 processes"))
        grown = in_words(self.report(flat=False, growing=["peer-3"]), Path("x"))
        self.assertTrue(grown.startswith("NOT flat: peer-3"))
        ended = in_words(self.report(flat=False, unexpected_ends=["peer-1 ended"]), Path("x"))
        self.assertIn("peer-1 ended", ended)
        short = in_words(self.report(flat=False, judged=0), Path("x"))
        self.assertTrue(short.startswith("nothing lived long enough"))

    def test_each_measure_has_its_bound(self) -> None:
        self.assertEqual(set(GROWTH_MAX), {"rss_mb", "descriptors", "threads"})
