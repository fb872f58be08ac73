"""Small plots as SVG text: what a page of results needs, without a plotting library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from attrs import frozen

WIDTH = 560
HEIGHT = 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 10, 34

Point = tuple[float, float]


@frozen
class Series:
    """A line or a set of dots, in the units of the axes; `kind` is its CSS class, its colour."""

    name: str
    kind: str
    points: Sequence[Point]


@frozen
class Bar:
    """One row of a bar chart: parts (CSS class, amount) laid end to end."""

    name: str
    parts: Sequence[tuple[str, float]]


def lines(series: Sequence[Series], x_label: str, y_label: str) -> str:
    """A line for each series, axes from zero."""
    frame = _Frame.around(series, x_label, y_label)
    drawn = []
    for one in series:
        path = " ".join(f"{frame.x(x):.1f},{frame.y(y):.1f}" for x, y in one.points)
        title = f"<title>{escape(one.name)}</title>"
        drawn.append(f'<polyline class="line {one.kind}" points="{path}">{title}</polyline>')
    return frame.svg("".join(drawn))


def dots(series: Sequence[Series], x_label: str, y_label: str) -> str:
    """A dot for each point: how single viewers fared."""
    frame = _Frame.around(series, x_label, y_label)
    drawn = [
        f'<circle class="dot {one.kind}" cx="{frame.x(x):.1f}" cy="{frame.y(y):.1f}" r="3.5">'
        f"<title>{escape(one.name)}: {y:g}</title></circle>"
        for one in series
        for x, y in one.points
    ]
    return frame.svg("".join(drawn))


def bars(rows: Sequence[Bar], unit: str) -> str:
    """A bar for each row, its parts stacked from the left."""
    row_px, name_px = 18, 52
    most = max((sum(amount for _, amount in row.parts) for row in rows), default=0) or 1
    scale = (WIDTH - name_px - 80) / most
    drawn = []
    for number, row in enumerate(rows):
        top = number * row_px
        drawn.append(f'<text class="tick" x="0" y="{top + 12}">{escape(row.name)}</text>')
        left = float(name_px)
        for kind, amount in row.parts:
            width = amount * scale
            title = f"<title>{escape(row.name)}, {kind}: {amount:.2f} {unit}</title>"
            drawn.append(
                f'<rect class="{kind}" x="{left:.1f}" y="{top + 2}" width="{width:.1f}" '
                f'height="{row_px - 5}">{title}</rect>'
            )
            left += width
        total = sum(amount for _, amount in row.parts)
        text = f"{total:.1f} {unit}"
        drawn.append(f'<text class="tick" x="{left + 5:.1f}" y="{top + 12}">{text}</text>')
    return _svg("".join(drawn), max(row_px, row_px * len(rows)))


@frozen
class _Frame:
    """Axes from zero to a round number, and where a value lies between."""

    x_top: float
    y_top: float
    x_label: str
    y_label: str

    @classmethod
    def around(cls, series: Sequence[Series], x_label: str, y_label: str) -> _Frame:
        points = [point for one in series for point in one.points]
        x_top = max((x for x, _ in points), default=1.0)
        y_top = max((y for _, y in points), default=1.0)
        return cls(_round_up(x_top), _round_up(y_top), x_label, y_label)

    def x(self, value: float) -> float:
        return _LEFT + value / self.x_top * (WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        return HEIGHT - _BOTTOM - value / self.y_top * (HEIGHT - _TOP - _BOTTOM)

    def svg(self, drawn: str) -> str:
        marks = []
        for part in range(5):
            value = self.y_top * part / 4
            y = self.y(value)
            marks.append(
                f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
                f'<text class="tick" text-anchor="end" x="{_LEFT - 6}" y="{y + 4:.1f}">'
                f"{value:g}</text>"
            )
            value = self.x_top * part / 4
            marks.append(
                f'<text class="tick" text-anchor="middle" x="{self.x(value):.1f}" '
                f'y="{HEIGHT - _BOTTOM + 15}">{value:g}</text>'
            )
        marks.append(
            f'<text class="tick" text-anchor="end" x="{WIDTH - _RIGHT}" y="{HEIGHT - 3}">'
            f"{escape(self.x_label)}</text>"
            f'<text class="tick" x="{_LEFT + 4}" y="{_TOP + 8}">{escape(self.y_label)}</text>'
        )
        return _svg("".join(marks) + drawn, HEIGHT)


def _round_up(value: float) -> float:
    """The next of 1, 2, 4, 5, 6, 8 times a power of ten: all of them have readable quarters."""
    if value <= 0:
        return 1.0
    power: float = 10.0 ** math.floor(math.log10(value))
    step = next((one for one in (1, 2, 4, 5, 6, 8) if one * power >= value * 0.999), 10)
    return step * power


def _svg(drawn: str, height: int) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">'
        f"{drawn}</svg>"
    )
