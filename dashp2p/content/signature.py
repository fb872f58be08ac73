"""index.sig: the small side file that says which index is the origin's.

`{"v":1, "presentation", "index_size", "index_digest", "public_key", "signature", "issued_ms",
"expires_ms", "stamp"}`; the signature is Ed25519 over b"dashp2p-index-v1\\n" and the exact bytes of
index.json, so there is no canonical form to get wrong, and a signature of something else made with
the same key can't be passed off as one.

The stamp says when this index was published, and perhaps until when it counts (milliseconds since
1970; without an end "expires_ms" is left out). It is Ed25519 over b"dashp2p-stamp-v1\\n" and, a
line each in ASCII: presentation, index_size, index_digest, issued_ms, expires_ms (empty without).
So an old index is told from a new one by this file alone, before anything is given up for it. Files
of earlier versions have no stamp; they count as older than any that has one.
"""

import json
from hashlib import sha256
from typing import Final

from attrs import evolve, frozen
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
_STAMP_PREFIX: Final = b"dashp2p-stamp-v1\n"
_STAMP_FIELDS: Final = frozenset({"issued_ms", "expires_ms", "stamp"})
_SWARM_PREFIX: Final = b"dashp2p-swarm-v1\n"


def swarm_id_of(public_key: bytes, presentation_id: str) -> bytes:
    """The 32-byte name of the swarm of one presentation of one origin."""
    return sha256(_SWARM_PREFIX + public_key + presentation_id.encode("ascii")).digest()


@frozen
class IndexSignature:
    """What index.sig says. Only `verify` makes it more than a claim of the index, but for its
    times: they were checked against the stamp when it was read.

    `issued_ms` is 0, and there is no end, where there is no stamp.
    """

    presentation_id: str
    index_size_bytes: int
    index_digest: bytes
    public_key: bytes
    signature: bytes
    issued_ms: int = 0
    expires_ms: int | None = None
    stamp: bytes = b""

    @classmethod
    def parse(cls, raw: bytes) -> "IndexSignature":
        """Read index.sig, and check its stamp if it has one. Raises IndexRefused."""
        document = strict.parse_object(raw, SIGNATURE_NAME, limits.SIGNATURE_MAX_BYTES)
        strict.integer(document.get("v"), "the version of index.sig", VERSION, VERSION)
        parsed = cls(
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
        if _STAMP_FIELDS.isdisjoint(document):
            return parsed
        issued, expires = document.get("issued_ms"), document.get("expires_ms")
        stamped = evolve(
            parsed,
            issued_ms=strict.integer(issued, "issued_ms", 1, limits.TIME_MAX_MS),
            expires_ms=None
            if expires is None
            else strict.integer(expires, "expires_ms", 1, limits.TIME_MAX_MS),
            stamp=strict.lower_hex(document.get("stamp"), "stamp", SIGNATURE_BYTES),
        )
        stamped._verify_stamp()
        return stamped

    @classmethod
    def sign(
        cls,
        index_raw: bytes,
        presentation_id: str,
        key: Ed25519PrivateKey,
        issued_ms: int = 0,
        expires_ms: int | None = None,
    ) -> "IndexSignature":
        """Sign the exact bytes of an index.json; with `issued_ms` stamp it, too."""
        signed = cls(
            presentation_id=presentation_id,
            index_size_bytes=len(index_raw),
            index_digest=digest_of(hash_blocks(index_raw, limits.BLOCK_SIZE_BYTES)),
            public_key=public_bytes(key),
            signature=key.sign(_SIGNED_PREFIX + index_raw),
            issued_ms=issued_ms,
            expires_ms=expires_ms,
        )
        return evolve(signed, stamp=key.sign(signed._stamped())) if issued_ms else signed

    def _stamped(self) -> bytes:
        """What the stamp is a signature of."""
        lines = [
            self.presentation_id,
            str(self.index_size_bytes),
            self.index_digest.hex(),
            str(self.issued_ms),
            "" if self.expires_ms is None else str(self.expires_ms),
        ]
        return _STAMP_PREFIX + "".join(f"{line}\n" for line in lines).encode("ascii")

    def _verify_stamp(self) -> None:
        if not _is_signed(self.public_key, self.stamp, self._stamped()):
            raise IndexRefused(f"the stamp in {SIGNATURE_NAME} is not by the key that it names")

    def to_bytes(self) -> bytes:
        """The text of index.sig."""
        document: dict[str, str | int] = {
            "v": VERSION,
            "presentation": self.presentation_id,
            "index_size": self.index_size_bytes,
            "index_digest": self.index_digest.hex(),
            "public_key": self.public_key.hex(),
            "signature": self.signature.hex(),
        }
        if self.stamp:
            document["issued_ms"] = self.issued_ms
            if self.expires_ms is not None:
                document["expires_ms"] = self.expires_ms
            document["stamp"] = self.stamp.hex()
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
        if not _is_signed(self.public_key, self.signature, _SIGNED_PREFIX + index_raw):
            raise IndexRefused(f"{INDEX_NAME} is not signed by the key it names")


def _is_signed(public_key: bytes, signature: bytes, signed: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, signed)
    except (InvalidSignature, ValueError):
        return False
    return True
