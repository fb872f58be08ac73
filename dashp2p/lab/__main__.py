"""The lab's command line: python -m dashp2p.lab --help."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from dashp2p.content.interrupts import Interrupted
from dashp2p.lab import crashes, leftovers, netns, rows, summary
from dashp2p.lab import film as films
from dashp2p.lab.arguments import REPORT_NAME, Command, arguments_of
from dashp2p.lab.browser import library_file
from dashp2p.lab.netns import LabUnavailableError
from dashp2p.lab.rehearse import options as rehearsal_options
from dashp2p.lab.rehearse.rehearsal import rehearse
from dashp2p.lab.report import page
from dashp2p.lab.saved import UnreadableRunError
from dashp2p.lab.scenario import Ablation, Player, Variant
from dashp2p.lab.seeds import command as seeds
from dashp2p.lab.selftest import selftest
from dashp2p.lab.sim import check
from dashp2p.lab.sim.__main__ import main as simulate
from dashp2p.lab.suite import Order, Suite
from dashp2p.lab.terminal import print_findings, print_outcome

PAGE_NAME = "index.html"


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0 all targets hold, 1 some don't, 2 it could not be run."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given[:1] == ["simulate"]:  # argparse would take --help and unknown options for itself
        return simulate(given[1:])
    options = arguments_of(_COMMANDS).parse_args(given)
    console = Console()
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)  # a shell's background jobs ignore it otherwise
    try:
        status: int = options.command(options, console)
    except LabUnavailableError as error:
        print(f"dashp2p.lab: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; everything that was started is stopped", file=sys.stderr)
        return 130
    return status


def _run(options: argparse.Namespace, console: Console) -> int:
    try:
        scenarios = [scenario for text in options.rows for scenario in rows.find(text)]
    except ValueError as error:
        raise LabUnavailableError(str(error)) from error
    if options.dash is not None:
        films.from_folder(options.dash)  # now, not after the lab has been tested
    if options.film is not None and not options.film.is_file():
        raise LabUnavailableError(f"there is no film {options.film}")
    if options.player == Player.DASHJS.value and library_file() is None:
        raise LabUnavailableError("dash.js is not there: ./run-demo.sh 3 --no-browser gets it")
    if not options.loopback:
        netns.require_root()
        _believe(options, console)
    if options.player:
        scenarios = [rows.with_player(row, Player(options.player)) for row in scenarios]
    if options.origin_uplink:
        scenarios = [rows.with_origin_uplink(row, options.origin_uplink) for row in scenarios]
    folder = options.out or Path("lab-results") / time.strftime("%Y%m%d-%H%M%S")
    order = Order(
        scenarios=tuple(scenarios),
        seeds=tuple(range(options.first_seed, options.first_seed + options.seeds)),
        variants=_variants(options),
        folder=folder,
        loopback=options.loopback,
        ablations=frozenset(Ablation(name) for name in options.ablate),
        dash=options.dash,
        video=options.film,
    )
    suite = Suite(order, lambda text: console.print(f"[dim]{text}[/]", highlight=False))
    outcomes = suite.run(lambda outcome: print_outcome(console, outcome))
    shown = page.write([folder], folder / PAGE_NAME)
    console.print(f"\nplots: {shown}, JSON and logs beside it", highlight=False)
    good = all(check.good is not False for outcome in outcomes for check in outcome.checks())
    return 0 if good and not any(outcome.failures for outcome in outcomes) else 1


def _variants(options: argparse.Namespace) -> tuple[Variant, ...]:
    if options.no_peers:
        return (Variant.PLAIN, Variant.LONE)
    if options.only_peers:
        return (Variant.PEERS, Variant.LONE)
    return (Variant.PEERS, Variant.PLAIN, Variant.LONE)


def _believe(options: argparse.Namespace, console: Console) -> None:
    if options.no_selftest:
        console.print("[yellow]The lab has not been tested: its figures prove nothing.[/]")
        return
    findings = selftest()
    print_findings(console, findings)
    if not all(finding.good for finding in findings):
        console.print(
            "[red]This lab doesn't slow traffic as a real path does: "
            "the figures that follow prove nothing.[/]"
        )


def _selftest(options: argparse.Namespace, console: Console) -> int:
    findings = selftest()
    print_findings(console, findings)
    return 0 if all(finding.good for finding in findings) else 1


def _simulate(options: argparse.Namespace, console: Console) -> int:
    return simulate(options.rest)


def _check(options: argparse.Namespace, console: Console) -> int:
    good = True
    for path in options.runs:
        try:
            title, found = check.check(path, options.seeds)
        except (check.NotARunError, OSError) as error:
            raise LabUnavailableError(str(error)) from error
        console.print(check.table(title, found))
        good = good and all(one.close is not False for one in found)
    return 0 if good else 1


def _page(options: argparse.Namespace, console: Console) -> int:
    return _write_report([options.folder], options.folder / PAGE_NAME, console)


def _report(options: argparse.Namespace, console: Console) -> int:
    return _write_report(options.runs, options.out or Path(REPORT_NAME), console)


def _write_report(runs: Sequence[Path], file: Path, console: Console) -> int:
    try:
        written = page.write(runs, file)
    except (UnreadableRunError, OSError) as error:
        raise LabUnavailableError(str(error)) from error
    console.print(str(written), highlight=False, soft_wrap=True)
    return 0


def _rehearse(options: argparse.Namespace, console: Console) -> int:
    plan = rehearsal_options.plan(options, options.parser)
    try:
        return rehearse(plan, console)
    except Interrupted as interruption:
        console.print("Stopped.")
        return interruption.exit_status
    except OSError as error:
        raise LabUnavailableError(str(error)) from error


def _list(options: argparse.Namespace, console: Console) -> int:
    table = Table()
    for heading in ("", "name", "what", "targets"):
        table.add_column(heading)
    for row in rows.ROWS:
        table.add_row(str(row.number), row.name, row.title, row.targets.in_words())
    console.print(table)
    return 0


def _seeds(options: argparse.Namespace, console: Console) -> int:
    def tell(text: str) -> None:
        console.print(text, highlight=False, markup=False)

    tally = seeds.run(range(options.first, options.first + options.count), tell)
    tell(tally.in_words())
    return 1 if tally.broken else 0


def _crashes(options: argparse.Namespace, console: Console) -> int:
    tally = crashes.run(options.times, options.seed, lambda each: console.print(str(each)))
    for line in tally.lines():
        console.print(line, highlight=False)
    return 0 if tally.good else 1


def _clean(options: argparse.Namespace, console: Console) -> int:
    netns.require_root()
    removed = leftovers.clean(everything=options.all)
    console.print("removed " + ", ".join(removed) if removed else "nothing was left behind")
    return 0


def _summary(options: argparse.Namespace, console: Console) -> int:
    stats = summary.fetch_all(options.urls)
    if not stats:
        raise LabUnavailableError(f"no peer answered at {', '.join(options.urls)}")
    found = summary.summarise(stats)
    console.print(summary.table(found))
    if options.json:
        summary.save(found, options.json)
    return 0


_COMMANDS: dict[str, Command] = {
    "run": _run,
    "simulate": _simulate,
    "check": _check,
    "selftest": _selftest,
    "page": _page,
    "report": _report,
    "rehearse": _rehearse,
    "list": _list,
    "seeds": _seeds,
    "crashes": _crashes,
    "clean": _clean,
    "summary": _summary,
}


def _interrupt(number: int, frame: object) -> None:
    # Ctrl-C or SIGTERM: every context on the way out cleans up, which takes some seconds and must
    # not be interrupted in its turn.
    for ours in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ours, signal.SIG_IGN)
    print("stopping", file=sys.stderr)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
