"""Tests of the arithmetic of quality of experience."""

from twisted.trial.unittest import SynchronousTestCase

from dashp2p.web.qoe import QoeMeter, of_segments

MBPS = 1_000_000


class OfSegmentsTests(SynchronousTestCase):
    """Three segments of 4 s: 1, 3 and 3 Mbit/s, the last one seen for a second."""

    SEEN = ((4.0, 1.0 * MBPS), (4.0, 3.0 * MBPS), (1.0, 3.0 * MBPS))

    def test_the_mean_bitrate_goes_by_time_on_screen(self) -> None:
        qoe = of_segments(self.SEEN, 0.5, 0, 0.0)
        self.assertAlmostEqual(qoe.mean_bitrate_bps, (4 + 12 + 3) / 9 * MBPS)
        self.assertEqual(qoe.played_s, 9.0)

    def test_a_switch_is_a_change_from_one_segment_to_the_next(self) -> None:
        qoe = of_segments(self.SEEN, 0.5, 0, 0.0)
        self.assertEqual((qoe.switches, qoe.changes_mbit), (1, 2.0))

    def test_the_linear_score_takes_off_stalls_and_changes(self) -> None:
        self.assertAlmostEqual(of_segments(self.SEEN, 0.5, 0, 0.0).linear, 7.0 - 2.0)
        self.assertAlmostEqual(of_segments(self.SEEN, 0.5, 2, 1.5).linear, 5.0 - 4.3 * 1.5)

    def test_a_step_down_costs_what_the_step_up_did(self) -> None:
        there_and_back = ((4.0, 1.0 * MBPS), (4.0, 2.0 * MBPS), (4.0, 1.0 * MBPS))
        self.assertEqual(of_segments(there_and_back, 0.0, 0, 0.0).changes_mbit, 2.0)

    def test_the_stall_ratio_is_stalled_by_stalled_and_played_time(self) -> None:
        self.assertAlmostEqual(of_segments(self.SEEN, 0.5, 1, 1.0).stall_ratio, 0.1)

    def test_who_saw_nothing_has_no_start_and_noughts(self) -> None:
        qoe = of_segments((), None, 0, 0.0)
        self.assertIsNone(qoe.startup_s)
        self.assertEqual((qoe.mean_bitrate_bps, qoe.stall_ratio, qoe.linear), (0.0, 0.0, 0.0))
        self.assertEqual(qoe.linear_per_segment, 0.0)


class QoeMeterTests(SynchronousTestCase):
    """The same from what is told little by little."""

    def test_it_agrees_with_the_sum_over_whole_segments(self) -> None:
        meter = QoeMeter(startup_s=0.5)
        for rate in (1, 3, 3):
            meter.rendered(rate * MBPS)
            for _ in range(8):
                meter.played(0.5)
        meter.stalled(1.5)
        seen = [(4.0, 1.0 * MBPS), (4.0, 3.0 * MBPS), (4.0, 3.0 * MBPS)]
        self.assertEqual(meter.qoe, of_segments(seen, 0.5, 1, 1.5))

    def test_the_score_per_segment_does_not_depend_on_the_length(self) -> None:
        short, long = QoeMeter(), QoeMeter()
        for meter, seconds in ((short, 40), (long, 400)):
            meter.rendered(2 * MBPS)
            meter.played(seconds)
        self.assertAlmostEqual(short.qoe.linear_per_segment, 2.0)
        self.assertAlmostEqual(long.qoe.linear_per_segment, 2.0)

    def test_the_first_picture_is_no_switch(self) -> None:
        meter = QoeMeter()
        meter.rendered(MBPS)
        self.assertEqual(meter.switches, 0)
        meter.rendered(2 * MBPS)
        meter.rendered(2 * MBPS)
        self.assertEqual(meter.switches, 1)
