"""What the headless viewer tells with a request, if it tells: CMCD version 1 (CTA-5004), by query.

The keys and their rounding are those of dash.js 5 (CmcdModel.js), so that what heeds this viewer
heeds that player: kbit/s rounded down, milliseconds of buffer rounded down to 100, `rtp` up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from urllib.parse import quote

from attrs import define, field

from dashp2p.content.mpd import ManifestRepresentation

__all__ = ["Teller", "cmcd_query"]

RTP_SAFETY = 5
"""How much faster than needed the answer may come, at most (dash.js's rtpSafetyFactor)."""
RTP_MIN_BUFFER_S = 0.5
OBJECT_TYPES = {"video": "v", "audio": "a"}


def cmcd_query(told: Mapping[str, object]) -> str:
    """The query: a structured-fields dictionary sorted by key, percent-encoded. True is a bare key;
    strings come quoted, for tokens are not."""
    pairs = (key if value is True else f"{key}={value}" for key, value in sorted(told.items()))
    return f"CMCD={quote(','.join(pairs), safe='')}"


@define(eq=False)
class Teller:
    """What one playback says. `session_id` is quoted here and must hold no quote or backslash."""

    session_id: str
    _begun: set[str] = field(factory=set)
    _starved: set[str] = field(factory=set)

    def _common(self, object_type: str) -> dict[str, object]:
        return {"ot": object_type, "sf": "d", "st": "v", "sid": f'"{self.session_id}"'}

    def stalled(self) -> None:
        """Playback ran dry: the next request of each track says so."""
        self._starved |= set(OBJECT_TYPES)

    def manifest(self) -> dict[str, object]:
        """With the request of the MPD."""
        return self._common("m")

    def init(self) -> dict[str, object]:
        """With the request of an init segment."""
        return {**self._common("i"), "su": True}

    def media(
        self,
        rung: ManifestRepresentation,
        number: int,
        *,
        top_bps: int,
        buffer_s: float,
        throughput_bps: float | None,
    ) -> dict[str, object]:
        """With the request of media segment `number` of a rung; `top_bps` is the highest one."""
        track = rung.media_type
        media = rung.media[number]
        buffer_ms = int(buffer_s * 10) * 100
        needed_kbps = rung.bandwidth_bps / 1000 * media.duration_s / max(buffer_s, RTP_MIN_BUFFER_S)
        told = self._common(OBJECT_TYPES[track])
        told |= {
            "br": rung.bandwidth_bps // 1000,
            "tb": top_bps // 1000,
            "d": round(media.duration_s * 1000),
            "bl": buffer_ms,
            "dl": buffer_ms,
            "rtp": math.ceil(needed_kbps * RTP_SAFETY / 100) * 100,
        }
        if throughput_bps is not None:
            told["mtp"] = int(throughput_bps // 100_000) * 100
        if number + 1 < len(rung.media):
            told["nor"] = f'"{quote(rung.media[number + 1].path)}"'
        if track in self._starved:
            told["bs"] = told["su"] = True
            self._starved.discard(track)
        if track not in self._begun:
            told["su"] = True
            self._begun.add(track)
        return told
