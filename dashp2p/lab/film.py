"""The film of an experiment: made once for each length and ladder, and kept."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from attrs import frozen

from dashp2p.content.index import Index, parse_index
from dashp2p.content.signature import IndexSignature
from dashp2p.lab.netns import LabUnavailableError

MPD_NAME = "dash.mpd"
INDEX_NAME = "index.json"
SIGNATURE_NAME = "index.sig"
_MAKE_TIMEOUT_S = 1800


@frozen
class Film:
    """A segmented, signed presentation in a folder."""

    folder: Path

    @property
    def index(self) -> Index:
        """Its signed index; IndexRefused where it isn't what was published."""
        signature = IndexSignature.parse((self.folder / SIGNATURE_NAME).read_bytes())
        return parse_index((self.folder / INDEX_NAME).read_bytes(), signature)

    @property
    def ladder_bps(self) -> tuple[int, ...]:
        """The bitrates of its video, lowest first."""
        rungs = self.index.representations
        return tuple(sorted(one.bandwidth_bps for one in rungs if one.media_type == "video"))

    @property
    def duration_s(self) -> float:
        """To a tenth of a second."""
        ends = [
            entry.start_s + entry.duration_s
            for entry in self.index.entries
            if entry.start_s is not None and entry.duration_s is not None
        ]
        return round(max(ends, default=0.0), 1)


def cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "dashp2p-lab"


def from_folder(folder: Path) -> Film:
    if not (folder / MPD_NAME).is_file():
        raise LabUnavailableError(f"{folder} has no {MPD_NAME}: make it with ./segment.sh VIDEO.")
    return Film(folder.resolve())


def make(seconds: float, ladder: str | None = None, video: Path | None = None) -> Film:
    """The film from the cache, or made now: a test film of so many seconds, or all of `video`.

    Raises LabUnavailableError with what the tools said when that fails.
    """
    name = f"{video.stem if video else 'testfilm'}-{seconds:g}s-{ladder or 'usual'}"
    folder = cache_folder() / name.replace(":", "_").replace(",", "-")
    if (folder / MPD_NAME).is_file():
        return Film(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    if video is None:
        source = folder.parent / f"testfilm-{seconds:g}s.mp4"
        if not source.is_file():
            _run("dashp2p.content.testfilm", [str(source), "--seconds", f"{seconds:g}"])
    else:
        source = video
    _run(
        "dashp2p.content.segment",
        [str(source), str(folder), *(["--rungs", ladder] if ladder else [])],
    )
    return from_folder(folder)


def _run(module: str, arguments: list[str]) -> None:
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_MAKE_TIMEOUT_S)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()[-5:]
        raise LabUnavailableError(f"{module} failed: " + "\n".join(said))
