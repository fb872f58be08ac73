"""How often someone may call."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dashp2p.tracker import limits
from dashp2p.web.rates import Rates


class RateTests(SynchronousTestCase):
    def test_a_burst_passes_and_then_one_at_a_time(self) -> None:
        rates: Rates[str] = Rates(every_s=5.0, burst=3, most=10)
        self.assertEqual([rates.take("a", 0.0) for _ in range(3)], [0.0] * 3)
        self.assertAlmostEqual(rates.take("a", 0.0), 5.0)
        self.assertAlmostEqual(rates.take("a", 3.0), 2.0)
        self.assertEqual(rates.take("a", 5.0), 0.0)
        self.assertGreater(rates.take("a", 5.0), 0.0)

    def test_a_refused_call_costs_nothing(self) -> None:
        rates: Rates[str] = Rates(every_s=5.0, burst=1, most=10)
        rates.take("a", 0.0)
        for _ in range(100):
            rates.take("a", 1.0)
        self.assertEqual(rates.take("a", 5.0), 0.0)

    def test_one_does_not_pay_for_another(self) -> None:
        rates: Rates[str] = Rates(every_s=5.0, burst=1, most=10)
        self.assertEqual((rates.take("a", 0.0), rates.take("b", 0.0)), (0.0, 0.0))

    def test_so_many_are_remembered(self) -> None:
        rates: Rates[int] = Rates(every_s=5.0, burst=1, most=10)
        for n in range(100):
            rates.take(n, 0.0)
        self.assertEqual(len(rates), 10)

    def test_a_joining_peer_may_announce_as_the_design_says_and_again_after_a_restart(self) -> None:
        rates: Rates[str] = Rates(limits.ANNOUNCE_EVERY_S, limits.ANNOUNCES_BURST, 10)
        times = [0.0, 1.0, 2.0, 4.0, 5.0, 6.0, 7.0, 9.0, 39.0, 69.0]
        self.assertEqual([rates.take("a", at) for at in times], [0.0] * len(times))
