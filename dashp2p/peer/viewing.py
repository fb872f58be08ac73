"""One viewing as the player's own reports (CMCD version 2) tell it, added up as they come.

A report says in which state the player is now and when that was by its own clock. Between two
reports the state of the former lasted. `bsd` is not used: it is missing where a stall ends the
viewing. `msd` is, where nothing better is known: dash.js 5.2.1 counts it from the wrong moment.
What has ended is over until it plays again: dash.js may still park the playhead before the end.
"""

from __future__ import annotations

from typing import Any

from attrs import define, field

from dashp2p.web.cmcd_events import PlayerEvent
from dashp2p.web.qoe import QoeMeter

SHORTEST_STALL_S = 0.05
"""Shorter than this nobody sees it: a repaint that came late, not a stall."""
LATE_S = 2.0
"""Events overtake each other: dash.js 5.2.1 tells that it waits for what it sought when it has told
that it plays, though its stamp says before. Further back its clock was set."""
LONGEST_STEP_S = 65.0
"""Reports come each half minute at the least; beyond twice that the machine slept."""

SHOWN_STATES = {
    "seeking": "playing",
    "waiting": "paused",
    "preloading": "starting",
    "quit": "ended",
}
"""In the words of /qoe, which has fewer."""


@define(eq=False)
class Viewing:
    """Tell it each event with `hear`. `began_at` is when the player first asked for something or
    was first heard of, in the time that `now` is told in: dash.js reports once before it asks."""

    began_at: float
    meter: QoeMeter = field(factory=QoeMeter)
    state: str = "starting"
    buffer_s: float | None = None
    tells_states: bool = False
    """Shaka 5.2 does not: then neither stalls nor time played can be known."""
    _rate: float = 1.0
    _at_s: float | None = None
    """Of the latest event, by the player's clock."""
    _stalled_s: float = 0.0
    """Of the stall that goes on."""

    def hear(self, event: PlayerEvent, now: float) -> None:
        """An event that has come `now`."""
        overtaken = self._is_overtaken(event)
        if not overtaken:
            self._pass(event, now)
        self.tells_states |= event.state is not None
        if not self.tells_states and self.meter.startup_s is None:
            self.meter.startup_s = event.startup_s
        if event.bitrate_bps:
            self.meter.rendered(event.bitrate_bps)
        if event.playback_rate is not None:
            self._rate = event.playback_rate
        if event.buffer_s is not None:
            self.buffer_s = event.buffer_s
        parked = self.state == "ended" and event.state != "playing"
        if event.state not in (None, self.state) and not overtaken and not parked:
            self._enter(event, now)

    def _is_overtaken(self, event: PlayerEvent) -> bool:
        """Whether what it says of the state was over when the last event came."""
        if event.at_s is None or self._at_s is None:
            return False
        return 0 < self._at_s - event.at_s <= LATE_S

    def _pass(self, event: PlayerEvent, now: float) -> None:
        at_s = now if event.at_s is None else event.at_s
        step_s = 0.0 if self._at_s is None else at_s - self._at_s
        self._at_s = at_s
        if not 0 < step_s <= LONGEST_STEP_S:
            return
        if self.state == "playing":
            self.meter.played(step_s * self._rate)
        elif self.state == "stalled" and self._counts:
            self._stalled_s += step_s

    @property
    def _counts(self) -> bool:
        """A stall is one only of what has been playing."""
        return self.meter.startup_s is not None

    def _enter(self, event: PlayerEvent, now: float) -> None:
        if self.state == "stalled" and self._stalled_s >= SHORTEST_STALL_S:
            self.meter.stalled(self._stalled_s)
        self._stalled_s = 0.0
        before, self.state = self.state, event.state or self.state
        if self.state == "playing" and self.meter.startup_s is None:
            self.meter.startup_s = self._startup_s(event, now)
        elif self.state == "stalled" and before != "playing":
            self.state = "waiting"  # for what it sought, or for its first picture

    def _startup_s(self, event: PlayerEvent, now: float) -> float:
        lasted_s = now - self.began_at
        return lasted_s if lasted_s > 0 else event.startup_s or 0.0

    def document(self) -> dict[str, Any]:
        """As `qoe` of a session in /stats: the fields of a /qoe report, from another source."""
        qoe = self.meter.qoe
        open_s = self._stalled_s if self._stalled_s >= SHORTEST_STALL_S else 0.0
        startup_s = qoe.startup_s
        return {
            "source": "cmcd",
            "state": SHOWN_STATES.get(self.state, self.state),
            "startup_ms": None if startup_s is None else round(startup_s * 1000),
            "stalls": qoe.stalls + (open_s > 0),
            "stalled_ms": round((qoe.stalled_s + open_s) * 1000),
            "mean_bitrate_bps": round(qoe.mean_bitrate_bps),
            "switches": qoe.switches,
            "changed_bps": round(qoe.changes_mbit * 1e6),
            "played_s": round(qoe.played_s, 3),
            "buffer_s": self.buffer_s or 0.0,
        }
