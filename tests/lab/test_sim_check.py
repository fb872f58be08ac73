"""A run of the lab beside its simulation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.lab.__main__ import main
from dashp2p.lab.scenario import Scenario
from dashp2p.lab.sim.check import Compared, NotARunError, check, compare, settings_of
from dashp2p.lab.sim.figures import SimFigures, figures
from dashp2p.lab.sim.simulation import Settings, Simulation


def document(**run: Any) -> dict[str, Any]:
    """As much of a run.json as is read."""
    told = {"scenario": "near-2s", "variant": "peers", "seed": 4, "ablations": []}
    found = {
        "copies": 1.05,
        "startup_median_s": 0.2,
        "startup_worst_s": 0.4,
        "takeovers": 0,
        "crowd": {"peer_bytes": 90, "origin_bytes": 10},
    }
    return {"run": {**told, **run}, "figures": found}


def simulated() -> SimFigures:
    sim = Simulation(Settings(Scenario("one", "one", peers=2, film_s=4.0)))
    sim.run()
    return evolve(
        figures(sim),
        copies_on_wire=1.1,
        peers_share=0.7,
        startup_median_s=0.21,
        startup_worst_s=0.6,
        takeovers=1,
    )


class CompareTests(SynchronousTestCase):
    def test_what_is_within_fifteen_per_cent_is_close_and_what_is_not_is_not(self) -> None:
        found = compare(document(), [simulated()])
        self.assertEqual([one.close for one in found], [True, False, True, False, True])

    def test_a_figure_that_one_of_them_lacks_cannot_be_told(self) -> None:
        self.assertIsNone(Compared("copies", None, 1.0).close)
        self.assertIsNone(Compared("copies", 1.0, None).close)

    def test_few_things_counted_may_differ_by_one_and_not_by_two(self) -> None:
        self.assertTrue(Compared("takeovers", 2.0, 3.0, counted=True).close)
        self.assertFalse(Compared("takeovers", 2.0, 4.0, counted=True).close)

    def test_the_same_crowd_is_simulated_with_what_the_run_did_without(self) -> None:
        settings = settings_of(document(ablations=["no-lease"]), 4)
        self.assertEqual((settings.scenario.name, settings.seed), ("near-2s", 4))
        self.assertFalse(settings.policy.leases)

    def test_what_is_no_run_with_peers_is_refused(self) -> None:
        wrongs: list[dict[str, Any]] = [
            document(variant="lone"),
            document(scenario="none"),
            {"run": {}},
            {"run": 1},
        ]
        for wrong in wrongs:
            self.assertRaises(NotARunError, settings_of, wrong, 1)

    def test_a_file_that_is_no_run_is_refused(self) -> None:
        path = Path(self.mktemp())
        for text in ("{", "[]", "{}"):
            path.write_text(text)
            self.assertRaises(NotARunError, check, path, 1)

    def test_the_command_says_so_in_one_line(self) -> None:
        path = Path(self.mktemp())
        path.write_text(json.dumps(document(variant="lone")))
        self.assertEqual(main(["check", str(path)]), 2)


class SimulateTests(SynchronousTestCase):
    def test_rows_are_simulated_and_their_figures_written(self) -> None:
        path = Path(self.mktemp())
        small = ["--peers", "2", "--film", "4", "--block-size", "64KiB", "--json", str(path)]
        self.assertEqual(main(["simulate", "--row", "1-2", *small]), 0)
        runs = json.loads(path.read_text())["runs"]
        self.assertEqual(
            [(one["row"], one["variant"]) for one in runs],
            [("near", "lone"), ("near", "peers"), ("near-2s", "lone"), ("near-2s", "peers")],
        )
