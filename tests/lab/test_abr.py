"""Tests of the headless viewer's choice of rung."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.lab.abr import SAFETY, ThroughputAbr

LADDER = [3_000_000, 500_000, 5_000_000, 1_000_000]


class ThroughputAbrTests(SynchronousTestCase):
    """Four rungs."""

    def setUp(self) -> None:
        self.abr = ThroughputAbr(LADDER)

    def measured(self, *rates_bps: float) -> None:
        for rate_bps in rates_bps:
            self.abr.measured(int(rate_bps / 8), 1.0)

    def test_it_starts_at_the_lowest_rung(self) -> None:
        self.assertIsNone(self.abr.estimate_bps)
        self.assertEqual(self.abr.choose(), 500_000)

    def test_it_takes_the_highest_rung_below_the_safe_share(self) -> None:
        for rate_bps, rung_bps in (
            (6_300_000, 5_000_000),
            (6_200_000, 3_000_000),
            (1_249_000, 500_000),
            (1_251_000, 1_000_000),
            (1_000, 500_000),
        ):
            self.abr = ThroughputAbr(LADDER)
            self.measured(rate_bps)
            self.assertEqual(self.abr.choose(), rung_bps)

    def test_the_estimate_is_the_harmonic_mean_of_the_last_three(self) -> None:
        self.measured(1e9, 2e6, 4e6, 4e6)
        self.assertAlmostEqual(self.abr.estimate_bps or 0, 3e6)

    def test_an_instant_answer_claims_no_infinite_rate(self) -> None:
        self.abr.measured(1000, 0.0)
        self.assertEqual(self.abr.estimate_bps, 8e6)

    def test_what_the_server_tells_replaces_the_measurement(self) -> None:
        self.abr.measured(10**9, 0.001, 2e6)
        self.assertEqual(self.abr.choose(), 1_000_000)

    def test_whoever_watches_may_want_less(self) -> None:
        self.measured(100e6)
        self.abr.most_bps = 3e6
        self.assertEqual(self.abr.choose(), 3_000_000)
        self.abr.cap_bps = 1e6
        self.assertEqual(self.abr.choose(), 1_000_000)

    def test_some_rungs_may_be_left_out(self) -> None:
        self.measured(100e6)
        self.assertEqual(self.abr.choose([500_000, 3_000_000]), 3_000_000)
        self.assertEqual(self.abr.choose([5_000_000]), 5_000_000)

    def test_the_servers_cap_holds_until_changed(self) -> None:
        self.measured(1e9)
        self.abr.cap_bps = 3_100_000
        self.assertEqual(self.abr.choose(), 3_000_000)
        self.abr.cap_bps = 100
        self.assertEqual(self.abr.choose(), 500_000)
        self.abr.cap_bps = None
        self.assertEqual(self.abr.choose(), 5_000_000)

    @given(st.lists(st.tuples(st.integers(1, 10**8), st.floats(0, 100)), min_size=1))
    def test_a_rung_above_the_lowest_is_always_affordable(
        self, samples: list[tuple[int, float]]
    ) -> None:
        abr = ThroughputAbr(LADDER)
        for size_bytes, took_s in samples:
            abr.measured(size_bytes, took_s)
        self.assertIn(abr.choose(), LADDER)
        if abr.choose() > min(LADDER):
            self.assertLessEqual(abr.choose(), SAFETY * (abr.estimate_bps or 0))
