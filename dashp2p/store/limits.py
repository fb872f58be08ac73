"""Bounds of the store: memory, files, and how patient it is with a broken disk."""

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB

SEGMENT_MAX_BYTES: Final = 64 * MIB
"""One segment, in memory or on disk."""
BLOCKS_MAX: Final = 65_535
"""Blocks of one segment: the wire numbers them with 16 bits."""
SEGMENTS_MAX: Final = 65_536
"""Files that the index of the folder holds; beyond it the least recently used go."""
NAMES_MAX: Final = 1_048_576
"""Names read from the folder at start, ours or not."""

ASSEMBLIES_MAX_BYTES: Final = 256 * MIB
"""All segments that are being delivered at one time."""
UNWRITTEN_MAX_BYTES: Final = 64 * MIB
"""Segments that wait for the disk; while a slow disk is that far behind, more are not kept."""
MEMORY_CACHE_BYTES: Final = 64 * MIB
"""Whole segments held in memory by default, so that a crowd reads the same one without the disk."""
HASHES_MAX_BYTES: Final = 8 * MIB
"""Block hashes held in memory: 32 bytes for each block of what was lately stored or verified."""

FREE_FLOOR_BYTES: Final = 512 * MIB
"""Free space of the file system that the cache leaves to others, by default."""
VERIFY_CHUNK_BYTES: Final = 1 * MIB
"""How much of a file is read at a time while it is verified."""

RETRY_FIRST_S: Final = 5.0
RETRY_MAX_S: Final = 300.0
"""After a failed write the next one is tried after 5 s, and twice as long each time up to 5 min."""
TOUCH_INTERVAL_S: Final = 60.0
"""How often at most the use of a segment is noted on disk (and again when the store closes)."""
