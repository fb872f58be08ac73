"""What befalls a crowd, with programs that are none."""

from __future__ import annotations

import signal
from types import SimpleNamespace
from typing import Any, cast

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.lab.agenda import Agenda
from dashp2p.lab.company import Company
from dashp2p.lab.film import Film
from dashp2p.lab.scenario import Churn, Ending, Scenario, Visit
from dashp2p.lab.troubles import AIM_S, Troubles

TWO = Scenario("two", "two", peers=2, film_s=30.0)


class FakeProgram:
    def __init__(self) -> None:
        self.heard: list[signal.Signals] = []

    def send(self, number: signal.Signals) -> None:
        self.heard.append(number)


class FakeStage:
    def __init__(self) -> None:
        self.cut: list[str] = []

    def connect(self, host: str, connected: bool) -> None:
        self.cut += [] if connected else [host]


class FakeCompany:
    """Answers what it was told to, by host and path."""

    def __init__(self, with_peers: bool = True) -> None:
        self.with_peers = with_peers
        self.stage = FakeStage()
        self.viewers = {host: FakeProgram() for host in ("p01", "p02")}
        self.peers = {host: FakeProgram() for host in self.viewers} if with_peers else {}
        self.answers: dict[tuple[str, str], Any] = {}
        self.taken: list[str] = []
        self.killed: list[str] = []
        self.notes: list[str] = []

    def ask(self, host: str, path: str) -> Any:
        return self.answers.get((host, path))

    def take_stats(self, host: str) -> None:
        self.taken.append(host)

    def kill(self, name: str) -> None:
        self.killed.append(name)


class FakeFilm:
    """Three positions."""

    index = SimpleNamespace(entries=(None, None, None), representations=())


class TroublesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.now_s = 0.0
        self.company = FakeCompany()

    def play(self, scenario: Scenario, until_s: float, *visits: Visit) -> Troubles:
        agenda = Agenda(lambda: self.now_s)
        company = cast(Company, self.company)
        film = cast(Film, FakeFilm())
        troubles = Troubles(scenario, film, visits, company, agenda)
        troubles.plan()
        self.until(troubles, until_s)
        return troubles

    def until(self, troubles: Troubles, until_s: float) -> None:
        while self.now_s < until_s:
            self.now_s += 0.05
            troubles.agenda.catch_up()

    def test_who_leaves_is_killed_and_its_figures_are_taken_before(self) -> None:
        troubles = self.play(TWO, 12.1, Visit("p01", 0.0), Visit("p02", 0.0, 12.0))
        self.assertEqual(list(troubles.left), ["p02"])
        self.assertEqual(self.company.taken, ["p02"])
        self.assertEqual(self.company.peers["p02"].heard, [signal.SIGKILL])
        self.assertEqual(self.company.viewers["p02"].heard, [signal.SIGTERM])
        self.assertEqual(self.company.viewers["p01"].heard, [])

    def test_a_host_may_hang_or_lose_its_line(self) -> None:
        self.play(TWO, 5.0, Visit("p01", 0.0, 1.0, Ending.STOP), Visit("p02", 0.0, 2.0, Ending.CUT))
        self.assertEqual(self.company.peers["p01"].heard, [signal.SIGSTOP])
        self.assertEqual(self.company.stage.cut, ["p02"])

    def test_without_peers_only_the_viewer_goes(self) -> None:
        self.company = FakeCompany(with_peers=False)
        churning = evolve(TWO, churn=Churn(), tracker_killed_at_s=1.0)
        self.play(churning, 5.0, Visit("p01", 0.0, 1.0))
        self.assertEqual(self.company.viewers["p01"].heard, [signal.SIGTERM])
        self.assertEqual(self.company.killed, [])

    def lead(self, host: str) -> None:
        """Let that host's peer hold a lease."""
        for one in self.company.peers:
            self.company.answers[one, "/stats"] = {"peer": f"id-{one}"}
        self.company.answers["tracker", "/swarms"] = {"swarms": [{"leases": 1}]}
        self.company.answers["tracker", "/tracker?segment=1"] = {"leader": f"id-{host}"}

    def test_churn_hits_who_leads_a_fetch_and_the_two_swap_their_times(self) -> None:
        self.lead("p01")
        churning = evolve(TWO, churn=Churn())
        visits = (Visit("p01", 0.0, 20.0), Visit("p02", 0.0, 1.0))
        troubles = self.play(churning, 5.0, *visits)
        self.assertEqual(list(troubles.left), ["p01"])
        self.company.answers.clear()
        self.until(troubles, 20.0 + AIM_S + 1)
        self.assertEqual(list(troubles.left), ["p01", "p02"])

    def test_where_nobody_leads_within_moments_it_is_who_was_due(self) -> None:
        churning = evolve(TWO, churn=Churn())
        troubles = self.play(churning, 1.0 + AIM_S - 0.2, Visit("p02", 0.0, 1.0))
        self.assertEqual(troubles.left, {})
        self.until(troubles, 1.0 + AIM_S + 0.2)
        self.assertEqual(list(troubles.left), ["p02"])

    def test_the_tracker_is_killed_in_its_time(self) -> None:
        self.play(evolve(TWO, tracker_killed_at_s=5.0), 4.9)
        self.assertEqual(self.company.killed, [])
        self.now_s = 0.0
        self.play(evolve(TWO, tracker_killed_at_s=5.0), 5.1)
        self.assertEqual(self.company.killed, ["tracker"])

    def test_the_origin_is_killed_at_the_latest_when_a_film_has_had_its_time(self) -> None:
        troubles = self.play(evolve(TWO, origin_killed_when_held=True), TWO.film_s - 0.1)
        self.assertEqual(self.company.killed, [])
        self.assertIsNone(troubles.origin_ended)
        self.until(troubles, TWO.film_s + 1.0)
        self.assertEqual(self.company.killed, ["origin"])
        assert troubles.origin_ended is not None
        self.assertFalse(troubles.origin_ended.held)

    def test_without_peers_the_origin_stays(self) -> None:
        self.company = FakeCompany(with_peers=False)
        troubles = self.play(evolve(TWO, origin_killed_when_held=True), TWO.film_s + 1.0)
        self.assertEqual(self.company.killed, [])
        self.assertIsNone(troubles.origin_ended)
