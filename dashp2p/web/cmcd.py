"""Common Media Client Data, CTA-5004: what a player tells with each request.

It comes in the query (`?CMCD=bl%3D3900%2Cnor%3D...`) or in four headers, as a structured-fields
dictionary (RFC 8941). All of it is a hint from outside: what is garbage is left out, the rest is
bounded, and nothing here raises. Of version 2, the keys that version 1 has are read; of a list, as
in `br=(5000;v 128;a)`, the value for the type that is asked for (`ot`), else the first. What it
reports after the fact is read in `dashp2p.web.cmcd_events`.
"""

from __future__ import annotations

import math
import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import AnyStr
from urllib.parse import unquote, urlsplit

import http_sf
from attrs import frozen
from twisted.web.server import Request

from dashp2p.web.limits import (
    MAX_BPS,
    MAX_CMCD_CHARS,
    MAX_CMCD_KEYS,
    MAX_OBJECT_NAME_CHARS,
    MAX_PLAYBACK_RATE,
    MAX_RANGE_CHARS,
    MAX_S,
    MAX_SESSION_ID_CHARS,
)

HEADERS = ("CMCD-Request", "CMCD-Object", "CMCD-Status", "CMCD-Session")
OBJECT_TYPES = {
    "m": "manifest",
    "a": "audio",
    "v": "video",
    "av": "muxed",
    "i": "init",
    "c": "caption",
    "tt": "timed text",
    "k": "key",
    "o": "other",
}

_RANGE = re.compile(r"([0-9]{1,15})?-([0-9]{1,15})?")


@frozen
class Cmcd:
    """What was understood; None (or False) for what was not said."""

    buffer_s: float | None = None
    """`bl`: media in the player's buffer."""
    deadline_s: float | None = None
    """`dl`: from the request until the buffer would run dry."""
    startup: bool = False
    """`su`: needed at once, for start, seek or recovery."""
    starved: bool = False
    """`bs`: the buffer ran dry since the last request."""
    next_object: str | None = None
    """`nor`, percent-decoded: relative to the request's path; see `next_path`."""
    next_range: tuple[int | None, int | None] | None = None
    """`nrr`: first and last byte of the next request, as in a Range header."""
    session_id: str | None = None
    content_id: str | None = None
    bitrate_bps: int | None = None
    """`br`: encoded bitrate of what is asked for."""
    top_bitrate_bps: int | None = None
    """`tb`: highest bitrate that the player may choose."""
    object_type: str | None = None
    """`ot` in words: one of OBJECT_TYPES' values."""
    duration_s: float | None = None
    throughput_bps: int | None = None
    """`mtp`: what the player measured."""
    playback_rate: float | None = None
    """`pr`: 0 when paused, 1 in real time; None when not said, which means 1."""
    requested_rate_bps: int | None = None
    """`rtp`: no need to deliver faster."""

    @property
    def present(self) -> bool:
        """Whether the player told anything."""
        return self != NOTHING

    def next_path(self, path: str) -> str | None:
        """The path of the next object, for a request to `path` (percent-decoded, with a slash).

        None when there is none, or when it lies elsewhere: on another host or above the root.
        """
        name = self.next_object
        if name is None or "\0" in name or "\\" in name:
            return None
        try:
            parts = urlsplit(name)
        except ValueError:
            return None
        if parts.scheme or parts.netloc or not parts.path:
            return None
        joined = posixpath.join(posixpath.dirname(path), parts.path)
        found = posixpath.normpath(joined)
        depth = 0
        for step in joined.strip("/").split("/"):
            depth += 0 if step in ("", ".") else -1 if step == ".." else 1
            if depth < 0:
                return None  # normpath would stop at the root and hide it
        return found if found.startswith("/") and not found.startswith("//") else None


NOTHING = Cmcd()


def cmcd_of(request: Request) -> Cmcd:
    """What a request tells in its query and its headers; headers win."""
    args = request.args or {}
    texts = [value.decode("latin-1") for value in args.get(b"CMCD", [])[:1]]
    for name in HEADERS:
        texts += (request.requestHeaders.getRawHeaders(name) or [])[:1]
    return parse_cmcd(texts) if texts else NOTHING


