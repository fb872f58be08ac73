"""Virtual time: what happens next, in order, and as fast as it can be computed."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from typing import Any

from attrs import define, field

MOST_STEPS_AT_ONCE = 1_000_000


class LivelockError(Exception):
    """So much happens at one moment that the next never comes."""


@define(eq=False)
class Timer:
    """Something that will be called unless it is cancelled before."""

    at: float
    call: Callable[[], None] | None

    @property
    def active(self) -> bool:
        """Whether it is still to be called."""
        return self.call is not None

    def cancel(self) -> None:
        """Forget it; harmless when it was called already."""
        self.call = None

    def fire(self) -> None:
        """Call it, once."""
        call, self.call = self.call, None
        if call is not None:
            call()


@define(eq=False)
class Clock:
    """Seconds since the simulation began. Things at the same moment happen in the order given."""

    now: float = 0.0
    steps: int = 0
    """How many things have happened."""
    _heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = field(factory=list)
    _order: count[int] = field(factory=count)

    def post(self, at: float, call: Callable[..., None], *args: Any) -> None:
        """Call it then, without a way back: cheaper than `call_at`."""
        heapq.heappush(self._heap, (at, next(self._order), call, args))

    def call_at(self, at: float, call: Callable[[], None]) -> Timer:
        """Call it then, unless cancelled."""
        timer = Timer(max(at, self.now), call)
        self.post(timer.at, timer.fire)
        return timer

    def call_later(self, delay_s: float, call: Callable[[], None]) -> Timer:
        """Call it after a time, unless cancelled."""
        return self.call_at(self.now + delay_s, call)

    def run_until(self, at: float, done: Callable[[], bool] | None = None) -> None:
        """Let everything happen that is due by then, or until `done` says so (asked often)."""
        heap, pop = self._heap, heapq.heappop
        moved_at_step = self.steps
        while heap and heap[0][0] <= at:
            when, _, call, args = pop(heap)
            if when > self.now:
                self.now = when
                moved_at_step = self.steps
            elif self.steps - moved_at_step > MOST_STEPS_AT_ONCE:
                raise LivelockError(f"time stands still at {self.now:.6f} s: {call}")
            self.steps += 1
            call(*args)
            if done is not None and not self.steps & 63 and done():
                return
        if done is None or not done():
            self.now = max(self.now, at)
