"""Finding ffmpeg, asking it about a file, and running it with its progress reported.

Any ffmpeg from 4.4 on will do; there is no need of ffprobe, which imageio-ffmpeg doesn't ship.
"""

import os
import re
import shutil
import subprocess
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Final

from attrs import frozen

from dashp2p.content.interrupts import uninterrupted

__all__ = ["FfmpegFailed", "Source", "find_ffmpeg", "probe", "run"]

PROBE_TIMEOUT_S: Final = 120
STOP_TIMEOUT_S: Final = 5
FPS_MIN: Final = 10
FPS_MAX: Final = 60
_ASK_TIMEOUT_S: Final = 20
_NTSC: Final = Fraction(1000, 1001)
_NTSC_RATES: Final = tuple(_NTSC * rate for rate in (24, 30, 48, 60))
_PROGRESS: Final = re.compile(r"[a-z0-9_]+=\s*\S*\Z")
_DURATION: Final = re.compile(r"Duration: (\d+):(\d\d):(\d\d(?:\.\d+)?)")
_DISK_FULL: Final = "No space left on device"


class FfmpegFailed(Exception):
    """ffmpeg is not there, or could not do it; the text is one line for the user."""


@frozen
class Source:
    """A film, upright: its size in square pixels, the aspect that its own pixels have, and the
    constant frame rate to cut it at."""

    path: Path
    width_px: float
    height_px: float
    pixel_aspect: Fraction
    frame_rate: Fraction
    has_sound: bool
    duration_s: float | None


def find_ffmpeg(environ: Mapping[str, str] = os.environ) -> str:
    """DASHP2P_FFMPEG, or else the system's, or else the one that imageio-ffmpeg ships.

    One without libx264 (some distributions') is passed over. Raises FfmpegFailed.
    """
    if named := environ.get("DASHP2P_FFMPEG"):
        if not _encodes_h264(named):
            raise FfmpegFailed(f"DASHP2P_FFMPEG={named} is no ffmpeg with libx264")
        return _from_any_folder(named)
    for candidate in _candidates():
        if _encodes_h264(candidate):
            return _from_any_folder(candidate)
    raise FfmpegFailed("no ffmpeg with libx264: install ffmpeg, or pip install imageio-ffmpeg")


def _candidates() -> Iterator[str]:
    if found := shutil.which("ffmpeg"):
        yield found
    try:
        import imageio_ffmpeg

        yield imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError):
        return  # RuntimeError: a platform for which it ships none


def _from_any_folder(ffmpeg: str) -> str:
    # It will be run in another folder, where a relative path means something else.
    return os.path.abspath(ffmpeg) if os.sep in ffmpeg else ffmpeg


