"""A clock that stands still while the process does."""

from __future__ import annotations

from collections.abc import Callable

ASLEEP_S = 5.0
"""So long between two looks, which come each second, is sleep and no busy reactor."""


class AwakeClock:
    """Seconds, without those in which a stopped process or a paused machine could hear nobody.

    All peers would seem silent after such a pause, and all leases broken: everybody would be
    forgotten and held to account at once. Whoever owns the clock calls `look` each second.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self.slept_s = 0.0
        self._seconds = seconds
        self._looked_at = seconds()

    def __call__(self) -> float:
        return self._seconds() - self.slept_s

    def look(self) -> None:
        """Leave out the time since the last look, if it was sleep."""
        now = self._seconds()
        if now - self._looked_at > ASLEEP_S:
            self.slept_s += now - self._looked_at
        self._looked_at = now
