"""What a simulated peer says to its neighbours and hears from them: frames in, frames out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define

from dashp2p.content.entry import Entry
from dashp2p.lab.sim.fetches import HASH_BYTES
from dashp2p.lab.sim.incoming import TRUE, BrokenInvariantError, Incoming, size_of
from dashp2p.lab.sim.link import Link
from dashp2p.peer.limits import HASHES_LATE_S
from dashp2p.swarm import commands as do
from dashp2p.wire.blockset import from_range, resolve
from dashp2p.wire.errors import Code
from dashp2p.wire.frames import (
    Cancel,
    Data,
    Event,
    Getting,
    GoAway,
    Gone,
    Got,
    Hashes,
    Have,
    Hello,
    Reject,
    Request,
)

if TYPE_CHECKING:
    from dashp2p.lab.sim.peer import Peer


@define(eq=False)
class Neighbourhood:
    """Owner of one peer's links; it tells the node what came, and sends what the node decides."""

    peer: Peer

    @property
    def peer_id(self) -> bytes:
        """Who we are."""
        return self.peer.peer_id

    def hello(self) -> Hello:
        """Who we are."""
        return Hello(bytes(32), self.peer.public_key, 1, self.peer.node.uploads, b"")

    def have(self) -> Have:
        """What we have."""
        count = len(self.peer.film.entries) if self.peer.knows_film else 0
        return Have(count, self.peer.node.state.have if count else 0)

    def _link(self, peer_id: bytes) -> Link | None:
        link = self.peer.exchange.links.get(peer_id)
        return None if link is None or link.is_closed else link

    # --- what the node decides --------------------------------------------------------------

    def ask(self, ask: do.Ask) -> None:
        """Request blocks; of the first who is asked, the hashes too."""
        link = self._link(ask.peer_id)
        entry = ask.entry
        if link is None or not link.session.can_request:
            if link is not None:
                link.doubt()
            now = self.peer.clock.now
            self.peer.node.refused(ask.peer_id, entry, ask.blocks, int(Code.BUSY), now)
            return
        incoming = self.peer.incoming.get(entry.position)
        hashes = (
            incoming is not None
            and not incoming.proven
            and incoming.hashes_asked is None
            and incoming.hashes_fetch is None
        )
        if hashes and incoming is not None:
            incoming.hashes_asked = ask.peer_id
            incoming.hashes_asked_at = self.peer.clock.now
        link.send(
            Request(
                entry.position, ask.blocks, ask.deadline_ms, ask.spread, ask.urgent, bool(hashes)
            )
        )

    def tell(self, command: do.Tell) -> None:
        """Pass news on."""
        link = self._link(command.peer_id)
        if link is not None:
            link.send(command.frame)

    def withdraw(self, command: do.Withdraw) -> None:
        """Cancel blocks, whichever request they belong to."""
        link = self._link(command.peer_id)
        if link is None:
            return
        for outstanding in link.session.asked:
            blocks = outstanding.blocks & command.blocks
            if outstanding.segment == command.entry.position and blocks:
                link.send(Cancel(outstanding.request_id, outstanding.segment, blocks))

    def doubt(self, command: do.Doubt) -> None:
        """See whether it answers what was cancelled."""
        link = self._link(command.peer_id)
        if link is not None:
            link.doubt()

    def refuse(self, command: do.Refuse) -> None:
        """Reject blocks, as far as they are still owed."""
        link = self._link(command.peer_id)
        if link is None:
            return
        owed = link.session.owed.get(command.request_id)
        blocks = command.blocks & (0 if owed is None else owed.blocks)
        if blocks:
            link.send(Reject(command.request_id, command.segment, blocks, command.code))

    def send(self, command: do.Send) -> None:
        """Answer with blocks. Raises BrokenInvariantError for one that is not verified."""
        link = self._link(command.peer_id)
        if link is None:
            return
        entry = command.entry
        blocks = from_range(command.first, command.count)
        unproven = blocks & ~self.peer.verified(entry)
        if unproven & self.peer.node.state.blocks_here(entry.position):
            number = self.peer.number
            raise BrokenInvariantError(f"peer {number} would send blocks it has not verified")
        if unproven:  # the delivery was given up by a command of the same batch
            request, now = command.request_id, self.peer.clock.now
            self.peer.node.lost(command.peer_id, request, entry, blocks, now)
            return
        owed = link.session.owed.get(command.request_id)
        if owed is not None and owed.hashes:
            if not self._has_hashes(entry):
                request, now = command.request_id, self.peer.clock.now
                self.peer.node.lost(command.peer_id, request, entry, blocks, now)
                return
            hashes = bytes(HASH_BYTES * entry.block_count)
            link.send(Hashes(command.request_id, entry.position, hashes))
        stand_in = TRUE * command.count
        data = Data(command.request_id, entry.position, command.first, command.count, stand_in)
        link.send(data, size_of(entry, blocks))

    # --- links ------------------------------------------------------------------------------

    def link_opened(self, link: Link, have: Have) -> None:
        """A neighbour is there."""
        if self.peer.alive:
            self.peer.node.joined(link.peer_id, link.uploads, have.positions, self.peer.clock.now)
            self.peer.run()

    def link_closed(self, link: Link) -> None:
        """A neighbour is gone."""
        for incoming in self.peer.incoming.values():
            if incoming.hashes_asked == link.peer_id:
                incoming.hashes_asked = None
        self.peer.node.left(link.peer_id, self.peer.clock.now)
        self.peer.run()

    def link_ready(self, link: Link) -> None:
        """A link can take more."""
        self.peer.node.link_ready(link.peer_id, self.peer.clock.now)
        self.peer.run()

    def link_measured(self, link: Link, rtt_s: float) -> None:
        """A round trip was timed."""
        neighbour = self.peer.node.state.neighbours.get(link.peer_id)
        if neighbour is not None:
            neighbour.rtt_s = max(0.001, rtt_s)

    def link_received(self, link: Link, events: list[Event]) -> None:
        """Frames of a neighbour."""
        for event in events:
            if link.is_closed:
                break
            self._receive(link, event)
        self.peer.run()

    def _receive(self, link: Link, event: Event) -> None:
        peer_id, now = link.peer_id, self.peer.clock.now
        match event:
            case Data():
                incoming = self.peer.incoming.get(event.segment)
                if incoming is not None:
                    self.peer.arrivals.arrived(incoming, peer_id, event.first, event.data)
                else:
                    entry = self.peer.film.entries[event.segment]
                    self.peer.tally.duplicate_bytes += size_of(entry, event.blocks)
            case Request():
                self._take_request(link, event)
            case Got() | Getting() | Gone():
                self.peer.node.told(peer_id, event, now)
            case Reject():
                self._take_reject(link, event)
            case Cancel():
                self.peer.node.cancelled(peer_id, event.request_id, event.segment, event.blocks)
            case Hashes():
                incoming = self.peer.incoming.get(event.segment)
                if incoming is not None and not incoming.proven:
                    self.peer.tally.proof_bytes += len(event.hashes)
                    self.peer.arrivals.learn_hashes(incoming)
            case Have():
                self.peer.node.has(peer_id, event.positions, now)
            case GoAway():
                self.peer.node.leaving(peer_id, now)
            case _:
                pass

    def _take_request(self, link: Link, request: Request) -> None:
        if self.peer.eager_hashes and request.hashes and request.blocks:
            entry = self.peer.entry_of(request.segment)
            if entry is not None:
                self._give_hashes(link, entry)
        if request.blocks:
            self.peer.node.requested(link.peer_id, request, self.peer.clock.now)
            return
        entry = self.peer.entry_of(request.segment)
        if entry is None or not self._has_hashes(entry):
            link.send(Reject(request.request_id, request.segment, 0, int(Code.NOT_HERE)))
        else:
            hashes = bytes(HASH_BYTES * entry.block_count)
            link.send(Hashes(request.request_id, request.segment, hashes))

    def _take_reject(self, link: Link, reject: Reject) -> None:
        entry = self.peer.entry_of(reject.segment)
        if entry is None:
            return
        incoming = self.peer.incoming.get(reject.segment)
        if incoming is not None and incoming.hashes_asked == link.peer_id:
            still = any(
                asked.segment == reject.segment and asked.hashes for asked in link.session.asked
            )
            if not still and not incoming.proven:
                incoming.hashes_asked = None
        blocks = resolve(reject.blocks, entry.block_count)
        self.peer.node.refused(link.peer_id, entry, blocks, reject.code, self.peer.clock.now)

    # --- hashes -----------------------------------------------------------------------------

    def give_hashes_to_all(self, entry: Entry) -> None:
        """Whoever asked for them before they were here gets them now."""
        for link in list(self.peer.exchange.links.values()):
            self._give_hashes(link, entry)

    def _give_hashes(self, link: Link, entry: Entry) -> None:
        if not self._has_hashes(entry) or link.is_closed:
            return
        for owed in link.session.owed:
            if owed.segment == entry.position and owed.hashes:
                hashes = bytes(HASH_BYTES * entry.block_count)
                link.send(Hashes(owed.request_id, entry.position, hashes))

    def seek_hashes(self) -> None:
        """Look for blocks that wait in vain for hashes."""
        for incoming in self.peer.incoming.values():
            self._seek_hashes(incoming)

    def _seek_hashes(self, incoming: Incoming) -> None:
        """Blocks wait for hashes that nobody was asked for, or that do not come."""
        if incoming.proven or not incoming.waiting or incoming.hashes_fetch is not None:
            return
        now = self.peer.clock.now
        if incoming.hashes_asked is not None and now - incoming.hashes_asked_at < HASHES_LATE_S:
            return
        for source in dict.fromkeys(source for source, _, _ in incoming.waiting):
            if source is None or source == incoming.hashes_asked:
                continue
            link = self._link(source)
            if link is not None and link.session.can_request:
                incoming.hashes_asked = source
                incoming.hashes_asked_at = now
                link.send(Request(incoming.entry.position, 0, hashes=True))
                return

    def _has_hashes(self, entry: Entry) -> bool:
        incoming = self.peer.incoming.get(entry.position)
        return self.peer.is_here(entry) or (incoming is not None and incoming.proven)
