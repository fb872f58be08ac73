"""How fast a leader takes what is not urgent from the origin while others fetch from it too.

Viewers on two rungs share the origin's line as TCP will have it: 14 to 6 was measured, for seconds.
Who gets 14 has no use for it, and who gets 6 keeps a throughput player on the lower rung, however
many there are. So a leader takes no more than a player needs to see that is to go on at its rung or
to rise to the top one. It is all received at once where nobody else fetches, or time is short.
"""

from __future__ import annotations

from attrs import define

from dashp2p.swarm.delivery import Delivery
from dashp2p.swarm.state import State

OWN_FACTOR = 2.0
"""So many times the segment's own rate ..."""
TOP_FACTOR = 1.6
"""... and at least so many times the top rung's: players want 1.25 times it, waiting included."""
SLACK_SHARE = 0.5
"""What is left is to come in no more than this share of the time until it is due."""
SHORTEST_S = 0.005
LONGEST_S = 0.05
"""So often it is looked whether others still fetch."""


@define(eq=False)
class Courtesy:
    """Of one fetch from the origin. Times are monotonic seconds."""

    state: State
    delivery: Delivery
    rate_bps: float
    _since: float | None = None
    _before_bytes: int = 0

    @classmethod
    def of(cls, state: State, delivery: Delivery, own_bps: int, top_bps: int) -> Courtesy | None:
        """For a segment of a rung of that rate; None where nothing is paced."""
        if not state.policy.pacing:
            return None
        return cls(state, delivery, max(OWN_FACTOR * own_bps, TOP_FACTOR * top_bps))

    def wait_s(self, came_bytes: int, left_bytes: int, now: float) -> float:
        """How long to take nothing more, after so much came."""
        slack_s = self.delivery.deadline_s - now
        if left_bytes * 8 / self.rate_bps > SLACK_SHARE * slack_s or not self._others():
            self._since = None
            return 0.0
        if self._since is None:
            self._since, self._before_bytes = now, came_bytes
        ahead_s = (came_bytes - self._before_bytes) * 8 / self.rate_bps - (now - self._since)
        return min(ahead_s, LONGEST_S) if ahead_s >= SHORTEST_S else 0.0

    def _others(self) -> bool:
        own = self.delivery.entry.position
        return any(neighbour.brings_other(own) for neighbour in self.state.neighbours.values())
