"""Cut a film into a signed DASH and HLS presentation: python -m dashp2p.content.segment VIDEO.

One run of ffmpeg encodes every rung of the ladder (see ladder.py) from one decoded picture at a
constant frame rate with a key frame each 4 s, so the segments of all rungs are cut at the same
frames; its dash muxer writes the MPD and the HLS playlists over the same segments. Then the index
is signed. All of it happens in a temporary folder that takes OUTDIR's place at the very end.
"""

import argparse
import datetime
import math
import os
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Final

from rich.console import Console

from dashp2p.content.ffmpeg import FfmpegFailed, Source, find_ffmpeg, probe, run
from dashp2p.content.interrupts import Interrupted, interruptible
from dashp2p.content.keys import KeyRefused, signing_key_path
from dashp2p.content.ladder import (
    LADDER,
    LadderRefused,
    Rendition,
    Rung,
    parse_ladder,
    renditions,
)
from dashp2p.content.progress import progress_bar
from dashp2p.content.publish import (
    MPD_NAME,
    PublishRefused,
    add_valid_days,
    describe,
    load_signing_key,
    publish,
    valid_s,
)
from dashp2p.content.workspace import OutputRefused, replacement_of

__all__ = ["main", "segment"]

SEGMENT_S: Final = 4
AUDIO_KBPS: Final = 128
AUDIO_RATE_HZ: Final = 48_000
PRESET: Final = "veryfast"
PEAK_PERCENT: Final = 110
"""Of the rung's bitrate, over a buffer of BUFFER_S: so every segment keeps to its bitrate."""
BUFFER_S: Final = 2
BOX_HEADER_BYTES: Final = 8
ROOM_MIN_BYTES: Final = 64 * 1024
"""With less than this free the disk counts as full."""


def segment(
    ffmpeg: str,
    source: Source,
    folder: Path,
    ladder: Sequence[Rung],
    preset: str,
    progress: Callable[[float], None],
) -> None:
    """Encode `source` into dash.mpd, playlists and segments in the (empty) `folder`.

    `progress` hears the seconds of film done. Raises FfmpegFailed.
    """

    def watch(done_s: float) -> None:
        _check_room(folder)  # ffmpeg's dash muxer goes on to the end, says nothing and exits 0
        progress(done_s)

    sizes = renditions(source.width_px, source.height_px, ladder)
    run(_command(ffmpeg, source, sizes, preset), folder, watch)
    for path in sorted(folder.glob("*.m4s")):
        if not _is_whole(path):
            _check_room(folder)
            raise FfmpegFailed(f"ffmpeg left {path.name} cut short")
    _correct_manifests(folder)


def _check_room(folder: Path) -> None:
    if shutil.disk_usage(folder).free < ROOM_MIN_BYTES:
        raise FfmpegFailed(f"the disk is full ({folder.parent}): make room and try again")


def _correct_manifests(folder: Path) -> None:
    """Mend what ffmpeg's muxer writes for a live stream but a film doesn't want."""
    # It says two segments' time. With a rate controlled over BUFFER_S that is all a player needs in
    # hand before it starts, and some (Shaka) do wait for it.
    mpd = folder / MPD_NAME
    buffer = f'minBufferTime="PT{BUFFER_S}.0S"'
    mpd.write_text(
        re.sub(r'minBufferTime="[^"]*"', buffer, mpd.read_text("utf-8"), count=1), "utf-8"
    )
    # The hour of the encoding is of no use to a viewer; that the list is complete, is.
    for playlist in folder.glob("media_*.m3u8"):
        lines = playlist.read_text("utf-8").splitlines(keepends=True)
        kept = [line for line in lines if not line.startswith("#EXT-X-PROGRAM-DATE-TIME")]
        kept.insert(1, "#EXT-X-PLAYLIST-TYPE:VOD\n")
        playlist.write_text("".join(kept), "utf-8")


def frames_per_segment(rate: Fraction) -> int:
    """The frames of one segment: SEGMENT_S, or a little more where the rate is no whole number."""
    return math.ceil(SEGMENT_S * rate)


