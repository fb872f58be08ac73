"""A store for several trackers, in memory; what Redis and its scripts do, without either."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from attrs import define, field

from dashp2p.tracker import limits
from dashp2p.tracker.shared_store import (
    EMPTY,
    Change,
    Figures,
    Kept,
    Loaded,
    Seen,
    StoreAwayError,
)


@define(eq=False)
class _Swarm:
    seen: dict[bytes, Seen] = field(factory=dict)
    segments: dict[int, Kept] = field(factory=dict)
    led: dict[bytes, Kept] = field(factory=dict)
    paths: dict[str, int] = field(factory=dict)
    counts: Counter[str] = field(factory=Counter)


@define(eq=False)
class FakeStore:
    """Implements SharedStore. `before_save` is called when a tracker is about to write."""

    seconds: Callable[[], float]
    why_away: str | None = None
    before_save: Callable[[], None] | None = None
    saves: int = 0
    others_are_faster: bool = False
    _swarms: dict[bytes, _Swarm] = field(factory=dict)
    _numbers: itertools.count[int] = field(factory=itertools.count)
    _generation: bytes = b"first"

    def empty(self) -> None:
        """As Redis is that was restarted without its data."""
        self._swarms.clear()
        self._generation = self._version()

    def _version(self) -> bytes:
        return next(self._numbers).to_bytes(8, "big")

    def away(self) -> str | None:
        return self.why_away

    def _be_there(self) -> None:
        if self.why_away is not None:
            raise StoreAwayError(self.why_away)

    async def load(
        self, swarm: bytes, peer: bytes, since_s: float, positions: Sequence[int]
    ) -> Loaded:
        self._be_there()
        kept = self._swarms.get(swarm, _Swarm())
        seen = [each for each in kept.seen.values() if each.at_s >= since_s]
        return Loaded(
            self._generation,
            self.seconds(),
            sorted(seen, key=lambda each: each.at_s)[: limits.SEEN_PER_LOAD],
            {position: kept.segments.get(position, Kept()) for position in positions},
            kept.led.get(peer, Kept()),
            len(self._swarms.keys() - {swarm}),
        )

    async def save(
        self,
        swarm: bytes,
        generation: bytes,
        peer: bytes,
        changes: Sequence[Change],
        record: bytes | None,
        counts: Mapping[str, int] = EMPTY,
    ) -> bool:
        self._be_there()
        if self.before_save is not None:
            before_save, self.before_save = self.before_save, None
            before_save()
        if generation != self._generation or self.others_are_faster:
            return False
        kept = self._swarms.setdefault(swarm, _Swarm())
        for change in changes:
            if self._now(kept, peer, change).version != change.before.version:
                return False
        self.saves += 1
        for change in changes:
            value = Kept(self._version(), change.data)
            if change.position is not None:
                kept.segments.pop(change.position, None)
                kept.segments[change.position] = value
                if change.path is not None:
                    kept.paths.setdefault(change.path, change.position)
            elif change.data:
                kept.led[peer] = value
            else:
                kept.led.pop(peer, None)
        kept.counts.update(counts)
        if record is not None:
            kept.seen.pop(peer, None)
            kept.seen[peer] = Seen(peer, self.seconds(), record)
        return True

    def _now(self, kept: _Swarm, peer: bytes, change: Change) -> Kept:
        if change.position is None:
            return kept.led.get(peer, Kept())
        return kept.segments.get(change.position, Kept())

    async def swarms(self) -> list[bytes]:
        self._be_there()
        return list(self._swarms)

    async def position(self, swarm: bytes, path: str) -> int | None:
        self._be_there()
        return self._swarms.get(swarm, _Swarm()).paths.get(path)

    async def figures(self, swarm: bytes) -> Figures:
        self._be_there()
        kept = self._swarms.get(swarm, _Swarm())
        led = [each.data for each in kept.led.values()]
        return Figures(len(kept.segments), led, dict(kept.counts))

    async def latest(self, swarm: bytes, most: int) -> list[int]:
        self._be_there()
        return list(reversed(self._swarms.get(swarm, _Swarm()).segments))[:most]
