"""The players that this peer serves: deadlines, last requests, and the QoE that they report.

Of a player that sends CMCD events (`viewing`) those are believed; else a page's /qoe beacon is.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any

from attrs import define, field

from dashp2p.peer.limits import MAX_SESSIONS, MAX_TEXT_CHARS
from dashp2p.peer.viewing import Viewing
from dashp2p.swarm.ahead import Ahead
from dashp2p.swarm.players import Player
from dashp2p.swarm.policy import Policy
from dashp2p.web.cmcd import Cmcd
from dashp2p.web.cmcd_events import PlayerEvent
from dashp2p.web.metrics import Histogram
from dashp2p.web.qoe import Qoe, of_sums

STATES = frozenset({"starting", "playing", "paused", "stalled", "ended", "failed"})
NUMBERS = {
    "startup_ms": 3_600_000.0,
    "stalls": 1e6,
    "stalled_ms": 86_400_000.0,
    "mean_bitrate_bps": 1e10,
    "switches": 1e6,
    "buffer_s": 86_400.0,
    "position_s": 1e7,
}
LATER_NUMBERS = {"played_s": 1e7, "changed_bps": 1e13}
"""That pages of the first version did not send: what the linear score needs besides."""
NULLABLE = frozenset({"startup_ms"})
STARTUP_BOUNDS_S = (0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)
COUNTED = ("played_s", "stalled_s", "stalls", "switches")
LATELY_S = 60.0
"""A session that was silent for longer is over, for those who count viewers."""


class QoeRefused(Exception):  # noqa: N818 - it says what happened
    """A beacon that is not what it should be; the text says what is wrong."""


@define(eq=False)
class Session:
    """One playback, by CMCD's `sid` where the player sends it, else by `Sessions.nameless`."""

    sid: str
    player: Player
    ahead: Ahead
    last_seen: float = 0.0
    buffer_s: float | None = None
    bitrate_bps: int | None = None
    first_request_at: float | None = None
    viewing: Viewing | None = None
    beacon: dict[str, Any] | None = None
    counted: dict[str, float] = field(factory=dict)
    """What of its QoE is in the totals."""

    @property
    def qoe(self) -> dict[str, Any] | None:
        """What the player told last, with the figures that follow from it; None: nothing."""
        viewing = self._believed
        if viewing is not None:
            told = {**(self.beacon or {}), **viewing.document()}
        elif self.beacon is not None:
            told = {**self.beacon, "source": "beacon"}
        else:
            return None
        qoe = self.measured
        if qoe is not None:
            told["stall_ratio"] = round(qoe.stall_ratio, 5)
            told["score"] = round(qoe.linear, 2)
            told["score_per_segment"] = round(qoe.linear_per_segment, 3)
        return told

    @property
    def _believed(self) -> Viewing | None:
        """The player's own reports, unless a page knows more."""
        viewing = self.viewing
        return viewing if viewing is None or viewing.tells_states or not self.beacon else None

    @property
    def measured(self) -> Qoe | None:
        """The same in numbers; None where a page does not say for how long it played."""
        viewing = self._believed
        if viewing is not None:
            return viewing.meter.qoe
        beacon = self.beacon
        if beacon is None or "played_s" not in beacon:
            return None
        startup_ms = beacon["startup_ms"]
        return of_sums(
            startup_s=None if startup_ms is None else startup_ms / 1000,
            played_s=beacon["played_s"],
            stalls=int(beacon["stalls"]),
            stalled_s=beacon["stalled_ms"] / 1000,
            switches=int(beacon["switches"]),
            mean_bitrate_bps=beacon["mean_bitrate_bps"],
            changed_bps=beacon.get("changed_bps", 0.0),
        )


