"""Who may fetch from the origin: leases asked for, granted, lost, and the ways around them.

A lease is asked for only what no neighbour has or leads. While another leads, one waiter may hedge,
under a lease of its own, once there was no news for a while. When the player's deadline leaves just
enough time to fetch the rest from the origin, that is done without asking anybody, out of a small
budget. When the tracker is away, the lowest hash among those who want the segment leads.

A peer that does not upload asks for no leases: it waits for neighbours that want the segment too,
and after a second, or where there are none, fetches for itself.
"""

from __future__ import annotations

from math import ceil, inf

from attrs import define, field, frozen

from dashp2p.swarm.commands import Abandoned, CallTracker, FetchOrigin, Held, StopOrigin, Want
from dashp2p.swarm.delivery import Delivery
from dashp2p.swarm.meters import TokenBucket
from dashp2p.swarm.sourcing import Sourcing, leader_by_hash
from dashp2p.swarm.state import State
from dashp2p.wire.blockset import iter_runs

ANSWER_LIMIT_S = 1.0
"""A lease call that is not answered by then counts as "the tracker is away" for this delivery."""
ELECTION_S = 0.15
"""Without a tracker: how long others may say that they want the segment too."""
REACH_S = 0.8
"""A holder that the tracker named and that is no neighbour after so long is out of reach."""
HOPELESS_S = 0.5
"""With the origin away: a player waits so long for blocks that nobody has. It is time enough for a
lease and a try, or for a look that finds the origin back; a second is what players are promised."""
SHARERS = 3
"""With fewer neighbours, as just after a start, who leads had better fetch it all."""
SHARE_S = 0.05
"""Who was granted a part hears by then who was granted the others."""
MIN_RETRY_S = 0.05
MERGE_GAP_BLOCKS = 2
"""Missing runs nearer to each other than this are fetched as one."""
MAX_REPORTS = 256


@frozen
class Grant:
    """The tracker's answer for one segment: granted with these blocks, or who has or leads it."""

    segment: int
    granted: bool
    epoch: int
    first: int = 0
    count: int = 0
    leader: bytes | None = None
    retry_s: float = 0.5
    holders: tuple[bytes, ...] = ()
    """Who has it, as far as the tracker knows: they may be gone, or be no neighbours of ours."""


