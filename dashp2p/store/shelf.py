"""The index of a folder in memory: what is there, how large, how lately used, held by whom."""

from collections import OrderedDict
from collections.abc import Container, Iterator

from attrs import define

from dashp2p.store.disk import FileInfo

__all__ = ["Held", "Shelf"]


@define(eq=False)
class Held:
    """One file. `verified` is its state when its bytes were hashed, None before.

    `pins` counts its open readers. `noted_at_s` is when its use was last noted on disk, and
    `used_since_noted` whether there is something to note.
    """

    size_bytes: int
    verified: FileInfo | None = None
    pins: int = 0
    noted_at_s: float = float("-inf")
    used_since_noted: bool = False


class Shelf:
    """Files by digest, the least recently used first."""

    def __init__(self) -> None:
        self._held: OrderedDict[bytes, Held] = OrderedDict()
        self.used_bytes = 0

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._held

    def get(self, digest: bytes) -> Held | None:
        """The file of that digest, if there is one."""
        return self._held.get(digest)

    def items(self) -> Iterator[tuple[bytes, Held]]:
        """All, the least recently used first."""
        yield from self._held.items()

    def put(self, digest: bytes, held: Held) -> None:
        """Add or replace a file, as the most recently used."""
        self.forget(digest)
        self._held[digest] = held
        self.used_bytes += held.size_bytes

    def forget(self, digest: bytes) -> None:
        """It is gone, or not to be trusted."""
        held = self._held.pop(digest, None)
        if held is not None:
            self.used_bytes -= held.size_bytes

    def resize(self, held: Held, size_bytes: int) -> None:
        """A file of the shelf has another size than was thought."""
        self.used_bytes += size_bytes - held.size_bytes
        held.size_bytes = size_bytes

    def use(self, digest: bytes) -> None:
        """It becomes the last to be evicted."""
        held = self._held.get(digest)
        if held is not None:
            self._held.move_to_end(digest)
            held.used_since_noted = True

    def victims(
        self, excess_bytes: int, excess_count: int, spared: Container[bytes]
    ) -> list[bytes] | None:
        """Whom to evict so that so many bytes and files go. None where that can't be, since the
        rest is pinned or spared."""
        chosen = []
        for digest, held in self._held.items():
            if excess_bytes <= 0 and excess_count <= 0:
                break
            if held.pins == 0 and digest not in spared:
                chosen.append(digest)
                excess_bytes -= held.size_bytes
                excess_count -= 1
        return chosen if excess_bytes <= 0 and excess_count <= 0 else None
