"""The demo's decisions: what is played, who joins, when it ends, what is told at the end."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

from attrs import define, field
from rich.console import Console
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.lab import demo, demo_film
from dashp2p.lab.demo_crowd import Crowd, clean_environment
from dashp2p.lab.demo_film import FilmUnavailableError, is_whole, prepare
from dashp2p.lab.demo_options import DemoOptions, parse
from dashp2p.lab.demo_page import opener
from dashp2p.lab.demo_summary import crowd_summary, read_report, row_of, save, viewing_of
from dashp2p.lab.demo_watch import Watch, is_over, progress_line, viewers_of
from dashp2p.peer.newest import NEWEST_FILE

URL = "http://127.0.0.1:8001/client/"


def present(folder: Path) -> None:
    """Lay down what looks like a signed presentation."""
    folder.mkdir(parents=True)
    for name in ("dash.mpd", "index.json", "index.blocks", "index.sig"):
        (folder / name).write_text("x")


class FilmTests(SynchronousTestCase):
    """Which presentation is played, and what is made for it."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="dashp2p-demo-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.public = self.folder / "public" / "dash"
        self.ran: list[tuple[str, list[str]]] = []
        self.patch(demo_film, "_run", self.run_command)

    def run_command(self, module: str, arguments: list[str]) -> None:
        name = module.rpartition(".")[2]
        self.ran.append((name, arguments))
        if name == "segment":
            present(Path(arguments[1]))
        else:
            Path(arguments[0]).parent.mkdir(parents=True, exist_ok=True)
            Path(arguments[0]).write_text("film")

    def options(self, *arguments: str) -> DemoOptions:
        return parse(["2", "--state", str(self.folder / "demo"), *arguments])

    def test_kept_caches_know_no_later_film_than_the_one_that_is_played(self) -> None:
        cache = self.folder / "demo" / "cache" / "peer1"
        cache.mkdir(parents=True)
        (cache / NEWEST_FILE).write_text("{}")
        (cache / "segment").write_text("kept")
        demo._tidy(self.options("--keep-cache"))
        self.assertEqual([path.name for path in cache.iterdir()], ["segment"])
        demo._tidy(self.options())
        self.assertFalse(cache.exists())

    def test_without_anything_a_test_film_is_made_and_cut(self) -> None:
        self.assertEqual(prepare(self.options(), self.public), self.public)
        self.assertEqual([name for name, _ in self.ran], ["testfilm", "segment"])
        self.assertTrue(is_whole(self.public))

    def test_what_was_cut_before_is_played_and_nothing_is_made(self) -> None:
        present(self.public)
        self.assertEqual(prepare(self.options(), self.public), self.public)
        self.assertEqual(self.ran, [])

    def test_a_folder_without_proof_is_not_replaced(self) -> None:
        self.public.mkdir(parents=True)
        (self.public / "dash.mpd").write_text("mine")
        error = self.assertRaises(FilmUnavailableError, prepare, self.options(), self.public)
        self.assertIn("segment.sh", str(error))
        self.assertEqual(self.ran, [])

    def test_a_film_that_is_named_is_cut_once(self) -> None:
        film = self.folder / "film.mp4"
        film.write_text("pictures")
        options = self.options("--video", str(film))
        first = prepare(options, self.public)
        self.assertEqual(prepare(options, self.public), first)
        self.assertEqual(len(self.ran), 1)

    def test_a_film_that_has_changed_is_cut_again(self) -> None:
        film = self.folder / "film.mp4"
        film.write_text("pictures")
        options = self.options("--video", str(film))
        first = prepare(options, self.public)
        film.write_text("other pictures")
        self.assertNotEqual(prepare(options, self.public), first)


