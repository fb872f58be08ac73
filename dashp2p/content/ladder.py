"""Which bitrates and sizes a film is cut into.

A rung is a box in 16:9, turned for a portrait picture (so it goes by the shorter side), into which
the picture is fitted with its aspect kept: 1920x800 fills the 1080 rung's width. A rung that would
enlarge the picture is left out; one that would by a twentieth at most is kept at the picture's own
size, so that 1916x1076 doesn't fall to 720p. A picture below every rung gets the lowest one's
bitrate at its own size.
"""

import re
from collections.abc import Sequence
from typing import Final

from attrs import frozen

__all__ = ["LADDER", "LadderRefused", "Rendition", "Rung", "parse_ladder", "renditions"]

ENLARGEMENT_MAX: Final = 1.05
SIDE_MIN_PX: Final = 16
_RUNG: Final = re.compile(r"(\d{2,4}):(\d{2,6})\Z", re.ASCII)


class LadderRefused(Exception):  # noqa: N818 - it says what happened
    """A ladder given by option cannot be read."""


@frozen
class Rung:
    """A box of `height_px` (16:9) and a bitrate in kbit/s."""

    height_px: int
    rate_kbps: int


@frozen
class Rendition:
    """What one rung makes of a picture: even sizes in pixels, bitrate in kbit/s."""

    width_px: int
    height_px: int
    rate_kbps: int


LADDER: Final = (Rung(1080, 5000), Rung(720, 3000), Rung(480, 1000), Rung(360, 500))


def parse_ladder(text: str) -> tuple[Rung, ...]:
    """Read "480:1000,360:500" (height:kbit/s). Raises LadderRefused."""
    rungs = []
    for item in text.split(","):
        match = _RUNG.match(item.strip())
        if match is None:
            raise LadderRefused(f"{item!r} is no rung: write HEIGHT:KBITS, as in 480:1000,360:500")
        rungs.append(Rung(int(match[1]), int(match[2])))
    return tuple(sorted(rungs, key=lambda rung: rung.rate_kbps, reverse=True))


def renditions(
    width_px: float, height_px: float, ladder: Sequence[Rung] = LADDER
) -> tuple[Rendition, ...]:
    """The renditions of a picture of that size (in square pixels), best first, at least one."""
    own = (_even_down(width_px), _even_down(height_px))
    found = []
    for rung in ladder:
        short, long = rung.height_px, rung.height_px * 16 / 9
        box = (short, long) if width_px < height_px else (long, short)
        scale = min(box[0] / width_px, box[1] / height_px)
        if scale <= ENLARGEMENT_MAX:
            width = min(own[0], _even(width_px * scale))
            height = min(own[1], _even(height_px * scale))
            found.append(Rendition(width, height, rung.rate_kbps))
    if not found:
        found.append(Rendition(*own, min(rung.rate_kbps for rung in ladder)))
    return tuple(found)


def _even(size: float) -> int:
    return max(SIDE_MIN_PX, 2 * round(size / 2))


def _even_down(size: float) -> int:
    return max(SIDE_MIN_PX, 2 * int(size / 2))
