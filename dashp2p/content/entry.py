"""One file of a presentation, as the index names it: where, how large, and its proof."""

import enum

from attrs import frozen

__all__ = ["Entry", "Kind", "Representation"]


class Kind(enum.Enum):
    """What a file is to a player."""

    INDEX = "index"
    MANIFEST = "manifest"
    INIT = "init"
    MEDIA = "media"


@frozen
class Entry:
    """A file of the presentation, and how it falls into blocks.

    `position` is its place in the index: 0 is index.json itself. `digest` (32 bytes) is the SHA-256
    over its block hashes. `number` is 0-based among the media segments of its representation;
    `number`, `start_s` and `duration_s` are None for all but media.
    """

    position: int
    path: str
    size_bytes: int
    digest: bytes
    kind: Kind
    representation_id: str | None
    number: int | None
    start_s: float | None
    duration_s: float | None
    block_size_bytes: int

    @property
    def block_count(self) -> int:
        """How many blocks the file has; the last one may be shorter."""
        return -(-self.size_bytes // self.block_size_bytes)

    def block_length(self, block: int) -> int:
        """Size in bytes of block `block`. Raises IndexError outside the file."""
        return min(self.block_size_bytes, self.size_bytes - self.block_offset(block))

    def block_offset(self, block: int) -> int:
        """Offset in bytes of block `block`. Raises IndexError outside the file."""
        if not 0 <= block < self.block_count:
            raise IndexError(f"{self.path} has {self.block_count} blocks, there is no {block}")
        return block * self.block_size_bytes

    def run_length(self, first: int, count: int) -> int:
        """Size in bytes of `count` blocks from `first` on. Raises IndexError outside the file."""
        start, end = self.block_offset(first), (first + count) * self.block_size_bytes
        if not 0 < count <= self.block_count - first:
            raise IndexError(f"{self.path} has no {count} blocks from {first} on")
        return min(end, self.size_bytes) - start


@frozen
class Representation:
    """One bitrate of one track. `bandwidth_bps` is in bits per second, as the MPD says it."""

    id: str
    media_type: str
    bandwidth_bps: int
    codecs: str
    width: int | None
    height: int | None
