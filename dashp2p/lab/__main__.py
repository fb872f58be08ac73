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
from dashp2p.lab.soak import command as soak_command
from dashp2p.lab.suite import Order, Suite
from dashp2p.lab.terminal import print_findings, print_outcome

_ABOUT = """\
Measure what a crowd of viewers costs the origin, and what the viewers see, with the real daemons.

Each viewer has a host of its own: a network namespace with a limited uplink and downlink, and where
the scenario says so 40 ms of delay, loss, or a NAT. Every scenario is run three ways: with peers,
without (all viewers straight at the origin), and with one viewer alone, which is what the targets
are measured against. What left the origin is read from the kernel's counter of its interface.
"""

_EXAMPLES = """\
examples:
  python -m dashp2p.lab list                       the scenarios and their targets
  sudo python -m dashp2p.lab selftest              is this lab to be believed?
  sudo python -m dashp2p.lab run 1                 ten viewers at once, near
  sudo python -m dashp2p.lab run 1-6 --seeds 5     six scenarios, medians of five runs each
  sudo python -m dashp2p.lab run far --ablate no-lease
  python -m dashp2p.lab run 1 --loopback           without root: only the origin's rate is modelled
  python -m dashp2p.lab report lab-results/* -o report.html
  python -m dashp2p.lab rehearse --peers 10 --minutes 5 --origin URL --tracker URL
  python -m dashp2p.lab seeds 1000                 a thousand storms in memory, five minutes
  python -m dashp2p.lab crashes --times 200        kill -9 at 200 moments, what the cache keeps
  python -m dashp2p.lab soak --peers 50 --minutes 30   kills and freezes; does anything grow?
  python -m dashp2p.lab simulate --row 2 --seeds 5  the same crowd on a virtual clock
  python -m dashp2p.lab check RUN.JSON              a run beside its simulation
  python -m dashp2p.lab summary http://127.0.0.1:8001 http://127.0.0.1:8002
"""


PAGE_NAME = "index.html"
REPORT_NAME = "report.html"


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0 all targets hold, 1 some don't, 2 it could not be run."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given[:1] == ["simulate"]:  # argparse would take --help and unknown options for itself
        return simulate(given[1:])
    options = _parser().parse_args(given)
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


