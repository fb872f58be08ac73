"""What a crowd cost its origin and what its viewers saw, from the peers' own /stats.

For anyone who runs peers: the demo prints it when it ends, and `python -m dashp2p.lab summary
URL...` asks peers that are running. The lab's own runs don't trust this alone: there the kernel's
interface counter says what left the origin.
"""

from __future__ import annotations

import json
import statistics
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.error import URLError

import attrs
from attrs import frozen
from rich.table import Table

from dashp2p.lab import measure

Stats = Mapping[str, Any]
"""One peer's /stats, as parsed from its JSON."""

_ANSWER_BYTES_MAX = 16 * 2**20
_TIMEOUT_S = 5.0
# Peers are on this machine or next to it: a proxy that the environment names has no way to them.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@frozen
class Summary:
    """Totals over a crowd of peers. Bytes are verified payload; shares are 0 to 1, None unknown."""

    peers: int
    viewers: int
    delivered_bytes: int
    cache_bytes: int
    peer_bytes: int
    origin_bytes: int
    distinct_bytes: int
    uploaded_bytes: int
    control_bytes: int
    duplicate_bytes: int
    wasted_bytes: int
    hedges: int
    segments: int
    copies_per_segment: float | None
    offload: float | None
    offload_limit: float
    upload_fairness: float | None
    startup_ms_median: float | None
    startup_ms_worst: float | None
    stalls: int
    stalled_ms: float
    mean_bitrate_bps: float | None

    @property
    def duplicate_share(self) -> float | None:
        return measure.share(self.duplicate_bytes, self.peer_bytes + self.origin_bytes)

    @property
    def control_share(self) -> float | None:
        return measure.share(self.control_bytes, self.peer_bytes + self.origin_bytes)

    @property
    def hedge_share(self) -> float | None:
        return measure.share(self.hedges, self.segments)

    def to_json(self) -> dict[str, Any]:
        """Every figure by its name, plain numbers."""
        shares = {
            name: getattr(self, name)
            for name in ("duplicate_share", "control_share", "hedge_share")
        }
        return {**attrs.asdict(self), **shares}


def summarise(stats: Sequence[Stats], origin_sent_bytes: int | None = None) -> Summary:
    """Add up the /stats of all peers of one crowd.

    origin_sent_bytes: what the origin itself counted, where it is known; else what peers say that
    they got from it. A peer tells of its last 120 files, so copies per segment are exact for runs
    up to some four minutes and too high for longer ones.
    """
    by_source = {
        key: sum(_bytes(one, key) for one in stats)
        for key in ("cache", "peers", "origin", "delivered", "uploaded", "control", "duplicate")
    }
    distinct: dict[str, int] = {}
    hedges = segments = 0
    for record in _records(stats):
        distinct[str(record.get("path"))] = int(record.get("size_bytes") or 0)
        hedges += int(record.get("hedges") or 0)
        segments += 1
    told = [qoe for qoe in map(_qoe, _sessions(stats)) if qoe]
    startups = [float(qoe["startup_ms"]) for qoe in told if qoe.get("startup_ms") is not None]
    rates = [float(qoe["mean_bitrate_bps"]) for qoe in told if qoe.get("mean_bitrate_bps")]
    origin_bytes = by_source["origin"] if origin_sent_bytes is None else origin_sent_bytes
    return Summary(
        peers=len(stats),
        viewers=len(told),
        delivered_bytes=by_source["delivered"],
        cache_bytes=by_source["cache"],
        peer_bytes=by_source["peers"],
        origin_bytes=origin_bytes,
        distinct_bytes=sum(distinct.values()),
        uploaded_bytes=by_source["uploaded"],
        control_bytes=by_source["control"],
        duplicate_bytes=by_source["duplicate"],
        wasted_bytes=sum(_bytes(one, "wasted") for one in stats),
        hedges=hedges,
        segments=segments,
        copies_per_segment=measure.copies_per_segment(origin_bytes, sum(distinct.values())),
        offload=measure.offload(origin_bytes, by_source["delivered"]),
        offload_limit=measure.offload_limit(len(stats)),
        upload_fairness=measure.jain(_bytes(one, "uploaded") for one in stats),
        startup_ms_median=statistics.median(startups) if startups else None,
        startup_ms_worst=max(startups, default=None),
        stalls=sum(int(qoe.get("stalls") or 0) for qoe in told),
        stalled_ms=sum(float(qoe.get("stalled_ms") or 0) for qoe in told),
        mean_bitrate_bps=statistics.mean(rates) if rates else None,
    )


