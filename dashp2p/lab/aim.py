"""Who leads a fetch from the origin at this moment, as the tracker knows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from attrs import define, field

Ask = Callable[[str], Any]
"""Gets one of the tracker's paths: its JSON, or None."""


@define
class Aim:
    """Looks for leaders among `positions` index positions; remembers which are long fetched."""

    positions: int
    _held: set[int] = field(factory=set)

    def leaders(self, ask: Ask) -> Iterator[str]:
        """Ids of peers that hold a lease now, found one by one."""
        swarms = (ask("/swarms") or {}).get("swarms", ())
        if not any(swarm.get("leases") for swarm in swarms):
            return
        for position in range(1, self.positions):
            if position in self._held:
                continue
            told = ask(f"/tracker?segment={position}") or {}
            leader = told.get("leader")
            if leader is not None:
                yield str(leader)
            elif told.get("holders"):
                self._held.add(position)
