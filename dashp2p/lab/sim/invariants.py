"""What must hold at every step, whatever befalls the crowd. A breach raises, with time and peer.

Further ones are checked where they may be broken: nothing unverified is sent
(`Neighbourhood.send`), every block asked for is answered exactly once (the sessions at both ends
raise), and time goes on (the clock).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from attrs import define, field

from dashp2p.lab.sim.incoming import BrokenInvariantError, Incoming
from dashp2p.lab.sim.peer import Peer
from dashp2p.wire.blockset import from_range

if TYPE_CHECKING:
    from dashp2p.lab.sim.simulation import Seat, Simulation

MOST_DELIVERIES = 24
"""What one player may have under way, init segments and the index included."""
WAIT_IN_VAIN_S = 3.0
"""How long after its deadline a request may see no block come and nothing fetched."""
CYCLE_S = 2.0
"""Requests that cross with withdrawals look like a ring for a moment, but not for so long."""


@define(eq=False)
class Invariants:
    """Install with `attach`; counts what it looked at."""

    sim: Simulation
    steps: int = 0
    sweeps: int = 0
    _seen: dict[tuple[int, int], tuple[int, float]] = field(factory=dict)
    """By peer and segment: how many blocks were here when that last changed."""
    _ring_since: dict[int, float] = field(factory=dict)
    """By segment: since when every sweep has found a ring."""

    def attach(self) -> None:
        """Be called after each step of each peer, and at each sweep."""
        self.sim.after_step = self.step
        self.sim.watch = self.sweep

    # --- one peer ---------------------------------------------------------------------------

    def step(self, peer: Peer) -> None:
        """Bounds and books of one peer, after anything happened to it."""
        self.steps += 1
        state, policy = peer.node.state, peer.policy
        if len(state.deliveries) > MOST_DELIVERIES:
            self._broken(peer, f"{len(state.deliveries)} deliveries at once")
        if state.deliveries.keys() != peer.incoming.keys():
            self._broken(peer, "node and driver disagree about what is under way")
        if state.have & ~peer.store:
            self._broken(peer, "the node announces files that are not here")
        limit = policy.outstanding_bytes + peer.film.index.block_size_bytes
        for outlet in peer.node.uplink.outlets.values():
            if not 0 <= outlet.owed_bytes <= limit:
                self._broken(peer, f"{outlet.owed_bytes} bytes are owed on one link")
        for neighbour in state.neighbours.values():
            if neighbour.outstanding_bytes > limit:
                self._broken(peer, f"{neighbour.outstanding_bytes} bytes are asked on one link")
        for incoming in peer.incoming.values():
            self._check_books(peer, incoming)

    def _check_books(self, peer: Peer, incoming: Incoming) -> None:
        delivery = incoming.delivery
        if delivery.here & ~incoming.verified:
            self._broken(peer, f"{incoming.entry.path}: unverified blocks count as here")
        for peer_id, blocks in delivery.asked.items():
            link = peer.exchange.links.get(peer_id)
            if link is None or link.is_closed:
                if blocks:
                    self._broken(peer, f"{incoming.entry.path}: blocks asked of nobody")
                continue
            open_blocks = 0
            for asked in link.session.asked:
                if asked.segment == incoming.entry.position:
                    open_blocks |= asked.blocks
            waiting = 0
            for source, first, raw in incoming.waiting:
                if source == peer_id:
                    waiting |= from_range(first, len(raw))
            if blocks & ~open_blocks & ~waiting:
                self._broken(peer, f"{incoming.entry.path}: waits for blocks that were answered")

    # --- all of them ------------------------------------------------------------------------

    def sweep(self, sim: Simulation) -> None:
        """What takes looking at everybody; twenty times a second."""
        self.sweeps += 1
        for seat in sim.seats:
            if seat.peer is not None and seat.peer.alive and not seat.left:
                self._check_waits(seat)
        segments = {
            position
            for seat in sim.seats
            if seat.peer is not None and seat.peer.alive
            for position in seat.peer.incoming
        }
        for position in list(self._ring_since):
            if position not in segments:
                del self._ring_since[position]
        for position in segments:
            self._check_rings(position)

    def _check_waits(self, seat: Seat) -> None:
        peer, proxy, now = seat.peer, seat.proxy, self.sim.clock.now
        assert peer is not None and proxy is not None
        for asked in proxy.open:
            incoming = peer.incoming.get(asked.entry.position)
            if incoming is None:
                self._broken(peer, f"{asked.entry.path} is asked for and not under way")
            key = (peer.number, asked.entry.position)
            count = incoming.verified.bit_count() + len(incoming.waiting)
            seen, since = self._seen.get(key, (-1, now))
            if seen != count or any(not fetch.over for fetch in incoming.fetches):
                self._seen[key] = (count, now)
                continue
            due = max(asked.deadline_s, asked.at + peer.policy.start_grace_s, since)
            if now > due + WAIT_IN_VAIN_S:
                late_s = now - asked.deadline_s
                self._broken(peer, f"{asked.entry.path} is {late_s:.1f} s late and nothing moves")

    def _check_rings(self, position: int) -> None:
        """Take away all who have a block, fetch it, or wait for nobody; the rest is a ring."""
        peers = {
            seat.peer.peer_id: seat.peer
            for seat in self.sim.seats
            if seat.peer is not None and seat.peer.alive and not seat.host.cut
        }
        free: dict[bytes, int] = {}
        edges: list[tuple[bytes, bytes, int]] = []
        for peer_id, peer in peers.items():
            incoming = peer.incoming.get(position)
            if incoming is None:
                free[peer_id] = -1
                continue
            delivery = incoming.delivery
            free[peer_id] = delivery.here | delivery.origin | ~delivery.asked_blocks()
            edges += [(peer_id, other, blocks) for other, blocks in delivery.asked.items()]
        moving = True
        while moving:
            moving = False
            for peer_id, other, blocks in edges:
                found = blocks & free.get(other, -1) & ~free[peer_id]
                if found:
                    free[peer_id] |= found
                    moving = True
        stuck = next((peer_id for peer_id, other, blocks in edges if blocks & ~free[peer_id]), None)
        if stuck is None:
            self._ring_since.pop(position, None)
            return
        since = self._ring_since.setdefault(position, self.sim.clock.now)
        if self.sim.clock.now - since > CYCLE_S:
            path = self.sim.film.entries[position].path
            self._broken(peers[stuck], f"{path}: peers wait for each other in a ring")

    def _broken(self, peer: Peer, what: str) -> NoReturn:
        now = self.sim.clock.now - self.sim.opens_at
        raise BrokenInvariantError(f"{now:.3f} s, peer {peer.number}: {what}")
