import functools
import os
import shutil
import signal
import subprocess
import tempfile
from fractions import Fraction
from pathlib import Path
from unittest import mock

from twisted.trial.unittest import SkipTest, SynchronousTestCase

import dashp2p
from dashp2p.content import segment
from dashp2p.content.ffmpeg import FfmpegFailed, probe
from dashp2p.content.index import Index, IndexSignature, parse_index
from dashp2p.content.ladder import Rung
from dashp2p.content.mpd import Manifest, read_mpd
from tests.content.films import make_film, pretended_ffmpeg, real_ffmpeg

ROOT = Path(dashp2p.__file__).parent.parent
LADDER = (Rung(90, 300), Rung(60, 150))


def cut(film: Path, out: Path, ladder: tuple[Rung, ...] = LADDER) -> Manifest:
    """Cut a film with the real ffmpeg, and read what it says of the result."""
    out.mkdir(parents=True)
    heard: list[float] = []
    source = probe(real_ffmpeg(), film)
    segment.segment(real_ffmpeg(), source, out, ladder, "ultrafast", heard.append)
    assert heard, "no progress was told"
    return read_mpd((out / "dash.mpd").read_bytes())


@functools.cache
def nine_seconds() -> tuple[Path, Manifest]:
    """A presentation of 9 s with sound, for all tests that only look at it."""
    folder = Path(tempfile.mkdtemp(dir=".")).absolute()  # trial's own folder
    return folder / "out", cut(make_film(folder / "film.mp4", seconds=9), folder / "out")


def durations(manifest: Manifest, kind: str = "video") -> list[list[float]]:
    return [
        [round(item.duration_s, 2) for item in representation.media]
        for representation in manifest.representations
        if representation.media_type == kind
    ]


def sizes(manifest: Manifest) -> list[tuple[int | None, int | None]]:
    video = [item for item in manifest.representations if item.media_type == "video"]
    return [(item.width, item.height) for item in video]


class PresentationTests(SynchronousTestCase):
    """What the real ffmpeg makes of a plain film."""

    def setUp(self) -> None:
        self.out, self.manifest = nine_seconds()

    def test_segments_are_of_4_s_and_cut_at_the_same_frames_on_every_rung(self) -> None:
        self.assertEqual(durations(self.manifest), [[4.0, 4.0, 1.0]] * 2)
        self.assertEqual(sizes(self.manifest), [(160, 90), (106, 60)])

    def test_each_segment_begins_with_a_key_frame(self) -> None:
        """A segment decodes in full with nothing but its init segment before it."""
        for representation in ("0", "1"):
            parts = [f"init_{representation}.m4s", f"chunk_{representation}_2.m4s"]
            joined = Path(self.mktemp())
            joined.write_bytes(b"".join((self.out / part).read_bytes() for part in parts))
            answer = subprocess.run(
                [real_ffmpeg(), "-v", "error", "-i", f"file:{joined}", "-f", "framecrc", "-"],
                capture_output=True,
                text=True,
                check=True,
                stdin=subprocess.DEVNULL,
            )
            frames = [line for line in answer.stdout.splitlines() if line[0] != "#"]
            self.assertEqual((len(frames), answer.stderr), (100, ""))

    def test_sound_is_one_track_in_its_own_set(self) -> None:
        audio = [item for item in self.manifest.representations if item.media_type == "audio"]
        self.assertEqual([item.codecs for item in audio], ["mp4a.40.2"])
        sets = {(item.media_type, item.adaptation_set) for item in self.manifest.representations}
        self.assertEqual(sets, {("video", 0), ("audio", 1)})
        self.assertTrue(abs(sum(durations(self.manifest, "audio")[0]) - 9.0) < 0.1)

    def test_playlists_name_the_same_segments_as_the_mpd(self) -> None:
        named = {item.path for each in self.manifest.representations for item in each.media}
        listed = set()
        for playlist in self.out.glob("media_*.m3u8"):
            lines = playlist.read_text().splitlines()
            listed |= {line for line in lines if line.endswith(".m4s")}
            self.assertIn("#EXT-X-PLAYLIST-TYPE:VOD", lines)
            self.assertIn("#EXT-X-ENDLIST", lines)
        self.assertEqual(listed, named)
        master = (self.out / "master.m3u8").read_text()
        self.assertEqual(master.count("#EXT-X-STREAM-INF"), 2)
        self.assertIn("TYPE=AUDIO", master)

    def test_players_need_not_wait_for_two_segments(self) -> None:
        self.assertEqual(self.manifest.min_buffer_s, 2.0)


