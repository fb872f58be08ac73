"""What people may ask the tracker: who holds a segment, how the swarms fare, and the metrics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from dashp2p.tracker import limits
from dashp2p.tracker.api import TrackerApi
from dashp2p.tracker.errors import Refused
from dashp2p.tracker.fields import hex_32
from dashp2p.tracker.registry import Holding, SwarmSummary
from dashp2p.web.metrics import Family

Arguments = Mapping[bytes, list[bytes]]


async def holders_fields(api: TrackerApi, arguments: Arguments) -> dict[str, object]:
    """Who has the segment of this path or position; in the largest swarm that knows it."""
    key = _argument(arguments, b"segment")
    if not key:
        raise Refused("name the segment, as in /tracker?segment=chunk_0_1.m4s or ?segment=5")
    holdings = await api.registry.holding(key, swarm_argument(arguments), api.seconds())
    first = holdings[0] if holdings else Holding(b"", 0, None, 0, ())
    return {
        "v": 1,
        "segment": key,
        "position": first.position if holdings else None,
        "swarm": first.swarm.hex() or None,
        "holders": [peer.hex() for peer in first.holders],
        "leader": None if first.leader is None else first.leader.hex(),
        "epoch": first.epoch,
        "swarms": [holding.swarm.hex() for holding in holdings],
    }


async def swarms_fields(api: TrackerApi, arguments: Arguments) -> dict[str, object]:
    """All swarms; with ?swarm=ID that one alone, and its peers."""
    named = swarm_argument(arguments)
    now = api.seconds()
    found = await api.registry.swarms(now)
    swarms = [swarm_fields(each) for each in found if named in (None, each.swarm)]
    if named is not None and swarms:
        swarms[0]["members"] = [
            {
                "peer": peer.peer.hex(),
                "seen_s": round(peer.seen_s, 1),
                "listed": peer.listed,
                "have": peer.have,
                "upload_bps": peer.upload_bps,
                "stats": peer.stats,
            }
            for peer in await api.registry.peers(named, now)
        ]
    return {"v": 1, "swarms": swarms}


def swarm_fields(swarm: SwarmSummary) -> dict[str, object]:
    return {
        "swarm": swarm.swarm.hex(),
        "peers": swarm.peers,
        **swarm.figures,
        "totals": swarm.totals,
    }


def _argument(arguments: Arguments, name: bytes) -> str | None:
    values = arguments.get(name, [])
    if not values:
        return None
    text = values[-1].decode("utf-8", "replace")
    if len(text) > limits.MAX_QUERY_CHARS:
        raise Refused(f"{name.decode()} may have {limits.MAX_QUERY_CHARS} characters")
    return text


def swarm_argument(arguments: Arguments) -> bytes | None:
    text = _argument(arguments, b"swarm")
    return None if text is None else hex_32(text, "swarm")


_GAUGES = (
    ("swarms", "Swarms with at least one peer."),
    ("peers", "Peers that announced lately, in all swarms."),
    ("leases", "Live leases."),
    ("segments_held", "Segments that at least one live peer holds."),
    ("viewers", "Players that peers tell of, in all swarms."),
    ("lease_cells", "Segments and holders remembered; the memory of leases grows with it."),
)
_COUNTERS = (
    ("granted", "leases_granted", "Leases granted, hedges included."),
    ("fulfilled", "leases_fulfilled", "Leases whose peer fetched what it had leased."),
    ("released", "leases_released", "Leases given back."),
    ("broken", "leases_broken", "Leases that expired unfulfilled."),
    ("takeovers", "lease_takeovers", "Grants of what another peer's expired lease had left."),
    ("hedges", "lease_hedges", "Leases granted beside that of a stalled leader."),
    ("splits", "lease_splits", "Leases of a part, because the uplink is narrow."),
    ("fenced", "leases_fenced", "Reports under an epoch that the sender did not hold."),
    ("fetched_bytes", "fetched_bytes", "Bytes that left the origin under fulfilled leases."),
    ("distinct_bytes", "distinct_bytes", "The same, each byte once: fetched/distinct is copies."),
    ("player_stalls_total", "player_stalls", "Stalls of players, as peers reported them."),
)
_SECONDS = (
    ("player_stalled_ms_total", "player_stalled_seconds", "Time that players stood still."),
    ("player_played_ms_total", "player_played_seconds", "Film that players showed."),
)
_SOURCES = ("cache", "peers", "origin", "delivered", "uploaded")


def collect(api: TrackerApi, figures: Mapping[str, float]) -> Iterable[Family]:
    """The tracker's metrics, from the registry's figures and the API's own counts."""
    prefix = "dashp2p_tracker_"
    for name, text in _GAUGES:
        yield Family.of(prefix + name, text, "gauge", figures.get(name, 0))
    for name, metric, text in _COUNTERS:
        yield Family.of(f"{prefix}{metric}_total", text, "counter", figures.get(name, 0))
    for name, metric, text in _SECONDS:
        seconds = figures.get(name, 0) / 1000
        yield Family.of(f"{prefix}{metric}_total", text, "counter", seconds)
    yield Family(
        prefix + "reported_bytes_total",
        "Bytes that peers reported, by where they came from or went.",
        "counter",
        [({"kind": kind}, figures.get(f"{kind}_bytes", 0)) for kind in _SOURCES],
    )
    yield Family(
        prefix + "announces_total",
        "Announces served, by event.",
        "counter",
        [({"event": event}, count) for event, count in sorted(api.announces.items())],
    )
    yield Family.of(prefix + "lease_calls_total", "Lease calls served.", "counter", api.lease_calls)
    yield Family(
        prefix + "refused_total",
        "Calls not served, by HTTP status.",
        "counter",
        [({"status": str(status)}, count) for status, count in sorted(api.refused.items())],
    )
    dialled = {
        "answered": api.dialback.succeeded,
        "failed": api.dialback.failed,
        "turned_away": api.dialback.turned_away,
    }
    yield Family(
        prefix + "dialbacks_total",
        "Attempts to reach a peer's public address, by result.",
        "counter",
        [({"result": result}, count) for result, count in dialled.items()],
    )
