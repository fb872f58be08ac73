"""What a player is told by CMSD (CTA-5006): the rate that the swarm sustains, the rung to stay at.

`etp` is measured where bytes really came over the network, never from the cache: a local cache that
answers at once would send every player to the top rung. Players that heed no advice get what the
cache holds at that pace, where the network is short. `mb` follows it with hysteresis, so that
viewers gather on the same rungs: K equally used rungs cap the offload at 1 - K/N. It counts picture
and sound together, as players read it: dash.js takes the sound's rate off before it compares rungs.
"""

from __future__ import annotations

from attrs import define, field

UP_FACTOR = 1.35
"""The rung above is offered when the swarm sustains so many times its rate ..."""
KEEP_FACTOR = 1.15
"""... and kept while it sustains at least so many times it."""
SMOOTHING = 0.4
PLENTY_FACTOR = 2.0
"""Of a network that gives so many times the top rung no player thinks too well."""
ROOM_FACTOR = 1.5
"""A network that gives so many times the top rung has room for what nobody waits for ..."""
THIN_FACTOR = 2.0
"""... unless uplinks are below so many times that rung: then all of them are needed."""
DOUBT_S = 60.0
"""After so much film from the cache with nothing measured, the network is taken to give twice as
much as it did. Else a player that finds all of its rung in the cache would stay there for ever,
however good the network has become meanwhile."""
MOST_DOUBLINGS = 10.0
PACED_SHARE = 0.5
"""An answer is held back for no more than this share of the time until it is due ..."""
PACE_FACTOR = 1.4
"""... and comes at so many times its own rate at least: players that measure it keep its rung, and
have no reason to go down where its like is to be had in the cache."""
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
    _recalled: bool = False
    _unmeasured_s: float = 0.0

    def learn_ladder(self, rates_bps: tuple[int, ...], audio_bps: tuple[int, ...] = ()) -> None:
        """The rungs of the presentation, picture and sound."""
        self.ladder_bps = tuple(sorted(rates_bps))
        self.audio_bps = max(audio_bps, default=0)
        self._cap = None

    def recall(self, etp_bps: float) -> None:
        """What the network gave an earlier run, or to what nobody waited for: it counts until
        something is measured."""
        self.etp_bps = etp_bps
        self._recalled = True

    def from_cache(self, duration_s: float) -> None:
        """So much film went to a player and showed nothing of the network."""
        self._unmeasured_s += duration_s

    @property
    def sustained_bps(self) -> float | None:
        """What the network gives, as far as that is known: what `etp` says."""
        if self.etp_bps is None:
            return None
        doubted_bps: float = self.etp_bps * 2.0 ** min(self._unmeasured_s / DOUBT_S, MOST_DOUBLINGS)
        return max(self.etp_bps, min(doubted_bps, self._plenty_bps))

    @property
    def _best_bps(self) -> int:
        """The best picture with the best sound."""
        return max(self.ladder_bps, default=0) + self.audio_bps

    @property
    def _plenty_bps(self) -> float:
        return PLENTY_FACTOR * self._best_bps

    @property
    def measured_bps(self) -> float | None:
        """What the network gave this run; None where that is not known."""
        return None if self._recalled else self.etp_bps

    def delivered(self, size_bytes: int, took_s: float, hurried: bool = True) -> None:
        """So much of a segment came from peers or the origin in so many seconds.

        Not `hurried`: nobody waited for it, so the network is that good or better.
        """
        if size_bytes < MIN_SAMPLE_BYTES or took_s <= 0:
            return
        sample = size_bytes * 8 / took_s
        if self.etp_bps is None or self._recalled:
            if hurried:
                self.etp_bps, self._recalled = sample, False
                self._unmeasured_s = 0.0
        elif hurried or sample > self.etp_bps:
            self._unmeasured_s = 0.0
            self.etp_bps += SMOOTHING * (sample - self.etp_bps)

    def has_room(self, uplink_bps: float | None) -> bool:
        """Whether the network gives more than the best that a player can ask for, as measured, and
        our uplink (None: unlimited) is no thin one: what is not urgent is then not in the way of
        what is, here and at neighbours."""
        if self.is_thin(uplink_bps):
            return False
        return self.measured_bps is not None and self.measured_bps >= ROOM_FACTOR * self._best_bps

    def is_thin(self, uplink_bps: float | None) -> bool:
        """Whether all of such an uplink (None: unlimited) is needed for what players wait for."""
        return uplink_bps is not None and uplink_bps < THIN_FACTOR * self._best_bps

    def is_top(self, rate_bps: float) -> bool:
        """Whether there is no rung above one of that rate."""
        return rate_bps >= max(self.ladder_bps, default=0)

    def pace_bps(self, size_bytes: int, duration_s: float, slack_s: float) -> float | None:
        """How fast a segment that is here goes to a player that has so much time; None: at once.

        As fast as the network would bring it, so that a player that measures sees its network.
        """
        sustained_bps = self.sustained_bps
        if sustained_bps is None or slack_s <= 0 or duration_s <= 0:
            return None
        if sustained_bps >= self._plenty_bps:
            return None
        bits = size_bytes * 8
        return max(sustained_bps, bits / duration_s * PACE_FACTOR, bits / (slack_s * PACED_SHARE))

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
        sustained_bps = self.sustained_bps
        if sustained_bps is None:
            return None if reachable_bps is None else ladder[-1]
        best = ladder[0]
        for rung in ladder:
            factor = KEEP_FACTOR if self._cap is not None and rung <= self._cap else UP_FACTOR
            if rung * factor <= sustained_bps:
                best = rung
        self._cap = best
        return best
