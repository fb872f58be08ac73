"""One simulated segment on its way: stand-ins for its blocks, who waits, what it cost."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field

from dashp2p.content.entry import Entry
from dashp2p.lab.sim.origin import Fetch
from dashp2p.swarm.delivery import Delivery

TRUE, FALSE = b"\1", b"\0"
"""Stand-ins of a block that the origin published, and of another."""


class BrokenInvariantError(AssertionError):
    """The code under simulation did what it must never do."""


@define(eq=False)
class Incoming:
    """A delivery's stand-ins, and who waits for them."""

    entry: Entry
    delivery: Delivery
    verified: int = 0
    proven: bool = False
    """The block hashes are here."""
    waiting: list[tuple[bytes | None, int, bytes]] = field(factory=list)
    """Blocks that came before the hashes: source, first block, stand-ins."""
    listeners: list[Callable[[bool], None]] = field(factory=list)
    fetches: list[Fetch] = field(factory=list)
    hashes_asked: bytes | None = None
    hashes_asked_at: float = 0.0
    hashes_fetch: Fetch | None = None
    unproven_fetches: list[int] = field(factory=list)
    """Blocks of fetches that are over but for their hashes."""

    @property
    def full(self) -> int:
        """All blocks."""
        return (1 << self.entry.block_count) - 1


@define(eq=False)
class Tally:
    """What one peer counted. Bytes of verified blocks by source, and what was for nothing."""

    peers_bytes: int = 0
    origin_bytes: int = 0
    proof_bytes: int = 0
    duplicate_bytes: int = 0
    false_blocks: int = 0
    deliveries: int = 0
    hedges: int = 0
    rescues: int = 0
    unplayed: dict[int, int] = field(factory=dict)
    """Segments that came without anybody waiting, by position: their size."""
    spares: dict[int, int] = field(factory=dict)
    """The same of those that were copied only to be held by one more."""


def size_of(entry: Entry, blocks: int) -> int:
    """Bytes of a set of blocks."""
    last = entry.block_count - 1
    size = blocks.bit_count() * entry.block_size_bytes
    if blocks >> last & 1:
        size -= entry.block_size_bytes * entry.block_count - entry.size_bytes
    return size
