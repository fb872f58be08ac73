"""Leases that several trackers share: a few segments at a time are taken out, decided on, put back.

The rules stay those of LeaseTable, and are run on a table that holds only the segments which one
call is about. Whether the outcome may be put back is the store's business (dashp2p.tracker.shared):
if another tracker was faster, the whole is done again on what that one left.

What needs no agreement each tracker remembers by itself: how fast the origin is, who broke leases
lately, and what it counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from attrs import asdict, define, field

from dashp2p.swarm.lease_codec import segment_to_bytes
from dashp2p.swarm.lease_rating import LeaseRatings
from dashp2p.swarm.lease_rules import LeaseCounts, LeaseRules
from dashp2p.swarm.lease_segment import SegmentLeases
from dashp2p.swarm.leases import LeaseTable

__all__ = ["LeaseMemory", "LeasePart", "Led"]

Led = dict[tuple[int, int], float]
"""A peer's live leases: (segment, epoch) to when it ends."""


@define(eq=False)
class LeaseMemory:
    """What one tracker knows about the leases of one swarm beside the segments."""

    rules: LeaseRules
    rate_bps: float = field(init=False)
    ratings: LeaseRatings = field(init=False)
    counts: LeaseCounts = field(factory=LeaseCounts, init=False)
    epoch_floor: int = field(default=0, init=False)
    """The highest epoch seen: a store that is empty again within a second must not give it out once
    more."""

    def __attrs_post_init__(self) -> None:
        self.rate_bps = self.rules.expected_bps
        self.ratings = LeaseRatings(self.rules)

    def part(
        self,
        segments: Iterable[SegmentLeases],
        peer: bytes,
        led: Led,
        now: float,
        is_live: Callable[[bytes], bool],
    ) -> LeasePart:
        """A table with these segments, for a call of this peer that has these leases, at `now` by
        a clock that all trackers share. Whoever is not live any more leads and holds nothing."""
        known = {segment.position: segment for segment in segments}
        names = {peer}
        for segment in known.values():
            names.update(segment.holders, (lease.peer for lease in segment.leases.values()))
        table = LeaseTable(self.rules, ratings=self.ratings.excerpt(names))
        table.rate_bps = self.rate_bps
        table.epoch_floor = self.epoch_floor
        for segment in known.values():
            table.adopt(segment)
        elsewhere = {key: at for key, at in led.items() if key[0] not in known and at > now}
        table.adopt_led(peer, elsewhere)
        part = LeasePart(table, peer, elsewhere, names, self)
        for name in names:
            if not is_live(name):
                table.drop(name)
        return part


@define(eq=False)
class LeasePart:
    """A call's part of the leases, while it is decided on."""

    table: LeaseTable
    _peer: bytes
    _elsewhere: Led
    _names: set[bytes]
    _memory: LeaseMemory

    def segments(self, positions: Iterable[int]) -> dict[int, bytes]:
        """What the segments came to, those that there are."""
        found = ((position, self.table.segment(position)) for position in positions)
        return {
            position: segment_to_bytes(segment)
            for position, segment in found
            if segment is not None
        }

    def led(self, positions: Iterable[int]) -> Led:
        """What the peer leads now."""
        led = dict(self._elsewhere)
        for position in positions:
            segment = self.table.segment(position)
            for lease in segment.of(self._peer) if segment is not None else ():
                led[position, lease.epoch] = lease.expires_at
        return led

    def counts(self) -> dict[str, int]:
        """What happened in this part, by name; without what did not."""
        return {name: count for name, count in asdict(self.table.counts).items() if count}

    def settle(self) -> None:
        """The outcome was put back: what was learned on the way is remembered."""
        memory = self._memory
        memory.rate_bps = self.table.rate_bps
        memory.epoch_floor = max(memory.epoch_floor, self.table.highest_epoch)
        memory.ratings.take(self.table.ratings, self._names)
        for name, more in self.counts().items():
            setattr(memory.counts, name, getattr(memory.counts, name) + more)
