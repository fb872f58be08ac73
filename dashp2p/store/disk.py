"""The seam between the store and a disk: one flat folder, and the few calls a store needs of it.

`RealDisk` does them on a folder; `dashp2p.testing.FakeDisk` in memory, with faults. Every call
blocks, raises OSError as the operating system would, and may run in any thread.
"""

import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Protocol

from attrs import frozen

from dashp2p.store.errors import FolderBusy
from dashp2p.store.limits import NAMES_MAX

__all__ = ["LOCK_NAME", "Buffer", "Disk", "File", "FileInfo", "RealDisk"]

Buffer = bytes | bytearray | memoryview

LOCK_NAME = "lock"
STAMP_AGE_NS = 2_000_000_000
_NOATIME: int = getattr(os, "O_NOATIME", 0)


@frozen
class FileInfo:
    """What tells one state of a file from another. Times are nanoseconds since the epoch."""

    inode: int
    size_bytes: int
    mtime_ns: int
    ctime_ns: int
    atime_ns: int

    def same_bytes_as(self, other: "FileInfo") -> bool:
        """Whether nobody wrote to the file in between, even if its name went or its atime moved."""
        return (self.inode, self.size_bytes, self.mtime_ns) == (
            other.inode,
            other.size_bytes,
            other.mtime_ns,
        )

    def untouched_since(self, other: "FileInfo") -> bool:
        """Whether nobody wrote to the file, nor hid it by setting its time back (ctime tells)."""
        return self.same_bytes_as(other) and self.ctime_ns == other.ctime_ns


class File(Protocol):
    """One open file."""

    def write(self, data: Buffer) -> None:
        """Append all of `data`."""

    def sync(self) -> None:
        """Return when the bytes would survive a power cut."""

    def pread(self, length: int, offset: int) -> bytes:
        """`length` bytes from `offset`; fewer only at the end of the file."""

    def info(self) -> FileInfo:
        """Its state now."""

    def stamp(self) -> None:
        """Set the modification time two seconds back, if it is later than that.

        Clocks of file systems tick in milliseconds, so a write just after a look could leave the
        time as it was. After a stamp any write moves it.
        """

    def touch(self) -> None:
        """Note a use: access time now, modification time as it was."""

    def fileno(self) -> int:
        """The descriptor, for sendfile."""

    def close(self) -> None:
        """Give the descriptor back."""


class Disk(Protocol):
    """One folder."""

    @property
    def where(self) -> str:
        """The folder, for sentences that a person reads."""

    def prepare(self) -> None:
        """Make the folder (for its owner only) where it is missing, and take its lock.

        May be called again, after the folder was lost. Raises FolderBusy while another has it.
        """

    def names(self) -> Iterator[str]:
        """The names in the folder, in no order."""

    def info(self, name: str) -> FileInfo | None:
        """State of a regular file; None for what is missing or no regular file."""

    def create(self, name: str) -> File:
        """A new, empty file for writing. Raises FileExistsError."""

    def open(self, name: str) -> File:
        """A regular file for reading. FileNotFoundError for links, pipes and all else."""

    def rename(self, old: str, new: str) -> None:
        """Replace `new` by `old` in one step."""

    def unlink(self, name: str) -> None:
        """Remove a name."""

    def sync(self) -> None:
        """Return when the names would survive a power cut."""

    def free_bytes(self) -> int:
        """Free space of the file system, as far as this user may use it."""

    def close(self) -> None:
        """Release the lock."""


def _info(status: os.stat_result) -> FileInfo:
    return FileInfo(
        status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_atime_ns
    )


