"""The shell scripts: they parse, hold what shellcheck asks, and set up as they promise."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.packaging.support import ROOT

SCRIPTS = (
    "run-demo.sh",
    "run-tests.sh",
    "segment.sh",
    "scripts/setup.sh",
    "scripts/build-wheel.sh",
    "scripts/lock.sh",
    ".ci/run",
)
TIMEOUT_S = 30
LIST = ROOT / "scripts" / "page-libraries"
OLD = "sys.version_info = (3, 9, 1)"
BARE = "sys.modules.update(ensurepip=None)"


class SyntaxTests(SynchronousTestCase):
    """All of them at once."""

    def test_bash_can_read_them(self) -> None:
        for name in SCRIPTS:
            done = subprocess.run(
                ["bash", "-n", str(ROOT / name)], capture_output=True, text=True, timeout=TIMEOUT_S
            )
            self.assertEqual((done.returncode, done.stderr), (0, ""), name)

    def test_shellcheck_finds_nothing(self) -> None:
        if shutil.which("shellcheck") is None:
            raise SkipTest("shellcheck is not installed (on Debian: apt install shellcheck)")
        done = subprocess.run(
            ["shellcheck", "--external-sources", *SCRIPTS],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
        self.assertEqual(done.stdout, "")

    def test_those_that_people_call_can_be_executed(self) -> None:
        for name in ("run-demo.sh", "run-tests.sh", "segment.sh"):
            self.assertTrue(os.access(ROOT / name, os.X_OK), name)


class SegmentTests(SynchronousTestCase):
    """segment.sh in a checkout where nothing was set up."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="dashp2p-segment-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        shutil.copy(ROOT / "segment.sh", self.folder)
        (self.folder / "scripts").mkdir()
        bare = self.folder / "python3"
        bare.write_text("#!/bin/sh\nexit 1\n")
        bare.chmod(0o755)
        made = 'printf "#!/bin/sh\\necho ran \\"\\$@\\"\\n" >"$here/.venv/bin/python"'
        (self.folder / "scripts" / "setup.sh").write_text(
            f"set_up() {{ echo set_up $1; mkdir -p $here/.venv/bin; {made}; "
            "chmod +x $here/.venv/bin/python; }\n"
        )

    def segment(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.folder / "segment.sh"), *arguments],
            env={"PATH": f"{self.folder}{os.pathsep}{os.environ['PATH']}"},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )

    def test_it_sets_the_machine_up_by_itself(self) -> None:
        done = self.segment("film.mp4")
        self.assertEqual(done.returncode, 0, done.stderr)
        told = done.stdout.splitlines()
        self.assertEqual(told[0], "set_up demo")
        self.assertRegex(told[1], r"^ran -m dashp2p\.content\.segment .* film\.mp4$")

    def test_without_a_film_nothing_is_installed(self) -> None:
        done = self.segment()
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn("./segment.sh VIDEO", done.stderr)


