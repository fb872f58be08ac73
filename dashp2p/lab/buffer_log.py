"""How full a viewer's buffer was, by time: what a report draws."""

from __future__ import annotations

from attrs import define, field

SAMPLES_MAX = 2048
INTERVAL_S = 0.5


@define(eq=False)
class BufferLog:
    """Readings (seconds since the viewing began, seconds of film in hand), oldest first.

    When there are SAMPLES_MAX of them every other one goes and the interval doubles, so a viewing
    of any length has its whole course in bounded room.
    """

    interval_s: float = INTERVAL_S
    samples: list[tuple[float, float]] = field(factory=list)

    def note(self, at_s: float, buffer_s: float) -> None:
        """A reading; it is kept if the last one kept is an interval ago."""
        # A timer that comes a little early must not cost its reading.
        if self.samples and at_s - self.samples[-1][0] < self.interval_s * 0.9:
            return
        if len(self.samples) >= SAMPLES_MAX:
            del self.samples[1::2]
            self.interval_s *= 2
        self.samples.append((round(at_s, 2), round(buffer_s, 2)))