class CuttingTests(SynchronousTestCase):
    """What the real ffmpeg makes of films that are not plain, as small as it makes them."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.out = self.folder / "out"

    def cut(self, ladder: tuple[Rung, ...] = LADDER) -> Manifest:
        return cut(self.folder / "film.mp4", self.out, ladder)

    def film(self, picture: str, **more: object) -> None:
        make_film(self.folder / "film.mp4", picture, **more)  # type: ignore[arg-type]

    def test_ntsc_rates_lose_no_cut(self) -> None:
        """Key frames forced by time come a frame early now and then; the muxer skips those."""
        self.film("testsrc2=s=64x36:r=30000/1001", seconds=41, sound=False)
        (found,) = durations(self.cut((Rung(36, 50),)))
        self.assertEqual(set(found[:-1]), {4.0})
        self.assertEqual(len(found), 11)

    def test_a_clip_of_3_s_is_one_segment(self) -> None:
        self.film("testsrc2=s=160x90", seconds=3)
        self.assertEqual(durations(self.cut()), [[3.0]] * 2)

    def test_a_clip_without_sound_has_no_audio_set(self) -> None:
        self.film("testsrc2=s=160x90", seconds=3, sound=False)
        manifest = self.cut()
        self.assertEqual({item.media_type for item in manifest.representations}, {"video"})

    def test_odd_sizes_become_even_ones(self) -> None:
        self.film("testsrc2=s=161x91", seconds=3, sound=False,
                  options=("-pix_fmt", "yuv444p"))  # fmt: skip
        self.assertEqual(sizes(self.cut()), [(160, 90), (106, 60)])

    def test_a_film_below_every_rung_keeps_its_own_size(self) -> None:
        self.film("testsrc2=s=64x36", seconds=3, sound=False)
        self.assertEqual(sizes(self.cut()), [(64, 36)])

    def test_a_portrait_film_goes_by_its_shorter_side(self) -> None:
        self.film("testsrc2=s=90x160", seconds=3, sound=False)
        self.assertEqual(sizes(self.cut()), [(90, 160), (60, 106)])

    def test_pixels_that_are_not_square_keep_the_pictures_aspect(self) -> None:
        self.film("testsrc2=s=120x90,setsar=4/3", seconds=3, sound=False)
        self.assertEqual(sizes(self.cut()), [(160, 90), (106, 60)])

    def test_a_variable_frame_rate_is_cut_as_evenly_as_any(self) -> None:
        # Every frame for 3 s, then one in ten: 25 and 2.5 frames a second. Matroska keeps their
        # times as they are.
        picture = "testsrc2=s=160x90:r=25,select='lt(t,3)+not(mod(n,10))'"
        make_film(self.folder / "film.mkv", picture, seconds=9)
        os.rename(self.folder / "film.mkv", self.folder / "film.mp4")
        self.assertEqual([each[:2] for each in durations(self.cut())], [[4.0, 4.0]] * 2)

    def test_sound_that_begins_late_stays_in_step(self) -> None:
        make_film(self.folder / "plain.mp4", seconds=5)
        command = [real_ffmpeg(), "-v", "error", "-i", str(self.folder / "plain.mp4")]
        command += ["-itsoffset", "1.5", "-i", str(self.folder / "plain.mp4")]
        command += ["-map", "0:v", "-map", "1:a", "-c", "copy", str(self.folder / "film.mp4")]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        manifest = self.cut()
        for representation in manifest.representations:
            self.assertEqual(representation.media[0].start_s, 0.0)
        self.assertTrue(abs(sum(durations(manifest, "audio")[0]) - 6.5) < 0.1)

    def test_a_segment_keeps_to_its_bitrate(self) -> None:
        self.film("testsrc2=s=160x90:r=25,noise=alls=60:allf=t", seconds=8, sound=False)
        manifest = self.cut()
        for representation in manifest.representations:
            for item in representation.media:
                rate_bps = (self.out / item.path).stat().st_size * 8 / item.duration_s
                self.assertTrue(rate_bps <= 1.6 * representation.bandwidth_bps, item.path)


class CommandTests(SynchronousTestCase):
    """The whole command over a pretended ffmpeg that fails in a way of the test's choice."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.old = self.folder / "dash"
        self.old.mkdir(parents=True)
        (self.old / "dash.mpd").write_text("old")
        self.film = self.folder / "film.mp4"
        self.film.write_text("a film")
        self.errors: list[str] = []

    def command(self, deed: str, *more: str) -> int:
        ffmpeg = pretended_ffmpeg(self.folder / "bin" / "ffmpeg", deed)
        environ = {"DASHP2P_FFMPEG": ffmpeg, "DASHP2P_SIGNING_KEY": str(self.folder / "bin/key")}
        with (
            mock.patch.dict(os.environ, environ),
            mock.patch("sys.stdout.write", len),
            mock.patch("sys.stderr.write", self.errors.append),
        ):
            return segment.main([str(self.film), str(self.old), *more])

    def assert_untouched(self) -> None:
        self.assertEqual((self.old / "dash.mpd").read_text(), "old")
        self.assertEqual(sorted(os.listdir(self.folder)), ["bin", "dash", "film.mp4"])

    def failed(self, deed: str, reason: str, *more: str) -> None:
        self.assertEqual(self.command(deed, *more), 1)
        said = "".join(self.errors)
        self.assertIn(reason, said)
        self.assertEqual(said.count("\n"), 1)
        self.assert_untouched()

    def test_a_failed_run_leaves_the_old_presentation(self) -> None:
        self.failed("echo half >dash.mpd; echo broken >&2; exit 1", "ffmpeg failed: broken")

    def test_a_missing_film_is_one_clear_line(self) -> None:
        self.film = self.folder / "nothing.mp4"
        self.assertEqual(self.command("true"), 1)
        self.assertIn("there is no", "".join(self.errors))

    def test_a_full_disk_is_one_clear_line(self) -> None:
        self.failed("echo 'No space left on device' >&2; exit 1", "the disk is full")

    def test_a_disk_that_fills_in_silence_is_noticed_at_once(self) -> None:
        usage = shutil.disk_usage(self.folder)._replace(free=1000)
        with mock.patch.object(shutil, "disk_usage", return_value=usage):
            self.failed("echo out_time_us=1000000; exec sleep 60", "the disk is full")

    def test_a_segment_that_was_cut_short_is_never_published(self) -> None:
        self.failed(r"printf '\000\000\000\020ftyp' >chunk_0_1.m4s", "cut short")

    def test_a_presentation_that_lacks_a_segment_is_never_published(self) -> None:
        self.failed("echo '<MPD minBufferTime=\"PT8S\"/>' >dash.mpd", "no MPD")

    def test_a_ladder_that_cannot_be_read_is_one_clear_line(self) -> None:
        self.failed("true", "is no rung", "--rungs", "high")

    def test_a_film_inside_the_folder_to_be_replaced_is_refused(self) -> None:
        self.film = self.old / "film.mp4"
        self.film.write_text("a film")
        self.assertEqual(self.command("true"), 1)
        self.assertIn("move it", "".join(self.errors))
        self.assertEqual(self.film.read_text(), "a film")

    def test_a_signing_key_inside_the_folder_is_refused(self) -> None:
        self.failed("true", "signing key", "--key", str(self.old / "key"))


