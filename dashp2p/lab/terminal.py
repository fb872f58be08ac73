"""What the lab found, for a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from rich.console import Console
from rich.table import Table

from dashp2p.lab import measure
from dashp2p.lab.check import Check
from dashp2p.lab.figures import Figures
from dashp2p.lab.scenario import Variant
from dashp2p.lab.selftest import Finding
from dashp2p.lab.suite import Outcome

_MARKS = {True: "[green]holds[/]", False: "[red]missed[/]", None: "[yellow]unknown[/]"}
_HEADINGS = {
    Variant.PEERS: "with peers",
    Variant.PLAIN: "without peers",
    Variant.LONE: "one viewer alone",
}


def print_outcome(console: Console, outcome: Outcome) -> None:
    """One scenario: the three variants side by side, then targets and guards."""
    scenario = outcome.scenario
    number = f"{scenario.number} " if scenario.number else ""
    without = f", without {', '.join(outcome.ablations)}" if outcome.ablations else ""
    console.print()
    console.print(_comparison(outcome, f"{number}{scenario.name}: {scenario.title}{without}"))
    if Variant.PEERS in outcome.runs:
        console.print(_verdicts(outcome.checks(), outcome.guards()))
    for failure in outcome.failures:
        console.print(f"[red]failed:[/] {failure}", highlight=False)
    for note in outcome.notes:
        console.print(f"[dim]{note}[/]", highlight=False)


def print_findings(console: Console, findings: Iterable[Finding]) -> None:
    table = Table(title="Does the lab slow traffic down as a real path does?", title_justify="left")
    for heading in ("what", "expected", "measured", ""):
        table.add_column(heading)
    for finding in findings:
        table.add_row(finding.name, finding.expected, finding.measured, _MARKS[finding.good])
    console.print(table)


def _comparison(outcome: Outcome, title: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("")
    variants = [variant for variant in Variant if variant in outcome.runs]
    for variant in variants:
        table.add_column(_HEADINGS[variant], justify="right")
    columns = [outcome.runs[variant] for variant in variants]

    def row(name: str, of: Callable[[Figures], float | None], scale: float, form: str) -> None:
        table.add_row(name, *(_spread(runs, of, scale, form) for runs in columns))

    row("egress, MB", lambda one: one.egress_bytes, 1e-6, ".1f")
    row("distinct files played, MB", lambda one: one.distinct_bytes, 1e-6, ".1f")
    row("egress / distinct", lambda one: one.copies, 1, ".3f")
    row("egress / what nobody there held", _over_needed, 1, ".3f")
    row("offload (limit: 1 - 1/N)", lambda one: one.offload, 1, ".3f")
    row("1 - 1/N", lambda one: measure.offload_limit(one.viewers), 1, ".3f")
    row("mean bitrate, Mbit/s", lambda one: one.mean_bitrate_bps, 1e-6, ".2f")
    row("start-up median, s", lambda one: one.startup_median_s, 1, ".2f")
    row("start-up worst, s", lambda one: one.startup_worst_s, 1, ".2f")
    row("stalls", lambda one: one.stalls, 1, ".0f")
    row("stalled, s", lambda one: one.stalled_s, 1, ".1f")
    row("most that left in 4 s, MB", lambda one: max(one.window_egress, default=None), 1e-6, ".1f")
    row("machine busy", lambda one: one.machine_busy, 1, ".2f")
    return table


def _over_needed(one: Figures) -> float | None:
    return measure.share(one.egress_bytes, one.needed_bytes)


def _verdicts(targets: Sequence[Check], prices: Sequence[Check]) -> Table:
    table = Table(show_header=False)
    for _ in range(4):
        table.add_column()
    for check in targets:
        table.add_row(check.name, check.target, check.value, _MARKS[check.good])
    table.add_section()
    for check in prices:
        table.add_row(check.name, check.target, check.value, _MARKS[check.good])
    return table


def _spread(
    runs: Sequence[Figures], of: Callable[[Figures], float | None], scale: float, form: str
) -> str:
    found = measure.spread(of(one) for one in runs)
    if found is None:
        return "-"
    middle = f"{found.median * scale:{form}}"
    if found.runs == 1 or found.low == found.high:
        return middle
    return f"{middle} [dim]({found.low * scale:{form}} to {found.high * scale:{form}})[/]"
