"""One segment as the lease table sees it: who leads which blocks, who holds which."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from attrs import define, field

from dashp2p.swarm.lease_rules import WHOLE, run_mask


@define(eq=False)
class Lease:
    """A live lease. It ends by being fulfilled, released or expired."""

    segment: int
    epoch: int
    peer: bytes
    first: int
    count: int
    size_bytes: int
    """About how much the leased blocks weigh, by the asker's word."""
    duration_s: float
    granted_at: float
    expires_at: float
    advanced_at: float
    """When its progress last really advanced; at first, when it was granted."""
    last_at: float
    """It is not renewed beyond this."""
    would_hold: int
    """What the peer holds once the lease is fulfilled: with what it had, perhaps all."""
    hedge: bool = False
    blocks_done: int = 0

    @property
    def mask(self) -> int:
        return run_mask(self.first, self.count)

    def advance(self, blocks_done: int, now: float) -> bool:
        """Take a report of progress; only one that really advances renews the lease."""
        blocks_done = min(blocks_done, self.count)
        if blocks_done <= self.blocks_done:
            return False
        self.blocks_done = blocks_done
        self.advanced_at = now
        self.expires_at = max(self.expires_at, min(now + self.duration_s, self.last_at))
        return True


@define(eq=False)
class SegmentLeases:
    """Leases and holders of one segment."""

    position: int
    epoch: int
    path: str | None = None
    leases: dict[int, Lease] = field(factory=dict)
    """Live ones by epoch, oldest first."""
    holders: dict[bytes, int] = field(factory=dict)
    """Blocks by peer, WHOLE for all; who came last is last."""
    ended: dict[int, tuple[bytes, int]] = field(factory=dict)
    """The latest leases that ended: epoch to the peer and what it holds once it is done."""
    parts_at: dict[bytes, float] = field(factory=dict)
    """When peers were last granted a part of the split segment, oldest first."""
    asked_at: float = float("-inf")
    """When a crowd that is in a hurry began to ask for it."""
    lost: int = 0
    """Blocks that an expired lease left and nobody has taken over."""
    lost_by: bytes = b""
    size_bytes: int = 0
    """By the word of who asked first; 0 while nobody did."""
    fetched_bytes: int = 0
    """What the fulfilled leases on it weighed."""
    takeovers: int = 0

    def fetched(self, lease: Lease) -> int:
        """A lease was fulfilled; returns how much of it was fetched for the first time."""
        before = min(self.fetched_bytes, self.size_bytes)
        self.fetched_bytes += lease.size_bytes
        return min(self.fetched_bytes, self.size_bytes) - before

    @property
    def latest_part_at(self) -> float:
        return next(reversed(self.parts_at.values()), float("-inf"))

    def asked(self, now: float, within_s: float) -> None:
        """Somebody in a hurry asks; who does so soon after belongs to the same crowd."""
        if now - self.asked_at >= within_s:
            self.asked_at = now

    def sharers(self, now: float, within_s: float) -> int:
        """How many were lately granted a part."""
        return sum(now - at < within_s for at in self.parts_at.values())

    def part_granted_at(self, peer: bytes) -> float:
        return self.parts_at.get(peer, float("-inf"))

    def part_granted(self, peer: bytes, now: float, most: int) -> None:
        self.parts_at.pop(peer, None)
        self.parts_at[peer] = now
        if len(self.parts_at) > most:
            del self.parts_at[next(iter(self.parts_at))]

    def held(self, but: Collection[bytes]) -> int:
        """Blocks held by anyone who is not in `but`."""
        mask = 0
        for peer, blocks in self.holders.items():
            if peer not in but:
                mask |= blocks
        return mask

    def whole_holders(self) -> int:
        return sum(blocks == WHOLE for blocks in self.holders.values())

    def led(self, leases: Iterable[Lease]) -> int:
        mask = 0
        for lease in leases:
            mask |= lease.mask
        return mask

    def of(self, peer: bytes) -> list[Lease]:
        return [lease for lease in self.leases.values() if lease.peer == peer]

    def not_of(self, peer: bytes) -> list[Lease]:
        return [lease for lease in self.leases.values() if lease.peer != peer]

    def hedge(self) -> Lease | None:
        return next((lease for lease in self.leases.values() if lease.hedge), None)

    def leader(self, wanted: int, but: bytes = b"") -> Lease | None:
        """Who fetches the wanted blocks: the oldest lease over any of them, a hedge last."""
        over = [lease for lease in self.not_of(but) if lease.mask & wanted]
        return min(over, key=lambda lease: (lease.hedge, lease.epoch), default=None)

    def promote_hedge(self) -> None:
        """A hedge whose leader is gone leads: it may be hedged in its turn."""
        hedge = self.hedge()
        if hedge is not None:
            leads = self.led(lease for lease in self.leases.values() if not lease.hedge)
            hedge.hedge = bool(leads & hedge.mask)

    def hold(self, peer: bytes, blocks: int, most: int) -> tuple[bool, bytes | None]:
        """Remember the peer as holder, the latest; (is it new, who was dropped for it)."""
        before = self.holders.pop(peer, None)
        self.holders[peer] = blocks if before is None else before | blocks
        self.lost &= ~blocks
        if len(self.holders) <= most:
            return before is None, None
        dropped = next(iter(self.holders))
        del self.holders[dropped]
        return True, dropped

    def demote(self, peers: Iterable[bytes]) -> None:
        """Who was asked in vain is told last and forgotten first."""
        vain = {peer: self.holders[peer] for peer in peers if peer in self.holders}
        if vain:
            rest = {peer: mask for peer, mask in self.holders.items() if peer not in vain}
            self.holders = vain | rest

    def tell(self, asker: bytes, wanted: int, but: Collection[bytes], most: int) -> list[bytes]:
        """Holders of wanted blocks for this asker: of all blocks before those of some, and each
        asker another part of a long list, so that a crowd doesn't fall upon the same few."""
        useful = [
            (mask, peer)
            for peer, mask in self.holders.items()
            if mask & wanted and peer != asker and peer not in but
        ]
        whole = [peer for mask, peer in useful if not wanted & ~mask]
        some = [peer for mask, peer in useful if wanted & ~mask]
        return (_turned(whole, asker, most) + _turned(some, asker, most))[:most]

    def end(self, lease: Lease, most: int) -> None:
        del self.leases[lease.epoch]
        self.ended[lease.epoch] = (lease.peer, lease.would_hold)
        if len(self.ended) > most:
            del self.ended[next(iter(self.ended))]


def as_holding(blocks: int, whole: int) -> int:
    return WHOLE if not whole & ~blocks else blocks


def _turned(peers: list[bytes], asker: bytes, most: int) -> list[bytes]:
    """The latest first; where there are more than are told, starting at a place by the asker."""
    peers = peers[::-1]
    if len(peers) <= most:
        return peers
    start = int.from_bytes(asker[:4], "big") % len(peers)
    return peers[start:] + peers[:start]
