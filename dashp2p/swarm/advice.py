"""What a player is told by CMSD (CTA-5006): the rate that the swarm sustains, the rung to stay at.

`etp` is measured where bytes really came over the network, never from the cache: a local cache that
answers at once would send every player to the top rung. `mb` follows it with hysteresis, so that
viewers gather on the same rungs: K equally used rungs cap the offload at 1 - K/N. It counts picture
and sound together, as players read it: dash.js takes the sound's rate off before it compares rungs.
"""

from __future__ import annotations

from attrs import define, field

UP_FACTOR = 1.5
"""The rung above is offered when the swarm sustains so many times its rate ..."""
KEEP_FACTOR = 1.15
"""... and kept while it sustains at least so many times it."""
SMOOTHING = 0.4
MIN_SAMPLE_BYTES = 48 * 1024
"""Smaller deliveries measure delay, not rate."""


@define(eq=False)
class Advice:
    """`ladder_bps` are the video rungs' rates, any order; empty until the index is here."""

    ladder_bps: tuple[int, ...] = ()
    audio_bps: int = 0
    """The rate of the best sound, 0 where there is none."""
    etp_bps: float | None = None
    _cap: int | None = field(default=None)

    def learn_ladder(self, rates_bps: tuple[int, ...], audio_bps: tuple[int, ...] = ()) -> None:
        """The rungs of the presentation, picture and sound."""
        self.ladder_bps = tuple(sorted(rates_bps))
        self.audio_bps = max(audio_bps, default=0)
        self._cap = None

    def delivered(self, size_bytes: int, took_s: float) -> None:
        """A segment came from peers or the origin in so many seconds."""
        if size_bytes < MIN_SAMPLE_BYTES or took_s <= 0:
            return
        sample = size_bytes * 8 / took_s
        if self.etp_bps is None:
            self.etp_bps = sample
        else:
            self.etp_bps += SMOOTHING * (sample - self.etp_bps)

    def max_total_bps(self, reachable_bps: tuple[int, ...] | None = None) -> int | None:
        """What `mb` says: the highest rung worth asking for, with its sound; None: no advice."""
        rung = self.max_bitrate_bps(reachable_bps)
        return None if rung is None else rung + self.audio_bps

    def max_bitrate_bps(self, reachable_bps: tuple[int, ...] | None = None) -> int | None:
        """The highest rung worth asking for; None: no advice.

        `reachable_bps` limits it to rungs that somebody still holds, when the origin is gone.
        """
        ladder = self.ladder_bps if reachable_bps is None else tuple(sorted(reachable_bps))
        if not ladder:
            return None
        if self.etp_bps is None:
            return None if reachable_bps is None else ladder[-1]
        best = ladder[0]
        for rung in ladder:
            factor = KEEP_FACTOR if self._cap is not None and rung <= self._cap else UP_FACTOR
            if rung * factor <= self.etp_bps:
                best = rung
        self._cap = best
        return best
