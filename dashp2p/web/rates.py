"""How often someone may call: a bucket of calls each, refilled steadily."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

from attrs import define, field

Key = TypeVar("Key", bound=Hashable)


@define
class Rates(Generic[Key]):
    """`burst` calls at once, and one each `every_s` seconds in the long run, for each key.

    One number a key is kept (the time at which its bucket is full again: GCRA); of more than `most`
    keys those who called longest ago are forgotten, which forgives them.
    """

    every_s: float
    burst: int
    most: int
    _full_at: OrderedDict[Key, float] = field(factory=OrderedDict, init=False)

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, key: Key, now: float) -> float:
        """0 when the call may be served, else the seconds after which to try again."""
        full_at = max(self._full_at.get(key, now), now) + self.every_s
        wait_s = full_at - now - self.burst * self.every_s
        if wait_s > 1e-9:
            return wait_s
        self._full_at[key] = full_at
        self._full_at.move_to_end(key)
        if len(self._full_at) > self.most:
            self._full_at.popitem(last=False)
        return 0.0
