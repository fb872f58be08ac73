"""What a node decides: each command is carried out by whoever drives it, daemon or simulator."""

from __future__ import annotations

from typing import TypeAlias

from attrs import field, frozen

from dashp2p.content.entry import Entry
from dashp2p.wire.frames import Frame


@frozen
class Ask:
    """Request these blocks of that neighbour."""

    peer_id: bytes
    entry: Entry
    blocks: int = field(repr=hex)
    deadline_ms: int
    spread: bool
    urgent: bool


@frozen
class Withdraw:
    """Cancel these blocks at that neighbour, whichever request they belong to."""

    peer_id: bytes
    entry: Entry
    blocks: int = field(repr=hex)


@frozen
class Doubt:
    """That neighbour was late, and what it owed is withdrawn: see whether it answers at all."""

    peer_id: bytes


@frozen
class Tell:
    """Send this frame (news, GOAWAY) to that neighbour."""

    peer_id: bytes
    frame: Frame


@frozen
class Want:
    """One segment of a lease call: `missing` is a block set."""

    entry: Entry
    missing: int = field(repr=hex)
    hedge: bool
    refused: tuple[bytes, ...] = ()
    slow: bool = False
    """Neighbours have or lead it all, and bring it too slowly."""
    urgent: bool = False


@frozen
class Held:
    """A lease (segment and epoch), with how many of its blocks are done."""

    segment: int
    epoch: int
    blocks_done: int = 0


@frozen
class CallTracker:
    """One POST /lease: everything that has gathered for it."""

    wants: tuple[Want, ...]
    progress: tuple[Held, ...]
    done: tuple[Held, ...]
    release: tuple[Held, ...]


@frozen
class FetchOrigin:
    """Fetch blocks `first` to `first + count - 1` from the origin. `why` is for the record."""

    entry: Entry
    first: int
    count: int
    why: str


@frozen
class StopOrigin:
    """Nobody needs what is being fetched of that segment any more."""

    entry: Entry


@frozen
class Send:
    """Answer a neighbour's request with DATA: `count` adjoining blocks from `first` on."""

    peer_id: bytes
    request_id: int
    entry: Entry
    first: int
    count: int


@frozen
class Refuse:
    """Answer these blocks of a neighbour's request with REJECT."""

    peer_id: bytes
    request_id: int
    segment: int
    blocks: int = field(repr=hex)
    code: int


@frozen
class Drop:
    """Close the link to that neighbour, and `shun` it for a while; `why` is for the record."""

    peer_id: bytes
    why: str
    shun: bool = False


@frozen
class Abandoned:
    """The delivery is over without its blocks; players that wait for it must be told."""

    entry: Entry
    why: str


@frozen
class Replicate:
    """Want a segment, from neighbours only, that a player will come to by then."""

    entry: Entry
    deadline_s: float


@frozen
class SuspectOrigin:
    """A neighbour has given up what it fetched from the origin: see whether that still answers."""


Command: TypeAlias = (
    Ask
    | Withdraw
    | Doubt
    | Tell
    | CallTracker
    | FetchOrigin
    | StopOrigin
    | Send
    | Refuse
    | Drop
    | Abandoned
    | Replicate
    | SuspectOrigin
)
