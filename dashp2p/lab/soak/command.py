"""`python -m dashp2p.lab soak`: runs it and shows what it came to."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from dashp2p.lab import film
from dashp2p.lab.soak.run import Soak, run
from dashp2p.lab.soak.samples import MEASURES

FILM_S = 30.0
LADDER = "360:500,240:250"
"""A short film of little: all peers have it in memory before the warm-up is over, and what is then
fetched is for those that came back with nothing."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("--peers", type=int, default=50, metavar="N", help="(default 50)")
    parser.add_argument("--minutes", type=float, default=30.0, metavar="M", help="(default 30)")
    parser.add_argument("--seed", type=int, default=1, help="of the churn")
    parser.add_argument(
        "--warm-up", type=float, default=180.0, metavar="S", help="not judged (default 180)"
    )
    parser.add_argument("--dash", type=Path, metavar="DIR", help="a folder made by ./segment.sh")
    parser.add_argument("--out", type=Path, metavar="DIR", help="(default lab-results/soak-...)")


def soak(options: argparse.Namespace, console: Console) -> int:
    """Exit status: 0 nothing grew, 1 something did or ended by itself."""
    shown = film.make(FILM_S, LADDER) if options.dash is None else film.from_folder(options.dash)
    folder = options.out or Path("lab-results") / time.strftime("soak-%Y%m%d-%H%M%S")
    order = Soak(
        options.peers,
        options.minutes,
        shown,
        folder.resolve(),
        options.seed,
        options.warm_up,
    )
    report = run(order, lambda text: console.print(f"[dim]{text}[/]", highlight=False))
    console.print(table(report))
    console.print(in_words(report, folder), highlight=False)
    return 0 if report["flat"] else 1


def table(report: dict[str, Any]) -> Table:
    """A line for each process that lived long enough."""
    shown = Table()
    for heading in ("process", "samples", "MB", "MB/h", "descriptors", "threads", "flat"):
        shown.add_column(heading)
    for life in report["lives"]:
        megabytes, descriptors, threads = (life[measure] for measure in MEASURES)
        shown.add_row(
            life["name"],
            str(life["samples"]),
            f"{megabytes['first']:.0f} to {megabytes['last']:.0f}",
            f"{megabytes['slope_per_hour']:+.1f}",
            f"{descriptors['first']:.0f} to {descriptors['last']:.0f}",
            f"{threads['first']:.0f} to {threads['last']:.0f}",
            "yes" if life["flat"] else "NO",
        )
    return shown


def in_words(report: dict[str, Any], folder: Path) -> str:
    """The line that counts."""
    flat = "flat" if report["flat"] else f"NOT flat: {', '.join(report['growing']) or 'see below'}"
    if not report["judged"]:
        flat = "nothing lived long enough after the warm-up to be judged"
    ends = "".join(f"\n{end}" for end in report["unexpected_ends"])
    viewers = report["viewers"]
    return (
        f"{flat}: {report['judged']} processes judged, {report['kills']} kills, "
        f"{report['freezes']} freezes; viewers began {viewers.get('films', 0)} films and broke off "
        f"{viewers.get('broken', 0)}, {viewers.get('segments', 0)} segments\n"
        f"{folder}/soak.json{ends}"
    )
