"""The demo's command line is judged before anything is set up or started."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from dashp2p.lab.demo_options import DemoOptions, is_taken, parse, taken_ports

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 30


class DemoOptionsTests(SynchronousTestCase):
    """What is refused, and how."""

    def refused(self, *arguments: str) -> str:
        said = StringIO()
        with redirect_stderr(said):
            ended = self.assertRaises(SystemExit, parse, list(arguments))
        self.assertEqual(ended.code, 2)
        self.assertEqual(said.getvalue().count("\n"), 1, "one line")
        return said.getvalue()

    def test_the_number_of_peers_is_asked_for(self) -> None:
        self.assertIn("N", self.refused())

    def test_a_number_that_is_none_is_refused(self) -> None:
        self.assertIn("'many'", self.refused("many"))

    def test_no_peer_at_all_is_refused(self) -> None:
        self.assertIn("from 1 to", self.refused("0"))

    def test_more_peers_than_a_machine_has_room_for_are_refused(self) -> None:
        self.assertIn("from 1 to", self.refused("201"))

    def test_a_missing_film_is_named(self) -> None:
        self.assertIn("there is no file /no/film.mp4", self.refused("2", "--video", "/no/film.mp4"))

    def test_a_negative_time_is_refused(self) -> None:
        self.assertIn("--seconds", self.refused("2", "--seconds", "-1"))

    def test_a_time_that_is_no_number_is_refused(self) -> None:
        self.assertIn("--seconds", self.refused("2", "--seconds", "nan"))

    def test_an_unknown_option_is_named(self) -> None:
        self.assertIn("--frobnicate", self.refused("2", "--frobnicate"))

    def test_a_port_that_does_not_exist_is_refused(self) -> None:
        self.assertIn("65536", self.refused("2", "--peer-port", "65535"))

    def test_two_daemons_on_one_port_are_refused(self) -> None:
        self.assertIn("peer 2 would share port 9000", self.refused("2", "--peer-port", "8999"))

    def test_peers_follow_each_other_from_8001_on(self) -> None:
        options = parse(["3"])
        ports = [port for port, _, _ in options.ports()]
        self.assertEqual(ports, [9000, 7000, 8001, 8002, 8003])


class PortTests(SynchronousTestCase):
    """With real sockets on the loopback."""

    def listen(self, host: str = "127.0.0.1") -> int:
        listener = socket.socket()
        self.addCleanup(listener.close)
        listener.bind((host, 0))
        listener.listen()
        return int(listener.getsockname()[1])

    def options(self, **ports: int) -> DemoOptions:
        given = [f"--{name}-port={port}" for name, port in ports.items()]
        return parse(["1", *given])

    def test_a_free_port_is_free(self) -> None:
        with socket.socket() as passing:
            passing.bind(("127.0.0.1", 0))
            port = passing.getsockname()[1]
        self.assertFalse(is_taken(port))

    def test_a_port_that_somebody_listens_on_is_taken(self) -> None:
        self.assertTrue(is_taken(self.listen()))

    def test_a_port_that_is_taken_on_all_addresses_is_taken(self) -> None:
        self.assertTrue(is_taken(self.listen("0.0.0.0")))

    def test_each_taken_port_is_named_with_the_option_that_moves_it(self) -> None:
        origin, peer = self.listen(), self.listen()
        free = 1024 if not is_taken(1024) else 1025
        said = taken_ports(self.options(origin=origin, tracker=free, peer=peer))
        self.assertEqual(len(said), 2)
        self.assertIn(f"Port {origin}, for the origin, is taken", said[0])
        self.assertIn("--origin-port", said[0])
        self.assertIn(f"Port {peer}, for peer 1, is taken", said[1])
        self.assertIn("--peer-port", said[1])


class RunDemoTests(SynchronousTestCase):
    """run-demo.sh itself."""

    def run_demo(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", str(ROOT / "run-demo.sh"), *arguments],
            cwd=tempfile.gettempdir(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )

    def test_a_taken_port_stops_it_before_it_makes_anything(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="dashp2p-demo-")
        self.addCleanup(folder.cleanup)
        state = Path(folder.name) / "state"
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            port = listener.getsockname()[1]
            done = self.run_demo("2", "--tracker-port", str(port), "--state", str(state))
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"Port {port}, for the tracker, is taken", done.stderr)
        self.assertIn("--tracker-port", done.stderr)
        self.assertIn("Nothing was started.", done.stderr)
        self.assertEqual(done.stdout, "")
        self.assertFalse(state.exists())

    def test_a_bad_option_is_one_line_and_status_2(self) -> None:
        done = self.run_demo("three")
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertEqual(done.stderr.count("\n"), 1)

    def test_help_is_shown_without_setting_anything_up(self) -> None:
        done = self.run_demo("--help")
        self.assertEqual(done.returncode, 0)
        self.assertIn("--no-browser", done.stdout)

    def test_its_checks_run_on_a_bare_python(self) -> None:
        done = subprocess.run(
            [
                sys.executable,
                "-I",
                "-S",
                "-c",
                f"import sys; sys.path.insert(0, {str(ROOT)!r}); "
                "from dashp2p.lab.demo_options import main; sys.exit(main(['0']))",
            ],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
        self.assertEqual(done.returncode, 2, done.stderr)
