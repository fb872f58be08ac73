"""What the demo plays: the film that was named, the one that was cut before, or a test film."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from dashp2p.content.interrupts import uninterrupted
from dashp2p.lab.demo_options import DEFAULT_STATE, DemoOptions
from dashp2p.lab.processes import python_environment

DEFAULT_PRESENTATION = DEFAULT_STATE.parent / "public" / "dash"
TEST_FILM_S = 48
TEST_FILM_PRESET = "ultrafast"
"""A demo is to start soon; the picture is made for it and keeps well at any preset."""
STOP_TIMEOUT_S = 10
_NEEDED = ("dash.mpd", "index.json", "index.blocks", "index.sig")


class FilmUnavailableError(Exception):
    """There is nothing to play; the text says why, unless a command has already said it."""


def prepare(options: DemoOptions, presentation: Path = DEFAULT_PRESENTATION) -> Path:
    """The folder of a signed presentation, made now where it isn't there yet.

    Raises FilmUnavailableError.
    """
    if options.video is not None:
        folder = options.state / "films" / _name_of(options.video) / "dash"
        if not is_whole(folder):
            _run("dashp2p.content.segment", [str(options.video), str(folder)])
        return folder
    if not presentation.is_dir() or not any(presentation.iterdir()):
        film = options.state / f"testfilm-{TEST_FILM_S}s.mp4"
        if not film.is_file():
            _run("dashp2p.content.testfilm", [str(film), "--seconds", str(TEST_FILM_S)])
        _run(
            "dashp2p.content.segment",
            [str(film), str(presentation), "--preset", TEST_FILM_PRESET],
        )
    if not is_whole(presentation):
        raise FilmUnavailableError(
            f"{presentation} holds no signed presentation: cut a film with ./segment.sh VIDEO, "
            "or move that folder away and a test film is made."
        )
    return presentation


def is_whole(folder: Path) -> bool:
    """Whether a presentation and its proof lie there (segment.sh swaps folders in whole)."""
    return all((folder / name).is_file() for name in _NEEDED)


def _name_of(video: Path) -> str:
    """Another name when the file has changed, so that the cut one isn't taken for it."""
    state = video.stat()
    facts = f"{video.resolve()}\n{state.st_size}\n{state.st_mtime_ns}"
    return f"{video.stem[:60]}-{hashlib.sha256(facts.encode()).hexdigest()[:12]}"


def _run(module: str, arguments: Sequence[str]) -> None:
    """Run one of our commands in the open, and have it end with us whatever ends us."""
    command = [sys.executable, "-m", module, *arguments]
    process: subprocess.Popen[bytes] | None = None
    try:
        with uninterrupted():
            process = subprocess.Popen(command, env=python_environment())
        status = process.wait()
    except BaseException:
        if process is not None:  # Ctrl-C has reached it too, SIGTERM has not
            process.terminate()
            process.wait(STOP_TIMEOUT_S)
        raise
    if status != 0:
        raise FilmUnavailableError(f"No film to play: {module} failed (see above).")
