"""The doctor's findings for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from dashp2p import __version__
from dashp2p.doctor.finding import BY_SET_UP, MISSING, OK, OPTIONAL, Finding

COLOURS = {OK: "green", MISSING: "bold red", OPTIONAL: "yellow", BY_SET_UP: "cyan"}


def is_ready(findings: Sequence[Finding]) -> bool:
    """Whether nothing is missing."""
    return all(finding.state != MISSING for finding in findings)


def closing_line(findings: Sequence[Finding]) -> str:
    missing = [finding.subject for finding in findings if finding.state == MISSING]
    if missing:
        return f"Missing: {', '.join(missing)}."
    if any(finding.state == BY_SET_UP for finding in findings):
        return "Nothing stands in the way: ./run-demo.sh 3 brings the rest (once, by the network)."
    return "Nothing is missing."


def as_json(findings: Sequence[Finding]) -> str:
    """{"v": 1, "version", "ready", "findings": [{area, subject, state, found, cure}]}"""
    document = {
        "v": 1,
        "version": __version__,
        "ready": is_ready(findings),
        "findings": [asdict(finding) for finding in findings],
    }
    return json.dumps(document, indent=1)


def show(findings: Sequence[Finding]) -> None:
    """A table where rich is installed, else plain lines."""
    try:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text
    except ImportError:
        print(as_lines(findings))
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    for _ in range(3):
        table.add_column(overflow="fold")
    area = findings[0].area if findings else ""
    for finding in findings:
        if finding.area != area:
            table.add_row()
            area = finding.area
        told = Text(finding.found)
        if finding.cure:
            told.append(f"\n-> {finding.cure}", style="" if finding.state == OK else "bold")
        table.add_row(finding.subject, Text(finding.state, style=COLOURS[finding.state]), told)
    console = Console(highlight=False)
    console.print(table)
    console.print()
    console.print(Text(closing_line(findings)))


def as_lines(findings: Sequence[Finding]) -> str:
    """For a machine that has nothing installed."""
    lines = []
    for finding in findings:
        cure = f"  -> {finding.cure}" if finding.cure else ""
        lines.append(f"{finding.state:9}{finding.subject:11}{finding.found}{cure}")
    return "\n".join([*lines, "", closing_line(findings)])
