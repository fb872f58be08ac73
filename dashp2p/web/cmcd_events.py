"""What players report after the fact: event mode of Common Media Client Data, version 2.

CTA-5004-B: a player posts lines to a target that it was given, each a structured-fields dictionary
of one event: what happened (`e`), when (`ts`), in which state the player is now (`sta`), and how it
fares. dash.js since 5.2, hls.js since 1.7 and Shaka since 5.2 do it by themselves. As all of
CMCD it is hints from outside: garbage is left out, the rest is bounded.
"""

from __future__ import annotations

from typing import Final

from attrs import frozen
from http_sf import Token

from dashp2p.web.cmcd import bits_of, choose, dictionary, number_of, seconds_of, string_of
from dashp2p.web.limits import (
    MAX_CMCD_CHARS,
    MAX_CMCD_EVENTS,
    MAX_EVENT_CHARS,
    MAX_PLAYBACK_RATE,
    MAX_SESSION_ID_CHARS,
    MAX_TIME_S,
)

MEDIA_TYPES: Final = ("application/cmcd", "text/cmcd")
"""The first is CTA-5004-B's; the second is what its drafts said."""
STATES: Final = {
    "s": "starting",
    "p": "playing",
    "k": "seeking",
    "r": "stalled",
    "a": "paused",
    "w": "waiting",
    "e": "ended",
    "f": "failed",
    "q": "quit",
    "d": "preloading",
}
"""`sta` in words; "waiting" is for what is no fault of the network."""


@frozen
class PlayerEvent:
    """One report; None for what was not said."""

    session_id: str
    event: str
    """`e`: "ps" the state changed, "t" time has passed, "bc" another bitrate, "e" an error, ..."""
    at_s: float | None
    """`ts`: when it happened, by the player's own clock."""
    state: str | None
    """One of STATES' values."""
    buffer_s: float | None
    bitrate_bps: int | None
    """`pb`, else `br`: what is on screen, or was asked for last; the picture's before the sound's.
    """
    startup_s: float | None
    """`msd`: from the wish to play until the first picture; players send it once."""
    playback_rate: float | None


def parse_events(text: str) -> list[PlayerEvent]:
    """The reports of one post, in their order. Lines that make no report are left out, and what
    comes after MAX_CMCD_EVENTS lines. Never raises."""
    lines = text.split("\n", MAX_CMCD_EVENTS)[:MAX_CMCD_EVENTS]
    found = (_event(line.strip()) for line in lines if len(line) <= MAX_CMCD_CHARS)
    return [event for event in found if event is not None]


def _event(line: str) -> PlayerEvent | None:
    try:
        line.encode("latin-1")
    except UnicodeEncodeError:
        return None  # a structured field is ASCII
    said = choose(dictionary(line), ("v", "av", "a"))
    session_id = string_of(said, "sid", MAX_SESSION_ID_CHARS)
    event = said.get("e")
    if session_id is None or not session_id.isprintable() or not isinstance(event, Token):
        return None
    at_s = number_of(said, "ts", MAX_TIME_S * 1000)
    return PlayerEvent(
        session_id=session_id,
        event=str(event)[:MAX_EVENT_CHARS],
        at_s=None if at_s is None else at_s / 1000,
        state=STATES.get(str(said.get("sta"))),
        buffer_s=seconds_of(said, "bl"),
        bitrate_bps=bits_of(said, "pb") or bits_of(said, "br"),
        startup_s=seconds_of(said, "msd"),
        playback_rate=number_of(said, "pr", MAX_PLAYBACK_RATE),
    )
