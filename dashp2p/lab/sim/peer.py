"""One simulated peer: drives the shipped node as the daemon's engine does.

What differs from the daemon: files have no bytes, so a block is true or false by its stand-in, and
"verified" is a bitmask; there is no disk; the player is in the same process.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from hashlib import sha256

from attrs import define, field

from dashp2p.content.entry import Entry, Kind
from dashp2p.lab.sim.clock import Clock, Timer
from dashp2p.lab.sim.exchange import Exchange, Listeners
from dashp2p.lab.sim.film import Film
from dashp2p.lab.sim.flow import Path
from dashp2p.lab.sim.link import Link
from dashp2p.lab.sim.origin import Fetch, HttpClient, Origin
from dashp2p.lab.sim.pipes import Host, Wiring
from dashp2p.lab.sim.tracker import Leased
from dashp2p.swarm import commands as do
from dashp2p.swarm.delivery import Delivery
from dashp2p.swarm.node import Node
from dashp2p.swarm.policy import Policy
from dashp2p.wire.blockset import from_range, iter_blocks, resolve
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

HASH_BYTES = 32
HASHES_LATE_S = 0.25
WAKE_S = 0.0002
"""No reactor wakes sooner; with no time passing, waiting for a rounding error would never end."""
TRUE, FALSE = b"\1", b"\0"
RATE_SAMPLE_BYTES = 64 * 1024
ORIGIN = None
"""The source of blocks that came from the origin."""


class BrokenInvariantError(AssertionError):
    """The code under simulation did what it must never do."""


@define(eq=False)
class Incoming:
    """A delivery's stand-ins, and who waits for them."""

    entry: Entry
    delivery: Delivery
    verified: int = 0
    proven: bool = False
    """The block hashes are here."""
    waiting: list[tuple[bytes | None, int, bytes]] = field(factory=list)
    """Blocks that came before the hashes: source, first block, stand-ins."""
    listeners: list[Callable[[bool], None]] = field(factory=list)
    fetches: list[Fetch] = field(factory=list)
    hashes_asked: bytes | None = None
    hashes_asked_at: float = 0.0
    hashes_fetch: Fetch | None = None
    unproven_fetches: list[int] = field(factory=list)
    """Blocks of fetches that are over but for their hashes."""

    @property
    def full(self) -> int:
        """All blocks."""
        return (1 << self.entry.block_count) - 1


@define(eq=False)
class Tally:
    """What one peer counted. Bytes of verified blocks by source, and what was for nothing."""

    peers_bytes: int = 0
    origin_bytes: int = 0
    proof_bytes: int = 0
    duplicate_bytes: int = 0
    false_blocks: int = 0
    deliveries: int = 0
    hedges: int = 0
    rescues: int = 0
    unplayed: dict[int, int] = field(factory=dict)
    """Segments that came without anybody waiting, by position: their size."""


