"""The Content-Type of each file of a presentation, by its name."""

from __future__ import annotations

import posixpath

TYPES = {
    ".mpd": "application/dash+xml",
    ".m3u8": "application/vnd.apple.mpegurl",
    ".m4s": "video/iso.segment",
    ".mp4": "video/mp4",
    ".m4a": "audio/mp4",
    ".m4v": "video/mp4",
    ".ts": "video/mp2t",
    ".webm": "video/webm",
    ".cmfv": "video/mp4",
    ".cmfa": "audio/mp4",
    ".vtt": "text/vtt; charset=utf-8",
    ".json": "application/json",
    ".sig": "application/json",
}
OTHER = "application/octet-stream"


def media_type_of(path: str) -> str:
    """The type of a file of that name; application/octet-stream for what players do not ask for."""
    return TYPES.get(posixpath.splitext(path)[1].lower(), OTHER)
