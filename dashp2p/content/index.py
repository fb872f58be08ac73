"""The signed index: every file of a presentation with its size and digest.

Three static files lie beside dash.mpd: index.json (the list), index.blocks (the block hashes of all
files but the index, back to back in index order) and index.sig (see signature.py). Nothing of an
index is read before its signature holds; the caller decides which public key it trusts.

index.json: `{"v":1, "presentation":"<32 hex>", "block_size":16384, "issued":"<ISO 8601 Z>",
"public_key":"<64 hex>", "files":[[path, size, "<64 hex digest>", "manifest"], ...],
"representations":[{"id", "type", "bandwidth", "codecs", "width", "height",
"init":[path, size, digest], "media":[[path, size, digest, start_s, duration_s], ...]}, ...]}`.
Positions count from 0 (index.json itself) through "files", then, representation by representation,
init and media. Fields that are not named here are ignored.
"""

import re
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any, Final

from attrs import field, frozen

from dashp2p.content import limits, strict
from dashp2p.content.blocks import HASH_BYTES
from dashp2p.content.entry import Entry, Kind, Representation
from dashp2p.content.signature import (
    BLOCKS_NAME,
    INDEX_NAME,
    PRESENTATION_BYTES,
    PUBLIC_KEY_BYTES,
    SIGNATURE_NAME,
    VERSION,
    IndexSignature,
    swarm_id_of,
)
from dashp2p.content.strict import IndexRefused

__all__ = [
    "BLOCKS_NAME",
    "INDEX_NAME",
    "MEDIA_TYPES",
    "SIGNATURE_NAME",
    "Index",
    "IndexRefused",
    "IndexSignature",
    "parse_index",
    "path_is_safe",
    "presentation_id_of",
]

MEDIA_TYPES: Final = frozenset({"video", "audio", "text"})
RESERVED_PATHS: Final = frozenset({INDEX_NAME, BLOCKS_NAME, SIGNATURE_NAME})

# One component: what a URL needs no percent-encoding for (RFC 3986 pchar but ":", which could make
# a scheme of the first one), and no dot in front: no "..", no hidden file.
_COMPONENT = r"(?!\.)[A-Za-z0-9._~!$&'()*+,;=@-]+"
_SAFE_PATH: Final = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*\Z")
_ID: Final = re.compile(r"[A-Za-z0-9._-]+\Z")
_ISSUED: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z\Z", re.ASCII)


def path_is_safe(path: str) -> bool:
    """Whether `path` may name a file of a presentation.

    Relative, at most 255 characters, no empty or hidden component, no "..", and only characters
    that are the same in a URL and in a file system, so that no two spellings name one file.
    """
    return len(path) <= limits.PATH_MAX_CHARS and _SAFE_PATH.match(path) is not None


def presentation_id_of(digests: Iterator[bytes]) -> str:
    """32 hex digits that another film, or the same one cut anew, will not have."""
    return sha256(b"".join(digests)).hexdigest()[: 2 * PRESENTATION_BYTES]


