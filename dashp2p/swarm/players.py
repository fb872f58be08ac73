"""When a player needs what it asks for: told by CMCD, or inferred from the pattern of requests.

Without CMCD: playback is taken to start when the first segment of each media type that it asked for
is there. From then on a segment is due when the playhead, at normal speed, comes to its start;
before, as if playback began now, after a moment's grace. A segment that came late stops the
playhead meanwhile; a request that comes long after the player should have made it means that it
paused; one elsewhere in the film is a seek and starts anew.
"""

from __future__ import annotations

from attrs import define, field, frozen

from dashp2p.content.entry import Entry
from dashp2p.swarm.policy import Policy

MIN_SLACK_S = 0.2
PAUSE_GAP_S = 1.0
"""Idle for a segment's duration is a full buffer; so much longer than that is a pause."""


@frozen
class Hints:
    """What CMCD (CTA-5004) said with a request; None where it did not."""

    deadline_s: float | None = None
    """From `dl`: seconds until the buffer runs dry at the present speed."""
    buffer_s: float | None = None
    startup: bool = False
    starved: bool = False


@define(eq=False)
class Player:
    """One playback session. Times are monotonic seconds, media times seconds of the film."""

    policy: Policy
    _playhead: tuple[float, float] | None = None
    """(time, media time at that time), advancing at normal speed."""
    _next_start: dict[str, float] = field(factory=dict)
    """By media type: where the segment after the last one asked for begins."""
    _begins_s: float = 0.0
    """Media time at which playback will begin, while there is no playhead."""
    _first: dict[str, float] = field(factory=dict)
    """By media type: the first segment since start or seek, until it is delivered."""
    _open: int = 0
    _idle_since: float | None = None
    last_seen_s: float = 0.0

    def requested(
        self, entry: Entry, media_type: str, now: float, hints: Hints | None = None
    ) -> float:
        """The deadline of a media segment that the player asks for now."""
        self._notice_pause(entry, now)
        self.last_seen_s = now
        self._open += 1
        self._idle_since = None
        start_s, duration_s = entry.start_s or 0.0, entry.duration_s or 0.0
        expected = self._next_start.get(media_type)
        if expected is None or abs(start_s - expected) > max(duration_s, 0.5):
            self._restart(media_type, start_s)
        self._next_start[media_type] = start_s + duration_s
        return max(now + MIN_SLACK_S, self._deadline(start_s, now, hints))

    def _deadline(self, start_s: float, now: float, hints: Hints | None) -> float:
        if hints is not None:
            if hints.startup or hints.starved:
                return now + self.policy.start_grace_s
            if hints.deadline_s is not None:
                return now + hints.deadline_s
            if hints.buffer_s is not None:
                return now + hints.buffer_s
        if self._playhead is None:  # it begins now at the earliest
            return now + self.policy.start_grace_s + max(0.0, start_s - self._begins_s)
        at, media_s = self._playhead
        return at + (start_s - media_s)

    def _restart(self, media_type: str, start_s: float) -> None:
        began = self._playhead is not None
        self._begins_s = start_s if began else max(self._begins_s, start_s)
        self._playhead = None
        self._first[media_type] = start_s

    def _notice_pause(self, entry: Entry, now: float) -> None:
        if self._playhead is None or self._idle_since is None:
            return
        excess_s = now - self._idle_since - (entry.duration_s or 0.0)
        if excess_s > PAUSE_GAP_S:
            at, media_s = self._playhead
            self._playhead = (at + excess_s, media_s)

    def delivered(self, entry: Entry, media_type: str, now: float) -> None:
        """The player has the whole segment."""
        self.closed(now)
        start_s = entry.start_s or 0.0
        if self._first.get(media_type) == start_s:
            del self._first[media_type]
        if self._playhead is None:
            if not self._first:
                self._playhead = (now, start_s)
            return
        at, media_s = self._playhead
        late_s = now - (at + start_s - media_s)
        if late_s > 0:
            self._playhead = (at + late_s, media_s)

    def closed(self, now: float) -> None:
        """A request has ended, by delivery or because the player gave up."""
        self._open = max(0, self._open - 1)
        if not self._open:
            self._idle_since = now
