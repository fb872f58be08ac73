"""What holds in every storm. AssertionError where it does not."""

from __future__ import annotations

from dashp2p.lab.seeds.peers import QUOTA_BYTES, StormPeer
from dashp2p.lab.seeds.viewer import StormViewer
from dashp2p.peer.fakenet import MemoryNetwork, MemoryTransport
from dashp2p.peer.limits import MAX_LINKS, MAX_RECORDS, WRITE_QUEUE_BYTES
from dashp2p.peer.link import Link
from dashp2p.store.limits import ASSEMBLIES_MAX_BYTES, MEMORY_CACHE_BYTES
from dashp2p.wire import limits as wire_limits

ANSWERED_S = 40.0
"""A player is told by then that it cannot have a segment, if it cannot."""
FRAME_BYTES = wire_limits.HEADER_BYTES + wire_limits.MAX_FRAME_BYTES
JOBS_MAX = 200
DELIVERIES_MAX = 32


def answered(number: int, viewer: StormViewer, now: float) -> None:
    """Every request of a player is answered, or its connection closed."""
    asked_at = viewer.asked_at
    assert asked_at is None or now - asked_at < ANSWERED_S, f"player {number} waits for ever"


def bounds(peer: StormPeer) -> None:
    """What a peer holds stays within its limits, and it has nothing to do with the banned."""
    name, exchange, engine = f"peer {peer.number}", peer.exchange, peer.engine
    assert len(exchange._all) <= MAX_LINKS, f"{name} has {len(exchange._all)} links"
    for peer_id, link in exchange.links.items():
        assert not exchange.is_banned(peer_id), f"{name} has a link to one that is banned"
        assert link.session.buffered_bytes <= FRAME_BYTES, f"{name} buffers too much"
        for ledger in (link.session.asked, link.session.owed):
            assert len(list(ledger)) <= wire_limits.MAX_OUTSTANDING_REQUESTS, f"{name}: requests"
    assert len(engine.incoming) <= DELIVERIES_MAX, f"{name} has {len(engine.incoming)} deliveries"
    assert engine.incoming.keys() == peer.node.state.deliveries.keys(), f"{name}: two books differ"
    assert len(engine._jobs) <= JOBS_MAX, f"{name} has {len(engine._jobs)} jobs"
    assert len(engine.records.segments) <= MAX_RECORDS, f"{name} keeps too many records"
    store = peer.store
    assert 0 <= store._assemblies_bytes <= ASSEMBLIES_MAX_BYTES, f"{name}: assemblies"
    assert store._memory.used_bytes <= MEMORY_CACHE_BYTES, f"{name}: memory"
    segments = store.segments
    if segments is not None and segments.degraded_reason is None:
        assert segments.used_bytes <= QUOTA_BYTES, f"{name} is beyond its quota"
    for incoming in engine.incoming.values():
        assert incoming.proof._waiting_bytes <= incoming.proof._bound(), f"{name}: unproven"


def queues(network: MemoryNetwork) -> None:
    """A neighbour that takes nothing costs its write queue and no more."""
    for pair in network.connections:
        for end in pair:
            bound = WRITE_QUEUE_BYTES + FRAME_BYTES
            assert end.most_waiting_bytes <= bound, f"{end.most_waiting_bytes} bytes are queued"


def settled(peer: StormPeer) -> None:
    """Nothing is under way when nobody wants anything."""
    name, engine = f"peer {peer.number}", peer.engine
    assert not engine.incoming, f"{name} still fetches {sorted(engine.incoming)}"
    assert not engine._jobs, f"{name} has {len(engine._jobs)} jobs that never end"
    assert not engine.store._assemblies, f"{name} has assemblies that nobody wants"
    assert engine.store._assemblies_bytes == 0, f"{name} miscounts its assemblies"
    for link in engine.exchange.links.values():
        if _is_hopeless(link):
            continue
        asked = [entry.segment for entry in link.session.asked]
        assert not asked, f"{name} was never answered for {asked}"
        owed = [entry.segment for entry in link.session.owed]
        assert not owed, f"{name} never answered for {owed}"


def _is_hopeless(link: Link) -> bool:
    """A dead link is ended by its silence, much later; and who can say what was asked on one where
    bytes have changed on their way?"""
    end = link.transport
    assert isinstance(end, MemoryTransport)
    return any(side._clogged or side.spoilt for side in (end, end.other))
