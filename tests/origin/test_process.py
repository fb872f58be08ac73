"""The real daemon, under twistd: it serves, it says why it does not, and it stops."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.processes import slow_reader, wait_until

START_S = 20.0
REPOSITORY = Path(__file__).resolve().parents[2]


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DASHP2P_")}
    for name in ("PORT", "TRACKER", "ORIGIN"):
        kept.pop(name, None)
    return {**kept, "PYTHONPATH": str(REPOSITORY), **more}


class ProcessTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.root = self.folder / "dash"
        self.root.mkdir(parents=True)
        (self.root / "dash.mpd").write_bytes(b"<MPD/>")
        self.segment = os.urandom(3_000_000)
        (self.root / "chunk_0_1.m4s").write_bytes(self.segment)

    def start(self, *argv: str, **environ: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", "from twisted.scripts.twistd import run; run()",
             "-n", "--pidfile=", "dashp2p-origin", *argv],
            cwd=self.folder, env=environment(**environ), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

        def stop() -> None:
            if process.poll() is None:
                process.kill()
            process.communicate()

        self.addCleanup(stop)
        return process

    def port(self, process: subprocess.Popen[str]) -> int:
        """The port that a process started with tcp:0 listens on, from its log."""
        assert process.stdout is not None
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            line = process.stdout.readline()
            match = re.search(r"starting on (\d+)", line)
            if match is not None:
                return int(match.group(1))
            if not line:
                break
        self.fail("the origin did not start")

    def get(self, port: int, path: str, **headers: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()


class RunningTests(ProcessTestCase):
    def says_503(self, port: int) -> bool:
        """A connection that has asked nothing when the stop begins is closed: then ask again."""
        try:
            return self.get(port, "/readyz")[0] == 503
        except http.client.RemoteDisconnected:
            return False

    def test_it_serves_survives_a_swap_and_stops_with_status_zero(self) -> None:
        process = self.start("--listen", "tcp:0:interface=127.0.0.1", "--root", "dash")
        port = self.port(process)
        self.assertEqual(self.get(port, "/dash/chunk_0_1.m4s"), (200, self.segment))
        self.assertEqual(
            self.get(port, "/dash/chunk_0_1.m4s", Range="bytes=5-9"), (206, self.segment[5:10])
        )
        self.assertEqual(self.get(port, "/dash/%2e%2e/%2e%2e/etc/passwd")[0], 404)
        self.assertEqual(self.get(port, "/readyz")[0], 200)
        self.assertIn(b"dashp2p_origin_sent_bytes_total", self.get(port, "/metrics")[1])
        self.root.rename(self.folder / "old")
        self.root.mkdir()
        (self.root / "dash.mpd").write_bytes(b"<MPD2/>")
        self.assertEqual(self.get(port, "/dash/dash.mpd"), (200, b"<MPD2/>"))
        self.assertEqual(self.get(port, "/dash/chunk_0_1.m4s")[0], 404)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(10), 0)

    def test_while_it_stops_a_response_ends_and_it_is_not_ready(self) -> None:
        (self.root / "long.m4s").write_bytes(os.urandom(9_000_000))
        process = self.start("--listen", "tcp:0:interface=127.0.0.1", "--root", "dash")
        port = self.port(process)
        response = slow_reader(self, f"http://127.0.0.1:{port}/dash/long.m4s")
        began = response.read(1000)
        process.send_signal(signal.SIGINT)
        wait_until("it is not ready", lambda: self.says_503(port), 5.0)
        self.assertEqual(self.get(port, "/dash/dash.mpd")[0], 503)
        self.assertEqual(len(began + response.read()), 9_000_000)
        self.assertEqual(process.wait(10), 0)

    def test_a_second_signal_ends_it_at_once(self) -> None:
        (self.root / "long.m4s").write_bytes(os.urandom(9_000_000))
        process = self.start("--listen", "tcp:0:interface=127.0.0.1", "--root", "dash")
        port = self.port(process)
        slow_reader(self, f"http://127.0.0.1:{port}/dash/long.m4s")
        process.send_signal(signal.SIGTERM)
        wait_until("it is not ready", lambda: self.says_503(port), 5.0)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(2), 128 + signal.SIGTERM)

    def test_the_environment_configures_it(self) -> None:
        process = self.start(
            DASHP2P_LISTEN="tcp:0:interface=127.0.0.1", DASHP2P_ROOT=str(self.root)
        )
        self.assertEqual(self.get(self.port(process), "/dash/dash.mpd")[0], 200)


class RefusalTests(ProcessTestCase):
    def refusal(self, *argv: str, **environ: str) -> str:
        """The one line with which a process that cannot start ends."""
        process = self.start(*argv, **environ)
        output, _ = process.communicate(timeout=START_S)
        self.assertEqual(process.returncode, 1, output)
        self.assertNotIn("Traceback", output)
        lines = [line for line in output.splitlines() if "UnixAppLogger#info" not in line]
        self.assertEqual(len(lines), 1, output)
        return lines[0]

    def test_a_missing_root(self) -> None:
        self.assertIn("--root (or DASHP2P_ROOT): 'none' does not", self.refusal("--root", "none"))

    def test_a_bad_endpoint(self) -> None:
        line = self.refusal("--listen", "tcp:http", "--root", "dash")
        self.assertIn("--listen (or DASHP2P_LISTEN): 'tcp:http'", line)

    def test_a_bad_variable(self) -> None:
        line = self.refusal("--root", "dash", PORT="http")
        self.assertIn("the environment variable PORT (or --listen): 'http'", line)

    def test_an_unknown_option(self) -> None:
        self.assertIn("--colour", self.refusal("--colour", "red"))

    def test_a_taken_port(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            where = f"tcp:{taken.getsockname()[1]}:interface=127.0.0.1"
            line = self.refusal("--listen", where, "--root", "dash")
        self.assertIn(f"cannot listen on {where}: ", line)
        self.assertIn("in use", line)
        self.assertIn("--listen ENDPOINT", line)
