"""What players are told of the swarm."""

from twisted.trial.unittest import SynchronousTestCase

from dashp2p.swarm.advice import Advice

LADDER = (500_000, 1_000_000, 3_000_000, 5_000_000)


def advised(rate_bps: float, times: int = 20) -> Advice:
    """Advice after so many deliveries at one rate."""
    advice = Advice(LADDER)
    for _ in range(times):
        advice.delivered(1_000_000, 8e6 / rate_bps)
    return advice


class Throughput(SynchronousTestCase):
    def test_nothing_is_claimed_before_anything_is_measured(self) -> None:
        self.assertIsNone(Advice(LADDER).etp_bps)
        self.assertIsNone(Advice(LADDER).max_bitrate_bps())

    def test_it_follows_what_the_network_gave(self) -> None:
        etp = advised(6e6).etp_bps
        assert etp is not None
        self.assertLess(abs(etp - 6e6), 1e5)

    def test_small_deliveries_do_not_count(self) -> None:
        advice = Advice(LADDER)
        advice.delivered(1000, 0.0001)
        self.assertIsNone(advice.etp_bps)


class Total(SynchronousTestCase):
    """What `mb` says. Players take the sound's rate off before they compare rungs with it."""

    def test_it_leaves_room_for_the_sound_of_the_rung(self) -> None:
        advice = advised(2e6)
        advice.learn_ladder(LADDER, (64_000, 128_000))
        total = advice.max_total_bps()
        assert total is not None
        self.assertEqual(max(rung for rung in LADDER if rung <= total - 128_000), 1_000_000)

    def test_without_sound_it_is_the_rung_and_without_measurement_nothing(self) -> None:
        self.assertEqual(advised(2e6).max_total_bps(), 1_000_000)
        self.assertIsNone(Advice(LADDER).max_total_bps())


class Rung(SynchronousTestCase):
    def test_the_rung_fits_the_rate(self) -> None:
        self.assertEqual(advised(20e6).max_bitrate_bps(), 5_000_000)
        self.assertEqual(advised(2e6).max_bitrate_bps(), 1_000_000)

    def test_there_is_always_a_rung(self) -> None:
        self.assertEqual(advised(1e5).max_bitrate_bps(), 500_000)

    def test_a_rung_is_kept_longer_than_it_is_offered(self) -> None:
        fresh = advised(6e6)
        self.assertEqual(fresh.max_bitrate_bps(), 3_000_000)
        kept = advised(20e6)
        self.assertEqual(kept.max_bitrate_bps(), 5_000_000)
        for _ in range(30):
            kept.delivered(1_000_000, 8e6 / 6e6)
        self.assertEqual(kept.max_bitrate_bps(), 5_000_000)

    def test_the_sound_comes_on_top_of_rungs_that_can_be_had_too(self) -> None:
        advice = advised(20e6)
        advice.learn_ladder(LADDER, (128_000,))
        self.assertEqual(advice.max_total_bps((500_000, 1_000_000)), 1_128_000)
        self.assertIsNone(advice.max_total_bps(()))

    def test_only_rungs_that_can_be_had(self) -> None:
        self.assertEqual(advised(20e6).max_bitrate_bps((500_000, 1_000_000)), 1_000_000)
