"""Quality of experience in numbers: one arithmetic for players' reports, viewers of the lab, and
tables.

The words are CTA-2066's: start-up is the time from the wish to play until the first picture; a
stall is playback that stops because a buffer ran dry (not by pause or seek); the stall ratio is
stalled time by stalled and played time; a switch is a change of bitrate on screen. The linear score
is Yin et al.'s (SIGCOMM 2015) with the constants of Pensieve (SIGCOMM 2017), quality being Mbit/s:

    sum of q(segment) - 4.3 * stalled seconds - sum of |q(segment) - q(segment before)|

over segments of 4 s. Start-up is told beside it and not taken off. Time is an argument.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from attrs import define, frozen

STALL_WEIGHT = 4.3
"""What a stalled second costs, in Mbit/s of one segment."""
SEGMENT_S = 4.0
"""Where only time is known, a segment is counted for so much of it."""


@frozen
class Qoe:
    """One viewing, or the part of it that is over."""

    startup_s: float | None
    """None while nothing was seen."""
    played_s: float
    stalls: int
    stalled_s: float
    switches: int
    mean_bitrate_bps: float
    """By time on screen; 0 while nothing was seen."""
    quality_mbit: float
    """Sum of the segments' Mbit/s."""
    changes_mbit: float
    """Sum of the changes' sizes in Mbit/s, up and down alike."""

    @property
    def stall_ratio(self) -> float:
        """Stalled time by stalled and played time, 0 to 1."""
        whole_s = self.stalled_s + self.played_s
        return self.stalled_s / whole_s if whole_s > 0 else 0.0

    @property
    def linear(self) -> float:
        """The linear score; see the module's text."""
        return self.quality_mbit - STALL_WEIGHT * self.stalled_s - self.changes_mbit

    @property
    def linear_per_segment(self) -> float:
        """The linear score by the segments played: comparable between viewings of any length, and
        with a bitrate in Mbit/s."""
        return self.linear / (self.played_s / SEGMENT_S) if self.played_s > 0 else 0.0


def of_segments(
    seen: Sequence[tuple[float, float]], startup_s: float | None, stalls: int, stalled_s: float
) -> Qoe:
    """Of segments in the order that they were played: (seconds of it that were seen, bitrate)."""
    rates_mbit = [rate_bps / 1e6 for _, rate_bps in seen]
    played_s = sum(seconds for seconds, _ in seen)
    bits = sum(seconds * rate_bps for seconds, rate_bps in seen)
    steps = [abs(new - old) for old, new in pairwise(rates_mbit)]
    return Qoe(
        startup_s=startup_s,
        played_s=played_s,
        stalls=stalls,
        stalled_s=stalled_s,
        switches=sum(1 for step in steps if step > 0),
        mean_bitrate_bps=bits / played_s if played_s > 0 else 0.0,
        quality_mbit=sum(rates_mbit),
        changes_mbit=sum(steps),
    )


def of_sums(
    *,
    startup_s: float | None,
    played_s: float,
    stalls: int,
    stalled_s: float,
    switches: int,
    mean_bitrate_bps: float,
    changed_bps: float,
) -> Qoe:
    """Where only sums are known, `changed_bps` being that of the changes' sizes."""
    return Qoe(
        startup_s=startup_s,
        played_s=played_s,
        stalls=stalls,
        stalled_s=stalled_s,
        switches=switches,
        mean_bitrate_bps=mean_bitrate_bps,
        quality_mbit=mean_bitrate_bps * played_s / SEGMENT_S / 1e6,
        changes_mbit=changed_bps / 1e6,
    )


@define
class QoeMeter:
    """Adds a viewing up as it is told of it; `qoe` is the sum so far. Seconds and bits a second."""

    startup_s: float | None = None
    played_s: float = 0.0
    stalls: int = 0
    stalled_s: float = 0.0
    switches: int = 0
    bitrate_bps: float | None = None
    """On screen now, where it is known."""
    _bits: float = 0.0
    _changed_bps: float = 0.0

    def rendered(self, bitrate_bps: float) -> None:
        """From here on this bitrate is on screen."""
        if self.bitrate_bps is not None and bitrate_bps != self.bitrate_bps:
            self.switches += 1
            self._changed_bps += abs(bitrate_bps - self.bitrate_bps)
        self.bitrate_bps = bitrate_bps

    def played(self, seconds: float) -> None:
        """So much of the film was seen, in the bitrate on screen."""
        self.played_s += seconds
        self._bits += seconds * (self.bitrate_bps or 0.0)

    def stalled(self, seconds: float) -> None:
        """It stood still for so long, once."""
        self.stalls += 1
        self.stalled_s += seconds

    @property
    def qoe(self) -> Qoe:
        return of_sums(
            startup_s=self.startup_s,
            played_s=self.played_s,
            stalls=self.stalls,
            stalled_s=self.stalled_s,
            switches=self.switches,
            mean_bitrate_bps=self._bits / self.played_s if self.played_s > 0 else 0.0,
            changed_bps=self._changed_bps,
        )
