"""A film that was never encoded: an index's entries with believable sizes."""

from __future__ import annotations

import random
from hashlib import sha256

from attrs import field, frozen

from dashp2p.content.entry import Entry, Kind, Representation

LADDER_BPS = (500_000, 1_000_000, 3_000_000, 5_000_000)
AUDIO_BPS = 128_000
SEGMENT_S = 4.0
SIZE_SPREAD = 0.2
"""Segments of one rung differ so much from the mean, either way, and alike in all rungs."""


@frozen
class Film:
    """Entries by index position; representations by id, video rungs from the lowest."""

    entries: tuple[Entry, ...]
    video: tuple[Representation, ...]
    audio: Representation
    duration_s: float
    _media: dict[tuple[str, int], Entry] = field(factory=dict)
    _first: dict[str, Entry] = field(factory=dict)

    @property
    def index(self) -> Entry:
        """The index itself."""
        return self.entries[0]

    @property
    def manifest(self) -> Entry:
        """The MPD."""
        return self.entries[1]

    def init(self, representation: Representation) -> Entry:
        """The init segment of a representation."""
        return self._first[representation.id]

    def media(self, representation: Representation, number: int) -> Entry | None:
        """Its media segment of that number (from 0), None beyond the end."""
        return self._media.get((representation.id, number))

    def following(self, entry: Entry) -> Entry | None:
        """The next media segment of the same rung."""
        return self._media.get((entry.representation_id or "", (entry.number or 0) + 1))

    def media_type(self, entry: Entry) -> str:
        """video or audio, of a media segment."""
        return "audio" if entry.representation_id == self.audio.id else "video"

    def bytes_of(self, representation: Representation) -> int:
        """All media of one rung."""
        return sum(e.size_bytes for e in self.entries if e.representation_id == representation.id)


def make_film(
    seed: int,
    duration_s: float = 30.0,
    ladder_bps: tuple[int, ...] = LADDER_BPS,
    block_size_bytes: int = 16 * 1024,
    segment_s: float = SEGMENT_S,
) -> Film:
    """The same film for the same arguments."""
    rng = random.Random(f"film {seed}")
    count = max(1, -(-int(duration_s * 1000) // int(segment_s * 1000)))
    shapes = [1 + SIZE_SPREAD * (2 * rng.random() - 1) for _ in range(count)]
    video = tuple(
        Representation(f"v{n}", "video", rate, "avc1.64001f", 1280, 720)
        for n, rate in enumerate(sorted(ladder_bps))
    )
    audio = Representation("a0", "audio", AUDIO_BPS, "mp4a.40.2", None, None)
    entries: list[Entry] = []

    def add(
        path: str,
        size: float,
        kind: Kind,
        representation: Representation | None = None,
        number: int | None = None,
    ) -> Entry:
        start_s = None if number is None else number * segment_s
        entry = Entry(
            position=len(entries),
            path=path,
            size_bytes=int(size),
            digest=sha256(path.encode()).digest(),
            kind=kind,
            representation_id=None if representation is None else representation.id,
            number=number,
            start_s=start_s,
            duration_s=None if start_s is None else min(segment_s, duration_s - start_s),
            block_size_bytes=block_size_bytes,
        )
        entries.append(entry)
        return entry

    everything = (*video, audio)
    add("index.json", 500 + 110 * (len(everything) * (count + 1) + 3), Kind.INDEX)
    add("dash.mpd", 2500, Kind.MANIFEST)
    first: dict[str, Entry] = {}
    media: dict[tuple[str, int], Entry] = {}
    for representation in everything:
        name = representation.id
        first[name] = add(f"init_{name}.m4s", 800, Kind.INIT, representation)
        for number in range(count):
            length_s = min(segment_s, duration_s - number * segment_s)
            shape = shapes[number] if representation is not audio else 1.0
            size = representation.bandwidth_bps / 8 * length_s * shape
            media[name, number] = add(
                f"chunk_{name}_{number + 1}.m4s", size, Kind.MEDIA, representation, number
            )
    return Film(tuple(entries), video, audio, duration_s, media, first)