def parse_cmcd(texts: Iterable[str]) -> Cmcd:
    """What one or more dictionaries tell; a later one wins. Never raises."""
    members: dict[str, object] = {}
    for text in texts:
        members.update(dictionary(text[:MAX_CMCD_CHARS]))
    range_text = _range_of_next(members)
    said = choose(members, (str(members.get("ot")),))
    object_type = said.get("ot")
    return Cmcd(
        buffer_s=seconds_of(said, "bl"),
        deadline_s=seconds_of(said, "dl"),
        startup=said.get("su") is True,
        starved=said.get("bs") is True,
        next_object=_decoded(string_of(said, "nor", MAX_OBJECT_NAME_CHARS)),
        next_range=None if range_text is None else _range(range_text),
        session_id=string_of(said, "sid", MAX_SESSION_ID_CHARS),
        content_id=string_of(said, "cid", MAX_SESSION_ID_CHARS),
        bitrate_bps=bits_of(said, "br"),
        top_bitrate_bps=bits_of(said, "tb"),
        object_type=OBJECT_TYPES.get(str(object_type)),
        duration_s=seconds_of(said, "d"),
        throughput_bps=bits_of(said, "mtp"),
        playback_rate=number_of(said, "pr", MAX_PLAYBACK_RATE),
        requested_rate_bps=bits_of(said, "rtp"),
    )


def dictionary(text: str) -> dict[str, object]:
    """The members of a dictionary; where it is broken, those members that stand on their own.

    A list's value is a list of pairs: value and parameters.
    """
    members = _parsed(text)
    if members is None:
        members = {}
        for piece in _pieces(text):
            members.update(_parsed(piece) or {})
    return dict(list(members.items())[:MAX_CMCD_KEYS])


def _range_of_next(members: Mapping[str, object]) -> str | None:
    """`nrr`; of version 2 the parameter `r` of the first that `nor` lists."""
    listed = members.get("nor")
    if isinstance(listed, list) and listed and isinstance(listed[0], tuple):
        return string_of(listed[0][1], "r", MAX_RANGE_CHARS)
    return string_of(dict(members), "nrr", MAX_RANGE_CHARS)


def _parsed(text: str) -> dict[str, object] | None:
    try:
        parsed = http_sf.parse(text.encode("latin-1"), tltype="dictionary")
    except (ValueError, OverflowError, OSError):  # the last two from dates beyond the calendar
        return None
    members: dict[str, object] = {}
    assert isinstance(parsed, dict)
    for key, member in parsed.items():
        members[key] = member[0] if isinstance(member, tuple) else member
    return members


def choose(members: Mapping[str, object], wanted: Sequence[str]) -> dict[str, object]:
    """With one value for each list: that of the first of the `wanted` parameters (as in `128;a`)
    that one has, else the first, which is the nearest."""
    return {
        key: _chosen(value, wanted) if isinstance(value, list) else value
        for key, value in members.items()
    }


def _chosen(items: list[object], wanted: Sequence[str]) -> object:
    pairs = [item if isinstance(item, tuple) else (item, {}) for item in items]
    for name in wanted:
        for value, parameters in pairs:
            if name in parameters:
                return value
    return pairs[0][0] if pairs else None


def _pieces(text: str) -> list[str]:
    """Split at the commas outside of quotes."""
    pieces = [""]
    quoted = escaped = False
    for char in text:
        if char == "," and not quoted:
            pieces.append("")
            continue
        pieces[-1] += char
        if escaped:
            escaped = False
        elif char == "\\" and quoted:
            escaped = True
        elif char == '"':
            quoted = not quoted
    return pieces[: 2 * MAX_CMCD_KEYS]


def number_of(said: dict[str, object], key: str, most: float) -> float | None:
    value = said.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        return None
    number = float(value)
    return number if math.isfinite(number) and 0 <= number <= most else None


def seconds_of(said: dict[str, object], key: str) -> float | None:
    milliseconds = number_of(said, key, MAX_S * 1000)
    return None if milliseconds is None else milliseconds / 1000


def bits_of(said: dict[str, object], key: str) -> int | None:
    kilobits = number_of(said, key, MAX_BPS / 1000)
    return None if kilobits is None else round(kilobits * 1000)


def string_of(said: dict[str, object], key: str, most: int) -> str | None:
    value = said.get(key)
    return value if isinstance(value, str) and 0 < len(value) <= most else None


def _decoded(name: str | None) -> str | None:
    if name is None:
        return None
    try:
        return unquote(name, errors="strict")
    except UnicodeDecodeError:
        return None


def _range(text: str) -> tuple[int | None, int | None] | None:
    match = _RANGE.fullmatch(text)
    if match is None or text == "-":
        return None
    first, last = (None if part is None else int(part) for part in match.groups())
    return first, last


def strip_cmcd(uri: AnyStr) -> AnyStr:
    """A URI without its CMCD parameter, all else untouched: the same object, the same key."""
    if isinstance(uri, bytes):
        return strip_cmcd(uri.decode("latin-1")).encode("latin-1")
    path, mark, query = uri.partition("?")
    query, hash_mark, fragment = query.partition("#")
    kept = [part for part in query.split("&") if part.partition("=")[0] != "CMCD"]
    mark = mark if kept and kept != [""] else ""
    return path + mark + "&".join(kept) + hash_mark + fragment
