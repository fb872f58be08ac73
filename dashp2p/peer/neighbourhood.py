"""What passes between a peer and its neighbours: the node's commands out, their frames in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.logger import Logger

from dashp2p.content.blocks import digest_of, hash_blocks
from dashp2p.content.entry import Entry
from dashp2p.peer.limits import HASHES_LATE_S
from dashp2p.peer.link import Link
from dashp2p.store.errors import StoreError
from dashp2p.swarm import commands as do
from dashp2p.wire.blockset import EMPTY, from_range, resolve
from dashp2p.wire.errors import Code, LocalProtocolError
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
    Reject,
    Request,
)

if TYPE_CHECKING:
    from dashp2p.peer.engine import Engine

log = Logger()


class Neighbourhood:
    """The engine's side towards the links. Every block that comes goes to the engine's proof."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    # --- what neighbours are sent -----------------------------------------------------------

    def tell(self, command: do.Tell) -> None:
        """Send news."""
        link = self._engine.exchange.links.get(command.peer_id)
        if link is not None and not link.is_closed:
            link.send(command.frame)

    def ask(self, ask: do.Ask) -> None:
        """Request blocks."""
        link = self._engine.exchange.links.get(ask.peer_id)
        entry = ask.entry
        if link is None or link.is_closed or not link.session.can_request:
            if link is not None:
                link.doubt()  # perhaps it is full of what was never answered
            self._engine.node.refused(
                ask.peer_id, entry, ask.blocks, int(Code.BUSY), self._engine.now
            )
            return
        incoming = self._engine.incoming.get(entry.position)
        hashes = (
            incoming is not None
            and incoming.proof.needs_hashes
            and incoming.hashes_asked is None
            and incoming.hashes_fetch is None
        )
        if hashes and incoming is not None:
            incoming.hashes_asked = ask.peer_id
            incoming.hashes_asked_at = self._engine.now
        link.send(
            Request(
                segment=entry.position,
                blocks=ask.blocks,
                deadline_ms=ask.deadline_ms,
                spread=ask.spread,
                urgent=ask.urgent,
                hashes=hashes,
            )
        )

    def look_for_hashes(self) -> None:
        """Blocks wait for hashes that were asked of another: ask who sent the blocks."""
        for incoming in self._engine.incoming.values():
            if not incoming.proof.needs_hashes or incoming.hashes_fetch is not None:
                continue
            waited_s = self._engine.now - incoming.hashes_asked_at
            if incoming.hashes_asked is not None and waited_s < HASHES_LATE_S:
                continue
            for source in incoming.proof.waiting_sources() - {incoming.hashes_asked}:
                link = self._engine.exchange.links.get(source)
                if link is not None and not link.is_closed and link.session.can_request:
                    incoming.hashes_asked = source
                    incoming.hashes_asked_at = self._engine.now
                    link.send(Request(incoming.entry.position, EMPTY, hashes=True))
                    break

    def withdraw(self, command: do.Withdraw) -> None:
        """Cancel blocks, whichever requests they belong to."""
        link = self._engine.exchange.links.get(command.peer_id)
        if link is None or link.is_closed:
            return
        for outstanding in link.session.asked:
            blocks = outstanding.blocks & command.blocks
            if outstanding.segment == command.entry.position and blocks:
                link.send(Cancel(outstanding.request_id, outstanding.segment, blocks))

    def doubt(self, command: do.Doubt) -> None:
        """See whether it answers what was cancelled."""
        link = self._engine.exchange.links.get(command.peer_id)
        if link is not None:
            link.doubt()

    def refuse(self, command: do.Refuse) -> None:
        """Answer blocks of a request with REJECT."""
        link = self._engine.exchange.links.get(command.peer_id)
        if link is None or link.is_closed:
            return
        owed = link.session.owed.get(command.request_id)
        blocks = 0 if owed is None else owed.blocks & command.blocks
        if blocks:
            link.send(Reject(command.request_id, command.segment, blocks, command.code))

    def send(self, command: do.Send) -> None:
        """Answer blocks of a request with DATA."""
        link = self._engine.exchange.links.get(command.peer_id)
        if link is None or link.is_closed:
            return
        entry = command.entry
        size = entry.run_length(command.first, command.count)
        try:
            data = self._engine.read(entry, entry.block_offset(command.first), size)
            self._send_hashes(link, command.request_id, entry)
            link.send(Data(command.request_id, entry.position, command.first, command.count, data))
        except StoreError:
            log.info("{path} is not here any more", path=entry.path)
            blocks = from_range(command.first, command.count)
            self._engine.node.lost(
                command.peer_id, command.request_id, entry, blocks, self._engine.now
            )
        except LocalProtocolError as error:
            log.error("a frame could not be sent: {why}", why=str(error))
            self._engine.node.link_ready(command.peer_id, self._engine.now)

    def _send_hashes(self, link: Link, request_id: int, entry: Entry) -> None:
        owed = link.session.owed.get(request_id)
        if owed is None or not owed.hashes:
            return
        hashes = self._hashes_of(entry)
        if hashes is None:
            raise StoreError("the hashes are not here")
        link.send(Hashes(request_id, entry.position, hashes))

    def _hashes_of(self, entry: Entry) -> bytes | None:
        incoming = self._engine.incoming.get(entry.position)
        if incoming is not None and incoming.proof.hashes is not None:
            return incoming.proof.hashes.hashes
        hashes = self._engine.store.hashes(entry.digest)
        if hashes is None and self._engine.is_here(entry):
            try:
                data = self._engine.read(entry, 0, entry.size_bytes)
            except StoreError as error:
                log.info("{path} is not here after all: {why}", path=entry.path, why=str(error))
                return None
            hashes = hash_blocks(data, entry.block_size_bytes)
            if digest_of(hashes) != entry.digest:
                return None
            self._engine.store.learn_hashes(entry.digest, hashes)
        return hashes

    # --- what neighbours send ----------------------------------------------------------------

    def link_opened(self, link: Link, have: Have) -> None:
        """A neighbour is there."""
        uploads = link.hello.uploads if link.hello is not None else True
        self._engine.node.joined(link.peer_id, uploads, have.positions, self._engine.now)
        self._engine.run()

    def link_closed(self, link: Link) -> None:
        """A neighbour is gone."""
        self._engine.closed_control_bytes += link.session.control_bytes_received
        for incoming in self._engine.incoming.values():
            if incoming.hashes_asked == link.peer_id:
                incoming.hashes_asked = None
        self._engine.node.left(link.peer_id, self._engine.now)
        self._engine.run()

    def link_ready(self, link: Link) -> None:
        """A link can take more."""
        self._engine.node.link_ready(link.peer_id, self._engine.now)
        self._engine.run_soon()

    def link_measured(self, link: Link, rtt_s: float) -> None:
        """A round trip was timed."""
        neighbour = self._engine.node.state.neighbours.get(link.peer_id)
        if neighbour is not None:
            neighbour.rtt_s = max(0.001, rtt_s)

    def link_received(self, link: Link, events: list[Event]) -> None:
        """Frames of a neighbour."""
        for event in events:
            if link.is_closed:
                break
            self._receive(link, event)
        self._engine.run_soon()

    def _receive(self, link: Link, event: Event) -> None:
        peer_id, now = link.peer_id, self._engine.now
        match event:
            case Data():
                self._take_data(link, event)
            case Request():
                self._take_request(link, event)
            case Got() | Getting() | Gone():
                self._engine.node.told(peer_id, event, now)
            case Reject():
                self._take_reject(peer_id, event)
            case Cancel():
                self._engine.node.cancelled(peer_id, event.request_id, event.segment, event.blocks)
            case Hashes():
                self._take_hashes(link, event)
            case Have():
                self._engine.node.has(peer_id, event.positions, now)
            case GoAway():
                self._engine.node.leaving(peer_id, now)
            case _:
                log.debug("nothing to do about {event}", event=type(event).__name__)

    def _take_data(self, link: Link, data: Data) -> None:
        incoming = self._engine.incoming.get(data.segment)
        if incoming is None:
            self._engine.records.duplicate_bytes += len(data.data)
            return
        try:
            self._engine.arrived(incoming, link.peer_id, data.first, data.data)
        except ValueError:
            log.warn("{peer} sent a block of a wrong size", peer=link.name)
            link.close(Code.BAD_REQUEST, "a block of a wrong size")

    def _take_request(self, link: Link, request: Request) -> None:
        if request.blocks:
            self._engine.node.requested(link.peer_id, request, self._engine.now)
            return
        entry = self._engine.entry_of(request.segment)
        hashes = None if entry is None else self._hashes_of(entry)
        if hashes is None:
            link.send(Reject(request.request_id, request.segment, 0, int(Code.NOT_HERE)))
        else:
            link.send(Hashes(request.request_id, request.segment, hashes))

    def _take_reject(self, peer_id: bytes, reject: Reject) -> None:
        entry = self._engine.entry_of(reject.segment)
        if entry is None:
            return
        incoming = self._engine.incoming.get(reject.segment)
        if incoming is not None and incoming.hashes_asked == peer_id:
            link = self._engine.exchange.links.get(peer_id)
            still = link is not None and any(
                owed.segment == reject.segment and owed.hashes for owed in link.session.asked
            )
            if not still and incoming.proof.needs_hashes:
                incoming.hashes_asked = None
        blocks = resolve(reject.blocks, entry.block_count)
        self._engine.node.refused(peer_id, entry, blocks, reject.code, self._engine.now)

    def _take_hashes(self, link: Link, event: Hashes) -> None:
        incoming = self._engine.incoming.get(event.segment)
        if incoming is None or not incoming.proof.needs_hashes:
            return
        self._engine.records.proof_bytes += len(event.hashes)
        if not self._engine.learn_hashes(incoming, event.hashes):
            log.warn("{peer} sent false hashes; banned", peer=link.name)
            incoming.hashes_asked = None
            self._engine.exchange.ban(link.peer_id)