@define(eq=False)
class Peer:
    """See the module. `lease` makes a lease call and answers later, None for no answer."""

    number: int
    film: Film
    path: Path
    host: Host
    wiring: Wiring
    listeners: Listeners
    origin: Origin
    policy: Policy
    rng: random.Random
    lease: Callable[[do.CallTracker, Callable[[Leased | None], None]], None]
    upload_limit_bps: float | None = None
    eager_hashes: bool = False
    """Answer with hashes as soon as they are asked for and known, not with the first block."""
    lies: bool = False
    """It sends false blocks."""
    public_key: bytes = field(init=False)
    peer_id: bytes = field(init=False)
    node: Node = field(init=False)
    exchange: Exchange = field(init=False)
    http: HttpClient = field(init=False)
    tally: Tally = field(factory=Tally)
    knows_film: bool = False
    gone: bool = False
    store: int = 0
    """Bit p for each whole, verified segment."""
    incoming: dict[int, Incoming] = field(factory=dict)
    completed: Callable[[Entry], None] = field(default=lambda entry: None)
    on_fetch: Callable[[Peer, Entry, int, str], None] | None = None
    """Called before these blocks are fetched from the origin for that reason."""
    after_step: Callable[[Peer], None] | None = None
    """Called when it has done all that follows from an event."""
    _running: bool = False
    _wake: Timer | None = None

    def __attrs_post_init__(self) -> None:
        self.public_key = sha256(f"key {self.number}".encode()).digest()
        self.peer_id = sha256(self.public_key).digest()
        self.node = Node(self.peer_id, self.entry_of, self.policy, self.rng, self.upload_limit_bps)
        self.exchange = Exchange(self, self.path, self.wiring, self.host, self.listeners)
        self.http = HttpClient(self.path, self.wiring, self.host, self.origin)

    # --- time -------------------------------------------------------------------------------

    @property
    def clock(self) -> Clock:
        """Everybody's clock."""
        return self.path.clock

    @property
    def alive(self) -> bool:
        """Whether its program runs."""
        return not self.gone and self.host.running

    def run(self) -> None:
        """Carry out what the node has decided, until it has no more to say."""
        if self._running or not self.alive:
            return
        self._running = True
        try:
            while batch := self.node.take_commands(self.clock.now):
                for command in batch:
                    self._carry_out(command)
        finally:
            self._running = False
        self._schedule()
        self.exchange.flush()
        if self.after_step is not None:
            self.after_step(self)

    def _schedule(self) -> None:
        now = self.clock.now
        at = self.node.next_wake(now)
        if at is None:
            return
        at = max(at, now + WAKE_S)
        if self._wake is not None and self._wake.active:
            if self._wake.at <= at + 0.001:
                return
            self._wake.cancel()
        self._wake = self.clock.call_at(at, self._tick)

    def _tick(self) -> None:
        if self.alive:
            self.node.tick(self.clock.now)
            if self.eager_hashes:
                for incoming in self.incoming.values():
                    self._seek_hashes(incoming)
            self.run()

    def vanish(self) -> None:
        """Its program is no more."""
        self.gone = True
        self.listeners.by_peer.pop(self.peer_id, None)
        if self._wake is not None:
            self._wake.cancel()

    # --- what there is ----------------------------------------------------------------------

    def entry_of(self, position: int) -> Entry | None:
        """The file at an index position, as far as the index is known."""
        if not self.knows_film:
            return self.film.index if position == 0 else None
        return self.film.entries[position] if position < len(self.film.entries) else None

    def is_here(self, entry: Entry) -> bool:
        """Whether the whole, verified file is here."""
        return bool(self.store >> entry.position & 1)

    def learn_film(self) -> None:
        """The index is here: tell neighbours what else is."""
        self.knows_film = True
        for link in self.exchange.links.values():
            if link.is_open and not link.is_closed:
                link.send(self.have())
        self.run()

    def hello(self) -> Hello:
        """Who we are."""
        return Hello(bytes(32), self.public_key, 1, self.node.uploads, b"")

    def have(self) -> Have:
        """What we have."""
        count = len(self.film.entries) if self.knows_film else 0
        return Have(count, self.node.state.have if count else 0)

    # --- wanting ----------------------------------------------------------------------------

    def want(
        self, entry: Entry, deadline_s: float, listener: Callable[[bool], None] | None = None
    ) -> bool:
        """Deliver a file by a time; `listener` is told whether it came. True: it is here."""
        if self.is_here(entry):
            return True
        now = self.clock.now
        incoming = self.incoming.get(entry.position)
        delivery = self.node.want(entry, deadline_s, now, listener is not None)
        if incoming is None:
            incoming = Incoming(entry, delivery, proven=entry.block_count == 1)
            self.incoming[entry.position] = incoming
        if listener is not None:
            incoming.listeners.append(listener)
        self.run()
        return False

    def unwant(self, entry: Entry, listener: Callable[[bool], None]) -> None:
        """He who waited with this listener does not any more."""
        incoming = self.incoming.get(entry.position)
        if incoming is None or listener not in incoming.listeners:
            return
        incoming.listeners.remove(listener)
        self.node.unwant(entry, self.clock.now)
        if entry.position not in self.node.state.deliveries:
            self._discard(incoming)
        self.run()

    def _discard(self, incoming: Incoming) -> None:
        self.incoming.pop(incoming.entry.position, None)
        self._cancel_fetches(incoming)

    def _fail(self, incoming: Incoming) -> None:
        self.node.stop_delivery(incoming.entry, self.clock.now)
        self._discard(incoming)
        listeners, incoming.listeners = incoming.listeners, []
        for listener in listeners:
            listener(False)

    # --- carrying out -----------------------------------------------------------------------

    def _carry_out(self, command: do.Command) -> None:
        match command:
            case do.Ask():
                self._ask(command)
            case do.Send():
                self._send(command)
            case do.Tell():
                link = self._link(command.peer_id)
                if link is not None:
                    link.send(command.frame)
            case do.Refuse():
                self._refuse(
                    command.peer_id,
                    command.request_id,
                    command.segment,
                    command.blocks,
                    command.code,
                )
            case do.Withdraw():
                self._withdraw(command)
            case do.FetchOrigin():
                self._fetch(command)
            case do.CallTracker():
                self._call_tracker(command)
            case do.StopOrigin():
                incoming = self.incoming.get(command.entry.position)
                if incoming is not None:
                    self._cancel_fetches(incoming)
            case do.Drop():
                link = self.exchange.links.get(command.peer_id)
                if link is not None:
                    link.abort()
            case do.Abandoned():
                incoming = self.incoming.get(command.entry.position)
                if incoming is not None:
                    self._fail(incoming)

    def _link(self, peer_id: bytes) -> Link | None:
        link = self.exchange.links.get(peer_id)
        return None if link is None or link.is_closed else link

    def _ask(self, ask: do.Ask) -> None:
        link = self._link(ask.peer_id)
        entry = ask.entry
        if link is None or not link.session.can_request:
            self.node.refused(ask.peer_id, entry, ask.blocks, int(Code.BUSY), self.clock.now)
            return
        incoming = self.incoming.get(entry.position)
        hashes = (
            incoming is not None
            and not incoming.proven
            and incoming.hashes_asked is None
            and incoming.hashes_fetch is None
        )
        if hashes and incoming is not None:
            incoming.hashes_asked = ask.peer_id
            incoming.hashes_asked_at = self.clock.now
        link.send(
            Request(
                entry.position, ask.blocks, ask.deadline_ms, ask.spread, ask.urgent, bool(hashes)
            )
        )

    def _withdraw(self, command: do.Withdraw) -> None:
        link = self._link(command.peer_id)
        if link is None:
            return
        for outstanding in link.session.asked:
            blocks = outstanding.blocks & command.blocks
            if outstanding.segment == command.entry.position and blocks:
                link.send(Cancel(outstanding.request_id, outstanding.segment, blocks))

    def _refuse(
        self, peer_id: bytes, request_id: int, segment: int, blocks: int, code: int
    ) -> None:
        link = self._link(peer_id)
        if link is None:
            return
        owed = link.session.owed.get(request_id)
        blocks &= 0 if owed is None else owed.blocks
        if blocks:
            link.send(Reject(request_id, segment, blocks, code))

    def _send(self, command: do.Send) -> None:
        link = self._link(command.peer_id)
        if link is None:
            return
        entry = command.entry
        blocks = from_range(command.first, command.count)
        if blocks & ~self._verified(entry):
            raise BrokenInvariantError(f"peer {self.number} would send blocks it has not verified")
        owed = link.session.owed.get(command.request_id)
        if owed is not None and owed.hashes:
            if not self._has_hashes(entry):
                self._refuse(
                    command.peer_id, command.request_id, entry.position, blocks, int(Code.NOT_HERE)
                )
                self.node.link_ready(command.peer_id, self.clock.now)
                return
            hashes = bytes(HASH_BYTES * entry.block_count)
            link.send(Hashes(command.request_id, entry.position, hashes))
        stand_in = (FALSE if self.lies else TRUE) * command.count
        data = Data(command.request_id, entry.position, command.first, command.count, stand_in)
        link.send(data, size_of(entry, blocks))

    def _verified(self, entry: Entry) -> int:
        if self.is_here(entry):
            return (1 << entry.block_count) - 1
        incoming = self.incoming.get(entry.position)
        return 0 if incoming is None else incoming.verified

    def has_or_fetches(self, entry: Entry) -> int:
        """The blocks that are here or on their way from the origin."""
        incoming = self.incoming.get(entry.position)
        fetched = 0 if incoming is None else incoming.delivery.origin
        return self._verified(entry) | fetched

    def _has_hashes(self, entry: Entry) -> bool:
        incoming = self.incoming.get(entry.position)
        return self.is_here(entry) or (incoming is not None and incoming.proven)

    def _call_tracker(self, call: do.CallTracker) -> None:
        segments = [want.entry.position for want in call.wants]

        def answered(leased: Leased | None) -> None:
            if not self.alive:
                return
            if leased is None:
                self.node.lease_unanswered(segments, self.clock.now)
            else:
                self.exchange.dial(leased.named)
                self.node.lease_answered(leased.grants, self.clock.now)
            self.run()

        self.lease(call, answered)

    # --- the origin -------------------------------------------------------------------------

    def _fetch(self, command: do.FetchOrigin) -> None:
        incoming = self.incoming.get(command.entry.position)
        if incoming is None:
            return
        entry, blocks = command.entry, from_range(command.first, command.count)
        size = size_of(entry, blocks)
        if self.on_fetch is not None:
            self.on_fetch(self, entry, blocks, command.why)
        began_at = self.clock.now
        last = command.first + command.count - 1

        def took(block: int) -> None:
            if block == last:  # there is nothing left to break off
                incoming.fetches = [one for one in incoming.fetches if one is not fetch]
            if self.alive:
                self._arrived(incoming, ORIGIN, block, TRUE)

        def ended(failed: bool) -> None:
            if not self.alive:
                return
            now = self.clock.now
            if not failed:
                self._measure(size, now - began_at)
            elif self.incoming.get(entry.position) is not incoming:
                return
            self.node.origin_reachable(not failed, now)
            if not failed and entry.position == 0:
                self._learn_hashes(incoming)
            if not failed and not incoming.proven and incoming.hashes_fetch is not None:
                incoming.unproven_fetches.append(blocks)
            else:
                self.node.origin_ended(entry, blocks, failed, now)
            self.run()

        pieces = [(block, entry.block_length(block)) for block in iter_blocks(blocks)]
        fetch = Fetch(entry.path, pieces, took, ended)
        incoming.fetches.append(fetch)
        self.http.fetch(fetch)
        if not incoming.proven and incoming.hashes_fetch is None and entry.position:
            self._fetch_hashes(incoming)

    def _measure(self, size_bytes: int, took_s: float) -> None:
        if size_bytes > RATE_SAMPLE_BYTES:
            state = self.node.state
            sample = size_bytes * 8 / max(0.001, took_s)
            state.origin_rate_bps += 0.5 * (sample - state.origin_rate_bps)

    def _fetch_hashes(self, incoming: Incoming) -> None:
        size = HASH_BYTES * incoming.entry.block_count

        def took(key: int) -> None:
            if self.alive:
                self.tally.proof_bytes += size
                self._learn_hashes(incoming)

        def ended(failed: bool) -> None:
            if failed:
                incoming.hashes_fetch = None
            if self.alive:
                waited, incoming.unproven_fetches = incoming.unproven_fetches, []
                for blocks in waited:
                    self.node.origin_ended(incoming.entry, blocks, failed, self.clock.now)
                self.run()

        incoming.hashes_fetch = Fetch("index.blocks", [(0, size)], took, ended)
        self.http.fetch(incoming.hashes_fetch)

    def _cancel_fetches(self, incoming: Incoming) -> None:
        fetches, incoming.fetches = incoming.fetches, []
        for fetch in fetches:
            self.http.cancel(fetch)
        if incoming.hashes_fetch is not None:
            self.http.cancel(incoming.hashes_fetch)

    # --- what arrives -----------------------------------------------------------------------

    def _learn_hashes(self, incoming: Incoming) -> None:
        if incoming.proven:
            return
        incoming.proven = True
        if self.eager_hashes:
            for link in list(self.exchange.links.values()):
                self._give_hashes(link, incoming.entry)
        waiting, incoming.waiting = incoming.waiting, []
        self._accept(incoming, waiting)

    def _arrived(
        self, incoming: Incoming, source: bytes | None, first: int, stand_ins: bytes
    ) -> None:
        if incoming.proven:
            self._accept(incoming, [(source, first, stand_ins)])
        else:
            incoming.waiting.append((source, first, stand_ins))
        self.run()

    def _accept(self, incoming: Incoming, pieces: list[tuple[bytes | None, int, bytes]]) -> None:
        entry = incoming.entry
        by_source: dict[bytes | None, int] = {}
        for source, first, stand_ins in pieces:
            blocks = from_range(first, len(stand_ins))
            if stand_ins.count(TRUE) != len(stand_ins):
                self.tally.false_blocks += 1
                if source is not None:
                    self.exchange.ban(source)
                continue
            fresh = size_of(entry, blocks & ~incoming.verified)
            if source is None:
                self.tally.origin_bytes += fresh
            else:
                self.tally.peers_bytes += fresh
            incoming.verified |= blocks
            by_source[source] = by_source.get(source, 0) | blocks
        whole = incoming.verified == incoming.full
        if whole:
            self._finish(incoming)
        for source, blocks in by_source.items():
            self.node.blocks_arrived(source, entry, blocks, self.clock.now)
        if whole and by_source:
            self._book(incoming)
            listeners, incoming.listeners = incoming.listeners, []
            self.completed(entry)
            for listener in listeners:
                listener(True)

    def _finish(self, incoming: Incoming) -> None:
        entry = incoming.entry
        self.incoming.pop(entry.position, None)
        self._cancel_fetches(incoming)
        self.store |= 1 << entry.position
        if not incoming.listeners and entry.kind is Kind.MEDIA:
            self.tally.unplayed[entry.position] = entry.size_bytes

    def _book(self, incoming: Incoming) -> None:
        account = incoming.delivery.account
        self.tally.deliveries += 1
        self.tally.hedges += account.hedges
        self.tally.rescues += account.rescues
        self.tally.duplicate_bytes += account.duplicate_bytes

    # --- links ------------------------------------------------------------------------------

    def link_opened(self, link: Link, have: Have) -> None:
        """A neighbour is there."""
        if self.alive:
            self.node.joined(link.peer_id, link.uploads, have.positions, self.clock.now)
            self.run()

    def link_closed(self, link: Link) -> None:
        """A neighbour is gone."""
        for incoming in self.incoming.values():
            if incoming.hashes_asked == link.peer_id:
                incoming.hashes_asked = None
        self.node.left(link.peer_id, self.clock.now)
        self.run()

    def link_ready(self, link: Link) -> None:
        """A link can take more."""
        self.node.link_ready(link.peer_id, self.clock.now)
        self.run()

    def link_measured(self, link: Link, rtt_s: float) -> None:
        """A round trip was timed."""
        neighbour = self.node.state.neighbours.get(link.peer_id)
        if neighbour is not None:
            neighbour.rtt_s = max(0.001, rtt_s)

    def link_received(self, link: Link, events: list[Event]) -> None:
        """Frames of a neighbour."""
        for event in events:
            if link.is_closed:
                break
            self._receive(link, event)
        self.run()

    def _receive(self, link: Link, event: Event) -> None:
        peer_id, now = link.peer_id, self.clock.now
        match event:
            case Data():
                incoming = self.incoming.get(event.segment)
                if incoming is not None:
                    self._arrived(incoming, peer_id, event.first, event.data)
                else:
                    entry = self.film.entries[event.segment]
                    self.tally.duplicate_bytes += size_of(entry, event.blocks)
            case Request():
                self._take_request(link, event)
            case Got() | Getting() | Gone():
                self.node.told(peer_id, event, now)
            case Reject():
                self._take_reject(link, event)
            case Cancel():
                self.node.cancelled(peer_id, event.request_id, event.segment, event.blocks)
            case Hashes():
                incoming = self.incoming.get(event.segment)
                if incoming is not None and not incoming.proven:
                    self.tally.proof_bytes += len(event.hashes)
                    self._learn_hashes(incoming)
            case Have():
                self.node.has(peer_id, event.positions, now)
            case GoAway():
                self.node.leaving(peer_id, now)
            case _:
                pass

    def _give_hashes(self, link: Link, entry: Entry) -> None:
        if not self._has_hashes(entry) or link.is_closed:
            return
        for owed in link.session.owed:
            if owed.segment == entry.position and owed.hashes:
                hashes = bytes(HASH_BYTES * entry.block_count)
                link.send(Hashes(owed.request_id, entry.position, hashes))

    def _seek_hashes(self, incoming: Incoming) -> None:
        """Blocks wait for hashes that nobody was asked for, or that do not come."""
        if incoming.proven or not incoming.waiting or incoming.hashes_fetch is not None:
            return
        now = self.clock.now
        if incoming.hashes_asked is not None and now - incoming.hashes_asked_at < HASHES_LATE_S:
            return
        sources = [source for source, _, _ in incoming.waiting if source is not None]
        others = [source for source in sources if source != incoming.hashes_asked] or sources
        for source in reversed(others):
            link = self._link(source)
            if link is not None and link.session.can_request:
                incoming.hashes_asked = source
                incoming.hashes_asked_at = now
                link.send(Request(incoming.entry.position, 0, hashes=True))
                return

    def _take_request(self, link: Link, request: Request) -> None:
        if self.eager_hashes and request.hashes and request.blocks:
            entry = self.entry_of(request.segment)
            if entry is not None:
                self._give_hashes(link, entry)
        if request.blocks:
            self.node.requested(link.peer_id, request, self.clock.now)
            return
        entry = self.entry_of(request.segment)
        if entry is None or not self._has_hashes(entry):
            link.send(Reject(request.request_id, request.segment, 0, int(Code.NOT_HERE)))
        else:
            hashes = bytes(HASH_BYTES * entry.block_count)
            link.send(Hashes(request.request_id, request.segment, hashes))

    def _take_reject(self, link: Link, reject: Reject) -> None:
        entry = self.entry_of(reject.segment)
        if entry is None:
            return
        incoming = self.incoming.get(reject.segment)
        if incoming is not None and incoming.hashes_asked == link.peer_id:
            still = any(
                asked.segment == reject.segment and asked.hashes for asked in link.session.asked
            )
            if not still and not incoming.proven:
                incoming.hashes_asked = None
        blocks = resolve(reject.blocks, entry.block_count)
        self.node.refused(link.peer_id, entry, blocks, reject.code, self.clock.now)


def size_of(entry: Entry, blocks: int) -> int:
    """Bytes of a set of blocks."""
    last = entry.block_count - 1
    size = blocks.bit_count() * entry.block_size_bytes
    if blocks >> last & 1:
        size -= entry.block_size_bytes * entry.block_count - entry.size_bytes
    return size
