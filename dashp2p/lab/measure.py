"""The figures that say whether a crowd costs the origin one copy, from plain numbers."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from attrs import frozen


def offload_limit(viewers: int) -> float:
    """The best any scheme can do with one rung: one copy in N has to leave the origin, 1 - 1/N."""
    return 1 - 1 / viewers if viewers > 0 else 0.0


def offload(origin_bytes: float, delivered_bytes: float) -> float | None:
    """Share of what players got that the origin did not send; None where nothing was delivered."""
    return 1 - origin_bytes / delivered_bytes if delivered_bytes > 0 else None


def copies_per_segment(egress_bytes: float, distinct_bytes: float) -> float | None:
    """How often each distinct byte left the origin; 1.00 is the least that can be."""
    return egress_bytes / distinct_bytes if distinct_bytes > 0 else None


def jain(values: Iterable[float]) -> float | None:
    """Jain's fairness index: 1 when all are equal, 1/n when one has everything; None for none."""
    given = list(values)
    squares = sum(value * value for value in given)
    if not given or squares <= 0:
        return None
    return sum(given) ** 2 / (len(given) * squares)


def share(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None


@frozen
class Spread:
    """Several runs' values of one figure: their median and range."""

    median: float
    low: float
    high: float
    runs: int


def spread(values: Iterable[float | None]) -> Spread | None:
    """None where no run has the figure."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    return Spread(statistics.median(known), min(known), max(known), len(known))


def median(values: Iterable[float | None]) -> float | None:
    found = spread(values)
    return found.median if found else None


@frozen
class Sample:
    """A counter's reading at one moment (seconds since the run began)."""

    at_s: float
    value_bytes: int


def windows(samples: Sequence[Sample], width_s: float) -> list[int]:
    """Bytes counted in each full or partial window of `width_s`, from second 0 on.

    Between two readings the bytes are taken to have flowed evenly.
    """
    if len(samples) < 2:
        return []
    end = samples[-1].at_s
    edges = [width_s * number for number in range(math.ceil(end / width_s))]
    levels = [_level(samples, edge) for edge in (*edges, end)]
    return [round(after - before) for before, after in pairwise(levels)]


def _level(samples: Sequence[Sample], at_s: float) -> float:
    before = samples[0]
    if at_s <= before.at_s:
        return before.value_bytes
    for sample in samples[1:]:
        if sample.at_s >= at_s:
            part = (at_s - before.at_s) / (sample.at_s - before.at_s)
            return before.value_bytes + part * (sample.value_bytes - before.value_bytes)
        before = sample
    return before.value_bytes


def distinct_bytes(delivered: Iterable[Mapping[str, int]]) -> int:
    """Bytes of the union of what each player got whole, each file once (path to size in bytes)."""
    union: dict[str, int] = {}
    for one in delivered:
        union.update(one)
    return sum(union.values())
