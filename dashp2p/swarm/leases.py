"""Leases: at any time one peer of a swarm, and no other, may fetch a block from the origin.

One `LeaseTable` serves one swarm. Time is an argument (`now`, monotonic seconds, never falling).
The rules, with their numbers in `LeaseRules`:

* A want is granted where nobody leads the blocks and no live peer holds them; else the answer
  names leader and holders. `refused` holders, tried in vain, don't count.
* A lease lasts twice the expected fetch, and progress that really advances renews it. Expired, it
  goes to the next who asks, under a higher epoch; that is a takeover, and the breaker's allowance
  of live leases falls.
* A hedge is a lease on what is missing, while the leader's progress is stale; one at a time.
* A peer whose uplink is below twice the media rate gets a part; the next askers get the others.
* Such a peer gets a part of what is held, too, where it comes too slowly, and the uplinks of all
  whole holders together, taken to be like its own, are below twice the media rate.
* What is urgent is shared among all who ask for it within `gather_s`.
* What comes under an epoch that the sender does not hold is ignored; only `done` still says that
  it holds the segment.

Nothing here is trusted beyond its bounds: a peer that lies about sizes, rates or progress delays
one segment by at most `longest_life_s`, and waiting peers may hedge after `hedge_after_s`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from itertools import islice
from math import ceil

from attrs import define, field

from dashp2p.swarm.deadlines import Deadlines
from dashp2p.swarm.lease_rating import LeaseRatings
from dashp2p.swarm.lease_rules import (
    WHOLE,
    Answer,
    Elsewhere,
    Granted,
    LeaseCounts,
    LeaseRules,
    Want,
    first_run,
)
from dashp2p.swarm.lease_segment import Lease, SegmentLeases, as_holding

__all__ = ["WHOLE", "Answer", "Elsewhere", "Granted", "LeaseRules", "LeaseTable", "Want"]

_Key = tuple[int, int]  # (segment, epoch)

TRIM_SHARE = 64
"""A table that is full forgets this part of itself at once."""


@define(eq=False)
class LeaseTable:
    """The leases and holders of one swarm.

    `epoch_offset` is added to `now` where a segment's epochs begin: a tracker that gives wall clock
    minus monotonic time hands out epochs above those from before its restart.
    """

    rules: LeaseRules = field(factory=LeaseRules)
    epoch_offset: int = 0
    epoch_floor: int = field(default=0, init=False)
    """No segment's epochs begin below this."""
    ratings: LeaseRatings = field()
    counts: LeaseCounts = field(factory=LeaseCounts, init=False)
    rate_bps: float = field(init=False)
    """Measured origin fetch rate of one lease, moving average."""
    _segments: OrderedDict[int, SegmentLeases] = field(factory=OrderedDict, init=False)
    _positions: dict[str, int] = field(factory=dict, init=False)
    _led_by: dict[bytes, set[_Key]] = field(factory=dict, init=False)
    _held_by: dict[bytes, set[int]] = field(factory=dict, init=False)
    _holdings: int = field(default=0, init=False)
    segments_held: int = field(default=0, init=False)
    """Segments with at least one live holder."""
    _deadlines: Deadlines[_Key] = field(factory=Deadlines, init=False)

    @ratings.default
    def _new_ratings(self) -> LeaseRatings:
        return LeaseRatings(self.rules)

    def __attrs_post_init__(self) -> None:
        self.rate_bps = self.rules.expected_bps

    # What a peer asks and tells

    def ask(
        self, peer: bytes, want: Want, now: float, *, live_peers: int = 1, upload_bps: float = 0
    ) -> Answer:
        """Grant, or say where else. `upload_bps` is the asker's uplink, 0 where unknown."""
        self.expire(now)
        segment = self._touch(want.segment, now, want.path)
        segment.size_bytes = segment.size_bytes or want.size_bytes
        wanted = self._lacks(segment, peer, want)
        segment.demote(want.refused)
        others = segment.not_of(peer)
        own = segment.of(peer)
        held = segment.held({peer, *want.refused})
        if want.slow and self._thin(segment, want, upload_bps):
            held = 0
        blocked = held | segment.led(others) | segment.led(own)
        mine = next((lease for lease in own if lease.mask & wanted), None)
        if mine is not None and not self._asks_more(segment, want, wanted & ~blocked, now):
            return _granted(mine, now)
        if wanted & ~blocked:
            wait_s = self._part_wait_s(segment, peer, want, now)
            if wait_s > 0:
                return self._elsewhere(segment, peer, want, wanted, now, retry_s=wait_s)
            part = self._part(segment, want, wanted & ~blocked, now, live_peers, upload_bps)
            return self._grant(segment, peer, want, wanted, blocked, now, most=part)
        if want.hedge and want.missing is not None and segment.hedge() is None:
            fresh = [
                lease
                for lease in others
                if now - lease.advanced_at < self._patience_s(lease, want)
                and lease.peer not in want.refused
            ]
            blocked = held | segment.led(fresh) | segment.led(own)
            if wanted & ~blocked:
                return self._grant(segment, peer, want, wanted, blocked, now, hedge=True)
        return self._elsewhere(segment, peer, want, wanted, now)

    def progress(
        self, peer: bytes, position: int, epoch: int, blocks_done: int, now: float
    ) -> None:
        """The leader has fetched so many blocks of its lease."""
        lease = self._held_lease(peer, position, epoch, now)
        if lease is not None and lease.advance(blocks_done, now):
            self._deadlines.set((position, epoch), lease.expires_at)

    def done(self, peer: bytes, position: int, epoch: int, now: float) -> None:
        """The peer holds what it leased; without a lease of its own (epoch 0), the whole."""
        lease = self._held_lease(peer, position, epoch, now, fence=epoch != 0)
        segment = self._touch(position, now)
        blocks = WHOLE
        if lease is not None:
            self._measure(lease, now)
            self._end(segment, lease)
            self.ratings.fulfilled(peer)
            self.counts.fulfilled += 1
            self.counts.fetched_bytes += lease.size_bytes
            self.counts.distinct_bytes += segment.fetched(lease)
            blocks = lease.would_hold
        elif epoch in segment.ended and segment.ended[epoch][0] == peer:
            blocks = segment.ended[epoch][1]
        else:
            for live in segment.of(peer):  # who holds it all needs no lease on it
                self._remove(segment, live)
        self._hold(segment, peer, blocks)
        self._trim(keep=position)

    def release(self, peer: bytes, position: int, epoch: int, now: float) -> None:
        """The leader gives its lease back unbroken: the blocks are free at once."""
        lease = self._held_lease(peer, position, epoch, now)
        if lease is not None:
            self._end(self._segments[position], lease)
            self.counts.released += 1

    # What happens to peers and with time

    def drop(self, peer: bytes) -> None:
        """The peer left the swarm: its leases are free and it holds nothing."""
        for position, epoch in list(self._led_by.get(peer, ())):
            segment = self._segments[position]
            self._end(segment, segment.leases[epoch])
            self.counts.released += 1
        for position in list(self._held_by.get(peer, ())):
            self._unhold(self._segments[position], peer)

    def expire(self, now: float) -> None:
        """End the leases whose time is up. Every question does it first; call it when idle."""
        for position, epoch in self._deadlines.due(now):
            segment = self._segments[position]
            lease = segment.leases[epoch]
            was_hedge = lease.hedge
            self._end(segment, lease)
            if not was_hedge:
                segment.lost |= lease.mask & ~segment.held(())
                segment.lost_by = lease.peer
            self.ratings.broke(lease.peer, now)
            self.counts.broken += 1

    def shed(self, cells: int) -> None:
        """Forget about so many segments and holders, the least used first."""
        self._trim(most_cells=max(0, self.cells - cells))

    # Segments that are kept elsewhere (see lease_parts)

    def adopt(self, segment: SegmentLeases) -> None:
        """Take up a segment that this table does not know yet, with its leases and holders."""
        self._segments[segment.position] = segment
        if segment.path is not None:
            self._positions[segment.path] = segment.position
        for lease in segment.leases.values():
            key = (segment.position, lease.epoch)
            self._led_by.setdefault(lease.peer, set()).add(key)
            self._deadlines.set(key, lease.expires_at)
        for peer in segment.holders:
            self._held_by.setdefault(peer, set()).add(segment.position)
        self._holdings += len(segment.holders)
        self.segments_held += bool(segment.holders)

    def adopt_led(self, peer: bytes, keys: Iterable[_Key]) -> None:
        """The peer has these leases too, (segment, epoch), on segments that are not adopted: they
        count against its allowance."""
        self._led_by.setdefault(peer, set()).update(keys)

    @property
    def highest_epoch(self) -> int:
        """Of all segments known; 0 without any."""
        return max((segment.epoch for segment in self._segments.values()), default=0)

    def segment(self, position: int) -> SegmentLeases | None:
        """What is known of a segment, for whoever keeps it elsewhere."""
        return self._segments.get(position)

    # What is known

    @property
    def cells(self) -> int:
        """Segments and holders remembered: what the table costs in memory."""
        return len(self._segments) + self._holdings

    @property
    def live_leases(self) -> int:
        return len(self._deadlines)

    def position_of(self, path: str) -> int | None:
        """The position that peers gave this path; informative, for people who ask."""
        return self._positions.get(path)

    def latest(self, most: int, now: float) -> list[SegmentLeases]:
        """The segments that peers asked for or told of last, the latest first; to be read only."""
        self.expire(now)
        return list(islice(reversed(self._segments.values()), most))

    def whereabouts(self, position: int, now: float) -> Elsewhere | None:
        """Leader and holders of a segment, None for one that nobody asked for."""
        self.expire(now)
        segment = self._segments.get(position)
        if segment is None:
            return None
        leader = segment.leader(WHOLE)
        holders = tuple(segment.tell(b"", WHOLE, (), self.rules.most_holders))
        epoch = leader.epoch if leader else segment.epoch
        return Elsewhere(position, epoch, leader.peer if leader else None, holders, 0.0)

    # How a want is answered

    def _thin(self, segment: SegmentLeases, want: Want, upload_bps: float) -> bool:
        """Whether so few have it whole that, with uplinks as the asker's, they feed no crowd."""
        return 0 < segment.whole_holders() * upload_bps < 2 * want.media_bps

    def _lacks(self, segment: SegmentLeases, peer: bytes, want: Want) -> int:
        """The blocks that the asker wants; what it lacks, it no longer counts as holding."""
        held = segment.holders.get(peer, 0)
        wanted = want.whole if want.missing is None else want.missing & want.whole
        if not held:
            return wanted
        if want.missing is None and want.whole & ~held:
            return wanted & ~held  # it holds a part, and wants the rest
        self._unhold(segment, peer)
        if kept := held & want.whole & ~wanted:
            self._hold(segment, peer, kept)
        return wanted

    def _asks_more(self, segment: SegmentLeases, want: Want, free: int, now: float) -> bool:
        """Does a peer that leads some of what it asks for want another lease beside that one?

        Who names what it is missing leaves out what it leads, so it only asks again because the
        answer was lost. Who asks for the whole segment again may have the rest, once others had
        their time to ask for it.
        """
        others_had_time = now - segment.latest_part_at >= self.rules.more_parts_after_s
        return bool(free) and want.missing is None and others_had_time

    def _is_shared(self, want: Want) -> bool:
        """Whether all who ask fetch it together."""
        return want.urgent and not want.slow

    def _part_wait_s(self, segment: SegmentLeases, peer: bytes, want: Want, now: float) -> float:
        """How long others may still ask before this peer gets another part."""
        if not self._is_shared(want):
            return segment.part_granted_at(peer) + self.rules.more_parts_after_s - now
        segment.asked(now, self.rules.shortest_s)
        if now - segment.part_granted_at(peer) < self.rules.shortest_s:
            return segment.asked_at + self.rules.gather_s - now
        return 0.0

    def _part(
        self,
        segment: SegmentLeases,
        want: Want,
        free: int,
        now: float,
        live_peers: int,
        upload_bps: float,
    ) -> int:
        """How many blocks an asker with this uplink gets at most.

        What is urgent all fetch together, as superseeding does (BEP 16): each brings its share from
        the origin, on a connection of its own that starts slowly, and sends it to all others.
        """
        if self._is_shared(want):
            if now - segment.asked_at >= self.rules.gather_s:
                sharers = segment.sharers(now, self.rules.shortest_s)
            else:
                sharers = live_peers
            least = max(self.rules.least_part_blocks, want.blocks // self.rules.most_urgent_parts)
            return max(ceil(free.bit_count() / max(1, sharers)), least)
        if 0 < upload_bps < 2 * want.media_bps:
            parts = ceil(2 * want.media_bps / upload_bps)
            most = min(self.rules.most_parts, live_peers, want.blocks)
            return ceil(want.blocks / max(1, min(parts, most)))
        return want.blocks

    def _burden(self, peer: bytes) -> float:
        """What the peer's live leases count against its allowance."""
        burden = 0.0
        for position, epoch in self._led_by.get(peer, ()):
            segment = self._segments.get(position)
            lease = None if segment is None else segment.leases.get(epoch)
            small = lease is not None and lease.count <= self.rules.light_blocks
            burden += self.rules.light_weight if small else 1.0
        return burden

    def _grant(
        self,
        segment: SegmentLeases,
        peer: bytes,
        want: Want,
        wanted: int,
        blocked: int,
        now: float,
        *,
        most: int = WHOLE,
        hedge: bool = False,
    ) -> Answer:
        allowed = self.ratings.allowance(peer, now)
        if self._burden(peer) >= allowed:
            # Its own leases may be fulfilled any moment; a breaker waits to be forgiven.
            retry_s = self.rules.full_retry_s if allowed else self.rules.busy_retry_s
            return self._elsewhere(segment, peer, want, wanted, now, retry_s=retry_s)
        upper = 0
        if want.slow and most > 0:  # each asker another part, to swap
            place = int.from_bytes(peer[:4], "big") % ceil(want.blocks / most) * most
            upper = (wanted & ~blocked) >> place << place
        first, count = first_run(upper or wanted, blocked)
        if 0 < most < want.blocks and (want.urgent or most < count):
            count = min(count, most)
            segment.part_granted(peer, now, self.rules.most_ended)
            self.counts.splits += 1
        size_bytes = want.size_bytes * count // want.blocks
        expected_s = size_bytes * 8 / self.rate_bps
        duration_s = min(max(2 * expected_s, self.rules.shortest_s), self.rules.longest_s)
        segment.epoch += 1
        lease = Lease(
            segment=segment.position,
            epoch=segment.epoch,
            peer=peer,
            first=first,
            count=count,
            size_bytes=size_bytes,
            duration_s=duration_s,
            granted_at=now,
            expires_at=now + duration_s,
            advanced_at=now,
            last_at=now + self.rules.longest_life_s,
            would_hold=0,
            hedge=hedge,
        )
        lease.would_hold = as_holding((want.whole & ~wanted) | lease.mask, want.whole)
        self._add(segment, lease)
        return _granted(lease, now)

    def _elsewhere(
        self,
        segment: SegmentLeases,
        peer: bytes,
        want: Want,
        wanted: int,
        now: float,
        retry_s: float | None = None,
    ) -> Elsewhere:
        leader = segment.leader(wanted, but=peer)
        holders = segment.tell(peer, wanted, want.refused, self.rules.most_holders_told)
        if retry_s is None:
            retry_s = self._retry_s(segment, peer, want, wanted, now)
        epoch = leader.epoch if leader else segment.epoch
        name = leader.peer if leader else None
        return Elsewhere(want.segment, epoch, name, tuple(holders), retry_s)

    def _retry_s(
        self, segment: SegmentLeases, peer: bytes, want: Want, wanted: int, now: float
    ) -> float:
        """When another answer is possible: a lease runs out, or the leader may be hedged. Not
        later than after `busy_retry_s`, for a lease may be released too."""
        over = [lease for lease in segment.not_of(peer) if lease.mask & wanted]
        at = min((lease.expires_at for lease in over), default=now + self.rules.busy_retry_s)
        if want.hedge and over and segment.hedge() is None:
            stale_at = min(lease.advanced_at + self._patience_s(lease, want) for lease in over)
            at = min(at, stale_at) if stale_at > now else at
        return min(at - now, self.rules.busy_retry_s)

    def _patience_s(self, lease: Lease, want: Want) -> float:
        """How long a leader's progress counts as fresh."""
        if want.urgent and lease.size_bytes * 8 / self.rate_bps < self.rules.small_s:
            return self.rules.urgent_hedge_after_s
        return self.rules.hedge_after_s

    # Bookkeeping

    def _touch(self, position: int, now: float, path: str | None = None) -> SegmentLeases:
        segment = self._segments.get(position)
        if segment is None:
            epoch = max(int(now) + self.epoch_offset, self.epoch_floor)
            segment = SegmentLeases(position, epoch)
            self._segments[position] = segment
            self._trim(keep=position)
        else:
            self._segments.move_to_end(position)
        if path is not None and segment.path is None and path not in self._positions:
            segment.path = path
            self._positions[path] = position
        return segment

    def _held_lease(
        self, peer: bytes, position: int, epoch: int, now: float, *, fence: bool = True
    ) -> Lease | None:
        self.expire(now)
        segment = self._segments.get(position)
        lease = segment.leases.get(epoch) if segment else None
        if lease is not None and lease.peer == peer:
            return lease
        self.counts.fenced += fence
        return None

    def _add(self, segment: SegmentLeases, lease: Lease) -> None:
        key = (segment.position, lease.epoch)
        segment.leases[lease.epoch] = lease
        self._led_by.setdefault(lease.peer, set()).add(key)
        self._deadlines.set(key, lease.expires_at)
        self.counts.granted += 1
        self.counts.hedges += lease.hedge
        if not lease.hedge and lease.mask & segment.lost:
            taken_over = segment.lost_by != lease.peer
            self.counts.takeovers += taken_over
            segment.takeovers += taken_over
            segment.lost &= ~lease.mask

    def _remove(self, segment: SegmentLeases, lease: Lease) -> None:
        segment.leases.pop(lease.epoch, None)
        key = (segment.position, lease.epoch)
        self._deadlines.discard(key)
        led = self._led_by[lease.peer]
        led.discard(key)
        if not led:
            del self._led_by[lease.peer]
        segment.promote_hedge()

    def _end(self, segment: SegmentLeases, lease: Lease) -> None:
        """End it, however; its peer may still say, late or twice, that it is done."""
        segment.end(lease, self.rules.most_ended)
        self._remove(segment, lease)

    def _hold(self, segment: SegmentLeases, peer: bytes, blocks: int) -> None:
        self.segments_held += not segment.holders
        new, dropped = segment.hold(peer, blocks, self.rules.most_holders)
        if new:
            self._held_by.setdefault(peer, set()).add(segment.position)
            self._holdings += 1
        if dropped is not None:
            self._forget(segment, dropped)

    def _unhold(self, segment: SegmentLeases, peer: bytes) -> None:
        if segment.holders.pop(peer, None) is not None:
            self._forget(segment, peer)

    def _forget(self, segment: SegmentLeases, peer: bytes) -> None:
        self._holdings -= 1
        self.segments_held -= not segment.holders
        positions = self._held_by[peer]
        positions.discard(segment.position)
        if not positions:
            del self._held_by[peer]

    def _trim(self, keep: int | None = None, most_cells: int | None = None) -> None:
        """Hold the bounds by forgetting the segments that were longest untouched.

        Those with live leases stay, so that the bound may be passed by as many: a few a peer.
        """
        cells = self.cells - (self.rules.most_cells if most_cells is None else most_cells)
        segments = len(self._segments) - self.rules.most_segments
        if cells <= 0 and segments <= 0:
            return
        if most_cells is None:
            # Some more, so that walking past leased segments is paid for by many calls.
            cells += self.rules.most_cells // TRIM_SHARE if cells > 0 else 0
            segments += self.rules.most_segments // TRIM_SHARE if segments > 0 else 0
        victims = []
        for position, segment in self._segments.items():
            if not segment.leases and position != keep:
                victims.append(segment)
                cells -= 1 + len(segment.holders)
                segments -= 1
                if cells <= 0 and segments <= 0:
                    break
        for segment in victims:
            self._evict(segment)

    def _evict(self, segment: SegmentLeases) -> None:
        for peer in list(segment.holders):
            self._unhold(segment, peer)
        if segment.path is not None:
            del self._positions[segment.path]
        del self._segments[segment.position]

    def _measure(self, lease: Lease, now: float) -> None:
        """Learn the origin's rate from a fulfilled lease; little from a small one, whose time is
        mostly the way there and back."""
        rate_bps = lease.size_bytes * 8 / max(now - lease.granted_at, 0.001)
        step = self.rules.rate_step
        rate_bps = min(max(rate_bps, self.rate_bps / step), self.rate_bps * step)
        weight = self.rules.rate_weight * min(1.0, lease.size_bytes / self.rules.telling_bytes)
        self.rate_bps += weight * (rate_bps - self.rate_bps)
        self.rate_bps = min(max(self.rate_bps, self.rules.slowest_bps), self.rules.fastest_bps)


def _granted(lease: Lease, now: float) -> Granted:
    expires_s = lease.expires_at - now
    return Granted(lease.segment, lease.epoch, expires_s, lease.first, lease.count)
