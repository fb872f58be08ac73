"""Every bound of the exchange protocol, in one place; docs/protocol.md repeats them for strangers.

Each is checked before the thing it bounds is stored, and has a test that goes red without it.
"""

from typing import Final

HEADER_BYTES: Final = 10
"""length u32, type u8, flags u8, request id u32."""

PREFACE_BYTES: Final = 10
"""magic, lowest version u8, highest version u8, features u32."""

MAX_POSITIONS: Final = 65_537
"""Bits of a HAVE, so segments of a swarm: 65 536 files of an index, and the index itself (0)."""

MAX_SEGMENT_BLOCKS: Final = 4096
"""Blocks of one segment: 64 MiB of 16 KiB blocks; smaller blocks, smaller segments."""

MAX_DATA_BLOCKS: Final = 16
"""Blocks of one DATA frame."""

MAX_DATA_BYTES: Final = 256 * 1024
"""Block bytes of one DATA frame."""

MAX_NEWS: Final = 64
"""Segments of one GOT, GETTING or GONE frame."""

MAX_OUTSTANDING_REQUESTS: Final = 64
"""REQUESTs not yet wholly answered, each way of a link."""

MAX_HELLO_BYTES: Final = 8 * 1024
"""Payload of a HELLO; nearly all of it may be the ticket."""

MAX_TICKET_BYTES: Final = MAX_HELLO_BYTES - 69
"""What a HELLO leaves for the ticket beside its fixed fields."""

MAX_ERROR_TEXT_BYTES: Final = 256
"""Text of an ERROR, as UTF-8."""

DATA_HEAD_BYTES: Final = 7
"""segment u32, first block u16, count u8: what stands before the block bytes of a DATA payload."""

MAX_FRAME_BYTES: Final = MAX_DATA_BYTES + DATA_HEAD_BYTES
"""Largest payload of any frame, and so of a frame whose type the receiver does not know."""

MAX_BLOCKSET_BYTES: Final = 4 + MAX_SEGMENT_BLOCKS // 8
"""A block set as it stands in a frame: first u16, bits u16, bitmap."""
