"""index.sig: the small side file that says which index is the origin's.

`{"v":1, "presentation", "index_size", "index_digest", "public_key", "signature"}`; the signature is
Ed25519 over b"dashp2p-index-v1\\n" and the exact bytes of index.json, so there is no canonical form
to get wrong, and a signature of something else made with the same key can't be passed off as one.
"""

import json
from hashlib import sha256
from typing import Final

from attrs import frozen
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from dashp2p.content import limits, strict
from dashp2p.content.blocks import HASH_BYTES, check_whole, digest_of, hash_blocks
from dashp2p.content.entry import Entry, Kind
from dashp2p.content.keys import public_bytes
from dashp2p.content.strict import IndexRefused

__all__ = [
    "BLOCKS_NAME",
    "INDEX_NAME",
    "SIGNATURE_NAME",
    "VERSION",
    "IndexSignature",
    "swarm_id_of",
]

INDEX_NAME: Final = "index.json"
BLOCKS_NAME: Final = "index.blocks"
SIGNATURE_NAME: Final = "index.sig"
VERSION: Final = 1
PRESENTATION_BYTES: Final = 16
PUBLIC_KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64

_SIGNED_PREFIX: Final = b"dashp2p-index-v1\n"
_SWARM_PREFIX: Final = b"dashp2p-swarm-v1\n"


def swarm_id_of(public_key: bytes, presentation_id: str) -> bytes:
    """The 32-byte name of the swarm of one presentation of one origin."""
    return sha256(_SWARM_PREFIX + public_key + presentation_id.encode("ascii")).digest()


@frozen
class IndexSignature:
    """What index.sig says. Only `verify` makes it more than a claim."""

    presentation_id: str
    index_size_bytes: int
    index_digest: bytes
    public_key: bytes
    signature: bytes

    @classmethod
    def parse(cls, raw: bytes) -> "IndexSignature":
        """Read index.sig. Raises IndexRefused."""
        document = strict.parse_object(raw, SIGNATURE_NAME, limits.SIGNATURE_MAX_BYTES)
        strict.integer(document.get("v"), "the version of index.sig", VERSION, VERSION)
        return cls(
            presentation_id=strict.lower_hex(
                document.get("presentation"), "presentation", PRESENTATION_BYTES
            ).hex(),
            index_size_bytes=strict.integer(
                document.get("index_size"), "index_size", 1, limits.INDEX_MAX_BYTES
            ),
            index_digest=strict.lower_hex(document.get("index_digest"), "index_digest", HASH_BYTES),
            public_key=strict.lower_hex(document.get("public_key"), "public_key", PUBLIC_KEY_BYTES),
            signature=strict.lower_hex(document.get("signature"), "signature", SIGNATURE_BYTES),
        )

    @classmethod
    def sign(
        cls, index_raw: bytes, presentation_id: str, key: Ed25519PrivateKey
    ) -> "IndexSignature":
        """Sign the exact bytes of an index.json."""
        return cls(
            presentation_id=presentation_id,
            index_size_bytes=len(index_raw),
            index_digest=digest_of(hash_blocks(index_raw, limits.BLOCK_SIZE_BYTES)),
            public_key=public_bytes(key),
            signature=key.sign(_SIGNED_PREFIX + index_raw),
        )

    def to_bytes(self) -> bytes:
        """The text of index.sig."""
        document = {
            "v": VERSION,
            "presentation": self.presentation_id,
            "index_size": self.index_size_bytes,
            "index_digest": self.index_digest.hex(),
            "public_key": self.public_key.hex(),
            "signature": self.signature.hex(),
        }
        return json.dumps(document, separators=(",", ":")).encode("ascii") + b"\n"

    @property
    def swarm_id(self) -> bytes:
        """The swarm to join, known before the index itself is here."""
        return swarm_id_of(self.public_key, self.presentation_id)

    def index_entry(self) -> Entry:
        """index.json as the file at position 0, so that it can travel like any other.

        It is always cut into blocks of BLOCK_SIZE_BYTES: the block size that the index names for
        the other files is not known before the index is here.
        """
        return Entry(
            position=0,
            path=INDEX_NAME,
            size_bytes=self.index_size_bytes,
            digest=self.index_digest,
            kind=Kind.INDEX,
            representation_id=None,
            number=None,
            start_s=None,
            duration_s=None,
            block_size_bytes=limits.BLOCK_SIZE_BYTES,
        )

    def verify(self, index_raw: bytes) -> None:
        """Check size, digest and signature of an index.json. Raises IndexRefused.

        Whether `public_key` is the one to trust is the caller's question.
        """
        if not check_whole(self.index_entry(), index_raw):
            raise IndexRefused(f"{INDEX_NAME} is not the file that {SIGNATURE_NAME} describes")
        try:
            Ed25519PublicKey.from_public_bytes(self.public_key).verify(
                self.signature, _SIGNED_PREFIX + index_raw
            )
        except (InvalidSignature, ValueError):
            raise IndexRefused(f"{INDEX_NAME} is not signed by the key it names") from None
