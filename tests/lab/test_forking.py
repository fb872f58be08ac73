"""Programs that start from an interpreter which has imported them already."""

from __future__ import annotations

import atexit
import io
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from dashp2p.lab import forkserver
from dashp2p.lab.forking import ForkedProcess, ForkServer, Job
from dashp2p.lab.processes import Program, python_environment
from dashp2p.lab.starter import READY

_PROGRAM = """
import os, signal, sys, time
print("arguments", sys.argv[1:], os.environ.get("MARK"), os.getcwd(), flush=True)
if sys.argv[1] == "fail": raise ValueError("on purpose")
if sys.argv[1] == "deaf": signal.signal(signal.SIGTERM, signal.SIG_IGN)
if sys.argv[1] == "burn": sum(range(10_000_000))
if sys.argv[1] in ("stay", "deaf"): print("staying", flush=True); time.sleep(60)
sys.exit(int(sys.argv[2]))
"""


@cache
def shared_server() -> ForkServer:
    """One for all tests: its imports take most of a second. It ends with this process."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "odd_program.py").write_text(_PROGRAM)
    paths = os.pathsep.join([str(folder), python_environment()["PYTHONPATH"]])
    with mock.patch.dict(os.environ, {"PYTHONPATH": paths}):
        server = ForkServer(folder).__enter__()
    atexit.register(server.__exit__, None, None, None)
    return server


class ForkServerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.server = shared_server()
        self.folder = self.server.folder

    def start(self, *arguments: str, module: str = "odd_program") -> Program:
        return self.server.start(arguments[0], Job(module, arguments), {"MARK": "here"})

    def wait(self, condition: Callable[[], bool]) -> None:
        until = time.monotonic() + 10
        while not condition():
            self.assertLess(time.monotonic(), until)
            time.sleep(0.01)

    def test_a_program_has_its_arguments_environment_folder_and_log(self) -> None:
        program = self.start("leave", "0")
        self.assertEqual(program.process.wait(10), 0)
        expected = f"arguments ['leave', '0'] here {self.folder}"
        self.assertEqual(program.tail(1), expected)

    def test_its_exit_status_arrives(self) -> None:
        self.assertEqual(self.start("leave", "7").process.wait(10), 7)

    def test_an_error_is_told_in_the_log(self) -> None:
        program = self.start("fail", "0")
        self.assertEqual(program.process.wait(10), 1)
        self.assertIn("on purpose", program.tail())

    def test_a_signal_ends_it_and_is_told(self) -> None:
        program = self.start("stay", "0")
        self.wait(lambda: program.said("staying"))
        self.assertTrue(program.running)
        program.send(signal.SIGKILL)
        self.assertEqual(program.process.wait(10), -signal.SIGKILL)

    def test_a_signal_to_one_that_has_just_ended_goes_nowhere(self) -> None:
        ended = subprocess.Popen([sys.executable, "-c", ""])
        ended.wait()
        ForkedProcess(ended.pid, io.BytesIO()).kill()  # nobody has told it yet

    def test_its_cpu_is_known_when_it_has_ended(self) -> None:
        program = self.start("burn", "0")
        program.process.wait(20)
        self.assertGreater(program.note_cpu(), 0.01)

    def test_waiting_for_one_that_stays_gives_up_in_time(self) -> None:
        program = self.start("stay", "0")
        self.assertRaises(subprocess.TimeoutExpired, program.process.wait, 0.05)

    def test_one_under_the_starter_begins_when_told(self) -> None:
        job = Job("dashp2p.lab.starter", ["odd_program", "leave", "0"])
        program = self.server.start("late", job)
        self.wait(lambda: program.said(READY))
        self.assertFalse(program.said("arguments"))
        program.begin(time.time())
        self.assertEqual(program.process.wait(10), 0)

    def test_what_runs_ends_with_the_server(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        with ForkServer(folder) as server:
            program = server.start("late", Job("dashp2p.lab.starter", ["odd_program", "leave"]))
            self.wait(lambda: program.said(READY))
        self.wait(lambda: not Path(f"/proc/{program.process.pid}").exists())
        self.assertEqual(list(folder.glob(".*.stdin")), [])

    if sys.platform != "linux":
        test_what_runs_ends_with_the_server.skip = "only Linux ends orphans"  # type: ignore[attr-defined]


class PreloadTests(SynchronousTestCase):
    def test_nothing_that_is_imported_before_forking_installs_the_reactor(self) -> None:
        code = (
            f"import importlib, sys\nfor name in {forkserver.PRELOADED!r}:\n"
            "    importlib.import_module(name)\n"
            "sys.exit('twisted.internet.reactor' in sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", code], env=python_environment(), timeout=60)
        self.assertEqual(done.returncode, 0)
