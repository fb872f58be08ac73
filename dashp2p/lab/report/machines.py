"""A rehearsal on several machines at once is one crowd: their runs are put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import evolve

from dashp2p.lab.figures import figures
from dashp2p.lab.measure import Sample
from dashp2p.lab.report import words
from dashp2p.lab.result import RunResult, Setting
from dashp2p.lab.saved import Saved


def title(viewers: int) -> str:
    """What a rehearsal with so many is called."""
    return f"a rehearsal with {words.count(viewers, 'viewer')}"


def join(runs: Sequence[Saved]) -> list[Saved]:
    """Rehearsals of one film that overlapped in time become one run; others stay as they are."""
    found: list[Saved] = []
    for run in sorted(runs, key=lambda one: one.result.began_at):
        other = next((one for one in found if _together(one.result, run.result)), None)
        if other is None:
            found.append(run)
        else:
            found[found.index(other)] = _joined(other, run)
    return found


def _together(one: RunResult, other: RunResult) -> bool:
    """Of one crowd: the same film in the same way, at times that overlap, on other machines."""
    same = (one.variant, one.presentation) == (other.variant, other.presentation)
    rehearsed = one.setting is other.setting is Setting.REHEARSAL
    apart = not set(one.viewers) & set(other.viewers)
    return same and rehearsed and apart and other.began_at < one.began_at + one.duration_s


def _joined(one: Saved, other: Saved) -> Saved:
    first, second = one.result, other.result
    late_s = second.began_at - first.began_at
    moved = tuple(evolve(visit, arrives_s=visit.arrives_s + late_s) for visit in second.visits)
    result = evolve(
        first,
        duration_s=max(first.duration_s, second.duration_s + late_s),
        egress=_sum(first.egress, [evolve(one, at_s=one.at_s + late_s) for one in second.egress]),
        visits=(*first.visits, *moved),
        viewers={**first.viewers, **second.viewers},
        stats={**first.stats, **second.stats},
        cpu_s={**first.cpu_s, **second.cpu_s},
        machine_busy=max(first.machine_busy or 0.0, second.machine_busy or 0.0),
        notes=(*first.notes, *second.notes),
        stage=_stages(first.stage, second.stage),
    )
    peers = one.scenario.peers + other.scenario.peers
    scenario = evolve(
        one.scenario,
        title=title(peers),
        peers=peers,
        film_s=max(one.scenario.film_s, other.scenario.film_s),
    )
    return Saved(scenario, result, figures(scenario, result), (*one.failures, *other.failures))


def _sum(one: Sequence[Sample], other: Sequence[Sample]) -> tuple[Sample, ...]:
    """Two counters as one: each counts on from its last reading."""
    merged, levels = [], [0, 0]
    readings = [(sample, 0) for sample in one] + [(sample, 1) for sample in other]
    for sample, whose in sorted(readings, key=lambda pair: pair[0].at_s):
        levels[whose] = sample.value_bytes
        merged.append(Sample(sample.at_s, sum(levels)))
    return tuple(merged)


def _stages(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    machines = [*one.get("machines", ()), *other.get("machines", ())]
    return {**other, **one, "machines": machines}
