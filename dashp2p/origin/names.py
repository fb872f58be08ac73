"""What the names of a presentation's files tell: whether they may be served, and their kind."""

from __future__ import annotations

import re
from collections.abc import Sequence
from posixpath import splitext

from dashp2p.origin.limits import MAX_DEPTH, MAX_NAME_BYTES

KINDS = ("manifest", "init", "media", "index", "other")

_MEDIA = (".m4s", ".mp4", ".m4v", ".m4a", ".cmfv", ".cmfa", ".ts", ".webm", ".vtt")
_INDEX = ("index.json", "index.blocks", "index.sig")
_HIDDEN = (".tmp", ".part", ".partial", ".temp", "~")
_INIT = re.compile(r"(?:.*[^a-z])?init(?:[^a-z].*)?", re.IGNORECASE)


def safe_names(segments: Sequence[bytes]) -> tuple[str, ...] | None:
    """The names of a path below the root, from its percent-decoded segments.

    None when it names no file that may be served: a folder, a step up, a separator or NUL within a
    name, or a hidden or temporary name, under which a file is still being written.
    """
    if not 0 < len(segments) <= MAX_DEPTH:
        return None
    names = []
    for segment in segments:
        try:
            name = segment.decode("utf-8")
        except UnicodeDecodeError:
            return None
        if not name or len(segment) > MAX_NAME_BYTES or any(char in name for char in "/\\\0"):
            return None
        if name.startswith(".") or name.lower().endswith(_HIDDEN):
            return None
        names.append(name)
    return tuple(names)


def kind_of(name: str) -> str:
    """One of KINDS, by the last part of a path."""
    suffix = splitext(name)[1].lower()
    if name in _INDEX:
        return "index"
    if suffix in (".mpd", ".m3u8"):
        return "manifest"
    if suffix not in _MEDIA:
        return "other"
    return "init" if _INIT.fullmatch(splitext(name)[0]) else "media"
