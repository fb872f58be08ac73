"""All verified bytes that a peer has, wherever they are: being delivered, in memory, or on disk."""

from attrs import field, frozen

from dashp2p.store.assembly import Assembly
from dashp2p.store.errors import (
    AssemblyRefused,
    SegmentMissing,
    StoreError,
    StoreUnavailable,
)
from dashp2p.store.files import Examined, Reservation, Written
from dashp2p.store.limits import ASSEMBLIES_MAX_BYTES, HASHES_MAX_BYTES, MEMORY_CACHE_BYTES
from dashp2p.store.memory import MemoryCache
from dashp2p.store.reader import Reader
from dashp2p.store.segments import SegmentStore

__all__ = ["BlockStore", "Save"]


@frozen
class Save:
    """A segment that waits to be written."""

    reservation: Reservation
    data: memoryview = field(repr=False)
    hashes: bytes = field(repr=False)
    block_size_bytes: int
    _segments: SegmentStore = field(repr=False)

    def write(self) -> Written:
        """In a thread. Raises StoreUnavailable."""
        return self._segments.write(self.reservation, self.data, self.block_size_bytes, self.hashes)


class BlockStore:
    """One place to ask for the bytes of a segment, by its digest.

    A segment's way: `begin` an assembly, put checked blocks into it, then `finish` it: it is served
    from memory at once. The caller lets what `finish` returns be written in a thread and gives the
    outcome to `saved` or `not_saved`. With a degraded disk, or with none (`segments` is
    None), everything works from memory alone.
    """

    def __init__(
        self,
        segments: SegmentStore | None,
        memory_bytes: int = MEMORY_CACHE_BYTES,
        assemblies_max_bytes: int = ASSEMBLIES_MAX_BYTES,
    ) -> None:
        self.segments = segments
        self._memory: MemoryCache[memoryview] = MemoryCache(memory_bytes)
        self._hashes: MemoryCache[bytes] = MemoryCache(HASHES_MAX_BYTES)
        self._assemblies: dict[bytes, Assembly] = {}
        self._assemblies_bytes = 0
        self._assemblies_max_bytes = assemblies_max_bytes
        self._unwritten: dict[bytes, memoryview] = {}
        self._lost: set[bytes] = set()

    # Delivery

    def begin(self, digest: bytes, size_bytes: int, block_size_bytes: int) -> Assembly:
        """The assembly of a segment, made if there is none. AssemblyRefused beyond the limits."""
        assembly = self._assemblies.get(digest)
        if assembly is None:
            if self._assemblies_bytes + size_bytes > self._assemblies_max_bytes:
                raise AssemblyRefused("too many segments are being delivered at one time")
            assembly = self._assemblies[digest] = Assembly(size_bytes, block_size_bytes)
            self._assemblies_bytes += size_bytes
        return assembly

    def assembly(self, digest: bytes) -> Assembly | None:
        """The assembly of a segment that is being delivered."""
        return self._assemblies.get(digest)

    def abandon(self, digest: bytes) -> None:
        """Its delivery ended early: drop what came of it."""
        assembly = self._assemblies.pop(digest, None)
        if assembly is not None:
            self._assemblies_bytes -= assembly.size_bytes

    def finish(self, digest: bytes, hashes: bytes, now: float) -> Save | None:
        """A complete assembly becomes a segment that is here. `hashes`: those it was checked by.

        Returns what is to be written to disk now, if anything. Raises KeyError without an assembly,
        BlocksMissing while it is incomplete.
        """
        assembly = self._assemblies[digest]
        data = assembly.whole()
        self.abandon(digest)
        self.learn_hashes(digest, hashes)
        self._lost.update(self._memory.put(digest, data))
        if self.segments is None:
            return None
        try:
            reservation = self.segments.reserve(digest, len(data), now)
        except StoreUnavailable:
            # It lives in memory only; why is in segments.degraded_reason.
            return None
        if reservation is None:
            return None
        self._unwritten[digest] = data
        return Save(reservation, data, hashes, assembly.block_size_bytes, self.segments)

    def saved(self, written: Written, now: float) -> None:
        """A segment that `finish` returned is on disk."""
        self._unwritten.pop(written.reservation.digest, None)
        if self.segments is not None:
            self.segments.commit(written, now)

    def not_saved(self, save: Save, error: BaseException, now: float) -> None:
        """It could not be written; it stays in memory for a while."""
        digest = save.reservation.digest
        if self._unwritten.pop(digest, None) is not None:
            self._lost.add(digest)
        if self.segments is not None:
            self.segments.fail(save.reservation, error, now)

    def verified(self, examined: Examined) -> bool:
        """Take what `segments.examine` saw. Whether the segment is served from now on."""
        hashes = self.segments.admit(examined) if self.segments is not None else None
        if hashes is not None:
            self.learn_hashes(examined.digest, hashes)
        return hashes is not None

    # Reading

    def __contains__(self, digest: bytes) -> bool:
        """Whether the whole segment is here and verified."""
        if digest in self._memory or digest in self._unwritten:
            return True
        return self.segments is not None and self.segments.is_verified(digest)

    def have(self, digest: bytes, block_count: int) -> int:
        """Bitmask of the blocks that can be read."""
        if digest in self:
            return (1 << block_count) - 1
        assembly = self._assemblies.get(digest)
        return assembly.have if assembly is not None else 0

    def read(self, digest: bytes, offset: int, length: int, now: float) -> bytes:
        """`length` verified bytes from `offset`.

        Raises SegmentMissing, SegmentUnverified, SegmentDamaged, StoreUnavailable (get them from
        elsewhere), BlocksMissing (wait for them), or ValueError outside the segment.
        """
        data = self.whole(digest)
        if data is not None:
            if offset < 0 or length < 0 or offset + length > len(data):
                raise ValueError(f"{length} bytes at {offset} are not within {len(data)}")
            if self.segments is not None:
                self.segments.used(digest)
            return bytes(data[offset : offset + length])
        assembly = self._assemblies.get(digest)
        if assembly is not None:
            return assembly.read_bytes(offset, length)
        if self.segments is None:
            raise SegmentMissing("not in memory, and there is no cache folder")
        reader = self.segments.open(digest, now)
        try:
            return reader.read(offset, length)
        finally:
            reader.close()

    def open(self, digest: bytes, now: float) -> Reader | None:
        """A reader of the segment's file, to be closed by the caller; None where it has none and
        only `read` will do. Raises SegmentMissing or SegmentUnverified when it is not here after
        all."""
        if self.segments is None or not self.segments.is_verified(digest):
            return None
        try:
            return self.segments.open(digest, now)
        except StoreError:
            if digest in self:
                return None
            raise

    def whole(self, digest: bytes) -> memoryview | None:
        """The segment's bytes if they are in memory, without a copy."""
        return self._memory.get(digest) or self._unwritten.get(digest)

    def hashes(self, digest: bytes) -> bytes | None:
        """Its block hashes, if they are in memory (else `segments.examine` finds them anew)."""
        return self._hashes.get(digest)

    def learn_hashes(self, digest: bytes, hashes: bytes) -> None:
        """Remember block hashes that were checked against the digest."""
        self._hashes.put(digest, hashes)

    def take_lost(self) -> set[bytes]:
        """Segments that were here and are not any more, since the last call: tell neighbours."""
        lost, self._lost = self._lost, set()
        if self.segments is not None:
            lost |= self.segments.take_lost()
        return {digest for digest in lost if digest not in self}

    def close(self) -> None:
        """Drop what is in memory and release the folder."""
        self._assemblies.clear()
        self._assemblies_bytes = 0
        if self.segments is not None:
            self.segments.close()
