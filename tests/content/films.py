"""Tiny films for the tests, and a stand-in for ffmpeg."""

import functools
import subprocess
from pathlib import Path

from twisted.trial.unittest import SkipTest

from dashp2p.content.ffmpeg import FfmpegFailed, find_ffmpeg


@functools.cache
def _found() -> str | None:
    try:
        return find_ffmpeg()
    except FfmpegFailed:
        return None


def real_ffmpeg() -> str:
    """The ffmpeg to test with, or else the test is skipped."""
    found = _found()
    if found is None:
        raise SkipTest("there is no ffmpeg with libx264 (DASHP2P_FFMPEG, PATH or imageio-ffmpeg)")
    return found


def make_film(
    path: Path,
    picture: str = "testsrc2=s=160x90:r=25",
    seconds: float = 3,
    sound: bool = True,
    options: tuple[str, ...] = (),
) -> Path:
    """Write a film of that lavfi picture, as small and as quickly as can be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    command = [real_ffmpeg(), "-v", "error", "-f", "lavfi", "-i", picture]
    if sound:
        command += ["-f", "lavfi", "-i", "sine=sample_rate=48000", "-c:a", "aac"]
    command += ["-t", f"{seconds}", "-c:v", "libx264", "-preset", "ultrafast", *options]
    subprocess.run([*command, f"file:{path}"], check=True, stdin=subprocess.DEVNULL)
    return path


_PRETENDER = """#!/bin/sh
# Answers the questions as ffmpeg would; what it does when asked to cut is the test's to say.
case "$*" in
*-encoders*) echo " V....D libx264 " ;;
*framecrc*)
    echo "Input #0, mov" >&2
    echo "  Duration: 00:00:08.00, start: 0.0" >&2
    echo "  Stream #0:0: Video: h264, 640x360, 25 fps, 25 tbr" >&2
    echo "#dimensions 0: 640x360"
    echo "#sar 0: 1/1"
    echo "0, 0, 0, 1, 345600, 0x0"
    ;;
*) {deed} ;;
esac
"""


def pretended_ffmpeg(path: Path, deed: str) -> str:
    """A script that runs the shell commands `deed` instead of cutting a film."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_PRETENDER.replace("{deed}", deed))
    path.chmod(0o755)
    return str(path.absolute())
