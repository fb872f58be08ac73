"""Reading a DASH manifest (MPD, ISO/IEC 23009-1) that may come from anyone.

Static presentations of one Period whose segments are named by SegmentTemplate, with a
SegmentTimeline or a duration. Anything else is refused with a reason, never guessed.

Why not the PyPI package mpegdash (0.4.1 of January 2026, so maintained): it hands a text without
"<MPD" to urlopen or open, parses with the standard library's minidom and has no documented way to
give it a hardened parser; it reads attributes only, neither inherits a SegmentTemplate nor expands
one, which is the work to be done here; "false" reads as True; and it carries no types.
"""

from collections.abc import Iterator, Mapping
from xml.etree.ElementTree import Element

from attrs import frozen

from dashp2p.content import limits
from dashp2p.content.index import MEDIA_TYPES, path_is_safe
from dashp2p.content.mpd_tree import (
    NAMESPACE,
    MpdRefused,
    checked_integer,
    duration_in_s,
    integer,
    parse_tree,
)
from dashp2p.content.template import TemplateRefused, expand

__all__ = ["Manifest", "ManifestRepresentation", "ManifestSegment", "MpdRefused", "read_mpd"]


@frozen
class ManifestSegment:
    """A media segment, its path relative to the MPD, its time from the start of the Period."""

    path: str
    start_s: float
    duration_s: float


@frozen
class ManifestRepresentation:
    """One bitrate of one track. Those of one `adaptation_set` (counted from 0) are alternatives."""

    id: str
    adaptation_set: int
    media_type: str
    bandwidth_bps: int
    codecs: str
    width: int | None
    height: int | None
    init_path: str
    media: tuple[ManifestSegment, ...]


@frozen
class Manifest:
    """What an MPD says, with every path spelled out. Sets of other than video, audio and text
    (thumbnails, say) are left out."""

    duration_s: float
    min_buffer_s: float | None
    representations: tuple[ManifestRepresentation, ...]


def read_mpd(raw: bytes) -> Manifest:
    """Read an MPD of at most MPD_MAX_BYTES. Raises MpdRefused and nothing else."""
    return _Reader().read(parse_tree(raw))


class _Reader:
    """Walks one tree and keeps count of the segments spelled out."""

    def __init__(self) -> None:
        self._segments = 0
        self._period_s = 0.0

    def read(self, root: Element) -> Manifest:
        if root.get("type", "static") != "static":
            raise MpdRefused("the MPD is of a live stream (type is not static)")
        periods = root.findall(NAMESPACE + "Period")
        if len(periods) != 1:
            raise MpdRefused(f"the MPD has {len(periods)} Periods, not one")
        period = periods[0]
        stated = period.get("duration") or root.get("mediaPresentationDuration")
        if stated is None:
            raise MpdRefused("the MPD does not say how long it lasts")
        self._period_s = duration_in_s(stated)
        buffer = root.get("minBufferTime")
        representations: list[ManifestRepresentation] = []
        for number, adaptation_set in enumerate(period.iterfind(NAMESPACE + "AdaptationSet")):
            for item in adaptation_set.iterfind(NAMESPACE + "Representation"):
                if len(representations) >= limits.REPRESENTATIONS_MAX:
                    raise MpdRefused(f"more than {limits.REPRESENTATIONS_MAX} representations")
                read = self._representation(number, (root, period, adaptation_set, item))
                if read is not None:
                    representations.append(read)
        if not representations:
            raise MpdRefused("the MPD names no video and no audio")
        return Manifest(
            duration_s=self._period_s,
            min_buffer_s=None if buffer is None else duration_in_s(buffer),
            representations=tuple(representations),
        )

    def _representation(
        self, number: int, levels: tuple[Element, ...]
    ) -> ManifestRepresentation | None:
        _, _, adaptation_set, item = levels
        mime_type = item.get("mimeType") or adaptation_set.get("mimeType") or ""
        media_type = adaptation_set.get("contentType") or mime_type.partition("/")[0]
        if media_type not in MEDIA_TYPES:
            return None
        name = item.get("id", "")
        bandwidth = integer(item, "bandwidth", 1, limits.BANDWIDTH_MAX_BPS)
        if bandwidth is None:
            raise MpdRefused("a Representation has no bandwidth")
        template = _template(levels)
        base = _base_path(levels)
        values: dict[str, str | int] = {"RepresentationID": name, "Bandwidth": bandwidth}
        initialization = template.attributes.get("initialization")
        if initialization is None:
            raise MpdRefused("a SegmentTemplate names no initialization segment")
        return ManifestRepresentation(
            id=name,
            adaptation_set=number,
            media_type=media_type,
            bandwidth_bps=bandwidth,
            codecs=item.get("codecs") or adaptation_set.get("codecs") or "",
            width=_dimension(item, adaptation_set, "width"),
            height=_dimension(item, adaptation_set, "height"),
            init_path=_path(base, initialization, values),
            media=tuple(self._media(template, base, values)),
        )

    def _media(
        self, template: "_Template", base: str, values: Mapping[str, str | int]
    ) -> Iterator[ManifestSegment]:
        media = template.attributes.get("media")
        if media is None:
            raise MpdRefused("a SegmentTemplate names no media")
        first = template.integer("startNumber", 0, limits.TICKS_MAX, 1)
        offset = template.integer("presentationTimeOffset", 0, limits.TICKS_MAX, 0)
        for count, (time, duration) in enumerate(self._times(template, offset)):
            self._segments += 1
            if self._segments > limits.ENTRIES_MAX:
                raise MpdRefused(f"the MPD names more than {limits.ENTRIES_MAX} segments")
            yield ManifestSegment(
                path=_path(base, media, {**values, "Number": first + count, "Time": time}),
                start_s=max(0.0, (time - offset) / template.timescale),
                duration_s=duration / template.timescale,
            )

    def _times(self, template: "_Template", offset: int) -> Iterator[tuple[int, int]]:
        """(time, duration) of each segment, in units of the timescale."""
        end = offset + round(self._period_s * template.timescale)
        if template.timeline is not None:
            yield from _timeline(template.timeline, offset, end)
            return
        duration = template.integer("duration", 1, limits.TICKS_MAX, None)
        time = offset
        while time < end:  # ends after ENTRIES_MAX at the latest: _media counts
            yield time, min(duration, end - time)
            time += duration


