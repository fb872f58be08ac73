"""What a simulated run came to."""

from __future__ import annotations

import statistics

from attrs import frozen

from dashp2p.lab import measure
from dashp2p.lab.sim.simulation import Simulation


@frozen
class SimFigures:
    """Sizes in bytes, rates in bits per second, times in seconds; None where there is no such."""

    egress_bytes: int
    """What the origin's uplink carried but for packet headers: heads and hashes are in it."""
    distinct_bytes: int
    delivered_bytes: int
    copies: float | None
    copies_on_wire: float | None
    """With packet heads, as the lab counts at the origin's interface."""
    peers_share: float | None
    """Of the bytes that came to peers, those that neighbours sent."""
    copies_needed: float | None
    """What would have left it if nothing were fetched that a living peer had or was fetching."""
    offload: float | None
    offload_limit: float
    startup_median_s: float | None
    startup_worst_s: float | None
    stalls: int
    stalled_s: float
    mean_bitrate_bps: float | None
    unfinished: int
    failures: int
    duplicate_share: float | None
    control_share: float | None
    waste_share: float | None
    spares_share: float | None
    """Of what players got: what was copied to be held by one more, and no player asked for."""
    takeovers: int
    leases: int
    hedges: int
    rescues: int
    liars_kept: int
    """Links that honest peers have with liars at the end."""
    upload_jain: float | None
    fetched: dict[str, int]
    """From the origin, by reason."""
    avoidable: dict[str, int]
    """The part of that which some living peer had, or was fetching."""
    simulated_s: float
    took_s: float
    steps: int
    """Events of the virtual clock."""

    @property
    def steps_per_s(self) -> float:
        """Events in a second of real time."""
        return self.steps / self.took_s if self.took_s > 0 else 0.0


def figures(sim: Simulation) -> SimFigures:
    """Boil it down."""
    seats = [seat for seat in sim.seats if seat.player is not None]
    players = [seat.player for seat in seats if seat.player is not None]
    peers = [seat.peer for seat in sim.seats if seat.peer is not None]
    stayed = [s.player for s in seats if s.visit.leaves_s is None and s.player is not None]
    egress = sim.origin.host.uplink.payload_bytes
    distinct = measure.distinct_bytes(player.delivered for player in players)
    delivered = sum(sum(player.delivered.values()) for player in players)
    startups = [p.startup_s for p in players if p.startup_s is not None]
    rates = [p.mean_bitrate_bps for p in stayed if p.mean_bitrate_bps is not None]
    media = sum(peer.tally.peers_bytes + peer.tally.origin_bytes for peer in peers)
    counts = sim.tracker.leases.counts
    return SimFigures(
        egress_bytes=egress,
        distinct_bytes=distinct,
        delivered_bytes=delivered,
        copies_needed=measure.share(egress - sum(sim.avoidable.values()), distinct),
        copies=measure.copies_per_segment(egress, distinct),
        copies_on_wire=measure.copies_per_segment(sim.origin.host.uplink.wire_bytes, distinct),
        peers_share=measure.share(sum(peer.tally.peers_bytes for peer in peers), media),
        offload=measure.offload(egress, delivered),
        offload_limit=measure.offload_limit(len(players)),
        startup_median_s=statistics.median(startups) if startups else None,
        startup_worst_s=max(startups, default=None),
        stalls=sum(player.stalls for player in players),
        stalled_s=sum(player.stalled_s for player in players),
        mean_bitrate_bps=statistics.mean(rates) if rates else None,
        unfinished=0
        if sim.settings.scenario.churn  # who comes late does not see the film's end
        else sum(player.finished_at is None for player in stayed),
        failures=sum(player.failures for player in players),
        duplicate_share=measure.share(sum(p.tally.duplicate_bytes for p in peers), media),
        control_share=measure.share(sum(p.exchange.all_control_bytes() for p in peers), media),
        waste_share=measure.share(
            sum(sum(p.tally.unplayed.values()) for p in peers), max(1, egress)
        ),
        spares_share=measure.share(
            sum(sum(p.tally.spares.values()) for p in peers), max(1, delivered)
        ),
        takeovers=counts.takeovers,
        leases=counts.granted,
        hedges=sum(peer.tally.hedges for peer in peers),
        rescues=sum(peer.tally.rescues for peer in peers),
        liars_kept=sum(
            liar.peer_id in peer.exchange.links
            for peer in peers
            if peer.alive
            for liar in sim.liars
        ),
        upload_jain=measure.jain(
            [
                peer.node.uplink.total_bytes / peer.host.uplink.rate_bps
                for peer in peers
                if peer.alive
            ]
        ),
        fetched=sim.fetched,
        avoidable=sim.avoidable,
        simulated_s=sim.clock.now,
        took_s=sim.took_s,
        steps=sim.clock.steps,
    )
