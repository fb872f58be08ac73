"""A viewer's buffers and playhead, without a clock: start-up, stalls and what was played.

Start-up ends when one segment of each track is here; a stall is playback that stops because a
buffer ran dry, and ends when each track has a segment again (or its end). The figures drawn from
that are defined in `dashp2p.web.qoe`.
"""

from __future__ import annotations

from attrs import define, field

from dashp2p.web.qoe import Qoe, of_segments

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
    standstills: list[tuple[float, float]] = field(factory=list)
    """Each stall: when it began, by the same clock, and its seconds so far."""
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
                    self.standstills.append((now - elapsed + played, elapsed - played))
        elif self.started_at is not None and not self.ended:
            self.stalled_s += elapsed
            began, so_far_s = self.standstills[-1]
            self.standstills[-1] = (began, so_far_s + elapsed)

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

    @property
    def bitrate_bps(self) -> int | None:
        """Of what is on screen; None before there was a picture."""
        if self.started_at is None:
            return None
        begun = (rate for start, _, rate in reversed(self._played) if start <= self.position_s)
        return next(begun, None)

    def _seen(self) -> list[tuple[float, float]]:
        return [
            (min(end, self.position_s) - start, bitrate)
            for start, end, bitrate in self._played
            if start < self.position_s
        ]

    @property
    def qoe(self) -> Qoe:
        """The viewing so far, in numbers."""
        startup_s = None if self.started_at is None else self.started_at - self.begun_at
        return of_segments(self._seen(), startup_s, self.stalls, self.stalled_s)

    @property
    def mean_bitrate_bps(self) -> float:
        """Nominal bitrate over the time that was played."""
        return self.qoe.mean_bitrate_bps

    @property
    def switches(self) -> int:
        """How often the bitrate changed from one played segment to the next."""
        return self.qoe.switches

    @property
    def qoe_linear(self) -> float:
        """See dashp2p.web.qoe."""
        return self.qoe.linear
