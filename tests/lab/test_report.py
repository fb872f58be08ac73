"""The report: what it concludes, in which states, and that it is one whole page by itself."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.lab.report import page
from dashp2p.lab.report.comparison import comparison
from dashp2p.lab.report.experiment import Experiment, gather
from dashp2p.lab.report.library import Assets, assets
from dashp2p.lab.report.limits import limits
from dashp2p.lab.report.machines import join
from dashp2p.lab.report.rehearsal import rehearsal_sentences
from dashp2p.lab.report.sentences import BAD, GOOD, sentences
from dashp2p.lab.report.words import scenario_in_words
from dashp2p.lab.result import Setting
from dashp2p.lab.saved import Saved
from dashp2p.lab.scenario import Targets, Variant
from tests.lab.measured import (
    FILM_BYTES,
    VIDEO_BYTES,
    measured,
    viewer_report,
    whole_experiment,
    with_targets,
    write,
)

VOID = {"meta", "br", "hr", "img", "input", "link"}
PARTS = Assets("/* ours */", "/* draws */", "/* theirs */", "/* uPlot */")


def experiment(*runs: Saved) -> Experiment:
    (found,) = gather(runs)
    return found


def told(one: Experiment) -> list[str]:
    return [sentence.text for sentence in sentences(one, limits(one))]


def tone_of(one: Experiment, part: str) -> str:
    (found,) = [s.tone for s in sentences(one, limits(one)) if part in s.text]
    return found


class SentenceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.crowd = measured(Variant.PEERS, copies=1.02)
        self.plain = measured(Variant.PLAIN, copies=3.0)
        self.lone = measured(Variant.LONE)

    def test_the_cost_comes_first_beside_that_of_plain_dash(self) -> None:
        first = told(experiment(self.crowd, self.plain, self.lone))[0]
        self.assertEqual(
            first,
            "Three viewers cost the origin 1.02 copies of what they watched; plain DASH cost 2.9 "
            "times as much.",
        )

    def test_packet_headers_are_taken_off_where_a_lone_viewer_shows_them(self) -> None:
        lone = measured(Variant.LONE, copies=1.02)
        self.assertIn("1.00 copies", told(experiment(self.crowd, lone))[0])

    def test_plain_dash_that_showed_less_is_said_to_have(self) -> None:
        viewers = {host: viewer_report(rate_bps=250_000) for host in self.plain.result.viewers}
        less = measured(Variant.PLAIN, copies=3.0, viewers=viewers)
        self.assertIn("showed 0.25 Mbit/s", told(experiment(self.crowd, less))[0])

    def test_without_a_plain_run_its_cost_is_reckoned(self) -> None:
        one = experiment(self.crowd)
        self.assertIn("without peers the same films would have been 3.0 copies", told(one)[0])

    def test_a_crowd_that_costs_more_than_plain_dash_is_said_to(self) -> None:
        dear = measured(Variant.PEERS, copies=4.0)
        one = experiment(dear, self.plain)
        self.assertIn("plain DASH cost less", told(one)[0])
        self.assertEqual(tone_of(one, "cost less"), BAD)

    def test_a_missed_target_is_told_with_both_numbers(self) -> None:
        dear = measured(Variant.PEERS, copies=1.2)
        one = experiment(dear, self.lone)
        missed = "Missed: copies per segment is 1.20, and at most 1.05 was the target."
        self.assertIn(missed, told(one))
        self.assertEqual(tone_of(one, "Missed"), BAD)

    def test_targets_that_all_hold_are_told_in_one_sentence(self) -> None:
        one = experiment(self.crowd, self.lone)
        self.assertEqual(tone_of(one, "All three targets are met."), GOOD)

    def test_a_target_that_could_not_be_judged_is_neither_met_nor_missed(self) -> None:
        said = told(experiment(self.crowd))
        self.assertIn("Two of three targets are met.", said)
        self.assertIn("Not known, so neither met nor missed: copies per segment.", said)

    def test_stalls_are_told_of_the_worst_run(self) -> None:
        viewers = {host: viewer_report(stalls=1) for host in self.crowd.result.viewers}
        stalled = measured(Variant.PEERS, 2, viewers=viewers)
        one = experiment(self.crowd, stalled, self.plain)
        self.assertEqual(tone_of(one, "There were three stalls, 1.50 s in all"), BAD)
        self.assertEqual(tone_of(experiment(self.crowd, self.plain), "Nobody stalled"), GOOD)

    def test_an_ablation_is_told_beside_the_whole(self) -> None:
        without = measured(Variant.PEERS, copies=2.04, ablations=("no-lease",))
        said = told(experiment(self.crowd, without, self.lone))
        self.assertIn("Without leases it took 2.04 copies, 2.00 times as many.", said)

    def test_a_crowd_that_never_saw_a_picture_is_said(self) -> None:
        dark = {**viewer_report(), "startup_ms": None, "segments": []}
        blind = measured(Variant.PEERS, viewers=dict.fromkeys(self.crowd.result.viewers, dark))
        self.assertIn("No viewer saw a picture.", told(experiment(blind)))

    def test_a_machine_that_was_too_busy_is_said(self) -> None:
        busy = measured(Variant.PEERS, machine_busy=0.97)
        self.assertTrue(any("97 % busy" in text for text in told(experiment(busy))))

    def test_one_run_alone_is_said_to_be_one(self) -> None:
        again = measured(Variant.PEERS, 2)
        self.assertIn("one run", told(experiment(self.crowd))[-1])
        self.assertNotIn("one run", told(experiment(self.crowd, again))[-1])

    def test_the_scenario_is_told_in_words(self) -> None:
        words = scenario_in_words(experiment(self.crowd))
        self.assertIn("Three viewers open one film of 12 s at the same moment.", words)
        self.assertIn("20 Mbit/s up and 50 Mbit/s down", words)


class ExperimentTests(SynchronousTestCase):
    def test_seeds_and_ablations_of_a_scenario_are_one_experiment(self) -> None:
        one = experiment(*whole_experiment())
        self.assertEqual(
            [case.name for case in one.cases],
            ["plain DASH", "dashp2p", "dashp2p, without leases", "one viewer alone"],
        )
        self.assertEqual([len(case.runs) for case in one.cases], [2, 2, 2, 2])

    def test_runs_of_another_scenario_are_another_experiment(self) -> None:
        run = measured(Variant.PEERS)
        other = evolve(run, scenario=evolve(run.scenario, peers=9, number=2))
        self.assertEqual([one.scenario.number for one in gather([other, run])], [1, 2])

    def test_new_targets_do_not_part_old_runs_from_new_ones(self) -> None:
        run = measured(Variant.PEERS)
        again = with_targets(measured(Variant.PEERS, 2), Targets(stalls_max=3))
        self.assertEqual(len(experiment(run, again).cases), 1)

    def test_several_runs_show_median_and_range(self) -> None:
        one = experiment(*(measured(Variant.PEERS, seed, 1 + seed / 10) for seed in (1, 2, 3)))
        row = next(r for r in comparison(one, limits(one)) if r.name == "Copies per segment")
        (cell,) = row.cells
        assert cell is not None
        self.assertEqual((cell.median, cell.spread), ("1.20", "1.10 to 1.30"))

    def test_what_a_way_has_no_figure_for_stays_empty(self) -> None:
        one = experiment(measured(Variant.PEERS, cpu_s={"p01": 1.2}), measured(Variant.PLAIN))
        row = next(r for r in comparison(one, limits(one)) if r.name.startswith("CPU"))
        self.assertIsNone(row.cells[0])


class LimitTests(SynchronousTestCase):
    def test_one_copy_and_one_over_n_are_the_least(self) -> None:
        found = limits(experiment(measured(Variant.PEERS)))
        self.assertEqual(found.egress_bytes, FILM_BYTES)
        self.assertAlmostEqual(found.offload or 0, 1 - 1 / 3)

    def test_a_start_takes_as_long_as_the_crowds_links_need_for_the_first_segments(self) -> None:
        found = limits(experiment(measured(Variant.PEERS)))
        first_bits = 8 * (VIDEO_BYTES + 60_000)
        self.assertAlmostEqual(found.startup_s or 0, first_bits / 20e6)

    def test_nobody_watches_more_than_the_top_rung_or_the_links_carry(self) -> None:
        run = measured(Variant.PEERS)
        self.assertEqual(limits(experiment(run)).bitrate_bps, 1_000_000)
        thin = evolve(run.scenario.links, uplink_bps=0.1e6, origin_uplink_bps=0.6e6)
        found = limits(experiment(evolve(run, scenario=evolve(run.scenario, links=thin))))
        self.assertAlmostEqual(found.bitrate_bps or 0, 0.3e6)

    def test_of_a_real_network_nothing_is_known(self) -> None:
        found = limits(experiment(measured(Variant.PEERS, setting=Setting.REHEARSAL)))
        self.assertIsNone(found.startup_s)


class RehearsalTests(SynchronousTestCase):
    def rehearsed(self, **changes: Any) -> Saved:
        return measured(
            Variant.PEERS, **{"setting": Setting.REHEARSAL, "presentation": "f", **changes}
        )

    def answer(self, run: Saved) -> str:
        one = experiment(run)
        return rehearsal_sentences(one, limits(one))[0].text

    def test_a_crowd_that_saw_all_was_carried(self) -> None:
        self.assertTrue(self.answer(self.rehearsed()).startswith("Yes: "))

    def test_stalls_and_late_pictures_are_a_no(self) -> None:
        viewers = {"p01": viewer_report(9000.0), "p02": viewer_report(stalls=1), "p03": None}
        said = self.answer(self.rehearsed(viewers=viewers))
        self.assertTrue(said.startswith("No: "), said)
        for part in ("one viewer never saw", "one stall", "waited"):
            self.assertIn(part, said)

    def test_a_machine_that_was_too_busy_makes_it_unclear(self) -> None:
        viewers = {"p01": viewer_report(stalls=1)}
        said = self.answer(self.rehearsed(viewers=viewers, machine_busy=0.99))
        self.assertIn("on several", said)

    def test_peers_that_did_not_reach_each_other_are_pointed_out(self) -> None:
        one = experiment(self.rehearsed(copies=2.9))
        said = " ".join(s.text for s in rehearsal_sentences(one, limits(one)))
        self.assertIn("firewall", said)

    def test_machines_that_rehearsed_together_are_one_crowd(self) -> None:
        here = self.rehearsed(copies=0.5)
        elsewhere = {f"other.{host}": report for host, report in here.result.viewers.items()}
        visits = tuple(evolve(visit, host=f"other.{visit.host}") for visit in here.result.visits)
        began_at = here.result.began_at + 5
        there = self.rehearsed(copies=0.5, viewers=elsewhere, visits=visits, began_at=began_at)
        (both,) = join([there, here])
        self.assertEqual(both.scenario.peers, 6)
        self.assertEqual(both.scenario.title, "a rehearsal with six viewers")
        self.assertEqual(len(both.result.viewers), 6)
        self.assertEqual(both.result.egress_bytes, FILM_BYTES)
        self.assertEqual(both.result.visits[-1].arrives_s, 5.0)
        levels = [sample.value_bytes for sample in both.result.egress]
        self.assertEqual(levels, sorted(levels))

    def test_rehearsals_one_after_the_other_are_not(self) -> None:
        here = self.rehearsed()
        viewers = {"x": viewer_report()}
        visits = (evolve(here.result.visits[0], host="x"),)
        began_at = here.result.began_at + 100
        later = self.rehearsed(viewers=viewers, visits=visits, began_at=began_at)
        self.assertEqual(len(join([here, later])), 2)
        self.assertEqual(len(join([measured(Variant.PEERS), measured(Variant.PLAIN)])), 2)


class Checker(HTMLParser):
    """Every element that is opened is closed in its turn; what would load something is noted."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.ids: list[str] = []
        self.charts: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.loads += [given[name] or "" for name in ("src", "href", "data") if name in given]
        if given.get("id"):
            self.ids.append(given["id"] or "")
        if given.get("data-chart"):
            self.charts.append(given["data-chart"] or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> ends {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.text += data


class PageTests(SynchronousTestCase):
    def check(self, text: str) -> Checker:
        checker = Checker()
        checker.feed(text)
        checker.close()
        self.assertEqual(checker.open, [])
        self.assertEqual(len(checker.ids), len(set(checker.ids)))
        return checker

    def test_it_is_well_formed_and_every_chart_has_its_data(self) -> None:
        text = page.html([experiment(*whole_experiment())], PARTS)
        checker = self.check(text)
        found = re.search(r'<script type="application/json" id="charts">(.*?)</script>', text)
        assert found is not None
        charts = json.loads(found[1])
        self.assertEqual(sorted(charts), sorted(checker.charts))
        self.assertEqual(len(charts), 1 + 2 * 3 + 3 * 3)
        for chart in charts.values():
            for line in (*chart["lines"], *chart["bars"]):
                self.assertEqual(line["x"], sorted(set(line["x"])))
                self.assertEqual(len(line["x"]), len(line["y"]))

    def test_it_loads_nothing_from_anywhere(self) -> None:
        text = page.html([experiment(*whole_experiment())], assets())
        self.assertEqual(self.check(text).loads, [])
        own = re.sub(r"<script>.*?</script>|<style>.*?</style>", "", text, flags=re.DOTALL)
        self.assertNotRegex(own, r"https?://")
        style = "".join(re.findall(r"<style>(.*?)</style>", text, re.DOTALL))
        self.assertNotRegex(style, r"@import|url\(")

    def test_what_runs_say_cannot_become_markup(self) -> None:
        notes = ("</script><script>alert(1)</script>",)
        evil = evolve(measured(Variant.PEERS, notes=notes), failures=("<b>no</b>",))
        titled = evolve(evil, scenario=evolve(evil.scenario, title="<i>three</i>"))
        text = page.html([experiment(titled)], PARTS)
        self.assertNotIn("alert(1)</script>", text)
        self.assertNotIn("<b>no", text)
        self.assertNotIn("<i>three", text)
        self.check(text)

    def test_names_of_viewers_cannot_end_the_script_that_holds_the_data(self) -> None:
        run = measured(Variant.PEERS)
        name = "</script><b>"
        viewers = {name: viewer_report()}
        visits = (evolve(run.result.visits[0], host=name),)
        odd = measured(Variant.PEERS, viewers=viewers, visits=visits)
        self.assertNotIn("</script><b>", page.html([experiment(odd)], PARTS))

    def test_without_the_chart_library_it_has_its_tables_and_says_so(self) -> None:
        text = page.html([experiment(*whole_experiment())], evolve(PARTS, chart_script=""))
        self.assertEqual(self.check(text).charts, [])
        self.assertIn("run-demo.sh", text)
        self.assertIn("Copies per segment", text)

    def test_several_experiments_have_contents(self) -> None:
        run = measured(Variant.PEERS)
        other = evolve(run, scenario=evolve(run.scenario, title="nine", peers=9, number=2))
        checker = self.check(page.html(gather([run, other]), PARTS))
        self.assertEqual(checker.loads, ["#e0", "#e1"])
        self.assertTrue({"e0", "e1"} <= set(checker.ids))

    def test_it_is_written_of_a_folder(self) -> None:
        folder = Path(self.mktemp())
        for run in whole_experiment():
            write(run, folder)
        written = page.write([folder], folder / "deep" / "report.html")
        self.assertIn("Three viewers cost the origin", written.read_text())
