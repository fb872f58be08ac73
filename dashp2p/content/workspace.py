"""A folder that is built out of sight and swapped in whole."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from attrs import frozen

from dashp2p.content.interrupts import uninterrupted

__all__ = ["OutputRefused", "Workspace", "replacement_of"]

_OURS: Final = frozenset({".mpd", ".m3u8", ".m4s", ".blocks", ".sig"})


class OutputRefused(Exception):  # noqa: N818 - it says what happened
    """The output folder must not be replaced; the text is one line that says why."""


@frozen
class Workspace:
    """A temporary folder beside `target`, on the same file system."""

    target: Path
    folder: Path

    def swap_in(self) -> None:
        """Put the folder in the target's place. Raises OSError, and then the target is as it was.

        An interruption waits until it is done, so nobody finds the target missing for good.
        """
        old = self.folder.with_name(self.folder.name + ".old")
        with uninterrupted():
            with suppress(FileNotFoundError):
                self.target.rename(old)
            try:
                self.folder.rename(self.target)
            except OSError:
                with suppress(FileNotFoundError):
                    old.rename(self.target)
                raise
            shutil.rmtree(old, ignore_errors=True)


@contextmanager
def replacement_of(target: Path) -> Iterator[Workspace]:
    """A workspace whose temporary folder is gone afterwards, however it ends.

    Raises OutputRefused unless the target is absent or holds nothing but a presentation: it will
    be removed, and somebody's holiday films must not go with it.
    """
    target = Path(os.path.realpath(target))
    _check_replaceable(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    folder: Path | None = None
    try:
        with uninterrupted():
            folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.new-", dir=target.parent))
        folder.chmod(0o755)
        yield Workspace(target, folder)
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _check_replaceable(target: Path) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise OutputRefused(f"{target} is not a folder")
    for path in target.rglob("*"):
        hidden = path.name.startswith(".")
        if not (path.suffix in _OURS or path.name == "index.json" or hidden or path.is_dir()):
            raise OutputRefused(
                f"{target} would be replaced, but holds other files ({path.name}): "
                "name a new folder"
            )
