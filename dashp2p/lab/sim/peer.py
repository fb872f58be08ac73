"""One simulated peer: drives the shipped node as the daemon's engine does.

What differs from the daemon: files have no bytes, so a block is true or false by its stand-in, and
"verified" is a bitmask; there is no disk; the player is in the same process.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from hashlib import sha256

from attrs import define, field

from dashp2p.content.entry import Entry
from dashp2p.lab.scenario import Lie
from dashp2p.lab.sim.arrivals import Arrivals
from dashp2p.lab.sim.clock import Clock, Timer
from dashp2p.lab.sim.exchange import Exchange, Listeners
from dashp2p.lab.sim.fetches import Fetches
from dashp2p.lab.sim.film import Film
from dashp2p.lab.sim.flow import Path
from dashp2p.lab.sim.incoming import Incoming, Tally
from dashp2p.lab.sim.liar import LyingNeighbourhood
from dashp2p.lab.sim.neighbourhood import Neighbourhood
from dashp2p.lab.sim.origin import HttpClient, Origin
from dashp2p.lab.sim.pipes import Host, Wiring
from dashp2p.lab.sim.tracker import Leased
from dashp2p.swarm import commands as do
from dashp2p.swarm.delivery import Delivery
from dashp2p.swarm.node import Node
from dashp2p.swarm.policy import Policy

WAKE_S = 0.0002
"""No reactor wakes sooner; with no time passing, waiting for a rounding error would never end."""


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
    lie: Lie | None = None
    """How it lets its neighbours down, if so."""
    public_key: bytes = field(init=False)
    peer_id: bytes = field(init=False)
    node: Node = field(init=False)
    neighbourhood: Neighbourhood = field(init=False)
    exchange: Exchange = field(init=False)
    fetches: Fetches = field(init=False)
    arrivals: Arrivals = field(init=False)
    http: HttpClient = field(init=False)
    tally: Tally = field(factory=Tally)
    knows_film: bool = False
    gone: bool = False
    store: int = 0
    """Bit p for each whole, verified segment."""
    incoming: dict[int, Incoming] = field(factory=dict)
    completed: Callable[[Entry], None] = field(default=lambda entry: None)
    watchers: list[Callable[[Entry, Delivery], None]] = field(factory=list)
    """Called too when a file is whole."""
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
        if self.lie is None:
            self.neighbourhood = Neighbourhood(self)
        else:
            self.neighbourhood = LyingNeighbourhood(self, self.lie, self.rng)
        self.fetches = Fetches(self)
        self.arrivals = Arrivals(self)
        self.exchange = Exchange(
            self.neighbourhood, self.path, self.wiring, self.host, self.listeners
        )
        self.node.state.shuns = self.exchange.is_banned
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
            self.neighbourhood.seek_hashes()
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
                link.send(self.neighbourhood.have())
        self.run()

    # --- wanting ----------------------------------------------------------------------------

    def want(
        self,
        entry: Entry,
        deadline_s: float,
        listener: Callable[[bool], None] | None = None,
        spare: bool = False,
    ) -> bool:
        """Deliver a file by a time; `listener` is told whether it came. True: it is here."""
        if self.is_here(entry):
            return True
        now = self.clock.now
        incoming = self.incoming.get(entry.position)
        delivery = self.node.want(entry, deadline_s, now, listener is not None, spare)
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

    def unforesee(self, entry: Entry) -> None:
        """What was wanted with no listener will not be asked for."""
        incoming = self.incoming.get(entry.position)
        if incoming is None or incoming.listeners:
            return
        self.node.unwant(entry, self.clock.now, waiting=False)
        if entry.position not in self.node.state.deliveries:
            self.tally.unplayed[entry.position] = incoming.delivery.size_of(incoming.verified)
            self._discard(incoming)
        self.run()

    def _discard(self, incoming: Incoming) -> None:
        self.incoming.pop(incoming.entry.position, None)
        self.fetches.cancel(incoming)

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
                self.neighbourhood.ask(command)
            case do.Send():
                self.neighbourhood.send(command)
            case do.Tell():
                self.neighbourhood.tell(command)
            case do.Refuse():
                self.neighbourhood.refuse(command)
            case do.Withdraw():
                self.neighbourhood.withdraw(command)
            case do.FetchOrigin():
                self.fetches.begin(command)
            case do.CallTracker():
                self._call_tracker(command)
            case do.StopOrigin():
                incoming = self.incoming.get(command.entry.position)
                if incoming is not None:
                    self.fetches.cancel(incoming)
            case do.Doubt():
                self.neighbourhood.doubt(command)
            case do.Drop() if command.shun:
                self.exchange.shun(command.peer_id)
            case do.Drop():
                link = self.exchange.links.get(command.peer_id)
                if link is not None:
                    link.abort()
            case do.Abandoned():
                incoming = self.incoming.get(command.entry.position)
                if incoming is not None:
                    self._fail(incoming)
            case do.Replicate():
                self.want(command.entry, command.deadline_s, spare=True)

    def verified(self, entry: Entry) -> int:
        """The blocks that may be handed on."""
        if self.is_here(entry):
            return (1 << entry.block_count) - 1
        incoming = self.incoming.get(entry.position)
        return 0 if incoming is None else incoming.verified

    def has_or_fetches(self, entry: Entry) -> int:
        """The blocks that are here or on their way from the origin."""
        incoming = self.incoming.get(entry.position)
        fetched = 0 if incoming is None else incoming.delivery.origin
        return self.verified(entry) | fetched

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
