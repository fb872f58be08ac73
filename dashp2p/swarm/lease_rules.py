"""The words of a lease: what is asked, what is answered, and the numbers that decide.

A set of blocks is an int bitmask, bit i for block i, as everywhere in dashp2p. WHOLE (-1, every bit
set) is a segment whose number of blocks the speaker need not know.
"""

from __future__ import annotations

from attrs import define, frozen

WHOLE = -1


@frozen
class LeaseRules:
    """Numbers of the lease table. Times in seconds, rates in bits per second."""

    shortest_s: float = 1.0
    """No lease lasts less: a busy reactor on either side must not look like a death."""
    longest_s: float = 5.0
    """No lease lasts longer without progress: so long may a dead leader hold up a segment."""
    longest_life_s: float = 30.0
    """No lease is renewed beyond this, however it dribbles: else one block in five seconds would
    keep a segment from everybody for minutes."""
    hedge_after_s: float = 0.5
    """Nobody hedges while the leader's progress is fresher than this."""
    urgent_hedge_after_s: float = 0.25
    """The same for a small lease, when whoever asks is in a hurry..."""
    small_s: float = 0.1
    """... and small is what is expected to be fetched in this."""
    more_parts_after_s: float = 0.3
    """One peer gets a second part of a split segment only after others had this long to ask."""
    busy_retry_s: float = 1.0
    """When to ask again at the latest, or if the table can't foresee another answer."""
    full_retry_s: float = 0.1
    """When to ask again if the peer has as many leases as it may have."""
    most_live_per_peer: int = 4
    light_blocks: int = 1
    light_weight: float = 0.25
    """A lease on so little counts only so much: manifest, init segments and the first two segments
    are five, and the first peer of a crowd asks for all of them at once."""
    most_parts: int = 8
    most_urgent_parts: int = 16
    least_part_blocks: int = 2
    """No urgent part is smaller, where there are so many blocks: each is a request."""
    gather_s: float = 0.06
    """What is urgent is split among all who ask within this; the rest then goes to them."""
    expected_bps: float = 16e6
    """How fast an origin is taken to be until the first lease is fulfilled."""
    slowest_bps: float = 64e3
    fastest_bps: float = 10e9
    rate_weight: float = 0.2
    """Weight of the newest lease in the moving average of the fetch rate."""
    telling_bytes: int = 256 * 1024
    """A smaller lease moves the average in proportion to its size."""
    rate_step: float = 4.0
    """One lease moves the average at most as if it were this many times faster or slower: a peer
    that tells wrong sizes can't set everybody's expiry."""
    broken_per_step: int = 2
    """So many broken leases lower a peer's allowance by one."""
    most_broken: int = 16
    """Broken leases counted against a peer: it is forgiven after minutes, not hours."""
    forgive_after_s: float = 30.0
    """One broken lease is forgiven after this time (and one for each lease fulfilled)."""
    most_segments: int = 65_537
    """Positions of a presentation: 65 536 index entries and the index itself."""
    most_holders: int = 64
    """Holders remembered for a segment; the latest stay."""
    most_holders_told: int = 16
    most_cells: int = 262_144
    """Segments and holders remembered in one table together; the least used segments go first."""
    most_ended: int = 16
    """Ended leases remembered for a segment, so that a late `done` is understood."""
    most_rated: int = 4096
    """Peers whose broken leases are remembered."""


@frozen
class Want:
    """A peer's wish to fetch a segment from the origin.

    `missing` is the blocks that the peer lacks, or None for all. `refused` are holders that it
    tried in vain. `size_bytes` and `media_bps` (the representation's bitrate) are the asker's word
    and only decide how long a lease lasts and whether it is split.
    """

    segment: int
    blocks: int
    size_bytes: int = 0
    media_bps: int = 0
    missing: int | None = None
    hedge: bool = False
    refused: tuple[bytes, ...] = ()
    path: str | None = None
    slow: bool = False
    """Somebody has or leads all that is missing, and it comes too slowly."""
    urgent: bool = False
    """A player waits with an empty buffer: the more peers fetch, the sooner all have it."""

    @property
    def whole(self) -> int:
        return (1 << self.blocks) - 1


@frozen
class Granted:
    """The right to fetch blocks `first` to `first + count - 1` for `expires_s` seconds."""

    segment: int
    epoch: int
    expires_s: float
    first: int
    count: int


@frozen
class Elsewhere:
    """No lease: `holders` have it, or `leader` is fetching it, or ask again after `retry_s`."""

    segment: int
    epoch: int
    leader: bytes | None
    holders: tuple[bytes, ...]
    retry_s: float


Answer = Granted | Elsewhere


@define
class LeaseCounts:
    """What happened in a lease table since it was made."""

    granted: int = 0
    """Leases granted, hedges included."""
    fulfilled: int = 0
    released: int = 0
    broken: int = 0
    """Leases that expired unfulfilled."""
    takeovers: int = 0
    """Grants of blocks that another peer's expired lease had left."""
    hedges: int = 0
    splits: int = 0
    """Grants of a part because the asker's uplink is narrow."""
    fenced: int = 0
    """Progress, completions and releases under an epoch that the sender does not hold."""
    fetched_bytes: int = 0
    """What fulfilled leases weighed: what left the origin under a lease."""
    distinct_bytes: int = 0
    """The same, each byte of a segment once: what had to leave the origin."""


def first_run(wanted: int, blocked: int) -> tuple[int, int]:
    """The first run of blocks that starts with a wanted one and holds none that is blocked.

    Returns (first, count). Blocks inside the run that nobody wants are covered too; it ends with a
    wanted one. Raises ValueError where every wanted block is blocked.
    """
    free = wanted & ~blocked
    if not free:
        raise ValueError("every wanted block is blocked")
    first = (free & -free).bit_length() - 1
    span = wanted >> first
    barrier = blocked >> first
    if barrier:
        span &= (barrier & -barrier) - 1
    return first, span.bit_length()


def run_mask(first: int, count: int) -> int:
    return ((1 << count) - 1) << first
