"""The demo as a process: it plays, ends, and leaves nothing running, whatever ends it."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest import skipUnless

from twisted.trial.unittest import SynchronousTestCase

from dashp2p.lab.demo_options import is_taken
from tests.content.films import make_film
from tests.processes import environment, free_port, get_json, wait_until

PEERS = 2
FILM_S = 4
START_S = 60.0
END_S = 60.0
LADDER = {"DASHP2P_LADDER": "90:100", "DASHP2P_PRESET": "ultrafast"}
ROW = re.compile(r"│ (?:origin|tracker|peer-\d+) +│ \S+ +│ (\d+) +│")


class DemoRunTests(SynchronousTestCase):
    """With real daemons, and a small film."""

    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory(prefix="dashp2p-demo-", ignore_cleanup_errors=True)
        self.addCleanup(scratch.cleanup)
        self.state = Path(scratch.name) / "state"
        self.said = Path(scratch.name) / "said"
        self.film = Path(scratch.name) / "film.mp4"
        self.ports = [free_port(), free_port(), self.two_free_ports()]

    def two_free_ports(self) -> int:
        port = free_port()
        while port >= 65535 or is_taken(port + 1):
            port = free_port()
        return port

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        names = ("--origin-port", "--tracker-port", "--peer-port")
        moved = [f"{name}={port}" for name, port in zip(names, self.ports, strict=True)]
        command = [sys.executable, "-m", "dashp2p.lab.demo", str(PEERS), "--no-browser", *moved]
        command += ["--state", str(self.state), "--video", str(self.film), *arguments]
        with self.said.open("wb") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment(LADDER),
            )
        self.addCleanup(self.end, process)
        return process

    def end(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.wait()
        for pid in self.pids():
            if self.runs(pid):
                os.kill(pid, signal.SIGKILL)

    def pids(self) -> list[int]:
        """The daemons, as the demo's table lists them."""
        return [int(pid) for pid in ROW.findall(self.said.read_text(errors="replace"))]

    def runs(self, pid: int) -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        # A child of a demo that was killed may wait for somebody to collect it.
        state = subprocess.run(["ps", "-o", "state=", "-p", str(pid)], capture_output=True).stdout
        return state.strip()[:1] not in (b"", b"Z")

    def wait_until_introduced(self, process: subprocess.Popen[bytes]) -> None:
        """Until all is started and listed, or it ended without."""
        listed = PEERS + 2
        wait_until(
            f"{listed} daemons in the table",
            lambda: len(self.pids()) == listed or process.poll() is not None,
            START_S,
        )
        self.assertEqual(len(self.pids()), listed, self.said.read_text())

    def assert_nothing_is_left(self, pids: list[int]) -> None:
        wait_until("all daemons gone", lambda: not any(self.runs(pid) for pid in pids), END_S)
        self.assertEqual([port for port in self.ports if is_taken(port)], [])

    def test_it_plays_ends_by_itself_and_leaves_its_figures(self) -> None:
        make_film(self.film, seconds=FILM_S)
        process = self.start()
        status = process.wait(START_S + END_S)
        self.assertEqual(status, 0, self.said.read_text())
        self.assert_nothing_is_left(self.pids())
        summary = json.loads((self.state / "summary.json").read_text())
        self.assertEqual(summary["offload_limit"], 0.5)
        self.assertEqual([row["state"] for row in summary["by_peer"]], ["ended", "ended"])
        self.assertGreater(summary["delivered_bytes"], 0)
        self.assertGreater(summary["peer_bytes"], 0)
        self.assertGreater(summary["offload"], 0)
        self.assertIn("1 - 1/N", self.said.read_text())
        report = self.state / "report.html"
        self.assertIn(f"Report: {report}", self.said.read_text())
        self.assertIn("Two viewers cost the origin", report.read_text())

    def test_ctrl_c_stops_everything_and_still_tells_what_it_came_to(self) -> None:
        make_film(self.film, seconds=FILM_S)
        process = self.start("--no-viewers")
        self.wait_until_introduced(process)
        peers = get_json(f"http://127.0.0.1:{self.ports[2] + 1}/stats")
        self.assertEqual(peers["v"], 1)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(END_S), 0, self.said.read_text())
        self.assert_nothing_is_left(self.pids())
        self.assertTrue((self.state / "summary.json").is_file())
        self.assertIn("Nobody watched", self.said.read_text())

    def test_sigterm_in_the_middle_of_the_film_stops_everything(self) -> None:
        make_film(self.film, seconds=FILM_S)
        process = self.start("--seconds", "100")
        self.wait_until_introduced(process)
        wait_until("a viewer plays", (self.state / "logs" / "viewer-1.log").is_file, START_S)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(END_S), 0, self.said.read_text())
        self.assert_nothing_is_left(self.pids())

    @skipUnless(sys.platform == "linux", "only Linux ends a process when its parent was killed")
    def test_when_it_is_killed_itself_its_daemons_end_too(self) -> None:
        make_film(self.film, seconds=FILM_S)
        process = self.start("--no-viewers")
        self.wait_until_introduced(process)
        process.kill()
        process.wait(END_S)
        self.assert_nothing_is_left(self.pids())

    def test_a_daemon_that_cannot_start_is_quoted_and_the_others_are_stopped(self) -> None:
        make_film(self.film, seconds=FILM_S)
        (self.state / "cache").mkdir(parents=True)
        (self.state / "cache" / "peer1").write_text("no folder")
        process = self.start("--keep-cache")
        self.assertEqual(process.wait(START_S), 1, self.said.read_text())
        said = self.said.read_text()
        self.assertIn("peer-1 did not start", said)
        self.assertIn("--cache", said)
        self.assertEqual([port for port in self.ports if is_taken(port)], [])

    def test_a_film_that_is_none_is_said_and_nothing_is_started(self) -> None:
        self.film.write_text("no film at all")
        self.assertEqual(self.start().wait(START_S), 1)
        self.assertIn("No film to play", self.said.read_text())
        self.assertFalse((self.state / "logs").exists())

    def test_a_second_demo_in_the_same_folder_is_refused(self) -> None:
        self.film.write_text("never looked at")
        self.state.mkdir()
        with (self.state / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.assertEqual(self.start().wait(START_S), 1)
        self.assertIn("Another demo runs in", self.said.read_text())
        self.assertIn("--state", self.said.read_text())