def _encodes_h264(ffmpeg: str) -> bool:
    try:
        answer = subprocess.run(
            [ffmpeg, "-hide_banner", "-encoders"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_ASK_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return b" libx264 " in answer.stdout


def probe(ffmpeg: str, path: Path) -> Source:
    """Decode the first frame of picture and sound, and say what they are.

    Sizes are read from framecrc's header, which is meant for machines and tells them after
    rotation; frame rate and duration from ffmpeg's own report. Raises FfmpegFailed when there is no
    such file, or no picture in it (a cover image is none).
    """
    if not path.is_file():
        raise FfmpegFailed(f"{path} is not a file" if path.exists() else f"there is no {path}")
    picture = _first_frame(ffmpeg, path, "0:V:0")
    if "Input #0" not in picture.report:
        raise FfmpegFailed(f"{path} is no film that ffmpeg can read")
    size = picture.header(r"#dimensions 0: (\d+)x(\d+)")
    if size is None or not picture.is_there:
        raise FfmpegFailed(f"{path} has no video that ffmpeg can read")
    aspect = picture.header(r"#sar 0: (\d+)/(\d+)")
    pixel = Fraction(*aspect) if aspect and all(aspect) else Fraction(1)
    return Source(
        path=path,
        width_px=float(size[0] * pixel),
        height_px=float(size[1]),
        pixel_aspect=pixel,
        frame_rate=_frame_rate(picture.report),
        has_sound=_first_frame(ffmpeg, path, "0:a:0").is_there,
        duration_s=_duration_s(picture.report),
    )


@frozen
class _FirstFrame:
    """What ffmpeg said (`report`) and framecrc wrote (`lines`) about one stream's first frame."""

    report: str
    lines: list[str]

    @property
    def is_there(self) -> bool:
        return any(line.startswith("0,") for line in self.lines)

    def header(self, pattern: str) -> tuple[int, int] | None:
        for line in self.lines:
            if match := re.match(pattern, line):
                return int(match[1]), int(match[2])
        return None


def _first_frame(ffmpeg: str, path: Path, stream: str) -> _FirstFrame:
    # One stream a run: newer versions stop all streams once the first has its one frame.
    # "file:" keeps ffmpeg from taking a name for an option or another protocol.
    command = [ffmpeg, "-hide_banner", "-nostdin", "-i", f"file:{path.absolute()}"]
    try:
        answer = subprocess.run(
            [*command, "-map", stream, "-frames", "1", "-f", "framecrc", "-"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PROBE_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise FfmpegFailed(f"ffmpeg cannot make sense of {path}") from None
    except OSError as error:
        raise FfmpegFailed(f"cannot run {ffmpeg}: {error.strerror}") from error
    return _FirstFrame(
        answer.stderr.decode("utf-8", "replace"),
        answer.stdout.decode("utf-8", "replace").splitlines(),
    )


def _frame_rate(report: str) -> Fraction:
    """A constant rate that fits: the base rate (tbr) of the film, or its average."""
    for line in report.splitlines():
        if " Video: " in line and "(attached pic)" not in line:
            for unit in ("tbr", "fps"):
                match = re.search(rf", ([\d.]+) {unit}\b", line)
                if match and 0 < float(match[1]) <= FPS_MAX:
                    return _nearest_rate(float(match[1]))
            break
    return Fraction(25)


def _nearest_rate(rate: float) -> Fraction:
    for ntsc in _NTSC_RATES:
        if abs(rate - ntsc) < 0.011:  # ffmpeg rounds to two places
            return ntsc
    return Fraction(max(FPS_MIN, round(rate)))


def _duration_s(report: str) -> float | None:
    match = _DURATION.search(report)
    if match is None:
        return None
    return int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3]) or None


def run(command: Sequence[str], cwd: Path, progress: Callable[[float], None]) -> None:
    """Run ffmpeg (`command` without -progress) in `cwd`, telling `progress` the seconds done.

    Whatever ends this early, an exception from `progress` or a signal handler, ends ffmpeg too.
    Raises FfmpegFailed with ffmpeg's own reason.
    """
    complaints: deque[str] = deque(maxlen=50)
    full = [command[0], "-v", "error", "-nostdin", "-nostats", "-progress", "pipe:1", *command[1:]]
    with _process(full, cwd) as process:
        assert process.stdout is not None
        for line in process.stdout:
            text = line.strip()
            if text.startswith("out_time_us="):
                done = text.partition("=")[2]
                if done.lstrip("-").isdigit():  # "N/A" before the first frame
                    progress(max(0.0, int(done) / 1e6))
            elif text and not _PROGRESS.match(text):
                complaints.append(text)
        status = process.wait()
    # The muxer may count a full disk as survivable and exit 0: what it said decides.
    if any(_DISK_FULL in line for line in complaints):
        raise FfmpegFailed(f"the disk is full ({cwd.parent}): make room and try again")
    if status:
        reason = complaints[0] if complaints else f"exit status {status}"
        raise FfmpegFailed(f"ffmpeg failed: {reason}")


@contextmanager
def _process(command: Sequence[str], cwd: Path) -> Iterator["subprocess.Popen[str]"]:
    process: subprocess.Popen[str] | None = None
    try:
        with uninterrupted():  # a signal must not find it started, but not yet known to us
            process = _start(command, cwd)
        yield process
    finally:
        if process is not None:
            _stop(process)


def _start(command: Sequence[str], cwd: Path) -> "subprocess.Popen[str]":
    try:
        return subprocess.Popen(
            command,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            # A terminal's Ctrl-C then reaches us alone, and we end it.
            start_new_session=True,
        )
    except OSError as error:
        raise FfmpegFailed(f"cannot run {command[0]}: {error.strerror}") from error


def _stop(process: "subprocess.Popen[str]") -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process.stdout is not None:
        process.stdout.close()
