"""Bounds on everything this room reads from outside. Each is checked before memory is taken."""

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB

BLOCK_SIZE_BYTES: Final = 16 * KIB
"""The block size that `publish` chooses, and the one that index.json itself is always cut into."""
BLOCK_SIZE_MIN_BYTES: Final = 1 * KIB
BLOCK_SIZE_MAX_BYTES: Final = 256 * KIB

INDEX_MAX_BYTES: Final = 8 * MIB
"""index.json."""
SIGNATURE_MAX_BYTES: Final = 4 * KIB
"""index.sig."""
ENTRIES_MAX: Final = 65_536
"""Files of one presentation, index.json included."""
REPRESENTATIONS_MAX: Final = 256
FILE_MAX_BYTES: Final = 64 * MIB
"""One segment, init segment, manifest or playlist."""
FILE_MAX_BLOCKS: Final = 4_096
"""Blocks of one file, so that all its hashes fit one frame between peers."""
PATH_MAX_CHARS: Final = 255
ID_MAX_CHARS: Final = 64
TIME_MAX_MS: Final = 10**14
"""A time in milliseconds since 1970: the year 5138."""
CODECS_MAX_CHARS: Final = 255
INTEGER_MAX_DIGITS: Final = 16
"""A JSON number longer than this is refused before it is converted (that costs quadratic time)."""
BANDWIDTH_MAX_BPS: Final = 10_000_000_000
DIMENSION_MAX_PX: Final = 32_768
START_MAX_S: Final = 1e10
SEGMENT_MAX_S: Final = 3_600.0

MPD_MAX_BYTES: Final = 2 * MIB
MPD_MAX_DEPTH: Final = 32
MPD_MAX_ELEMENTS: Final = 100_000
TICKS_MAX: Final = 10**17
"""A time, duration or segment number in an MPD, in units of its timescale."""
TIMESCALE_MAX: Final = 10**10

JWT_MAX_CHARS: Final = 2048
"""A ticket or token; ours have some 350 characters."""
