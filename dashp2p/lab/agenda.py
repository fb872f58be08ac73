"""What is to happen when in a run, by the run's own clock."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable
from itertools import count

from attrs import define, field


@define(eq=False)
class Agenda:
    """Times are seconds since the first viewer's start, which `begin_in` fixes."""

    clock: Callable[[], float] = time.monotonic
    _begin: float = 0.0
    _events: list[tuple[float, int, Callable[[], None]]] = field(init=False, factory=list)
    _order: count[int] = field(init=False, factory=count)

    def begin_in(self, seconds: float) -> None:
        """Second 0 is so far from now. To be called before anything is planned."""
        self._begin = self.clock() + seconds

    @property
    def now_s(self) -> float:
        return self.clock() - self._begin

    def at(self, at_s: float, action: Callable[[], None]) -> None:
        """Plan something; what is planned for one moment happens in the order of planning."""
        heapq.heappush(self._events, (at_s, next(self._order), action))

    def catch_up(self) -> None:
        """Do all that is due, and what that makes due."""
        while self._events and self._events[0][0] <= self.now_s:
            heapq.heappop(self._events)[2]()

    def next_s(self, otherwise_s: float) -> float:
        """When something is due again, at the latest `otherwise_s`."""
        return min(otherwise_s, self._events[0][0]) if self._events else otherwise_s
