"""How fast a segment came."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dashp2p.swarm.delivery import Delivery
from tests.swarm.support import entry

BLOCK_BITS = 16 * 1024 * 8


class RateTests(SynchronousTestCase):
    def test_the_wait_for_the_first_block_does_not_count(self) -> None:
        delivery = Delivery(entry(1, blocks=5, short_by=0), 100.0, 110.0)
        delivery.first_at = 103.0
        self.assertEqual(delivery.rate_bps(105.0), 4 * BLOCK_BITS / 2.0)

    def test_of_a_single_block_nothing_is_known(self) -> None:
        delivery = Delivery(entry(1, blocks=1), 100.0, 110.0)
        delivery.first_at = 103.0
        self.assertIsNone(delivery.rate_bps(103.0))

    def test_what_came_all_at_once_is_fast_but_not_infinite(self) -> None:
        delivery = Delivery(entry(1, blocks=5, short_by=0), 100.0, 110.0)
        delivery.first_at = 103.0
        self.assertEqual(delivery.rate_bps(103.0), 4 * BLOCK_BITS / 0.001)

    def test_nothing_that_came_has_no_rate(self) -> None:
        self.assertIsNone(Delivery(entry(1, blocks=5, short_by=0), 100.0, 110.0).rate_bps(103.0))
