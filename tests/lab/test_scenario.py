"""Who comes when, and what the table of rows holds."""

from __future__ import annotations

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.lab import rows
from dashp2p.lab.loss import Loss
from dashp2p.lab.scenario import (
    STAY_MIN_S,
    Churn,
    Links,
    Player,
    Scenario,
    Targets,
    Variant,
    churn_visits,
)

TEN = Scenario("ten", "ten viewers", spacing_s=2.0, killed=3, killed_at_s=12.0)


class VisitTests(SynchronousTestCase):
    def test_viewers_come_one_after_the_other(self) -> None:
        arrivals = [visit.arrives_s for visit in TEN.visits(Variant.PEERS, 1)]
        self.assertEqual(arrivals, [2.0 * number for number in range(10)])

    def test_with_and_without_peers_the_same_leave(self) -> None:
        self.assertEqual(TEN.visits(Variant.PEERS, 3), TEN.visits(Variant.PLAIN, 3))

    def test_as_many_leave_as_the_scenario_says(self) -> None:
        left = [visit.leaves_s for visit in TEN.visits(Variant.PEERS, 1) if visit.leaves_s]
        self.assertEqual(left, [12.0] * 3)

    def test_one_alone_stays(self) -> None:
        [visit] = TEN.visits(Variant.LONE, 1)
        self.assertIsNone(visit.leaves_s)

    def test_only_the_named_number_of_peers_loses(self) -> None:
        lossy = evolve(TEN, links=Links(loss=Loss(0.1), lossy_peers=3))
        self.assertEqual([n for n in range(1, 11) if lossy.loses(n)], [1, 2, 3])
        self.assertTrue(evolve(TEN, links=Links(loss=Loss(0.1))).loses(10))
        self.assertFalse(TEN.loses(1))


class ChurnTests(SynchronousTestCase):
    @given(st.integers(0, 1000), st.floats(5, 60))
    def test_the_crowd_keeps_its_size(self, seed: int, stay_s: float) -> None:
        visits = churn_visits(Churn(crowd=5, stay_s=stay_s), 60.0, seed)
        for at_s in (0.0, 10.5, 30.25, 59.9):
            there = [
                visit
                for visit in visits
                if visit.arrives_s <= at_s and (visit.leaves_s is None or visit.leaves_s > at_s)
            ]
            self.assertEqual(len(there), 5)

    def test_each_visit_has_a_host_of_its_own_and_lasts_a_while(self) -> None:
        visits = churn_visits(Churn(), 120.0, 1)
        self.assertEqual(len({visit.host for visit in visits}), len(visits))
        for visit in visits:
            if visit.leaves_s is not None:
                self.assertGreaterEqual(visit.leaves_s - visit.arrives_s, STAY_MIN_S - 1e-9)

    def test_all_endings_occur(self) -> None:
        visits = churn_visits(Churn(), 120.0, 1)
        self.assertEqual({visit.ending for visit in visits if visit.leaves_s}, set(Churn().endings))


class RowsTests(SynchronousTestCase):
    def test_rows_are_found_by_number_name_and_range(self) -> None:
        self.assertEqual([row.name for row in rows.find("4")], ["far"])
        self.assertEqual(rows.find("far"), rows.find("4"))
        self.assertEqual([row.number for row in rows.find("2-4")], [2, 3, 4])
        self.assertEqual(rows.find("all"), list(rows.ROWS))

    def test_an_unknown_row_is_refused_with_what_there_is(self) -> None:
        for text in ("99", "nowhere", "1-x", ""):
            error = self.assertRaises(ValueError, rows.find, text)
            self.assertIn("far-loss", str(error))

    def test_names_and_numbers_are_unique(self) -> None:
        self.assertEqual(len({row.name for row in rows.ROWS}), len(rows.ROWS))
        self.assertEqual(len({row.number for row in rows.ROWS}), len(rows.ROWS))

    def test_targets_are_told_in_words(self) -> None:
        self.assertEqual(Targets(cps_max=1.05, stalls_max=0).in_words(), "CPS <= 1.05, no stall")

    def test_the_origin_may_have_another_line(self) -> None:
        (row,) = rows.find("far")
        wide = rows.with_origin_uplink(row, 200e6)
        self.assertEqual((wide.links.origin_uplink_bps, wide.links.far), (200e6, True))
        self.assertIn("200 Mbit/s", wide.title)

    def test_in_browsers_all_want_all_that_can_be_had(self) -> None:
        (row,) = rows.find("14")
        self.assertIsNotNone(row.most_bps)
        self.assertIsNone(rows.with_player(row, Player.DASHJS).most_bps)
