"""The bytes of one segment while it is being delivered."""

from dashp2p.store.disk import Buffer
from dashp2p.store.errors import AssemblyRefused, BlocksMissing
from dashp2p.store.limits import BLOCKS_MAX, SEGMENT_MAX_BYTES

__all__ = ["Assembly"]


class Assembly:
    """A segment of known size, filled block by block, readable where blocks are here.

    Put in only blocks that were checked against the segment's block hashes: whatever is here is
    served. `have` is a bitmask, bit i for block i. Raises AssemblyRefused beyond the limits, before
    memory is taken.
    """

    def __init__(self, size_bytes: int, block_size_bytes: int) -> None:
        if not 0 < size_bytes <= SEGMENT_MAX_BYTES or block_size_bytes <= 0:
            raise AssemblyRefused(f"a segment of {size_bytes} bytes is beyond the limit")
        self.block_count = -(-size_bytes // block_size_bytes)
        if self.block_count > BLOCKS_MAX:
            raise AssemblyRefused(f"a segment of {self.block_count} blocks is beyond the limit")
        self.size_bytes = size_bytes
        self.block_size_bytes = block_size_bytes
        self.have = 0
        self._data = memoryview(bytearray(size_bytes))

    @property
    def complete(self) -> bool:
        """Whether all blocks are here."""
        return self.have == self.all_blocks

    @property
    def all_blocks(self) -> int:
        """The bitmask of a complete segment."""
        return (1 << self.block_count) - 1

    @property
    def missing(self) -> int:
        """Bitmask of the blocks that aren't here."""
        return self.all_blocks & ~self.have

    def put(self, block: int, data: Buffer) -> bool:
        """Add a checked block. False for one that was here. ValueError for a wrong size."""
        if not 0 <= block < self.block_count:
            raise ValueError(f"there is no block {block} among {self.block_count}")
        start = block * self.block_size_bytes
        end = min(start + self.block_size_bytes, self.size_bytes)
        if len(data) != end - start:
            raise ValueError(f"block {block} has {end - start} bytes, not {len(data)}")
        if self.have >> block & 1:
            return False
        self._data[start:end] = data
        self.have |= 1 << block
        return True

    def readable_bytes(self, offset: int) -> int:
        """How many bytes from `offset` on are here without a gap."""
        if not 0 <= offset < self.size_bytes:
            return 0
        block = offset // self.block_size_bytes
        run = ~(self.have >> block)
        blocks = (run & -run).bit_length() - 1
        return max(0, min((block + blocks) * self.block_size_bytes, self.size_bytes) - offset)

    def read_bytes(self, offset: int, length: int) -> bytes:
        """`length` bytes from `offset`. BlocksMissing where they aren't all here, ValueError
        outside the segment."""
        if offset < 0 or length < 0 or offset + length > self.size_bytes:
            raise ValueError(f"{length} bytes at {offset} are not within {self.size_bytes}")
        if length > self.readable_bytes(offset):
            raise BlocksMissing(f"{length} bytes at {offset} aren't all here yet")
        return bytes(self._data[offset : offset + length])

    def read(self, first_block: int, count: int) -> bytes:
        """The bytes of `count` blocks from `first_block` on; errors as for `read_bytes`."""
        if first_block < 0 or count < 1 or first_block + count > self.block_count:
            raise ValueError(f"there are no blocks {first_block}+{count} among {self.block_count}")
        start = first_block * self.block_size_bytes
        end = min(start + count * self.block_size_bytes, self.size_bytes)
        return self.read_bytes(start, end - start)

    def whole(self) -> memoryview:
        """The whole segment, once complete: a view of what is held here, which changes no more."""
        if not self.complete:
            raise BlocksMissing("the segment isn't complete yet")
        return self._data.toreadonly()
