"""What a node knows: shared by the parts that decide, changed by the node that they make up."""

from __future__ import annotations

import random
from collections.abc import Callable

from attrs import define, field

from dashp2p.content.entry import Entry
from dashp2p.swarm.commands import Command
from dashp2p.swarm.delivery import Delivery
from dashp2p.swarm.neighbour import Neighbour
from dashp2p.swarm.policy import Policy


@define(eq=False)
class State:
    """`have` has bit p for each whole segment here; `entry_of` looks an index position up."""

    peer_id: bytes
    policy: Policy
    rng: random.Random
    entry_of: Callable[[int], Entry | None]
    uploads: bool = True
    uplink_bps: float | None = None
    """What it may send at most; None where nobody said."""
    have: int = 0
    neighbours: dict[bytes, Neighbour] = field(factory=dict)
    deliveries: dict[int, Delivery] = field(factory=dict)
    tracker_away: bool = False
    origin_away_since: float | None = None
    """Since when the origin does not answer; None while it does, as far as we know."""
    lag_s: float = 0.0
    """How late our own ticks come lately: on a busy machine others' words come as late."""
    origin_rate_bps: float = 8_000_000.0
    origin_rtt_s: float = 0.1
    shuns: Callable[[bytes], bool] = lambda peer_id: False
    """Whom the driver has nothing to do with: it is banned, or shunned."""
    origin_gives_parts: Callable[[], bool] = lambda: True
    """Whether a part of a file costs the origin that part, and not all up to its end."""
    out: list[Command] = field(factory=list)

    @property
    def allowance_s(self) -> float:
        """So much later than usual all may come: the machine is busy, as our own ticks show, and so
        are the others' as a rule. What is asked for again there is more work for everybody."""
        return min(self.policy.late_factor * self.lag_s, self.policy.allowance_s)

    def is_ample(self, due_at: float, now: float) -> bool:
        """Whether so much time is left that fewer and larger words are better than early ones."""
        return due_at - now > self.policy.ample_s

    @property
    def gap_s(self) -> float:
        """In a hurry, with no block for so long: what others have too is no longer waited for."""
        return self.policy.gap_s + self.allowance_s

    @property
    def stale_s(self) -> float:
        """A delivery with no news for so long may ask for a hedge."""
        return self.policy.stale_s + self.allowance_s

    @property
    def whole_nearby(self) -> int:
        """Bit p for each segment that is whole here or at a neighbour who gives."""
        positions = self.have
        for neighbour in self.neighbours.values():
            if neighbour.usable:
                positions |= neighbour.whole
        return positions

    def blocks_here(self, segment: int) -> int:
        """The verified blocks of a segment that can be handed on."""
        if self.have >> segment & 1:
            entry = self.entry_of(segment)
            return 0 if entry is None else (1 << entry.block_count) - 1
        delivery = self.deliveries.get(segment)
        return 0 if delivery is None else delivery.here

    def blocks_coming(self, segment: int) -> int:
        """The blocks that are not here but promised."""
        delivery = self.deliveries.get(segment)
        return 0 if delivery is None else delivery.missing & (delivery.announced | delivery.origin)
