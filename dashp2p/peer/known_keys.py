"""Keys learned on first use: a file in the cache folder for origins, another for trackers."""

from __future__ import annotations

from pathlib import Path

from dashp2p.content.signature import PUBLIC_KEY_BYTES
from dashp2p.peer.limits import MAX_KNOWN_KEYS
from dashp2p.peer.remembered import Remembered


class KnownKeys:
    """Which key each origin, or each tracker, showed first (trust on first use)."""

    def __init__(self, file: Path | None) -> None:
        self._keys = Remembered(file, MAX_KNOWN_KEYS, _public_key, bytes.hex, "known keys")

    def load(self) -> None:
        """Read what earlier runs learned. A file that cannot be read counts as none."""
        self._keys.load()

    def key_of(self, url: str) -> bytes | None:
        """The key to expect of that one."""
        return self._keys.get(url)

    def learn(self, url: str, key: bytes) -> None:
        """Remember the key of one seen for the first time."""
        self._keys.learn(url, key)


def _public_key(text: str) -> bytes:
    key = bytes.fromhex(text)
    if len(key) != PUBLIC_KEY_BYTES:
        raise ValueError(f"a public key of {len(key)} bytes")
    return key
