"""What happened to each segment, and the sums: what /stats, /metrics and announces tell."""

from __future__ import annotations

from collections import deque

from attrs import define, field, frozen

from dashp2p.peer.limits import MAX_RECORDS
from dashp2p.web.metrics import Histogram


@frozen
class SegmentRecord:
    """One delivered segment. Bytes by source; times in milliseconds, `at_s` seconds of uptime."""

    path: str
    kind: str
    bitrate_bps: int | None
    number: int | None
    size_bytes: int
    cache: int
    peers: int
    origin: int
    at_s: float
    first_byte_ms: float
    took_ms: float
    slack_ms: float | None
    hedges: int
    duplicate_bytes: int


FIRST_BYTE_BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


@define(eq=False)
class Records:
    """Sums since the start, and the last segments."""

    cache_bytes: int = 0
    """Served to players from what was here when they asked."""
    peers_bytes: int = 0
    origin_bytes: int = 0
    delivered_bytes: int = 0
    duplicate_bytes: int = 0
    proof_bytes: int = 0
    """Index, signature and hashes."""
    unplayed: dict[str, int] = field(factory=dict)
    """Bytes of segments that came and no player has asked for: waste, if it stays so."""
    spares: dict[str, int] = field(factory=dict)
    """The same of what neighbours gave so that one more peer holds it: the origin sent none."""
    hedges: int = 0
    rescues: int = 0
    deliveries: int = 0
    failures: int = 0
    late: int = 0
    """Segments that came whole only after the player needed them."""
    first_byte: Histogram = field(
        factory=lambda: Histogram(
            "dashp2p_peer_first_byte_seconds",
            "From the wish for a segment that was not here until its first verified block.",
            FIRST_BYTE_BOUNDS_S,
        )
    )
    segments: deque[SegmentRecord] = field(factory=lambda: deque(maxlen=MAX_RECORDS))

    @property
    def wasted_bytes(self) -> int:
        """What came and nobody played so far."""
        return sum(self.unplayed.values())

    def unasked(self, path: str, size_bytes: int, spare: bool) -> None:
        """So much of a segment came that no player waited for."""
        (self.spares if spare else self.unplayed)[path] = size_bytes

    def asked(self, path: str) -> bool:
        """A player gets the segment. Whether it came before that, with nobody waiting."""
        unplayed = self.unplayed.pop(path, 0)
        return bool(self.spares.pop(path, 0) or unplayed)

    def add(self, record: SegmentRecord) -> None:
        """A segment is whole."""
        self.deliveries += 1
        self.duplicate_bytes += record.duplicate_bytes
        self.late += record.slack_ms is not None and record.slack_ms < 0
        self.first_byte.observe(record.first_byte_ms / 1000)
        self.segments.append(record)
