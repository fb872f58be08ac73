"""A running clock as raw pictures: no font is needed, and ffmpeg may lack drawtext and fonts."""

from collections.abc import Iterator
from typing import Final

__all__ = ["CLOCK_HEIGHT_PX", "CLOCK_WIDTH_PX", "clock_frame", "clock_frames"]

# Five by seven dots a sign, a row a string.
_GLYPHS: Final = {
    "0": (" ### ", "#   #", "#  ##", "# # #", "##  #", "#   #", " ### "),
    "1": ("  #  ", " ##  ", "  #  ", "  #  ", "  #  ", "  #  ", " ### "),
    "2": (" ### ", "#   #", "    #", "   # ", "  #  ", " #   ", "#####"),
    "3": ("#####", "   # ", "  #  ", "   # ", "    #", "#   #", " ### "),
    "4": ("   # ", "  ## ", " # # ", "#  # ", "#####", "   # ", "   # "),
    "5": ("#####", "#    ", "#### ", "    #", "    #", "#   #", " ### "),
    "6": ("  ## ", " #   ", "#    ", "#### ", "#   #", "#   #", " ### "),
    "7": ("#####", "    #", "   # ", "  #  ", " #   ", " #   ", " #   "),
    "8": (" ### ", "#   #", "#   #", " ### ", "#   #", "#   #", " ### "),
    "9": (" ### ", "#   #", "#   #", " ####", "    #", "   # ", " ##  "),
    ":": ("     ", "  #  ", "  #  ", "     ", "  #  ", "  #  ", "     "),
    ".": ("     ", "     ", "     ", "     ", "     ", " ##  ", " ##  "),
    "#": (" # # ", " # # ", "#####", " # # ", "#####", " # # ", " # # "),
    " ": ("     ",) * 7,
}
_ROWS: Final = 7
_MARGIN_PX: Final = 3
_SIGNS: Final = len("00:00.000 #00000")
CLOCK_WIDTH_PX: Final = 6 * _SIGNS - 1 + 2 * _MARGIN_PX
CLOCK_HEIGHT_PX: Final = _ROWS + 2 * _MARGIN_PX

_SHADE: Final = b"\x00\x60"  # grey and alpha: a dark, translucent ground
_DOT: Final = b"\xff\xff"
_PIXELS: Final = {
    sign: tuple(row.replace("#", "1") for row in rows) for sign, rows in _GLYPHS.items()
}


def clock_frame(frame: int, frames_per_s: int) -> bytes:
    """The picture of "mm:ss.mmm #frame" in ffmpeg's pixel format ya8."""
    seconds, rest = divmod(frame, frames_per_s)
    text = f"{seconds // 60 % 100:02}:{seconds % 60:02}.{1000 * rest // frames_per_s:03}"
    text += f" #{frame % 100_000:05}"
    blank = _SHADE * CLOCK_WIDTH_PX
    picture = [blank] * _MARGIN_PX
    for row in range(_ROWS):
        dots = " ".join(_PIXELS[sign][row] for sign in text)
        line = b"".join(_DOT if dot == "1" else _SHADE for dot in dots)
        picture.append(_SHADE * _MARGIN_PX + line + _SHADE * _MARGIN_PX)
    return b"".join(picture + [blank] * _MARGIN_PX)


def clock_frames(count: int, frames_per_s: int) -> Iterator[bytes]:
    """The pictures of a clock that starts at zero."""
    for frame in range(count):
        yield clock_frame(frame, frames_per_s)