class RealFile:
    """A file descriptor."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, data: Buffer) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def sync(self) -> None:
        os.fsync(self._descriptor)

    def pread(self, length: int, offset: int) -> bytes:
        parts = []
        while length > 0:
            part = os.pread(self._descriptor, length, offset)
            if not part:
                break
            parts.append(part)
            length -= len(part)
            offset += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def info(self) -> FileInfo:
        return _info(os.fstat(self._descriptor))

    def stamp(self) -> None:
        info, latest_ns = self.info(), max(0, time.time_ns() - STAMP_AGE_NS)
        if info.mtime_ns > latest_ns:
            os.utime(self._descriptor, ns=(info.atime_ns, latest_ns))

    def touch(self) -> None:
        os.utime(self._descriptor, ns=(time.time_ns(), self.info().mtime_ns))

    def fileno(self) -> int:
        return self._descriptor

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class RealDisk:
    """A folder of the operating system's, used by one process at a time.

    All names are taken relative to one descriptor of the folder, so that moving it or mounting over
    it can't split the store in two.
    """

    def __init__(self, folder: Path | str) -> None:
        self._folder = Path(folder)
        self._descriptor = -1
        self._lock = -1

    @property
    def where(self) -> str:
        return str(self._folder)

    def prepare(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if self._descriptor >= 0 and os.path.sameopenfile(self._descriptor, descriptor):
                return
            lock = self._take_lock(descriptor)
            if self._lock >= 0:
                os.close(self._lock)
            self._lock = lock
            if self._descriptor >= 0:
                # Under the same number: another thread may be about to use it.
                os.dup2(descriptor, self._descriptor, inheritable=False)
            else:
                self._descriptor, descriptor = descriptor, -1
        finally:
            if descriptor >= 0:
                os.close(descriptor)

    @staticmethod
    def _take_lock(folder: int) -> int:
        """The lock's descriptor; -1 where the folder can't be written or can't lock."""
        flags = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            lock = os.open(LOCK_NAME, flags | os.O_RDWR | os.O_CREAT, 0o600, dir_fd=folder)
        except OSError:
            try:
                # A folder that is read-only may still be locked by who wrote it.
                lock = os.open(LOCK_NAME, flags | os.O_RDONLY, dir_fd=folder)
            except OSError:
                return -1
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(lock)
            raise FolderBusy(errno.EWOULDBLOCK, "locked by another process") from error
        except OSError:
            # Some network file systems know no locks. The names are digests and every file is
            # verified, so that two who share such a folder cost each other space, not truth.
            os.close(lock)
            return -1
        return lock

    def names(self) -> Iterator[str]:
        with os.scandir(self._descriptor) as entries:
            for entry in islice(entries, NAMES_MAX):
                yield entry.name

    def info(self, name: str) -> FileInfo | None:
        try:
            status = os.stat(name, dir_fd=self._descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return None
        return _info(status) if stat.S_ISREG(status.st_mode) else None

    def create(self, name: str) -> RealFile:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        return RealFile(os.open(name, flags, 0o600, dir_fd=self._descriptor))

    def open(self, name: str) -> RealFile:
        # O_NONBLOCK: a pipe under one of our names must not hold us until somebody writes to it.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            try:
                # The access time is our note of the last use; reading must not move it.
                descriptor = os.open(name, flags | _NOATIME, dir_fd=self._descriptor)
            except PermissionError:
                # Only the owner of a file may ask for that.
                descriptor = os.open(name, flags, dir_fd=self._descriptor)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENXIO):
                raise FileNotFoundError(errno.ENOENT, "no regular file", name) from error
            raise
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise FileNotFoundError(errno.ENOENT, "no regular file", name)
        return RealFile(descriptor)

    def rename(self, old: str, new: str) -> None:
        os.rename(old, new, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)

    def unlink(self, name: str) -> None:
        os.unlink(name, dir_fd=self._descriptor)

    def sync(self) -> None:
        os.fsync(self._descriptor)

    def free_bytes(self) -> int:
        status = os.statvfs(self._descriptor)
        return status.f_bavail * status.f_frsize

    def close(self) -> None:
        for descriptor in (self._lock, self._descriptor):
            if descriptor >= 0:
                os.close(descriptor)
        self._lock = self._descriptor = -1
