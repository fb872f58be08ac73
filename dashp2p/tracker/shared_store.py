"""What trackers that work together need of a store, and nothing of how it does it.

The store runs each call as one step, as seen by all trackers, and has a clock for all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from attrs import field, frozen

EMPTY: Mapping[str, int] = {}

VERSION_BYTES = 8
"""What a stored value begins with: random, and another one whenever it is written."""


class StoreAwayError(Exception):
    """The store did not answer, or not as it should."""


@frozen
class Kept:
    """A value as it was loaded. `version` is empty where there was none."""

    version: bytes = b""
    data: bytes = field(default=b"", repr=False)


@frozen
class Seen:
    """A peer that was heard of: when, by the store's clock, and what its tracker wrote of it."""

    peer: bytes
    at_s: float
    record: bytes = field(repr=False)


@frozen
class Loaded:
    """A swarm as far as a call is about it. `now_s` never falls while the store lives; another
    `generation` is another store, or an emptied one."""

    generation: bytes
    now_s: float
    seen: Sequence[Seen]
    """Since the moment that was asked for, the longest ago first; at most `SEEN_PER_LOAD`."""
    segments: Mapping[int, Kept]
    led: Kept
    other_swarms: int
    """How many the store remembers beside this one."""


@frozen
class Change:
    """A segment (or, without a position, what the caller leads) to be written if nobody else wrote
    it since it was loaded as `before`. Empty data: it is removed."""

    position: int | None
    before: Kept
    data: bytes = field(repr=False)
    path: str | None = None


@frozen
class Figures:
    """A swarm in the store: how many segments it remembers, what peers lead, as it was written,
    and what was counted."""

    segments: int
    led: Sequence[bytes]
    counts: Mapping[str, int]


class SharedStore(Protocol):
    """Every method raises StoreAwayError."""

    async def load(
        self, swarm: bytes, peer: bytes, since_s: float, positions: Sequence[int]
    ) -> Loaded: ...

    async def save(
        self,
        swarm: bytes,
        generation: bytes,
        peer: bytes,
        changes: Sequence[Change],
        record: bytes | None,
        counts: Mapping[str, int] = EMPTY,
    ) -> bool:
        """Write all of it, or nothing where somebody was faster, or the store is another. With a
        record the peer was heard of now; `counts` are added to those of the swarm."""

    async def swarms(self) -> list[bytes]:
        """Those in which somebody was heard of lately, at most the rules' number of them."""

    async def position(self, swarm: bytes, path: str) -> int | None:
        """The position that peers gave this path."""

    async def figures(self, swarm: bytes) -> Figures:
        """For people who watch."""

    async def latest(self, swarm: bytes, most: int) -> list[int]:
        """The positions of the segments that were written last, the latest first."""

    def away(self) -> str | None:
        """Why it cannot be used at present, as a sentence."""
