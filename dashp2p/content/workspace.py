"""A folder that is built out of sight and swapped in whole."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Final

from attrs import field, frozen

__all__ = ["Interrupted", "OutputRefused", "Workspace", "interruptible", "replacement_of"]

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_OURS: Final = frozenset({".mpd", ".m3u8", ".m4s", ".blocks", ".sig"})


class OutputRefused(Exception):  # noqa: N818 - it says what happened
    """The output folder must not be replaced; the text is one line that says why."""


class Interrupted(BaseException):
    """A signal asked us to stop. Not an Exception, so nothing takes it for a failure."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_status = 128 + number


@contextmanager
def interruptible() -> Iterator[None]:
    """Turn SIGINT, SIGTERM and SIGHUP into one Interrupted; later ones then wait for the end."""

    def handle(number: int, _frame: FrameType | None) -> None:
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_IGN)  # tidying up is not to be cut short
        raise Interrupted(number)

    before = {each: signal.signal(each, handle) for each in _SIGNALS}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


@frozen
class Workspace:
    """A temporary folder beside `target`, on the same file system."""

    target: Path
    folder: Path = field()

    def swap_in(self) -> None:
        """Put the folder in the target's place. Raises OSError, and then the target is as it was.

        Signals wait until it is done, so nobody finds the target missing for good.
        """
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            old = self.folder.with_name(self.folder.name + ".old")
            with suppress(FileNotFoundError):
                self.target.rename(old)
            try:
                self.folder.rename(self.target)
            except OSError:
                with suppress(FileNotFoundError):
                    old.rename(self.target)
                raise
            shutil.rmtree(old, ignore_errors=True)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def replacement_of(target: Path) -> Iterator[Workspace]:
    """A workspace whose temporary folder is gone afterwards, however it ends.

    Raises OutputRefused unless the target is absent or holds nothing but a presentation: it will
    be removed, and somebody's holiday films must not go with it.
    """
    target = Path(os.path.realpath(target))
    _check_replaceable(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.new-", dir=target.parent))
    try:
        folder.chmod(0o755)
        yield Workspace(target, folder)
    finally:
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
