"""A viewer without CMCD: fixed throughput rule, bounded buffer, a playhead that stalls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from attrs import define, field

from dashp2p.content.entry import Entry, Representation
from dashp2p.lab.sim.clock import Clock, Timer
from dashp2p.lab.sim.film import Film

SAFETY = 0.8
SAMPLES = 3
RETRY_S = 1.0
MIN_SAMPLE_S = 0.001


class Proxy(Protocol):
    """The peer that the player asks, or the origin itself."""

    def request(self, entry: Entry, ended: Callable[[bool], None]) -> None:
        """`ended` is told whether the file came whole."""


@define(eq=False)
class Player:
    """Downloads video and audio side by side, each up to `buffer_s` ahead of the playhead."""

    clock: Clock
    film: Film
    proxy: Proxy
    buffer_s: float = 12.0
    started_at: float = 0.0
    playing_at: float | None = None
    finished_at: float | None = None
    stopped: bool = False
    stalls: int = 0
    stalled_s: float = 0.0
    failures: int = 0
    rates_bps: list[int] = field(factory=list)
    """Rung of each video segment that came, in order."""
    durations_s: list[float] = field(factory=list)
    delivered: dict[str, int] = field(factory=dict)
    """Files that came whole, and their sizes in bytes."""
    _samples: list[float] = field(factory=list)
    _number: dict[str, int] = field(factory=dict)
    _inits: set[str] = field(factory=set)
    _busy: set[str] = field(factory=set)
    _ready_s: dict[str, float] = field(factory=dict)
    """By media type: how far into the film there is no gap."""
    _position_s: float = 0.0
    _moving_since: float | None = None
    _stalled_at: float | None = None
    _timer: Timer | None = None
    _waiting: dict[str, Timer] = field(factory=dict)

    def start(self) -> None:
        """Open the film."""
        self.started_at = self.clock.now
        self._get(self.film.manifest, self._opened)

    def stop(self) -> None:
        """The viewer leaves."""
        self.stopped = True
        self._settle()
        for timer in (self._timer, *self._waiting.values()):
            if timer is not None:
                timer.cancel()

    @property
    def startup_s(self) -> float | None:
        """From opening the film to its first picture."""
        return None if self.playing_at is None else self.playing_at - self.started_at

    @property
    def mean_bitrate_bps(self) -> float | None:
        """Of the video that came, weighted by time."""
        total_s = sum(self.durations_s)
        if not total_s:
            return None
        weighted = sum(r * d for r, d in zip(self.rates_bps, self.durations_s, strict=True))
        return weighted / total_s

    def position_s(self) -> float:
        """Where the playhead is."""
        if self._moving_since is None:
            return self._position_s
        return self._position_s + self.clock.now - self._moving_since

    # --- downloading ------------------------------------------------------------------------

    def _get(self, entry: Entry, then: Callable[[], None]) -> None:
        if self.stopped:
            return
        asked_at = self.clock.now

        def ended(whole: bool) -> None:
            if self.stopped:
                return
            if not whole:
                self.failures += 1
                self.clock.call_later(RETRY_S, lambda: self._get(entry, then))
                return
            self.delivered[entry.path] = entry.size_bytes
            took_s = max(MIN_SAMPLE_S, self.clock.now - asked_at)
            if entry.start_s is not None and self.film.media_type(entry) == "video":
                self._samples = [*self._samples, entry.size_bytes * 8 / took_s][-SAMPLES:]
            then()

        self.proxy.request(entry, ended)

    def _opened(self) -> None:
        for media_type in ("video", "audio"):
            self._number[media_type] = 0
            self._ready_s[media_type] = 0.0
            self._next(media_type)

    def _next(self, media_type: str) -> None:
        waiting = self._waiting.pop(media_type, None)
        if waiting is not None:
            waiting.cancel()
        if self.stopped or media_type in self._busy:
            return
        representation = self._choose() if media_type == "video" else self.film.audio
        entry = self.film.media(representation, self._number[media_type])
        if entry is None:
            return
        level_s = self._ready_s[media_type] - self.position_s()
        if level_s >= self.buffer_s:
            if self._moving_since is not None:
                delay_s = level_s - self.buffer_s + 1e-6
                self._waiting[media_type] = self.clock.call_later(
                    delay_s, lambda: self._next(media_type)
                )
            return  # or it is asked again once the playhead moves
        self._number[media_type] += 1
        self._busy.add(media_type)
        if representation.id not in self._inits:
            self._inits.add(representation.id)
            self._get(self.film.init(representation), lambda: self._media(media_type, entry))
        else:
            self._media(media_type, entry)

    def _media(self, media_type: str, entry: Entry) -> None:
        self._get(entry, lambda: self._came(media_type, entry))

    def _came(self, media_type: str, entry: Entry) -> None:
        duration_s = entry.duration_s or 0.0
        if media_type == "video":
            rates = {r.id: r.bandwidth_bps for r in self.film.video}
            self.rates_bps.append(rates[entry.representation_id or ""])
            self.durations_s.append(duration_s)
        self._ready_s[media_type] = (entry.start_s or 0.0) + duration_s
        self._busy.discard(media_type)
        self._move()
        self._next(media_type)

    def _choose(self) -> Representation:
        lowest = self.film.video[0]
        if not self._samples:
            return lowest
        mean = len(self._samples) / sum(1 / sample for sample in self._samples)
        fits = [r for r in self.film.video if r.bandwidth_bps <= mean * SAFETY]
        return max(fits, key=lambda r: r.bandwidth_bps, default=lowest)

    # --- playing ----------------------------------------------------------------------------

    def _gap_s(self) -> float:
        """Where the film is missing first."""
        return min(self._ready_s.values(), default=0.0)

    def _move(self) -> None:
        """More is here: start, or go on."""
        gap_s = self._gap_s()
        now = self.clock.now
        if self._moving_since is None and gap_s > self._position_s + 1e-9:
            self._moving_since = now
            if self.playing_at is None:
                self.playing_at = now
            if self._stalled_at is not None:
                self.stalled_s += now - self._stalled_at
                self._stalled_at = None
            for media_type in self._number:
                self._next(media_type)
        if self._moving_since is not None:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self.clock.call_later(gap_s - self.position_s(), self._dry)

    def _dry(self) -> None:
        """The playhead has come to the end of what is here."""
        self._settle()
        if self._position_s >= self.film.duration_s - 1e-6:
            self.finished_at = self.clock.now
            return
        self.stalls += 1
        self._stalled_at = self.clock.now

    def _settle(self) -> None:
        self._position_s = self.position_s()
        self._moving_since = None
        if self.stopped and self._stalled_at is not None:
            self.stalled_s += self.clock.now - self._stalled_at
            self._stalled_at = None