@define(eq=False)
class Leading:
    """Lease state of all deliveries of one node."""

    state: State
    sourcing: Sourcing
    rescue: TokenBucket = field(init=False)
    takeovers: int = 0
    hedges: int = 0
    rescues: int = 0
    leases_won: int = 0
    _wants: dict[int, Want] = field(factory=dict)
    _progress: list[Held] = field(factory=list)
    _done: list[Held] = field(factory=list)
    _release: list[Held] = field(factory=list)
    report_at: float | None = None

    def __attrs_post_init__(self) -> None:
        policy = self.state.policy
        self.rescue = TokenBucket(1 / policy.rescue_refill_s, float(policy.rescue_burst))

    # --- decisions --------------------------------------------------------------------------

    def consider(self, delivery: Delivery, supplied: int, now: float) -> None:
        """See to it that somebody fetches whatever nobody has: what neighbours do not supply."""
        wanted = delivery.missing & ~delivery.origin
        if not wanted or delivery.spare or now < delivery.retry_origin_at:
            return
        if not self.state.policy.leases:
            self._lead_alone(delivery, wanted, supplied, now)
            self._rescue(delivery, wanted, now)
            return
        lacking = wanted & ~supplied
        if not self.state.uploads:
            if lacking or self._stale(delivery, now):
                self._elect(delivery, lacking or wanted, now)
        elif lacking:
            if self.state.tracker_away or self._unanswered(delivery, now):
                self._elect(delivery, lacking, now)
            elif delivery.lease_asked_at is None and now >= delivery.lease_again_at:
                self._want(delivery, lacking, delivery.led_by is not None, now)
        elif self._stale(delivery, now) or self._hangs(delivery, now):
            self._hedge(delivery, wanted, now)
        elif self._too_slow(delivery, now):
            self._want(delivery, wanted, False, now, slow=True)
        elif self.sourcing.is_urgent(delivery, now):
            self._ask_about_doubtful(delivery, wanted, now)
        self._rescue(delivery, wanted, now)

    def _ask_about_doubtful(self, delivery: Delivery, wanted: int, now: float) -> None:
        """The tracker knows whether somebody holds what only strangers say to have, and what they
        have sent nothing of for a moment. To find out by waiting would cost the player more."""
        if delivery.lease_asked_at is not None or now < delivery.lease_again_at:
            return
        if now - delivery.wanted_at < self.state.policy.stranger_s:
            return
        doubtful = wanted & self.sourcing.doubtful(delivery)
        if doubtful and not self.state.tracker_away:
            self._want(delivery, doubtful, False, now)

    def _lead_alone(self, delivery: Delivery, wanted: int, supplied: int, now: float) -> None:
        if not supplied & wanted:
            self.fetch(delivery, wanted, "no-lease", now)

    def _unanswered(self, delivery: Delivery, now: float) -> bool:
        asked_at = delivery.lease_asked_at
        return asked_at is not None and now - asked_at > ANSWER_LIMIT_S

    def _stale(self, delivery: Delivery, now: float) -> bool:
        quiet_s = now - max(delivery.progress_at, delivery.wanted_at)
        patience_s = self.state.policy.stale_share * (delivery.deadline_s - now)
        return quiet_s > max(self.state.stale_s, min(patience_s, self.state.policy.stale_most_s))

    def _hangs(self, delivery: Delivery, now: float) -> bool:
        """Whether, in a hurry, all has come but what somebody was to bring long ago.

        Whoever brings a small part and is slow may have lost its request on the way.
        """
        if not delivery.came_at or not self.sourcing.is_urgent(delivery, now):
            return False
        quiet = now - delivery.came_at >= self.state.gap_s
        return quiet and now - delivery.wanted_at >= self.state.policy.stale_s / 2

    def _hedge(self, delivery: Delivery, wanted: int, now: float) -> None:
        if not self.state.policy.hedging or now < delivery.hedge_again_at:
            return
        delivery.hedge_again_at = now + self.state.policy.stale_s / 2
        if self.state.tracker_away:
            self._elect(delivery, wanted, now)
        elif delivery.lease_asked_at is None:
            self._want(delivery, wanted, True, now)

    def _too_slow(self, delivery: Delivery, now: float) -> bool:
        """Whether neighbours bring less than a player needs that is to keep its rung.

        Only where uplinks are thin: there one or two holders can't feed all who want a segment,
        however well they swap, and the tracker lets us fetch a part that they have.
        """
        policy, entry = self.state.policy, delivery.entry
        if not delivery.waiters or delivery.origin or not entry.duration_s:
            return False
        if not self.state.origin_gives_parts():
            return False
        if delivery.lease_asked_at is not None or now < delivery.slow_again_at:
            return False
        media_bps = entry.size_bytes * 8 / entry.duration_s
        if self.state.uplink_bps is None or self.state.uplink_bps >= 2 * media_bps:
            return False
        age_s = now - delivery.wanted_at
        due_bytes = policy.pace * media_bps / 8 * age_s
        return age_s >= policy.pace_after_s and delivery.size_of(delivery.here) < due_bytes

    def _want(
        self, delivery: Delivery, missing: int, hedge: bool, now: float, slow: bool = False
    ) -> None:
        delivery.lease_asked_at = now
        delivery.slow_asked = slow
        if delivery.told and now - delivery.told_at >= REACH_S:
            delivery.refused |= delivery.told - self.state.neighbours.keys()
            delivery.told = frozenset()
        self._wants[delivery.entry.position] = Want(
            delivery.entry,
            missing,
            hedge,
            tuple(sorted(delivery.refused))[:16],
            slow,
            self._shares(delivery, now),
        )

    def _shares(self, delivery: Delivery, now: float) -> bool:
        """Whether a part is of use: in a hurry, and where the others' parts will be heard of."""
        if not self.state.origin_gives_parts():
            return False
        linked = sum(neighbour.usable for neighbour in self.state.neighbours.values())
        return linked >= SHARERS and self.sourcing.is_urgent(delivery, now)

    def _elect(self, delivery: Delivery, wanted: int, now: float) -> None:
        if now - delivery.wanted_at < ELECTION_S:
            return
        segment = delivery.entry.position
        # Who does not upload leads for nobody: others would wait for him in vain.
        candidates = [self.state.peer_id] if self.state.uploads else []
        candidates += [
            peer_id
            for peer_id, neighbour in self.state.neighbours.items()
            if neighbour.usable and neighbour.interested(segment) and peer_id not in delivery.avoid
        ]
        quiet_s = now - max(delivery.progress_at, delivery.wanted_at)
        leader = leader_by_hash(candidates, segment) if candidates else self.state.peer_id
        if leader == self.state.peer_id or quiet_s > 1.0:
            self.fetch(delivery, wanted, "elected", now)

    def _rescue(self, delivery: Delivery, wanted: int, now: float) -> None:
        """The last way out: the player would wait in vain for whoever promised the rest.

        Where many neighbours wait too, each fetches a part, and they swap; twice as much each time
        that it is not enough. Else a large crowd that is late together would ask the origin for a
        copy each, which makes everybody later.
        """
        wanted = delivery.missing & ~delivery.origin
        if not wanted or not delivery.waiters:
            return
        size_bits = delivery.size_of(wanted) * 8
        needed_s = self.state.origin_rtt_s + size_bits / max(self.state.origin_rate_bps, 1e5)
        slack_s = delivery.deadline_s - now
        rivals = self.sourcing.rivals(delivery)  # a single one is who should bring it
        parts = max(1, (1 + rivals) >> delivery.account.rescues) if rivals > 1 else 1
        spare_s = self.state.policy.guard_s * (2 if parts > 1 else 1)
        if slack_s > needed_s + spare_s:
            return
        quiet_s = now - max(delivery.progress_at, delivery.wanted_at)
        if quiet_s < self.state.stale_s / 2 and slack_s > -self.state.policy.start_grace_s:
            return  # it is late but moving: fetching it again would slow everybody
        if self.rescue.take(1.0 / parts, now):
            self.rescues += 1
            delivery.account.rescues += 1
            part = ceil(wanted.bit_count() / parts)
            self.fetch(delivery, self.sourcing.scattered(wanted, part), "deadline", now)

    def fetch(self, delivery: Delivery, blocks: int, why: str, now: float) -> None:
        """Start fetching these blocks from the origin."""
        blocks &= delivery.missing & ~delivery.origin
        if not blocks:
            return
        for peer_id, asked in list(delivery.asked.items()):
            self.sourcing.release(delivery, peer_id, asked & blocks, now)
        delivery.origin |= blocks
        delivery.progress_at = now
        for first, count in merged_runs(blocks, MERGE_GAP_BLOCKS):
            self.state.out.append(FetchOrigin(delivery.entry, first, count, why))

    # --- answers ----------------------------------------------------------------------------

    def answered(self, delivery: Delivery, grant: Grant, now: float) -> None:
        """The tracker's answer for this delivery."""
        delivery.lease_asked_at = None
        delivery.epoch = max(delivery.epoch, grant.epoch)
        slow, delivery.slow_asked = delivery.slow_asked, False
        if slow:
            delivery.slow_again_at = now + max(grant.retry_s, self.state.policy.pace_after_s)
        if not grant.granted:
            if not slow:  # else it is on its way, as before
                self._elsewhere(delivery, grant, now)
            return
        blocks = ((1 << grant.count) - 1) << grant.first & delivery.missing & ~delivery.origin
        if not blocks:
            self._release.append(Held(delivery.entry.position, grant.epoch))
            return
        self.leases_won += 1
        if not slow:
            self._count_help(delivery, blocks)
        delivery.leases[grant.epoch] = blocks
        delivery.reported_at = now
        delivery.lease_again_at = now + SHARE_S
        self.fetch(delivery, blocks, "lease", now)

    def _count_help(self, delivery: Delivery, blocks: int) -> None:
        """What another led is fetched here: for him, or beside him."""
        if delivery.led_by is not None and not self._leads(delivery.led_by, delivery):
            delivery.account.takeovers += 1
            self.takeovers += 1
        if (delivery.asked_blocks() | self.sourcing.supplied(delivery)) & blocks:
            delivery.account.hedges += 1
            self.hedges += 1

    def _elsewhere(self, delivery: Delivery, grant: Grant, now: float) -> None:
        named = {*grant.holders, *([grant.leader] if grant.leader else ())}
        shunned = {peer_id for peer_id in named if self.state.shuns(peer_id)}
        news = shunned - delivery.refused
        delivery.refused |= shunned
        delivery.led_by = grant.leader
        delivery.told_at = delivery.told_at if delivery.told else now
        delivery.told |= frozenset(grant.holders) - delivery.refused
        retry_s = grant.retry_s
        if news and not delivery.told:
            retry_s = 0.0  # with whom we have nothing to do: the tracker should know
        delivery.lease_again_at = now + max(retry_s, MIN_RETRY_S)

    def _leads(self, peer_id: bytes, delivery: Delivery) -> bool:
        """Whether that neighbour still brings a part from the origin."""
        neighbour = self.state.neighbours.get(peer_id)
        coming = None if neighbour is None else neighbour.coming(delivery.entry.position)
        return coming is not None and coming.distance == 0

    def unanswered(self, delivery: Delivery, now: float) -> None:
        """The tracker did not answer."""
        delivery.lease_asked_at = None
        delivery.lease_again_at = now + self.state.policy.stale_s

    def failed(self, delivery: Delivery, now: float) -> None:
        """The origin did not give what was being fetched: leave it to others, try again later."""
        self._release_all(delivery)
        delivery.origin = 0
        delivery.origin_failures += 1
        delivery.retry_origin_at = now + min(4.0, 0.25 * 2**delivery.origin_failures)

    def give_back(self, delivery: Delivery, now: float) -> None:
        """Leave a fetch that hangs when neighbours have all of what it was to bring."""
        if not delivery.origin or not self._stale(delivery, now):
            return
        if delivery.origin & ~self.sourcing.held(delivery):
            return
        self.state.out.append(StopOrigin(delivery.entry))
        self._release_all(delivery)
        delivery.origin = 0

    def complete(self, delivery: Delivery, now: float) -> None:
        """The segment is whole: tell the tracker, at once where a lease is fulfilled by it."""
        segment = delivery.entry.position
        if not self.state.uploads:
            return  # a holder is whom others may ask
        if delivery.leases:
            self._done.extend(Held(segment, epoch) for epoch in delivery.leases)
            self.report_at = min(self.report_at or inf, now + self.state.policy.done_s)
        elif len(self._done) < MAX_REPORTS:
            self._done.append(Held(segment, 0))
            self.report_at = self.report_at or now + self.state.policy.report_s
        self._wants.pop(segment, None)

    def release_unused(self, grant: Grant) -> None:
        """A lease came for a delivery that is over."""
        self._release.append(Held(grant.segment, grant.epoch))

    def forget(self) -> None:
        """Drop what has gathered for the tracker."""
        self._wants.clear()
        for gathered in (self._progress, self._done, self._release):
            gathered.clear()
        self.report_at = None

    def give_up(self, delivery: Delivery) -> None:
        """Nobody needs the segment any more."""
        if delivery.origin:
            self.state.out.append(StopOrigin(delivery.entry))
        self._release_all(delivery)
        self._wants.pop(delivery.entry.position, None)

    def _release_all(self, delivery: Delivery) -> None:
        segment = delivery.entry.position
        self._release.extend(Held(segment, epoch) for epoch in delivery.leases)
        delivery.leases.clear()

    # --- calls ------------------------------------------------------------------------------

    def report(self, delivery: Delivery, now: float) -> None:
        """Tell the tracker how far the leased blocks are, now and then."""
        if not delivery.leases or now - delivery.reported_at < self.state.policy.progress_s:
            return
        delivery.reported_at = now
        for epoch, blocks in list(delivery.leases.items()):
            held = Held(delivery.entry.position, epoch, (blocks & delivery.here).bit_count())
            if blocks & ~delivery.here:
                self._progress.append(held)
            else:  # a part is here before the whole: its lease must not run out meanwhile
                del delivery.leases[epoch]
                self._done.append(held)
                self.report_at = now

    def flush(self, now: float) -> None:
        """Make one call of everything that should not wait."""
        due = self.report_at is not None and now >= self.report_at
        if not (self._wants or self._progress or self._release or due):
            return
        self.state.out.append(
            CallTracker(
                tuple(self._wants.values()),
                tuple(self._progress),
                tuple(self._done),
                tuple(self._release),
            )
        )
        self._wants.clear()
        self._progress.clear()
        self._done.clear()
        self._release.clear()
        self.report_at = None

    def abandon_unreachable(self, delivery: Delivery, now: float) -> None:
        """No origin, and nobody has it: say so promptly rather than keep the player waiting."""
        hopeless = self._hopeless(delivery, now)
        if delivery.waiters and (hopeless or self._tried_in_vain(delivery)):
            self.state.out.append(Abandoned(delivery.entry, "neither origin nor peers have it"))

    def _tried_in_vain(self, delivery: Delivery) -> bool:
        """Whether the origin failed twice, and nobody promises the rest. Once is enough where it
        was away before: a player that tries again hears it at once."""
        since = self.state.origin_away_since
        was_away = since is not None and since < delivery.wanted_at
        if delivery.origin_failures < (1 if was_away else 2):
            return False
        supplied = self.sourcing.supplied(delivery)
        return bool(delivery.missing & ~supplied & ~delivery.origin)

    def _hopeless(self, delivery: Delivery, now: float) -> bool:
        """Whether the origin is away, and for a while nobody has had what is missing. Promises do
        not count: others wait for the same origin, and a fetch of ours may hang at it."""
        away_since = self.state.origin_away_since
        if away_since is None:
            return False
        lacking = delivery.missing
        for neighbour in self.state.neighbours.values():
            if neighbour.uploads:
                lacking &= ~neighbour.holds(delivery.entry)
        if lacking != delivery.lacking:
            delivery.lacking, delivery.lacking_at = lacking, now
        began_at = max(away_since, delivery.lacking_at)
        if delivery.told - self.state.neighbours.keys():
            began_at = max(began_at, delivery.told_at)  # who has it may be reached yet
        return bool(lacking) and now - began_at >= HOPELESS_S


def merged_runs(blocks: int, gap: int) -> list[tuple[int, int]]:
    """A set as (first, count) runs, those at most `gap` blocks apart made one."""
    runs: list[tuple[int, int]] = []
    for first, count in iter_runs(blocks):
        if runs and first - sum(runs[-1]) <= gap:
            runs[-1] = (runs[-1][0], first + count - runs[-1][0])
        else:
            runs.append((first, count))
    return runs
