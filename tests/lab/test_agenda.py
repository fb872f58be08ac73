"""A run's agenda, on a clock that a test moves."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dashp2p.lab.agenda import Agenda


class AgendaTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.now = 100.0
        self.agenda = Agenda(lambda: self.now)
        self.agenda.begin_in(1.0)
        self.done: list[str] = []

    def test_its_time_is_negative_until_the_first_viewer_begins(self) -> None:
        self.assertEqual(self.agenda.now_s, -1.0)

    def test_what_is_due_happens_in_the_order_of_its_time_then_of_planning(self) -> None:
        for at_s, name in ((2.0, "later"), (1.0, "first"), (1.0, "second")):
            self.agenda.at(at_s, lambda name=name: self.done.append(name))  # type: ignore[misc]
        self.now = 102.5
        self.agenda.catch_up()
        self.assertEqual(self.done, ["first", "second"])
        self.assertEqual(self.agenda.next_s(9.0), 2.0)

    def test_what_is_planned_while_it_catches_up_happens_too_if_it_is_due(self) -> None:
        self.agenda.at(0.5, lambda: self.agenda.at(0.6, lambda: self.done.append("then")))
        self.now = 102.0
        self.agenda.catch_up()
        self.assertEqual(self.done, ["then"])

    def test_with_nothing_planned_the_next_moment_is_the_callers(self) -> None:
        self.assertEqual(self.agenda.next_s(9.0), 9.0)
