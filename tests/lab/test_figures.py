"""From a run's measurements to figures and verdicts."""

from __future__ import annotations

import json
from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.lab.figures import Figures, checks, figures, guards
from dashp2p.lab.loss import Loss
from dashp2p.lab.measure import Sample
from dashp2p.lab.origin_end import Ended, Refusal
from dashp2p.lab.result import RunResult
from dashp2p.lab.saved import plain
from dashp2p.lab.scenario import Links, Scenario, Targets, Variant, Visit

TWO = Scenario("two", "two viewers", peers=2, film_s=8.0)


def viewer(
    files: dict[str, int], startup_ms: float | None = 200.0, stalls: int = 0, rate: float = 4e6
) -> dict[str, Any]:
    return {
        "startup_ms": startup_ms,
        "stalls": stalls,
        "stalled_ms": stalls * 500.0,
        "mean_bitrate_bps": rate,
        "state": "ended",
        "segments": [{"path": path, "size_bytes": size} for path, size in files.items()],
    }


def peer_stats(origin: int, record_origin: int, path: str = "a") -> dict[str, Any]:
    record = {"path": path, "kind": "video", "size_bytes": 1000, "origin": record_origin}
    return {
        "bytes": {"origin": origin, "peers": 1000, "delivered": 1000, "duplicate": 0, "control": 5},
        "segments": [record],
    }


def result(**changes: Any) -> RunResult:
    whole: dict[str, Any] = {
        "scenario": "two",
        "variant": Variant.PEERS,
        "seed": 1,
        "loopback": False,
        "ablations": (),
        "began_at": 0.0,
        "duration_s": 10.0,
        "egress": (Sample(-1.0, 100), Sample(0.1, 500), Sample(9.0, 2100)),
        "visits": (Visit("p01", 0.0), Visit("p02", 0.0)),
        "viewers": {"p01": viewer({"a": 1000, "b": 1000}), "p02": viewer({"a": 1000}, 400.0)},
        "stats": {},
        "liar_ids": (),
        "swarms": None,
        "cpu_s": {"p01": 0.2, "p02": 0.4},
        "machine_busy": 0.5,
        "stage": {},
        "notes": (),
    }
    return RunResult(**{**whole, **changes})


