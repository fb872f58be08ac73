"""One peer's mind: events in, commands out. It knows no socket, no clock and no payload.

Whoever drives it (the daemon, the simulator) reports what happened, with the time, and then carries
out `take_commands(now)`. Blocks are reported as arrived only after they were verified. `next_wake`
says when `tick` wants to be called even if nothing happens.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

from attrs import define, field

from dashp2p.content.entry import Entry
from dashp2p.swarm.commands import Abandoned, Command, Drop, Refuse, SuspectOrigin
from dashp2p.swarm.delivery import NO_DISTANCE, Delivery
from dashp2p.swarm.leading import Grant, Leading
from dashp2p.swarm.neighbour import Coming, Neighbour
from dashp2p.swarm.news import News
from dashp2p.swarm.policy import Policy
from dashp2p.swarm.replicas import Replicas
from dashp2p.swarm.sourcing import Sourcing
from dashp2p.swarm.state import State
from dashp2p.swarm.uplink import Uplink
from dashp2p.wire.errors import Code
from dashp2p.wire.frames import Fetching, Getting, Gone, Got, Request

LAG_WEIGHT = 0.5
"""Of the last tick in the average by which ticks come late."""
AVOID_S = 2.0
"""How long a neighbour that failed a delivery is not asked for that segment again."""


@define(eq=False)
class Node:
    """See the module. All block sets are bitmasks, all times monotonic seconds."""

    peer_id: bytes
    entry_of: Callable[[int], Entry | None]
    policy: Policy = field(factory=Policy)
    rng: random.Random = field(factory=random.Random)
    upload_limit_bps: float | None = None
    uploads: bool = True
    slept_s: float = 0.0
    """How long it stood still in all, with deliveries under way."""
    _awake_at: float | None = None
    state: State = field(init=False)
    sourcing: Sourcing = field(init=False)
    uplink: Uplink = field(init=False)
    news: News = field(init=False)
    leading: Leading = field(init=False)
    replicas: Replicas = field(init=False)
    _touched: set[int] = field(factory=set)
    """Segments whose deliveries something happened to since the last commands."""

    def __attrs_post_init__(self) -> None:
        self.state = State(
            self.peer_id,
            self.policy,
            self.rng,
            self.entry_of,
            self.uploads,
            self.upload_limit_bps,
        )
        self.sourcing = Sourcing(self.state)
        self.uplink = Uplink(self.state, self.upload_limit_bps)
        self.news = News(self.state, self.uplink)
        self.leading = Leading(self.state, self.sourcing)
        self.replicas = Replicas(self.state)

    # --- what the driver asks for -----------------------------------------------------------

    def take_commands(self, now: float) -> list[Command]:
        """What is to be done now, in this order.

        What follows from events is worked out here, once for all of them: a driver that reports
        several events before it asks saves that much work, and hears fewer, larger commands.
        """
        self._awake_at = now
        if self._touched:
            touched, self._touched = self._touched, set()
            for delivery in self._by_urgency():
                if delivery.entry.position in touched:
                    self._pursue(delivery, now)
        self.news.flush(now)
        self.sourcing.flush(now)
        self.leading.flush(now)
        self.replicas.flush(now)
        out, self.state.out = self.state.out, []
        return out

    def next_wake(self, now: float) -> float | None:
        """When to call `tick` at the latest; None: only after the next event."""
        due = (
            self.news.flush_at,
            self.sourcing.flush_at,
            self.uplink.wake_at,
            self.replicas.look_at,
        )
        times = [at for at in due if at is not None]
        if self.state.deliveries:
            times.append(now + self.policy.tick_s)
        elif self.leading.report_at is not None:
            times.append(self.leading.report_at)
        return min(times) if times else None

    def tick(self, now: float) -> None:
        """Look for what is late."""
        self._notice_sleep(now)
        for delivery in self._by_urgency():
            self._look_for_late(delivery, now)
            self._fill_gap(delivery, now)
            self.leading.give_back(delivery, now)
            self._pursue(delivery, now)
            self.leading.report(delivery, now)
            self.leading.abandon_unreachable(delivery, now)
            self._give_up_unasked(delivery, now)
        if self.uplink.wake_at is not None and now >= self.uplink.wake_at:
            self.uplink.pump(now)

    def _notice_sleep(self, now: float) -> None:
        """While anything is under way there is a tick each `tick_s`, unless we could not run."""
        gap_s = 0.0 if self._awake_at is None else now - self._awake_at - self.policy.tick_s
        self._awake_at = now
        if not self.state.deliveries:
            return
        if gap_s < self.policy.asleep_s:
            self.state.lag_s += LAG_WEIGHT * (max(0.0, gap_s) - self.state.lag_s)
            return
        self.slept_s += gap_s
        for delivery in self.state.deliveries.values():
            delivery.slept(gap_s)
        for neighbour in self.state.neighbours.values():
            neighbour.download.slept(gap_s)
        for outlet in self.uplink.outlets.values():
            outlet.rate.slept(gap_s)

    # --- players ----------------------------------------------------------------------------

    def want(
        self,
        entry: Entry,
        deadline_s: float,
        now: float,
        waiting: bool = True,
        spare: bool = False,
    ) -> Delivery:
        """A player (or a prefetch) needs a segment by a time. Joins a delivery under way."""
        delivery = self.state.deliveries.get(entry.position)
        if delivery is None:
            delivery = Delivery(entry, now, deadline_s, spare=spare)
            self.state.deliveries[entry.position] = delivery
            self.news.want(delivery, now)
        delivery.deadline_s = min(delivery.deadline_s, deadline_s)
        if delivery.spare and not spare:
            delivery.hurry(now)
        if waiting:
            delivery.waiters += 1
        self._touch(delivery)
        return delivery

    def unwant(self, entry: Entry, now: float, waiting: bool = True) -> None:
        """A player gave up, or (not waiting) will not ask for what was fetched ahead. Finish if
        others wait or more than half is here (design D6)."""
        delivery = self.state.deliveries.get(entry.position)
        if delivery is None:
            return
        if waiting:
            delivery.waiters = max(0, delivery.waiters - 1)
        if not self._is_worth_its_end(delivery):
            self.stop_delivery(entry, now)

    def _is_worth_its_end(self, delivery: Delivery) -> bool:
        if delivery.waiters or self.uplink.wanted(delivery.entry.position):
            return True
        return delivery.here.bit_count() * 2 > delivery.entry.block_count

    def _give_up_unasked(self, delivery: Delivery, now: float) -> None:
        """Where the player that it was fetched for has left without a word, or paused for good."""
        overdue = now - delivery.deadline_s > self.policy.unasked_s
        if delivery.spare:
            in_vain = overdue or self.state.tracker_away  # else it could be elected to fetch it
        else:
            in_vain = overdue and not self._is_worth_its_end(delivery)
        if in_vain:
            self.state.out.append(Abandoned(delivery.entry, "nobody has asked for it"))

    def stop_delivery(self, entry: Entry, now: float) -> None:
        """End a delivery that cannot succeed, whoever waits."""
        delivery = self.state.deliveries.get(entry.position)
        if delivery is not None:
            self._end(delivery, now)
            self.news.given_up(delivery)
            self.uplink.withdraw(entry.position, delivery.full)

    def _end(self, delivery: Delivery, now: float) -> None:
        for peer_id, asked in list(delivery.asked.items()):
            self.sourcing.release(delivery, peer_id, asked, now)
        self.leading.give_up(delivery)
        del self.state.deliveries[delivery.entry.position]

    # --- the cache --------------------------------------------------------------------------

    def hold(self, positions: Iterable[int]) -> None:
        """These whole, verified segments are here (from an earlier run)."""
        for position in positions:
            self.state.have |= 1 << position

    def forget(self) -> None:
        """Nothing that was said by index position holds any more: there is another index."""
        self.state.have = 0
        self.leading.forget()
        self.replicas.forget()
        self.uplink.forget_all()

    def found(self, entry: Entry, now: float) -> None:
        """A whole, verified segment turned up here (in the cache of an earlier run)."""
        delivery = self.state.deliveries.get(entry.position)
        if delivery is not None:
            self._end(delivery, now)
        self.state.have |= 1 << entry.position
        self.news.whole(entry.position)

    def evicted(self, segment: int) -> None:
        """The cache has dropped a segment."""
        if self.state.have >> segment & 1:
            self.state.have &= ~(1 << segment)
            self.news.evicted(segment)  # before anybody is refused
            entry = self.entry_of(segment)
            if entry is not None:
                self.uplink.withdraw(segment, (1 << entry.block_count) - 1)

    def lost(self, peer_id: bytes, request_id: int, entry: Entry, blocks: int, now: float) -> None:
        """What was to be sent is not here after all: told to all, and then to who asked for it."""
        self.evicted(entry.position)
        refusal = Refuse(peer_id, request_id, entry.position, blocks, int(Code.NOT_HERE))
        self.state.out.append(refusal)
        self.uplink.ready(peer_id, now)

    # --- blocks -----------------------------------------------------------------------------

    def blocks_arrived(self, peer_id: bytes | None, entry: Entry, blocks: int, now: float) -> bool:
        """Verified blocks came from a neighbour, or from the origin (None). True: now whole."""
        delivery = self.state.deliveries.get(entry.position)
        if delivery is None:
            return False
        fresh = blocks & delivery.missing
        size = delivery.size_of(fresh)
        delivery.account.duplicate_bytes += delivery.size_of(blocks & ~fresh)
        spread = True
        if peer_id is None:
            delivery.origin &= ~blocks
            delivery.account.origin_bytes += size
        else:
            spread = bool(delivery.spread_of.get(peer_id, 0) & blocks)
            self.sourcing.settle(delivery, peer_id, blocks, True, now)
            delivery.account.peers_bytes += size
            if peer_id in self.state.neighbours:
                self.state.neighbours[peer_id].heard_at = now
        if fresh:
            delivery.progress_at = now
            delivery.first_at = delivery.first_at or now
            delivery.came_at = now
        delivery.here |= fresh
        for other, asked in list(delivery.asked.items()):
            if asked & fresh:
                self.sourcing.release(delivery, other, asked & fresh, now)
        if delivery.complete:
            self._complete(delivery, now)
        elif fresh:
            self.news.arrived(delivery, fresh, spread, now)
        if peer_id is not None:
            self._touch_all()  # who sent it takes more, and that may be of another segment
        elif fresh and not delivery.complete:
            self._touch(delivery)
        self.uplink.pump(now)
        return delivery.complete

    def _complete(self, delivery: Delivery, now: float) -> None:
        segment = delivery.entry.position
        self.state.have |= 1 << segment
        del self.state.deliveries[segment]
        self.news.whole(segment)
        self.leading.complete(delivery, now)

    def refused(self, peer_id: bytes, entry: Entry, blocks: int, code: int, now: float) -> None:
        """A neighbour rejected blocks that it was asked for."""
        delivery = self.state.deliveries.get(entry.position)
        neighbour = self.state.neighbours.get(peer_id)
        if delivery is not None:
            self.sourcing.settle(delivery, peer_id, blocks, False, now)
        if code == Code.CANCELLED:
            return
        if code == Code.NOT_HERE and neighbour is not None:
            if blocks & neighbour.holds(entry):
                self._note_refusal(neighbour)
                blocks = -1  # its word about this segment is worth nothing
            neighbour.forget(entry.position, blocks, entry)
            if delivery is not None:
                delivery.tried_in_vain(peer_id, now)
        elif delivery is not None:
            delivery.avoid[peer_id] = now + self.policy.stale_s
        if delivery is not None:
            self._touch(delivery)

    def _note_refusal(self, neighbour: Neighbour) -> None:
        """By its own word it has what it refuses: frames keep their order, and GONE comes before
        the REJECT of what was lost (docs/protocol.md)."""
        neighbour.refusals += 1
        if neighbour.refusals >= self.policy.shun_after_refusals:
            why = "what it says that it has is not there"
            self.state.out.append(Drop(neighbour.peer_id, why, shun=True))

    # --- the origin and the tracker ---------------------------------------------------------

    def origin_ended(self, entry: Entry, blocks: int, failed: bool, now: float) -> None:
        """A fetch of these blocks is over; those that did not arrive are to be had elsewhere."""
        delivery = self.state.deliveries.get(entry.position)
        if delivery is None:
            return
        delivery.origin &= ~blocks
        if failed:
            self.leading.failed(delivery, now)
            if delivery.distance == 0:
                self._retract(delivery)
        self._touch(delivery)

    def origin_reachable(self, reachable: bool, now: float) -> None:
        """The origin answers, or does not."""
        if reachable:
            self.state.origin_away_since = None
        elif self.state.origin_away_since is None:
            self.state.origin_away_since = now

    def lease_answered(self, grants: Iterable[Grant], now: float) -> None:
        """The tracker's answers to the wants of one call."""
        self.state.tracker_away = False
        for grant in grants:
            delivery = self.state.deliveries.get(grant.segment)
            if delivery is None:
                if grant.granted:
                    self.leading.release_unused(grant)
                continue
            self.leading.answered(delivery, grant, now)
            self._touch(delivery)

    def lease_unanswered(self, segments: Iterable[int], now: float) -> None:
        """The tracker did not answer a call about these segments."""
        self.state.tracker_away = True
        for segment in segments:
            delivery = self.state.deliveries.get(segment)
            if delivery is not None:
                self.leading.unanswered(delivery, now)
                self._touch(delivery)

    def tracker_reachable(self) -> None:
        """The tracker answers (again)."""
        self.state.tracker_away = False

    # --- neighbours -------------------------------------------------------------------------

    def joined(self, peer_id: bytes, uploads: bool, whole: int, now: float) -> Neighbour:
        """A link is open, and this is what the other side has."""
        neighbour = Neighbour(peer_id, uploads, whole, heard_at=now)
        self.state.neighbours[peer_id] = neighbour
        self.uplink.join(peer_id)
        self.news.greet(neighbour)
        self._touch_all()
        return neighbour

    def has(self, peer_id: bytes, whole: int, now: float) -> None:
        """It told again what it has (it had no index before)."""
        neighbour = self.state.neighbours.get(peer_id)
        if neighbour is not None:
            neighbour.whole |= whole
            self._touch_all()

    def left(self, peer_id: bytes, now: float) -> None:
        """The link is gone."""
        neighbour = self.state.neighbours.pop(peer_id, None)
        self.uplink.leave(peer_id)
        for delivery in self._by_urgency():
            if neighbour is not None and neighbour.holds(delivery.entry):
                delivery.tried_in_vain(peer_id, now)
            delivery.note_answered(peer_id, delivery.asked.get(peer_id, 0), now)
            delivery.heard_at.pop(peer_id, None)
            self._touch(delivery)

    def leaving(self, peer_id: bytes, now: float) -> None:
        """It will leave: nothing more is asked of it."""
        neighbour = self.state.neighbours.get(peer_id)
        if neighbour is not None:
            neighbour.leaving = True
            self._touch_all()

    def told(self, peer_id: bytes, frame: Got | Getting | Gone, now: float) -> None:
        """News of a neighbour."""
        neighbour = self.state.neighbours.get(peer_id)
        if neighbour is None:
            return
        neighbour.heard_at = now
        touched: set[int] = set()
        for item in frame.news:
            entry = self.entry_of(item.segment)
            count = None if entry is None else entry.block_count
            touched.add(item.segment)
            if isinstance(item, Fetching):
                knew = neighbour.interested(item.segment)
                coming = Coming(item.epoch, item.distance, item.blocks)
                neighbour.note_coming(item.segment, coming, count)
                if item.distance == 0:
                    self.replicas.heard(item.segment, now)
                if not knew and neighbour.interested(item.segment):
                    self.news.catch_up(neighbour, item.segment)
            elif isinstance(frame, Got):
                neighbour.note_got(item.segment, item.blocks, count)
                if neighbour.has_whole(item.segment):
                    self.replicas.heard(item.segment, now)
            else:
                self._suspect(neighbour, item.segment)
                neighbour.note_gone(item.segment, item.blocks, count)
                self._lost_source(neighbour, item.segment, now)
        for segment in touched:
            delivery = self.state.deliveries.get(segment)
            if delivery is not None:
                if isinstance(frame, Getting):
                    delivery.progress_at = max(delivery.progress_at, now)
                self._touch(delivery)

    def _suspect(self, neighbour: Neighbour, segment: int) -> None:
        """Who waits for what a neighbour fetches learns first that the origin may be away."""
        coming = neighbour.coming(segment)
        if coming is not None and coming.distance == 0 and segment in self.state.deliveries:
            self.state.out.append(SuspectOrigin())

    def _lost_source(self, neighbour: Neighbour, segment: int, now: float) -> None:
        delivery = self.state.deliveries.get(segment)
        if delivery is None:
            return
        coming = neighbour.coming(segment)
        still = neighbour.holds(delivery.entry) | (coming.blocks if coming else 0)
        lost = delivery.asked.get(neighbour.peer_id, 0) & ~still
        self.sourcing.release(delivery, neighbour.peer_id, lost, now)

    def requested(self, peer_id: bytes, request: Request, now: float) -> None:
        """A neighbour asks us."""
        if peer_id in self.state.neighbours:
            self.state.neighbours[peer_id].heard_at = now
        self.uplink.request(peer_id, self.entry_of(request.segment), request, now)

    def cancelled(self, peer_id: bytes, request_id: int, segment: int, blocks: int) -> None:
        """A neighbour takes back what it asked."""
        self.uplink.cancel(peer_id, request_id, segment, blocks)

    def link_ready(self, peer_id: bytes, now: float) -> None:
        """A link has taken what it was given."""
        self.uplink.ready(peer_id, now)

    # --- what follows from each event -------------------------------------------------------

    def _by_urgency(self) -> list[Delivery]:
        """Earliest deadline first; among equals the one with the least to come, as sound beside
        pictures: room at neighbours is taken in this order."""
        return sorted(
            self.state.deliveries.values(),
            key=lambda delivery: (delivery.deadline_s, delivery.missing.bit_count()),
        )

    def _touch(self, delivery: Delivery) -> None:
        self._touched.add(delivery.entry.position)

    def _touch_all(self) -> None:
        self._touched.update(self.state.deliveries)

    def _pursue(self, delivery: Delivery, now: float) -> None:
        supplied = self.sourcing.assign(delivery, now)
        self.leading.consider(delivery, supplied, now)
        self._announce(delivery, supplied)

    def _announce(self, delivery: Delivery, supplied: int) -> None:
        """Say what is on its way, and how far from the origin, when that has changed."""
        if delivery.origin:
            before = delivery.announced if delivery.distance == 0 else 0
            self.news.getting(delivery, 0, before | delivery.origin)
            return
        if delivery.distance == 0:
            return
        distance = self._farthest_source(delivery) + 1
        if distance > self.policy.most_hops:
            distance = NO_DISTANCE
        nearer = distance < delivery.distance
        more = distance == delivery.distance and delivery.announced != delivery.full
        if distance != NO_DISTANCE and (nearer or more):
            blocks = self._promised(delivery)
            new = blocks & ~delivery.announced
            if (nearer and blocks) or _tells_much(new, blocks, delivery.full):
                self.news.getting(delivery, distance, blocks)
                return
        if delivery.announced & delivery.missing & ~supplied:
            self._retract(delivery)

    def _retract(self, delivery: Delivery) -> None:
        """What we promised is not on its way any more: whoever waits for it looks elsewhere."""
        self.news.getting(delivery, NO_DISTANCE, 0)
        self.uplink.withdraw(delivery.entry.position, delivery.missing)

    def _sources(self, delivery: Delivery) -> list[Neighbour]:
        """The neighbours that will pass on to us what is on its way to them."""
        neighbours = self.state.neighbours
        return [neighbours[peer_id] for peer_id in delivery.spread_of if peer_id in neighbours]

    def _farthest_source(self, delivery: Delivery) -> int:
        """The greatest distance among them, or two could come to wait for each other."""
        segment = delivery.entry.position
        farthest = -1
        for neighbour in self._sources(delivery):
            coming = None if neighbour.has_whole(segment) else neighbour.coming(segment)
            farthest = max(farthest, 0 if coming is None else coming.distance)
        return farthest if farthest >= 0 else NO_DISTANCE

    def _promised(self, delivery: Delivery) -> int:
        """What they will pass on to us, and what is here or can be had at once: no block beyond
        what they promise themselves, or the promise is taken back as soon as it is made, again and
        again (docs/protocol.md, GETTING)."""
        blocks = 0
        for neighbour in self._sources(delivery):
            blocks |= neighbour.promises(delivery.entry)
        if not blocks:
            return 0
        return blocks | delivery.here | delivery.asked_blocks() | self.sourcing.held(delivery)

    def _fill_gap(self, delivery: Delivery, now: float) -> None:
        """In a hurry, ask of others that have it what does not come, though nobody is to blame."""
        if not delivery.came_at or now - delivery.came_at < self.state.gap_s:
            return
        if not self.sourcing.is_urgent(delivery, now):
            return
        for peer_id, asked in list(delivery.asked.items()):
            elsewhere = asked & self.sourcing.held(delivery, but=peer_id)
            if elsewhere:
                self.sourcing.release(delivery, peer_id, elsewhere, now)

    def _look_for_late(self, delivery: Delivery, now: float) -> None:
        for peer_id in [peer for peer, until in delivery.avoid.items() if now >= until]:
            del delivery.avoid[peer_id]
        if delivery.spare:
            self._leave_silent(delivery, now)
            return
        for peer_id, asked in list(delivery.asked.items()):
            neighbour = self.state.neighbours.get(peer_id)
            if neighbour is None:
                continue
            if not neighbour.holds(delivery.entry) & asked:
                # On its way there: a leader's silence is the hedge's business.
                self._leave_for_another(delivery, neighbour, asked, now)
                continue
            expected_s = neighbour.queue_time_s() + neighbour.rtt_s
            limit_s = max(self.policy.late_floor_s, self.policy.late_factor * expected_s)
            limit_s += self.state.allowance_s
            quiet_s = now - delivery.heard_at.get(peer_id, now)
            hurried = quiet_s < limit_s and self._is_held_up(delivery, neighbour, now)
            if quiet_s < limit_s and not hurried:
                continue
            patience_s = max(limit_s, self.policy.stale_share * (delivery.deadline_s - now))
            if not neighbour.reliable or now - neighbour.heard_at >= patience_s:
                delivery.tried_in_vain(peer_id, now)  # the tracker may still count on it
            neighbour.broken += not hurried
            neighbour.doubted = True
            delivery.avoid[peer_id] = now + (self.policy.stale_s if hurried else AVOID_S)
            self.sourcing.release(delivery, peer_id, asked, now)
            if neighbour.broken >= self.policy.drop_after_broken:
                self.state.out.append(Drop(peer_id, "it broke its promises"))

    def _leave_for_another(
        self, delivery: Delivery, silent: Neighbour, asked: int, now: float
    ) -> None:
        """It was to bring them, nothing is heard of it, and another has them now or brings them:
        asked of the first, they would be pulled from the second a few at a time."""
        if now - max(silent.heard_at, delivery.wanted_at) < self.state.stale_s:
            return
        segment, brought = delivery.entry.position, 0
        for neighbour in self.state.neighbours.values():
            if neighbour is silent or not neighbour.usable:
                continue
            coming = neighbour.coming(segment)
            brought |= neighbour.holds(delivery.entry)
            if coming is not None and coming.distance == 0:
                brought |= coming.blocks
        if asked & brought:
            delivery.avoid[silent.peer_id] = now + AVOID_S
            self.sourcing.release(delivery, silent.peer_id, asked & brought, now)

    def _leave_silent(self, delivery: Delivery, now: float) -> None:
        """Who is asked for a spare may have more urgent things to do; but it says something."""
        for peer_id, asked in list(delivery.asked.items()):
            neighbour = self.state.neighbours.get(peer_id)
            if neighbour is None or now - neighbour.heard_at < self.policy.replica_silent_s:
                continue
            delivery.avoid[peer_id] = now + self.policy.replica_silent_s
            self.sourcing.release(delivery, peer_id, asked, now)

    def _is_held_up(self, delivery: Delivery, neighbour: Neighbour, now: float) -> bool:
        """Whether a player waits for somebody of whom we know no good."""
        if neighbour.reliable or not self.sourcing.is_urgent(delivery, now):
            return False
        # A crowd that starts on a busy machine is slow all over, and we ourselves show it.
        usual_s = self.policy.late_factor * neighbour.rtt_s + self.state.allowance_s
        quiet_s = now - delivery.heard_at.get(neighbour.peer_id, now)
        return quiet_s >= max(self.policy.late_untried_s, usual_s)


def _tells_much(new: int, promised: int, full: int) -> bool:
    """Whether what was not announced yet is worth a word: the rest, or an eighth of all."""
    return bool(new) and (promised == full or new.bit_count() * 8 >= full.bit_count())
