"""The rehearsal: its options, its course with a crowd that is none, and one with real programs."""

from __future__ import annotations

import argparse
import contextlib
import io
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from attrs import evolve
from rich.console import Console
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.lab.rehearse.options import Plan, add_arguments, plan
from dashp2p.lab.rehearse.rehearsal import Watch, conclude, rehearsed
from dashp2p.lab.report import page
from dashp2p.lab.scenario import Variant
from tests.content.films import make_film
from tests.lab.measured import FILM_BYTES, viewer_report
from tests.processes import environment, free_port, wait_until

NEEDED = ("--origin", "http://o.example:9000/dash", "--tracker", "http://t.example:7000")


def planned(*arguments: str) -> Plan:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return plan(parser.parse_args(arguments), parser)


class OptionTests(SynchronousTestCase):
    def refused(self, *arguments: str) -> str:
        said = io.StringIO()
        with contextlib.redirect_stderr(said), self.assertRaises(SystemExit):
            planned(*arguments)
        return said.getvalue()

    def test_viewers_and_two_addresses_are_all_that_is_needed(self) -> None:
        found = planned("--peers", "3", *NEEDED)
        self.assertEqual((found.peers, found.seconds, found.at), (3, 300.0, None))
        self.assertTrue(found.with_peers)

    def test_what_is_missing_is_named(self) -> None:
        self.patch(__import__("os"), "environ", {})
        self.assertIn("--peers", self.refused(*NEEDED))
        self.assertIn("--origin", self.refused("--peers", "3", *NEEDED[2:]))
        self.assertIn("--tracker", self.refused("--peers", "3", *NEEDED[:2]))
        self.assertFalse(planned("--peers", "3", "--without-peers", *NEEDED[:2]).with_peers)

    def test_addresses_may_stand_in_the_environment(self) -> None:
        variables = {"DASHP2P_ORIGIN": NEEDED[1], "DASHP2P_TRACKER": NEEDED[3]}
        self.patch(__import__("os"), "environ", variables)
        self.assertEqual(planned("--peers", "3").origin, NEEDED[1])

    def test_a_bad_value_is_told_with_what_was_expected(self) -> None:
        for bad in (
            ("--peers", "0"),
            ("--peers", "201"),
            ("--minutes", "nan"),
            ("--minutes", "-1"),
            ("--origin", "ftp://x"),
            ("--spacing", "-1"),
            ("--at", "25:00"),
            ("--at", "noon"),
            ("--name", "a b"),
            ("--upload-rate", "fast"),
            ("--exchange-port", "65535"),
        ):
            self.assertIn(bad[0], self.refused("--peers", "2", *NEEDED, *bad))

    def test_it_begins_at_the_next_such_time_of_day(self) -> None:
        now = time.time()
        wished = planned("--peers", "1", *NEEDED, "--at", "10:30").at
        assert wished is not None
        self.assertTrue(now < wished <= now + 25 * 3600)
        self.assertEqual(time.localtime(wished)[3:6], (10, 30, 0))

    def test_further_options_go_to_the_peers(self) -> None:
        found = planned("--peers", "1", *NEEDED, "--", "--ca", "ours.pem")
        self.assertEqual(found.peer_options, ("--ca", "ours.pem"))


class FakeCrowd:
    """Each viewer plays for `film_s`."""

    def __init__(self, film_s: float) -> None:
        self.film_s = film_s
        self.now_s = 0.0
        self.began: dict[str, float] = {}
        self.hosts = ["pc-01", "pc-02"]

    @property
    def playing(self) -> int:
        return sum(self.now_s < at_s + self.film_s for at_s in self.began.values())

    def start_viewer(self, host: str) -> None:
        self.began[host] = self.now_s

    def stats(self) -> dict[str, dict[str, Any]]:
        return {"pc-01": {"bytes": {"origin": int(self.now_s) * 100, "delivered": 1000}}}

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


