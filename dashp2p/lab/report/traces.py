"""What one viewer's film was like over time, from its own report and its peer's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from dashp2p.lab.result import RunResult
from dashp2p.lab.scenario import Variant

Point = tuple[float, float]
_SOURCES = ("origin", "peers", "cache")


@frozen
class Got:
    """A file that a viewer got, and where its bytes came from: bytes by source."""

    at_s: float
    video: bool
    origin: int
    peers: int
    cache: int


@frozen
class Trace:
    """One viewer's; times in seconds since the first viewer of the crowd began."""

    host: str
    arrives_s: float
    buffer: tuple[Point, ...]
    """Seconds of film in hand."""
    bitrate: tuple[Point, ...]
    """Of each video segment when it was there, in bits per second."""
    got: tuple[Got, ...] = field(factory=tuple)
    """Only what is known: a peer remembers its last files."""
    standstills: tuple[Point, ...] = ()
    """Each stall's beginning and length."""


def traces(result: RunResult) -> list[Trace]:
    """Of all viewers that left a report, in the order of their coming."""
    visits = sorted(result.visits, key=lambda visit: (visit.arrives_s, visit.host))
    found = []
    for visit in visits:
        report = result.viewers.get(visit.host)
        if report:
            found.append(_trace(visit.host, visit.arrives_s, report, result))
    return found


def _trace(host: str, arrives_s: float, report: Mapping[str, Any], result: RunResult) -> Trace:
    segments = [one for one in report.get("segments") or () if one.get("done_s") is not None]
    video = [one for one in segments if one.get("track", "video") == "video"]
    # Reports of older viewers have the buffer only where a segment was asked for.
    buffer = report.get("buffer") or [
        (one["requested_s"], one["buffer_s"]) for one in video if "buffer_s" in one
    ]
    records = {
        str(one["path"]): one
        for one in (result.stats.get(host) or {}).get("segments") or ()
        if one.get("path")
    }
    got = []
    for one in segments:
        sources = _sources(one, records, result.variant)
        if sources is not None:
            video_too = one.get("track", "video") == "video"
            got.append(Got(arrives_s + float(one["done_s"]), video_too, **sources))
    return Trace(
        host,
        arrives_s,
        tuple((arrives_s + float(at), float(seconds)) for at, seconds in buffer),
        tuple(
            (arrives_s + float(one["done_s"]), float(one["bitrate_bps"]))
            for one in video
            if one.get("bitrate_bps")
        ),
        tuple(got),
        tuple((arrives_s + float(at), float(s)) for at, s in report.get("standstills") or ()),
    )


def _sources(
    segment: Mapping[str, Any], records: Mapping[str, Mapping[str, Any]], variant: Variant
) -> dict[str, int] | None:
    if variant is not Variant.PEERS:
        return {"origin": int(segment.get("size_bytes") or 0), "peers": 0, "cache": 0}
    record = records.get(str(segment.get("path")))
    if record is None:
        return None
    return {source: int(record.get(source) or 0) for source in _SOURCES}
