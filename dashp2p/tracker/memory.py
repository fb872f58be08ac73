"""The registry of one tracker process: everything in memory, nothing kept over a restart."""

from __future__ import annotations

from itertools import islice
from random import Random

from attrs import asdict, define, evolve, field, fields, frozen

from dashp2p.swarm.deadlines import Deadlines
from dashp2p.swarm.lease_rules import LeaseCounts
from dashp2p.swarm.lease_segment import SegmentLeases
from dashp2p.swarm.leases import Answer, Elsewhere, LeaseRules, LeaseTable
from dashp2p.tracker import limits
from dashp2p.tracker.addresses import Whereabouts
from dashp2p.tracker.errors import Refused
from dashp2p.tracker.members import Member, Members, Neighbour
from dashp2p.tracker.messages import Announce, Event, LeaseCall, unannounced
from dashp2p.tracker.registry import (
    REPORTED,
    Holding,
    LeaseAnswer,
    PeerSummary,
    SegmentSummary,
    SwarmSummary,
    Welcome,
)

_COUNTS = tuple(each.name for each in fields(LeaseCounts))


@frozen
class RegistryRules:
    """The bounds of a registry."""

    peers_per_swarm: int = limits.PEERS_PER_SWARM
    peers: int = limits.PEERS
    swarms: int = limits.SWARMS
    peers_per_address: int = limits.PEERS_PER_ADDRESS
    lease_cells: int = limits.LEASE_CELLS
    interval_shortest_s: float = limits.INTERVAL_SHORTEST_S
    interval_longest_s: float = limits.INTERVAL_LONGEST_S
    leases: LeaseRules = field(factory=LeaseRules)

    def interval_s(self, peers: int) -> float:
        """A small swarm wants news of joiners, a large one has enough neighbours for everyone."""
        span = limits.INTERVAL_GROWS_TO - limits.INTERVAL_GROWS_FROM
        share = min(max((peers - limits.INTERVAL_GROWS_FROM) / span, 0.0), 1.0)
        longer_s = max(0.0, self.interval_longest_s - self.interval_shortest_s)
        return round(self.interval_shortest_s + share * longer_s, 1)


@define(eq=False)
class _Swarm:
    swarm: bytes
    leases: LeaseTable
    members: Members = field(factory=Members)
    totals: dict[str, float] = field(factory=dict)
    earlier_bytes: float = 0.0
    """What peers had fetched from the origin before this tracker knew them."""