class OpenerTests(SynchronousTestCase):
    """Each kind of desktop has its own way to open a page."""

    def command(self, system: str, release: str = "6.1", **environ: str) -> list[str] | None:
        return opener(URL, environ, system, release, lambda name: f"/bin/{name}")

    def test_macos(self) -> None:
        self.assertEqual(self.command("Darwin"), ["open", URL])

    def test_linux_with_a_screen(self) -> None:
        self.assertEqual(self.command("Linux", DISPLAY=":0"), ["/bin/xdg-open", URL])
        self.assertEqual(self.command("Linux", WAYLAND_DISPLAY="w"), ["/bin/xdg-open", URL])

    def test_linux_without_a_screen(self) -> None:
        self.assertIsNone(self.command("Linux"))

    def test_wsl_asks_windows(self) -> None:
        release = "5.15.90.1-microsoft-standard-WSL2"
        self.assertEqual(self.command("Linux", release), ["/bin/cmd.exe", "/c", "start", "", URL])


class PlanTests(SynchronousTestCase):
    """Who plays, and until when."""

    def test_viewers_play_on_all_peers_but_the_pages(self) -> None:
        self.assertEqual(viewers_of(parse(["4"])), [2, 3, 4])

    def test_without_a_browser_viewers_play_on_all_peers(self) -> None:
        self.assertEqual(viewers_of(parse(["3", "--no-browser"])), [1, 2, 3])

    def test_viewers_can_be_turned_off(self) -> None:
        self.assertEqual(viewers_of(parse(["3", "--no-browser", "--no-viewers"])), [])

    def test_it_ends_when_the_last_viewer_has_finished(self) -> None:
        options = parse(["2", "--no-browser"])
        self.assertFalse(is_over(options, 9.0, waiting=1, playing=0))
        self.assertFalse(is_over(options, 9.0, waiting=0, playing=1))
        self.assertTrue(is_over(options, 9.0, waiting=0, playing=0))

    def test_seconds_decide_where_they_are_given(self) -> None:
        options = parse(["2", "--no-browser", "--seconds", "30"])
        self.assertFalse(is_over(options, 29.9, waiting=0, playing=0))
        self.assertTrue(is_over(options, 30.0, waiting=1, playing=1))

    def test_a_page_that_may_be_watched_keeps_it_running(self) -> None:
        self.assertFalse(is_over(parse(["2"]), 999.0, waiting=0, playing=0))

    def test_without_viewers_it_waits_for_ctrl_c(self) -> None:
        options = parse(["2", "--no-browser", "--no-viewers"])
        self.assertFalse(is_over(options, 999.0, waiting=0, playing=0))

    def test_the_line_of_progress_has_offload_beside_its_limit(self) -> None:
        stats = [
            {"bytes": {"peers": 0, "origin": 4_000_000, "delivered": 4_000_000}},
            {"bytes": {"peers": 4_000_000, "origin": 0, "delivered": 4_000_000}},
        ]
        line = progress_line(75.0, 2, 1, stats)
        self.assertEqual(
            line,
            "1:15, 1 of 2 viewers playing, offload 50% (limit 50%), "
            "4.0 MB from peers, 4.0 MB from the origin",
        )


@define
class FakeCrowd:
    """Peers that answer nothing, and viewers that end all at once after `film_s`."""

    options: DemoOptions
    film_s: float
    now_s: float = 0.0
    joined_s: list[float] = field(factory=list)

    @property
    def playing(self) -> list[int]:
        return [peer for peer, at_s in enumerate(self.joined_s) if self.now_s < at_s + self.film_s]

    def start_viewer(self, peer: int) -> None:
        self.joined_s.append(self.now_s)

    def newly_lost(self) -> list[Any]:
        return []

    def peer_stats(self) -> dict[int, dict[str, Any]]:
        return {}

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


class WatchTests(SynchronousTestCase):
    """The loop, on a clock of its own."""

    def watch(self, *arguments: str, film_s: float = 10.0) -> FakeCrowd:
        crowd = FakeCrowd(parse(list(arguments)), film_s)
        quiet = Console(file=open(os.devnull, "w"))  # noqa: SIM115 - closed with the test
        self.addCleanup(quiet.file.close)
        Watch(crowd, quiet, lambda: crowd.now_s, crowd.sleep).run()
        return crowd

    def test_viewers_join_two_seconds_apart(self) -> None:
        self.assertEqual(self.watch("3", "--no-browser").joined_s, [0.0, 2.0, 4.0])

    def test_it_ends_with_the_last_viewers_film(self) -> None:
        self.assertEqual(self.watch("3", "--no-browser").now_s, 14.0)

    def test_it_ends_after_its_seconds_though_not_all_have_joined(self) -> None:
        crowd = self.watch("9", "--no-browser", "--seconds", "5")
        self.assertEqual((crowd.now_s, len(crowd.joined_s)), (5.0, 3))


