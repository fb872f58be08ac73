"""What the page's charts show; how they are drawn is the chart library's business (report.js)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from attrs import field, frozen

from dashp2p.lab.report.experiment import Case, Experiment
from dashp2p.lab.report.traces import Got, Point, Trace, traces
from dashp2p.lab.scenario import Variant

SPARE = 1.08
"""Room above the highest value."""

COLOURS = {Variant.PLAIN: "plain", Variant.PEERS: "dashp2p", Variant.LONE: "alone"}
ABLATED_COLOURS = ("ablated-1", "ablated-2", "ablated-3", "ablated-4", "ablated-5")


@frozen
class Line:
    """Points by rising x. `colour` is a name that report.css knows."""

    name: str
    colour: str
    points: Sequence[Point]
    dash: bool = False
    step: bool = False
    faint: bool = False
    """One of many, or a mere comparison."""


@frozen
class Chart:
    """One pair of axes from zero on: x in seconds, y in `unit`."""

    label: str
    """What it shows, for those who don't see it."""
    unit: str
    x_top: float
    y_top: float
    lines: Sequence[Line] = ()
    bars: Sequence[Line] = ()
    """Drawn in this order, each over the one before: a stack has its sum first."""
    height: int = 180
    sync: str | None = None
    """Charts with the same word move their cursors together."""
    legend: bool = field(default=False)

    def to_json(self) -> dict[str, Any]:
        return {
            "label": self.label,
            "unit": self.unit,
            "x_top": round(self.x_top, 2),
            "y_top": round(self.y_top, 4),
            "height": self.height,
            "sync": self.sync,
            "legend": self.legend,
            "lines": [_line(one) for one in self.lines],
            "bars": [_line(one) for one in self.bars],
        }


def _line(line: Line) -> dict[str, Any]:
    points = _rising(line.points)
    return {
        "name": line.name,
        "colour": line.colour,
        "dash": line.dash,
        "step": line.step,
        "faint": line.faint,
        "x": [x for x, _ in points],
        "y": [y for _, y in points],
    }


def _rising(points: Sequence[Point]) -> list[Point]:
    """Rounded, and each x above the one before, which the chart library asks for."""
    found: list[Point] = []
    for x, y in points:
        least = found[-1][0] + 0.01 if found else 0.0
        found.append((round(max(x, least), 2), round(y, 3)))
    return found


def colour_of(experiment: Experiment, case: Case) -> str:
    """The same in every chart and table of an experiment."""
    if case in experiment.ablated:
        return ABLATED_COLOURS[experiment.ablated.index(case) % len(ABLATED_COLOURS)]
    return COLOURS[case.variant]


def egress(experiment: Experiment, limit_bytes: float | None) -> Chart:
    """What has left the origin so far, of the first run of each case, and the least possible."""
    lines = [
        Line(
            case.name,
            colour_of(experiment, case),
            [
                (sample.at_s, sample.value_bytes / 1e6)
                for sample in case.runs[0].result.egress
                if sample.at_s >= 0
            ],
            dash=case.variant is Variant.LONE,
        )
        for case in experiment.cases
    ]
    x_top = max((x for line in lines for x, _ in line.points), default=1.0)
    if limit_bytes:
        limit = limit_bytes / 1e6
        lines.append(Line("limit: one copy", "limit", [(0, limit), (x_top, limit)], dash=True))
    y_top = max((y for line in lines for _, y in line.points), default=1.0)
    label = "Megabytes that have left the origin, by time"
    return Chart(label, "MB", x_top, y_top * SPARE, lines, height=240, legend=True)


@frozen
class Course:
    """All viewers' films in one way of doing it, on the axes that all ways share."""

    case: Case
    colour: str
    traces: Sequence[Trace]
    x_top: float
    buffer_top_s: float
    rate_top_bps: float

    def buffers(self) -> Chart:
        lines = [Line(one.host, self.colour, one.buffer, faint=True) for one in self.traces]
        label = f"Seconds of film that each viewer had in hand, {self.case.name}"
        return Chart(label, "s", self.x_top, self.buffer_top_s, lines)

    def bitrates(self) -> Chart:
        lines = [
            Line(one.host, self.colour, _mbit(one.bitrate), step=True, faint=True)
            for one in self.traces
        ]
        label = f"Bitrate of each viewer's video, {self.case.name}"
        return Chart(label, "Mbit/s", self.x_top, self.rate_top_bps / 1e6, lines)


def courses(experiment: Experiment) -> list[Course]:
    """Of the first run of each way, one viewer alone left out."""
    cases = [case for case in experiment.cases if case.variant is not Variant.LONE]
    told = [(case, traces(case.runs[0].result)) for case in cases]
    every = [one for _, found in told for one in found]
    x_top = max((x for one in every for x, _ in (*one.buffer, *one.bitrate)), default=1.0)
    buffer_top = max((y for one in every for _, y in one.buffer), default=1.0)
    rate_top = max((y for one in every for _, y in one.bitrate), default=1e6)
    return [
        Course(case, colour_of(experiment, case), found, x_top, buffer_top * SPARE, rate_top * 1.15)
        for case, found in told
        if found
    ]


def viewer_charts(course: Course, trace: Trace, beside: Trace | None, sync: str) -> list[Chart]:
    """Buffer, bitrate and sources of one viewer; `beside`: the same one in plain DASH."""
    buffer = [Line(course.case.name, course.colour, trace.buffer)]
    rate = [Line(course.case.name, course.colour, _mbit(trace.bitrate), step=True)]
    if beside is not None:
        buffer.insert(0, Line("plain DASH", "plain", beside.buffer, faint=True))
        rate.insert(0, Line("plain DASH", "plain", _mbit(beside.bitrate), step=True, faint=True))
    stack = _stack(trace.got)
    tallest = max((y for line in stack for _, y in line.points), default=1.0)
    x, who = course.x_top, trace.host
    small = partial(Chart, height=110, sync=sync)
    return [
        small(f"Film in hand of {who}", "s", x, course.buffer_top_s, buffer),
        small(f"Bitrate of {who}", "Mbit/s", x, course.rate_top_bps / 1e6, rate),
        small(f"Sources of {who}'s video segments", "MB", x, tallest * SPARE, (), stack),
    ]


def _mbit(points: Sequence[Point]) -> list[Point]:
    return [(x, y / 1e6) for x, y in points]


def _stack(got: Sequence[Got]) -> list[Line]:
    """Bars of megabytes: from the origin at the bottom, then from peers, then what was here."""
    got = sorted(got, key=lambda one: one.at_s)
    known = [one for one in got if one.video and one.origin + one.peers + one.cache]
    return [
        Line(
            "from cache", "cache", [(g.at_s, (g.origin + g.peers + g.cache) / 1e6) for g in known]
        ),
        Line("from peers", "dashp2p", [(g.at_s, (g.origin + g.peers) / 1e6) for g in known]),
        Line("from origin", "plain", [(g.at_s, g.origin / 1e6) for g in known]),
    ]
