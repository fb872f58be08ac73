"""Many seeds in a row, and what came of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from attrs import define, field

from dashp2p.lab.seeds.storm import Broken, weather

TOLD_EACH = 50


@define
class Tally:
    """What all seeds together went through. `calm_s`: the longest that a swarm took to recover."""

    seeds: int = 0
    calm_s: float = 0.0
    cpu_s: float = 0.0
    happened: dict[str, int] = field(factory=dict)
    reached: dict[str, int] = field(factory=dict)
    broken: list[Broken] = field(factory=list)

    def in_words(self) -> str:
        """A few lines for people."""
        faults = ", ".join(f"{name} {count}" for name, count in sorted(self.happened.items()))
        ends = ", ".join(f"{name} {count}" for name, count in sorted(self.reached.items()))
        return (
            f"{self.seeds} seeds, {len(self.broken)} broken, {self.cpu_s:.0f} s of CPU\n"
            f"faults: {faults}\nwhich came to: {ends}\n"
            f"longest recovery: {self.calm_s:.1f} s"
        )


def run(seeds: Iterable[int], tell: Callable[[str], None]) -> Tally:
    """Run them all; a seed that broke a promise is told at once, with the command to repeat it."""
    tally = Tally()
    began_s = time.process_time()
    for seed in seeds:
        tally.seeds += 1
        try:
            outcome = weather(seed)
        except Broken as broken:
            tally.broken.append(broken)
            tell(str(broken))
        else:
            tally.calm_s = max(tally.calm_s, outcome.calm_s)
            _add(tally.happened, outcome.happened)
            _add(tally.reached, outcome.reached)
        tally.cpu_s = time.process_time() - began_s
        if tally.seeds % TOLD_EACH == 0:
            tell(f"{tally.seeds} seeds, up to {seed}; {len(tally.broken)} broken")
    return tally


def _add(sums: dict[str, int], more: dict[str, int]) -> None:
    for name, count in more.items():
        sums[name] = sums.get(name, 0) + count