def _timeline(timeline: Element, start: int, end: int) -> Iterator[tuple[int, int]]:
    time = start
    entries = timeline.findall(NAMESPACE + "S")
    for position, entry in enumerate(entries):
        stated = integer(entry, "t", -limits.TICKS_MAX, limits.TICKS_MAX)
        time = time if stated is None else stated
        duration = integer(entry, "d", 1, limits.TICKS_MAX)
        if duration is None:
            raise MpdRefused("an entry of a SegmentTimeline has no duration")
        repeat = integer(entry, "r", -1, limits.ENTRIES_MAX) or 0
        if repeat < 0:  # up to the next entry's time, or the end
            following = entries[position + 1] if position + 1 < len(entries) else None
            until = end if following is None else integer(following, "t", 0, limits.TICKS_MAX)
            if until is None:
                raise MpdRefused("an open repetition in a SegmentTimeline has no end")
            repeat = max(0, -(-(until - time) // duration) - 1)
        for _ in range(repeat + 1):
            yield time, duration
            time += duration


@frozen
class _Template:
    """A SegmentTemplate with what it inherits from the levels above."""

    attributes: Mapping[str, str]
    timeline: Element | None
    timescale: int

    def integer(self, name: str, low: int, high: int, default: int | None) -> int:
        text = self.attributes.get(name)
        if text is not None:
            return checked_integer(text, name, low, high)
        if default is None:
            raise MpdRefused(f"a SegmentTemplate has neither a SegmentTimeline nor a {name}")
        return default


def _template(levels: tuple[Element, ...]) -> _Template:
    attributes: dict[str, str] = {}
    timeline: Element | None = None
    for level in levels[1:]:
        for other in ("SegmentList", "SegmentBase"):
            if level.find(NAMESPACE + other) is not None:
                raise MpdRefused(f"the MPD uses {other}; only SegmentTemplate is read")
        element = level.find(NAMESPACE + "SegmentTemplate")
        if element is not None:
            attributes.update(element.attrib)
            found = element.find(NAMESPACE + "SegmentTimeline")
            timeline = timeline if found is None else found
    return _Template(
        attributes,
        timeline,
        checked_integer(attributes.get("timescale", "1"), "timescale", 1, limits.TIMESCALE_MAX),
    )


def _base_path(levels: tuple[Element, ...]) -> str:
    """What the relative BaseURLs of all levels add up to: "" or a folder with its slash."""
    base = ""
    for level in levels:
        element = level.find(NAMESPACE + "BaseURL")
        text = "" if element is None or element.text is None else element.text.strip()
        if text.startswith("/") or ":" in text or "?" in text:
            raise MpdRefused("a BaseURL leads elsewhere; only relative ones are followed")
        base += text[: text.rfind("/") + 1]
        if len(base) > limits.PATH_MAX_CHARS:
            raise MpdRefused("a BaseURL is too long")
    return base[2:] if base.startswith("./") else base


def _path(base: str, template: str, values: Mapping[str, str | int]) -> str:
    try:
        path = base + expand(template, values)
    except TemplateRefused as error:
        raise MpdRefused(str(error)) from error
    if not path_is_safe(path):
        raise MpdRefused("a segment's name is not a safe relative path")
    return path


def _dimension(item: Element, adaptation_set: Element, name: str) -> int | None:
    found = integer(item, name, 1, limits.DIMENSION_MAX_PX)
    if found is not None:
        return found
    return integer(adaptation_set, name, 1, limits.DIMENSION_MAX_PX)
