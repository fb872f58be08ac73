"""A disk in memory that fails on demand, for tests of the store and of daemons above it."""

import errno
import os
from collections.abc import Iterator
from random import Random

from attrs import define, field

from dashp2p.store.disk import STAMP_AGE_NS, Buffer, FileInfo
from dashp2p.store.errors import FolderBusy

__all__ = ["FakeDisk", "FakeFile"]


@define(eq=False)
class _Inode:
    number: int
    data: bytearray = field(factory=bytearray)
    synced: bytes = b""
    mtime_ns: int = 0
    ctime_ns: int = 0
    atime_ns: int = 0


class FakeDisk:
    """One folder in memory, with the faults of real ones.

    Knobs, to be set at any time: `capacity_bytes` (then ENOSPC, in the middle of a write),
    `read_only` (EROFS), `missing` (no folder can be made), `locked_by_other`, `failing` (each call
    of that name fails with that errno), and `fail_call`. `crash` is a power cut; `corrupt`,
    `truncate`, `swap` and `remove` are somebody else at work in the folder.

    The clock stands still until `advance`: so that two writes fall into one tick of it, as they may
    on a real file system. Numbers of deleted files are used again, as there.
    """

    def __init__(self, capacity_bytes: int = 1 << 30, where: str = "/fake/cache") -> None:
        self.capacity_bytes = capacity_bytes
        self.read_only = False
        self.missing = False
        self.locked_by_other = False
        self.failing: dict[str, int] = {}
        self.calls = 0
        self.lives = 0
        self.locked = False
        self._where = where
        self._fail_at: tuple[int, int] | None = None
        self._now_ns = 1_000_000 * 10**9
        self._stamps = 0
        self._names: dict[str, _Inode] = {}
        self._durable: dict[str, _Inode] = {}

    # Knobs

    def fail_call(self, nth: int, number: int = errno.EIO) -> None:
        """Let the n-th call from now on (1: the next) fail, once."""
        self._fail_at = (self.calls + nth, number)

    def mend(self) -> None:
        """No call fails from now on, and writing is allowed."""
        self.failing.clear()
        self._fail_at = None
        self.read_only = self.missing = self.locked_by_other = False

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now_ns += int(seconds * 10**9)

    def crash(self, rng: Random | None = None) -> None:
        """Cut the power. Open files are dead, the lock is free.

        What was not synced is lost; with `rng`, each such name and each such byte may have made it
        to the disk or not.
        """
        names = {}
        for name in sorted(self._names.keys() | self._durable.keys()):
            new, old = self._names.get(name), self._durable.get(name)
            inode = new if rng is not None and rng.random() < 0.5 else old
            if inode is not None:
                names[name] = inode
        for inode in names.values():
            if rng is not None and bytes(inode.data) != inode.synced and rng.random() < 0.5:
                inode.synced = bytes(inode.data[: rng.randrange(len(inode.data) + 1)])
            inode.data = bytearray(inode.synced)
        self._names, self._durable = names, dict(names)
        self.lives += 1
        self.locked = False

    def corrupt(self, name: str, offset: int = 0) -> None:
        """Somebody writes one wrong byte into a file."""
        inode = self._names[name]
        inode.data[offset] ^= 0xFF
        self._written(inode)

    def truncate(self, name: str, size_bytes: int) -> None:
        """Somebody cuts a file short."""
        inode = self._names[name]
        del inode.data[size_bytes:]
        self._written(inode)

    def swap(self, one: str, other: str) -> None:
        """Somebody exchanges two files."""
        names = self._names
        names[one], names[other] = names[other], names[one]
        self._durable = dict(names)

    def remove(self, name: str) -> None:
        """Somebody deletes a file."""
        del self._names[name]
        self._durable = dict(self._names)

    def plant(self, name: str, data: bytes) -> None:
        """Somebody puts a file there."""
        inode = self._names[name] = _Inode(self._free_number(), bytearray(data))
        self._written(inode)
        self._durable = dict(self._names)

    def content(self, name: str) -> bytes:
        """What a file holds now."""
        return bytes(self._names[name].data)

    def _written(self, inode: _Inode) -> None:
        inode.synced = bytes(inode.data)
        inode.mtime_ns = inode.ctime_ns = self._now_ns

    # The Disk

    @property
    def where(self) -> str:
        return self._where

    def prepare(self) -> None:
        self._call("prepare")
        if self.missing:
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))
        if self.locked_by_other:
            raise FolderBusy(errno.EWOULDBLOCK, "locked by another process")
        self.locked = True

    def names(self) -> Iterator[str]:
        self._call("names")
        yield from list(self._names)

    def info(self, name: str) -> FileInfo | None:
        self._call("info")
        inode = self._names.get(name)
        return None if inode is None else info_of(inode)

    def create(self, name: str) -> "FakeFile":
        self._call("create", changes=True)
        if name in self._names:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        now = self._now_ns
        inode = self._names[name] = _Inode(
            self._free_number(), mtime_ns=now, ctime_ns=now, atime_ns=now
        )
        return FakeFile(self, inode)

    def open(self, name: str) -> "FakeFile":
        self._call("open")
        if name not in self._names:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        return FakeFile(self, self._names[name])

    def rename(self, old: str, new: str) -> None:
        self._call("rename", changes=True)
        if old not in self._names:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        self._names[new] = self._names.pop(old)
        self._names[new].ctime_ns = self._now_ns

    def unlink(self, name: str) -> None:
        self._call("unlink", changes=True)
        if name not in self._names:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        del self._names[name]

    def sync(self) -> None:
        self._call("sync")
        self._durable = dict(self._names)

    def free_bytes(self) -> int:
        self._call("free_bytes")
        return self._free()

    def close(self) -> None:
        self.locked = False

    def _free(self) -> int:
        return self.capacity_bytes - sum(len(inode.data) for inode in self._names.values())

    def _free_number(self) -> int:
        taken = {inode.number for inode in (*self._names.values(), *self._durable.values())}
        return next(number for number in range(1, len(taken) + 2) if number not in taken)

    def _call(self, name: str, *, changes: bool = False) -> None:
        self.calls += 1
        number = self.failing.get(name)
        if self._fail_at is not None and self.calls >= self._fail_at[0]:
            number, self._fail_at = self._fail_at[1], None
        if number is None and changes and self.read_only:
            number = errno.EROFS
        if number is not None:
            raise OSError(number, os.strerror(number))


