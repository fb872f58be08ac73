"""A viewer: the lab's own rule for rungs and its playback, on simulated time. It heeds no CMSD."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from attrs import define, field, frozen

from dashp2p.content.entry import Entry, Representation
from dashp2p.lab.abr import ThroughputAbr
from dashp2p.lab.playback import Playback
from dashp2p.lab.sim.clock import Clock, Timer
from dashp2p.lab.sim.film import Film

RETRY_S = 1.0
TRACKS = ("video", "audio")


@frozen
class Told:
    """What CMCD says with a request for media."""

    buffer_s: float
    startup: bool
    following: Entry | None
    """`nor`: the next segment of the same rung."""


class Proxy(Protocol):
    """The peer that the player asks, or the origin itself."""

    def request(
        self, entry: Entry, ended: Callable[[bool], None], told: Told | None = None
    ) -> None:
        """`ended` is told whether the file came whole."""


@define(eq=False)
class Player:
    """Downloads video and audio side by side, each up to `buffer_s` ahead of the playhead."""

    clock: Clock
    film: Film
    proxy: Proxy
    buffer_s: float = 12.0
    tells: bool = False
    """With CMCD."""
    failures: int = 0
    delivered: dict[str, int] = field(factory=dict)
    """Files that came whole, and their sizes in bytes."""
    finished_at: float | None = None
    playback: Playback | None = None
    _abr: ThroughputAbr = field(init=False)
    _begun_at: float = 0.0
    _stopped_at: float | None = None
    _number: dict[str, int] = field(factory=lambda: dict.fromkeys(TRACKS, 0))
    _inits: set[str] = field(factory=set)
    _timers: dict[str, Timer] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self._abr = ThroughputAbr([rung.bandwidth_bps for rung in self.film.video])

    # --- what it saw ------------------------------------------------------------------------

    @property
    def startup_s(self) -> float | None:
        """From opening the film to its first picture."""
        if self.playback is None or self.playback.started_at is None:
            return None
        return self.playback.started_at - self._begun_at

    @property
    def stalls(self) -> int:
        """How often the picture stood still."""
        return 0 if self.playback is None else self.playback.stalls

    @property
    def stalled_s(self) -> float:
        """For how long in all."""
        return 0.0 if self.playback is None else self.playback.stalled_s

    @property
    def mean_bitrate_bps(self) -> float | None:
        """Of what was played."""
        if self.playback is None or self.playback.position_s <= 0:
            return None
        return self.playback.mean_bitrate_bps

    # --- begin and end ----------------------------------------------------------------------

    def start(self) -> None:
        """Open the film."""
        self._begun_at = self.clock.now
        self._get(self.film.manifest, self._opened)

    def stop(self) -> None:
        """The viewer leaves, or the experiment is over."""
        if self._stopped_at is None:
            self._stopped_at = self.clock.now
            if self.playback is not None:
                self.playback.advance(self.clock.now)
            for timer in self._timers.values():
                timer.cancel()

    def _opened(self, took_s: float) -> None:
        # Playback begins to count where the viewer did, as the headless one's does.
        self.playback = Playback(TRACKS, self.film.duration_s, self._begun_at)
        for track in TRACKS:
            self._next(track)
        self._look()

    def _look(self) -> None:
        """See whether a buffer ran dry, or the film ended."""
        playback = self.playback
        if playback is None or self._stopped_at is not None:
            return
        playback.advance(self.clock.now)
        if playback.ended:
            self.finished_at = self.finished_at or self.clock.now
            return
        if playback.playing:
            self._later("look", playback.dry_in_s + 1e-4, self._look)

    def _later(self, name: str, delay_s: float, call: Callable[[], None]) -> None:
        timer = self._timers.get(name)
        if timer is not None:
            timer.cancel()
        self._timers[name] = self.clock.call_later(delay_s, call)

    # --- downloading ------------------------------------------------------------------------

    def _get(self, entry: Entry, then: Callable[[float], None], told: Told | None = None) -> None:
        if self._stopped_at is not None:
            return
        asked_at = self.clock.now

        def ended(whole: bool) -> None:
            if self._stopped_at is not None:
                return
            if whole:
                self.delivered[entry.path] = entry.size_bytes
                then(self.clock.now - asked_at)
                return
            self.failures += 1
            self.clock.call_later(RETRY_S, lambda: self._get(entry, then, told))

        self.proxy.request(entry, ended, told)

    def _next(self, track: str) -> None:
        playback = self.playback
        if playback is None or self._stopped_at is not None:
            return
        rung = self._choose(track)
        entry = self.film.media(rung, self._number[track])
        if entry is None:
            return
        excess_s = playback.buffer_s(track, self.clock.now) - self.buffer_s
        if excess_s > 0:
            self._later(track, max(0.01, excess_s), lambda: self._next(track))
            return
        self._number[track] += 1
        if rung.id in self._inits:
            self._media(track, rung, entry)
        else:
            self._inits.add(rung.id)
            self._get(self.film.init(rung), lambda took_s: self._media(track, rung, entry))

    def _media(self, track: str, rung: Representation, entry: Entry) -> None:
        def came(took_s: float) -> None:
            assert self.playback is not None
            if track == "video":
                self._abr.measured(entry.size_bytes, took_s)
            start_s, duration_s = entry.start_s or 0.0, entry.duration_s or 0.0
            self.playback.arrived(
                track, start_s, start_s + duration_s, rung.bandwidth_bps, self.clock.now
            )
            self._look()
            self._next(track)

        self._get(entry, came, self._told(track, rung, entry) if self.tells else None)

    def _told(self, track: str, rung: Representation, entry: Entry) -> Told:
        assert self.playback is not None
        number = entry.number or 0
        buffer_s = self.playback.buffer_s(track, self.clock.now)
        return Told(buffer_s, number == 0 or buffer_s <= 0, self.film.media(rung, number + 1))

    def _choose(self, track: str) -> Representation:
        if track == "audio":
            return self.film.audio
        chosen = self._abr.choose()
        return next(rung for rung in self.film.video if rung.bandwidth_bps == chosen)