def _parser() -> argparse.ArgumentParser:
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="python -m dashp2p.lab", description=_ABOUT, epilog=_EXAMPLES, formatter_class=plain
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="run scenarios and compare them with their targets")
    run.set_defaults(command=_run)
    run.add_argument("rows", nargs="+", metavar="ROW", help="number, name, range like 1-6, or all")
    run.add_argument(
        "--seeds", type=_count, default=1, metavar="K", help="runs of each (default 1)"
    )
    run.add_argument("--first-seed", type=int, default=1, metavar="N", help="(default 1)")
    run.add_argument(
        "--ablate",
        action="append",
        default=[],
        choices=[ablation.value for ablation in Ablation],
        help="peers do without this mechanism; may be repeated",
    )
    run.add_argument(
        "--player",
        choices=[player.value for player in Player],
        help="another kind of viewer; dashjs is five Chromiums instead of the scenario's crowd",
    )
    run.add_argument("--no-peers", action="store_true", help="only the two variants without peers")
    run.add_argument(
        "--only-peers", action="store_true", help="only the crowd with peers, and alone"
    )
    run.add_argument(
        "--loopback", action="store_true", help="without root: on 127.0.0.1, behind a slow relay"
    )
    run.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="for JSON and logs (default lab-results/DATE-TIME)",
    )
    film = run.add_mutually_exclusive_group()
    film.add_argument("--film", type=Path, metavar="FILE", help="a video (default: a test film)")
    film.add_argument("--dash", type=Path, metavar="DIR", help="a folder made by ./segment.sh")
    run.add_argument("--no-selftest", action="store_true", help="don't test the lab first")

    simulated = commands.add_parser(
        "simulate", help="crowds on a virtual clock, also of a thousand peers", add_help=False
    )
    simulated.set_defaults(command=_simulate)
    simulated.add_argument("rest", nargs=argparse.REMAINDER)

    checked = commands.add_parser(
        "check", help="compare runs with simulations: is the simulator to be believed?"
    )
    checked.set_defaults(command=_check)
    checked.add_argument("runs", nargs="+", type=Path, metavar="RUN.JSON", help="with peers")
    checked.add_argument(
        "--seeds", type=_count, default=3, metavar="K", help="simulations of each (default 3)"
    )

    test = commands.add_parser("selftest", help="does the lab slow traffic as a real path does?")
    test.set_defaults(command=_selftest)

    paged = commands.add_parser("page", help="make the page of plots of earlier runs again")
    paged.add_argument("folder", type=Path, metavar="DIR", help="what --out named")
    paged.set_defaults(command=_page)

    told = commands.add_parser(
        "report",
        help="write one page of runs: plots, comparison, what follows",
        description="Write one HTML page of runs that were measured: what follows from the "
        "numbers, plain DASH beside dashp2p beside what cannot be beaten, and how it went over "
        "time. It is one file and needs no network.",
        epilog="Runs of the same scenario go together: further seeds show the spread, and those "
        "with --ablate stand beside the whole. Rehearsals on several machines become one crowd.",
    )
    told.set_defaults(command=_report)
    told.add_argument(
        "runs",
        nargs="+",
        type=Path,
        metavar="RUN",
        help="a folder that run, rehearse or the demo wrote, or a run.json in it",
    )
    told.add_argument(
        "-o", "--out", type=Path, metavar="FILE.html", help=f"(default ./{REPORT_NAME})"
    )

    tried = commands.add_parser(
        "rehearse",
        help="try a crowd on the real network, against an origin and tracker that run",
        description=rehearsal_options.ABOUT,
        epilog=rehearsal_options.EXAMPLES,
        formatter_class=plain,
    )
    tried.set_defaults(command=_rehearse, parser=tried)
    rehearsal_options.add_arguments(tried)

    shown = commands.add_parser("list", help="the scenarios and their targets")
    shown.set_defaults(command=_list)

    storms = commands.add_parser(
        "seeds", help="swarms in memory through storms of faults; no root, no sockets"
    )
    storms.add_argument("count", type=_count, metavar="N", help="how many seeds")
    storms.add_argument(
        "--from", dest="first", type=_count, default=1, metavar="S", help="the first (default 1)"
    )
    storms.set_defaults(command=_seeds)

    killed = commands.add_parser(
        "crashes", help="a real peer killed while it fills its cache: what is left; no root"
    )
    killed.add_argument("--times", type=_count, default=200, help="how many kills (default 200)")
    killed.add_argument("--seed", type=_count, default=1, help="of the moments (default 1)")
    killed.set_defaults(command=_crashes)

    soaked = commands.add_parser(
        "soak", help="many real daemons for long, with churn: does memory grow? no root"
    )
    soak_command.arguments(soaked)
    soaked.set_defaults(command=soak_command.soak)

    clean = commands.add_parser("clean", help="remove what a killed run left behind")
    clean.add_argument(
        "--all", action="store_true", help="also what belongs to runs that are under way"
    )
    clean.set_defaults(command=_clean)

    told = commands.add_parser("summary", help="what peers that are running now have saved")
    told.add_argument("urls", nargs="+", metavar="URL", help="peers, e.g. http://127.0.0.1:8001")
    told.add_argument("--json", type=Path, metavar="FILE", help="save the figures there too")
    told.set_defaults(command=_summary)
    return parser


def _run(options: argparse.Namespace, console: Console) -> int:
    try:
        scenarios = [scenario for text in options.rows for scenario in rows.find(text)]
    except ValueError as error:
        raise LabUnavailableError(str(error)) from error
    if not options.loopback:
        netns.require_root()
        _believe(options, console)
    if options.player:
        scenarios = [rows.with_player(row, Player(options.player)) for row in scenarios]
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
        console.print("Stopped before anything was seen.")
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


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return value


def _interrupt(number: int, frame: object) -> None:
    # Ctrl-C or SIGTERM: every context on the way out cleans up, which takes some seconds and must
    # not be interrupted in its turn.
    for ours in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ours, signal.SIG_IGN)
    print("stopping", file=sys.stderr)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
