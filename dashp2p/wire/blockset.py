"""Sets of blocks of one segment: an int, bit i set meaning block i. Frames carry them as bitmaps.

`WHOLE` is "every block of the segment, however many": all bits set, so `WHOLE & x == x` holds and
whoever knows the block count makes a plain set of it with `resolve`. Encoding: docs/protocol.md,
"Block sets".
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Final

from dashp2p.wire.errors import Code, LocalProtocolError, ProtocolError
from dashp2p.wire.limits import MAX_SEGMENT_BLOCKS

WHOLE: Final = -1
EMPTY: Final = 0

_SPAN = struct.Struct(">HH")
_WHOLE_FIRST: Final = 0xFFFF
_MIRROR: Final = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def from_range(first: int, count: int) -> int:
    """The set of `count` blocks from `first` on."""
    return ((1 << count) - 1) << first


def from_blocks(blocks: Iterable[int]) -> int:
    """The set of these block numbers."""
    mask = 0
    for block in blocks:
        mask |= 1 << block
    return mask


def iter_blocks(blocks: int) -> Iterator[int]:
    """The block numbers of a set, ascending. Raises ValueError for WHOLE: `resolve` it first."""
    for first, count in iter_runs(blocks):
        yield from range(first, first + count)


def iter_runs(blocks: int) -> Iterator[tuple[int, int]]:
    """A set as (first block, count) runs, ascending. Raises ValueError for WHOLE."""
    if blocks < 0:
        raise ValueError("WHOLE has no block numbers; resolve it with the block count first")
    base = 0
    while blocks:
        gap = (blocks & -blocks).bit_length() - 1
        blocks >>= gap
        length = (~blocks & (blocks + 1)).bit_length() - 1
        yield base + gap, length
        blocks >>= length
        base += gap + length


def count(blocks: int) -> int:
    """How many blocks a set has. Raises ValueError for WHOLE."""
    if blocks < 0:
        raise ValueError("WHOLE has no size; resolve it with the block count first")
    return blocks.bit_count()


def resolve(blocks: int, block_count: int) -> int:
    """The set with WHOLE made plain, for a segment of `block_count` blocks; others unchanged."""
    return from_range(0, block_count) if blocks == WHOLE else blocks


def fits(blocks: int, block_count: int) -> bool:
    """Whether a set (WHOLE too) names only blocks of a segment of `block_count` blocks."""
    return blocks == WHOLE or (blocks >= 0 and blocks >> block_count == 0)


def bitmap(bits: int, length: int) -> bytes:
    """`length` low bits of an int as a bitmap: bit 0 is the highest bit of the first byte."""
    return bits.to_bytes((length + 7) // 8, "little").translate(_MIRROR)


def from_bitmap(raw: bytes, length: int) -> int:
    """Inverse of `bitmap`. Raises ProtocolError when a padding bit is set."""
    bits = int.from_bytes(raw.translate(_MIRROR), "little")
    if bits >> length:
        raise ProtocolError(Code.BAD_REQUEST, "a padding bit of a bitmap is set")
    return bits


def encode_blocks(blocks: int) -> bytes:
    """A set as it stands in a frame, in the shortest form. Raises LocalProtocolError."""
    if blocks == WHOLE:
        return _SPAN.pack(_WHOLE_FIRST, 0)
    if blocks == EMPTY:
        return _SPAN.pack(0, 0)
    if blocks < 0 or blocks >> MAX_SEGMENT_BLOCKS:
        raise LocalProtocolError("a block set names blocks outside 0..4095")
    first = (blocks & -blocks).bit_length() - 1
    blocks >>= first
    bits = blocks.bit_length()
    return _SPAN.pack(first, bits) + bitmap(blocks, bits)


def decode_blocks(payload: bytes, offset: int) -> tuple[int, int]:
    """The set at `offset` of a payload, and the offset behind it. Raises ProtocolError."""
    start = offset + _SPAN.size
    if len(payload) < start:
        raise ProtocolError(Code.BAD_REQUEST, "a block set is cut short")
    first, bits = _SPAN.unpack_from(payload, offset)
    if bits == 0:
        if first == _WHOLE_FIRST:
            return WHOLE, start
        if first == 0:
            return EMPTY, start
        raise ProtocolError(Code.BAD_REQUEST, "an empty block set starts elsewhere than at 0")
    if first + bits > MAX_SEGMENT_BLOCKS:
        raise ProtocolError(Code.TOO_LARGE, "a block set goes beyond block 4095")
    end = start + (bits + 7) // 8
    if len(payload) < end:
        raise ProtocolError(Code.BAD_REQUEST, "a block set is cut short")
    return from_bitmap(payload[start:end], bits) << first, end
