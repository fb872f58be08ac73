"""What a process holds over time, and whether that grows."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from attrs import define, field, frozen

WARM_SHARE = 1 / 3
"""The first part of a life does not count: caches fill, pools of threads come about."""
GROWTH_MAX = {"rss_mb": 6.0, "descriptors": 12.0, "threads": 3.0}
"""How much the median of a life's last quarter may be above that of the quarter after the warm-up:
what allocators, connections under way and lazy threads explain."""
MEASURES = tuple(GROWTH_MAX)
SAMPLES_MIN = 8
_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 2**20


@frozen
class Sample:
    """One look at a process."""

    at_s: float
    rss_mb: float
    descriptors: int
    threads: int


def look(process_id: int, at_s: float) -> Sample | None:
    """What Linux tells of a process; None when it is gone."""
    with contextlib.suppress(OSError, IndexError):
        proc = Path("/proc", str(process_id))
        pages = int((proc / "statm").read_text().split()[1])
        descriptors = len(list((proc / "fd").iterdir()))
        threads = len(list((proc / "task").iterdir()))
        return Sample(at_s, round(pages * _PAGE_MB, 2), descriptors, threads)
    return None


@define
class Life:
    """A process from its start to its end, or to the soak's."""

    name: str
    process_id: int
    samples: list[Sample] = field(factory=list)

    more_descriptors: float = 0.0
    """What a server's descriptors may grow by beyond a peer's: its clients' connections."""

    def settled(self, warm_up_s: float) -> list[Sample]:
        """Those after the warm-up."""
        late = self.samples[int(len(self.samples) * WARM_SHARE) :]
        warm_s = self.samples[0].at_s + warm_up_s if self.samples else 0.0
        return [sample for sample in late if sample.at_s >= warm_s]

    def verdict(self, warm_up_s: float) -> dict[str, object] | None:
        """Slopes and growth of each measure; None for a life too short to tell."""
        settled = self.settled(warm_up_s)
        if len(settled) < SAMPLES_MIN:
            return None
        times = [sample.at_s for sample in settled]
        told: dict[str, object] = {"name": self.name, "samples": len(self.samples)}
        flat = True
        for measure in MEASURES:
            values = [float(getattr(sample, measure)) for sample in settled]
            grown = growth(values)
            more = self.more_descriptors if measure == "descriptors" else 0.0
            flat = flat and grown <= GROWTH_MAX[measure] + more
            told[measure] = {
                "slope_per_hour": round(slope(times, values) * 3600, 2),
                "growth": round(grown, 2),
                "first": values[0],
                "last": values[-1],
                "most": max(values),
            }
        told["flat"] = flat
        return told


def slope(times_s: Sequence[float], values: Sequence[float]) -> float:
    """Of the straight line that fits best (least squares), per second."""
    count = len(times_s)
    mean_s, mean = sum(times_s) / count, sum(values) / count
    spread = sum((at_s - mean_s) ** 2 for at_s in times_s)
    if not spread:
        return 0.0
    pairs = zip(times_s, values, strict=True)
    return sum((at_s - mean_s) * (value - mean) for at_s, value in pairs) / spread


def growth(values: Sequence[float]) -> float:
    """The median of the last quarter, less that of the first."""
    quarter = max(1, len(values) // 4)
    return median(values[-quarter:]) - median(values[:quarter])
