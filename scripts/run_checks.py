"""Run every check, say what was skipped and why, and close on one line of counts.

Called by run-tests.sh. With arguments only trial runs, on these: `run_checks.py tests.wire`.
Exits 0 when nothing failed.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

PYTHON_FOLDERS = ("dashp2p", "tests", "twisted", "scripts", "benchmarks")
JOBS = max(1, min(4, os.cpu_count() or 1))
"""Many tests start processes of their own; more workers than this only slow each other down."""

ONE_BY_ONE = ("tests.browser", "tests.lab")
"""They measure time, or run a crowd: side by side on a small machine they would fail each other."""

STYLE_CHECKS = {
    "ruff check": ("ruff", "check"),
    "ruff format": ("ruff", "format", "--check"),
}
OUTCOME = re.compile(r"^(PASSED|FAILED)(?: \((?P<counts>.*)\))?$")
RULE = re.compile(r"^(=+|-+)$")


@dataclass
class Tally:
    """What happened to all checks so far: a style check counts as one."""

    passed: int = 0
    failed: int = 0
    skips: list[tuple[str, int]] = field(default_factory=list)
    """Reason, and how many tests gave it."""
    broken: list[str] = field(default_factory=list)
    """Names of checks that failed as a whole."""

    @property
    def skipped(self) -> int:
        """How many tests did not run."""
        return sum(count for _, count in self.skips)

    def record(self, name: str, succeeded: bool) -> None:
        """Count one check that either holds or does not."""
        if succeeded:
            self.passed += 1
        else:
            self.failed += 1
            self.broken.append(name)


def trial_counts(line: str) -> dict[str, int] | None:
    """The counts in trial's closing line, `FAILED (failures=1, successes=9)`, or None."""
    match = OUTCOME.match(line.strip())
    if match is None:
        return None
    pairs = (item.split("=") for item in (match["counts"] or "").split(", ") if item)
    return {name: int(count) for name, count in pairs}


def trial_skips(lines: Iterable[str]) -> list[tuple[str, int]]:
    """Reasons for skipping in trial's report, each with the number of tests it stands above.

    A block of the report is a rule, `[SKIPPED]`, the reason, an empty line, then test names.
    """
    skips: list[tuple[str, int]] = []
    block: list[str] | None = None
    for line in [*lines, "==="]:
        text = line.strip()
        if RULE.match(text):
            if block:
                reason, _, names = "\n".join(block).partition("\n\n")
                skips.append((" ".join(reason.split()), max(1, len(names.split()))))
            block = None
        elif text == "[SKIPPED]":
            block = []
        elif block is not None:
            block.append(text)
    return skips


def modules() -> list[str]:
    """Everything right below tests/: a package for each room, and some modules."""
    found = [*Path("tests").glob("*/__init__.py"), *Path("tests").glob("test_*.py")]
    names = (path.parent if path.name == "__init__.py" else path.with_suffix("") for path in found)
    return sorted(".".join(name.parts) for name in names)


def run_trial(arguments: list[str], tally: Tally) -> None:
    """Run trial on the arguments, its report shown as it comes, and add its counts."""
    print("== trial", *arguments, flush=True)
    command = [sys.executable, "-m", "twisted.trial", "--reporter=text", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        report = b""
        try:
            while chunk := os.read(process.stdout.fileno(), 65536):
                sys.stdout.buffer.write(chunk)
                sys.stdout.buffer.flush()
                report += chunk
        except BaseException:
            process.terminate()
            raise
    add_trial_report(report.decode("utf-8", "replace").splitlines(), process.returncode, tally)


def add_trial_report(lines: list[str], status: int, tally: Tally) -> None:
    """Add the counts of trial's report; one that says nothing, or lies, is a failure."""
    counts = next(filter(None, map(trial_counts, reversed(lines))), {})
    failed = 0
    for name, count in counts.items():
        if name in ("successes", "expectedFailures"):
            tally.passed += count
        elif name != "skips":
            failed += count
    tally.failed += failed
    if not counts:
        tally.record(f"trial ran no test (exit status {status})", False)
    elif (status != 0) != (failed != 0):
        tally.record(f"trial ended with exit status {status}", False)
    skips = trial_skips(lines)
    unexplained = counts.get("skips", 0) - sum(count for _, count in skips)
    if unexplained > 0:
        skips.append(("no reason found in trial's report", unexplained))
    tally.skips += skips


def run_style_checks(tally: Tally) -> None:
    """Run ruff and mypy over everything that is Python here."""
    folders = [name for name in PYTHON_FOLDERS if any(Path(name).rglob("*.py"))]
    for name, command in STYLE_CHECKS.items():
        print(f"== {name}", flush=True)
        tally.record(name, _succeeds([sys.executable, "-m", *command, *folders]))
    print("== mypy --strict", flush=True)
    tally.record("mypy", _succeeds([sys.executable, "-m", "mypy"]))


def _succeeds(command: list[str]) -> bool:
    return subprocess.run(command, check=False).returncode == 0


def _end_on_sigterm(signum: int, frame: object) -> None:
    sys.exit(128 + signum)


def main(arguments: list[str]) -> int:
    """Run the checks, print the close, return the exit status."""
    signal.signal(signal.SIGTERM, _end_on_sigterm)
    tally = Tally()
    if not arguments:
        run_style_checks(tally)
    if arguments:
        run_trial(arguments, tally)
    else:
        # Asked for no test at all, trial with --jobs never ends: here there surely are some.
        run_trial(
            [f"--jobs={JOBS}", *(name for name in modules() if name not in ONE_BY_ONE)], tally
        )
        run_trial(list(ONE_BY_ONE), tally)
    print()
    if tally.skips:
        print("Skipped:")
        for reason, count in tally.skips:
            print(f"  {count} x {reason}")
    if arguments:
        print("Not run, since only some tests were asked for: ruff, mypy, all other tests.")
    for name in tally.broken:
        print(f"Failed: {name}")
    print(f"{tally.passed} passed, {tally.failed} failed, {tally.skipped} skipped")
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
