"""Block hashes: the proof of a part of a file before the rest of it is here.

A block's hash is its SHA-256. A file's digest is the SHA-256 over its block hashes back to back, so
the hashes of a file, from whoever they come, are checked against the digest in the signed index,
and each block against its hash.
"""

import hmac
from hashlib import sha256

from attrs import field, frozen

from dashp2p.content.entry import Entry

__all__ = ["HASH_BYTES", "BlockHashes", "check_block", "check_whole", "digest_of", "hash_blocks"]

HASH_BYTES = 32

Buffer = bytes | bytearray | memoryview


def hash_blocks(data: Buffer, block_size: int) -> bytes:
    """The SHA-256 of each `block_size` bytes of `data` (the last block shorter), back to back."""
    view = memoryview(data)
    return b"".join(
        sha256(view[offset : offset + block_size]).digest()
        for offset in range(0, len(view), block_size)
    )


def digest_of(hashes: bytes) -> bytes:
    """A file's digest, from its block hashes."""
    return sha256(hashes).digest()


@frozen
class BlockHashes:
    """The block hashes of one file. Use them only once `matches` has said yes."""

    hashes: bytes = field(repr=False)

    @classmethod
    def of(cls, data: Buffer, block_size: int) -> "BlockHashes":
        """The block hashes of a file that is here in full."""
        return cls(hash_blocks(data, block_size))

    def __len__(self) -> int:
        return len(self.hashes) // HASH_BYTES

    def matches(self, entry: Entry) -> bool:
        """Whether these are the block hashes of that very file: their number, and its digest."""
        if len(self.hashes) != entry.block_count * HASH_BYTES:
            return False
        return hmac.compare_digest(digest_of(self.hashes), entry.digest)

    def check(self, block: int, data: Buffer) -> bool:
        """Whether `data` is block number `block`. False, too, for a block that isn't there."""
        if not 0 <= block < len(self):
            return False
        wanted = self.hashes[block * HASH_BYTES : (block + 1) * HASH_BYTES]
        return hmac.compare_digest(sha256(data).digest(), wanted)


def check_block(entry: Entry, hashes: BlockHashes | None, block: int, data: Buffer) -> bool:
    """Whether `data` is block `block` of the file `entry`, its length included.

    `hashes` must have matched the entry before. A file of one block needs none: its digest is the
    SHA-256 of its only hash. For a longer file without hashes the answer is False.
    """
    if not 0 <= block < entry.block_count or len(data) != entry.block_length(block):
        return False
    if hashes is not None:
        return hashes.check(block, data)
    if entry.block_count != 1:
        return False
    return hmac.compare_digest(digest_of(sha256(data).digest()), entry.digest)


def check_whole(entry: Entry, data: Buffer) -> bool:
    """Whether `data` is the whole file `entry`."""
    if len(data) != entry.size_bytes:
        return False
    return BlockHashes.of(data, entry.block_size_bytes).matches(entry)