@define(eq=False)
class Sessions:
    """At most MAX_SESSIONS, the least lately seen forgotten first."""

    policy: Policy
    totals: dict[str, float] = field(factory=lambda: dict.fromkeys(COUNTED, 0.0))
    """Over all sessions that there were, by names of COUNTED."""
    startups: Histogram = field(
        factory=lambda: Histogram(
            "dashp2p_peer_player_startup_seconds",
            "From a player's first request until it played, as players reported it.",
            STARTUP_BOUNDS_S,
        )
    )
    _salt: bytes = field(factory=lambda: secrets.token_bytes(16))
    _sessions: OrderedDict[str, Session] = field(factory=OrderedDict)
    _asked_at: OrderedDict[str, float] = field(factory=OrderedDict)
    """When those began who have only asked for the film's description so far."""

    def __iter__(self) -> Any:
        return iter(list(self._sessions.values()))

    def nameless(self, host: str, agent: str) -> str:
        """The id of a player that names no session: its address and program, which nobody can
        read from it."""
        told = f"{host} {agent}".encode("utf-8", "replace")
        return "player-" + blake2b(told, key=self._salt, digest_size=6).hexdigest()

    def session(self, sid: str, now: float) -> Session:
        """The session of that id, made if need be."""
        session = self._sessions.get(sid)
        if session is None:
            while len(self._sessions) >= MAX_SESSIONS:
                self._sessions.popitem(last=False)
            session = self._sessions[sid] = Session(sid, Player(self.policy), Ahead(self.policy))
            session.first_request_at = self._asked_at.pop(sid, None)
        self._sessions.move_to_end(sid)
        session.last_seen = now
        return session

    def active(self, now: float) -> list[Session]:
        """Those who asked or told something lately, and have not said that they ended."""
        return [
            session
            for session in self
            if now - session.last_seen <= LATELY_S
            and (session.qoe or {}).get("state") not in ("ended", "failed")
        ]

    def asked(self, sid: str, now: float) -> None:
        """A request of a session for no media: no session yet, but its start-up has begun."""
        if sid not in self._sessions:
            self._asked_at.setdefault(sid, now)
            if len(self._asked_at) > MAX_SESSIONS:
                self._asked_at.popitem(last=False)

    def seen(self, sid: str, cmcd: Cmcd, bitrate_bps: int | None, now: float) -> Session:
        """A media request of a session."""
        session = self.session(sid, now)
        if session.first_request_at is None:
            session.first_request_at = now
        if cmcd.buffer_s is not None:
            session.buffer_s = cmcd.buffer_s
        if bitrate_bps is not None:
            session.bitrate_bps = bitrate_bps
        return session

    def report(self, beacon: Mapping[str, Any], now: float) -> None:
        """Keep what a page posted to /qoe. Raises QoeRefused."""
        qoe = read_qoe(beacon)
        session = self.session(qoe["sid"], now)
        session.beacon = qoe
        session.buffer_s = qoe["buffer_s"]
        self._count(session)

    def hear(self, events: Iterable[PlayerEvent], now: float) -> None:
        """CMCD reports of players."""
        for event in events:
            session = self.session(event.session_id, now)
            if session.viewing is None:
                began_at = session.first_request_at
                session.viewing = Viewing(now if began_at is None else began_at)
            session.viewing.hear(event, now)
            if event.buffer_s is not None:
                session.buffer_s = event.buffer_s
            self._count(session)

    def _count(self, session: Session) -> None:
        """Add to the totals what this session's figures grew by."""
        qoe = session.measured
        if qoe is None:
            return
        if qoe.startup_s is not None and "startups" not in session.counted:
            session.counted["startups"] = 1
            self.startups.observe(qoe.startup_s)
        for name in COUNTED:
            grown = getattr(qoe, name) - session.counted.get(name, 0.0)
            if grown > 0:
                session.counted[name] = getattr(qoe, name)
                self.totals[name] += grown


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def read_qoe(beacon: Mapping[str, Any]) -> dict[str, Any]:
    """A checked beacon, with nothing in it but what is known. Raises QoeRefused."""
    if beacon.get("v") != 1:
        raise QoeRefused("v must be 1")
    sid = beacon.get("sid")
    if not isinstance(sid, str) or not 0 < len(sid) <= MAX_TEXT_CHARS or not sid.isprintable():
        raise QoeRefused("sid must be 1 to 64 printable characters")
    state = beacon.get("state")
    if not isinstance(state, str) or state not in STATES:
        raise QoeRefused(f"state must be one of {', '.join(sorted(STATES))}")
    player = beacon.get("player", "")
    if not isinstance(player, str) or len(player) > MAX_TEXT_CHARS:
        raise QoeRefused("player must be a text of at most 64 characters")
    qoe: dict[str, Any] = {"sid": sid, "state": state, "player": player}
    later = {name: limit for name, limit in LATER_NUMBERS.items() if name in beacon}
    for name, limit in {**NUMBERS, **later}.items():
        value: Any = beacon.get(name)
        if value is None and name in NULLABLE:
            qoe[name] = None
            continue
        if not _is_number(value) or not 0 <= value <= limit:  # which no NaN is
            raise QoeRefused(f"{name} must be a number from 0 to {limit:g}")
        qoe[name] = value
    return qoe
