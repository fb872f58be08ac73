"""The order of runs: which film a scenario is about."""

import json
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from dashp2p.lab.scenario import Churn, Scenario
from dashp2p.lab.suite import Order, Suite
from tests.content.presentations import built


class FilmTests(SynchronousTestCase):
    """With a film of 16 s that somebody brought."""

    def setUp(self) -> None:
        self.film = Path(self.mktemp())
        self.film.mkdir()
        (self.film / "dash.mpd").write_bytes(b"<MPD/>")
        index = built()
        (self.film / "index.json").write_bytes(index.index_json)
        (self.film / "index.sig").write_bytes(index.signature.to_bytes())

    def length_s(self, scenario: Scenario) -> float:
        """As the outcome of no run at all tells it."""
        folder = Path(self.mktemp())
        order = Order((scenario,), (1,), (), folder, dash=self.film)
        (outcome,) = Suite(order, lambda _: None).run(lambda _: None)
        saved = json.loads((folder / scenario.name / "outcome.json").read_text())
        self.assertEqual(saved["scenario"]["film_s"], outcome.scenario.film_s)
        return outcome.scenario.film_s

    def test_a_scenario_is_as_long_as_the_film_that_it_was_given(self) -> None:
        self.assertEqual(self.length_s(Scenario("near", "ten viewers")), 16.0)

    def test_where_viewers_come_and_go_it_keeps_its_length(self) -> None:
        churn = Scenario("churn", "come and go", film_s=120.0, churn=Churn())
        self.assertEqual(self.length_s(churn), 120.0)
