"""Which rungs can be had while the origin is away: those whose next segments somebody has."""

from __future__ import annotations

from bisect import bisect_left
from itertools import takewhile

from dashp2p.content.entry import Entry
from dashp2p.content.index import Index

AHEAD_SEGMENTS = 3
"""A rung is to be here for so many segments on: players have some of them in their buffers when
they read the advice, and changing rung for one segment is no good."""

SLACK_S = 0.1
"""Segments of sound and picture do not end on the same sample."""


def reachable_bps(index: Index, held: int, asked: Entry, refused: bool = False) -> tuple[int, ...]:
    """The rates of the video rungs that go on in `held`, a bitmap over index positions.

    They go on after the segment `asked` (picture or sound); where that was `refused`, with it, for
    the player needs it still. Where none goes on for long enough, those that go on the longest;
    none where nobody has any next segment. After the last segment all do.
    """
    begins_s = asked.start_s or 0.0
    from_s = begins_s if refused else begins_s + (asked.duration_s or 0.0)
    runs: list[tuple[int, int]] = []
    for rung in index.representations:
        if rung.media_type == "video":
            coming = _coming(index.media(rung.id), from_s - SLACK_S)
            missing = AHEAD_SEGMENTS - len(coming)  # the film ends before
            runs.append((_held_first(coming, held) + missing, rung.bandwidth_bps))
    longest = max((length for length, _ in runs), default=0)
    return tuple(rate_bps for length, rate_bps in runs if length == longest > 0)


def _coming(media: tuple[Entry, ...], from_s: float) -> tuple[Entry, ...]:
    first = bisect_left(media, from_s, key=lambda entry: entry.start_s or 0.0)
    return media[first : first + AHEAD_SEGMENTS]


def _held_first(coming: tuple[Entry, ...], held: int) -> int:
    """How many of them are held before the first that is not."""
    return sum(1 for _ in takewhile(lambda entry: held >> entry.position & 1, coming))
