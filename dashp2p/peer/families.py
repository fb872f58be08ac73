"""The peer's metrics: what it moved, how it leased, and how the film is seen here."""

from __future__ import annotations

from collections.abc import Mapping

from dashp2p.peer.engine import Engine
from dashp2p.peer.sessions import Sessions
from dashp2p.web.metrics import Family, Histogram

PREFIX = "dashp2p_peer_"
FALLING = ("wasted", "spare")
"""Of the bytes that /stats tells, what may also become less: no counter."""


def peer_families(
    engine: Engine,
    counted_bytes: Mapping[str, int],
    cache: Mapping[str, int],
    tracker_reachable: bool | None,
    origin_reachable: bool,
) -> list[Family | Histogram]:
    """Of the peer itself. `counted_bytes` and `cache` are those of /stats."""
    leading, records = engine.node.leading, engine.records
    sources = [
        ({"kind": kind}, float(value))
        for kind, value in counted_bytes.items()
        if kind not in FALLING
    ]
    leases = {
        "won": leading.leases_won,
        "takeover": leading.takeovers,
        "hedge": leading.hedges,
        "rescue": leading.rescues,
    }
    counters = (
        ("deliveries", "Segments delivered whole.", records.deliveries),
        ("late_deliveries", "Segments that came whole after they were needed.", records.late),
        ("failures", "Segments that neither origin nor peers could give.", records.failures),
    )
    gauges = (
        ("neighbours", "Open links to other peers.", len(engine.exchange.links)),
        ("banned", "Keys that are banned for a false block.", engine.exchange.banned),
        ("shunned", "Keys that are left alone: they broke their word.", engine.exchange.shunned),
        ("cache_bytes", "Bytes in the cache folder.", cache["bytes"]),
        ("cache_quota_bytes", "Bytes that the cache folder may hold.", cache["quota_bytes"]),
        ("held_segments", "Segments of the film that are here whole.", cache["segments"]),
        ("unplayed_bytes", "Bytes that came and no player has asked for.", records.wasted_bytes),
        (
            "spare_bytes",
            "Bytes copied so that one more peer holds them, and not asked for by a player here.",
            counted_bytes["spare"],
        ),
        ("tracker_reachable", "Whether the tracker answered last (1) or not.", tracker_reachable),
        ("origin_reachable", "Whether the origin answered last (1).", origin_reachable),
    )
    return [
        Family(
            PREFIX + "bytes_total",
            "Verified bytes, by where they came from or went.",
            "counter",
            sources,
        ),
        Family(
            PREFIX + "leases_total",
            "Leases, by what they were.",
            "counter",
            [({"kind": kind}, float(count)) for kind, count in leases.items()],
        ),
        *(
            Family.of(f"{PREFIX}{name}_total", text, "counter", float(count))
            for name, text, count in counters
        ),
        *(
            Family.of(PREFIX + name, text, "gauge", float(value or 0))
            for name, text, value in gauges
        ),
        records.first_byte,
    ]


_PLAYED = (
    ("played_s", "played_seconds", "Seconds of film that players showed, as they reported."),
    ("stalled_s", "stalled_seconds", "Seconds that players stood still with an empty buffer."),
    ("stalls", "stalls", "Times that players stood still with an empty buffer."),
    ("switches", "switches", "Changes of bitrate on players' screens."),
)


def player_families(sessions: Sessions, now: float) -> list[Family | Histogram]:
    """How the film is seen here, for /metrics; by no session's name."""
    prefix = PREFIX + "player_"
    active = sessions.active(now)
    measured = [qoe for qoe in (session.measured for session in active) if qoe and qoe.played_s]
    count = len(measured)
    families: list[Family | Histogram] = [
        Family.of(prefix + "sessions", "Players seen in the last minute.", "gauge", len(active)),
        *(
            Family.of(f"{prefix}{name}_total", text, "counter", sessions.totals[total])
            for total, name, text in _PLAYED
        ),
        sessions.startups,
        Family.of(
            prefix + "bitrate_bits_per_second",
            "Mean bitrate on screen, over the players seen in the last minute.",
            "gauge",
            sum(qoe.mean_bitrate_bps for qoe in measured) / count if count else 0.0,
        ),
        Family.of(
            prefix + "score_per_segment",
            "Linear QoE by segment (Mbit/s less 4.3 a stalled second less changes), the same mean.",
            "gauge",
            sum(qoe.linear_per_segment for qoe in measured) / count if count else 0.0,
        ),
    ]
    return families
