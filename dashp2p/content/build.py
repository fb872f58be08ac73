"""Making an index from the facts about its files; `publish` gathers them, tests invent them."""

import datetime
import json
from collections.abc import Iterator, Sequence

from attrs import field, frozen
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from dashp2p.content import limits
from dashp2p.content.blocks import digest_of, hash_blocks
from dashp2p.content.entry import Kind, Representation
from dashp2p.content.index import Index, parse_index, presentation_id_of
from dashp2p.content.keys import public_bytes
from dashp2p.content.signature import VERSION, IndexSignature

__all__ = ["BuiltIndex", "FileFacts", "RepresentationFacts", "build_index"]


@frozen
class FileFacts:
    """One file. `start_s` and `duration_s` are for media segments only."""

    path: str
    size_bytes: int
    hashes: bytes = field(repr=False)
    start_s: float = 0.0
    duration_s: float = 0.0

    @classmethod
    def of(
        cls,
        path: str,
        data: bytes,
        start_s: float = 0.0,
        duration_s: float = 0.0,
        block_size_bytes: int = limits.BLOCK_SIZE_BYTES,
    ) -> "FileFacts":
        """The facts about a file with that content."""
        return cls(path, len(data), hash_blocks(data, block_size_bytes), start_s, duration_s)

    @property
    def digest(self) -> bytes:
        return digest_of(self.hashes)


@frozen
class RepresentationFacts:
    """One representation and its files."""

    representation: Representation
    init: FileFacts
    media: Sequence[FileFacts]


@frozen
class BuiltIndex:
    """The three files to lay beside the MPD, and the index as every peer will read it."""

    index_json: bytes = field(repr=False)
    index_blocks: bytes = field(repr=False)
    signature: IndexSignature
    index: Index


def build_index(
    manifests: Sequence[FileFacts],
    representations: Sequence[RepresentationFacts],
    key: Ed25519PrivateKey,
    issued_s: float,
    block_size_bytes: int = limits.BLOCK_SIZE_BYTES,
    expires_s: float | None = None,
) -> BuiltIndex:
    """Write and sign an index.

    Times are seconds since 1970, and the hashes of all files must have been made with
    `block_size_bytes`. Raises IndexRefused when peers would refuse the result, so that what is
    out of bounds is found out when it is published.
    """
    files = list(_in_order(manifests, representations))
    presentation = presentation_id_of(file.digest for file in files)
    issued = datetime.datetime.fromtimestamp(issued_s, datetime.timezone.utc)
    document = {
        "v": VERSION,
        "presentation": presentation,
        "block_size": block_size_bytes,
        "issued": issued.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "public_key": public_bytes(key).hex(),
        "files": [[*_listed(file), Kind.MANIFEST.value] for file in manifests],
        "representations": [
            {
                "id": facts.representation.id,
                "type": facts.representation.media_type,
                "bandwidth": facts.representation.bandwidth_bps,
                "codecs": facts.representation.codecs,
                "width": facts.representation.width,
                "height": facts.representation.height,
                "init": _listed(facts.init),
                "media": [
                    [*_listed(file), round(file.start_s, 6), round(file.duration_s, 6)]
                    for file in facts.media
                ],
            }
            for facts in representations
        ],
    }
    index_json = json.dumps(document, separators=(",", ":")).encode("ascii")
    signature = IndexSignature.sign(
        index_json,
        presentation,
        key,
        round(issued_s * 1000),
        None if expires_s is None else round(expires_s * 1000),
    )
    return BuiltIndex(
        index_json=index_json,
        index_blocks=b"".join(file.hashes for file in files),
        signature=signature,
        index=parse_index(index_json, signature),
    )


def _in_order(
    manifests: Sequence[FileFacts], representations: Sequence[RepresentationFacts]
) -> Iterator[FileFacts]:
    yield from manifests
    for facts in representations:
        yield facts.init
        yield from facts.media


def _listed(file: FileFacts) -> list[str | int]:
    return [file.path, file.size_bytes, file.digest.hex()]
