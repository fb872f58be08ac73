"""The frames of the exchange protocol: what a session is given to send and what it reports.

Block sets (`blocks`) are ints, see `dashp2p.wire.blockset`. `segment` is an index position.
`code` is a `Code`, or a number that this version does not know. Layouts: docs/protocol.md.
"""

from __future__ import annotations

import enum
from typing import Final, TypeAlias

from attrs import field, frozen

from dashp2p.wire.blockset import WHOLE, from_range

NO_DEADLINE: Final = 0xFFFF_FFFF
NO_SOURCE_DISTANCE: Final = 255


class FrameType(enum.IntEnum):
    """The type byte of a frame."""

    HELLO = 1
    HAVE = 2
    GOT = 3
    GETTING = 4
    GONE = 5
    REQUEST = 6
    DATA = 7
    HASHES = 8
    REJECT = 9
    CANCEL = 10
    PING = 11
    PONG = 12
    ERROR = 13
    GOAWAY = 14


@frozen
class Hello:
    """First frame each way: who speaks, for which swarm, admitted by which ticket.

    `listening_port` is 0 when the sender cannot be dialled; `uploads` is False when it only takes.
    """

    swarm_id: bytes = field(repr=bytes.hex)
    public_key: bytes = field(repr=bytes.hex)
    listening_port: int
    uploads: bool = True
    ticket: bytes = field(default=b"", repr=False)  # a credential: kept out of logs


@frozen
class Have:
    """Second frame each way: which whole segments the sender has, bit i for index position i.

    `count` 0 says "I have no index yet"; then, and only then, a second HAVE may follow.
    """

    count: int
    positions: int = field(repr=hex)


@frozen
class SegmentBlocks:
    """Some blocks of one segment; WHOLE for all of them."""

    segment: int
    blocks: int = field(repr=hex)


@frozen
class Fetching:
    """One segment of a GETTING: these blocks are on their way to the sender.

    `epoch` is that of the lease behind it, 0 without one; `distance` counts hops from the origin:
    0 fetches there itself, 255 with no blocks has no source yet.
    """

    segment: int
    epoch: int
    distance: int
    blocks: int = field(repr=hex)


@frozen
class Got:
    """Blocks that the sender has from now on, verified, besides those named before."""

    news: tuple[SegmentBlocks, ...]


@frozen
class Getting:
    """Blocks on their way to the sender; each entry replaces its earlier GETTING of the segment."""

    news: tuple[Fetching, ...]


@frozen
class Gone:
    """Blocks that the sender neither has nor is getting any more (evicted, or source lost)."""

    news: tuple[SegmentBlocks, ...]


@frozen
class Request:
    """Ask for blocks of a segment; each gets exactly one answer, DATA or REJECT.

    `deadline_ms` counts from arrival; `hashes` asks for HASHES before the first DATA, and with no
    blocks asks for nothing else. `request_id` is chosen by the session that sends it.
    """

    segment: int
    blocks: int = field(repr=hex)
    deadline_ms: int = NO_DEADLINE
    spread: bool = False
    urgent: bool = False
    hashes: bool = False
    request_id: int = 0


@frozen
class Data:
    """`count` adjoining blocks of a segment, from block `first` on, in answer to a REQUEST.

    The session does not know block lengths: that `data` is exactly as long as these blocks are,
    and is what the origin published, is checked by whoever has the index.
    """

    request_id: int
    segment: int
    first: int
    count: int
    data: bytes = field(repr=lambda data: f"<{len(data)} bytes>")

    @property
    def blocks(self) -> int:
        """The set of the blocks carried."""
        return from_range(self.first, self.count)


@frozen
class Hashes:
    """All block hashes of a segment, 32 bytes each, back to back."""

    request_id: int
    segment: int
    hashes: bytes = field(repr=lambda hashes: f"<{len(hashes) // 32} hashes>")


@frozen
class Reject:
    """These blocks of a REQUEST will not come. WHOLE: all that are not answered yet."""

    request_id: int
    segment: int
    blocks: int = field(repr=hex)
    code: int


@frozen
class Cancel:
    """The asker no longer needs these blocks. WHOLE: all that are not answered yet."""

    request_id: int
    segment: int
    blocks: int = field(default=WHOLE, repr=hex)


@frozen
class Ping:
    """Asks for a PONG with the same token."""

    token: int


@frozen
class Pong:
    """Answers a PING."""

    token: int


@frozen
class Error:
    """The sender closes the link, because of what the receiver did or who it is."""

    code: int
    text: str = ""


@frozen
class GoAway:
    """The sender will leave: it answers what it owes and takes no new REQUEST."""

    code: int


Frame: TypeAlias = (
    Hello
    | Have
    | Got
    | Getting
    | Gone
    | Request
    | Data
    | Hashes
    | Reject
    | Cancel
    | Ping
    | Pong
    | Error
    | GoAway
)
Event: TypeAlias = Frame
