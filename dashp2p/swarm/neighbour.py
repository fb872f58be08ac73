"""A peer that we hold a link to: what it has and is getting, how fast and reliable it is."""

from __future__ import annotations

from attrs import define, field, frozen

from dashp2p.content.entry import Entry
from dashp2p.swarm.meters import RateMeter
from dashp2p.swarm.policy import Policy
from dashp2p.wire.blockset import resolve

FULL_DISTANCE = -1
"""A whole holder is nearer than whoever still fetches from the origin (distance 0)."""
PARTIAL_LIMIT = 512
"""How many segments' partial news are remembered of one neighbour."""


@frozen
class Coming:
    """Blocks on their way to a neighbour, and how far it is from the origin for them."""

    epoch: int
    distance: int
    blocks: int


@define(eq=False)
class Neighbour:
    """Block sets are bitmasks; `whole` has bit p for a segment at index position p."""

    peer_id: bytes
    uploads: bool = True
    whole: int = 0
    rtt_s: float = 0.05
    broken: int = 0
    """How often in a row it was late."""
    refusals: int = 0
    """How often it refused what it says that it has, since it last sent a block."""
    doubted: bool = False
    """It let a player wait, and has sent no block since."""
    leaving: bool = False
    heard_at: float = 0.0
    """When it last told, asked or sent anything."""
    download: RateMeter = field(factory=RateMeter)
    outstanding_bytes: int = 0
    received_bytes: int = 0
    _parts: dict[int, int] = field(factory=dict)
    _coming: dict[int, Coming] = field(factory=dict)

    @property
    def usable(self) -> bool:
        """Whether anything may be asked of it."""
        return self.uploads and not self.leaving

    @property
    def reliable(self) -> bool:
        """Whether it has kept a promise, and broken none since."""
        return self.received_bytes > 0 and not self.suspect

    @property
    def suspect(self) -> bool:
        """Whether it has broken a promise, and kept none since."""
        return self.doubted or self.broken > 0 or self.refusals > 0

    def has_whole(self, segment: int) -> bool:
        """Whether it has announced the whole segment."""
        return bool(self.whole >> segment & 1)

    def holds(self, entry: Entry) -> int:
        """The blocks that it has announced to have."""
        if self.has_whole(entry.position):
            return (1 << entry.block_count) - 1
        return self._parts.get(entry.position, 0)

    def coming(self, segment: int) -> Coming | None:
        """What it has announced to be getting, if anything."""
        return self._coming.get(segment)

    def brings_other(self, segment: int, least_blocks: int) -> bool:
        """Whether it is fetching some other segment from the origin, by its own word, or at least
        so many blocks of one."""
        return any(
            coming.distance == 0
            and position != segment
            and coming.blocks.bit_count() >= least_blocks
            for position, coming in self._coming.items()
        )

    def promises(self, entry: Entry) -> int:
        """The blocks that it has, and those that it is getting."""
        coming = self._coming.get(entry.position)
        on_their_way = 0 if coming is None else coming.blocks & (1 << entry.block_count) - 1
        return self.holds(entry) | on_their_way

    def interested(self, segment: int) -> bool:
        """Whether it wants the segment and has not got it: news of it is worth its while."""
        return segment in self._coming and not self.has_whole(segment)

    def note_got(self, segment: int, blocks: int, block_count: int | None) -> None:
        """It has these blocks. `block_count` None: we have no index yet, only WHOLE counts."""
        if blocks < 0 or (block_count is not None and blocks >> block_count == 0):
            if blocks < 0 or blocks == (1 << (block_count or 0)) - 1:
                self.whole |= 1 << segment
                self._parts.pop(segment, None)
                self._coming.pop(segment, None)
                return
            if segment in self._parts or len(self._parts) < PARTIAL_LIMIT:
                self._parts[segment] = self._parts.get(segment, 0) | blocks
                if block_count is not None and self._parts[segment] == (1 << block_count) - 1:
                    self.note_got(segment, -1, block_count)

    def note_coming(self, segment: int, coming: Coming, block_count: int | None) -> None:
        """It is getting these blocks; replaces what it said of the segment before."""
        if self.has_whole(segment):
            return
        if segment not in self._coming and len(self._coming) >= PARTIAL_LIMIT:
            self._coming.pop(next(iter(self._coming)))
        blocks = coming.blocks if block_count is None else resolve(coming.blocks, block_count)
        self._coming[segment] = Coming(coming.epoch, coming.distance, blocks)

    def note_gone(self, segment: int, blocks: int, block_count: int | None) -> None:
        """It neither has nor is getting these blocks any more."""
        if blocks < 0 or block_count is None:
            self.whole &= ~(1 << segment)
            self._parts.pop(segment, None)
            self._coming.pop(segment, None)
            return
        full = (1 << block_count) - 1
        if self.has_whole(segment):
            self.whole &= ~(1 << segment)
            self._parts[segment] = full
        left = self._parts.get(segment, 0) & ~blocks
        if left:
            self._parts[segment] = left
        else:
            self._parts.pop(segment, None)
        coming = self._coming.get(segment)
        if coming is not None:
            rest = coming.blocks & ~blocks
            self._coming[segment] = Coming(coming.epoch, 255 if not rest else coming.distance, rest)

    def forget(self, segment: int, blocks: int, entry: Entry) -> None:
        """It said that it is not here after all."""
        self.note_gone(segment, blocks & ((1 << entry.block_count) - 1), entry.block_count)

    def room_bytes(self, policy: Policy, urgent: bool, block_size_bytes: int) -> float:
        """How much more may be asked of it now: never seconds deep."""
        queue_s = policy.queue_s if urgent else policy.queue_slack_s
        depth = self.download.rate_bps / 8 * (self.rtt_s + queue_s) + block_size_bytes
        return min(depth, policy.outstanding_bytes) - self.outstanding_bytes

    def queue_time_s(self) -> float:
        """When what has been asked of it will be here, by its measured rate."""
        return self.outstanding_bytes * 8 / max(self.download.rate_bps, 1.0)

    def asked(self, size_bytes: int, now: float) -> None:
        """So much has been asked of it."""
        self.outstanding_bytes += size_bytes
        self.download.start(now)

    def delivered(self, size_bytes: int) -> None:
        """It sent verified blocks: it keeps its word."""
        self.received_bytes += size_bytes
        self.broken = self.refusals = 0
        self.doubted = False

    def answered(self, size_bytes: int, delivered: bool, now: float) -> None:
        """So much is answered, with data or without."""
        self.outstanding_bytes = max(0, self.outstanding_bytes - size_bytes)
        if delivered:
            self.download.add(size_bytes, now)
        if self.outstanding_bytes == 0:
            self.download.stop(now)
