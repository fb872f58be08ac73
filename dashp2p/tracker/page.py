"""The tracker's page: its swarms in a table, filled in here, so that it needs no script."""

from __future__ import annotations

from html import escape
from importlib.resources import files
from string import Template

from twisted.web.server import Request

from dashp2p.tracker.api import TrackerApi
from dashp2p.tracker.registry import SwarmSummary

MAX_ROWS = 200

_UNITS = ("B", "kB", "MB", "GB", "TB")


class StatusPage:
    """Renders pages/status.html."""

    def __init__(self, api: TrackerApi) -> None:
        self._api = api
        text = files("dashp2p.tracker").joinpath("pages/status.html").read_text("utf-8")
        self._template = Template(text)

    async def render(self, request: Request) -> bytes:
        swarms = await self._api.registry.swarms(self._api.seconds())
        request.setHeader(b"Content-Type", b"text/html; charset=utf-8")
        request.setHeader(b"Cache-Control", b"no-store")
        request.setHeader(
            b"Content-Security-Policy", b"default-src 'none'; style-src 'unsafe-inline'"
        )
        rows = [_row(swarm) for swarm in swarms[:MAX_ROWS]]
        return self._template.substitute(
            summary=escape(_summary(swarms)), rows="\n".join(rows)
        ).encode("utf-8")


def _summary(swarms: list[SwarmSummary]) -> str:
    if not swarms:
        return "No peer has announced itself yet."
    peers = sum(swarm.peers for swarm in swarms)
    shown = f", the {MAX_ROWS} largest shown" if len(swarms) > MAX_ROWS else ""
    return f"{_count(peers, 'peer')} in {_count(len(swarms), 'swarm')}{shown}."


def _row(swarm: SwarmSummary) -> str:
    figures, totals = swarm.figures, swarm.totals
    cells = [f'<td title="{swarm.swarm.hex()}">{swarm.swarm.hex()[:12]}</td>']
    numbers = [swarm.peers, *(figures.get(name, 0) for name in ("leases", "segments_held"))]
    numbers += [figures.get(name, 0) for name in ("granted", "takeovers", "hedges")]
    cells += [f"<td>{int(number):,}</td>" for number in numbers]
    for name in ("cache_bytes", "peers_bytes", "origin_bytes"):
        cells.append(f"<td>{_bytes(totals.get(name, 0))}</td>")
    return "<tr>" + "".join(cells) + "</tr>"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _bytes(number: float) -> str:
    for unit in _UNITS[:-1]:
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} {_UNITS[-1]}"
