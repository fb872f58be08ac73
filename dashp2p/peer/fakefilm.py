"""A signed presentation in memory, made of noise."""

from __future__ import annotations

import random

from attrs import field, frozen
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from dashp2p.content.build import FileFacts, RepresentationFacts, build_index
from dashp2p.content.entry import Entry, Representation
from dashp2p.content.index import BLOCKS_NAME, SIGNATURE_NAME, Index, IndexSignature
from dashp2p.content.signature import INDEX_NAME

__all__ = ["MemoryFilm"]


@frozen
class MemoryFilm:
    """A signed presentation: `files` has every file by its path, the three index files too."""

    files: dict[str, bytes] = field(repr=False)
    index: Index
    signature: IndexSignature

    @classmethod
    def make(
        cls,
        segments: int = 3,
        segment_bytes: int = 200_000,
        rungs: int = 1,
        audio: bool = False,
        seed: int = 1,
        issued_s: float = 1_700_000_000.0,
        expires_s: float | None = None,
    ) -> MemoryFilm:
        """Noise, cut into segments of 4 s: chunk_0_1.m4s and so on, beside init_0.m4s and a MPD.

        Films of one seed are signed with one key. Times are seconds since 1970.
        """
        rng = random.Random(seed)
        key = cls._key(rng)
        files = {"dash.mpd": b"<MPD/>" + rng.randbytes(3000)}
        tracks = [
            Representation(str(rung), "video", 1_000_000 * (rung + 1), "avc1", 640, 360)
            for rung in range(rungs)
        ]
        if audio:
            tracks.append(Representation(str(rungs), "audio", 128_000, "mp4a", None, None))
        facts: list[RepresentationFacts] = []
        for track in tracks:
            init = f"init_{track.id}.m4s"
            files[init] = rng.randbytes(900)
            media: list[FileFacts] = []
            for number in range(1, segments + 1):
                path = f"chunk_{track.id}_{number}.m4s"
                files[path] = rng.randbytes(segment_bytes - 7 * number)
                media.append(FileFacts.of(path, files[path], 4.0 * (number - 1), 4.0))
            facts.append(RepresentationFacts(track, FileFacts.of(init, files[init]), media))
        manifest = FileFacts.of("dash.mpd", files["dash.mpd"])
        built = build_index([manifest], facts, key, issued_s, expires_s=expires_s)
        files[INDEX_NAME] = built.index_json
        files[BLOCKS_NAME] = built.index_blocks
        files[SIGNATURE_NAME] = built.signature.to_bytes()
        return cls(files, built.index, built.signature)

    @classmethod
    def key(cls, seed: int = 1) -> Ed25519PrivateKey:
        """What signs the films of that seed."""
        return cls._key(random.Random(seed))

    @staticmethod
    def _key(rng: random.Random) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(rng.randbytes(32))

    def entry(self, path: str) -> Entry:
        """The index's entry of a file. Raises KeyError."""
        found = self.index.by_path(path)
        if found is None:
            raise KeyError(path)
        return found