class SetUpTests(SynchronousTestCase):
    """Functions of scripts/setup.sh, with programs of our own before the real ones."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="dashp2p-setup-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.programs = self.folder / "bin"
        self.programs.mkdir()

    def program(self, name: str, script: str) -> Path:
        """Put a shell script of this name first on the path."""
        path = self.programs / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path

    def python(self, name: str, prelude: str) -> Path:
        """A Python that first runs `prelude`, as long as it is asked with -c."""
        code = f"import sys; code = sys.argv[1]; {prelude}; exec(code)"
        return self.program(name, f'shift; exec "{sys.executable}" -c "{code}" "$@"')

    def bash(self, commands: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run commands after sourcing setup.sh."""
        return subprocess.run(
            ["bash", "-c", f'set -euo pipefail; . "{ROOT}/scripts/setup.sh"; {commands}'],
            env=self.environment(variables),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )

    def environment(self, variables: dict[str, str]) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name != "PYTHON"}
        path = f"{self.programs}{os.pathsep}{kept.get('PATH', os.defpath)}"
        return {**kept, "PATH": path, "TMPDIR": str(self.folder), **variables}

    def test_the_python_that_was_named_is_taken(self) -> None:
        done = self.bash('find_python; echo "$PYTHON"', PYTHON=sys.executable)
        self.assertEqual(done.stdout.strip(), sys.executable)

    def test_a_name_with_a_blank_in_it_works(self) -> None:
        named = self.python("my python", "pass")
        done = self.bash('find_python; echo "$PYTHON"', PYTHON=str(named))
        self.assertEqual(done.stdout.strip(), str(named))

    def test_an_old_python_is_refused_with_its_version(self) -> None:
        done = self.bash("find_python", PYTHON=str(self.python("old", OLD)))
        self.assertEqual(done.returncode, 1)
        self.assertIn("needs Python 3.10 or newer", done.stderr)
        self.assertIn("is Python 3.9.", done.stderr)

    def test_an_old_python_on_the_path_is_passed_over(self) -> None:
        self.python("python3.13", OLD)
        self.python("python3.12", "pass")
        done = self.bash('find_python; echo "$PYTHON"')
        self.assertEqual(done.stdout.strip(), "python3.12")

    def test_a_python_that_does_not_run_is_named(self) -> None:
        done = self.bash("find_python", PYTHON="/nowhere/python")
        self.assertEqual(done.returncode, 1)
        self.assertIn("PYTHON=/nowhere/python does not run", done.stderr)

    def test_a_bare_ubuntu_is_told_the_command_that_mends_it(self) -> None:
        self.program("id", "echo 1000")
        self.program("apt-get", "exit 9")
        self.python("python3", BARE)
        done = self.bash("find_python", PYTHON="python3")
        self.assertEqual(done.returncode, 1)
        self.assertIn("sudo apt install python3-venv", done.stderr)

    def test_root_on_a_bare_ubuntu_has_it_mended(self) -> None:
        self.program("id", "echo 0")
        mended = self.folder / "mended"
        self.python("python3", f"import os; os.path.exists('{mended}') or {BARE}")
        self.program(
            "apt-get", f'echo "$@" >>"{self.folder}/asked"; [ "$1" = install ] && touch "{mended}"'
        )
        done = self.bash('find_python; echo "$PYTHON"', PYTHON="python3")
        self.assertEqual(done.stdout.splitlines()[-1], "python3", done.stderr)
        self.assertEqual((self.folder / "asked").read_text(), "install --yes python3-venv\n")

    def test_a_half_made_environment_is_not_taken_for_whole(self) -> None:
        half = self.folder / ".venv"
        (half / "bin").mkdir(parents=True)
        (half / "bin" / "python").symlink_to(sys.executable)
        done = self.bash(f'venv="{half}"; venv_is_good && echo good || echo bad')
        self.assertEqual(done.stdout.strip(), "bad")

    def test_an_environment_that_was_moved_is_not_taken_for_whole(self) -> None:
        moved = self.folder / ".venv"
        (moved / "bin").mkdir(parents=True)
        (moved / "bin" / "python").symlink_to(sys.executable)
        (moved / "bin" / "pip").write_text("#!/where/it/was/.venv/bin/python\n")
        done = self.bash(f'venv="{moved}"; venv_is_good && echo good || echo bad')
        self.assertEqual(done.stdout.strip(), "bad")

    def test_a_failing_command_is_heard_and_a_good_one_is_silent(self) -> None:
        done = self.bash("attended echo fine; attended sh -c 'echo why; exit 7' || echo $?")
        self.assertEqual((done.stdout, done.stderr), ("7\n", "why\n"))

    def test_a_library_that_was_changed_is_noticed(self) -> None:
        vendor = self.folder / "vendor"
        vendor.mkdir()
        commands = (
            f'venv="{Path(sys.prefix)}"; libraries_are_whole "{LIST}" "{vendor}" || echo changed'
        )
        for row in (LIST / "files.sha256").read_text().splitlines():
            (vendor / row.split()[2]).write_text("something else")
        self.assertEqual(self.bash(commands).stdout.strip(), "changed")

    def test_a_second_set_up_waits_for_the_first(self) -> None:
        first = self.start("lock_set_up; echo locked; read -r line; echo done")
        assert first.stdout is not None and first.stdin is not None
        self.assertEqual(first.stdout.readline(), b"locked\n")
        second = self.start("lock_set_up; echo locked")
        assert second.stdout is not None
        self.assertIn(b"waiting", second.stdout.readline())
        first.stdin.write(b"\n")
        first.stdin.flush()
        self.assertEqual(second.stdout.readline(), b"locked\n")
        self.assertEqual((first.wait(TIMEOUT_S), second.wait(TIMEOUT_S)), (0, 0))

    def test_a_signal_ends_the_command_under_way_too(self) -> None:
        mark = self.folder / "pid"
        running = self.start(f"attended sh -c 'echo $$ >\"{mark}\"; exec sleep 60'")
        until_s = time.monotonic() + TIMEOUT_S
        while not (mark.is_file() and mark.read_text().strip()) and time.monotonic() < until_s:
            time.sleep(0.02)
        running.send_signal(signal.SIGTERM)
        self.assertEqual(running.wait(TIMEOUT_S), 143)
        self.assertRaises(ProcessLookupError, self.wait_until_gone, int(mark.read_text()))

    def wait_until_gone(self, pid: int) -> None:
        until_s = time.monotonic() + TIMEOUT_S
        while time.monotonic() < until_s:
            os.kill(pid, 0)
            time.sleep(0.02)

    def start(self, commands: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            ["bash", "-c", f'set -euo pipefail; . "{ROOT}/scripts/setup.sh"; {commands}'],
            env=self.environment({"PYTHON": sys.executable}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self.addCleanup(self.end, process)
        return process

    def end(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
