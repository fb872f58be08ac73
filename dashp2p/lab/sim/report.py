"""The figures of simulated runs, for a person."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.table import Table

from dashp2p.lab import measure
from dashp2p.lab.scenario import Scenario, Variant
from dashp2p.lab.sim.figures import SimFigures

Shown = Callable[[SimFigures], float | None]

LINES: tuple[tuple[str, Shown, str], ...] = (
    ("egress, MB", lambda f: f.egress_bytes / 1e6, ".1f"),
    ("copies (CPS)", lambda f: f.copies, ".3f"),
    ("copies that were needed", lambda f: f.copies_needed, ".3f"),
    ("offload", lambda f: f.offload, ".3f"),
    ("offload at most", lambda f: f.offload_limit, ".3f"),
    ("start-up median, s", lambda f: f.startup_median_s, ".2f"),
    ("start-up worst, s", lambda f: f.startup_worst_s, ".2f"),
    ("stalls", lambda f: float(f.stalls), ".0f"),
    ("stalled, s", lambda f: f.stalled_s, ".1f"),
    ("mean bitrate, Mbit/s", lambda f: (f.mean_bitrate_bps or 0) / 1e6, ".2f"),
    ("did not finish", lambda f: float(f.unfinished), ".0f"),
    ("refused to players", lambda f: float(f.failures), ".0f"),
    ("duplicates", lambda f: f.duplicate_share, ".2%"),
    ("control and proof", lambda f: f.control_share, ".2%"),
    ("never played", lambda f: f.waste_share, ".2%"),
    ("copied and never played", lambda f: f.spares_share, ".2%"),
    ("leases", lambda f: float(f.leases), ".0f"),
    ("takeovers", lambda f: float(f.takeovers), ".0f"),
    ("hedges", lambda f: float(f.hedges), ".0f"),
    ("links kept with liars", lambda f: float(f.liars_kept), ".0f"),
    ("fetches without a lease", lambda f: float(f.rescues), ".0f"),
    ("fairness of upload (Jain)", lambda f: f.upload_jain, ".2f"),
    ("simulated, s", lambda f: f.simulated_s, ".0f"),
    ("took, s", lambda f: f.took_s, ".1f"),
    ("events", lambda f: float(f.steps), ".0f"),
    ("events a second", lambda f: f.steps_per_s, ".0f"),
)


def table(scenario: Scenario, runs: Sequence[tuple[int, Variant, SimFigures]]) -> Table:
    """Medians over the seeds, and their range, a column for each variant."""
    by_variant: dict[Variant, list[SimFigures]] = {}
    for _, variant, found in runs:
        by_variant.setdefault(variant, []).append(found)
    shown = Table(title=f"{scenario.title} (simulated)")
    shown.add_column("")
    for variant, found_all in by_variant.items():
        shown.add_column(f"{variant.value}, {len(found_all)} seeds", justify="right")
    for name, value, form in LINES:
        cells = [_cell([value(one) for one in found], form) for found in by_variant.values()]
        shown.add_row(name, *cells)
    return shown


def _cell(values: Sequence[float | None], form: str) -> str:
    spread = measure.spread(values)
    if spread is None:
        return "-"
    text = f"{spread.median:{form}}"
    if spread.runs > 1 and spread.low != spread.high:
        text += f" ({spread.low:{form}} to {spread.high:{form}})"
    return text
