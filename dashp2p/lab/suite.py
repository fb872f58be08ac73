"""Several scenarios, several seeds, three variants each: run in turn, saved and compared."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import define, evolve, field, frozen

from dashp2p.lab import film as films
from dashp2p.lab.check import Check
from dashp2p.lab.figures import Figures, checks, figures, guards
from dashp2p.lab.film import Film
from dashp2p.lab.result import RunResult
from dashp2p.lab.run import Run, RunFailedError
from dashp2p.lab.saved import plain, save
from dashp2p.lab.scenario import Ablation, Scenario, Variant

ATTEMPTS = 2
"""A run that could not be carried out (a daemon that did not start) is tried again, once."""


@frozen
class Order:
    """What somebody asked the lab for."""

    scenarios: tuple[Scenario, ...]
    seeds: tuple[int, ...]
    variants: tuple[Variant, ...]
    folder: Path
    loopback: bool = False
    ablations: frozenset[Ablation] = frozenset()
    dash: Path | None = None
    video: Path | None = None


@define
class Outcome:
    """All runs of one scenario, and what they say."""

    scenario: Scenario
    ablations: tuple[str, ...] = ()
    runs: dict[Variant, list[Figures]] = field(factory=dict)
    failures: list[str] = field(factory=list)
    notes: list[str] = field(factory=list)

    def checks(self) -> list[Check]:
        return checks(self.scenario, self.runs)

    def guards(self) -> list[Check]:
        return guards(self.runs.get(Variant.PEERS, ()))

    def to_json(self) -> dict[str, Any]:
        document = {
            "scenario": self.scenario,
            "ablations": self.ablations,
            "runs": self.runs,
            "checks": self.checks(),
            "guards": self.guards(),
            "failures": self.failures,
            "notes": self.notes,
        }
        return {name: plain(value) for name, value in document.items()}


@define
class Suite:
    """Carries an order out. `say` hears one line for each run before it starts."""

    order: Order
    say: Callable[[str], None]
    _lone: dict[tuple[Any, ...], tuple[Figures, RunResult]] = field(init=False, factory=dict)

    def run(self, finished: Callable[[Outcome], None]) -> list[Outcome]:
        """All scenarios in turn; `finished` hears each one's outcome, which is also saved."""
        outcomes = []
        for scenario in self.order.scenarios:
            outcome = self._scenario(scenario)
            path = self.order.folder / scenario.name / "outcome.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(outcome.to_json(), indent=1) + "\n")
            finished(outcome)
            outcomes.append(outcome)
        return outcomes

    def _scenario(self, scenario: Scenario) -> Outcome:
        names = tuple(sorted(ablation.value for ablation in self.order.ablations))
        film = self._film(scenario)
        scenario = self._as_long_as(film, scenario)
        outcome = Outcome(scenario, names)
        for seed in self.order.seeds:
            for variant in self.order.variants:
                found = self._one(scenario, variant, seed, film, outcome)
                if found is not None:
                    outcome.runs.setdefault(variant, []).append(found)
        return outcome

    def _film(self, scenario: Scenario) -> Film:
        if self.order.dash is not None:
            return films.from_folder(self.order.dash)
        length = "your film" if self.order.video else f"film of {scenario.film_s:g} s"
        self.say(f"{length} (cut once, then kept)")
        return films.make(scenario.film_s, scenario.ladder, self.order.video)

    def _as_long_as(self, film: Film, scenario: Scenario) -> Scenario:
        """With a film that somebody brought the scenario has that one's length; where viewers come
        and go its length is the experiment's own."""
        if scenario.churn is not None or (self.order.dash is None and self.order.video is None):
            return scenario
        return evolve(scenario, film_s=film.duration_s)

    def _one(
        self, scenario: Scenario, variant: Variant, seed: int, film: Film, outcome: Outcome
    ) -> Figures | None:
        asked = scenario
        if variant is Variant.LONE:
            scenario = scenario.alone()
        key = (film, seed, scenario.links, scenario.player, scenario.buffer_s)
        path = self.order.folder / scenario.name / f"{variant.value}-{seed}" / "run.json"
        if variant is Variant.LONE and key in self._lone:
            # One viewer alone is the same in every scenario with these links.
            known, measured = self._lone[key]
            save(asked, evolve(measured, scenario=asked.name), known, path)
            return known
        self.say(f"{scenario.title}: {variant.value}, seed {seed}")
        for attempt in range(1, ATTEMPTS + 1):
            order = self.order
            run = Run(scenario, variant, seed, film, path.parent, order.loopback, order.ablations)
            try:
                result = run.run()
            except RunFailedError as error:
                outcome.failures.append(f"{variant.value}, seed {seed}, attempt {attempt}: {error}")
                continue
            found = figures(scenario, result)
            save(asked, result, found, path)
            outcome.notes += [f"{variant.value}, seed {seed}: {note}" for note in result.notes]
            if variant is Variant.LONE:
                self._lone[key] = (found, result)
            return found
        return None
