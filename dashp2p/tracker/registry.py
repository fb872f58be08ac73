"""What the tracker remembers, behind one small interface that another store can implement.

All of it is soft: the next announces rebuild it, so a registry may forget anything at any time.
Methods are coroutines for the sake of stores that answer later; `now` is monotonic seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from attrs import frozen

from dashp2p.swarm.leases import Answer
from dashp2p.tracker.addresses import Whereabouts
from dashp2p.tracker.members import Neighbour
from dashp2p.tracker.messages import Announce, LeaseCall

REPORTED = (
    *("cache_bytes", "peers_bytes", "origin_bytes", "delivered_bytes", "uploaded_bytes"),
    *("player_stalls_total", "player_stalled_ms_total", "player_played_ms_total"),
)
"""What peers report of themselves that is summed over all swarms, those that are gone included."""


@frozen
class Welcome:
    """The answer to an announce."""

    interval_s: float
    ttl_s: float
    peers: Sequence[Neighbour]
    swarm_peers: int


@frozen
class LeaseAnswer:
    """The answer to a lease call. `peers` says how to reach some of the leaders and holders that
    the answers name, for in a large swarm they need not be the asker's neighbours."""

    answers: Sequence[Answer]
    peers: Sequence[Neighbour]
    unannounced: bool
    """The registry did not know the caller (it was restarted, or forgot it): it leases all the
    same, but tells nobody of the caller until it announces itself again."""


@frozen
class Holding:
    """Who has a segment and who is fetching it, by id, in one swarm."""

    swarm: bytes
    position: int
    leader: bytes | None
    epoch: int
    holders: tuple[bytes, ...]


@frozen
class SwarmSummary:
    """A swarm in figures. `figures` are gauges and counters by name, `totals` the sums of what its
    peers reported (see `MemoryRegistry`)."""

    swarm: bytes
    peers: int
    figures: dict[str, float]
    totals: dict[str, float]


@frozen
class PeerSummary:
    """A peer as people who watch the swarm may see it: an id, never an address."""

    peer: bytes
    seen_s: float
    """Seconds since its last announce."""
    listed: bool
    """Peers of other sites are told of it."""
    have: int
    upload_bps: int
    stats: dict[str, float]
    served_by: dict[str, int]
    """Bytes that it received, by the first 16 hex digits of who sent them."""


@frozen
class SegmentSummary:
    """A segment as the leases show it."""

    position: int
    path: str | None
    size_bytes: int
    """0: unknown."""
    fetched_bytes: int
    """What left the origin for it under leases."""
    holders: int
    leaders: tuple[bytes, ...]
    """Who fetches some of it now."""
    epoch: int
    takeovers: int


class Registry(Protocol):
    """Swarms, their peers and their leases.

    `announce` and `lease` raise Refused where there is no room for the caller.
    """

    async def announce(
        self, announce: Announce, at: Whereabouts, now: float, reached: bool | None
    ) -> Welcome:
        """Note the peer (or forget it, when it stopped) and tell it of others. `reached`: whether
        dialling back had success, None where that is not known."""

    async def dialled(
        self, swarm: bytes, peer: bytes, at: Whereabouts, port: int, reached: bool
    ) -> None:
        """Dialling back has ended; of no effect when the peer has moved meanwhile."""

    async def lease(self, call: LeaseCall, at: Whereabouts, now: float) -> LeaseAnswer:
        """Note what the peer tells, then answer its wants in their order."""

    async def holding(self, key: str, swarm: bytes | None, now: float) -> list[Holding]:
        """Segments by path or position, in one swarm or all; the largest swarms first."""

    async def swarms(self, now: float) -> list[SwarmSummary]:
        """All swarms, the largest first."""

    async def peers(self, swarm: bytes, now: float, most: int | None = None) -> list[PeerSummary]:
        """The peers of a swarm, the latest first; empty where there is no such swarm."""

    async def playing(self, swarm: bytes, now: float) -> list[dict[str, float]]:
        """What those peers of a swarm reported that have viewers: to be read, not changed."""

    async def segments(self, swarm: bytes, now: float, most: int) -> list[SegmentSummary]:
        """The segments of a swarm that peers asked for or told of last, the latest first."""

    async def counters(self, now: float) -> dict[str, float]:
        """Gauges and counters over all swarms, those that are gone included."""

    async def expire(self, now: float) -> None:
        """Forget peers and leases whose time is up."""

    def reasons(self) -> list[str]:
        """What keeps the registry from its work, as sentences; empty while all is well."""
