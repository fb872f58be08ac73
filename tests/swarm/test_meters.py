"""Rates measured and kept."""

from twisted.trial.unittest import SynchronousTestCase

from dashp2p.swarm.meters import RateMeter, TokenBucket


class Busy(SynchronousTestCase):
    def test_idle_time_does_not_count(self) -> None:
        meter = RateMeter()
        now = 0.0
        for _ in range(20):
            meter.start(now)
            now += 0.1
            meter.add(100_000, now)
            meter.stop(now)
            now += 5.0
        self.assertLess(abs(meter.rate_bps - 8e6), 1e5)


class Bucket(SynchronousTestCase):
    def test_the_burst_comes_first_and_then_the_rate(self) -> None:
        bucket = TokenBucket(1.0, 2.0)
        self.assertTrue(bucket.take(2.0, 0.0))
        self.assertFalse(bucket.take(1.0, 0.5))
        self.assertTrue(bucket.take(1.0, 1.0))

    def test_it_says_how_long_to_wait(self) -> None:
        bucket = TokenBucket(2.0, 2.0)
        bucket.spend(2.0, 0.0)
        self.assertEqual(bucket.wait_s(1.0, 0.0), 0.5)

    def test_a_debt_is_paid_first(self) -> None:
        bucket = TokenBucket(1.0, 1.0)
        bucket.spend(3.0, 0.0)
        self.assertEqual(bucket.wait_s(1.0, 0.0), 3.0)
