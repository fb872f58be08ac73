"""What a simulated peer fetches from the origin: blocks, and the hashes that prove them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define

from dashp2p.lab.sim.incoming import TRUE, Incoming, size_of
from dashp2p.lab.sim.origin import Fetch
from dashp2p.swarm import commands as do
from dashp2p.wire.blockset import from_range, iter_blocks

if TYPE_CHECKING:
    from dashp2p.lab.sim.peer import Peer

HASH_BYTES = 32
RATE_SAMPLE_BYTES = 64 * 1024
ORIGIN = None
"""The source of blocks that came from the origin."""


@define(eq=False)
class Fetches:
    """All fetches of one peer."""

    peer: Peer

    def begin(self, command: do.FetchOrigin) -> None:
        """Fetch blocks, and the hashes to check them by if they are not known."""
        incoming = self.peer.incoming.get(command.entry.position)
        if incoming is None:
            return
        entry, blocks = command.entry, from_range(command.first, command.count)
        size = size_of(entry, blocks)
        if self.peer.on_fetch is not None:
            self.peer.on_fetch(self.peer, entry, blocks, command.why)
        began_at = self.peer.clock.now
        last = command.first + command.count - 1

        def took(block: int) -> None:
            if block == last:  # there is nothing left to break off
                incoming.fetches = [one for one in incoming.fetches if one is not fetch]
            if self.peer.alive:
                self.peer.arrivals.arrived(incoming, ORIGIN, block, TRUE)

        def ended(failed: bool) -> None:
            if not self.peer.alive:
                return
            now = self.peer.clock.now
            if not failed:
                self._measure(size, now - began_at)
            elif self.peer.incoming.get(entry.position) is not incoming:
                return
            self.peer.node.origin_reachable(not failed, now)
            if not failed and entry.position == 0:
                self.peer.arrivals.learn_hashes(incoming)
            if not failed and not incoming.proven and incoming.hashes_fetch is not None:
                incoming.unproven_fetches.append(blocks)
            else:
                self.peer.node.origin_ended(entry, blocks, failed, now)
            self.peer.run()

        pieces = [(block, entry.block_length(block)) for block in iter_blocks(blocks)]
        fetch = Fetch(entry.path, pieces, took, ended)
        incoming.fetches.append(fetch)
        self.peer.http.fetch(fetch)
        if not incoming.proven and incoming.hashes_fetch is None and entry.position:
            self._begin_hashes(incoming)

    def _measure(self, size_bytes: int, took_s: float) -> None:
        if size_bytes > RATE_SAMPLE_BYTES:
            state = self.peer.node.state
            sample = size_bytes * 8 / max(0.001, took_s)
            state.origin_rate_bps += 0.5 * (sample - state.origin_rate_bps)

    def _begin_hashes(self, incoming: Incoming) -> None:
        size = HASH_BYTES * incoming.entry.block_count

        def took(key: int) -> None:
            if self.peer.alive:
                self.peer.tally.proof_bytes += size
                self.peer.arrivals.learn_hashes(incoming)

        def ended(failed: bool) -> None:
            if failed:
                incoming.hashes_fetch = None
            if self.peer.alive:
                now, entry = self.peer.clock.now, incoming.entry
                waited, incoming.unproven_fetches = incoming.unproven_fetches, []
                for blocks in waited:
                    self.peer.node.origin_ended(entry, blocks, failed, now)
                self.peer.run()

        incoming.hashes_fetch = Fetch("index.blocks", [(0, size)], took, ended)
        self.peer.http.fetch(incoming.hashes_fetch)

    def cancel(self, incoming: Incoming) -> None:
        """Break off whatever is being fetched of it."""
        fetches, incoming.fetches = incoming.fetches, []
        for fetch in fetches:
            self.peer.http.cancel(fetch)
        if incoming.hashes_fetch is not None:
            self.peer.http.cancel(incoming.hashes_fetch)
