"""The lab's command line, as argparse has it."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

from rich.console import Console

from dashp2p.lab.rehearse import options as rehearsal_options
from dashp2p.lab.scenario import Ablation, Player
from dashp2p.lab.soak import command as soak_command

Command = Callable[[argparse.Namespace, Console], int]
"""Carries a command out and returns the exit status."""

REPORT_NAME = "report.html"
MAX_MBIT = 10_000.0
"""Of a line that may be asked for."""

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
  sudo $(which python) -m dashp2p.lab selftest     is this lab to be believed?
  sudo $(which python) -m dashp2p.lab run 1        ten viewers at once, near
  sudo $(which python) -m dashp2p.lab run 1-6 --seeds 5  six, medians of five runs each
  sudo $(which python) -m dashp2p.lab run far --ablate no-lease
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


def arguments_of(commands: Mapping[str, Command]) -> argparse.ArgumentParser:
    """The parser; what it finds has the function of the command in `command`."""
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="python -m dashp2p.lab", description=_ABOUT, epilog=_EXAMPLES, formatter_class=plain
    )
    adding = parser.add_subparsers(required=True, metavar="COMMAND")

    run = adding.add_parser("run", help="run scenarios and compare them with their targets")
    run.set_defaults(command=commands["run"])
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
    run.add_argument(
        "--origin-uplink",
        type=_rate,
        metavar="MBIT",
        help="the origin's line instead of the scenario's 20 Mbit/s. Wide enough for all, with "
        "--no-peers, it shows what this machine allows that many viewers to see",
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

    simulated = adding.add_parser(
        "simulate", help="crowds on a virtual clock, also of a thousand peers", add_help=False
    )
    simulated.set_defaults(command=commands["simulate"])
    simulated.add_argument("rest", nargs=argparse.REMAINDER)

    checked = adding.add_parser(
        "check", help="compare runs with simulations: is the simulator to be believed?"
    )
    checked.set_defaults(command=commands["check"])
    checked.add_argument("runs", nargs="+", type=Path, metavar="RUN.JSON", help="with peers")
    checked.add_argument(
        "--seeds", type=_count, default=3, metavar="K", help="simulations of each (default 3)"
    )

    test = adding.add_parser("selftest", help="does the lab slow traffic as a real path does?")
    test.set_defaults(command=commands["selftest"])

    paged = adding.add_parser("page", help="make the page of plots of earlier runs again")
    paged.add_argument("folder", type=Path, metavar="DIR", help="what --out named")
    paged.set_defaults(command=commands["page"])

    told = adding.add_parser(
        "report",
        help="write one page of runs: plots, comparison, what follows",
        description="Write one HTML page of runs that were measured: what follows from the "
        "numbers, plain DASH beside dashp2p beside what cannot be beaten, and how it went over "
        "time. It is one file and needs no network.",
        epilog="Runs of the same scenario go together: further seeds show the spread, and those "
        "with --ablate stand beside the whole. Rehearsals on several machines become one crowd.",
    )
    told.set_defaults(command=commands["report"])
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

    tried = adding.add_parser(
        "rehearse",
        help="try a crowd on the real network, against an origin and tracker that run",
        description=rehearsal_options.ABOUT,
        epilog=rehearsal_options.EXAMPLES,
        formatter_class=plain,
    )
    tried.set_defaults(command=commands["rehearse"], parser=tried)
    rehearsal_options.add_arguments(tried)

    shown = adding.add_parser("list", help="the scenarios and their targets")
    shown.set_defaults(command=commands["list"])

    storms = adding.add_parser(
        "seeds", help="swarms in memory through storms of faults; no root, no sockets"
    )
    storms.add_argument("count", type=_count, metavar="N", help="how many seeds")
    storms.add_argument(
        "--from", dest="first", type=_count, default=1, metavar="S", help="the first (default 1)"
    )
    storms.set_defaults(command=commands["seeds"])

    killed = adding.add_parser(
        "crashes", help="a real peer killed while it fills its cache: what is left; no root"
    )
    killed.add_argument("--times", type=_count, default=200, help="how many kills (default 200)")
    killed.add_argument("--seed", type=_count, default=1, help="of the moments (default 1)")
    killed.set_defaults(command=commands["crashes"])

    soaked = adding.add_parser(
        "soak", help="many real daemons for long, with churn: does memory grow? no root"
    )
    soak_command.arguments(soaked)
    soaked.set_defaults(command=soak_command.soak)

    clean = adding.add_parser("clean", help="remove what a killed run left behind")
    clean.add_argument(
        "--all", action="store_true", help="also what belongs to runs that are under way"
    )
    clean.set_defaults(command=commands["clean"])

    told = adding.add_parser("summary", help="what peers that are running now have saved")
    told.add_argument("urls", nargs="+", metavar="URL", help="peers, e.g. http://127.0.0.1:8001")
    told.add_argument("--json", type=Path, metavar="FILE", help="save the figures there too")
    told.set_defaults(command=commands["summary"])
    return parser


def _rate(text: str) -> float:
    """Bits per second, of a number of Mbit/s."""
    value = float(text)
    if not 0 < value <= MAX_MBIT:
        raise argparse.ArgumentTypeError(f"a rate from above 0 to {MAX_MBIT:g} Mbit/s")
    return value * 1e6


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return value
