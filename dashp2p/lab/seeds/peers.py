"""A peer in memory that learns its film, joins its swarm and recovers its cache like the daemon."""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from dashp2p.content.entry import Entry
from dashp2p.content.index import IndexSignature
from dashp2p.peer.incoming import Incoming
from dashp2p.peer.known_keys import KnownKeys
from dashp2p.peer.membership import Membership
from dashp2p.peer.newest import NewestIndexes
from dashp2p.peer.presentation import Presentation
from dashp2p.store.errors import StoreError
from dashp2p.store.fakedisk import FakeDisk
from dashp2p.swarm.policy import Policy
from dashp2p.testing import PORT, MemoryPeer, MemorySwarm

QUOTA_BYTES = 1 << 20
MEMORY_BYTES = 150_000
"""Little, so that players and neighbours are served from the disk."""
SOON_S = 1.2


class StormPeer(MemoryPeer):
    """`lies`: what it passes on is spoilt by this. `read` hears of all that leaves the store."""

    def __init__(self, swarm: MemorySwarm, number: int, disk: FakeDisk, seed: int) -> None:
        MemoryPeer.__init__(
            self, swarm, number, Policy(), False, None, disk, QUOTA_BYTES, MEMORY_BYTES
        )
        self.number = number
        self.disk = disk
        self.alive = True
        self._rng = random.Random(seed)
        self._jobs: set[Deferred[None]] = set()
        self._coming: Incoming | None = None
        engine = self.engine
        engine.index_entry = None
        self._read = engine.read
        engine.completed.append(self._completed)
        engine.mistrusted = lambda: self.presentation.suspect()
        pinned = swarm.film.signature.public_key
        self.presentation = Presentation(
            self.origin,
            KnownKeys(None),
            NewestIndexes(None, swarm.clock.seconds),
            pinned,
            swarm.clock,
            self._rng,
        )
        self.presentation.late = self._index_is_late
        self.membership: Membership | None = None

    def watch_reads(self, seen: Callable[[Entry, int, bytes], bytes]) -> None:
        """Let `seen` look at, and perhaps change, what the engine reads for others."""

        def read(entry: Entry, offset: int, size: int) -> bytes:
            return seen(entry, offset, self._read(entry, offset, size))

        self.engine.read = read  # type: ignore[method-assign]  # it stands before the real one

    def start(self) -> None:
        """As the daemon does: the signature, then the swarm and the index."""
        self.presentation.start(self._signed)

    def _signed(self, signature: IndexSignature) -> None:
        self.engine.index_entry = signature.index_entry()
        membership = Membership(
            self.tracker,
            self.exchange,
            self.swarm.clock,
            self._rng,
            signature.swarm_id,
            self.public_key,
            PORT,
            [],
            0,
            lambda: self.node.state.have.bit_count(),
            dict,
            dict,
        )
        self.membership = membership
        self.tracker.named = self.exchange.dial
        self.tracker.forgotten = membership.again_soon
        membership.start().addErrback(self._unexpected)
        self._coming = self.engine.want(self.engine.index_entry, self.now + SOON_S)
        if self._coming is None:
            self._index_here(self.engine.index_entry)

    def _index_is_late(self) -> None:
        entry = self.engine.index_entry
        incoming = self.engine.incoming.get(0)
        if entry is not None and (incoming is None or self._waiting not in incoming.listeners):
            self._coming = self.engine.want(entry, self.now + SOON_S, self._waiting)

    def _waiting(self) -> None:
        """As the daemon: a listener that has nothing to do."""

    def _unexpected(self, failure: Failure) -> None:
        failure.trap(CancelledError)

    def _completed(self, entry: Entry, incoming: Incoming) -> None:
        if entry.position == 0 and self.presentation.index is None:
            self._index_here(entry)

    def _index_here(self, entry: Entry) -> None:
        index = self.presentation.take_index(self._read(entry, 0, entry.size_bytes))
        if index is None:
            return
        self.engine.index = index
        for link in self.exchange.links.values():
            if link.is_open and not link.is_closed:
                link.send(self._have())
        self._own(self._recover(list(index.entries)))
        self.engine.run()

    def _own(self, work: Coroutine[Any, Any, None]) -> None:
        job = Deferred.fromCoroutine(work)
        self._jobs.add(job)
        job.addErrback(self._unexpected)
        job.addBoth(lambda _: self._jobs.discard(job))

    async def _recover(self, entries: list[Entry]) -> None:
        segments = self.store.segments
        assert segments is not None
        for entry in entries:
            if entry.digest not in segments or segments.is_verified(entry.digest):
                continue
            look = partial(segments.examine, entry.digest, entry.block_size_bytes)
            try:
                examined = await self._offload(look)
            except StoreError:
                continue
            if self.alive and self.store.verified(examined):
                self.engine.found(entry)

    def stop(self) -> None:
        """As when the process is killed: nothing is said to anybody."""
        self.alive = False
        self.presentation.stop()
        self.web.sites.clear()
        if self.membership is not None:
            self._own(self.membership.stop())
        for job in list(self._jobs):
            job.cancel()
        MemoryPeer.stop(self)
