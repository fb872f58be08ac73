"""Each reader in front of noise, briefly; `python -m tests.fuzz.run NAME --seconds S` for long."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest.mock import patch

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.fuzz import mutations
from tests.fuzz.harnesses import HARNESSES
from tests.fuzz.run import have_atheris, main

ROOT = Path(__file__).parents[2]
EXECUTIONS = 1000
SECONDS = 1
PATIENCE_S = 60


def _fuzz(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.fuzz.run", name, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S)


class Noise(SynchronousTestCase):
    """Without coverage, the same inputs in each run."""

    def noise(self, name: str) -> None:
        harness = HARNESSES[name]
        mutations.run(
            harness.check, harness.seeds(), harness.max_bytes, seed=1, executions=EXECUTIONS
        )

    def test_frames_survive_noise(self) -> None:
        self.noise("frames")

    def test_the_index_survives_noise(self) -> None:
        self.noise("index")

    def test_the_signature_survives_noise(self) -> None:
        self.noise("signature")

    def test_the_mpd_survives_noise(self) -> None:
        self.noise("mpd")

    def test_the_range_header_survives_noise(self) -> None:
        self.noise("range")

    def test_cmcd_survives_noise(self) -> None:
        self.noise("cmcd")

    def test_the_trackers_messages_survive_noise(self) -> None:
        self.noise("tracker")


class Engine(SynchronousTestCase):
    """The search itself."""

    def test_a_fault_is_reported_with_the_input_that_showed_it(self) -> None:
        def faulty(data: bytes) -> None:
            if b"\xff" in data:
                raise KeyError("a fault")

        error = self.assertRaises(
            AssertionError, mutations.run, faulty, [b"abc"], 64, seed=1, executions=EXECUTIONS
        )
        data = bytes.fromhex(str(error).rpartition(" ")[2])
        self.assertIn(b"\xff", data)
        self.assertIsInstance(error.__cause__, KeyError)

    def test_the_command_answers_one_line_of_json(self) -> None:
        done = _fuzz("range", "--engine", "plain", "--seconds", "0")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(json.loads(done.stdout)["target"], "range")

    def test_one_input_can_be_run_again(self) -> None:
        with tempfile.NamedTemporaryFile() as file:
            file.write(b"\0\0\0\1bytes=0-0")
            file.flush()
            self.assertEqual(main(["range", "--input", file.name]), 0)

    def test_a_target_that_is_not_there_is_named(self) -> None:
        with patch("sys.stderr") as stderr:
            self.assertEqual(main(["nothing", "--engine", "plain"]), 2)
        said = "".join(str(call.args[0]) for call in stderr.write.call_args_list)
        self.assertIn("frames", said)


class Coverage(SynchronousTestCase):
    """With atheris the search follows coverage."""

    def follow(self, name: str) -> None:
        if not have_atheris():
            raise SkipTest("atheris is not installed (it has wheels for Linux on x86-64 only)")
        done = _fuzz(name, "--engine", "atheris", "--seconds", str(SECONDS))
        lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
        self.assertEqual((done.returncode, len(lines)), (0, 1), done.stdout + done.stderr)
        result = json.loads(lines[0])
        self.assertFalse(result["crashed"])
        self.assertGreater(result["executions"], 50)

    def test_frames_survive_a_search_that_follows_coverage(self) -> None:
        self.follow("frames")

    def test_the_index_survives_a_search_that_follows_coverage(self) -> None:
        self.follow("index")

    def test_the_mpd_survives_a_search_that_follows_coverage(self) -> None:
        self.follow("mpd")

    def test_the_range_header_survives_a_search_that_follows_coverage(self) -> None:
        self.follow("range")
