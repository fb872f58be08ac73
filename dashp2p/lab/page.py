"""One HTML page of what a suite of runs found: targets, prices, plots. No script, no network."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from dashp2p.lab.plots import Bar, Series, bars, dots, lines

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 80em; margin: 2em auto; padding: 0 1em;
       color: #1b1f24; background: #fff; }
h2 { margin-top: 2.5em; } h3 { font-size: 1em; margin-bottom: .3em; }
table { border-collapse: collapse; } td, th { padding: .15em .8em .15em 0; text-align: left; }
.true { color: #0a7d33; } .false { color: #b3261e; font-weight: 600; } .none { color: #7a6a00; }
.plots { display: flex; flex-wrap: wrap; gap: 1.5em; } svg { max-width: 100%; height: auto; }
.tick { font-size: 11px; fill: #555; } .grid { stroke: #e3e6ea; }
.line { fill: none; stroke-width: 1.8; } .line.peers { stroke: #0a66c2; }
.line.plain { stroke: #c2410c; } .line.lone { stroke: #6b7280; stroke-dasharray: 5 3; }
.dot.peers { fill: #0a66c2; } .dot.plain { fill: #c2410c; } .dot.lone { fill: #6b7280; }
rect.cache { fill: #9aa5b1; } rect.from-peers { fill: #0a66c2; } rect.origin { fill: #c2410c; }
.key span { display: inline-block; width: .8em; height: .8em; margin: 0 .4em 0 1em; }
@media (prefers-color-scheme: dark) { body { background: #14171a; color: #e6e8ea; }
 .grid { stroke: #2c3238; } .tick { fill: #a5adb5; } }
"""
_KEY = (
    '<p class="key"><span style="background:#0a66c2"></span>with peers'
    '<span style="background:#c2410c"></span>without'
    '<span style="background:#6b7280"></span>one viewer alone</p>'
)
_SOURCES = (("cache", "cache"), ("peers", "from-peers"), ("origin", "origin"))
_VERDICTS = {True: "holds", False: "missed", None: "unknown"}


def write(folder: Path) -> Path:
    """Make `index.html` of all outcomes below `folder`."""
    parts = [
        _scenario(json.loads(path.read_text()), path.parent)
        for path in sorted(folder.glob("*/outcome.json"), key=_number)
    ]
    page = folder / "index.html"
    page.write_text(
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>dashp2p lab</title>'
        f"<style>{_STYLE}</style><h1>What a crowd costs the origin</h1>{''.join(parts)}</html>\n"
    )
    return page


def _number(path: Path) -> tuple[int, str]:
    scenario = json.loads(path.read_text())["scenario"]
    return int(scenario["number"]), str(scenario["name"])


def _scenario(outcome: Mapping[str, Any], folder: Path) -> str:
    scenario = outcome["scenario"]
    without = "".join(f", without {name}" for name in outcome["ablations"])
    runs = [json.loads(path.read_text())["run"] for path in sorted(folder.glob("*/run.json"))]
    checks = _table(outcome["checks"]) + _table(outcome["guards"])
    notes = "".join(f"<li>{escape(note)}" for note in (*outcome["failures"], *outcome["notes"]))
    return (
        f"<h2>{scenario['number']} {escape(scenario['title'] + without)}</h2>{_KEY}"
        f'<div class="plots"><div><h3>Left the origin</h3>{_egress(runs)}</div>'
        f"<div><h3>Start-up of each viewer</h3>{_startups(runs)}</div>"
        f"<div><h3>Where each peer's bytes came from (first seed)</h3>{_sources(runs)}</div>"
        f"<div><h3>Targets, then the price</h3>{checks}</div></div>"
        + (f"<details><summary>Notes</summary><ul>{notes}</ul></details>" if notes else "")
    )


def _table(checks: Sequence[Mapping[str, Any]]) -> str:
    rows = "".join(
        f"<tr><td>{escape(check['name'])}<td>{escape(check['target'])}<td>{escape(check['value'])}"
        f'<td class="{str(check["good"]).lower()}">{_VERDICTS[check["good"]]}'
        for check in checks
    )
    return f"<table>{rows}</table>"


def _egress(runs: Sequence[Mapping[str, Any]]) -> str:
    series = [
        Series(
            f"{run['variant']}, seed {run['seed']}",
            run["variant"],
            [
                (sample["at_s"], sample["value_bytes"] / 1e6)
                for sample in run["egress"]
                if sample["at_s"] >= 0
            ],
        )
        for run in runs
    ]
    return lines(series, "seconds", "MB")


def _startups(runs: Sequence[Mapping[str, Any]]) -> str:
    series = []
    for run in runs:
        reports = [(host, report) for host, report in sorted(run["viewers"].items()) if report]
        for number, (host, report) in enumerate(reports, 1):
            if report.get("startup_ms") is not None:
                point = (float(number), report["startup_ms"] / 1e3)
                name = f"{run['variant']}, seed {run['seed']}, {host}"
                series.append(Series(name, run["variant"], [point]))
    return dots(series, "viewer", "seconds")


def _sources(runs: Sequence[Mapping[str, Any]]) -> str:
    crowd = next((run for run in runs if run["variant"] == "peers"), None)
    if crowd is None:
        return ""
    told = [(host, stats["bytes"]) for host, stats in sorted(crowd["stats"].items()) if stats]
    rows = [
        Bar(host, [(kind, counted.get(source, 0) / 1e6) for source, kind in _SOURCES])
        for host, counted in told
    ]
    return bars(rows, "MB")
