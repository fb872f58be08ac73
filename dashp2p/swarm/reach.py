"""Which rungs can be had while the origin is away: those whose next segments somebody has."""

from __future__ import annotations

from bisect import bisect_left

from dashp2p.content.entry import Entry
from dashp2p.content.index import Index

AHEAD_SEGMENTS = 3
"""A rung must be here for so many segments after the one that is asked for now: players have some
of them in their buffers when they read the advice, and changing rung for one segment is no good."""

SLACK_S = 0.1
"""Segments of sound and picture do not end on the same sample."""


def reachable_bps(index: Index, held: int, asked: Entry) -> tuple[int, ...]:
    """The rates of the video rungs whose segments after `asked` (picture or sound) are all in
    `held`, a bitmap over index positions. Towards the film's end all rungs may be."""
    end_s = (asked.start_s or 0.0) + (asked.duration_s or 0.0) - SLACK_S
    return tuple(
        rung.bandwidth_bps
        for rung in index.representations
        if rung.media_type == "video" and _is_held(_coming(index.media(rung.id), end_s), held)
    )


def _coming(media: tuple[Entry, ...], from_s: float) -> tuple[Entry, ...]:
    first = bisect_left(media, from_s, key=lambda entry: entry.start_s or 0.0)
    return media[first : first + AHEAD_SEGMENTS]


def _is_held(coming: tuple[Entry, ...], held: int) -> bool:
    return all(held >> entry.position & 1 for entry in coming)
