"""Runs that belong together: one scenario, done in several ways, each as often as it was done."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from attrs import evolve, field, frozen

from dashp2p.lab import measure
from dashp2p.lab.check import Check
from dashp2p.lab.figures import Figures, checks, guards
from dashp2p.lab.measure import Spread
from dashp2p.lab.result import Setting
from dashp2p.lab.saved import Saved
from dashp2p.lab.scenario import Ablation, Scenario, Targets, Variant

_ORDER = {Variant.PLAIN: 0, Variant.PEERS: 1, Variant.LONE: 3}
_NAMES = {
    Variant.PLAIN: "plain DASH",
    Variant.PEERS: "dashp2p",
    Variant.LONE: "one viewer alone",
}
_WITHOUT = {
    Ablation.NO_LEASE.value: "without leases",
    Ablation.STORE_AND_FORWARD.value: "storing before it forwards",
    Ablation.NO_HEDGE.value: "without hedges",
    Ablation.IN_ORDER.value: "asking in order only",
    Ablation.NO_CMSD.value: "without CMSD",
    Ablation.NO_PACING.value: "without a pace for what is cached",
    Ablation.NO_PREFETCH.value: "fetching nothing ahead",
}


@frozen
class Case:
    """One way of doing it."""

    variant: Variant
    ablations: tuple[str, ...]
    runs: tuple[Saved, ...]
    """At least one, the lowest seed first."""

    @property
    def name(self) -> str:
        return ", ".join(
            (_NAMES[self.variant], *(_WITHOUT.get(one, one) for one in self.ablations))
        )

    @property
    def without(self) -> str:
        """What it does without, in words; empty where it has all."""
        return " and ".join(_WITHOUT.get(one, f"without {one}") for one in self.ablations)

    @property
    def figures(self) -> list[Figures]:
        return [run.figures for run in self.runs]

    def spread(self, name: str) -> Spread | None:
        """Median and range over the runs of one figure, by its name in Figures."""
        return measure.spread(getattr(one, name) for one in self.figures)

    def median(self, name: str) -> float | None:
        found = self.spread(name)
        return found.median if found else None


@frozen
class Experiment:
    """One scenario in all the ways that it was done."""

    scenario: Scenario
    setting: Setting
    cases: tuple[Case, ...]
    failures: tuple[str, ...] = field(default=())

    def find(self, variant: Variant) -> Case | None:
        """The case of that variant that has all mechanisms, else the first one that hasn't."""
        found = [case for case in self.cases if case.variant is variant]
        return min(found, key=lambda case: len(case.ablations), default=None)

    @property
    def plain(self) -> Case | None:
        return self.find(Variant.PLAIN)

    @property
    def crowd(self) -> Case | None:
        return self.find(Variant.PEERS)

    @property
    def lone(self) -> Case | None:
        return self.find(Variant.LONE)

    @property
    def ablated(self) -> list[Case]:
        """The ways to do it with peers but not with all mechanisms, beside the crowd."""
        return [one for one in self.cases if one.variant is Variant.PEERS and one is not self.crowd]

    @property
    def overhead(self) -> float:
        """By how much what leaves the origin exceeds the files: packet headers, as one viewer
        alone shows them. 1.0 where nobody measured it, or files alone were counted."""
        return (self.lone.median("copies") if self.lone else None) or 1.0

    def copies(self, case: Case) -> Spread | None:
        """Copies per segment, packet headers taken off."""
        found = case.spread("copies")
        if found is None:
            return None
        by = self.overhead
        return Spread(found.median / by, found.low / by, found.high / by, found.runs)

    def offload(self, case: Case) -> Spread | None:
        """Share of what players got that the origin did not send, packet headers taken off."""
        shares = (
            measure.offload(one.egress_bytes / self.overhead, one.delivered_bytes)
            for one in case.figures
        )
        # A crowd's own headers may be more than one viewer's: nobody is spared less than nothing.
        return measure.spread(None if share is None else max(0.0, share) for share in shares)

    @property
    def viewers(self) -> int:
        """How many there were in the crowd; with churn, how many came in all."""
        case = self.crowd or self.plain or self.cases[0]
        return max(len(run.result.visits) for run in case.runs)

    @property
    def ladder_bps(self) -> tuple[int, ...]:
        """The rungs of its film, or at least those that somebody asked for."""
        results = [run.result for case in self.cases for run in case.runs]
        told = next((one.ladder_bps for one in results if one.ladder_bps), ())
        if told:
            return tuple(told)
        return tuple(sorted({rate for one in results for rate in _asked(one.viewers.values())}))

    def checks(self) -> list[Check]:
        """The scenario's targets; empty where there was no crowd with peers."""
        if self.crowd is None:
            return []
        chosen = [case for case in (self.crowd, self.plain, self.lone) if case is not None]
        return checks(self.scenario, {case.variant: case.figures for case in chosen})

    def guards(self) -> list[Check]:
        """What the crowd paid."""
        return guards(self.crowd.figures) if self.crowd else []

    @property
    def notes(self) -> list[str]:
        return [
            f"{case.name}, run {run.result.seed}: {note}"
            for case in self.cases
            for run in case.runs
            for note in run.result.notes
        ]


def gather(runs: Sequence[Saved]) -> list[Experiment]:
    """Sort runs into experiments, in the order of the table of figures."""
    groups: dict[tuple[Any, ...], list[Saved]] = {}
    for run in runs:
        groups.setdefault(_key(run), []).append(run)
    found = [_experiment(group) for group in groups.values()]
    return sorted(found, key=lambda one: (one.scenario.number, one.scenario.name))


def _key(run: Saved) -> tuple[Any, ...]:
    return (evolve(run.scenario, targets=Targets()), run.result.setting)


def _experiment(runs: Sequence[Saved]) -> Experiment:
    ways: dict[tuple[Variant, tuple[str, ...]], list[Saved]] = {}
    for run in runs:
        # What a peer does without is nothing to those who have none.
        ablations = run.result.ablations if run.result.variant is Variant.PEERS else ()
        ways.setdefault((run.result.variant, ablations), []).append(run)
    cases = [
        Case(variant, ablations, tuple(sorted(found, key=lambda run: run.result.seed)))
        for (variant, ablations), found in ways.items()
    ]
    cases.sort(key=lambda case: (_ORDER[case.variant], len(case.ablations), case.ablations))
    failures = dict.fromkeys(failure for run in runs for failure in run.failures)
    return Experiment(runs[0].scenario, runs[0].result.setting, tuple(cases), tuple(failures))


def _asked(viewers: Iterable[Any]) -> Iterable[int]:
    for report in viewers:
        for segment in (report or {}).get("segments") or ():
            if segment.get("track", "video") == "video" and segment.get("bitrate_bps"):
                yield int(segment["bitrate_bps"])
