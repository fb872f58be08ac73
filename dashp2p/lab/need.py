"""What had to leave the origin while a crowd watched, a few seconds at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from attrs import frozen

from dashp2p.lab.scenario import Visit
from dashp2p.lab.viewing import Viewing


@frozen
class _Got:
    """One file on its way to one viewer, in seconds from the first viewer's start."""

    begins_s: float
    ends_s: float
    path: str
    size_bytes: int

    def between(self, begin_s: float, end_s: float) -> float:
        """Bytes of it that came meanwhile, taken to have come evenly."""
        overlap_s = min(self.ends_s, end_s) - max(self.begins_s, begin_s)
        length_s = max(self.ends_s - self.begins_s, 1e-6)
        return self.size_bytes * min(1.0, max(0.0, overlap_s) / length_s)


def needed_in_windows(
    visits: Sequence[Visit],
    seen: Mapping[str, Viewing],
    uplink_bps: float,
    edges_s: Sequence[float],
) -> list[float] | None:
    """Bytes that the origin had to send in each window, at least; None where it can't be told.

    What nobody had been getting before has to leave it once, and so has what the uplinks of those
    who are there do not carry: max(r, N r - sum of u_i) (Kumar, Liu and Ross, INFOCOM 2007), with r
    the rate at which viewers really got media in that window. A crowd that fills its buffers gets
    more than it plays, and so does one viewer alone.
    """
    come = {visit.host: visit for visit in visits}
    got: dict[str, list[_Got]] = {}
    for host, viewing in seen.items():
        at_s = come[host].arrives_s
        for path, (begins_s, ends_s) in viewing.came_s.items():
            one = _Got(at_s + begins_s, at_s + ends_s, path, viewing.delivered[path])
            got.setdefault(host, []).append(one)
    if not got:
        return None
    every = sorted((one for mine in got.values() for one in mine), key=lambda one: one.begins_s)
    first: dict[str, _Got] = {}
    for one in every:
        first.setdefault(one.path, one)
    return [
        _needed(visits, got, list(first.values()), uplink_bps, begin_s, end_s)
        for begin_s, end_s in pairwise(edges_s)
    ]


def _needed(
    visits: Sequence[Visit],
    got: Mapping[str, Sequence[_Got]],
    first: Sequence[_Got],
    uplink_bps: float,
    begin_s: float,
    end_s: float,
) -> float:
    each = [sum(one.between(begin_s, end_s) for one in mine) for mine in got.values()]
    each = [size for size in each if size > 0]
    there_s = sum(
        max(0.0, min(end_s, visit.leaves_s or end_s) - max(begin_s, visit.arrives_s))
        for visit in visits
    )
    fresh = sum(one.between(begin_s, end_s) for one in first)
    mean = sum(each) / len(each) if each else 0.0
    return max(fresh, mean, sum(each) - uplink_bps / 8 * there_s)
