"""The table that has all ways of doing it side by side, beside what cannot be beaten."""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen

from dashp2p.lab import measure
from dashp2p.lab.figures import WINDOW_S, Figures
from dashp2p.lab.measure import Spread
from dashp2p.lab.report.experiment import Case, Experiment
from dashp2p.lab.report.limits import Limits


@frozen
class Cell:
    """A median, and over several runs the range around it."""

    median: str
    spread: str = ""


@frozen
class Row:
    """One figure; a cell for each case, in their order, None where a case has no such thing."""

    name: str
    unit: str
    cells: tuple[Cell | None, ...]
    limit: str


def comparison(experiment: Experiment, limits: Limits) -> list[Row]:
    """Rows in the order of interest; one that nobody has a value for is left out."""
    rows: list[Row] = []

    def row(
        name: str,
        unit: str,
        of: Callable[[Case], Spread | None],
        form: str = ".2f",
        scale: float = 1.0,
        limit: float | None = None,
    ) -> None:
        cells = tuple(_cell(of(case), form, scale) for case in experiment.cases)
        if any(cells):
            shown = "" if limit is None else f"{limit * scale:{form}}"
            rows.append(Row(name, unit, cells, shown))

    def each(of: Callable[[Figures], float | None]) -> Callable[[Case], Spread | None]:
        return lambda case: measure.spread(of(one) for one in case.figures)

    row("Copies per segment", "", experiment.copies, limit=limits.copies)
    egress, bitrate = each(lambda one: one.egress_bytes), each(lambda one: one.mean_bitrate_bps)
    row("Left the origin", "MB", egress, ".1f", 1e-6, limits.egress_bytes)
    row("Origin spared", "%", experiment.offload, ".1f", 100, limits.offload)
    row("Fullest 4 s at the origin", "Mbit/s", each(_fullest_bps), ".1f", 1e-6)
    row("Start-up, median", "s", each(lambda one: one.startup_median_s), limit=limits.startup_s)
    row("Start-up, last", "s", each(lambda one: one.startup_worst_s), limit=limits.startup_s)
    row("Stalls", "", each(lambda one: one.stalls), ".0f", limit=0)
    row("Stalled", "% of time", each(lambda one: one.stall_ratio), ".2f", 100, 0)
    row("Mean bitrate", "Mbit/s", bitrate, ".2f", 1e-6, limits.bitrate_bps)
    row("Switches per viewer", "", each(lambda one: one.switches), ".1f", limit=0)
    row("Quality score per segment", "", each(lambda one: one.qoe), ".2f", limit=limits.score)
    row("CPU of a peer, of one core", "%", each(lambda one: one.cpu_per_viewer), ".1f", 100)
    row("Machine busy", "%", each(lambda one: one.machine_busy), ".0f", 100)
    return rows


def _fullest_bps(one: Figures) -> float | None:
    return max(one.window_egress) * 8 / WINDOW_S if one.window_egress else None


def _cell(found: Spread | None, form: str, scale: float) -> Cell | None:
    if found is None:
        return None
    median, low, high = (
        f"{value * scale:{form}}" for value in (found.median, found.low, found.high)
    )
    return Cell(median, f"{low} to {high}" if found.runs > 1 and low != high else "")
