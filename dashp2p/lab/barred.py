"""Rungs that a viewer leaves alone for a while, because a segment of theirs did not come.

What players do differs. dash.js (5.2.1, HTTPLoader, StreamProcessor) asks for the same URL three
times more, 1 s apart, then bars the base URL it came from, for ever, and fails where there is no
other: it never tries another rung, and its AbandonRequestsRule looks only at answers that come
slowly. Shaka (5.2) asks twice in all, then bars that variant for 30 s and plays another; hls.js too
goes to another level in the end. The headless viewer does as Shaka, as far as there is a choice.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, field

from dashp2p.content.mpd import ManifestRepresentation

BARRED_S = 30.0


@define(eq=False)
class BarredRungs:
    """Times by the caller's clock. The last rung that is left is not to be barred."""

    _until: dict[str, float] = field(factory=dict)

    def bar(self, rung: ManifestRepresentation, now: float) -> None:
        """Leave it alone from now on."""
        self._until[rung.id] = now + BARRED_S

    def left(
        self, rungs: Sequence[ManifestRepresentation], now: float
    ) -> list[ManifestRepresentation]:
        """Those that may be played."""
        return [rung for rung in rungs if self._until.get(rung.id, now) <= now]