@frozen
class Index:
    """A verified index. `entries[position]` is the file at that position, index.json at 0."""

    presentation_id: str
    public_key: bytes
    issued: str
    block_size_bytes: int
    entries: tuple[Entry, ...] = field(repr=False)
    representations: tuple[Representation, ...]
    _by_path: Mapping[str, Entry] = field(init=False, repr=False, eq=False)
    _hashes_offsets: tuple[int, ...] = field(init=False, repr=False, eq=False)
    _media: Mapping[str, tuple[Entry, ...]] = field(init=False, repr=False, eq=False)
    _representations: Mapping[str, Representation] = field(init=False, repr=False, eq=False)

    @_by_path.default
    def _make_by_path(self) -> Mapping[str, Entry]:
        return {entry.path: entry for entry in self.entries}

    @_hashes_offsets.default
    def _make_hashes_offsets(self) -> tuple[int, ...]:
        offsets = [0]  # position 0 has none: index.blocks does not cover the index itself
        total = 0
        for entry in self.entries[1:]:
            offsets.append(total)
            total += entry.block_count * HASH_BYTES
        return (*offsets, total)

    @_media.default
    def _make_media(self) -> Mapping[str, tuple[Entry, ...]]:
        media: dict[str, list[Entry]] = {item.id: [] for item in self.representations}
        for entry in self.entries:
            if entry.kind is Kind.MEDIA and entry.representation_id is not None:
                media[entry.representation_id].append(entry)
        return {name: tuple(entries) for name, entries in media.items()}

    @_representations.default
    def _make_representations(self) -> Mapping[str, Representation]:
        return {item.id: item for item in self.representations}

    @property
    def swarm_id(self) -> bytes:
        """The 32-byte name of the swarm."""
        return swarm_id_of(self.public_key, self.presentation_id)

    @property
    def hashes_size_bytes(self) -> int:
        """The size of index.blocks."""
        return self._hashes_offsets[-1]

    def by_path(self, path: str) -> Entry | None:
        """The file of that path, as the MPD or playlist names it relative to itself."""
        return self._by_path.get(path)

    def hashes_offset(self, position: int) -> int:
        """Where in index.blocks the hashes of that file begin, in bytes.

        Raises IndexError outside the index, and for position 0, whose hashes are not in there.
        """
        if not 1 <= position < len(self.entries):
            raise IndexError(f"{BLOCKS_NAME} holds nothing for position {position}")
        return self._hashes_offsets[position]

    def following(self, entry: Entry) -> Entry | None:
        """The next media segment of the same representation; after the init segment, the first."""
        if entry.representation_id is None:
            return None
        return self.at(entry.representation_id, 0 if entry.number is None else entry.number + 1)

    def representation(self, representation_id: str) -> Representation:
        """The representation of that id. Raises KeyError."""
        return self._representations[representation_id]

    def media(self, representation_id: str) -> tuple[Entry, ...]:
        """All media segments of a representation, in order. Raises KeyError."""
        return self._media[representation_id]

    def at(self, representation_id: str, number: int) -> Entry | None:
        """Media segment `number` (0-based) of a representation, if both are there."""
        media = self._media.get(representation_id, ())
        return media[number] if 0 <= number < len(media) else None


def parse_index(raw: bytes, signature: IndexSignature) -> Index:
    """Verify and read an index.json. Raises IndexRefused and nothing else, whatever `raw` is."""
    signature.verify(raw)
    document = strict.parse_object(raw, INDEX_NAME, limits.INDEX_MAX_BYTES)
    strict.integer(document.get("v"), "the version of index.json", VERSION, VERSION)
    public_key = strict.lower_hex(document.get("public_key"), "public_key", PUBLIC_KEY_BYTES)
    if public_key != signature.public_key:
        raise IndexRefused(f"{INDEX_NAME} and {SIGNATURE_NAME} name different keys")
    presentation = strict.lower_hex(
        document.get("presentation"), "presentation", PRESENTATION_BYTES
    ).hex()
    if presentation != signature.presentation_id:
        raise IndexRefused(f"{INDEX_NAME} and {SIGNATURE_NAME} name different presentations")
    issued = strict.text(document.get("issued"), "issued", limits.ID_MAX_CHARS)
    if not _ISSUED.match(issued):
        raise IndexRefused("issued is not an ISO 8601 time in UTC")

    reader = _Reader(_block_size(document.get("block_size")), signature.index_entry())
    for item in strict.sequence(document.get("files"), "files", 0, limits.ENTRIES_MAX):
        reader.read_file(item)
    for item in strict.sequence(
        document.get("representations"), "representations", 1, limits.REPRESENTATIONS_MAX
    ):
        reader.read_representation(item)
    if presentation != presentation_id_of(entry.digest for entry in reader.entries[1:]):
        raise IndexRefused("the presentation id is not that of the digests listed")
    return Index(
        presentation_id=presentation,
        public_key=public_key,
        issued=issued,
        block_size_bytes=reader.block_size_bytes,
        entries=tuple(reader.entries),
        representations=tuple(reader.representations),
    )


