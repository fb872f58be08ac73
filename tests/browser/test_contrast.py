"""The pages' colours, light and dark: text is 4.5:1 on what it stands on, marks are 3:1 (WCAG 2.2,
1.4.3 and 1.4.11)."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.browser.browser import CLIENT

TEXT, MARK = 4.5, 3.0
COMMON = (
    ("ink", "page", TEXT),
    ("ink", "card", TEXT),
    ("ink", "quiet-bg", TEXT),
    ("muted", "page", TEXT),
    ("muted", "card", TEXT),
    ("good", "good-bg", TEXT),
    ("warn", "warn-bg", TEXT),
    ("bad", "bad-bg", TEXT),
    ("bad", "card", TEXT),
    ("peers", "card", MARK),
    ("peers", "page", MARK),
    ("origin", "card", MARK),
    ("buffer", "card", MARK),
    ("bitrate", "card", MARK),
    ("focus", "card", MARK),
    ("focus", "page", MARK),
)
PLAYER = (
    ("cache", "card", MARK),
    ("on-peers", "peers", TEXT),
    ("on-cache", "cache", TEXT),
    ("on-origin", "origin", TEXT),
    ("on-origin", "origin-stripe", TEXT),
)
DASHBOARD = (("peers", "page", TEXT), ("peers", "peers-area", MARK))


def properties(css: str) -> tuple[dict[str, str], dict[str, str]]:
    """The custom properties of the light and of the dark scheme."""
    light, dark = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    pattern = re.compile(r"--([a-z-]+): (#[0-9a-f]{6});")
    return dict(pattern.findall(light)), dict(pattern.findall(dark))


def luminance(colour: str) -> float:
    """WCAG's relative luminance of #rrggbb."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in channels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


class ContrastTests(SynchronousTestCase):
    def assert_legible(self, css: str, pairs: tuple[tuple[str, str, float], ...]) -> None:
        for scheme, colours in zip(("light", "dark"), properties(css), strict=True):
            for ink, ground, least in pairs:
                found = contrast(colours[ink], colours[ground])
                self.assertGreaterEqual(found, least, f"{ink} on {ground}, {scheme}: {found:.2f}")

    def test_the_arithmetic_is_wcags(self) -> None:
        self.assertEqual(round(contrast("#000000", "#ffffff"), 2), 21.0)
        self.assertEqual(round(contrast("#767676", "#ffffff"), 2), 4.54)

    def test_the_player_pages_colours_are_legible(self) -> None:
        css = (CLIENT / "client.css").read_text("utf-8")
        self.assert_legible(css, COMMON + PLAYER)

    def test_the_dashboards_colours_are_legible(self) -> None:
        folder = Path(str(files("dashp2p.tracker").joinpath("pages")))
        self.assert_legible((folder / "dashboard.css").read_text("utf-8"), COMMON + DASHBOARD)
