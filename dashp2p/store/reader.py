"""Serving bytes from the descriptor that was verified."""

from collections.abc import Callable

from dashp2p.store.disk import File, FileInfo
from dashp2p.store.errors import SegmentDamaged

__all__ = ["Reader"]


class Reader:
    """An open, verified segment, pinned until `close`.

    The file may be evicted or deleted meanwhile: the descriptor still serves it. If somebody writes
    into it, reading ends with SegmentDamaged. `read` may be called in any thread, by one at a time;
    `close` belongs to the reactor's.
    """

    def __init__(self, file: File, info: FileInfo, on_close: Callable[["Reader"], None]) -> None:
        self._file = file
        self._info = info
        self._on_close: Callable[[Reader], None] | None = on_close
        self.size_bytes = info.size_bytes
        self.damaged = False

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset`. ValueError outside the segment, SegmentDamaged
        where they can't be had as they were verified."""
        if offset < 0 or length < 0 or offset + length > self.size_bytes:
            raise ValueError(f"{length} bytes at {offset} are not within {self.size_bytes}")
        try:
            data = self._file.pread(length, offset)
        except OSError as error:
            self.damaged = True
            raise SegmentDamaged(f"the disk can't read a cached segment: {error}") from error
        if len(data) != length:
            self.damaged = True
        self.check()
        return data

    def check(self) -> None:
        """Raise SegmentDamaged if the file was written to since it was verified.

        For those who send from `fileno()`: call it, or `unchanged`, before each turn.
        """
        if not self.damaged:
            try:
                self.damaged = not self._file.info().same_bytes_as(self._info)
            except OSError:
                self.damaged = True
        if self.damaged:
            raise SegmentDamaged("a cached segment was changed while it was being served")

    def unchanged(self) -> bool:
        """Whether `check` finds nothing wrong."""
        try:
            self.check()
        except SegmentDamaged:
            return False
        return True

    def fileno(self) -> int:
        """The descriptor, for sendfile with explicit offsets. Not to be closed, sought or kept."""
        return self._file.fileno()

    def close(self) -> None:
        """Unpin the segment. More than once is fine."""
        on_close, self._on_close = self._on_close, None
        if on_close is not None:
            self._file.close()
            on_close(self)
