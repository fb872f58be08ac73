"""The lab's command line."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from dashp2p.lab import browser
from dashp2p.lab.__main__ import main


def said(*arguments: str) -> tuple[int, str, str]:
    """Exit status, stdout, stderr."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main(arguments)
        except SystemExit as left:
            status = left.code if isinstance(left.code, int) else 1
    return status, out.getvalue(), err.getvalue()


class CommandLineTests(SynchronousTestCase):
    def test_help_shows_how_it_is_used(self) -> None:
        status, out, _ = said("--help")
        self.assertEqual(status, 0)
        self.assertIn("python -m dashp2p.lab run 1 --loopback", out)

    def test_an_unknown_row_is_told_with_what_there_is(self) -> None:
        status, _, err = said("run", "nowhere", "--loopback")
        self.assertEqual(status, 2)
        self.assertIn("far-bursts", err)

    def test_an_unknown_ablation_is_refused(self) -> None:
        status, _, err = said("run", "1", "--ablate", "gravity")
        self.assertEqual(status, 2)
        self.assertIn("no-lease", err)

    def test_a_film_that_is_not_there_is_told_before_anything_is_tested(self) -> None:
        for option in ("--dash", "--film"):
            status, out, err = said("run", "1", option, "/nowhere")
            self.assertEqual((status, out), (2, ""))
            self.assertIn("/nowhere", err)

    def test_browsers_without_dash_js_are_refused_before_anything_is_tested(self) -> None:
        self.patch(browser, "client_folder", lambda: Path(self.mktemp()))
        status, out, err = said("run", "1", "--player", "dashjs", "--loopback")
        self.assertEqual((status, out), (2, ""))
        self.assertIn("run-demo.sh", err)

    def test_a_line_that_carries_nothing_is_refused(self) -> None:
        for rate in ("0", "-5", "nan", "1e9", "wide"):
            status, _, err = said("run", "1", "--loopback", "--origin-uplink", rate)
            self.assertEqual(status, 2)
            self.assertIn("--origin-uplink", err)

    def test_no_seeds_are_refused(self) -> None:
        self.assertEqual(said("run", "1", "--seeds", "0")[0], 2)

    def test_rows_are_listed_with_their_targets(self) -> None:
        status, out, _ = said("list")
        self.assertEqual(status, 0)
        self.assertIn("thin-uplinks", out)

    def test_a_summary_of_nobody_says_so(self) -> None:
        status, _, err = said("summary", "http://127.0.0.1:1")
        self.assertEqual(status, 2)
        self.assertIn("no peer answered", err)
