"""Is the simulator to be believed? A real run of the lab beside a simulation of the same crowd."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen
from rich.table import Table

from dashp2p.lab import measure, rows
from dashp2p.lab.scenario import Variant
from dashp2p.lab.sim.figures import SimFigures, figures
from dashp2p.lab.sim.simulation import Settings, Simulation, ladder_of
from dashp2p.swarm.policy import Policy

WITHIN = 0.15
"""So far may a simulated figure be from the measured one."""
COUNTED_WITHIN = 1.0
"""And a count of few things, by so many."""


@frozen
class Compared:
    """One figure of both; `close` is None where one of them does not tell it."""

    name: str
    measured: float | None
    simulated: float | None
    counted: bool = False

    @property
    def close(self) -> bool | None:
        """Whether they are within WITHIN of each other, by the measured one."""
        if self.measured is None or self.simulated is None:
            return None
        gap = abs(self.simulated - self.measured)
        return gap <= WITHIN * abs(self.measured) or (self.counted and gap <= COUNTED_WITHIN)


class NotARunError(Exception):
    """The file is no run of the lab with peers."""


def settings_of(document: Mapping[str, Any], seed: int) -> Settings:
    """What the lab ran, to be simulated. Raises NotARunError."""
    try:
        run = document["run"]
        [scenario] = rows.find(str(run["scenario"]))
        ablations = frozenset(str(name) for name in run["ablations"])
        if run["variant"] != Variant.PEERS.value:
            raise NotARunError("that run had no peers")
        policy = Policy.without(ablations)
    except (KeyError, TypeError, ValueError) as error:
        raise NotARunError(f"that is no run.json of the lab: {error!r}") from error
    return Settings(scenario, seed=seed, policy=policy, ladder_bps=ladder_of(scenario))


def compare(document: Mapping[str, Any], runs: Sequence[SimFigures]) -> list[Compared]:
    """The run's figures beside the medians of the simulated ones."""
    found: Mapping[str, Any] = document["figures"]
    crowd: Mapping[str, Any] = found.get("crowd") or {}

    def both(
        name: str, measured: float | None, simulated: Sequence[float | None], counted: bool = False
    ) -> Compared:
        return Compared(name, measured, measure.median(simulated), counted)

    from_peers = measure.share(
        crowd.get("peer_bytes", 0), crowd.get("peer_bytes", 0) + crowd.get("origin_bytes", 0)
    )
    takeovers = found.get("takeovers")
    return [
        both("copies, packet heads too", found["copies"], [one.copies_on_wire for one in runs]),
        both("share of bytes from peers", from_peers, [one.peers_share for one in runs]),
        both("start-up median, s", found["startup_median_s"], [o.startup_median_s for o in runs]),
        both("start-up worst, s", found["startup_worst_s"], [o.startup_worst_s for o in runs]),
        both("takeovers", takeovers, [float(one.takeovers) for one in runs], counted=True),
    ]


def check(path: Path, seeds: int) -> tuple[str, list[Compared]]:
    """A title and the comparison for one run.json. Raises NotARunError, OSError."""
    try:
        document = json.loads(path.read_bytes())
    except ValueError as error:
        raise NotARunError(f"{path} is no JSON") from error
    if not isinstance(document, dict) or "figures" not in document:
        raise NotARunError(f"{path} is no run.json of the lab")
    first = int(document.get("run", {}).get("seed", 1))
    runs: list[SimFigures] = []
    for seed in range(first, first + seeds):
        sim = Simulation(settings_of(document, seed))
        sim.run()
        runs.append(figures(sim))
    title = rows.find(str(document["run"]["scenario"]))[0].title
    without = ", ".join(document["run"]["ablations"])
    title += f" (machine busy {document['figures'].get('machine_busy', 0):.2f})"
    return title + (f", without {without}" if without else ""), compare(document, runs)


def table(title: str, found: Sequence[Compared]) -> Table:
    """For a person."""
    shown = Table(title=title, title_justify="left")
    for heading in ("", "measured", "simulated", f"within {WITHIN:.0%}"):
        shown.add_column(heading, justify="left" if not heading else "right")
    words = {True: "[green]yes[/]", False: "[red]no[/]", None: "[yellow]cannot be told[/]"}
    for one in found:
        values = ["-" if v is None else f"{v:.3f}" for v in (one.measured, one.simulated)]
        shown.add_row(one.name, *values, words[one.close])
    return shown
