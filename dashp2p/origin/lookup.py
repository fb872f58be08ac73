"""From the names of a path to an open file below the root, and nowhere else."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from attrs import frozen

_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# Not blocking: a pipe under a segment's name would otherwise hold the whole daemon.
_OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

_NOT_THERE = (
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ELOOP,
    errno.EACCES,
    errno.EPERM,
    errno.ENAMETOOLONG,
    errno.EINVAL,
    errno.ENXIO,
)


class RootMissingError(Exception):
    """The root is not there at the moment, as between the two renames of a swap."""


@frozen
class OpenFile:
    """A regular file, as it was when it was opened. Its owner calls `close`."""

    descriptor: int
    size_bytes: int
    modified_ns: int
    inode: int

    @property
    def etag(self) -> str:
        """Differs for each content that a path ever had: a swapped-in file is another inode, and
        one that was written to in place has another time."""
        return f"{self.inode:x}-{self.size_bytes:x}-{self.modified_ns:x}"

    def unchanged(self) -> bool:
        """Whether nobody has written to the file since it was opened."""
        now = os.fstat(self.descriptor)
        return (now.st_size, now.st_mtime_ns) == (self.size_bytes, self.modified_ns)

    def close(self) -> None:
        """Close it; once."""
        os.close(self.descriptor)


def open_below(root: Path, names: Sequence[str]) -> OpenFile | None:
    """Open the file that `names` lead to, following links as long as they stay below the root.

    None when there is no regular file that may be read. Raises RootMissingError, and OSError when
    the system fails (too many open files, a failing disk). The root is resolved at each call: it
    may be swapped for another while the daemon runs.
    """
    found = _open_plainly(os.fspath(root), names)
    if found is not None:
        return found
    real_root = os.path.realpath(root)
    real = os.path.realpath(os.path.join(real_root, *names))
    if os.path.commonpath((real_root, real)) != real_root or real == real_root:
        return None
    # Resolved names, opened without following links: whoever puts a link in their place meanwhile
    # does not lead us out.
    return _open_plainly(real_root, os.path.relpath(real, real_root).split(os.sep))


def _open_plainly(root: str, names: Sequence[str]) -> OpenFile | None:
    """Open the file of these names, one by one; None where one is a link, or not there at all."""
    folder = _open_root(root)
    try:
        for step in names[:-1]:
            inner = os.open(step, _OPEN_FOLDER | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = inner
        descriptor = os.open(names[-1], _OPEN_FILE, dir_fd=folder)
    except OSError as error:
        if error.errno in _NOT_THERE:
            return None
        raise
    finally:
        os.close(folder)
    return _regular(descriptor)


def _open_root(root: str) -> int:
    try:
        return os.open(root, _OPEN_FOLDER)
    except OSError as error:
        if error.errno in _NOT_THERE:
            raise RootMissingError(root) from error
        raise


def _regular(descriptor: int) -> OpenFile | None:
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        return None
    return OpenFile(descriptor, found.st_size, found.st_mtime_ns, found.st_ino)
