"""How fast a leader takes what is not urgent from the origin while others fetch from it too.

Viewers on two rungs share the origin's line as TCP will have it: 14 to 6 was measured, for seconds.
Who gets 14 has no use for it, and who gets 6 keeps a throughput player on the lower rung, however
many there are. So a leader takes no more than a player needs to see that is to rise to the top rung
or to stay there. All is taken as it comes where nobody else fetches, or time is short.
"""

from __future__ import annotations

from attrs import define

from dashp2p.swarm.delivery import Delivery
from dashp2p.swarm.state import State

TOP_FACTOR = 1.6
"""So many times the rate of the top rung: players want 1.25 times it, waiting included."""
SLACK_SHARE = 0.5
"""What is left is to come in no more than this share of the time until it is due."""
MANY_BLOCKS = 8
"""Who fetches less, as sound, is done in a moment."""
SHORTEST_S = 0.005
LONGEST_S = 0.2
"""So often at least it is looked whether others still fetch; one read may be 64 KiB."""


@define(eq=False)
class Courtesy:
    """Of one fetch from the origin. Times are monotonic seconds."""

    state: State
    delivery: Delivery
    rate_bps: float
    _since: float | None = None
    _before_bytes: int = 0

    @classmethod
    def of(cls, state: State, delivery: Delivery, top_bps: int) -> Courtesy | None:
        """For a picture, where that is the best rung's rate; None where nothing is paced."""
        return cls(state, delivery, TOP_FACTOR * top_bps) if state.policy.pacing else None

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
        return any(
            neighbour.brings_other(own, MANY_BLOCKS) for neighbour in self.state.neighbours.values()
        )