class CrowdTests(SynchronousTestCase):
    """What the programs are told."""

    def test_variables_for_our_daemons_do_not_reach_the_demos(self) -> None:
        given = {"DASHP2P_ORIGIN": "http://elsewhere", "PORT": "1", "TRACKER": "x", "HOME": "/h"}
        with mock.patch.dict(os.environ, given):
            cleaned = clean_environment()
        self.assertEqual(
            {name: cleaned.get(name) for name in given},
            {"DASHP2P_ORIGIN": "", "PORT": "", "TRACKER": "", "HOME": None},
        )

    def test_each_peer_has_a_cache_and_a_report_of_its_own(self) -> None:
        crowd = Crowd(parse(["2", "--state", "/s"]), Path("/film"), mock.sentinel.programs)
        self.assertNotEqual(crowd.cache_of(1), crowd.cache_of(2))
        self.assertNotEqual(crowd.report_of(1), crowd.report_of(2))


STATS: dict[int, dict[str, Any]] = {
    1: {
        "bytes": {"cache": 0, "peers": 1, "origin": 9, "delivered": 10, "uploaded": 7},
        "sessions": [
            {"last_seen_s": 60.0, "qoe": {"stalls": 9, "startup_ms": 9.0}},
            {"last_seen_s": 1.0, "qoe": {"stalls": 2, "startup_ms": 400.0, "player": "page"}},
        ],
    },
    2: {"bytes": {"cache": 0, "peers": 8, "origin": 2, "delivered": 10}, "sessions": []},
}
REPORTS: dict[int, dict[str, Any]] = {2: {"stalls": 0, "startup_ms": 600.0, "state": "ended"}}


class SummaryTests(SynchronousTestCase):
    """What is said at the end."""

    def test_the_latest_session_speaks_for_a_page(self) -> None:
        self.assertEqual(viewing_of(STATS[1], None)["startup_ms"], 400.0)

    def test_a_viewers_own_report_speaks_for_it(self) -> None:
        row = row_of(2, "http://p", STATS[2], REPORTS[2])
        self.assertEqual((row.player, row.state, row.startup_ms), ("viewer", "ended", 600.0))

    def test_a_peer_that_nobody_watched_has_a_row_too(self) -> None:
        row = row_of(3, "http://p", {}, None)
        self.assertEqual((row.player, row.startup_ms, row.origin_bytes), (None, None, 0))

    def test_what_left_the_origin_is_what_the_origin_counted(self) -> None:
        origin = {"bytes": {"media": 12, "index": 2}, "distinct_bytes": {"media": 10, "index": 2}}
        figures = crowd_summary(STATS, REPORTS, origin)
        self.assertEqual(figures.origin_bytes, 14)
        assert figures.copies_per_segment is not None and figures.offload is not None
        self.assertApproximates(figures.copies_per_segment, 14 / 12, 1e-9)
        self.assertApproximates(figures.offload, 1 - 14 / 20, 1e-9)
        self.assertEqual(figures.startup_ms_worst, 600.0)

    def test_without_the_origins_word_the_peers_count(self) -> None:
        self.assertEqual(crowd_summary(STATS, {}, {}).origin_bytes, 11)

    def test_it_is_saved_as_json(self) -> None:
        path = Path(self.mktemp())
        figures = crowd_summary(STATS, REPORTS, {})
        save(path, figures, [row_of(1, "http://p", STATS[1], None)], {}, 12.34)
        document = json.loads(path.read_text())
        self.assertEqual(document["running_s"], 12.3)
        self.assertEqual(document["offload_limit"], 0.5)
        self.assertEqual(document["by_peer"][0]["stalls"], 2)

    def test_a_report_that_is_missing_or_cut_short_is_none(self) -> None:
        path = Path(self.mktemp())
        self.assertIsNone(read_report(path))
        path.write_text('{"stalls": ')
        self.assertIsNone(read_report(path))
