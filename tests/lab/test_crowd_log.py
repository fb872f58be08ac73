"""Peers' /stats over time, and the demo as a run."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from dashp2p.lab import crowd_log
from dashp2p.lab.crowd_log import SAMPLES_MAX, CrowdLog
from dashp2p.lab.demo_result import demo_run
from dashp2p.lab.report.experiment import gather
from dashp2p.lab.report.traces import traces
from tests.lab.measured import viewer_report


def answer(origin: int, *records: tuple[str, float], uptime_s: float = 30.0) -> dict[str, Any]:
    """One peer's /stats; of each file its path and when it was whole."""
    return {
        "uptime_s": uptime_s,
        "presentation": "f" * 32,
        "bytes": {"origin": origin, "peers": 100, "delivered": origin + 100},
        "sessions": [],
        "segments": [
            {
                "path": path,
                "kind": "video",
                "bitrate_bps": 1_000_000,
                "size_bytes": 1000,
                "origin": 400,
                "peers": 600,
                "cache": 0,
                "at_s": at_s,
                "took_ms": 500.0,
            }
            for path, at_s in records
        ],
    }


class CrowdLogTests(SynchronousTestCase):
    def test_what_a_peer_has_forgotten_meanwhile_is_kept(self) -> None:
        log = CrowdLog()
        log.note(2.0, {"peer-01": answer(10, ("a", 1.0), ("b", 2.0))})
        log.note(4.0, {"peer-01": answer(20, ("b", 2.0), ("c", 3.0))})
        paths = [record["path"] for record in log.stats["peer-01"]["segments"]]
        self.assertEqual(paths, ["a", "b", "c"])

    def test_it_forgets_the_oldest_beyond_its_bound(self) -> None:
        self.patch(crowd_log, "SEGMENTS_MAX", 2)
        log = CrowdLog()
        log.note(2.0, {"peer-01": answer(10, ("a", 1.0), ("b", 2.0), ("c", 3.0))})
        paths = [record["path"] for record in log.stats["peer-01"]["segments"]]
        self.assertEqual(paths, ["b", "c"])

    def test_a_peer_that_is_gone_still_counts(self) -> None:
        log = CrowdLog()
        log.note(2.0, {"peer-01": answer(10), "peer-02": answer(5)})
        log.note(4.0, {"peer-01": answer(20)})
        self.assertEqual([sample.value_bytes for sample in log.samples], [15, 25])

    def test_a_long_run_keeps_its_course_in_bounded_room(self) -> None:
        log = CrowdLog()
        for second in range(SAMPLES_MAX * 2):
            log.note(float(second), {"peer-01": answer(second)})
        self.assertLessEqual(len(log.samples), SAMPLES_MAX)
        self.assertEqual(log.samples[0].at_s, 0.0)
        self.assertEqual(log.samples[-1].at_s, SAMPLES_MAX * 2 - 1)


class DemoRunTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.log = CrowdLog()
        self.log.note(
            10.0,
            {
                "peer-01": answer(10, ("a", 21.5)),  # its clock began 20 s before the crowd's
                "peer-02": answer(0, ("video_0.m4s", 21.0)),
                "peer-03": answer(0),
            },
        )

    def run_of(self, reports: dict[str, Any], sent_bytes: int = 0) -> Any:
        return demo_run(self.log, reports, {"peer-02": 4.0}, sent_bytes, 10.0, 0.0, None)

    def test_a_silent_viewer_speaks_for_itself_and_joins_when_it_did(self) -> None:
        run = self.run_of({"peer-02": viewer_report()})
        visit = next(visit for visit in run.result.visits if visit.host == "peer-02")
        self.assertEqual(visit.arrives_s, 4.0)
        trace = next(one for one in traces(run.result) if one.host == "peer-02")
        self.assertEqual(trace.bitrate[0], (4.3, 1_000_000.0))
        self.assertEqual(trace.got[0].peers, 600)

    def test_of_a_page_its_peer_tells_by_the_crowds_clock(self) -> None:
        run = self.run_of({})
        trace = next(one for one in traces(run.result) if one.host == "peer-01")
        self.assertEqual(trace.bitrate, ((1.5, 1_000_000.0),))
        self.assertEqual(trace.buffer, ())

    def test_a_peer_that_nobody_watched_is_no_viewer(self) -> None:
        self.assertNotIn("peer-03", self.run_of({}).result.viewers)

    def test_what_left_the_origin_is_what_it_counted_itself_or_else_its_peers(self) -> None:
        self.assertEqual(self.run_of({}, 500).result.egress_bytes, 500)
        self.assertEqual(self.run_of({}).result.egress_bytes, 10)

    def test_a_machine_that_does_not_tell_how_busy_it_was_is_no_obstacle(self) -> None:
        (one,) = gather([self.run_of({"peer-02": viewer_report()})])
        self.assertIsNone(one.cases[0].median("machine_busy"))
