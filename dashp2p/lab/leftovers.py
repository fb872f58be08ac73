"""A run's folders for caches, and what is left of them and of its hosts when it was killed."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from dashp2p.lab import netns

_SHARED_MEMORY = Path("/dev/shm")
_ROOM_BYTES = 2 * 2**30


def make_folder() -> Path:
    """A folder that bears this process's id; in memory where there is room, for twenty hosts have
    twenty disks, and one disk that all share would be what is measured."""
    roomy = _SHARED_MEMORY.is_dir() and shutil.disk_usage(_SHARED_MEMORY).free > _ROOM_BYTES
    place = str(_SHARED_MEMORY) if roomy else None
    return Path(tempfile.mkdtemp(prefix=f"{netns.PREFIX}{os.getpid()}-", dir=place))


def folders() -> list[Path]:
    """Folders of runs that are no more."""
    places = {_SHARED_MEMORY, Path(tempfile.gettempdir())}
    found = [path for place in places for path in place.glob(f"{netns.PREFIX}*-*")]
    return sorted(path for path in found if path.is_dir() and not netns.owner_lives(path.name))


def clean(everything: bool = False) -> list[str]:
    """Remove what killed runs left; with `everything`, also the hosts of runs under way."""
    removed = netns.clean(everything)
    for path in folders():
        shutil.rmtree(path, ignore_errors=True)
        removed.append(str(path))
    return removed
