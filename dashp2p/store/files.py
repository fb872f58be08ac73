"""What the segment store does with files: listing, writing, hashing them, looking at their times.

Nothing here touches the store's index: all that these functions know comes in as an argument and
goes out as a value.
"""

import contextlib
import errno
import re

from attrs import field, frozen

from dashp2p.content.blocks import digest_of, hash_blocks
from dashp2p.store.disk import Buffer, Disk, File, FileInfo
from dashp2p.store.errors import DigestMismatch, SegmentUnverified, StoreUnavailable
from dashp2p.store.limits import SEGMENT_MAX_BYTES, VERIFY_CHUNK_BYTES

__all__ = [
    "TEMPORARY_NAME",
    "Examined",
    "Reservation",
    "Written",
    "examine_file",
    "info_if_untouched",
    "scan",
    "sentence",
    "temporary_name",
    "touch",
    "write_file",
]

SEGMENT_NAME = re.compile(r"[0-9a-f]{64}")
TEMPORARY_NAME = re.compile(r"\.[0-9a-f]{64}\.[0-9]{1,20}\.part")


def temporary_name(digest: bytes, serial: int) -> str:
    """Under what name a segment is written; at the next start whatever matches is a leftover."""
    return f".{digest.hex()}.{serial}.part"


@frozen
class Reservation:
    """Room made for one segment."""

    digest: bytes
    size_bytes: int
    temporary_name: str


@frozen
class Written:
    """A segment that is on disk under its name, to be committed."""

    reservation: Reservation
    info: FileInfo
    hashes: bytes = field(repr=False)


@frozen
class Examined:
    """What `examine` saw. `info` is None when there is no such file, `hashes` when there is none or
    its bytes are not those of the digest."""

    digest: bytes
    info: FileInfo | None
    hashes: bytes | None = field(repr=False)


def sentence(disk: Disk, error: OSError) -> str:
    """What is wrong with the folder, and what to do about it."""
    where = disk.where
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"the disk of the cache folder {where} is full, or nearly so: "
            "free some space or put --cache elsewhere"
        )
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return f"the cache folder {where} can't be written: allow it or choose another --cache"
    return f"the cache folder {where} fails ({error.strerror or error}): choose another --cache"


def scan(disk: Disk) -> tuple[list[tuple[bytes, int]], int]:
    """(digest, size in bytes) of the segments in the folder, the longest unused first; and how many
    leftovers of a crash were removed. Whatever is not named by us is left alone."""
    found, leftovers = [], 0
    for name in disk.names():
        if TEMPORARY_NAME.fullmatch(name):
            # On a read-only disk it stays; the store's first write will say so.
            with contextlib.suppress(OSError):
                disk.unlink(name)
                leftovers += 1
        elif SEGMENT_NAME.fullmatch(name):
            info = disk.info(name)
            if info is not None:
                found.append((info.atime_ns, name, info.size_bytes))
    return [(bytes.fromhex(name), size) for _, name, size in sorted(found)], leftovers


def write_file(
    disk: Disk,
    reservation: Reservation,
    data: Buffer,
    block_size_bytes: int,
    hashes: bytes | None,
) -> Written:
    """Write, sync, rename, sync the folder. See SegmentStore.write."""
    if hashes is None:
        hashes = hash_blocks(data, block_size_bytes)
    if len(data) != reservation.size_bytes or digest_of(hashes) != reservation.digest:
        raise DigestMismatch("these bytes are not those of the segment they were said to be")
    final = reservation.digest.hex()
    try:
        file = disk.create(reservation.temporary_name)
        try:
            file.write(data)
            file.stamp()
            file.sync()
            disk.rename(reservation.temporary_name, final)
            disk.sync()
            return Written(reservation, file.info(), hashes)
        finally:
            file.close()
    except OSError as error:
        for name in (reservation.temporary_name, final):
            # Gone already, or as unwilling as the write was: then the next start tidies up.
            with contextlib.suppress(OSError):
                disk.unlink(name)
        raise StoreUnavailable(sentence(disk, error)) from error


def examine_file(disk: Disk, digest: bytes, block_size_bytes: int) -> Examined:
    """Hash a file of the folder. See SegmentStore.examine."""
    try:
        file = disk.open(digest.hex())
    except FileNotFoundError:
        return Examined(digest, None, None)
    except OSError as error:
        raise StoreUnavailable(sentence(disk, error)) from error
    try:
        # Before reading, so that any write from now on shows. A read-only disk needs no stamp.
        with contextlib.suppress(OSError):
            file.stamp()
        info = file.info()
        try:
            hashes = _hash(file, info.size_bytes, block_size_bytes)
        except OSError:
            # A sector that can't be read is as bad as one that was changed.
            return Examined(digest, info, None)
        if not file.info().untouched_since(info):
            raise SegmentUnverified("changed in the cache folder while it was being verified")
        right = hashes is not None and digest_of(hashes) == digest
        return Examined(digest, info, hashes if right else None)
    except OSError as error:
        raise StoreUnavailable(sentence(disk, error)) from error
    finally:
        file.close()


def _hash(file: File, size_bytes: int, block_size_bytes: int) -> bytes | None:
    if not 0 < size_bytes <= SEGMENT_MAX_BYTES:
        return None
    step = max(1, VERIFY_CHUNK_BYTES // block_size_bytes) * block_size_bytes
    return b"".join(
        hash_blocks(file.pread(min(step, size_bytes - offset), offset), block_size_bytes)
        for offset in range(0, size_bytes, step)
    )


def info_if_untouched(file: File, verified: FileInfo) -> FileInfo | None:
    """A file's state, or None where it isn't the file that was verified, or was written to."""
    try:
        info = file.info()
    except OSError:
        return None
    return info if info.untouched_since(verified) else None


def touch(file: File, info: FileInfo) -> FileInfo | None:
    """Note a use. The file's state then, or None where somebody wrote to it meanwhile."""
    # On a read-only disk the order of use isn't kept; that costs an odd eviction.
    with contextlib.suppress(OSError):
        file.touch()
    try:
        touched = file.info()
    except OSError:
        return None
    return touched if touched.same_bytes_as(info) else None
