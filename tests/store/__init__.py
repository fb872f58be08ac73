"""Tests of the store."""

from dashp2p.content.blocks import digest_of, hash_blocks

BLOCK = 16


def digest(data: bytes, block_size: int = BLOCK) -> bytes:
    """The digest of a segment."""
    return digest_of(hash_blocks(data, block_size))


def segment(seed: int, size_bytes: int = 100) -> bytes:
    """Bytes of a segment, others for each seed."""
    return bytes((seed * 31 + i * 7 + (i >> 8)) & 0xFF for i in range(size_bytes - 4)) + (
        seed.to_bytes(4, "big")
    )