@define(eq=False)
class MemoryRegistry:
    """Implements `dashp2p.tracker.registry.Registry`; its coroutines never suspend.

    Of the figures that peers report, those named `..._bytes` or `..._total` count upwards, so their
    increases are summed over the swarm, and stay when the peer leaves.
    """

    rules: RegistryRules = field(factory=RegistryRules)
    random: Random = field(factory=Random)
    epoch_offset: int = 0
    """See LeaseTable: wall clock minus monotonic time."""
    _swarms: dict[bytes, _Swarm] = field(factory=dict, init=False)
    _deadlines: Deadlines[tuple[bytes, bytes]] = field(factory=Deadlines, init=False)
    _cells: int = field(default=0, init=False)
    _past: LeaseCounts = field(factory=LeaseCounts, init=False)
    """What happened in swarms that are gone."""
    _past_totals: dict[str, float] = field(factory=dict, init=False)
    """What their peers had reported, those of REPORTED only."""

    # Peers

    async def announce(
        self, announce: Announce, at: Whereabouts, now: float, reached: bool | None
    ) -> Welcome:
        self._expire(now)
        swarm = self._swarms.get(announce.swarm)
        if announce.event is Event.STOPPED:
            return self._stop(announce, swarm)
        member = swarm.members.by_peer.get(announce.peer) if swarm else None
        if swarm is None or member is None:
            swarm = self._admit(announce, at)
        member = self._note(swarm, announce, at, now, member, reached)
        size = len(swarm.members)
        interval_s = self.rules.interval_s(size)
        ttl_s = interval_s * limits.TTL_INTERVALS
        self._deadlines.set((announce.swarm, announce.peer), now + ttl_s)
        peers = swarm.members.neighbours(member, announce.wanted, self.random)
        return Welcome(interval_s, ttl_s, peers, size)

    def _stop(self, announce: Announce, swarm: _Swarm | None) -> Welcome:
        size = 0
        if swarm is not None:
            if announce.peer in swarm.members.by_peer:
                self._count(swarm, swarm.members.by_peer[announce.peer].stats, announce.stats)
                self._forget(swarm, announce.peer)
            size = len(swarm.members)
        interval_s = self.rules.interval_s(size)
        return Welcome(interval_s, interval_s * limits.TTL_INTERVALS, (), size)

    def _admit(self, announce: Announce, at: Whereabouts) -> _Swarm:
        """Make room for one more peer."""
        swarm = self._swarms.get(announce.swarm)
        full = len(self._deadlines) >= self.rules.peers
        if swarm is None:
            if full or len(self._swarms) >= self.rules.swarms:
                raise Refused(
                    "this tracker is full: try again later, or use another one",
                    503,
                    retry_after_s=self.rules.interval_longest_s,
                )
            leases = LeaseTable(self.rules.leases, self.epoch_offset)
            swarm = self._swarms[announce.swarm] = _Swarm(announce.swarm, leases)
        most = self.rules.peers_per_address
        if most and not at.loopback and swarm.members.at_site(at.site) >= most:
            raise Refused(
                f"at most {most} peers of one public address are admitted to a swarm here; "
                "the tracker's --peers-per-address allows more",
                429,
                retry_after_s=self.rules.interval_longest_s,
            )
        if full or len(swarm.members) >= self.rules.peers_per_swarm:
            self._forget(swarm, swarm.members.oldest().peer, keep_swarm=True)
        return swarm

    def _note(
        self,
        swarm: _Swarm,
        announce: Announce,
        at: Whereabouts,
        now: float,
        member: Member | None,
        reached: bool | None,
    ) -> Member:
        before = {} if member is None or announce.event is Event.STARTED else member.stats
        if announce.stats:
            self._count(swarm, before, announce.stats)
            if not before:
                swarm.earlier_bytes += max(0.0, announce.stats.get("origin_bytes", 0.0))
        place = (at, announce.port, announce.private)
        known = member is not None and member.announced
        if not known or member is None or (member.at, member.port, member.private) != place:
            member = Member(announce.peer, at, announce.port, announce.private)
            swarm.members.put(member)
        else:
            swarm.members.touch(member)
        if reached is not None and reached != member.reached:
            swarm.members.set_reached(member, reached)
        member.upload_bps = announce.upload_bps
        member.have = announce.have
        member.stats = announce.stats or member.stats
        member.served_by = announce.served_by
        member.announced_at = now
        return member

    async def dialled(
        self, swarm: bytes, peer: bytes, at: Whereabouts, port: int, reached: bool
    ) -> None:
        found = self._swarms.get(swarm)
        member = found.members.by_peer.get(peer) if found else None
        if found and member and (member.at, member.port) == (at, port):
            found.members.set_reached(member, reached)

    # Leases

    async def lease(self, call: LeaseCall, at: Whereabouts, now: float) -> LeaseAnswer:
        self._expire(now)
        swarm, member = self._leasing(call, at, now)
        table = swarm.leases
        cells = table.cells
        answers = decide(table, call, now, len(swarm.members), member.upload_bps)
        self._cells += table.cells - cells
        self._shed(table)
        told = reachable(swarm.members, member, answers)
        return LeaseAnswer(answers, told, not member.announced)

    def leasing(self, call: LeaseCall, at: Whereabouts, now: float) -> tuple[Members, Member]:
        """All members of the caller's swarm, and the caller; for a registry that keeps leases
        elsewhere. Raises Refused."""
        self._expire(now)
        swarm, member = self._leasing(call, at, now)
        return swarm.members, member

    def member(self, swarm: bytes, peer: bytes) -> Member | None:
        """The peer, if it was heard of lately."""
        found = self._swarms.get(swarm)
        return None if found is None else found.members.by_peer.get(peer)

    def has_swarm(self, swarm: bytes) -> bool:
        """Whether any of its peers was heard of lately."""
        return swarm in self._swarms

    def _leasing(self, call: LeaseCall, at: Whereabouts, now: float) -> tuple[_Swarm, Member]:
        """The caller and its swarm. After a restart nobody is known, and a swarm that had to wait
        for everybody's next announce would fetch its segments many times meanwhile."""
        swarm = self._swarms.get(call.swarm)
        member = swarm.members.by_peer.get(call.peer) if swarm else None
        if swarm is None or member is None:
            announce = unannounced(call)
            swarm = self._admit(announce, at)
            member = self._note(swarm, announce, at, now, None, None)
            member.announced = False
        if not member.announced:
            ttl_s = self.rules.interval_shortest_s * limits.TTL_INTERVALS
            self._deadlines.set((call.swarm, call.peer), now + ttl_s)
        return swarm, member

    def _shed(self, table: LeaseTable) -> None:
        """The swarm that grows pays for it when there is no more room."""
        excess = self._cells - self.rules.lease_cells
        if excess > 0:
            cells = table.cells
            table.shed(excess)
            self._cells += table.cells - cells

    # Questions

    async def holding(self, key: str, swarm: bytes | None, now: float) -> list[Holding]:
        found: list[Holding] = []
        for each in self._largest() if swarm is None else self._named(swarm):
            position = each.leases.position_of(key)
            if position is None and key.isascii() and key.isdigit() and len(key) < 10:
                position = int(key)
            known = None if position is None else each.leases.whereabouts(position, now)
            if known is not None:
                found.append(
                    Holding(each.swarm, known.segment, known.leader, known.epoch, known.holders)
                )
        return found

    async def swarms(self, now: float) -> list[SwarmSummary]:
        self._expire(now)
        return [self._summary(swarm) for swarm in self._largest()]

    def _summary(self, swarm: _Swarm) -> SwarmSummary:
        table = swarm.leases
        size = len(swarm.members)
        figures: dict[str, float] = {
            "listed": swarm.members.listed,
            "interval_s": self.rules.interval_s(size),
            "leases": table.live_leases,
            "segments_held": table.segments_held,
            "origin_bps": round(table.rate_bps),
            "egress_bytes": max(0.0, swarm.totals.get("origin_bytes", 0.0) - swarm.earlier_bytes),
            **asdict(table.counts),
        }
        return SwarmSummary(swarm.swarm, size, figures, dict(swarm.totals))

    async def peers(self, swarm: bytes, now: float, most: int | None = None) -> list[PeerSummary]:
        self._expire(now)
        return [
            PeerSummary(
                member.peer,
                now - member.announced_at,
                member.listed,
                member.have,
                member.upload_bps,
                dict(member.stats),
                dict(member.served_by),
            )
            for each in self._named(swarm)
            for member in islice(reversed(each.members.by_peer.values()), most)
        ]

    async def playing(self, swarm: bytes, now: float) -> list[dict[str, float]]:
        self._expire(now)
        return [
            member.stats
            for each in self._named(swarm)
            for member in each.members.by_peer.values()
            if member.stats.get("viewers", 0) > 0
        ]

    async def segments(self, swarm: bytes, now: float, most: int) -> list[SegmentSummary]:
        self._expire(now)
        return [
            summary_of(segment)
            for each in self._named(swarm)
            for segment in each.leases.latest(most, now)
        ]

    async def counters(self, now: float) -> dict[str, float]:
        self._expire(now)
        tables = [swarm.leases for swarm in self._swarms.values()]
        found: dict[str, float] = {
            "swarms": len(tables),
            "peers": len(self._deadlines),
            "leases": sum(table.live_leases for table in tables),
            "segments_held": sum(table.segments_held for table in tables),
            "lease_cells": self._cells,
        }
        for name in _COUNTS:
            found[name] = getattr(self._past, name) + sum(
                getattr(table.counts, name) for table in tables
            )
        for name in REPORTED:
            found[name] = self._past_totals.get(name, 0.0) + sum(
                swarm.totals.get(name, 0.0) for swarm in self._swarms.values()
            )
        found["viewers"] = sum(
            member.stats.get("viewers", 0.0)
            for swarm in self._swarms.values()
            for member in swarm.members.by_peer.values()
        )
        return found

    def _largest(self) -> list[_Swarm]:
        return sorted(self._swarms.values(), key=lambda swarm: -len(swarm.members))

    def _named(self, swarm: bytes) -> list[_Swarm]:
        return [self._swarms[swarm]] if swarm in self._swarms else []

    def reasons(self) -> list[str]:
        return []

    # Time and bookkeeping

    async def expire(self, now: float) -> None:
        self._expire(now)
        for swarm in self._swarms.values():
            swarm.leases.expire(now)

    def _expire(self, now: float) -> None:
        for name, peer in self._deadlines.due(now):
            self._forget(self._swarms[name], peer)

    def _forget(self, swarm: _Swarm, peer: bytes, keep_swarm: bool = False) -> None:
        """The peer is gone; so is its swarm when it was the last, since nobody holds anything."""
        self._deadlines.discard((swarm.swarm, peer))
        swarm.members.remove(peer)
        cells = swarm.leases.cells
        swarm.leases.drop(peer)
        self._cells += swarm.leases.cells - cells
        if swarm.members or keep_swarm:
            return
        del self._swarms[swarm.swarm]
        self._cells -= swarm.leases.cells
        for name in REPORTED:
            self._past_totals[name] = self._past_totals.get(name, 0.0) + swarm.totals.get(name, 0.0)
        counts = swarm.leases.counts
        self._past = evolve(
            self._past,
            **{name: getattr(self._past, name) + getattr(counts, name) for name in _COUNTS},
        )

    def _count(self, swarm: _Swarm, before: dict[str, float], after: dict[str, float]) -> None:
        """Add to the swarm's totals what a peer's counters grew by since its last announce."""
        for name, value in after.items():
            if not (name.endswith(("_bytes", "_total"))) or value < 0:
                continue
            if name not in swarm.totals and len(swarm.totals) >= limits.MAX_TOTALS:
                continue
            last = before.get(name, 0)
            grown = value - last if value >= last >= 0 else value
            swarm.totals[name] = swarm.totals.get(name, 0) + grown


