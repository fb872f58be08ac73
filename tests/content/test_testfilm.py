import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from dashp2p.content.clock import CLOCK_HEIGHT_PX, CLOCK_WIDTH_PX, clock_frame, clock_frames
from dashp2p.content.ffmpeg import FfmpegFailed, probe
from dashp2p.content.testfilm import make_test_film
from tests.content.films import pretended_ffmpeg, real_ffmpeg


def drawn(picture: bytes) -> list[str]:
    """The picture as text, a character a dot."""
    dots = "".join("#" if value == 0xFF else "." for value in picture[::2])
    return [dots[at : at + CLOCK_WIDTH_PX] for at in range(0, len(dots), CLOCK_WIDTH_PX)]


class ClockTests(SynchronousTestCase):
    def test_a_picture_has_the_size_that_ffmpeg_is_told(self) -> None:
        for picture in clock_frames(3, 25):
            self.assertEqual(len(picture), 2 * CLOCK_WIDTH_PX * CLOCK_HEIGHT_PX)

    def test_time_and_frame_are_shown(self) -> None:
        """00:01.040 #00026: the milliseconds' last signs, 40, and the frame's, 26."""
        rows = drawn(clock_frame(26, 25))
        self.assertEqual(rows[3][45:56], "   # ".replace(" ", ".") + "." + ".###.")
        self.assertEqual(rows[3][87:98], ".###." + "." + "..##.")

    def test_no_two_frames_of_an_hour_look_alike(self) -> None:
        seen = {clock_frame(frame, 25) for frame in range(0, 90_000, 7)}
        self.assertEqual(len(seen), len(range(0, 90_000, 7)))


class FilmTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp()).absolute() / "film.mp4"

    def test_the_film_has_the_size_and_length_asked_for_and_sound(self) -> None:
        make_test_film(real_ffmpeg(), self.path, seconds=1, height_px=180)
        source = probe(real_ffmpeg(), self.path)
        self.assertEqual((source.width_px, source.height_px), (320, 180))
        self.assertEqual(source.frame_rate, 25)
        self.assertTrue(source.has_sound)
        self.assertTrue(abs((source.duration_s or 0) - 1.0) < 0.1)
        self.assertEqual(os.listdir(self.path.parent), ["film.mp4"])

    def test_a_failure_leaves_the_old_film_and_no_folder(self) -> None:
        self.path.parent.mkdir()
        self.path.write_text("old")
        ffmpeg = pretended_ffmpeg(self.path.parent.parent / "ffmpeg", "exit 1")
        self.assertRaises(FfmpegFailed, make_test_film, ffmpeg, self.path, 1)
        self.assertEqual(self.path.read_text(), "old")
        self.assertEqual(os.listdir(self.path.parent), ["film.mp4"])
