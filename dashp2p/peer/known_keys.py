"""Keys learned on first use: a file in the cache folder for origins, another for trackers."""

from __future__ import annotations

import json
from pathlib import Path

from attrs import define, field
from twisted.logger import Logger

from dashp2p.content.atomic import write_atomically
from dashp2p.content.signature import PUBLIC_KEY_BYTES
from dashp2p.peer.limits import MAX_KNOWN_KEYS

log = Logger()


@define(eq=False)
class KnownKeys:
    """Which key each origin, or each tracker, showed first (trust on first use)."""

    file: Path | None
    _keys: dict[str, bytes] = field(factory=dict)

    def load(self) -> None:
        """Read what earlier runs learned. A file that cannot be read counts as none."""
        if self.file is None or not self.file.exists():
            return
        try:
            keys = json.loads(self.file.read_text())
            self._keys = {str(url): _public_key(key) for url, key in keys.items()}
        except (OSError, ValueError, AttributeError, TypeError) as error:
            log.warn("known keys cannot be read, and are learned anew: {why}", why=str(error))

    def key_of(self, url: str) -> bytes | None:
        """The key to expect of that one."""
        return self._keys.get(url)

    def learn(self, url: str, key: bytes) -> None:
        """Remember the key of one seen for the first time."""
        if len(self._keys) >= MAX_KNOWN_KEYS:
            self._keys.pop(next(iter(self._keys)))
        self._keys[url] = key
        if self.file is None:
            return
        keys = {known: value.hex() for known, value in self._keys.items()}
        try:
            write_atomically(self.file, json.dumps(keys).encode())
        except OSError as error:
            log.warn("the key is not remembered: {why}", why=str(error))


def _public_key(text: str) -> bytes:
    key = bytes.fromhex(text)
    if len(key) != PUBLIC_KEY_BYTES:
        raise ValueError(f"a public key of {len(key)} bytes")
    return key