class ScriptTests(SynchronousTestCase):
    """segment.sh as a user starts it."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.out = self.folder / "site" / "dash"

    def start(self, ffmpeg: str, *arguments: str) -> "subprocess.Popen[str]":
        environ = {
            **os.environ,
            "DASHP2P_FFMPEG": ffmpeg,
            "DASHP2P_SIGNING_KEY": str(self.folder / "keys" / "origin.key"),
            "DASHP2P_LADDER": "90:300,60:150",
            "DASHP2P_PRESET": "ultrafast",
        }
        return subprocess.Popen(
            [str(ROOT / "segment.sh"), *arguments],
            cwd=self.folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def index(self) -> Index:
        signature = IndexSignature.parse((self.out / "index.sig").read_bytes())
        return parse_index((self.out / "index.json").read_bytes(), signature)

    def test_a_film_becomes_a_signed_presentation_and_a_second_one_takes_its_place(self) -> None:
        presentations = set()
        for seconds in (5, 3):
            make_film(self.folder / "my film.mp4", seconds=seconds)
            process = self.start(real_ffmpeg(), "my film.mp4", str(self.out))
            output, errors = process.communicate()
            self.assertEqual((process.returncode, errors), (0, ""))
            index = self.index()
            self.assertIn(index.presentation_id, output)
            presentations.add(index.presentation_id)
            files = {entry.path for entry in index.entries} | {"index.blocks", "index.sig"}
            self.assertEqual(set(os.listdir(self.out)), files)
            (self.folder / "my film.mp4").unlink()
        self.assertEqual(len(presentations), 2)
        self.assertEqual(os.listdir(self.out.parent), ["dash"])

    def interrupted_by(self, number: signal.Signals, status: int) -> None:
        self.out.mkdir(parents=True)
        (self.out / "dash.mpd").write_text("old")
        (self.folder / "film.mp4").write_text("a film")
        started = self.folder / "started"
        os.mkfifo(started)
        ffmpeg = pretended_ffmpeg(
            self.folder / "bin" / "ffmpeg", f"echo half >chunk; echo $$ >'{started}'; exec sleep 60"
        )
        process = self.start(ffmpeg, "film.mp4", str(self.out))
        pid = int(started.read_text())  # the fifo opens when ffmpeg is at work
        process.send_signal(number)
        _, errors = process.communicate()
        self.assertEqual((process.returncode, errors.count("\n")), (status, 1))
        self.assertRaises(ProcessLookupError, os.kill, pid, 0)
        self.assertEqual((self.out / "dash.mpd").read_text(), "old")
        self.assertEqual(os.listdir(self.out.parent), ["dash"])

    def test_ctrl_c_leaves_the_old_presentation_and_no_process(self) -> None:
        self.interrupted_by(signal.SIGINT, 130)

    def test_sigterm_leaves_the_old_presentation_and_no_process(self) -> None:
        self.interrupted_by(signal.SIGTERM, 143)

    def test_a_disk_that_is_really_full_is_told(self) -> None:
        ffmpeg = real_ffmpeg()
        small = self.folder / "small"
        small.mkdir(parents=True)
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(small)],
            capture_output=True,
            check=False,
        )
        if mounted.returncode:
            raise SkipTest("only root can mount a small file system to fill")
        self.addCleanup(subprocess.run, ["umount", str(small)], check=True)
        make_film(self.folder / "film.mp4", "testsrc2=s=160x90,noise=alls=60:allf=t", seconds=6)
        process = self.start(ffmpeg, "film.mp4", str(small / "dash"))
        _, errors = process.communicate()
        self.assertEqual(process.returncode, 1)
        self.assertIn("the disk is full", errors)
        self.assertEqual(os.listdir(small), [])


class SourceTests(SynchronousTestCase):
    def test_the_rate_of_a_film_gives_whole_groups_of_pictures(self) -> None:
        for rate, frames in (
            (Fraction(25), 100),
            (Fraction(30_000, 1001), 120),
            (Fraction(12), 48),
        ):
            self.assertEqual(segment.frames_per_segment(rate), frames)

    def test_a_failed_probe_is_an_ffmpeg_failure(self) -> None:
        self.assertRaises(FfmpegFailed, probe, "/nowhere/ffmpeg", Path(__file__))
