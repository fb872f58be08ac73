"""What happens to blocks that a simulated peer was sent: proven, kept, handed on, booked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define

from dashp2p.content.entry import Kind
from dashp2p.lab.sim.incoming import TRUE, Incoming, size_of
from dashp2p.wire.blockset import from_range

if TYPE_CHECKING:
    from dashp2p.lab.sim.peer import Peer


@define(eq=False)
class Arrivals:
    """All blocks that come to one peer, from whomever."""

    peer: Peer

    def learn_hashes(self, incoming: Incoming) -> None:
        """Hashes of a segment are here: what came can be proven."""
        if incoming.proven:
            return
        incoming.proven = True
        if self.peer.eager_hashes:
            self.peer.neighbourhood.give_hashes_to_all(incoming.entry)
        waiting, incoming.waiting = incoming.waiting, []
        self._accept(incoming, waiting)

    def arrived(
        self, incoming: Incoming, source: bytes | None, first: int, stand_ins: bytes
    ) -> None:
        """Blocks came, from a neighbour or the origin (None)."""
        if incoming.proven:
            self._accept(incoming, [(source, first, stand_ins)])
        else:
            incoming.waiting.append((source, first, stand_ins))
        self.peer.run()

    def _accept(self, incoming: Incoming, pieces: list[tuple[bytes | None, int, bytes]]) -> None:
        entry = incoming.entry
        by_source: dict[bytes | None, int] = {}
        for source, first, stand_ins in pieces:
            blocks = from_range(first, len(stand_ins))
            if stand_ins.count(TRUE) != len(stand_ins):
                self.peer.tally.false_blocks += 1
                if source is not None:
                    self.peer.exchange.ban(source)
                continue
            fresh = size_of(entry, blocks & ~incoming.verified)
            if source is None:
                self.peer.tally.origin_bytes += fresh
            else:
                self.peer.tally.peers_bytes += fresh
            incoming.verified |= blocks
            by_source[source] = by_source.get(source, 0) | blocks
        whole = incoming.verified == incoming.full
        if whole:
            self._finish(incoming)
        for source, blocks in by_source.items():
            self.peer.node.blocks_arrived(source, entry, blocks, self.peer.clock.now)
        if whole and by_source:
            self._book(incoming)
            listeners, incoming.listeners = incoming.listeners, []
            self.peer.completed(entry)
            for watcher in self.peer.watchers:
                watcher(entry, incoming.delivery)
            for listener in listeners:
                listener(True)

    def _finish(self, incoming: Incoming) -> None:
        entry = incoming.entry
        self.peer.incoming.pop(entry.position, None)
        self.peer.fetches.cancel(incoming)
        self.peer.store |= 1 << entry.position
        if not incoming.listeners and entry.kind is Kind.MEDIA:
            tally = self.peer.tally
            unasked = tally.spares if incoming.delivery.spare else tally.unplayed
            unasked[entry.position] = entry.size_bytes

    def _book(self, incoming: Incoming) -> None:
        account = incoming.delivery.account
        self.peer.tally.deliveries += 1
        self.peer.tally.hedges += account.hedges
        self.peer.tally.rescues += account.rescues
        self.peer.tally.duplicate_bytes += account.duplicate_bytes
