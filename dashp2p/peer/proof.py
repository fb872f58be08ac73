"""Which bytes of a segment are what the origin published (design D1)."""

from __future__ import annotations

from hashlib import sha256
from typing import NamedTuple

from attrs import define, field

from dashp2p.content.blocks import HASH_BYTES, BlockHashes, Buffer
from dashp2p.content.entry import Entry
from dashp2p.peer.limits import MAX_UNPROVEN_BYTES

Source = bytes | None
"""The neighbour that bytes came from; None: the origin."""


class Verdict(NamedTuple):
    """A block, where it came from, and whether it is true."""

    source: Source
    block: int
    data: Buffer
    true: bool


@define(eq=False)
class Proof:
    """Checks the blocks of one segment; those that come before the hashes wait, within a bound."""

    entry: Entry
    hashes: BlockHashes | None = None
    _waiting: list[tuple[Source, int, Buffer]] = field(factory=list)
    _waiting_bytes: int = 0

    @property
    def needs_hashes(self) -> bool:
        """Whether hashes must come from somewhere: one block's hash follows from the digest."""
        return self.hashes is None and self.entry.block_count > 1

    def offer(self, source: Source, first: int, data: bytes) -> list[Verdict]:
        """Blocks from `first` on, of exactly their length. Raises ValueError when it is not.

        What cannot be checked yet is kept, and dropped beyond the bound (it is asked for again).
        """
        pieces = self._pieces(first, data)
        if self.needs_hashes:
            for block, piece in pieces:
                if self._waiting_bytes + len(piece) <= self._bound():
                    self._waiting.append((source, block, piece))
                    self._waiting_bytes += len(piece)
            return []
        return [self._judge(source, block, piece) for block, piece in pieces]

    def learn(self, hashes: bytes) -> list[Verdict] | None:
        """The segment's hashes, from anybody. None when they are not its hashes."""
        if len(hashes) != self.entry.block_count * HASH_BYTES:
            return None
        found = BlockHashes(hashes)
        if not found.matches(self.entry):
            return None
        self.hashes = found
        waiting, self._waiting, self._waiting_bytes = self._waiting, [], 0
        return [self._judge(*item) for item in waiting]

    def forget(self, source: Source) -> None:
        """Drop what waits from a source that is gone or false."""
        self._waiting = [item for item in self._waiting if item[0] != source]
        self._waiting_bytes = sum(len(item[2]) for item in self._waiting)

    def waiting_sources(self) -> set[bytes]:
        """The neighbours whose blocks wait for hashes."""
        return {source for source, _, _ in self._waiting if source is not None}

    def waiting_blocks(self) -> dict[int, Buffer]:
        """What waits, by block: for a file whose hashes are only in its own bytes (the index)."""
        return {block: data for _, block, data in self._waiting}

    def _bound(self) -> int:
        return max(MAX_UNPROVEN_BYTES, self.entry.size_bytes)

    def _pieces(self, first: int, data: bytes) -> list[tuple[int, Buffer]]:
        size = self.entry.block_size_bytes
        count = -(-len(data) // size)
        if first + count > self.entry.block_count:
            raise ValueError("blocks beyond the end of the segment")
        if count == 0 or len(data) != self.entry.run_length(first, count):
            raise ValueError("a piece that is not whole blocks")
        view = memoryview(data)
        return [(first + at, view[at * size : (at + 1) * size]) for at in range(count)]

    def _judge(self, source: Source, block: int, data: Buffer) -> Verdict:
        if self.hashes is not None:
            true = self.hashes.check(block, data)
        else:
            true = sha256(sha256(data).digest()).digest() == self.entry.digest
        return Verdict(source, block, data, true)

    def all_hashes(self, data: Buffer) -> bytes:
        """The hashes, known or (one block) computed from the true bytes."""
        return self.hashes.hashes if self.hashes is not None else sha256(data).digest()
