"""The players that this peer serves: deadlines, last requests, and the QoE that they report."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from attrs import define, field

from dashp2p.peer.limits import MAX_SESSIONS
from dashp2p.swarm.players import Player
from dashp2p.swarm.policy import Policy
from dashp2p.web.cmcd import Cmcd

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
NULLABLE = frozenset({"startup_ms"})
MAX_TEXT_CHARS = 64


class QoeRefused(Exception):  # noqa: N818 - it says what happened
    """A beacon that is not what it should be; the text says what is wrong."""


@define(eq=False)
class Session:
    """One playback, by CMCD's `sid` where the player sends it, else by its address and program."""

    sid: str
    player: Player
    last_seen: float = 0.0
    buffer_s: float | None = None
    bitrate_bps: int | None = None
    qoe: dict[str, Any] | None = None


@define(eq=False)
class Sessions:
    """At most MAX_SESSIONS, the least lately seen forgotten first."""

    policy: Policy
    _sessions: OrderedDict[str, Session] = field(factory=OrderedDict)

    def __iter__(self) -> Any:
        return iter(list(self._sessions.values()))

    def session(self, sid: str, now: float) -> Session:
        """The session of that id, made if need be."""
        session = self._sessions.get(sid)
        if session is None:
            while len(self._sessions) >= MAX_SESSIONS:
                self._sessions.popitem(last=False)
            session = self._sessions[sid] = Session(sid, Player(self.policy))
        self._sessions.move_to_end(sid)
        session.last_seen = now
        return session

    def seen(self, sid: str, cmcd: Cmcd, bitrate_bps: int | None, now: float) -> Session:
        """A media request of a session."""
        session = self.session(sid, now)
        if cmcd.buffer_s is not None:
            session.buffer_s = cmcd.buffer_s
        if bitrate_bps is not None:
            session.bitrate_bps = bitrate_bps
        return session

    def report(self, beacon: Mapping[str, Any], now: float) -> None:
        """Keep what a page posted to /qoe. Raises QoeRefused."""
        qoe = read_qoe(beacon)
        session = self.session(qoe["sid"], now)
        session.qoe = qoe
        session.buffer_s = qoe["buffer_s"]


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
    for name, limit in NUMBERS.items():
        value: Any = beacon.get(name)
        if value is None and name in NULLABLE:
            qoe[name] = None
            continue
        if not _is_number(value) or not 0 <= value <= limit:  # which no NaN is
            raise QoeRefused(f"{name} must be a number from 0 to {limit:g}")
        qoe[name] = value
    return qoe
