"""The experiment report in a browser: drawn from its one file, on a desk, a phone and paper."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from dashp2p.lab.report import page
from tests.browser.browser import DESKTOP, PHONE, Tab, open_page, require_libraries
from tests.lab.measured import whole_experiment

SHOTS_VARIABLE = "DASHP2P_SCREENSHOTS"
"""A folder where screenshots are kept, for people to look at."""


class ReportPageTests(SynchronousTestCase):
    def open(self, size: tuple[int, int], scheme: str = "light") -> Tab:
        require_libraries()
        written = page.write_runs(whole_experiment(), Path(self.mktemp()) / "report.html")
        return open_page(self, written.absolute().as_uri(), size, scheme)

    def keep(self, tab: Tab, name: str) -> None:
        """A screenshot of all of it; it must show something."""
        folder = Path(os.environ.get(SHOTS_VARIABLE) or self.mktemp())
        folder.mkdir(parents=True, exist_ok=True)
        shot = folder / f"report-{name}.png"
        tab.page.screenshot(path=shot, full_page=True)
        self.assertGreater(shot.stat().st_size, 20_000)

    def draw_all(self, tab: Tab) -> int:
        """Go down the page as a reader does, until every chart is there."""
        count = int(tab.number("document.querySelectorAll('[data-chart]').length"))
        for number in range(count):
            tab.page.locator("[data-chart]").nth(number).scroll_into_view_if_needed()
        drawn = "document.querySelectorAll('[data-chart] canvas').length"
        tab.until("all charts drawn", lambda: tab.number(drawn) == count)
        return count

    def test_on_a_desk_it_shows_words_tables_and_charts_and_asks_nobody(self) -> None:
        tab = self.open(DESKTOP)
        self.assertEqual(self.draw_all(tab), 16)
        self.assertIn("cost the origin", tab.text(".finding:first-child"))
        self.assertEqual(tab.errors, [])
        self.assertEqual(tab.hosts, set())
        self.keep(tab, "desktop")

    def test_the_charts_show_the_measured_values_under_the_cursor(self) -> None:
        tab = self.open(DESKTOP)
        chart = tab.page.locator("[data-chart='e0-egress'] .u-over")
        chart.scroll_into_view_if_needed()
        chart.hover()
        tab.until_text("[data-chart='e0-egress'] .u-legend", "plain DASH")
        values = tab.page.locator("[data-chart='e0-egress'] .u-legend .u-value")
        tab.until("a number", lambda: values.nth(1).inner_text().replace(".", "").isdigit())

    def test_on_a_phone_nothing_but_tables_is_wider_than_the_screen(self) -> None:
        tab = self.open(PHONE)
        self.draw_all(tab)
        self.assertEqual(tab.number("document.documentElement.scrollWidth"), PHONE[0])
        self.assertEqual(tab.errors, [])
        self.keep(tab, "phone")

    def test_tables_that_scroll_can_be_reached_by_keys(self) -> None:
        tab = self.open(PHONE)
        tab.page.keyboard.press("Tab")
        focused = "document.activeElement.classList.contains('scroll') ? 1 : 0"
        self.assertEqual(tab.number(focused), 1)

    def test_in_the_dark_it_is_dark(self) -> None:
        tab = self.open(DESKTOP, "dark")
        self.draw_all(tab)
        background = "getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]"
        self.assertLess(tab.number(f"Number({background})"), 60)
        self.keep(tab, "dark")

    def test_on_paper_it_is_light_and_whole(self) -> None:
        tab = self.open(DESKTOP, "dark")
        tab.page.evaluate("dispatchEvent(new Event('beforeprint'))")
        tab.page.emulate_media(media="print")
        drawn = "document.querySelectorAll('[data-chart] canvas').length"
        self.assertEqual(tab.number(drawn), 16)
        background = "getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]"
        self.assertGreater(tab.number(f"Number({background})"), 250)
        self.keep(tab, "paper")
