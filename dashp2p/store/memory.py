"""Bytes kept in memory within a bound, the least recently used going first."""

from collections import OrderedDict
from typing import Generic, TypeVar

__all__ = ["MemoryCache"]

Kept = TypeVar("Kept", bytes, memoryview)


class MemoryCache(Generic[Kept]):
    """Digest to bytes. One larger than the bound is not kept."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.used_bytes = 0
        self._held: OrderedDict[bytes, Kept] = OrderedDict()

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._held

    def put(self, digest: bytes, data: Kept) -> list[bytes]:
        """Keep `data`. Returns the digests that went: those evicted, or `digest` if it is too large
        to be kept."""
        self.discard(digest)
        if len(data) > self.max_bytes:
            return [digest]
        evicted = []
        while self.used_bytes + len(data) > self.max_bytes:
            oldest, gone = self._held.popitem(last=False)
            self.used_bytes -= len(gone)
            evicted.append(oldest)
        self._held[digest] = data
        self.used_bytes += len(data)
        return evicted

    def get(self, digest: bytes) -> Kept | None:
        """What is kept under `digest`, which becomes the last to go."""
        data = self._held.get(digest)
        if data is not None:
            self._held.move_to_end(digest)
        return data

    def discard(self, digest: bytes) -> None:
        """Forget one, if it is here."""
        data = self._held.pop(digest, None)
        if data is not None:
            self.used_bytes -= len(data)
