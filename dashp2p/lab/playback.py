"""A viewer's buffers and playhead, without a clock: start-up, stalls and what was played.

Definitions are CTA-2066's and those of Yin et al. (SIGCOMM 2015): start-up ends when one segment of
each track is here; a stall is playback that stops because a buffer ran dry, and ends when each
track has a segment again (or its end); QoE_lin = sum of played Mbit/s over segments - 4.3 * stalled
seconds - sum of changes in Mbit/s.
"""

from __future__ import annotations

from itertools import pairwise

from attrs import define, field

STALL_WEIGHT = 4.3
EPSILON_S = 1e-6


@define(eq=False)
class Playback:
    """Tell it what arrives with `arrived` and the time with `advance`. Media times in seconds.

    `tracks`: the first is the one whose bitrate counts. `duration_s` must not be later than the end
    of the shortest track, or the film would stall there for ever.
    """

    tracks: tuple[str, ...]
    duration_s: float
    begun_at: float
    started_at: float | None = None
    stalls: int = 0
    stalled_s: float = 0.0
    position_s: float = 0.0
    _ends: dict[str, float] = field(factory=dict)
    _playing: bool = False
    _at: float = 0.0
    _played: list[tuple[float, float, int]] = field(factory=list)
    """(start, end, bitrate) of each video segment that is here."""

    def __attrs_post_init__(self) -> None:
        self._at = self.begun_at
        self._ends = dict.fromkeys(self.tracks, 0.0)

    def arrived(
        self, track: str, start_s: float, end_s: float, bitrate_bps: int, now: float
    ) -> None:
        """A segment of a track is here in full."""
        self.advance(now)
        self._ends[track] = max(self._ends[track], end_s)
        if track == self.tracks[0]:
            self._played.append((start_s, end_s, bitrate_bps))
        self._resume(now)

    def buffer_s(self, track: str, now: float) -> float:
        """Media of a track that is here and not played."""
        self.advance(now)
        return max(0.0, self._ends[track] - self.position_s)

    def advance(self, now: float) -> None:
        """Play until now, or until a buffer runs dry."""
        elapsed = now - self._at
        self._at = now
        if elapsed <= 0:
            return
        if self._playing:
            played = min(elapsed, self.dry_in_s)
            self.position_s += played
            if played < elapsed - EPSILON_S:
                self._playing = False
                if not self.ended:
                    self.stalls += 1
                    self.stalled_s += elapsed - played
        elif self.started_at is not None and not self.ended:
            self.stalled_s += elapsed

    def _resume(self, now: float) -> None:
        if self._playing or self.ended:
            return
        if all(end > self.position_s + EPSILON_S for end in self._ends.values()):
            self._playing = True
            if self.started_at is None:
                self.started_at = now

    @property
    def ended(self) -> bool:
        """Whether the film has been played to its end."""
        return self.position_s >= self.duration_s - EPSILON_S

    @property
    def playing(self) -> bool:
        """Whether the playhead moves."""
        return self._playing and not self.ended

    @property
    def dry_in_s(self) -> float:
        """Seconds of play until a buffer runs dry or the film ends."""
        return min(min(self._ends.values()), self.duration_s) - self.position_s

    def _seen(self) -> list[tuple[float, int]]:
        return [
            (min(end, self.position_s) - start, bitrate)
            for start, end, bitrate in self._played
            if start < self.position_s
        ]

    @property
    def mean_bitrate_bps(self) -> float:
        """Nominal bitrate over the time that was played."""
        seen = self._seen()
        total_s = sum(seconds for seconds, _ in seen)
        return sum(seconds * rate for seconds, rate in seen) / total_s if total_s else 0.0

    @property
    def switches(self) -> int:
        """How often the bitrate changed from one played segment to the next."""
        rates = [rate for _, rate in self._seen()]
        return sum(1 for old, new in pairwise(rates) if old != new)

    @property
    def qoe_linear(self) -> float:
        """See the module's text."""
        rates = [rate / 1e6 for _, rate in self._seen()]
        changes = sum(abs(new - old) for old, new in pairwise(rates))
        return sum(rates) - STALL_WEIGHT * self.stalled_s - changes
