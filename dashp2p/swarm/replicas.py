"""Which segments are copied from neighbours so that more than one or two peers hold them.

Whoever is ahead of the crowd leads, and then holds alone, what the others will ask for. If it goes,
the origin sends all of that once more. So those who come after it on the same rung take copies of
it: from its uplink while it arrives there, never from the origin.

Nobody decides who that is. The nearer a peer is, the sooner it begins, and who hears meanwhile that
enough others have begun leaves it alone, as receivers of multicast suppress repeated requests
(Floyd et al., "A reliable multicast framework", SIGCOMM 1995). So nothing is lost where the nearest
has stopped without a word.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field, frozen

from dashp2p.content.entry import Entry
from dashp2p.swarm.commands import Replicate
from dashp2p.swarm.neighbour import Neighbour
from dashp2p.swarm.policy import Policy
from dashp2p.swarm.sourcing import tie_break
from dashp2p.swarm.state import State

MOST_UPCOMING = 32
"""Of very short segments no more are looked at."""
MOST_FOLLOWED = 16
"""So many tracks of players are followed; who came last is followed instead of who came first."""


@frozen
class Upcoming:
    """A segment that our player comes to, and when it will be due if the player goes on."""

    entry: Entry
    deadline_s: float


@frozen
class Followed:
    """Where our player is on one track, and what comes next on its rung, in order."""

    current: Entry
    upcoming: tuple[Upcoming, ...]

    def before(self, upcoming: Upcoming) -> int:
        """Bit p for each segment at index position p that our player comes to before that one."""
        positions = 0
        for other in self.upcoming:
            if other is upcoming:
                break
            positions |= 1 << other.entry.position
        return positions


def followed(
    policy: Policy,
    following: Callable[[Entry], Entry | None],
    current: Entry,
    deadline_s: float,
    now: float,
) -> Followed:
    """Of a player that asks for the segment `current`, due at `deadline_s`; `following` gives the
    next of the same rung."""
    upcoming: list[Upcoming] = []
    entry = current
    while (after := following(entry)) is not None and len(upcoming) < MOST_UPCOMING:
        deadline_s += entry.duration_s or 0.0
        if deadline_s - now > policy.replica_within_s:
            break
        upcoming.append(Upcoming(after, deadline_s))
        entry = after
    return Followed(current, tuple(upcoming))


@define(eq=False)
class Replicas:
    """Of one node. A track is one player's pictures or sound, by any name that tells them apart;
    times are monotonic seconds.
    """

    state: State
    look_at: float | None = None
    """When `flush` has something to do, if at all."""
    _followed: dict[str, Followed] = field(factory=dict)
    _rare_since: dict[int, float] = field(factory=dict)
    """By segment that our player comes to: since when we know that few have it."""

    def follow(self, track: str, found: Followed, now: float) -> None:
        """Our player has come here, and is likely to go on."""
        self._followed.pop(track, None)
        while len(self._followed) >= MOST_FOLLOWED:
            del self._followed[next(iter(self._followed))]
        self._followed[track] = found
        self._look_by(now)

    def leave(self, track: str) -> None:
        """It is not known where our player goes from here."""
        self._followed.pop(track, None)

    def forget(self) -> None:
        """There is another film."""
        self._followed.clear()
        self._rare_since.clear()

    def is_upcoming(self, segment: int) -> bool:
        """Whether a player here is likely to come to it."""
        return any(
            upcoming.entry.position == segment
            for found in self._followed.values()
            for upcoming in found.upcoming
        )

    def heard(self, segment: int, now: float) -> None:
        """A neighbour has the segment, or fetches it from the origin."""
        if self.is_upcoming(segment):
            self._look_by(now)

    def flush(self, now: float) -> None:
        """Begin with what is due, if it is time."""
        if self.look_at is None or now < self.look_at:
            return
        self.look_at = None
        before, self._rare_since = self._rare_since, {}
        if self.state.tracker_away or not self.state.uploads:
            return  # without a tracker, who wants a segment may be elected to fetch it
        room = self.state.policy.replicas_at_once
        room -= sum(one.spare and bool(one.asked) for one in self.state.deliveries.values())
        for found in self._current(now):
            for upcoming in found.upcoming:
                if not self._is_due(found, upcoming, before, now):
                    continue
                if room <= 0:
                    self._look_by(now + self.state.policy.replica_step_s)
                    return
                room -= 1
                self.state.out.append(Replicate(upcoming.entry, upcoming.deadline_s))

    def _look_by(self, at: float) -> None:
        self.look_at = at if self.look_at is None else min(at, self.look_at)

    def _current(self, now: float) -> list[Followed]:
        """Who has not asked for its next segment by the time when it needed it has gone."""
        for track, found in list(self._followed.items()):
            if not found.upcoming or found.upcoming[0].deadline_s < now:
                del self._followed[track]
        return list(self._followed.values())

    def _is_due(
        self, found: Followed, upcoming: Upcoming, before: dict[int, float], now: float
    ) -> bool:
        segment, policy = upcoming.entry.position, self.state.policy
        if self.state.have >> segment & 1 or segment in self.state.deliveries:
            return False
        known = self._known(segment, now)
        if len(known) >= policy.replica_copies or not _has_source(known, segment):
            return False
        since = self._rare_since[segment] = before.get(segment, now)
        due_at = since + self._nearer(found, upcoming, known, now) * policy.replica_step_s
        if now < due_at:
            self._look_by(due_at)
        return now >= due_at

    def _known(self, segment: int, now: float) -> list[Neighbour]:
        """Who has it or wants it, of those who are there."""
        return [
            neighbour
            for neighbour in self._there(now)
            if neighbour.has_whole(segment) or neighbour.interested(segment)
        ]

    def _there(self, now: float) -> list[Neighbour]:
        silent_s = self.state.policy.replica_silent_s
        return [
            neighbour
            for neighbour in self.state.neighbours.values()
            if neighbour.usable and now - neighbour.heard_at < silent_s
        ]

    def _nearer(
        self, found: Followed, upcoming: Upcoming, known: list[Neighbour], now: float
    ) -> int:
        """How many of the others are nearer to it on its rung than we; of those who are as near,
        who comes first by an order that differs by segment."""
        segment, passed, count = upcoming.entry.position, found.before(upcoming), 0
        own = tie_break(self.state.peer_id, b"", segment)
        for neighbour in self._there(now):
            if neighbour in known:
                continue
            if neighbour.whole & passed:
                count += 1
            elif neighbour.has_whole(found.current.position):
                count += tie_break(neighbour.peer_id, b"", segment) < own
        return count


def _has_source(known: list[Neighbour], segment: int) -> bool:
    """Whether one of them has it, or fetches it from the origin."""
    for neighbour in known:
        coming = neighbour.coming(segment)
        if neighbour.has_whole(segment) or (coming is not None and coming.distance == 0):
            return True
    return False