class FiguresTests(SynchronousTestCase):
    def test_egress_is_divided_by_each_distinct_file_once(self) -> None:
        found = figures(TWO, result())
        self.assertEqual((found.egress_bytes, found.distinct_bytes), (2100, 2000))
        self.assertEqual(found.copies, 1.05)
        self.assertEqual(found.delivered_bytes, 3000)

    def test_a_file_that_no_viewer_got_whole_is_not_delivered(self) -> None:
        report = viewer({"a": 1000, "b": 1000})
        report["segments"][1]["complete"] = False
        found = figures(TWO, result(viewers={"p01": report}))
        self.assertEqual(found.distinct_bytes, 1000)

    def test_what_the_only_holder_takes_along_has_to_be_sent_again(self) -> None:
        visits = (Visit("p01", 0.0, 5.0), Visit("p02", 3.0), Visit("p03", 6.0))
        viewers = {visit.host: viewer({}) for visit in visits}
        for host, path, at_s in (
            ("p01", "a", 0.0),
            ("p01", "b", 1.0),
            ("p02", "a", 0.0),  # from p01, who is there
            ("p03", "a", 0.0),  # from p02
            ("p03", "b", 1.0),  # p01 had it and is gone
        ):
            record = {"path": path, "size_bytes": 1000, "requested_s": at_s}
            viewers[host]["segments"].append(record)
        found = figures(TWO, result(visits=visits, viewers=viewers))
        self.assertEqual((found.needed_bytes, found.distinct_bytes), (3000, 2000))

    def test_start_up_is_told_by_median_and_worst(self) -> None:
        found = figures(TWO, result())
        self.assertAlmostEqual(found.startup_median_s or 0, 0.3)
        self.assertAlmostEqual(found.startup_worst_s or 0, 0.4)

    def test_a_viewer_without_report_or_film_is_missed(self) -> None:
        viewers = {"p01": None, "p02": viewer({}, None)}
        self.assertEqual(figures(TWO, result(viewers=viewers)).never_began, 2)

    def test_windows_begin_with_the_first_viewer(self) -> None:
        found = figures(TWO, result())
        self.assertEqual(len(found.window_egress), 3)
        self.assertEqual(sum(found.window_egress), 2000)

    def test_the_worst_window_is_laid_beside_what_the_origin_had_to_send_in_it(self) -> None:
        report = viewer({"a": 400, "b": 800})
        for record, begins_s in zip(report["segments"], (0.0, 4.0), strict=True):
            record.update(requested_s=begins_s, done_s=begins_s + 2.0)
        egress = (Sample(0.0, 0), Sample(4.0, 500), Sample(8.0, 1700))
        run = result(viewers={"p01": report}, visits=(Visit("p01", 0.0),), egress=egress)
        self.assertEqual(figures(TWO, run).peak_window_over_need, 1.5)

    def test_packet_heads_are_taken_off_the_worst_window(self) -> None:
        targets = Targets(window_egress_over_need_max=1.15)
        crowd = evolve(figures(TWO, result()), peak_window_over_need=1.26)
        lone = evolve(figures(TWO, result()), copies=1.05)
        found = checks(evolve(TWO, targets=targets), {Variant.PEERS: [crowd], Variant.LONE: [lone]})
        peak = next(check for check in found if check.name == "egress in 4 s / need")
        self.assertEqual((peak.value, peak.good), ("1.20", False))

    def test_who_has_a_lossy_link_is_left_out_of_the_mean_bitrate(self) -> None:
        lossy = evolve(TWO, links=Links(loss=Loss(0.1), lossy_peers=1))
        viewers = {"p01": viewer({}, rate=1e6), "p02": viewer({}, rate=5e6)}
        self.assertEqual(figures(lossy, result(viewers=viewers)).mean_bitrate_bps, 5e6)

    def test_what_was_fetched_and_never_played_is_waste(self) -> None:
        stats = {"p01": peer_stats(1000, 210, "never-played"), "p02": peer_stats(0, 500, "a")}
        found = figures(TWO, result(stats=stats))
        self.assertAlmostEqual(found.waste_share or 0, 210 / 2100)

    def test_cpu_is_told_per_viewer_and_second(self) -> None:
        self.assertAlmostEqual(figures(TWO, result()).cpu_per_viewer or 0, 0.03)

    def test_takeovers_are_added_up_over_swarms(self) -> None:
        swarms = {"swarms": [{"takeovers": 2}, {"takeovers": 3}]}
        self.assertEqual(figures(TWO, result(swarms=swarms)).takeovers, 5)

    def test_a_browser_does_not_tell_when_it_asked(self) -> None:
        segment = {"path": "a", "size_bytes": 1000, "complete": True, "done_s": 0.5}
        report = {**viewer({}), "segments": [segment]}
        found = figures(TWO, result(viewers={"p01": report}))
        self.assertEqual((found.viewers, found.distinct_bytes), (1, 1000))

    def test_the_longest_wait_for_a_refusal_is_any_viewers(self) -> None:
        self.assertIsNone(figures(TWO, result()).refused_worst_s)
        refusals = [
            {"status": status, "took_s": took_s}
            for status, took_s in ((503, 0.5), (503, 0.7), (404, 3.0), (None, 20.0))
        ]
        report = {**viewer({"a": 1000}), "refusals": refusals}
        found = figures(TWO, result(viewers={"p01": viewer({"a": 1000}), "p02": report}))
        self.assertEqual(found.refused_worst_s, 0.7)

    def test_links_that_honest_peers_keep_with_liars_are_counted(self) -> None:
        stats = {
            host: {**peer_stats(1, 1), "neighbours": [{"peer": "honest"}, {"peer": liar}]}
            for host, liar in (("p01", "liar-1"), ("p02", "honest-too"))
        }
        found = figures(TWO, result(stats=stats, liar_ids=("liar-1", "liar-2")))
        self.assertEqual(found.liars_kept, 1)

    def test_a_liar_that_was_not_there_to_the_end_proves_nothing(self) -> None:
        stats = {"p01": {**peer_stats(1, 1), "neighbours": []}}
        self.assertIsNone(figures(TWO, result(stats=stats, liar_ids=(None,))).liars_kept)

    def test_it_can_be_saved(self) -> None:
        json.dumps(plain(figures(TWO, result(stats={"p01": peer_stats(1, 1)}))))


