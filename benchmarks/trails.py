"""What an earlier viewer left in a cache, and what a viewing came to: the sums of switches.py."""

from __future__ import annotations

import random
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import frozen

from dashp2p.content.entry import Entry
from dashp2p.content.index import Index
from dashp2p.peer.foresight import beginnings

STRETCH_SEGMENTS = (2, 5)
"""An earlier viewer stayed on a rung for so many segments, from and to."""
GAP_SEGMENTS = (1, 3)
"""So many were evicted since, between two stretches."""


def left_behind(index: Index, seed: int) -> list[Entry]:
    """The media segments of an earlier viewing: stretches on rungs that changed, with gaps.

    Its beginning is there, on the lowest rung, where players begin; after it any rung but the
    lowest, in stretches. Of the sound what was heard with them. The same for the same seed.
    """
    rng = random.Random(f"trail {seed}")
    rungs = sorted(
        (one for one in index.representations if one.media_type == "video"),
        key=lambda rung: rung.bandwidth_bps,
    )
    count = len(index.media(rungs[0].id))
    chosen = {0: rungs[0].id}
    number = 1
    while number < count:
        rung = rng.choice(rungs[1:] or rungs)
        for _ in range(rng.randint(*STRETCH_SEGMENTS)):
            chosen[number] = rung.id
            number += 1
        number += rng.randint(*GAP_SEGMENTS)
    sounds = [one.id for one in index.representations if one.media_type == "audio"]
    wanted = [
        (representation_id, number)
        for number, rung_id in sorted(chosen.items())
        for representation_id in (rung_id, *sounds)
    ]
    found = [index.at(representation_id, number) for representation_id, number in wanted]
    return [entry for entry in found if entry is not None]


def files_of(index: Index, trail: Iterable[Entry]) -> list[str]:
    """What a cache holds after that viewing: the MPD, init segments, the trail."""
    trail = list(trail)
    seen = {entry.representation_id for entry in trail}
    inits = [
        entry
        for entry in index.entries
        if entry.kind.value == "init" and entry.representation_id in seen
    ]
    every = ["dash.mpd", *(entry.path for entry in (*inits, *beginnings(index), *trail))]
    return list(dict.fromkeys(every))


@frozen
class Viewing:
    """What one viewer saw."""

    switches_per_minute: float
    mean_mbps: float
    stalls: int
    stalled_s: float
    startup_s: float
    from_trail: float
    """Share of the picture's segments that the earlier viewer had left there."""

    @classmethod
    def of(cls, report: Mapping[str, Any], trail: Iterable[str]) -> Viewing:
        """From a viewer's or a browser's report. Raises ValueError when it did not play to the
        end."""
        if report["state"] != "ended" or report["startup_ms"] is None:
            why = report.get("error") or report["state"]
            raise ValueError(f"{report['id']} did not play to the end: {why}")
        left = set(trail)
        pictures = [one["path"] for one in report["segments"] if one["track"] == "video"]
        return cls(
            switches_per_minute=report["switches"] * 60 / report["position_s"],
            mean_mbps=report["mean_bitrate_bps"] / 1e6,
            stalls=report["stalls"],
            stalled_s=report["stalled_ms"] / 1000,
            startup_s=report["startup_ms"] / 1000,
            from_trail=sum(path in left for path in pictures) / len(pictures),
        )


COLUMNS = (
    ("switches/min", "switches_per_minute", 2),
    ("Mbit/s", "mean_mbps", 2),
    ("stalls", "stalls", 0),
    ("stalled s", "stalled_s", 1),
    ("start-up s", "startup_s", 2),
    ("from trail", "from_trail", 2),
)


def table(ways: Mapping[str, Sequence[Viewing]]) -> list[str]:
    """A line each: the median of every figure, with the least and the most in brackets."""
    lines = [" " * 30 + "".join(f"{title:>20}" for title, _, _ in COLUMNS)]
    for way, viewings in ways.items():
        cells = []
        for _, name, digits in COLUMNS:
            values = [float(getattr(viewing, name)) for viewing in viewings]
            least, most = min(values), max(values)
            cells.append(
                f"{statistics.median(values):.{digits}f} ({least:.{digits}f}-{most:.{digits}f})"
            )
        lines.append(f"{way:30}" + "".join(f"{cell:>20}" for cell in cells))
    return lines
