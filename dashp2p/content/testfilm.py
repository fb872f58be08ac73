"""Make a test film where none is given: python -m dashp2p.content.testfilm OUT.mp4 --seconds 30.

Slowly turning colours under film grain, a ball that swings each 2 s (so a stutter is seen), a clock
with milliseconds and frame number, a soft chord that changes every 4 s with a tick each second. The
grain makes every rung of the ladder fill its bitrate, so experiments move the bytes that they say.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from rich.console import Console

from dashp2p.content.clock import CLOCK_HEIGHT_PX, CLOCK_WIDTH_PX, clock_frames
from dashp2p.content.ffmpeg import FfmpegFailed, find_ffmpeg, run
from dashp2p.content.interrupts import Interrupted, interruptible
from dashp2p.content.progress import progress_bar

__all__ = ["main", "make_test_film"]

FRAMES_PER_S: Final = 25
SECONDS_MAX: Final = 3600
GRAIN: Final = 6
RATE_MAX_KBPS: Final = 16_000
_COLOURS: Final = "c0=0x12355b:c1=0x0f7173:c2=0xe7bb41:c3=0xd8572a:c4=0x8e3b46:c5=0x432e5c"
# A, F, C, G: the root in half tones from 220 Hz, by the bar; root, fifth and octave fit them all.
_ROOT: Final = "220*pow(2,(-4*eq(ld(0),1)+3*eq(ld(0),2)-2*eq(ld(0),3))/12)"
_SOUND: Final = (
    f"st(0,floor(mod(t/4,4)));st(1,2*PI*t*{_ROOT});"
    "0.05*sin(PI*mod(t,4)/4)*(sin(ld(1))+sin(1.5*ld(1))+0.6*sin(2*ld(1)))"
    "+0.05*sin(2*PI*880*t)*exp(-25*mod(t,1))"
)


def make_test_film(
    ffmpeg: str,
    path: Path,
    seconds: int,
    height_px: int = 1080,
    progress: Callable[[float], None] = lambda done_s: None,
) -> None:
    """Write an MP4 (16:9, H.264 and AAC) to `path`, which is replaced only when all is well.

    Raises FfmpegFailed, or OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
        clock = Path(folder) / "clock.ya8"
        with clock.open("wb") as file:
            file.writelines(clock_frames(seconds * FRAMES_PER_S, FRAMES_PER_S))
        run(_command(ffmpeg, seconds, height_px), Path(folder), progress)
        os.replace(Path(folder) / "film.mp4", path)


def _command(ffmpeg: str, seconds: int, height_px: int) -> list[str]:
    width_px = 2 * round(height_px * 8 / 9)
    ball_px = height_px // 12 * 2
    dot_px = max(1, round(width_px * 0.45 / CLOCK_WIDTH_PX))
    inputs = [
        # Small, then enlarged: at full size the gradients alone would take longer than encoding.
        f"gradients=s=320x180:r={FRAMES_PER_S}:{_COLOURS}:nb_colors=6:seed=7:speed=0.012"
        ":x0=0:y0=0:x1=319:y1=179",
        f"color=white:s={ball_px}x{ball_px}:r={FRAMES_PER_S}",
    ]
    graph = [
        f"[0:v]scale={width_px}:{height_px}:flags=bilinear,format=yuv420p[sky]",
        # One picture of a soft ball, repeated: its shape is a formula, which is slow to draw.
        f"[1:v]trim=end_frame=1,format=yuva420p,geq=lum=255:cb=128:cr=128:"
        f"a='230*clip(4-8*hypot(X/W-0.5,Y/H-0.5),0,1)',loop=-1:1:0,setpts=N/{FRAMES_PER_S}/TB[ball]",
        f"[2:v]scale=iw*{dot_px}:ih*{dot_px}:flags=neighbor,format=yuva420p[clock]",
        "[sky][ball]overlay=x='(W-w)*(0.5+0.42*sin(PI*t))':y='H*0.62-h/2-H*0.3*abs(cos(PI*t))'"
        ":shortest=1[swing]",
        f"[swing]noise=c0s={GRAIN}:c0f=t[grain]",
        "[grain][clock]overlay=x=(W-w)/2:y=H*0.82:shortest=1,format=yuv420p[v]",
    ]
    command = [ffmpeg]
    for source in inputs:
        command += ["-f", "lavfi", "-i", source]
    command += ["-f", "rawvideo", "-pix_fmt", "ya8", "-video_size"]
    command += [f"{CLOCK_WIDTH_PX}x{CLOCK_HEIGHT_PX}", "-framerate", f"{FRAMES_PER_S}"]
    command += ["-i", "clock.ya8", "-f", "lavfi", "-i", f"aevalsrc='{_SOUND}':s=48000"]
    command += ["-filter_complex", ";".join(graph), "-map", "[v]", "-map", "3:a"]
    command += ["-t", f"{seconds}", "-c:v", "libx264", "-preset", "ultrafast", "-crf", "20"]
    command += ["-maxrate", f"{RATE_MAX_KBPS}k", "-bufsize", f"{RATE_MAX_KBPS}k"]
    command += ["-g", f"{4 * FRAMES_PER_S}", "-c:a", "aac", "-b:a", "128k", "-ac", "2"]
    return [*command, "-movflags", "+faststart", "film.mp4"]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m dashp2p.content.testfilm", description="Make a test film with sound."
    )
    parser.add_argument("out", type=Path, metavar="OUT.mp4")
    parser.add_argument("--seconds", type=int, default=30, metavar="S", help="(default 30)")
    parser.add_argument("--height", type=int, default=1080, metavar="PX", help="(default 1080)")
    options = parser.parse_args(arguments)
    if not 1 <= options.seconds <= SECONDS_MAX:
        parser.error(f"--seconds must be from 1 to {SECONDS_MAX}")
    if not 90 <= options.height <= 2160 or options.height % 2:
        parser.error("--height must be even and from 90 to 2160")
    try:
        with interruptible():
            ffmpeg = find_ffmpeg()
            title = f"making {options.out.name}"
            with progress_bar(Console(), title, options.seconds) as progress:
                make_test_film(ffmpeg, options.out, options.seconds, options.height, progress)
    except Interrupted as interruption:
        print("interrupted: no film was made", file=sys.stderr)
        return interruption.exit_status
    except (FfmpegFailed, OSError) as error:
        print(f"cannot make {options.out}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
