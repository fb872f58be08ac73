"""What docs/players.md tells people to copy is what the tests play with."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.browser.sites import HLS, SHAKA
from tests.packaging.support import ROOT


class PlayersTests(SynchronousTestCase):
    """The snippets."""

    def test_those_of_hls_js_and_shaka_are_those_that_the_browser_tests_run(self) -> None:
        text = (ROOT / "docs" / "players.md").read_text()
        for script in (HLS, SHAKA):
            self.assertIn(script, text)