def _block_size(value: object) -> int:
    size = strict.integer(
        value, "block_size", limits.BLOCK_SIZE_MIN_BYTES, limits.BLOCK_SIZE_MAX_BYTES
    )
    if size & (size - 1):
        raise IndexRefused(f"block_size is {size}, not a power of two")
    return size


class _Reader:
    """Collects entries in index order, and sees to what must hold between them."""

    def __init__(self, block_size_bytes: int, index_entry: Entry) -> None:
        self.block_size_bytes = block_size_bytes
        self.entries = [index_entry]
        self.representations: list[Representation] = []
        self._paths = set(RESERVED_PATHS)
        self._ids: set[str] = set()

    def read_file(self, item: Any) -> None:
        path, size, digest, kind = strict.sequence(item, "a file", 4, 4)
        if kind != Kind.MANIFEST.value:
            raise IndexRefused(f"a file is of a kind other than {Kind.MANIFEST.value!r}")
        self._add(path, size, digest, Kind.MANIFEST)

    def read_representation(self, item: Any) -> None:
        if not isinstance(item, dict):
            raise IndexRefused("a representation is not an object")
        name = strict.text(item.get("id"), "a representation's id", limits.ID_MAX_CHARS)
        if not _ID.match(name) or name in self._ids:
            raise IndexRefused("a representation's id is malformed or used twice")
        self._ids.add(name)
        media_type = strict.text(item.get("type"), "type", limits.ID_MAX_CHARS)
        if media_type not in MEDIA_TYPES:
            raise IndexRefused("a representation's type is not video, audio or text")
        self.representations.append(
            Representation(
                id=name,
                media_type=media_type,
                bandwidth_bps=strict.integer(
                    item.get("bandwidth"), "bandwidth", 1, limits.BANDWIDTH_MAX_BPS
                ),
                codecs=strict.text(item.get("codecs"), "codecs", limits.CODECS_MAX_CHARS),
                width=_dimension(item.get("width"), "width"),
                height=_dimension(item.get("height"), "height"),
            )
        )
        path, size, digest = strict.sequence(item.get("init"), "init", 3, 3)
        self._add(path, size, digest, Kind.INIT, name)
        end_s = -1.0
        media = strict.sequence(item.get("media"), "media", 1, limits.ENTRIES_MAX)
        for number, segment in enumerate(media):
            path, size, digest, start, duration = strict.sequence(segment, "a segment", 5, 5)
            start_s = strict.number(start, "start_s", 0, limits.START_MAX_S)
            duration_s = strict.number(duration, "duration_s", 0, limits.SEGMENT_MAX_S)
            if start_s <= end_s:
                raise IndexRefused("the segments of a representation are not in order of time")
            end_s = start_s
            self._add(path, size, digest, Kind.MEDIA, name, number, start_s, duration_s)

    def _add(
        self,
        path: Any,
        size: Any,
        digest: Any,
        kind: Kind,
        representation_id: str | None = None,
        number: int | None = None,
        start_s: float | None = None,
        duration_s: float | None = None,
    ) -> None:
        if len(self.entries) >= limits.ENTRIES_MAX:
            raise IndexRefused(f"more than {limits.ENTRIES_MAX} files")
        if not isinstance(path, str) or not path_is_safe(path):
            raise IndexRefused("a path is not a safe relative path")
        if path in self._paths:
            raise IndexRefused(f"the path {path} is reserved or listed twice")
        self._paths.add(path)
        entry = Entry(
            position=len(self.entries),
            path=path,
            size_bytes=strict.integer(size, "size", 1, limits.FILE_MAX_BYTES),
            digest=strict.lower_hex(digest, "digest", HASH_BYTES),
            kind=kind,
            representation_id=representation_id,
            number=number,
            start_s=start_s,
            duration_s=duration_s,
            block_size_bytes=self.block_size_bytes,
        )
        if entry.block_count > limits.FILE_MAX_BLOCKS:
            raise IndexRefused(f"{path} has {entry.block_count} blocks: block_size is too small")
        self.entries.append(entry)


def _dimension(value: object, what: str) -> int | None:
    return None if value is None else strict.integer(value, what, 1, limits.DIMENSION_MAX_PX)
