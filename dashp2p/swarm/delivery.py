"""One segment on its way here: which blocks came, which are asked of whom, when it is due."""

from __future__ import annotations

from attrs import define, field

from dashp2p.content.entry import Entry

NO_DISTANCE = 255
SHORTEST_S = 0.001


@define(eq=False)
class Account:
    """What a delivery cost, for its record. Sizes in bytes."""

    peers_bytes: int = 0
    origin_bytes: int = 0
    duplicate_bytes: int = 0
    hedges: int = 0
    rescues: int = 0
    takeovers: int = 0


@define(eq=False)
class Delivery:
    """Block sets are bitmasks; times are those of the caller's monotonic clock."""

    entry: Entry
    wanted_at: float
    deadline_s: float
    waiters: int = 0
    """Players' requests that wait for it; 0 for a prefetch."""
    spare: bool = False
    """Only to be held by one more peer: it costs the origin nothing (`dashp2p.swarm.replicas`)."""
    here: int = 0
    origin: int = 0
    """Blocks that are under way from the origin."""
    asked: dict[bytes, int] = field(factory=dict)
    """Blocks asked of each neighbour and not answered."""
    heard_at: dict[bytes, float] = field(factory=dict)
    """When each of them was asked first or last answered."""
    spread_of: dict[bytes, int] = field(factory=dict)
    """Which of the blocks asked of a neighbour it may send in the order that it likes."""
    avoid: dict[bytes, float] = field(factory=dict)
    """Neighbours not to be asked again before a time."""
    refused: set[bytes] = field(factory=set)
    """Holders that were tried in vain: they had it not, went away, or could not be reached. The
    tracker is told, or it would send us to them again and grant nobody the lease."""
    told: frozenset[bytes] = frozenset()
    """Holders that the tracker named, `told_at` the first of them, and that are to be reached."""
    told_at: float = 0.0
    announced: int = 0
    distance: int = NO_DISTANCE
    """Hops from the origin for the announced blocks."""
    epoch: int = 0
    led_by: bytes | None = None
    leases: dict[int, int] = field(factory=dict)
    """Our leases: epoch to the blocks that it covers."""
    lease_asked_at: float | None = None
    lease_again_at: float = 0.0
    hedge_again_at: float = 0.0
    slow_asked: bool = False
    """The lease was asked for because neighbours bring too little."""
    slow_again_at: float = 0.0
    retry_origin_at: float = 0.0
    origin_failures: int = 0
    lacking: int = 0
    """Blocks that nobody had, last looked at while the origin was away; since `lacking_at`."""
    lacking_at: float = 0.0
    progress_at: float = 0.0
    first_at: float | None = None
    came_at: float = 0.0
    """When the last block came."""
    reported_at: float = 0.0
    account: Account = field(factory=Account)

    @property
    def full(self) -> int:
        """All blocks of the segment."""
        return (1 << self.entry.block_count) - 1

    @property
    def missing(self) -> int:
        """Blocks that are not here, on their way or not."""
        return self.full & ~self.here

    @property
    def complete(self) -> bool:
        """Whether every block is here."""
        return self.here == self.full

    def rate_bps(self, now: float) -> float | None:
        """How fast it came, complete now, the wait for its first block not counted; None where all
        of it is one block."""
        if self.first_at is None or self.entry.block_count < 2:
            return None
        came_bytes = self.entry.size_bytes - self.entry.block_length(0)
        return came_bytes * 8 / max(SHORTEST_S, now - self.first_at)

    def asked_blocks(self) -> int:
        """All blocks asked of neighbours and not answered."""
        blocks = 0
        for asked in self.asked.values():
            blocks |= asked
        return blocks

    def spread_blocks(self) -> int:
        """Those that a neighbour sends when it likes: they may be asked of another too."""
        blocks = 0
        for asked in self.spread_of.values():
            blocks |= asked
        return blocks

    def size_of(self, blocks: int) -> int:
        """Bytes of a set of blocks of this segment."""
        entry = self.entry
        size = blocks.bit_count() * entry.block_size_bytes
        last = entry.block_count - 1
        if blocks >> last & 1:
            size -= entry.block_size_bytes - entry.block_length(last)
        return size

    def hurry(self, now: float) -> None:
        """A player waits for what was only to be held by one more: until now nobody was late."""
        self.spare = False
        self.wanted_at = now
        self.heard_at = dict.fromkeys(self.heard_at, now)

    def tried_in_vain(self, peer_id: bytes, now: float) -> None:
        """It is no holder for us. Was it the last that the tracker named, that is asked again."""
        self.refused.add(peer_id)
        if peer_id in self.told:
            self.told -= {peer_id}
            if not self.told:
                self.lease_again_at = min(self.lease_again_at, now)

    def slept(self, gap_s: float) -> None:
        """We stood still for so long: what was awaited has as much time left as before."""
        self.wanted_at += gap_s
        self.deadline_s += gap_s
        self.progress_at += gap_s
        self.lacking_at += gap_s
        self.came_at += gap_s
        self.heard_at = {peer_id: at + gap_s for peer_id, at in self.heard_at.items()}
        if self.lease_asked_at is not None:
            self.lease_asked_at += gap_s
        self.leases.clear()  # the tracker has given them to others

    def note_asked(self, peer_id: bytes, blocks: int, spread: bool, now: float) -> None:
        """These blocks have been asked of that neighbour."""
        if not self.asked.get(peer_id):
            self.heard_at[peer_id] = now
        self.asked[peer_id] = self.asked.get(peer_id, 0) | blocks
        if spread:
            self.spread_of[peer_id] = self.spread_of.get(peer_id, 0) | blocks

    def note_answered(self, peer_id: bytes, blocks: int, now: float) -> int:
        """It answered (or was told not to): gives the blocks that counted as asked in order."""
        asked = self.asked.get(peer_id, 0)
        spread = self.spread_of.get(peer_id, 0)
        plain = asked & blocks & ~spread
        self._keep(self.asked, peer_id, asked & ~blocks)
        self._keep(self.spread_of, peer_id, spread & ~blocks)
        self.heard_at[peer_id] = now
        return plain

    @staticmethod
    def _keep(book: dict[bytes, int], peer_id: bytes, blocks: int) -> None:
        if blocks:
            book[peer_id] = blocks
        else:
            book.pop(peer_id, None)
