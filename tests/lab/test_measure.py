"""The figures: copies, offload, fairness, windows."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.lab.measure import (
    Sample,
    Spread,
    copies_per_segment,
    distinct_bytes,
    jain,
    offload,
    offload_limit,
    spread,
    windows,
)


class CopiesTests(SynchronousTestCase):
    def test_a_file_that_several_got_counts_once(self) -> None:
        self.assertEqual(distinct_bytes([{"a": 10, "b": 5}, {"a": 10}, {"c": 1}]), 16)

    def test_one_copy_is_one(self) -> None:
        self.assertEqual(copies_per_segment(16, 16), 1.0)

    def test_nothing_played_has_no_figure(self) -> None:
        self.assertIsNone(copies_per_segment(16, 0))
        self.assertIsNone(offload(1, 0))

    def test_offload_of_one_copy_for_ten_is_its_limit(self) -> None:
        self.assertAlmostEqual(offload(100, 1000) or 0, offload_limit(10))


class JainTests(SynchronousTestCase):
    def test_equal_shares_are_wholly_fair(self) -> None:
        self.assertEqual(jain([3, 3, 3]), 1.0)

    def test_all_from_one_is_one_nth(self) -> None:
        self.assertEqual(jain([5, 0, 0, 0]), 0.25)

    def test_nothing_uploaded_has_no_figure(self) -> None:
        self.assertIsNone(jain([0, 0]))
        self.assertIsNone(jain([]))

    @given(st.lists(st.floats(0, 1e9), min_size=1), st.floats(0.1, 10))
    def test_it_lies_between_one_nth_and_one(self, values: list[float], factor: float) -> None:
        found = jain(values)
        if found is not None:
            self.assertGreaterEqual(found, 1 / len(values) - 1e-9)
            self.assertLessEqual(found, 1 + 1e-9)


class WindowTests(SynchronousTestCase):
    def test_bytes_are_shared_out_by_time_between_two_readings(self) -> None:
        samples = [Sample(0, 0), Sample(3, 300), Sample(6, 600)]
        self.assertEqual(windows(samples, 4), [400, 200])

    def test_a_run_that_ends_with_a_window_has_no_empty_one(self) -> None:
        self.assertEqual(windows([Sample(0, 0), Sample(8, 80)], 4), [40, 40])

    def test_one_reading_is_no_window(self) -> None:
        self.assertEqual(windows([Sample(0, 5)], 4), [])

    @given(st.lists(st.tuples(st.floats(0.01, 5), st.integers(0, 10**6)), min_size=1, max_size=30))
    def test_all_windows_together_are_all_bytes(self, steps: list[tuple[float, int]]) -> None:
        at_s, level, samples = 0.0, 0, [Sample(0.0, 0)]
        for passed_s, grown in steps:
            at_s += passed_s
            level += grown
            samples.append(Sample(at_s, level))
        self.assertApproximates(sum(windows(samples, 4.0)), level, len(steps) + at_s)


class SpreadTests(SynchronousTestCase):
    def test_runs_without_the_figure_do_not_count(self) -> None:
        self.assertEqual(spread([3.0, None, 1.0, 2.0]), Spread(2.0, 1.0, 3.0, 3))

    def test_none_at_all_is_none(self) -> None:
        self.assertIsNone(spread([None]))
