"""How fast an answer goes out whose bytes lie ready: no faster than the network would bring them.

A player takes the speed of a local cache for that of its line, goes to the top rung, and comes down
again on the first segment that is not here. One that heeds CMSD is told better; this is for those
that only measure.
"""

from __future__ import annotations

from attrs import frozen

from dashp2p.peer.limits import PACE_FIRST_BYTES, PACE_STEP_S

SHORTEST_WAIT_S = 0.001


@frozen
class Pace:
    """Of one answer. Times are the reactor's seconds."""

    rate_bps: float
    began_at: float

    def allowed_bytes(self, now: float) -> int:
        """How much of what lay ready at the beginning may have gone out by now."""
        return PACE_FIRST_BYTES + int((now - self.began_at) * self.rate_bps / 8)

    def wait_s(self, size_bytes: int, now: float) -> float:
        """How long until more may go; `size_bytes` are to go out in all."""
        ends_at = self.began_at + (size_bytes - PACE_FIRST_BYTES) * 8 / self.rate_bps
        return min(PACE_STEP_S, max(SHORTEST_WAIT_S, ends_at - now))
