"""Deadlines of many things at once, moved often and asked for seldom."""

from __future__ import annotations

import heapq
from collections.abc import Hashable
from typing import Generic, TypeVar

from attrs import define, field

Key = TypeVar("Key", bound=Hashable)

SLACK = 64


@define
class Deadlines(Generic[Key]):
    """Which keys are due by now, in O(log n) for each that falls due.

    Moving a deadline later, by far the commonest change (a renewed lease, the next announce), only
    writes a number: the heap's entry is corrected when it comes to the top. The heap never grows
    beyond twice the keys and some slack.
    """

    _at: dict[Key, float] = field(factory=dict, init=False)
    _queued: dict[Key, float] = field(factory=dict, init=False)
    _heap: list[tuple[float, int, Key]] = field(factory=list, init=False)
    _count: int = field(default=0, init=False)

    def __len__(self) -> int:
        return len(self._at)

    def set(self, key: Key, at: float) -> None:
        """Key falls due at `at`, whatever was said before."""
        self._at[key] = at
        queued = self._queued.get(key)
        if queued is None or at < queued:
            self._push(key, at)
            if len(self._heap) > 2 * len(self._at) + SLACK:
                self._rebuild()

    def discard(self, key: Key) -> None:
        self._at.pop(key, None)

    def due(self, now: float) -> list[Key]:
        """Take out all keys whose deadline is now or past, earliest first."""
        found: list[Key] = []
        while self._heap and self._heap[0][0] <= now:
            queued, _, key = heapq.heappop(self._heap)
            if self._queued.get(key) != queued:
                continue  # an earlier entry of this key has replaced this one
            del self._queued[key]
            at = self._at.get(key)
            if at is None:
                continue
            if at > now:
                self._push(key, at)
            else:
                del self._at[key]
                found.append(key)
        return found

    def _push(self, key: Key, at: float) -> None:
        self._count += 1
        self._queued[key] = at
        heapq.heappush(self._heap, (at, self._count, key))

    def _rebuild(self) -> None:
        self._queued = dict(self._at)
        self._heap = [(at, n, key) for n, (key, at) in enumerate(self._at.items())]
        self._count = len(self._heap)
        heapq.heapify(self._heap)
