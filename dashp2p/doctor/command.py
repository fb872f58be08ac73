"""The command: look, show, and an exit status that scripts can use."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import dashp2p
from dashp2p.doctor.checks import Place, programs, surroundings
from dashp2p.doctor.finding import Finding
from dashp2p.doctor.lab import lab, servers
from dashp2p.doctor.machine import Machine
from dashp2p.doctor.report import as_json, is_ready, show
from dashp2p.places import client_folder

DEFAULT_CACHE = Path("~/.cache/dashp2p")


def main(arguments: Sequence[str], machine: Machine | None = None) -> int:
    """0: nothing is missing; 1: something is; 2: the command line was wrong."""
    given = parser().parse_args(arguments)
    place = here(given.cache)
    findings = look(machine or Machine(), place, given.lab, given.origin, given.tracker)
    if given.json:
        print(as_json(findings))
    else:
        show(findings)
    return 0 if is_ready(findings) else 1


def look(
    machine: Machine, place: Place, for_lab: bool, origin: str | None, tracker: str | None
) -> list[Finding]:
    """All findings, in the order of the table."""
    return [
        *programs(machine, place),
        *surroundings(machine, place),
        *(lab(machine) if for_lab else ()),
        *servers(machine, origin, tracker),
    ]


def here(cache: Path) -> Place:
    """The place of the program that runs."""
    package = Path(dashp2p.__file__).resolve().parent
    root = package.parent
    is_checkout = (root / "run-demo.sh").is_file()
    newest = max(path.stat().st_mtime for path in package.glob("*.py"))
    return Place(root if is_checkout else None, client_folder(), cache.expanduser(), newest)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="dashp2p doctor",
        description="Says what this machine lacks for dashp2p, and how to get it. Exit status 1 "
        "when something is missing. Nothing is changed, and nobody is asked but the servers that "
        "you name.",
    )
    made.add_argument("--json", action="store_true", help="for programs")
    made.add_argument("--lab", action="store_true", help="look at what experiments need, too")
    made.add_argument("--origin", metavar="URL", help="does this origin answer? (as for a peer)")
    made.add_argument("--tracker", metavar="URL", help="does this tracker answer?")
    made.add_argument(
        "--cache",
        type=Path,
        metavar="DIR",
        default=DEFAULT_CACHE,
        help="a peer's cache, to look at its disk (~/.cache/dashp2p)",
    )
    return made
