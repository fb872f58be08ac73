"""The page of plots."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.lab import page
from dashp2p.lab.figures import figures
from dashp2p.lab.plots import Bar, Series, bars, dots, lines
from dashp2p.lab.saved import save
from dashp2p.lab.scenario import Variant
from dashp2p.lab.suite import Outcome
from tests.lab.test_figures import TWO, peer_stats, result


class PlotTests(SynchronousTestCase):
    def test_plots_are_well_formed_whatever_they_show(self) -> None:
        series = [Series("<&>", "peers", [(0, 0), (1, 5)]), Series("none", "plain", [])]
        for svg in (
            lines(series, "s", "MB"),
            dots(series, "s", "MB"),
            lines([], "s", "MB"),
            bars([Bar("p01", [("cache", 1.0), ("origin", 0.0)])], "MB"),
            bars([], "MB"),
        ):
            ElementTree.fromstring(svg)

    def test_a_line_keeps_within_its_frame(self) -> None:
        svg = lines([Series("a", "peers", [(0, 0), (30, 19.7)])], "s", "MB")
        drawn = ElementTree.fromstring(svg).find("polyline")
        assert drawn is not None
        for point in drawn.attrib["points"].split():
            x, y = map(float, point.split(","))
            self.assertTrue(0 <= x <= 560 and 0 <= y <= 220, point)


class PageTests(SynchronousTestCase):
    def test_each_scenario_has_its_plots_targets_and_notes(self) -> None:
        folder = Path(self.mktemp())
        crowd = result(stats={"p01": peer_stats(100, 0), "p02": None})
        lone = evolve(result(), variant=Variant.LONE)
        outcome = Outcome(TWO, notes=["p02 <died>"])
        for one in (crowd, lone):
            place = folder / "two" / f"{one.variant.value}-1"
            place.mkdir(parents=True)
            found = figures(TWO, one)
            outcome.runs.setdefault(one.variant, []).append(found)
            save(TWO, one, found, place / "run.json")
        (folder / "two" / "outcome.json").write_text(json.dumps(outcome.to_json()))
        text = page.write(folder).read_text()
        self.assertIn("two viewers", text)
        self.assertIn("p02 &lt;died&gt;", text)
        self.assertEqual(text.count("<svg"), 3)
