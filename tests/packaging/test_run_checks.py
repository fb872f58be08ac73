"""run-tests.sh's closing line is true, whatever trial said."""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.packaging.support import ROOT


def load() -> Any:
    """scripts/run_checks.py, which belongs to no package."""
    spec = importlib.util.spec_from_file_location("run_checks", ROOT / "scripts/run_checks.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    return module


REPORT = """\
Running 6 tests.
...SSF
===============================================================================
[SKIPPED]
no browser here:
install chromium

tests.browser.test_page.PageTests.test_one
tests.browser.test_page.PageTests.test_two
===============================================================================
[FAIL]
Traceback (most recent call last):
twisted.trial.unittest.FailTest: not equal:

tests.wire.test_codec.CodecTests.test_three
-------------------------------------------------------------------------------
Ran 6 tests in 1.000s

FAILED (skips=2, failures=1, successes=3)
"""


class RunChecksTests(SynchronousTestCase):
    """Reading trial's report."""

    def setUp(self) -> None:
        self.checks = load()
        self.tally = self.checks.Tally()

    def add(self, report: str, status: int) -> tuple[int, int, int]:
        self.checks.add_trial_report(report.splitlines(), status, self.tally)
        return self.tally.passed, self.tally.failed, self.tally.skipped

    def test_passed_failed_and_skipped_are_counted(self) -> None:
        self.assertEqual(self.add(REPORT, 1), (3, 1, 2))

    def test_a_reason_for_skipping_stands_with_its_number_of_tests(self) -> None:
        self.add(REPORT, 1)
        self.assertEqual(self.tally.skips, [("no browser here: install chromium", 2)])

    def test_a_skip_whose_reason_is_not_found_is_still_counted(self) -> None:
        self.assertEqual(self.add("PASSED (skips=4, successes=1)", 0), (1, 0, 4))

    def test_a_run_of_no_test_is_a_failure(self) -> None:
        self.assertEqual(self.add("Ran 0 tests in 0.000s\n\nPASSED", 0), (0, 1, 0))

    def test_a_trial_that_died_is_a_failure(self) -> None:
        self.assertEqual(self.add("Traceback (most recent call last):", -9), (0, 1, 0))

    def test_a_bad_exit_status_is_a_failure_though_all_tests_passed(self) -> None:
        self.assertEqual(self.add("PASSED (successes=5)", 1), (5, 1, 0))

    def test_errors_and_unexpected_successes_are_failures(self) -> None:
        report = "FAILED (errors=1, unexpectedSuccesses=2, expectedFailures=3, successes=4)"
        self.assertEqual(self.add(report, 1), (7, 3, 0))

    def test_a_style_check_counts_as_one(self) -> None:
        self.tally.record("ruff check", True)
        self.tally.record("mypy", False)
        self.assertEqual((self.tally.passed, self.tally.failed), (1, 1))
        self.assertEqual(self.tally.broken, ["mypy"])
