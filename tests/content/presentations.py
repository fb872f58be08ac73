"""Small presentations for the tests of this room."""

import json
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from dashp2p.content.build import BuiltIndex, FileFacts, RepresentationFacts, build_index
from dashp2p.content.entry import Representation
from dashp2p.content.index import Index, IndexSignature, parse_index, presentation_id_of

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
ISSUED_S = 1_700_000_000.0
BLOCK = 16_384


def content_of(path: str) -> bytes:
    """What the file of that path holds: the fourth video segment is three blocks long."""
    length = 2 * BLOCK + 100 if path == "chunk_0_4.m4s" else 200
    return (path.encode() * (length // len(path) + 1))[:length]


def built() -> BuiltIndex:
    """Two manifests, four segments of video and two of audio."""

    def facts(path: str, start_s: float = 0.0, duration_s: float = 0.0) -> FileFacts:
        return FileFacts.of(path, content_of(path), start_s, duration_s)

    video = Representation("0", "video", 5_000_000, "avc1.640028", 1920, 1080)
    audio = Representation("4", "audio", 128_000, "mp4a.40.2", None, None)
    return build_index(
        [facts("dash.mpd"), facts("master.m3u8")],
        [
            RepresentationFacts(
                video,
                facts("init_0.m4s"),
                [facts(f"chunk_0_{n}.m4s", 4.0 * (n - 1), 4.0) for n in range(1, 5)],
            ),
            RepresentationFacts(
                audio,
                facts("init_4.m4s"),
                [facts(f"chunk_4_{n}.m4s", 4.0 * (n - 1), 4.0) for n in range(1, 3)],
            ),
        ],
        KEY,
        ISSUED_S,
    )


_INDEX_JSON = built().index_json


def document() -> dict[str, Any]:
    """The index as JSON, to be spoilt."""
    value: dict[str, Any] = json.loads(_INDEX_JSON)
    return value


def files_of(value: dict[str, Any]) -> list[Any]:
    """All the files that a document lists, in index order."""
    listed = list(value["files"])
    for item in value["representations"]:
        listed += [item["init"], *item["media"]]
    return listed


def with_its_own_id(value: dict[str, Any]) -> dict[str, Any]:
    """The document with the presentation id that its digests now give."""
    digests = (bytes.fromhex(file[2]) for file in files_of(value))
    return {**value, "presentation": presentation_id_of(digests)}


def read_signed(value: object) -> Index:
    """What a peer makes of that document when the origin itself has signed it."""
    raw = json.dumps(value).encode()
    presentation = value.get("presentation") if isinstance(value, dict) else None
    name = presentation if isinstance(presentation, str) else "0" * 32
    return parse_index(raw, IndexSignature.sign(raw, name, KEY))
