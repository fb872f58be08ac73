"""Whole, verified segments in a folder, one file each, named by the hex of their digest.

How a segment gets in: into a temporary file, synced, renamed, folder synced. So a name is whole or
not there, and a crash loses only what was not yet committed. How it gets out: only through a
descriptor whose bytes this process wrote or hashed, and whose file nobody has touched since.

Threads. The calls that hash or wait for the disk, `write` and `examine`, change nothing in memory
and may run in any thread. All others belong to the reactor's thread: `reserve` before `write`,
`commit` or `fail` after it; `admit` after `examine`. `put` and `verify` are those in a row, for
callers that may block. `open_folder` comes first, and may run in a thread while nothing else is
called.
"""

import contextlib
import errno
from collections.abc import Iterator

from attrs import define

from dashp2p.store.disk import Buffer, Disk, FileInfo
from dashp2p.store.errors import (
    DigestMismatch,
    FolderBusy,
    SegmentMissing,
    SegmentUnverified,
    StoreBusy,
    StoreUnavailable,
)
from dashp2p.store.files import (
    Examined,
    Reservation,
    Written,
    examine_file,
    info_if_untouched,
    scan,
    sentence,
    temporary_name,
    touch,
    write_file,
)
from dashp2p.store.health import Health
from dashp2p.store.limits import (
    FREE_FLOOR_BYTES,
    SEGMENT_MAX_BYTES,
    SEGMENTS_MAX,
    TOUCH_INTERVAL_S,
    UNWRITTEN_MAX_BYTES,
)
from dashp2p.store.reader import Reader
from dashp2p.store.shelf import Held, Shelf

__all__ = ["Counters", "SegmentStore"]


@define
class Counters:
    """What happened since the store was opened."""

    written: int = 0
    write_failures: int = 0
    evicted: int = 0
    damaged: int = 0
    leftovers: int = 0