class WatchTests(SynchronousTestCase):
    def watch(self, film_s: float, **changes: Any) -> tuple[Watch, FakeCrowd, list[str]]:
        given = evolve(planned("--peers", "2", *NEEDED, "--spacing", "2"), seconds=60.0, **changes)
        crowd, said = FakeCrowd(film_s), list[str]()
        watch = Watch(
            given, crowd, lambda _, text: said.append(text), lambda: crowd.now_s, crowd.sleep
        )
        watch.run()
        return watch, crowd, said

    def test_viewers_come_one_after_the_other_and_their_end_is_its_end(self) -> None:
        watch, crowd, _ = self.watch(20.0)
        self.assertEqual(crowd.began, {"pc-01": 0.0, "pc-02": 2.0})
        self.assertEqual(watch.running_s, 22.0)

    def test_it_ends_after_its_time_though_the_film_goes_on(self) -> None:
        self.assertEqual(self.watch(1000.0)[0].running_s, 60.0)

    def test_it_says_how_it_goes_and_keeps_what_peers_tell(self) -> None:
        watch, _, said = self.watch(8.0)
        self.assertEqual(said[3], "2 of 2 viewers playing, origin spared 70%")
        self.assertEqual(watch.log.samples[3].value_bytes, 300)


class ResultTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.plan = evolve(planned("--peers", "2", *NEEDED), out=Path(self.mktemp()), name="pc")
        crowd = FakeCrowd(0.0)
        self.watch = Watch(self.plan, crowd, lambda *_: None, running_s=30.0)
        self.watch.came = {"pc-01": 0.0, "pc-02": 1.0}
        self.said = io.StringIO()

    def conclude(self, reports: dict[str, Any], **changes: Any) -> int:
        given = evolve(self.plan, **changes)
        run = rehearsed(given, self.watch, reports, {}, 1e9, 0.2, lambda _: "connection refused")
        return conclude(given, run, Console(file=self.said, width=200))

    def test_a_crowd_that_was_carried_ends_with_0_and_leaves_run_and_report(self) -> None:
        self.assertEqual(self.conclude(dict.fromkeys(self.watch.came, viewer_report())), 0)
        self.assertIn("Yes: ", self.said.getvalue())
        self.assertTrue((self.plan.out / "peers-pc" / "run.json").is_file())
        self.assertIn("Yes: ", (self.plan.out / "report.html").read_text())

    def test_a_viewer_that_saw_nothing_ends_it_with_1_and_its_last_words(self) -> None:
        self.assertEqual(self.conclude({"pc-01": viewer_report(), "pc-02": None}), 1)
        self.assertIn("one viewer never saw a picture", self.said.getvalue())
        self.assertIn("connection refused", self.said.getvalue())

    def test_who_came_a_moment_before_the_end_is_not_counted(self) -> None:
        self.watch.came["pc-03"] = 29.0
        reports: dict[str, Any] = dict.fromkeys(("pc-01", "pc-02"), viewer_report())
        self.assertEqual(self.conclude({**reports, "pc-03": None}), 0)

    def test_who_gave_up_at_once_is_counted_however_short_it_all_was(self) -> None:
        self.watch.running_s = 3.0
        failed = {**viewer_report(), "startup_ms": None, "error": "no answer", "segments": []}
        self.assertEqual(self.conclude(dict.fromkeys(self.watch.came, failed)), 1)
        self.assertIn("two viewers never saw a picture", self.said.getvalue())
        self.assertIn("gave up: no answer", self.said.getvalue())

    def test_a_rehearsal_in_which_nobody_was_seen_is_no_yes(self) -> None:
        self.watch.running_s = 1.0
        self.assertEqual(self.conclude(dict.fromkeys(self.watch.came, None)), 1)
        self.assertNotIn("Yes", self.said.getvalue())

    def test_without_peers_all_comes_from_the_origin_and_stands_beside_them(self) -> None:
        reports = dict.fromkeys(self.watch.came, viewer_report())
        plain = rehearsed(evolve(self.plan, with_peers=False), self.watch, reports, {}, 1e9, 0.2)
        self.assertEqual(plain.result.variant, Variant.PLAIN)
        self.assertEqual(plain.result.egress_bytes, 2 * FILM_BYTES)
        self.conclude(reports)
        self.conclude(reports, with_peers=False)
        text = page.write([self.plan.out], self.plan.out / "both.html").read_text()
        self.assertIn("plain DASH", text)
        self.assertEqual(text.count('class="experiment"'), 1)