class ChecksTests(SynchronousTestCase):
    def _verdict(self, targets: Targets, crowd: Figures, lone: Figures) -> dict[str, bool | None]:
        scenario = evolve(TWO, targets=targets)
        found = checks(scenario, {Variant.PEERS: [crowd], Variant.LONE: [lone]})
        return {check.name: check.good for check in found}

    def setUp(self) -> None:
        self.crowd = figures(TWO, result())
        self.lone = evolve(self.crowd, copies=1.04, egress_bytes=2080, startup_median_s=0.1)

    def test_copies_are_measured_against_a_lone_viewers_headers(self) -> None:
        targets = Targets(cps_max=1.02)
        self.assertTrue(self._verdict(targets, self.crowd, self.lone)["copies per segment"])
        bare = evolve(self.lone, copies=1.0)
        self.assertFalse(self._verdict(targets, self.crowd, bare)["copies per segment"])

    def test_what_a_lost_origin_asks_for_is_checked_where_it_is_promised(self) -> None:
        name = "503 for what nobody holds, s"
        refusal = Refusal("p01", "a", 503, 0.7, True, 1, 2)
        crowd = evolve(self.crowd, origin_ended=Ended(17.0, True, (refusal,)), refused_worst_s=0.8)
        self.assertNotIn(name, self._verdict(Targets(), crowd, self.lone))
        self.assertTrue(self._verdict(Targets(refusal_s_max=1.0), crowd, self.lone)[name])
        self.assertFalse(self._verdict(Targets(refusal_s_max=0.75), crowd, self.lone)[name])

    def test_a_stall_in_any_run_counts(self) -> None:
        stalled = evolve(self.crowd, stalls=1)
        scenario = evolve(TWO, targets=Targets(stalls_max=0))
        runs = {Variant.PEERS: [self.crowd, self.crowd, stalled], Variant.LONE: [self.lone]}
        verdict = {check.name: check.good for check in checks(scenario, runs)}
        self.assertFalse(verdict["stalls"])

    def test_start_up_is_compared_with_one_alone(self) -> None:
        targets = Targets(startup_median_over_lone_s=0.15, startup_worst_over_lone_s=0.5)
        verdict = self._verdict(targets, self.crowd, self.lone)
        self.assertFalse(verdict["start-up median - lone, s"])
        self.assertTrue(verdict["start-up worst - lone, s"])

    def test_a_figure_that_could_not_be_taken_is_neither_held_nor_missed(self) -> None:
        silent = evolve(self.crowd, copies=None)
        verdict = self._verdict(Targets(cps_max=1.02), silent, self.lone)
        self.assertIsNone(verdict["copies per segment"])

    def test_viewers_that_never_began_are_a_miss_in_every_scenario(self) -> None:
        verdict = self._verdict(Targets(), evolve(self.crowd, never_began=1), self.lone)
        self.assertFalse(verdict["viewers that never began or ended"])

    def test_guards_judge_the_crowds_price(self) -> None:
        found = figures(TWO, result(stats={"p01": peer_stats(1000, 0)}))
        verdict = {check.name: check.good for check in guards([found])}
        self.assertTrue(verdict["duplicate bytes"])
        self.assertFalse(verdict["CPU of a peer, of one core"])
