"""Finding the peers that lead a fetch."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from dashp2p.lab.aim import Aim


class AimTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.answers: dict[str, Any] = {"/swarms": {"swarms": [{"leases": 1}]}}
        self.asked: list[str] = []

    def ask(self, path: str) -> Any:
        self.asked.append(path)
        return self.answers.get(path)

    def test_leaders_are_found(self) -> None:
        self.answers["/tracker?segment=2"] = {"leader": "aa", "holders": []}
        self.assertEqual(list(Aim(4).leaders(self.ask)), ["aa"])

    def test_without_leases_no_segment_is_asked_for(self) -> None:
        self.answers["/swarms"] = {"swarms": [{"leases": 0}]}
        self.assertEqual(list(Aim(4).leaders(self.ask)), [])
        self.assertEqual(self.asked, ["/swarms"])

    def test_what_is_held_is_asked_for_once(self) -> None:
        self.answers["/tracker?segment=1"] = {"leader": None, "holders": ["bb"]}
        aim = Aim(2)
        list(aim.leaders(self.ask))
        list(aim.leaders(self.ask))
        self.assertEqual(self.asked.count("/tracker?segment=1"), 1)

    def test_a_tracker_that_does_not_answer_has_no_leaders(self) -> None:
        self.answers.clear()
        self.assertEqual(list(Aim(2).leaders(self.ask)), [])