def _command(ffmpeg: str, source: Source, sizes: Sequence[Rendition], preset: str) -> list[str]:
    rate = source.frame_rate
    key_frame_every = frames_per_segment(rate)
    outputs = "".join(f"[in{number}]" for number in range(len(sizes)))
    aspect = source.pixel_aspect
    # From here on scale keeps the picture's aspect by way of the pixels' (854x480 has 1280:1281);
    # the muxer refuses an adaptation set whose pictures differ in it by the least.
    graph = [
        f"[0:V:0]fps={rate}:start_time=0,setsar=sar={aspect}:max=65535,split={len(sizes)}{outputs}"
    ]
    command = [ffmpeg, "-i", f"file:{source.path.absolute()}"]
    encode: list[str] = []
    for number, size in enumerate(sizes):
        graph.append(
            f"[in{number}]scale={size.width_px}:{size.height_px}:flags=bicubic,"
            f"format=yuv420p[out{number}]"
        )
        encode += ["-map", f"[out{number}]"]
        encode += [f"-b:v:{number}", f"{size.rate_kbps}k"]
        encode += [f"-maxrate:v:{number}", f"{size.rate_kbps * PEAK_PERCENT // 100}k"]
        encode += [f"-bufsize:v:{number}", f"{size.rate_kbps * BUFFER_S}k"]
    encode += ["-c:v", "libx264", "-preset", preset, "-profile:v", "high"]
    # Fixed groups of pictures, counted in frames: key frames forced by time would come a frame
    # early now and then, and the muxer, which cuts at the first one after 4 s, would skip those.
    encode += ["-g", f"{key_frame_every}", "-keyint_min", f"{key_frame_every}"]
    encode += ["-sc_threshold", "0"]
    sets = "id=0,streams=v"
    if source.has_sound:
        graph.append(f"[0:a:0]aresample={AUDIO_RATE_HZ}:async=1:first_pts=0[sound]")
        encode += ["-map", "[sound]", "-c:a", "aac", "-b:a", f"{AUDIO_KBPS}k", "-ac", "2"]
        sets += " id=1,streams=a"
    command += ["-filter_complex", ";".join(graph), *encode, "-map_metadata", "-1"]
    command += ["-f", "dash", "-seg_duration", f"{SEGMENT_S}", "-hls_playlist", "1"]
    command += ["-use_template", "1", "-use_timeline", "1", "-adaptation_sets", sets]
    command += ["-init_seg_name", "init_$RepresentationID$.m4s"]
    command += ["-media_seg_name", "chunk_$RepresentationID$_$Number$.m4s"]
    return [*command, MPD_NAME]  # relative to the folder: no path that ffmpeg could misread


def _is_whole(path: Path) -> bool:
    """Whether the file's top-level boxes (ISO/IEC 14496-12) end exactly where the file does."""
    size = path.stat().st_size
    offset = 0
    with path.open("rb") as file:
        while offset + BOX_HEADER_BYTES <= size:
            file.seek(offset)
            box = int.from_bytes(file.read(4), "big")
            if box < BOX_HEADER_BYTES:  # 0 and 1 mean open and 64-bit sizes: not in a segment
                return False
            offset += box
    return offset == size and size > 0


def _cut(options: argparse.Namespace, console: Console) -> None:
    ladder = parse_ladder(options.rungs) if options.rungs else LADDER
    ffmpeg = find_ffmpeg()
    source = probe(ffmpeg, options.video)
    target = Path(os.path.realpath(options.outdir))
    if Path(os.path.realpath(options.video)).is_relative_to(target):
        raise OutputRefused(f"{options.video} lies in {target}, which would be replaced: move it")
    key = load_signing_key(target, options.key or signing_key_path())
    with replacement_of(target) as workspace:
        title = f"cutting {options.video.name}"
        with progress_bar(console, title, source.duration_s) as progress:
            segment(ffmpeg, source, workspace.folder, ladder, options.preset, progress)
        now = datetime.datetime.now(datetime.timezone.utc).timestamp()
        index = publish(workspace.folder, key, now, valid_s(options), former=target)
        workspace.swap_in()
    console.print(describe(index), highlight=False, soft_wrap=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="segment.sh",
        description="Cut VIDEO into 4 s DASH and HLS segments in OUTDIR, and sign their index.",
    )
    parser.add_argument("video", type=Path, metavar="VIDEO", help="the film")
    parser.add_argument(
        "outdir",
        type=Path,
        metavar="OUTDIR",
        nargs="?",
        help="replaced in whole when all is done (default public/dash)",
    )
    # segment.sh says where its own folder is, whatever the current one.
    parser.add_argument(
        "--default-outdir", type=Path, default=Path("public/dash"), help=argparse.SUPPRESS
    )
    parser.add_argument(
        "--rungs",
        metavar="LIST",
        default=os.environ.get("DASHP2P_LADDER"),
        help="another ladder as HEIGHT:KBITS,... (default "
        + ",".join(f"{rung.height_px}:{rung.rate_kbps}" for rung in LADDER)
        + "; environment DASHP2P_LADDER)",
    )
    parser.add_argument(
        "--preset",
        default=os.environ.get("DASHP2P_PRESET", PRESET),
        help=f"x264's preset (default {PRESET}; environment DASHP2P_PRESET)",
    )
    parser.add_argument(
        "--key",
        type=Path,
        metavar="FILE",
        help=f"Ed25519 signing key, made on first use (default {signing_key_path()}; "
        "environment DASHP2P_SIGNING_KEY)",
    )
    add_valid_days(parser)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    options.outdir = options.outdir or options.default_outdir
    console = Console()
    try:
        with interruptible():
            _cut(options, console)
    except Interrupted as interruption:
        print("interrupted: nothing was changed", file=sys.stderr)
        return interruption.exit_status
    except (FfmpegFailed, KeyRefused, LadderRefused, OutputRefused, PublishRefused) as error:
        print(f"segment.sh: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"segment.sh: cannot write {options.outdir}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
