"""Which index of each origin is the newest seen: an older one, though well signed, is refused.

Otherwise whoever can answer in the origin's place (or a neighbour, or a forgotten cache on the way)
could play what the publisher has taken back. Kept beside the origins' keys, across restarts.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from attrs import frozen

from dashp2p.content.index import IndexRefused, IndexSignature
from dashp2p.peer.limits import EXPIRY_SKEW_S, MAX_NEWEST
from dashp2p.peer.remembered import Remembered

NEWEST_FILE = "newest.json"
"""In the cache folder."""


@frozen
class _Seen:
    """By whom, when, and which."""

    public_key: bytes
    issued_ms: int
    index_digest: bytes

    @classmethod
    def read(cls, value: Any) -> _Seen:
        issued_ms = value["issued_ms"]
        if type(issued_ms) is not int:
            raise ValueError(f"issued_ms is {issued_ms!r}")
        return cls(bytes.fromhex(value["key"]), issued_ms, bytes.fromhex(value["digest"]))

    def to_json(self) -> dict[str, str | int]:
        return {
            "key": self.public_key.hex(),
            "issued_ms": self.issued_ms,
            "digest": self.index_digest.hex(),
        }


class NewestIndexes:
    """`wall` tells seconds since 1970, by this machine's clock."""

    def __init__(self, file: Path | None, wall: Callable[[], float]) -> None:
        self._wall = wall
        self._seen = Remembered(file, MAX_NEWEST, _Seen.read, _Seen.to_json, "the newest indexes")

    def load(self) -> None:
        """Read what earlier runs saw. A file that cannot be read counts as none."""
        self._seen.load()

    def check(self, url: str, signature: IndexSignature) -> None:
        """Raises IndexRefused for one that has expired, or is older than one seen at that address.

        An index of another key is another matter: whoever trusts that key starts anew. Its stamp
        proves its times (content/signature.py), so nothing needs to be given up to look at it.
        """
        ends_ms = signature.expires_ms
        if ends_ms is not None and self._wall() * 1000 > ends_ms + EXPIRY_SKEW_S * 1000:
            today = _when(self._wall() * 1000)[:10]
            raise IndexRefused(
                f"it expired at {_when(ends_ms)}, and here it is {today}; "
                "the publisher signs it anew with python -m dashp2p.content.publish"
            )
        seen = self._seen.get(url)
        if seen is None or seen.public_key != signature.public_key:
            return
        same = seen.index_digest == signature.index_digest
        if signature.issued_ms < seen.issued_ms or (
            signature.issued_ms == seen.issued_ms and not same
        ):
            date = _when(signature.issued_ms) if signature.issued_ms else "without a date"
            raise IndexRefused(
                f"it is older ({date}) than one seen before ({_when(seen.issued_ms)}); a publisher "
                "who wants an old film back publishes it anew"
            )

    def learn(self, url: str, signature: IndexSignature) -> None:
        """Remember one that passed; one without a stamp cannot be told from older ones."""
        new = _Seen(signature.public_key, signature.issued_ms, signature.index_digest)
        if not new.issued_ms or self._seen.get(url) == new:
            return
        self._seen.learn(url, new)


def _when(ms: float) -> str:
    try:
        date = datetime.fromtimestamp(ms / 1000, timezone.utc)
    except (OverflowError, ValueError, OSError):
        return f"{ms:.0f} ms after 1970"
    return date.strftime("%Y-%m-%d %H:%M:%S UTC")
