"""What one run measured: the lab's, a demo's or a rehearsal's."""

from __future__ import annotations

import enum
from typing import Any

from attrs import frozen

from dashp2p.lab.measure import Sample
from dashp2p.lab.origin_end import Ended
from dashp2p.lab.scenario import Variant, Visit


class Setting(enum.Enum):
    """Where a crowd was: what is known about its links, and who counted, follows from it."""

    LAB = "lab"
    """Hosts with links of the scenario's; the kernel counted."""
    LOOPBACK = "loopback"
    """One machine; a relay in front of the origin slowed and counted."""
    DEMO = "demo"
    """One machine without any limit; origin and peers counted."""
    REHEARSAL = "rehearsal"
    """A real network, of which nothing is known; the peers counted."""


@frozen
class RunResult:
    """Everything that a run measured, plain enough for JSON."""

    scenario: str
    variant: Variant
    seed: int
    loopback: bool
    ablations: tuple[str, ...]
    began_at: float
    """Seconds since 1970, before preparations."""
    duration_s: float
    egress: tuple[Sample, ...]
    """Bytes that have left the origin, from its start; second 0 is the first viewer's start."""
    visits: tuple[Visit, ...]
    viewers: dict[str, Any]
    """Each viewer's own report by host; None where it left none."""
    stats: dict[str, Any]
    """Each peer's /stats by host, taken at the end or just before its end."""
    swarms: Any
    cpu_s: dict[str, float]
    """CPU that each program used since the first viewer's start, in seconds of one core."""
    machine_busy: float | None
    """Share of all cores' time that was used while viewers watched; None where it is not told."""
    stage: dict[str, Any]
    notes: tuple[str, ...]
    setting: Setting = Setting.LAB
    ladder_bps: tuple[int, ...] = ()
    """Bitrates of the film's video, lowest first; empty where the run did not tell."""
    presentation: str | None = None
    liar_ids: tuple[str | None, ...] = ()
    """Who the liars are; None for one that was not there to be asked."""
    origin_ended: Ended | None = None
    """How the origin was killed, where that was so."""

    @property
    def egress_bytes(self) -> int:
        return self.egress[-1].value_bytes if self.egress else 0
