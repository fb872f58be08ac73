"""Tests of the headless viewer's buffers, playhead and figures."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.lab.playback import Playback

MBPS = 1_000_000


class PlaybackTests(SynchronousTestCase):
    """A film of three segments of 4 s, with sound; the viewer begins at second 100."""

    def setUp(self) -> None:
        self.playback = Playback(("video", "audio"), 12.0, 100.0)

    def arrived(self, now: float, track: str, number: int, rate_bps: int = MBPS) -> None:
        self.playback.arrived(track, 4.0 * number, 4.0 * number + 4, rate_bps, now)

    def both(self, now: float, number: int, rate_bps: int = MBPS) -> None:
        self.arrived(now, "video", number, rate_bps)
        self.arrived(now, "audio", number)

    def test_it_starts_when_each_track_has_a_segment(self) -> None:
        self.arrived(100.5, "video", 0)
        self.arrived(100.6, "video", 1)
        self.playback.advance(101.0)
        self.assertIsNone(self.playback.started_at)
        self.assertEqual(self.playback.position_s, 0.0)
        self.arrived(101.2, "audio", 0)
        self.assertEqual(self.playback.started_at, 101.2)
        self.playback.advance(102.2)
        self.assertAlmostEqual(self.playback.position_s, 1.0)
        self.assertEqual(self.playback.stalls, 0)
        self.assertEqual(self.playback.stalled_s, 0.0)

    def test_the_buffer_of_each_track_drains_as_it_plays(self) -> None:
        self.both(100.0, 0)
        self.arrived(100.0, "video", 1)
        self.assertAlmostEqual(self.playback.buffer_s("video", 101.5), 6.5)
        self.assertAlmostEqual(self.playback.buffer_s("audio", 101.5), 2.5)
        self.assertAlmostEqual(self.playback.dry_in_s, 2.5)

    def test_a_film_played_through_has_no_stall(self) -> None:
        for number in range(3):
            self.both(100.0 + number, number)
        self.playback.advance(111.9)
        self.assertTrue(self.playback.playing)
        self.playback.advance(130.0)
        self.assertTrue(self.playback.ended)
        self.assertFalse(self.playback.playing)
        self.assertEqual(self.playback.position_s, 12.0)
        self.assertEqual((self.playback.stalls, self.playback.stalled_s), (0, 0.0))

    def test_a_stall_lasts_from_dry_to_the_next_segment_of_each_track(self) -> None:
        self.both(100.0, 0)
        self.arrived(105.0, "video", 1)
        self.playback.advance(106.0)
        self.assertFalse(self.playback.playing)
        self.assertEqual(self.playback.stalls, 1)
        self.assertAlmostEqual(self.playback.stalled_s, 2.0)
        self.arrived(106.5, "audio", 1)
        self.assertTrue(self.playback.playing)
        self.assertAlmostEqual(self.playback.stalled_s, 2.5)
        self.playback.advance(108.5)
        self.assertAlmostEqual(self.playback.position_s, 6.0)
        self.assertEqual(self.playback.stalls, 1)

    def test_each_stall_is_told_with_its_beginning_and_length(self) -> None:
        for track in ("video", "audio"):
            self.playback.arrived(track, 0.0, 4.0, 1_000_000, 101.0)
        for now in (103.0, 106.0, 107.0):
            self.playback.advance(now)
        for track in ("video", "audio"):
            self.playback.arrived(track, 4.0, 8.0, 1_000_000, 107.5)
        self.playback.advance(109.0)
        self.assertEqual(self.playback.standstills, [(105.0, 2.5)])

    def test_a_segment_just_in_time_is_no_stall(self) -> None:
        self.both(100.0, 0)
        self.both(104.0, 1)
        self.playback.advance(105.0)
        self.assertEqual(self.playback.stalls, 0)
        self.assertAlmostEqual(self.playback.position_s, 5.0)

    def test_the_mean_bitrate_counts_what_was_played(self) -> None:
        for number, rate in enumerate((1, 3, 9)):
            self.both(100.0, number, rate * MBPS)
        self.playback.advance(106.0)
        self.assertAlmostEqual(self.playback.mean_bitrate_bps, (4 * 1 + 2 * 3) / 6 * MBPS)
        self.assertEqual(self.playback.switches, 1)

    def test_the_linear_qoe_is_that_of_the_literature(self) -> None:
        self.both(100.0, 0, 1 * MBPS)
        self.both(105.0, 1, 3 * MBPS)
        self.both(106.0, 2, 2 * MBPS)
        self.playback.advance(120.0)
        # 1 + 3 + 2 Mbit/s, one second stalled, changes of 2 and 1.
        self.assertAlmostEqual(self.playback.qoe_linear, 6 - 4.3 - 3)

    def test_before_anything_was_played_all_figures_are_zero(self) -> None:
        self.playback.advance(200.0)
        self.assertEqual(self.playback.mean_bitrate_bps, 0.0)
        self.assertEqual(self.playback.qoe_linear, 0.0)
        self.assertEqual(self.playback.stalled_s, 0.0)

    @given(st.lists(st.floats(0, 10), min_size=3, max_size=3), st.lists(st.floats(0, 3)))
    def test_time_is_played_or_stalled_however_often_one_looks(
        self, waits_s: list[float], looks_s: list[float]
    ) -> None:
        playback = Playback(("video",), 12.0, 0.0)
        now = 0.0
        for number, wait_s in enumerate(waits_s):
            until = now + wait_s
            for look_s in looks_s:
                now = min(until, now + look_s)
                playback.advance(now)
            now = until
            playback.arrived("video", 4.0 * number, 4.0 * number + 4, MBPS, now)
        started_at = playback.started_at
        assert started_at is not None
        playback.advance(started_at + playback.stalled_s + 20.0)
        self.assertTrue(playback.ended)
        # Played without a look between, it stalls as long.
        again = Playback(("video",), 12.0, 0.0)
        now = 0.0
        for number, wait_s in enumerate(waits_s):
            now += wait_s
            again.arrived("video", 4.0 * number, 4.0 * number + 4, MBPS, now)
        again.advance(now + 20.0)
        self.assertAlmostEqual(again.stalled_s, playback.stalled_s)
        self.assertEqual(again.stalls, playback.stalls)
        self.assertAlmostEqual(playback.position_s, 12.0)
