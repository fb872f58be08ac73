"""Runs as files, written and read again."""

from __future__ import annotations

import json
from pathlib import Path

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.lab import saved
from dashp2p.lab.figures import figures
from dashp2p.lab.loss import Loss
from dashp2p.lab.origin_end import Ended, Refusal
from dashp2p.lab.saved import UnreadableRunError, find, load, load_all, save
from dashp2p.lab.scenario import Churn, Lie, Links, Scenario, Variant
from tests.lab.measured import measured, write


class SavedRunTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())

    def test_a_run_that_is_read_is_the_one_that_was_written(self) -> None:
        run = measured(Variant.PEERS)
        links = Links(far=True, loss=Loss(0.1, burst=4), lossy_peers=3)
        scenario = evolve(run.scenario, links=links, churn=Churn(), liars=(Lie.SQUAT,))
        path = self.folder / "run.json"
        save(scenario, run.result, run.figures, path)
        again = load(path)
        self.assertEqual(again.scenario, scenario)
        self.assertEqual(again.result, run.result)
        self.assertEqual(again.figures, figures(scenario, run.result))

    def test_an_origins_end_is_read_again(self) -> None:
        run = measured(Variant.PEERS)
        refusal = Refusal("p01", "a", 503, 0.7, True, None, 3_128_000)
        result = evolve(run.result, origin_ended=Ended(17.0, True, (refusal,)))
        path = self.folder / "run.json"
        save(run.scenario, result, figures(run.scenario, result), path)
        self.assertEqual(load(path).result.origin_ended, result.origin_ended)
        self.assertEqual(load(path).figures.origin_ended, result.origin_ended)

    def test_fields_that_this_program_does_not_know_are_passed_over(self) -> None:
        path = write(measured(Variant.PEERS), self.folder)
        document = json.loads(path.read_text())
        document["run"]["weather"] = document["scenario"]["weather"] = "fine"
        path.write_text(json.dumps(document))
        self.assertEqual(load(path).result, measured(Variant.PEERS).result)

    def test_an_older_run_is_told_its_scenario_by_the_outcome_above_it(self) -> None:
        run = measured(Variant.PEERS)
        path = write(run, self.folder)
        document = json.loads(path.read_text())
        outcome = {"scenario": document.pop("scenario"), "failures": ["plain, seed 2: no"]}
        path.write_text(json.dumps(document))
        with self.assertRaises(UnreadableRunError):
            load(path)
        (path.parent.parent / "outcome.json").write_text(json.dumps(outcome))
        again = load(path)
        self.assertEqual(again.scenario, run.scenario)
        self.assertEqual(again.failures, ("plain, seed 2: no",))

    def test_a_run_may_be_named_by_its_file_its_folder_or_any_folder_above(self) -> None:
        path = write(measured(Variant.PEERS), self.folder)
        (self.folder / "three" / "outcome.json").write_text("{}")
        for given in (path, path.parent, path.parent.parent, self.folder):
            self.assertEqual(find(given), [path])
        self.assertEqual(find(self.folder / "three" / "outcome.json"), [path])

    def test_a_folder_without_runs_is_said(self) -> None:
        self.folder.mkdir()
        with self.assertRaises(UnreadableRunError) as caught:
            find(self.folder)
        self.assertIn("run.json", str(caught.exception))

    def test_what_is_no_run_is_refused_with_its_name(self) -> None:
        self.folder.mkdir()
        path = self.folder / "run.json"
        for text in ("", "[]", '{"run": {}}', '{"scenario": 1, "run": 2}', "\x00"):
            path.write_text(text)
            with self.assertRaises(UnreadableRunError) as caught:
                load(path)
            self.assertIn(str(path), str(caught.exception))

    def test_a_file_that_is_too_large_is_not_read(self) -> None:
        path = write(measured(Variant.PEERS), self.folder)
        self.patch(saved, "FILE_BYTES_MAX", 100)
        with self.assertRaises(UnreadableRunError):
            load(path)

    def test_a_run_that_is_named_twice_counts_once(self) -> None:
        path = write(measured(Variant.PEERS), self.folder)
        self.assertEqual(len(load_all([path, self.folder])), 1)

    def test_a_lone_viewer_is_judged_by_its_own_links(self) -> None:
        run = measured(Variant.LONE)
        lossy = Scenario("lossy", "lossy", links=Links(loss=Loss(0.1), lossy_peers=1))
        path = self.folder / "run.json"
        save(lossy, run.result, run.figures, path)
        self.assertEqual(load(path).figures.mean_bitrate_bps, 1_000_000)
