"""Each thing that can be missing is said, with what mends it; and the exit status follows."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attrs import define, field
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.__main__ import main
from dashp2p.doctor import checks
from dashp2p.doctor import command as doctor
from dashp2p.doctor.checks import Place
from dashp2p.doctor.finding import BY_SET_UP, MISSING, OK, OPTIONAL, Finding
from dashp2p.doctor.lab import INGRESS, NETEM
from dashp2p.doctor.machine import Answer, Machine
from dashp2p.doctor.report import as_lines, closing_line
from tests.packaging.support import ROOT
from tests.processes import Daemons, without_pythonpath

NOW_S = 1_800_000_000.0
FILES = {f"/page/vendor/{name}" for name in checks.PAGE_LIBRARIES} | {"/dev/net/tun"}
TIMEOUT_S = 60


@define
class FakeMachine(Machine):
    """One that has everything, until a test takes something away."""

    version: tuple[int, int] = (3, 12)
    environment: bool = True
    modules: set[str] = field(factory=lambda: {"venv", "ensurepip", "playwright"})
    distributions: set[str] | None = field(factory=lambda: {"twisted", "rich"})
    found: dict[str, str] = field(
        factory=lambda: {
            name: f"/usr/bin/{name}" for name in ("ffmpeg", "npm", "chromium", "ip", "nft")
        }
    )
    spoken: dict[str, str] = field(
        factory=lambda: {"-encoders": " V..... libx264 ", NETEM: "", INGRESS: "", "--value": "yes"}
    )
    """By a command's last word; what isn't here fails."""
    files: set[str] = field(factory=lambda: set(FILES))
    taken: set[int] = field(factory=set)
    free: int | None = 50 << 30
    file_limit: int | None = 65536
    v6: bool = True
    root: bool = True
    kernel_release: str = "6.1.0-1-amd64"
    system_name: str = "Linux"
    now: float = NOW_S
    answers: dict[str, Answer] = field(factory=dict)
    environ = {}  # noqa: RUF012

    @property
    def python(self) -> tuple[int, int]:
        return self.version

    @property
    def is_environment(self) -> bool:
        return self.environment

    @property
    def system(self) -> str:
        return self.system_name

    @property
    def kernel(self) -> str:
        return self.kernel_release

    @property
    def is_root(self) -> bool:
        return self.root

    @property
    def now_s(self) -> float:
        return self.now

    def find(self, *names: str) -> str | None:
        return next((self.found[name] for name in names if name in self.found), None)

    def says(self, command: Sequence[str]) -> str | None:
        return self.spoken.get(command[-1])

    def can_import(self, module: str) -> bool:
        return module in self.modules

    def packages_asked_for(self, distribution: str) -> list[str] | None:
        return None if self.distributions is None else ["twisted", "rich"]

    def is_installed(self, distribution: str) -> bool:
        return distribution in (self.distributions or ())

    def imageio_ffmpeg(self) -> str | None:
        return self.found.get("imageio")

    def can_read(self, path: str) -> bool:
        return path in self.files

    def free_bytes(self, folder: Path) -> int | None:
        return self.free

    def is_taken(self, port: int) -> bool:
        return port in self.taken

    def open_files(self) -> int | None:
        return self.file_limit

    def has_ipv6(self) -> bool:
        return self.v6

    def ask(self, url: str) -> Answer:
        return self.answers.get(url, Answer(0, "Connection refused"))


CHECKOUT = Place(Path("/home/me/dashp2p"), Path("/page"), Path("/cache"), NOW_S - 1000)
WHEEL = Place(None, Path("/page"), Path("/cache"), NOW_S - 1000)


def look(
    machine: FakeMachine,
    place: Place = CHECKOUT,
    lab: bool = False,
    origin: str | None = None,
    tracker: str | None = None,
) -> dict[str, Finding]:
    """The findings by subject."""
    found = doctor.look(machine, place, lab, origin, tracker)
    return {finding.subject: finding for finding in found}


class MissingTests(SynchronousTestCase):
    """Something is taken away, and the doctor notices."""

    def assert_said(self, finding: Finding, state: str, cure: str) -> None:
        self.assertEqual(finding.state, state, finding)
        self.assertIn(cure, finding.cure)

    def test_a_machine_that_has_all_lacks_nothing(self) -> None:
        for place in (CHECKOUT, WHEEL):
            found = look(FakeMachine(), place, lab=True)
            self.assertEqual([one for one in found.values() if one.state != OK], [])

    def test_an_old_python_is_told_the_version_that_is_needed(self) -> None:
        finding = look(FakeMachine(version=(3, 8)))["Python"]
        self.assert_said(finding, MISSING, "3.10")
        self.assertIn("3.8", finding.found)

    def test_a_bare_ubuntu_is_told_the_package_of_venv(self) -> None:
        bare = FakeMachine(environment=False, modules={"venv"})
        self.assert_said(look(bare)["venv"], MISSING, "sudo apt install python3-venv")

    def test_in_a_checkout_the_set_up_brings_packages_ffmpeg_and_libraries(self) -> None:
        found = look(FakeMachine(distributions=None, found={}, spoken={}, files=set()))
        for subject in ("packages", "ffmpeg", "page"):
            self.assert_said(found[subject], BY_SET_UP, "./run-demo.sh")

    def test_what_the_set_up_has_brought_is_not_said_to_be_lacking(self) -> None:
        mark = str(CHECKOUT.checkout) + "/" + checks.SET_UP_MARK
        finding = look(FakeMachine(distributions=None, files={mark}))["packages"]
        self.assertEqual(finding.state, OK)
        self.assertIn(".venv/bin/dashp2p doctor", finding.found)

    def test_outside_a_checkout_nothing_brings_them(self) -> None:
        found = look(FakeMachine(distributions={"rich"}, found={}, spoken={}, files=set()), WHEEL)
        self.assert_said(found["packages"], MISSING, "pip install")
        self.assertIn("twisted", found["packages"].found)
        self.assert_said(found["page"], MISSING, "scripts/build-wheel.sh")
        self.assert_said(found["ffmpeg"], OPTIONAL, "sudo apt install ffmpeg")

    def test_an_ffmpeg_without_h264_is_none(self) -> None:
        machine = FakeMachine(spoken={"-encoders": " V..... mpeg4 "})
        self.assertNotEqual(look(machine)["ffmpeg"].state, OK)

    def test_windows_npm_is_not_taken_for_one(self) -> None:
        machine = FakeMachine(files=set(), found={"npm": "/mnt/c/Program Files/nodejs/npm"})
        self.assertIn("PyPI", look(machine)["page"].cure)

    def test_a_wheel_without_a_page_says_so(self) -> None:
        place = Place(None, None, Path("/cache"), NOW_S)
        self.assert_said(look(FakeMachine(), place)["page"], MISSING, "--client")

    def test_a_taken_port_is_named_and_hinders_nothing(self) -> None:
        finding = look(FakeMachine(taken={7000}))["ports"]
        self.assert_said(finding, OPTIONAL, "--tracker-port")
        self.assertIn("7000 (tracker)", finding.found)
        self.assertNotIn("9000", finding.found)

    def test_a_full_disk_is_missing_space_and_a_narrow_one_is_a_hint(self) -> None:
        for free, state in ((100 << 20, MISSING), (1 << 30, OPTIONAL), (None, OPTIONAL)):
            self.assertEqual(look(FakeMachine(free=free))["disk"].state, state)

    def test_few_open_files_are_a_hint(self) -> None:
        self.assert_said(look(FakeMachine(file_limit=1024))["open files"], OPTIONAL, "LimitNOFILE")
        self.assertEqual(look(FakeMachine(file_limit=None))["open files"].state, OK)

    def test_without_ipv6_nothing_has_to_be_done(self) -> None:
        self.assertEqual(look(FakeMachine(v6=False))["IPv6"].state, OPTIONAL)

    def test_a_clock_before_the_program_was_written_is_wrong(self) -> None:
        self.assert_said(look(FakeMachine(now=0.0))["clock"], MISSING, "timedatectl")

    def test_a_clock_that_nobody_sets_is_a_hint_and_wsl_has_its_own_cure(self) -> None:
        spoken = {"--value": "no\n"}
        self.assert_said(look(FakeMachine(spoken=spoken))["clock"], OPTIONAL, "timedatectl")
        wsl = FakeMachine(spoken=spoken, kernel_release="5.15.153.1-microsoft-standard-WSL2")
        self.assert_said(look(wsl)["clock"], OPTIONAL, "hwclock")

    def test_wsl_is_told_of_the_slow_disk_and_of_other_machines(self) -> None:
        wsl = FakeMachine(kernel_release="5.15.153.1-microsoft-standard-WSL2", found={})
        self.assertIn("mirrored", look(wsl)["WSL"].cure)
        self.assertEqual(look(wsl)["browser"].state, OK)
        slow = Place(Path("/mnt/c/dashp2p"), None, Path("/cache"), 0.0)
        self.assert_said(look(wsl, slow)["WSL"], OPTIONAL, "below your home")
        self.assertNotIn("WSL", look(FakeMachine()))

    def test_the_lab_counts_only_when_it_is_asked_for(self) -> None:
        poor = FakeMachine(root=False, found={}, files=set(FILES) - {"/dev/net/tun"})
        found = look(poor, lab=True)
        for subject in ("root", "ip", "nft", "tun"):
            self.assertEqual(found[subject].state, MISSING, subject)
            self.assertNotIn(subject, look(poor))
        self.assertEqual(found["Chromium"].state, OPTIONAL)
        self.assertEqual(look(FakeMachine(system_name="Darwin"), lab=True)["Linux"].state, MISSING)

    def test_a_kernel_without_netem_is_shown_the_other_way(self) -> None:
        self.assertIn("nft", look(FakeMachine(spoken={INGRESS: ""}), lab=True)["netem"].cure)
        self.assertIn("apt install", look(FakeMachine(spoken={}), lab=True)["netem"].cure)


class ServerTests(SynchronousTestCase):
    """Origin and tracker, where they are named."""

    def origin(self, answer: Answer) -> Finding:
        machine = FakeMachine(answers={"http://o/dash/index.sig": answer})
        return look(machine, origin="http://o/dash/")["origin"]

    def test_one_that_answers_is_fine(self) -> None:
        self.assertEqual(self.origin(Answer(200, "", 2.0)).state, OK)

    def test_a_film_without_an_index_is_told_what_writes_one(self) -> None:
        finding = self.origin(Answer(404, "Not Found"))
        self.assertEqual((finding.state, "segment.sh" in finding.cure), (MISSING, True))

    def test_one_that_does_not_answer_is_missing(self) -> None:
        found = look(FakeMachine(), tracker="http://t:7000")["tracker"]
        self.assertEqual(found.state, MISSING)
        self.assertIn("http://t:7000/healthz: Connection refused", found.found)

    def test_a_clock_that_is_off_is_named(self) -> None:
        for ahead_s, way in ((300.0, "300 s ahead"), (-90.0, "90 s behind")):
            finding = self.origin(Answer(200, "", ahead_s))
            self.assertEqual(finding.state, OPTIONAL)
            self.assertIn(way, finding.found)

    def test_a_running_tracker_answers(self) -> None:
        tracker = Daemons(self).tracker()
        tracker.wait_ready()
        answer = Machine().ask(f"{tracker.url}/healthz")
        self.assertEqual(answer.status, 200)
        assert answer.ahead_s is not None
        self.assertLess(abs(answer.ahead_s), 30)
        self.assertEqual(Machine().ask(f"{tracker.url}/nothing").status, 404)


class CommandTests(SynchronousTestCase):
    """What people type."""

    def run_main(self, *arguments: str) -> tuple[int, str]:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            status = main(arguments)
        return status, printed.getvalue()

    def document(self, *arguments: str) -> tuple[int, Any]:
        status, printed = self.run_main("doctor", "--json", *arguments)
        return status, json.loads(printed)

    def test_json_agrees_with_the_exit_status(self) -> None:
        status, document = self.document()
        self.assertEqual(document["ready"], status == 0)
        states = {finding["state"] for finding in document["findings"]}
        self.assertEqual(document["ready"], MISSING not in states)

    def test_a_tracker_that_is_not_there_makes_it_1(self) -> None:
        status, document = self.document("--tracker", "http://127.0.0.1:1")
        self.assertEqual((status, document["ready"]), (1, False))

    def test_the_table_holds_every_subject(self) -> None:
        _, document = self.document()
        _, table = self.run_main("doctor")
        for finding in document["findings"]:
            self.assertIn(finding["subject"], table)

    def test_without_a_command_the_usage_is_shown(self) -> None:
        self.assertEqual(self.run_main()[0], 2)
        status, said = self.run_main("doktor")
        self.assertEqual((status, said.splitlines()[0]), (2, "dashp2p: there is no command doktor"))
        status, usage = self.run_main("--help")
        self.assertEqual((status, "dashp2p doctor" in usage), (0, True))

    def test_the_last_line_says_how_it_stands(self) -> None:
        good = Finding("programs", "Python", OK, "3.12")
        comes = Finding("programs", "ffmpeg", BY_SET_UP, "none")
        lacks = Finding("programs", "venv", MISSING, "none", "get it")
        self.assertEqual(closing_line([good]), "Nothing is missing.")
        self.assertIn("brings the rest", closing_line([good, comes]))
        self.assertEqual(closing_line([comes, lacks]), "Missing: venv.")
        self.assertIn("-> get it", as_lines([lacks]))

    def test_it_runs_where_nothing_is_installed(self) -> None:
        done = subprocess.run(
            [sys.executable, "-S", "-m", "dashp2p", "doctor", "--json"],
            cwd=ROOT,
            env=without_pythonpath(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
        states = {item["subject"]: item["state"] for item in json.loads(done.stdout)["findings"]}
        is_set_up = (ROOT / checks.SET_UP_MARK).exists()
        self.assertEqual(states["packages"], OK if is_set_up else BY_SET_UP, done.stderr)

    def test_the_libraries_that_it_looks_for_are_those_of_the_page(self) -> None:
        listed = (ROOT / "scripts/page-libraries/files.sha256").read_text().split()
        self.assertEqual(set(checks.PAGE_LIBRARIES) - set(listed), set())
