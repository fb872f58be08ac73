"""A small signed film for browser tests, made once per process by the product's own segment.sh."""

from __future__ import annotations

import atexit
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Final
from unittest import SkipTest

from dashp2p.content.ffmpeg import FfmpegFailed, find_ffmpeg
from dashp2p.content.testfilm import make_test_film
from tests.processes import environment

RUNGS: Final = "180:400,90:100"
FINE_RUNGS: Final = "540:1500,270:400"
FINE_HEIGHT_PX: Final = 540
_TIMEOUT_S: Final = 60


@cache
def small_film(seconds: int, fine: bool = False) -> Path:
    """A folder with dash.mpd, two rungs of video, sound, and the signed index; `fine` ones are to
    be looked at. Raises SkipTest."""
    try:
        ffmpeg = find_ffmpeg()
    except FfmpegFailed as error:
        raise SkipTest(f"no film to play: {error}") from None
    folder = Path(tempfile.mkdtemp(prefix="dashp2p-film-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    source = folder / "source.mp4"
    if fine:
        make_test_film(ffmpeg, source, seconds, FINE_HEIGHT_PX)
        return _cut(source, folder, FINE_RUNGS)
    _run(
        [
            *(ffmpeg, "-v", "error", "-y"),
            *("-f", "lavfi", "-i", f"testsrc2=size=320x180:rate=25:duration={seconds}"),
            *("-f", "lavfi", "-i", f"sine=frequency=330:duration={seconds}"),
            *("-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac", str(source)),
        ]
    )
    return _cut(source, folder, RUNGS)


def _cut(source: Path, folder: Path, rungs: str) -> Path:
    _run(
        [
            *(sys.executable, "-m", "dashp2p.content.segment", str(source), str(folder / "dash")),
            *("--rungs", rungs, "--preset", "ultrafast", "--key", str(folder / "signing.key")),
        ]
    )
    return folder / "dash"


def _run(command: list[str]) -> None:
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=_TIMEOUT_S, env=environment()
    )
    assert done.returncode == 0, f"{command[0]}: {done.stdout}{done.stderr}"