class ProgramTests(SynchronousTestCase):
    """With a real origin, tracker and peers."""

    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory(prefix="dashp2p-re-", ignore_cleanup_errors=True)
        self.addCleanup(scratch.cleanup)
        self.folder = Path(scratch.name)
        (self.folder / "tmp").mkdir()

    def start(self, log: str, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        variables = {
            "TMPDIR": str(self.folder / "tmp"),
            "DASHP2P_TICKET_KEY": "",
            "HOME": str(self.folder),
        }
        with (self.folder / log).open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env=environment(variables),
            )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def said(self, log: str) -> str:
        return (self.folder / log).read_text(errors="replace")

    def test_ctrl_c_ends_it_with_a_report_of_what_was_seen_and_nothing_left(self) -> None:
        make_film(self.folder / "film.mp4", seconds=20)
        cut = ["-m", "dashp2p.content.segment", str(self.folder / "film.mp4")]
        ladder = environment({"DASHP2P_LADDER": "90:100", "DASHP2P_PRESET": "ultrafast"})
        root = str(self.folder / "dash")
        subprocess.run([sys.executable, *cut, root], check=True, capture_output=True, env=ladder)
        origin, tracker = free_port(), free_port()
        listen = "tcp:{}:interface=127.0.0.1"
        daemon = ("dashp2p.lab.daemon", "-n", "--pidfile=")
        self.start(
            "origin", *daemon, "dashp2p-origin", "--listen", listen.format(origin), "--root", root
        )
        self.start("tracker", *daemon, "dashp2p-tracker", "--listen", listen.format(tracker))
        rehearsal = self.start(
            "rehearsal",
            *("dashp2p.lab", "rehearse", "--peers", "2", "--minutes", "2", "--name", "pc"),
            *("--spacing", "0", "--out", "out"),
            *("--origin", f"http://127.0.0.1:{origin}/dash"),
            *("--tracker", f"http://127.0.0.1:{tracker}"),
        )
        wait_until(
            "pictures",
            lambda: "2 of 2 viewers" in self.said("rehearsal") or rehearsal.poll() is not None,
            60.0,
        )
        (work,) = (self.folder / "tmp").glob("dashp2p-rehearsal-*")
        self.assertTrue((work / "cache-pc-01").is_dir())
        time.sleep(3.0)  # for something to be seen: it is what is reported
        rehearsal.send_signal(signal.SIGINT)
        self.assertIn(rehearsal.wait(30.0), (0, 1), self.said("rehearsal"))
        self.assertIn("two viewers", self.said("rehearsal"))
        self.assertTrue((self.folder / "out" / "report.html").is_file())
        self.assertEqual(list((self.folder / "tmp").glob("dashp2p-rehearsal-*")), [])
        listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
        self.assertNotIn(str(work), listed)

    def test_an_origin_that_does_not_answer_is_one_clear_line(self) -> None:
        nowhere = f"http://127.0.0.1:{free_port()}"
        rehearsal = self.start(
            "rehearsal",
            *("dashp2p.lab", "rehearse", "--peers", "1", "--minutes", "1", "--without-peers"),
            *("--origin", nowhere, "--out", "out"),
        )
        self.assertEqual(rehearsal.wait(60.0), 1, self.said("rehearsal"))
        self.assertIn("No: one viewer without peers", self.said("rehearsal"))
        self.assertIn("dash.mpd", self.said("rehearsal"))