def table(summary: Summary) -> Table:
    """For a terminal: what it cost the origin first, then what viewers saw, then the price."""
    rows = Table(title=f"{summary.peers} peers", show_header=False, title_justify="left")
    rows.add_column("figure")
    rows.add_column("value", justify="right")
    rows.add_column("note", style="dim")
    copies = summary.copies_per_segment
    rows.add_row(
        "copies per segment that left the origin",
        _number(copies),
        f"1.00 is the limit; without peers it would be up to {summary.peers}",
    )
    rows.add_row(
        "offload: got from others or kept",
        _percent(summary.offload),
        f"{_percent(summary.offload_limit)} is the limit for {summary.peers}, 1 - 1/N",
    )
    rows.add_row("delivered to players", _megabytes(summary.delivered_bytes), "")
    rows.add_row("  from other peers", _megabytes(summary.peer_bytes), "")
    rows.add_row("  from the origin", _megabytes(summary.origin_bytes), "")
    rows.add_row("  from what was here already", _megabytes(summary.cache_bytes), "")
    rows.add_section()
    rows.add_row(
        "start-up, median / worst",
        f"{_seconds(summary.startup_ms_median)} / {_seconds(summary.startup_ms_worst)}",
        f"of {summary.viewers} viewers that told",
    )
    rows.add_row("stalls", f"{summary.stalls}, {summary.stalled_ms / 1e3:.1f} s in all", "")
    rate = summary.mean_bitrate_bps
    rows.add_row("mean bitrate", "-" if rate is None else f"{rate / 1e6:.2f} Mbit/s", "")
    rows.add_section()
    rows.add_row("duplicate bytes", _percent(summary.duplicate_share), "at most 1 % is the aim")
    rows.add_row("control and proof", _percent(summary.control_share), "at most 1.5 %")
    rows.add_row("hedged segments", _percent(summary.hedge_share), "at most 5 %")
    rows.add_row("fairness of upload (Jain)", _number(summary.upload_fairness), "1 is equal")
    return rows


def save(summary: Summary, path: Path) -> None:
    path.write_text(json.dumps(summary.to_json(), indent=1) + "\n")


def fetch(url: str) -> dict[str, Any] | None:
    """One peer's /stats, or None when it doesn't answer. `url` is the peer's, with or without
    path.
    """
    base = url.rstrip("/")
    address = base if base.endswith("/stats") else f"{base}/stats"
    try:
        with _DIRECT.open(address, timeout=_TIMEOUT_S) as answer:
            parsed = json.loads(answer.read(_ANSWER_BYTES_MAX))
    except (URLError, TimeoutError, ValueError, ConnectionError):
        return None
    return parsed if isinstance(parsed, dict) else None


def fetch_all(urls: Iterable[str]) -> list[dict[str, Any]]:
    return [stats for stats in map(fetch, urls) if stats is not None]


def _bytes(stats: Stats, key: str) -> int:
    return int(stats.get("bytes", {}).get(key) or 0)


def _records(stats: Sequence[Stats]) -> Iterable[Mapping[str, Any]]:
    for one in stats:
        yield from one.get("segments") or ()


def _sessions(stats: Sequence[Stats]) -> Iterable[Mapping[str, Any]]:
    for one in stats:
        yield from one.get("sessions") or ()


def _qoe(session: Mapping[str, Any]) -> Mapping[str, Any]:
    return session.get("qoe") or {}


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _seconds(value_ms: float | None) -> str:
    return "-" if value_ms is None else f"{value_ms / 1e3:.2f} s"


def _megabytes(value: int) -> str:
    return f"{value / 1e6:.1f} MB"
