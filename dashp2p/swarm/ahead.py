"""Which segment is fetched before its player asks for it: the next one, where the player names it.

CMCD's `nor` (CTA-5004) names it. It is a guess all the same: the player may change to another rung,
seek, or leave. So it is believed of a player that stays on its rung and has time, one segment ahead
on each track.
"""

from __future__ import annotations

from attrs import define, field

from dashp2p.content.entry import Entry, Kind
from dashp2p.swarm.players import Hints
from dashp2p.swarm.policy import Policy


@define(eq=False)
class Ahead:
    """Of one player. Media types are words like "video"; times are monotonic seconds."""

    policy: Policy
    foreseen: dict[str, Entry] = field(factory=dict)
    """By media type: what was begun and is not asked for yet."""
    _last: dict[str, Entry] = field(factory=dict)
    """By media type: what was asked for last."""
    _steady: set[str] = field(factory=set)
    """Media types of which two segments of one rung were asked for in a row."""
    _due: dict[Entry, float] = field(factory=dict)
    """What the player waits for, and by when."""

    @property
    def awaited(self) -> set[Entry]:
        """What the player waits for, or is about to."""
        return {*self._due, *self.foreseen.values()}

    def asked(self, entry: Entry, media_type: str, deadline_s: float) -> Entry | None:
        """The player asks for a media segment. Answers what was foreseen on that track in vain."""
        self._due[entry] = deadline_s
        before = self._last.get(media_type)
        if before == entry:
            return None  # another part of it, or once more
        self._last[media_type] = entry
        if before is not None and _follows(before, entry) and _same_rung(before, entry):
            self._steady.add(media_type)
        else:
            self._steady.discard(media_type)
        foreseen = self.foreseen.pop(media_type, None)
        return None if foreseen == entry else foreseen

    def is_steady(self, media_type: str) -> bool:
        """Whether two segments of one rung were asked for in a row, and nothing since."""
        return media_type in self._steady

    def answered(self, entry: Entry) -> None:
        """The player does not wait for it any more."""
        self._due.pop(entry, None)

    def deadline_of(
        self, named: Entry, entry: Entry, media_type: str, deadline_s: float, hints: Hints
    ) -> float | None:
        """When the segment will be due that was named as next with the request for `entry` of the
        same media type, itself due at `deadline_s`; None: it is none of those described above."""
        if not self.policy.prefetch or media_type in self.foreseen:
            return None
        if media_type not in self._steady or not _follows(entry, named):
            return None
        if hints.startup or hints.starved:
            return None
        if hints.deadline_s is None and hints.buffer_s is None:
            return None  # it does not tell how much it has
        return deadline_s + (entry.duration_s or 0.0)

    def may_begin(self, deadline_s: float, next_deadline_s: float, now: float) -> bool:
        """Whether now is the time: nothing that the player waits for is urgent, and the next
        segment is due soon enough to be of use."""
        policy = self.policy
        if any(at - now < policy.urgent_s for at in (deadline_s, *self._due.values())):
            return False
        return next_deadline_s - now <= policy.prefetch_within_s


def _follows(entry: Entry, named: Entry) -> bool:
    """Whether it is the media segment right after, of whichever rung."""
    if named.kind is not Kind.MEDIA or entry.number is None or named.number is None:
        return False
    return named.number == entry.number + 1


def _same_rung(one: Entry, other: Entry) -> bool:
    return one.representation_id == other.representation_id
