import os
import sys
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from dashp2p.content.ffmpeg import FfmpegFailed, Source, find_ffmpeg, probe, run
from tests.content.films import make_film, pretended_ffmpeg, real_ffmpeg


class FindingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.good = pretended_ffmpeg(self.folder / "good", "true")
        self.lame = pretended_ffmpeg(self.folder / "lame" / "ffmpeg", "true")
        Path(self.lame).write_text("#!/bin/sh\necho ' V....D mpeg4 '\n")

    def find(self, shipped: str | None, **environ: str) -> str:
        module = None if shipped is None else SimpleNamespace(get_ffmpeg_exe=lambda: shipped)
        with mock.patch.dict(sys.modules, {"imageio_ffmpeg": module}):
            return find_ffmpeg(environ)

    def test_the_environment_names_the_one_to_use(self) -> None:
        self.assertEqual(self.find(None, DASHP2P_FFMPEG=self.good), self.good)

    def test_one_named_by_a_relative_path_is_found_from_any_folder(self) -> None:
        named = os.path.relpath(self.good)
        self.assertEqual(self.find(None, DASHP2P_FFMPEG=named), self.good)

    def test_one_named_that_cannot_encode_is_an_error_and_not_passed_over(self) -> None:
        for named in (self.lame, "/nowhere/ffmpeg"):
            error = self.assertRaises(FfmpegFailed, self.find, self.good, DASHP2P_FFMPEG=named)
            self.assertIn(named, str(error))

    def test_a_systems_ffmpeg_without_h264_gives_way_to_the_shipped_one(self) -> None:
        self.patch(os, "environ", {"PATH": str(Path(self.lame).parent)})
        self.assertEqual(self.find(self.good), self.good)

    def test_where_there_is_none_it_says_what_to_install(self) -> None:
        self.patch(os, "environ", {"PATH": str(self.folder)})
        error = self.assertRaises(FfmpegFailed, self.find, None)
        self.assertIn("imageio-ffmpeg", str(error))


class ProbingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp()).absolute() / "film.mp4"

    def probe(self) -> Source:
        return probe(real_ffmpeg(), self.path)

    def test_size_rate_sound_and_duration_are_told(self) -> None:
        make_film(self.path, "testsrc2=s=160x90:r=30000/1001", seconds=1)
        source = self.probe()
        self.assertEqual((source.width_px, source.height_px), (160, 90))
        self.assertEqual(source.frame_rate, Fraction(30_000, 1001))
        self.assertTrue(source.has_sound)
        self.assertTrue(0.9 <= (source.duration_s or 0) <= 1.1)

    def test_pixels_that_are_not_square_count_in_the_size(self) -> None:
        make_film(self.path, "testsrc2=s=90x72,setsar=16/15", seconds=1, sound=False)
        source = self.probe()
        self.assertEqual((source.width_px, source.height_px), (96, 72))
        self.assertEqual(source.pixel_aspect, Fraction(16, 15))
        self.assertFalse(source.has_sound)

    def test_a_missing_file_or_a_folder_is_refused(self) -> None:
        self.assertIn("there is no", str(self.assertRaises(FfmpegFailed, self.probe)))
        self.path.mkdir(parents=True)
        self.assertIn("not a file", str(self.assertRaises(FfmpegFailed, self.probe)))

    def test_a_text_is_no_film(self) -> None:
        self.path.parent.mkdir(parents=True)
        self.path.write_text("hello\n" * 100)
        self.assertIn("no film", str(self.assertRaises(FfmpegFailed, self.probe)))

    def test_a_file_with_sound_only_has_no_video(self) -> None:
        make_film(self.path, options=("-vn",), seconds=1)
        self.assertIn("has no video", str(self.assertRaises(FfmpegFailed, self.probe)))


class RateTests(SynchronousTestCase):
    """What ffmpeg reports of a film, and the constant rate that it is cut at."""

    def rate(self, report: str) -> Fraction:
        path = Path(self.mktemp())
        ffmpeg = pretended_ffmpeg(path, "true")
        text = path.read_text().replace("25 fps, 25 tbr", report)
        path.write_text(text)
        return probe(ffmpeg, path).frame_rate

    def test_the_base_rate_goes_before_the_average(self) -> None:
        self.assertEqual(self.rate("28.61 fps, 30 tbr"), 30)

    def test_a_rate_that_ffmpeg_rounded_is_made_exact(self) -> None:
        self.assertEqual(self.rate("23.98 fps, 23.98 tbr"), Fraction(24_000, 1001))
        self.assertEqual(self.rate("59.94 fps, 59.94 tbr"), Fraction(60_000, 1001))

    def test_a_wild_base_rate_gives_way_to_the_average(self) -> None:
        self.assertEqual(self.rate("24.62 fps, 120 tbr"), 25)
        self.assertEqual(self.rate("29.83 fps, 90k tbr"), 30)

    def test_a_slide_show_is_cut_at_a_rate_that_segments_can_bear(self) -> None:
        self.assertEqual(self.rate("0.5 fps, 0.5 tbr"), 10)

    def test_without_a_usable_rate_it_is_25(self) -> None:
        self.assertEqual(self.rate("1k fps, 90k tbr"), 25)


class RunningTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.heard: list[float] = []

    def run_it(self, deed: str) -> None:
        script = pretended_ffmpeg(self.folder / "ffmpeg", deed)
        run([script, "-i", "x"], self.folder, self.heard.append)

    def test_progress_is_heard_in_seconds_of_film(self) -> None:
        self.run_it("echo out_time_us=N/A; echo out_time_us=1500000; echo progress=end")
        self.assertEqual(self.heard, [1.5])

    def test_a_failure_is_told_in_ffmpegs_first_words(self) -> None:
        error = self.assertRaises(
            FfmpegFailed, self.run_it, "echo 'No such filter' >&2; echo 'Oh no' >&2; exit 1"
        )
        self.assertEqual(str(error), "ffmpeg failed: No such filter")

    def test_a_full_disk_is_told_even_when_ffmpeg_exits_with_0(self) -> None:
        error = self.assertRaises(
            FfmpegFailed, self.run_it, "echo 'x: No space left on device' >&2; exit 0"
        )
        self.assertIn("the disk is full", str(error))

    def test_an_exception_in_the_listener_ends_ffmpeg(self) -> None:
        script = pretended_ffmpeg(
            self.folder / "ffmpeg", "echo $$ >pid; echo out_time_us=1; exec sleep 60"
        )

        def fail(done_s: float) -> None:
            raise ZeroDivisionError

        self.assertRaises(ZeroDivisionError, run, [script, "-i", "x"], self.folder, fail)
        pid = int((self.folder / "pid").read_text())
        self.assertRaises(ProcessLookupError, os.kill, pid, 0)

    def test_a_program_that_is_not_there_is_one_clear_line(self) -> None:
        error = self.assertRaises(
            FfmpegFailed, run, ["/nowhere/ffmpeg"], self.folder, self.heard.append
        )
        self.assertIn("/nowhere/ffmpeg", str(error))