def decide(
    table: LeaseTable, call: LeaseCall, now: float, live_peers: int, upload_bps: float
) -> list[Answer]:
    """Take note of what a peer tells about its leases, then answer its wants in their order."""
    peer = call.peer
    for mark in call.release:
        table.release(peer, mark.segment, mark.epoch, now)
    for mark in call.done:
        table.done(peer, mark.segment, mark.epoch, now)
    for each in call.progress:
        table.progress(peer, each.segment, each.epoch, each.blocks_done, now)
    return [
        table.ask(peer, want, now, live_peers=live_peers, upload_bps=upload_bps)
        for want in call.want
    ]


def reachable(members: Members, asker: Member, answers: list[Answer]) -> list[Neighbour]:
    """How the asker reaches some of the holders and leaders that the answers name."""
    told: dict[bytes, Neighbour] = {}
    for answer in answers:
        if isinstance(answer, Elsewhere):
            named = [*answer.holders, *([answer.leader] if answer.leader else ())]
            for peer in named[: limits.LEASE_PEERS_PER_ANSWER]:
                other = members.by_peer.get(peer)
                seen = other.seen_from(asker) if other is not None else None
                if seen is not None and len(told) < limits.LEASE_PEERS_TOLD:
                    told[peer] = seen
    return list(told.values())


def summary_of(segment: SegmentLeases) -> SegmentSummary:
    """A segment for people who watch."""
    return SegmentSummary(
        segment.position,
        segment.path,
        segment.size_bytes,
        segment.fetched_bytes,
        len(segment.holders),
        tuple(lease.peer for lease in segment.leases.values()),
        max(segment.leases, default=segment.epoch),
        segment.takeovers,
    )
