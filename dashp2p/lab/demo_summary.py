"""What the demo came to: the crowd's figures, and one row for each peer and its viewer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
from attrs import frozen
from rich.table import Table

from dashp2p.lab import measure, summary
from dashp2p.lab.summary import Summary

MEGABYTE = 1e6


@frozen
class PeerRow:
    """One peer: what its player saw, and where the bytes came from. None: nobody told."""

    peer: int
    url: str
    player: str | None
    state: str | None
    startup_ms: float | None
    stalls: int | None
    stalled_ms: float | None
    mean_bitrate_bps: float | None
    cache_bytes: int
    peer_bytes: int
    origin_bytes: int
    uploaded_bytes: int


def viewing_of(stats: Mapping[str, Any], report: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """What the player of a peer told: a silent viewer's report, else the latest session's QoE."""
    if report is not None:
        return report
    told = [one for one in stats.get("sessions") or () if one.get("qoe")]
    latest = min(told, key=lambda one: float(one.get("last_seen_s") or 0), default=None)
    return latest["qoe"] if latest else {}


def row_of(
    peer: int, url: str, stats: Mapping[str, Any], report: Mapping[str, Any] | None
) -> PeerRow:
    """A peer's row from its /stats and its viewer's report."""
    seen = viewing_of(stats, report)
    counted = stats.get("bytes", {})
    return PeerRow(
        peer=peer,
        url=url,
        player="viewer" if report is not None else (seen.get("player") or None),
        state=seen.get("state"),
        startup_ms=seen.get("startup_ms"),
        stalls=seen.get("stalls"),
        stalled_ms=seen.get("stalled_ms"),
        mean_bitrate_bps=seen.get("mean_bitrate_bps"),
        cache_bytes=int(counted.get("cache") or 0),
        peer_bytes=int(counted.get("peers") or 0),
        origin_bytes=int(counted.get("origin") or 0),
        uploaded_bytes=int(counted.get("uploaded") or 0),
    )


def crowd_summary(
    stats: Mapping[int, Mapping[str, Any]],
    reports: Mapping[int, Mapping[str, Any]],
    origin: Mapping[str, Any],
) -> Summary:
    """The crowd's figures; what left the origin is what the origin itself counted."""
    told = [
        {**one, "sessions": [{"qoe": viewing_of(one, reports.get(peer))}]}
        for peer, one in sorted(stats.items())
    ]
    sent, distinct = (sum((origin.get(key) or {}).values()) for key in ("bytes", "distinct_bytes"))
    if not sent:
        return summary.summarise(told)
    figures = summary.summarise(told, sent)
    return attrs.evolve(
        figures,
        distinct_bytes=distinct,
        copies_per_segment=measure.copies_per_segment(sent, distinct),
    )


def peer_table(rows: list[PeerRow]) -> Table:
    """For a terminal: what each peer's player saw, and its bytes in MB."""
    table = Table(title="Peer by peer (got from ... and sent: MB)", title_justify="left")
    table.add_column("peer", justify="right")
    table.add_column("player")
    for name in ("start-up", "stalls", "Mbit/s", "peers", "origin", "cache", "sent"):
        table.add_column(name, justify="right")
    for row in rows:
        counts = (row.peer_bytes, row.origin_bytes, row.cache_bytes, row.uploaded_bytes)
        table.add_row(
            str(row.peer),
            " ".join(part for part in (row.player, row.state) if part) or "-",
            "-" if row.startup_ms is None else f"{row.startup_ms / 1e3:.2f} s",
            _stalls(row),
            "-" if not row.mean_bitrate_bps else f"{row.mean_bitrate_bps / 1e6:.2f}",
            *(f"{count / MEGABYTE:.1f}" for count in counts),
        )
    return table


def save(
    path: Path, figures: Summary, rows: list[PeerRow], origin: Mapping[str, Any], running_s: float
) -> None:
    """Write all of it as JSON."""
    document = {
        "v": 1,
        "running_s": round(running_s, 1),
        **figures.to_json(),
        "by_peer": [attrs.asdict(row) for row in rows],
        "origin": dict(origin),
    }
    path.write_text(json.dumps(document, indent=1) + "\n")


def read_report(path: Path) -> dict[str, Any] | None:
    """A silent viewer's figures; None where it left none."""
    try:
        report = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return report if isinstance(report, dict) else None


def _stalls(row: PeerRow) -> str:
    if row.stalls is None:
        return "-"
    return f"{row.stalls} ({row.stalled_ms / 1e3:.1f} s)" if row.stalls and row.stalled_ms else "0"
