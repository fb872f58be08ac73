"""What the dashboard shows of a swarm, from what its peers tell with their announces.

Bytes are summed by the registry, so they stay when peers leave. How players fare is what peers tell
of their active ones. `seconds` on all of it is the tracker's clock; pages show ages.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from attrs import define, field

from dashp2p.tracker import limits
from dashp2p.tracker.api import TrackerApi
from dashp2p.tracker.registry import PeerSummary, SegmentSummary, SwarmSummary

Point = list[float]
"""Time, peers, viewers, mean bitrate, and the totals of delivered, origin, peers, cache in bytes,
stalls, stalled seconds: see POINT."""
POINT = (
    *("at_s", "peers", "viewers", "bitrate_bps"),
    *("delivered_bytes", "origin_bytes", "peers_bytes", "cache_bytes", "stalls", "stalled_s"),
)


@define(eq=False)
class History:
    """The last hour of the largest swarms."""

    _points: dict[bytes, deque[Point]] = field(factory=dict)

    def of(self, swarm: bytes) -> list[Point]:
        return list(self._points.get(swarm, ()))

    def add(self, swarm: bytes, point: Point) -> None:
        points = self._points.setdefault(swarm, deque(maxlen=limits.HISTORY_POINTS))
        points.append(point)

    def keep_only(self, swarms: Iterable[bytes]) -> None:
        """Forget swarms that are gone, or no longer among the largest."""
        kept = set(swarms)
        for swarm in [name for name in self._points if name not in kept]:
            del self._points[swarm]


@define(eq=False)
class Live:
    """Figures of now and of the last hour."""

    api: TrackerApi
    history: History = field(factory=History)
    _began_s: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._began_s = self.api.seconds()

    async def remember(self) -> None:
        """Add a point to the history of each of the largest swarms."""
        now = self.api.seconds()
        largest = (await self.api.registry.swarms(now))[: limits.HISTORY_SWARMS]
        self.history.keep_only(swarm.swarm for swarm in largest)
        for swarm in largest:
            playing = await self.api.registry.playing(swarm.swarm, now)
            self.history.add(swarm.swarm, point_of(now, swarm, playing))

    async def document(self, named: bytes | None, with_history: bool) -> dict[str, object]:
        """The figures of one swarm, the largest where none is named, beside a list of all."""
        registry, now = self.api.registry, self.api.seconds()
        swarms = await registry.swarms(now)
        chosen = next((one for one in swarms if named in (None, one.swarm)), None)
        found: dict[str, object] = {
            "v": 1,
            "now_s": round(now, 2),
            "uptime_s": round(now - self._began_s, 1),
            "swarms": [
                {"swarm": one.swarm.hex(), "peers": one.peers}
                for one in swarms[: limits.MAX_SHOWN_SWARMS]
            ],
            "swarm": None,
        }
        if chosen is not None:
            peers = await registry.peers(chosen.swarm, now, limits.MAX_SHOWN_PEERS)
            playing = await registry.playing(chosen.swarm, now)
            segments = await registry.segments(chosen.swarm, now, limits.MAX_SHOWN_SEGMENTS)
            found["swarm"] = swarm_fields(chosen, peers, segments, point_of(now, chosen, playing))
            if with_history:
                found["history"] = {"names": POINT, "points": self.history.of(chosen.swarm)}
        return found


def point_of(now: float, swarm: SwarmSummary, playing: Sequence[dict[str, float]]) -> Point:
    """A swarm at one moment, in the order of POINT."""
    rates = [stats["bitrate_bps"] for stats in playing if stats.get("bitrate_bps")]
    totals = swarm.totals
    return [
        round(now, 2),
        swarm.peers,
        sum(stats["viewers"] for stats in playing),
        round(sum(rates) / len(rates)) if rates else 0,
        *(totals.get(name, 0) for name in POINT[4:8]),
        totals.get("player_stalls_total", 0),
        round(totals.get("player_stalled_ms_total", 0) / 1000, 2),
    ]


def swarm_fields(
    swarm: SwarmSummary,
    peers: Sequence[PeerSummary],
    segments: Sequence[SegmentSummary],
    point: Point,
) -> dict[str, object]:
    return {
        "swarm": swarm.swarm.hex(),
        "peers": swarm.peers,
        "now": point,
        "copies": copies(swarm),
        "figures": swarm.figures,
        "totals": swarm.totals,
        "members": [peer_fields(peer) for peer in peers],
        "segments": [segment_fields(segment) for segment in segments],
    }


def copies(swarm: SwarmSummary) -> float | None:
    """Copies per segment so far; None while nothing was fetched.

    What peers tell that they got from the origin comes with announces, what leases were for with
    lease calls: the larger is nearer the truth.
    """
    distinct = swarm.figures.get("distinct_bytes", 0)
    if distinct <= 0:
        return None
    left = max(swarm.figures.get("egress_bytes", 0), swarm.figures.get("fetched_bytes", 0))
    return round(left / distinct, 4)


def peer_fields(peer: PeerSummary) -> dict[str, object]:
    return {
        "peer": peer.peer.hex(),
        "seen_s": round(peer.seen_s, 1),
        "listed": peer.listed,
        "have": peer.have,
        "upload_bps": peer.upload_bps,
        "stats": peer.stats,
        "served_by": peer.served_by,
    }


def segment_fields(segment: SegmentSummary) -> dict[str, object]:
    return {
        "position": segment.position,
        "path": segment.path,
        "size_bytes": segment.size_bytes,
        "fetched_bytes": segment.fetched_bytes,
        "holders": segment.holders,
        "leaders": [leader.hex()[:16] for leader in segment.leaders],
        "epoch": segment.epoch,
        "takeovers": segment.takeovers,
    }
