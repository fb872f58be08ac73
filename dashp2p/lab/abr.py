"""The headless viewer's choice of rung: throughput, fixed, with no help from anybody.

A sample is a video segment's size over the time it took. The viewer counts from the request to the
last byte, waiting included, so that a slow server is seen as slow; by option from the first byte as
dash.js does, to whom a proxy's burst after a long wait looks like gigabits. The estimate is the
harmonic mean of the last three samples, and the rung is the highest below 0.8 of it: dash.js's
ThroughputRule without its buffer rules. It starts at the lowest rung.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from attrs import define, field

SAFETY = 0.8
SAMPLES = 3
MIN_TIME_S = 0.001
"""A shorter one says nothing of the network; it bounds what an instant answer may claim."""


@define(eq=False)
class ThroughputAbr:
    """`ladder_bps` in any order; `choose` answers one of it."""

    ladder_bps: Sequence[int]
    cap_bps: float | None = None
    """The highest rung that the server advises (CMSD `mb`), where the viewer listens to it."""
    most_bps: float | None = None
    """The highest rung that whoever watches wants: a small window, a data plan."""
    _samples: deque[float] = field(factory=lambda: deque(maxlen=SAMPLES))

    def measured(self, size_bytes: int, took_s: float, told_bps: float | None = None) -> None:
        """A video segment came. `told_bps` (CMSD `etp`) takes the measurement's place."""
        self._samples.append(told_bps or size_bytes * 8 / max(took_s, MIN_TIME_S))

    @property
    def estimate_bps(self) -> float | None:
        """The harmonic mean of the last samples; None before the first."""
        if not self._samples:
            return None
        return len(self._samples) / sum(1 / sample for sample in self._samples)

    def choose(self, among: Sequence[int] | None = None) -> int:
        """The bitrate for the next segment: one of the ladder, or of these rungs of it."""
        ladder = sorted(self.ladder_bps if among is None else among)
        estimate = self.estimate_bps
        if estimate is None:
            return ladder[0]
        caps = [cap for cap in (self.cap_bps, self.most_bps) if cap is not None]
        limit = min([estimate * SAFETY, *caps])
        return max((rung for rung in ladder if rung <= limit), default=ladder[0])