class SegmentStore:
    """The segments of one folder, within a quota, the least recently used ones going first."""

    def __init__(
        self,
        disk: Disk,
        quota_bytes: int,
        free_floor_bytes: int = FREE_FLOOR_BYTES,
        segments_max: int = SEGMENTS_MAX,
    ) -> None:
        self.quota_bytes = quota_bytes
        self.health = Health()
        self.counters = Counters()
        self._disk = disk
        self._free_floor_bytes = free_floor_bytes
        self._segments_max = segments_max
        self._shelf = Shelf()
        self._reserved: dict[bytes, int] = {}
        self._serial = 0
        self._scanned = False
        self._lost: set[bytes] = set()

    # What is here

    @property
    def degraded_reason(self) -> str | None:
        """Why nothing is written at present, as a sentence; None while all is well."""
        return self.health.reason

    @property
    def used_bytes(self) -> int:
        """Size of all files of the store, never above the quota once opened."""
        return self._shelf.used_bytes

    @property
    def count(self) -> int:
        """How many files. (Not __len__: an empty store is not a false one.)"""
        return len(self._shelf)

    def __contains__(self, digest: bytes) -> bool:
        """Whether a file of that name is known, verified or not."""
        return digest in self._shelf

    def is_verified(self, digest: bytes) -> bool:
        """Whether this process wrote or hashed its bytes, and saw no change since."""
        held = self._shelf.get(digest)
        return held is not None and held.verified is not None

    def segments(self, *, verified: bool) -> Iterator[tuple[bytes, int]]:
        """(digest, size in bytes) of those verified, or of those not yet, least used first."""
        for digest, held in self._shelf.items():
            if (held.verified is not None) is verified:
                yield digest, held.size_bytes

    def take_lost(self) -> set[bytes]:
        """What was here and went since the last call: evicted, damaged or deleted by somebody.

        Neighbours who were told of it are to be told."""
        lost, self._lost = self._lost, set()
        return {digest for digest in lost if digest not in self._shelf}

    # Opening and closing

    def open_folder(self, now: float) -> None:
        """Make, lock, clean and list the folder; evict what is beyond the bounds.

        A folder that can't be used leaves an empty, degraded store; one that can't be written, a
        degraded one that serves what is there. Raises StoreBusy if another process has it.
        """
        try:
            self._prepare()
            probe = self._disk.create(temporary_name(bytes(32), 0))
            probe.close()
            self._disk.unlink(temporary_name(bytes(32), 0))
            self._make_room(0, 0)
        except StoreUnavailable as error:
            self.health.failed(str(error), now)
        except OSError as error:
            self.health.failed(sentence(self._disk, error), now)

    def _prepare(self) -> None:
        try:
            self._disk.prepare()
        except FolderBusy as error:
            raise StoreBusy(
                f"another peer uses the cache folder {self._disk.where}: "
                "give this one a folder of its own with --cache"
            ) from error
        if not self._scanned:
            found, leftovers = scan(self._disk)
            for digest, size_bytes in found:
                self._shelf.put(digest, Held(size_bytes))
            self.counters.leftovers += leftovers
            self._scanned = True

    def close(self) -> None:
        """Note the last uses on disk and release the folder.

        Call it when no write is under way; otherwise the folder is released when the process ends.
        """
        for digest, held in self._shelf.items():
            if held.used_since_noted:
                # The order of use is a convenience: losing it costs an odd eviction.
                with contextlib.suppress(OSError):
                    file = self._disk.open(digest.hex())
                    try:
                        file.touch()
                    finally:
                        file.close()
        if not self._reserved:
            self._disk.close()

    # Writing

    def reserve(self, digest: bytes, size_bytes: int, now: float) -> Reservation | None:
        """Make room for a segment. None: it is here, or being written, already.

        Raises StoreUnavailable where it can't be kept; the segment then lives in memory only.
        """
        if digest in self._reserved or self.is_verified(digest):
            return None
        if not 0 < size_bytes <= min(SEGMENT_MAX_BYTES, self.quota_bytes):
            raise StoreUnavailable(
                f"a segment of {size_bytes} bytes doesn't fit into a cache of "
                f"{self.quota_bytes} bytes: choose a larger --cache-size"
            )
        if self._unwritten_bytes() + size_bytes > UNWRITTEN_MAX_BYTES:
            raise StoreUnavailable(f"the disk of {self._disk.where} is slower than the stream")
        was_degraded = self.health.degraded
        if not self.health.may_write(now):
            raise StoreUnavailable(self.health.reason)
        try:
            if was_degraded:
                self._prepare()
            self._make_room(size_bytes, 1)
        except StoreBusy as error:
            raise self._failed(str(error), now) from error
        except OSError as error:
            raise self._failed(sentence(self._disk, error), now) from error
        self._reserved[digest] = size_bytes
        self._serial += 1
        return Reservation(digest, size_bytes, temporary_name(digest, self._serial))

    def write(
        self,
        reservation: Reservation,
        data: Buffer,
        block_size_bytes: int,
        hashes: bytes | None = None,
    ) -> Written:
        """Any thread. Bring the bytes of a reservation to the disk, durably.

        `hashes`: the block hashes against which each block of `data` was checked on arrival, so
        that nothing is hashed twice. Raises DigestMismatch, or StoreUnavailable after tidying up.
        """
        return write_file(self._disk, reservation, data, block_size_bytes, hashes)

    def commit(self, written: Written, now: float) -> None:
        """Take up a written segment: from now on it is served."""
        info = written.info
        del self._reserved[written.reservation.digest]
        self._shelf.put(
            written.reservation.digest, Held(info.size_bytes, verified=info, noted_at_s=now)
        )
        self.counters.written += 1
        self.health.recovered()

    def fail(self, reservation: Reservation, error: BaseException, now: float) -> None:
        """`write` raised `error`, or was never called: give the room back."""
        del self._reserved[reservation.digest]
        if isinstance(error, StoreUnavailable):
            # What the failed write replaced, if anything, went with it.
            self._lose(reservation.digest)
            self._failed(str(error), now)

    def put(self, digest: bytes, data: Buffer, block_size_bytes: int, now: float) -> None:
        """Reserve, write and commit. Blocks. Raises StoreUnavailable or DigestMismatch."""
        reservation = self.reserve(digest, len(data), now)
        if reservation is None:
            return
        try:
            written = self.write(reservation, data, block_size_bytes)
        except (StoreUnavailable, DigestMismatch) as error:
            self.fail(reservation, error, now)
            raise
        self.commit(written, now)

    def _failed(self, reason: str, now: float) -> StoreUnavailable:
        self.counters.write_failures += 1
        self.health.failed(reason, now)
        return StoreUnavailable(reason)

    # Room

    def _lose(self, digest: bytes) -> None:
        if digest in self._shelf:
            self._shelf.forget(digest)
            self._lost.add(digest)

    def _unwritten_bytes(self) -> int:
        return sum(self._reserved.values())

    def _make_room(self, size_bytes: int, count: int) -> None:
        """Evict until quota, count and free-space floor hold with so much more.

        Raises StoreUnavailable, having evicted nothing, where that can't be; OSError.
        """
        wanted_bytes = self._unwritten_bytes() + size_bytes
        over_quota = self.used_bytes + wanted_bytes - self.quota_bytes
        under_floor = self._free_floor_bytes + wanted_bytes - self._disk.free_bytes()
        over_count = len(self._shelf) + len(self._reserved) + count - self._segments_max
        victims = self._shelf.victims(max(over_quota, under_floor), over_count, self._reserved)
        if victims is None:
            if under_floor > over_quota:
                raise OSError(errno.ENOSPC, "free space is below the floor")
            raise StoreUnavailable("all that the cache holds is being served, nothing can give way")
        for digest in victims:
            with contextlib.suppress(FileNotFoundError):
                self._disk.unlink(digest.hex())
            self._lose(digest)
            self.counters.evicted += 1

    # Verifying

    def examine(self, digest: bytes, block_size_bytes: int) -> Examined:
        """Any thread; one at a time for a digest. Hash a file of the folder.

        Raises StoreUnavailable where it can't be opened now (no descriptors left, say) and
        SegmentUnverified where somebody writes to it: neither tells about its bytes.
        """
        return examine_file(self._disk, digest, block_size_bytes)

    def admit(self, examined: Examined) -> bytes | None:
        """Take note of what `examine` saw.

        Returns the block hashes, and the segment is served from now on; or None, because it was
        evicted or written anew meanwhile, or is gone, or was damaged and is now removed.
        """
        digest, held = examined.digest, self._shelf.get(examined.digest)
        if held is None or (held.verified is not None and held.verified != examined.info):
            return None
        if examined.hashes is None or examined.info is None:
            self._lose(digest)
            if examined.info is not None:
                self._remove_damaged(digest, examined.info)
            return None
        self._shelf.resize(held, examined.info.size_bytes)
        held.verified = examined.info
        return examined.hashes

    def verify(self, digest: bytes, block_size_bytes: int) -> bytes | None:
        """Examine and admit. Blocks. The block hashes, or None if it can't be served."""
        return self.admit(self.examine(digest, block_size_bytes))

    def _remove_damaged(self, digest: bytes, seen: FileInfo) -> None:
        self.counters.damaged += 1
        # What can't be removed is not on the shelf any more, and so is not served.
        with contextlib.suppress(OSError):
            current = self._disk.info(digest.hex())
            if current is not None and current.inode == seen.inode:
                self._disk.unlink(digest.hex())

    # Reading

    def open(self, digest: bytes, now: float) -> Reader:
        """A reader of a verified segment, which stays on disk until the reader is closed.

        Raises SegmentMissing, SegmentUnverified (examine and admit it, then try again), or
        StoreUnavailable (no descriptors left).
        """
        held = self._shelf.get(digest)
        if held is None:
            raise SegmentMissing("not in the cache")
        if held.verified is None:
            raise SegmentUnverified("in the cache, but nothing vouches for its bytes yet")
        try:
            file = self._disk.open(digest.hex())
        except FileNotFoundError as error:
            self._lose(digest)
            raise SegmentMissing("removed from the cache folder by somebody else") from error
        except OSError as error:
            raise StoreUnavailable(sentence(self._disk, error)) from error
        info = info_if_untouched(file, held.verified)
        self.used(digest)
        if info is not None and now - held.noted_at_s >= TOUCH_INTERVAL_S:
            held.noted_at_s = now
            info = touch(file, info)
            held.used_since_noted = False
        held.verified = info
        if info is None:
            file.close()
            raise SegmentUnverified("changed in the cache folder since it was verified")
        held.pins += 1
        return Reader(file, info, lambda reader: self._closed(digest, held, reader))

    def used(self, digest: bytes) -> None:
        """Its bytes were wanted, wherever they came from: it becomes the last to be evicted."""
        self._shelf.use(digest)

    def _closed(self, digest: bytes, held: Held, reader: Reader) -> None:
        held.pins -= 1
        if reader.damaged:
            # To be hashed again before anyone reads it: if it is damaged, that removes it.
            held.verified = None