class FakeFile:
    """An open file of a FakeDisk; dead after its crash."""

    def __init__(self, disk: FakeDisk, inode: _Inode) -> None:
        self._disk = disk
        self._inode = inode
        self._life = disk.lives
        self.closed = False

    def write(self, data: Buffer) -> None:
        self._call("write", changes=True)
        room = self._disk._free()
        self._inode.data += bytes(data)[: max(0, room)]
        self._inode.mtime_ns = self._inode.ctime_ns = self._disk._now_ns
        if len(data) > room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def sync(self) -> None:
        self._call("file_sync")
        self._inode.synced = bytes(self._inode.data)

    def pread(self, length: int, offset: int) -> bytes:
        self._call("pread")
        return bytes(self._inode.data[offset : offset + length])

    def info(self) -> FileInfo:
        self._call("file_info")
        return info_of(self._inode)

    def stamp(self) -> None:
        self._call("stamp", changes=True)
        latest_ns = self._disk._now_ns - STAMP_AGE_NS
        if self._inode.mtime_ns > latest_ns:
            # A program's clock is finer than the file system's: no two stamps are the same.
            self._disk._stamps += 1
            self._inode.mtime_ns = latest_ns - self._disk._stamps
            self._inode.ctime_ns = self._disk._now_ns

    def touch(self) -> None:
        self._call("touch", changes=True)
        self._inode.atime_ns = self._inode.ctime_ns = self._disk._now_ns

    def fileno(self) -> int:
        raise OSError(errno.EBADF, "a file in memory has no descriptor")

    def close(self) -> None:
        self.closed = True

    def _call(self, name: str, *, changes: bool = False) -> None:
        if self.closed or self._life != self._disk.lives:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        self._disk._call(name, changes=changes)


def info_of(inode: _Inode) -> FileInfo:
    """The state of a file."""
    return FileInfo(inode.number, len(inode.data), inode.mtime_ns, inode.ctime_ns, inode.atime_ns)
