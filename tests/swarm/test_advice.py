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


class Unhurried(SynchronousTestCase):
    """What came with nobody waiting for it."""

    def test_it_shows_that_the_network_is_better_but_not_that_it_is_worse(self) -> None:
        advice = advised(6e6)
        advice.delivered(1_000_000, 8e6 / 1e6, hurried=False)
        self.assertEqual(advice.etp_bps, advised(6e6).etp_bps)
        for _ in range(20):
            advice.delivered(1_000_000, 8e6 / 9e6, hurried=False)
        assert advice.etp_bps is not None
        self.assertLess(abs(advice.etp_bps - 9e6), 1e5)

    def test_it_is_no_first_measurement(self) -> None:
        advice = Advice(LADDER)
        advice.delivered(1_000_000, 8.0, hurried=False)
        self.assertIsNone(advice.etp_bps)


class Recalled(SynchronousTestCase):
    """What the network gave an earlier run."""

    def setUp(self) -> None:
        self.advice = Advice(LADDER)
        self.advice.recall(4e6)

    def test_it_counts_until_something_is_measured(self) -> None:
        self.assertEqual((self.advice.etp_bps, self.advice.measured_bps), (4e6, None))
        self.advice.delivered(1_000_000, 8e6 / 20e6)
        self.assertEqual((self.advice.etp_bps, self.advice.measured_bps), (20e6, 20e6))

    def test_what_nobody_waited_for_is_no_measurement(self) -> None:
        self.advice.delivered(1_000_000, 8e6 / 20e6, hurried=False)
        self.assertEqual((self.advice.etp_bps, self.advice.measured_bps), (4e6, None))


class Doubted(SynchronousTestCase):
    """All that players ask for is in the cache, so nothing is measured."""

    def test_a_minute_of_it_doubles_what_the_network_is_taken_to_give(self) -> None:
        advice = advised(2e6)
        self.assertEqual(advice.max_bitrate_bps(), 1_000_000)
        for _ in range(15):
            advice.from_cache(4.0)
        assert advice.sustained_bps is not None
        self.assertLess(abs(advice.sustained_bps - 4e6), 1e5)
        self.assertEqual(advice.pace_bps(1_500_000, 4.0, 60.0), 1.4 * 3e6)
        self.assertEqual(advice.pace_bps(500_000, 4.0, 60.0), advice.sustained_bps)
        advice.from_cache(4.0)
        self.assertEqual(advice.max_bitrate_bps(), 3_000_000)

    def test_a_measurement_ends_it(self) -> None:
        for advice in (advised(2e6), Advice(LADDER)):
            if advice.etp_bps is None:
                advice.recall(2e6)
            advice.from_cache(60.0)
            advice.delivered(1_000_000, 8e6 / 2e6)
            assert advice.sustained_bps is not None
            self.assertLess(abs(advice.sustained_bps - 2e6), 1e5)

    def test_it_is_never_taken_for_more_than_plenty_nor_for_less_than_measured(self) -> None:
        advice = advised(2e6)
        advice.from_cache(1e9)
        self.assertEqual(advice.sustained_bps, 10e6)
        wide = advised(50e6)
        wide.from_cache(60.0)
        self.assertEqual(wide.sustained_bps, wide.etp_bps)

    def test_what_was_measured_is_what_is_remembered(self) -> None:
        advice = advised(2e6)
        advice.from_cache(60.0)
        self.assertEqual(advice.measured_bps, advice.etp_bps)


class Paced(SynchronousTestCase):
    """How fast a segment of 3 Mbit/s and 4 s goes out that is here already."""

    def pace(self, advice: Advice, slack_s: float = 12.0) -> float | None:
        return advice.pace_bps(1_500_000, 4.0, slack_s)

    def test_as_fast_as_the_network_would_bring_it(self) -> None:
        advice = advised(6e6)
        self.assertEqual(self.pace(advice), advice.etp_bps)

    def test_at_once_where_nothing_is_known_of_the_network(self) -> None:
        self.assertIsNone(self.pace(Advice(LADDER)))

    def test_at_once_where_the_network_has_plenty(self) -> None:
        self.assertIsNone(self.pace(advised(10.3e6)))
        self.assertIsNotNone(self.pace(advised(9.7e6)))
        with_sound = Advice(LADDER, 500_000, etp_bps=10.3e6)
        self.assertIsNotNone(self.pace(with_sound))

    def test_never_so_slowly_that_a_player_would_leave_the_rung(self) -> None:
        self.assertEqual(self.pace(advised(1e6)), 1.4 * 3e6)

    def test_within_half_of_the_time_until_it_is_due(self) -> None:
        self.assertEqual(self.pace(advised(1e6), slack_s=2.0), 12e6)
        self.assertIsNone(self.pace(advised(1e6), slack_s=0.0))
        self.assertIsNone(self.pace(advised(1e6), slack_s=-3.0))

    def test_a_segment_of_no_length_goes_at_once(self) -> None:
        self.assertIsNone(advised(1e6).pace_bps(1_500_000, 0.0, 12.0))


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


class RoomTests(SynchronousTestCase):
    """Whether there is room for what nobody waits for yet."""

    def test_where_the_network_gives_half_more_than_the_top_rung(self) -> None:
        self.assertTrue(advised(7.6e6).has_room(None))
        self.assertFalse(advised(7.4e6).has_room(None))

    def test_the_sound_counts_too(self) -> None:
        advice = advised(7.6e6)
        advice.learn_ladder(LADDER, (128_000,))
        self.assertFalse(advice.has_room(None))

    def test_not_where_uplinks_are_thin(self) -> None:
        self.assertTrue(advised(2e7).has_room(10e6))
        self.assertFalse(advised(2e7).has_room(9.9e6))

    def test_not_before_anything_is_measured(self) -> None:
        advice = Advice(LADDER)
        self.assertFalse(advice.has_room(None))
        advice.recall(2e7)
        self.assertFalse(advice.has_room(None))

    def test_above_the_top_rung_there_is_none(self) -> None:
        self.assertEqual({rung for rung in LADDER if Advice(LADDER).is_top(rung)}, {5_000_000})
