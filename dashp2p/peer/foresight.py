"""What a player asks for next, fetched before it asks.

Who asks for the manifest asks for the beginning of each track next: between the two a player reads
XML and sets up its buffers, while the network stands still. Most begin at the lowest rung. Should
this one not, a few hundred kilobytes came in vain, once for the whole crowd.

The beginning is fetched before that where there is time for it (`dashp2p.peer.warming`). Later on a
player names with each request what it will ask for next (`dashp2p.swarm.ahead`).
"""

from __future__ import annotations

from attrs import define, frozen

from dashp2p.content.entry import Entry, Kind
from dashp2p.content.index import Index
from dashp2p.peer.engine import Engine
from dashp2p.peer.sessions import Session, Sessions
from dashp2p.store.errors import StoreError
from dashp2p.swarm.advice import Advice
from dashp2p.swarm.players import Hints
from dashp2p.swarm.replicas import followed
from dashp2p.web.cmcd import Cmcd

MEDIA_TYPES = ("video", "audio")


def beginnings(index: Index) -> list[Entry]:
    """How the lowest rung of each track begins: its init segment and its first media segment."""
    found: list[Entry] = []
    for media_type in MEDIA_TYPES:
        rungs = [item for item in index.representations if item.media_type == media_type]
        if not rungs:
            continue
        lowest = min(rungs, key=lambda item: item.bandwidth_bps)
        first = index.at(lowest.id, 0)
        inits = [
            entry
            for entry in index.entries
            if entry.kind is Kind.INIT and entry.representation_id == lowest.id
        ]
        found += [*inits, *([first] if first is not None else [])]
    return found


def named_next(index: Index, cmcd: Cmcd, root: str, path: str) -> Entry | None:
    """The file of this presentation that a request for `path` below `root` named as next.

    `root` begins and ends with a slash. None where nothing was named, or something else: another
    place, a file that is not in the index, a part of one (`nrr`).
    """
    found = cmcd.next_path(root + path)
    if found is None or not found.startswith(root) or cmcd.next_range is not None:
        return None
    return index.by_path(found[len(root) :])


@frozen
class Given:
    """A player's request for a media segment, as far as it tells what comes next."""

    session: Session
    entry: Entry
    media_type: str
    deadline_s: float
    hints: Hints
    named: Entry | None


@define(eq=False)
class Foresight:
    """Wants what players will want."""

    engine: Engine
    sessions: Sessions
    advice: Advice

    def soon(self, now: float) -> float:
        """When what a player with nothing in its buffer may ask for next is due."""
        return now + self.sessions.policy.start_grace_s

    def begin(self, index: Index, now: float) -> None:
        """A player may come, or is about to get the manifest. While another plays, it may be that
        one, once more."""
        if not self.sessions.policy.prefetch or self.sessions.active(now):
            return
        for entry in beginnings(index):
            self.want_unasked(entry, self.soon(now))

    def want_unasked(self, entry: Entry, deadline_s: float) -> bool:
        """Deliver what nobody waits for. False: there is no memory to spare, and a player will be
        told when it asks."""
        try:
            self.engine.want(entry, deadline_s)
        except StoreError:
            return False
        return True

    def asked(self, session: Session, entry: Entry, media_type: str, deadline_s: float) -> None:
        """A player asks for a media segment: what was foreseen instead is not fetched on."""
        in_vain = session.ahead.asked(entry, media_type, deadline_s)
        if in_vain is not None and not self._is_awaited(in_vain):
            self.engine.unforesee(in_vain)
        self._follow(session, entry, media_type, deadline_s)

    def _follow(self, session: Session, entry: Entry, media_type: str, deadline_s: float) -> None:
        """What comes next on this rung is copied from neighbours, where few of them have it."""
        replicas, index = self.engine.node.replicas, self.engine.index
        track = f"{session.sid} {media_type}"
        if index is None or not self._may_copy(session, media_type):
            replicas.leave(track)
            return
        now = self.engine.now
        found = followed(self.sessions.policy, index.following, entry, deadline_s, now)
        replicas.follow(track, found, now)

    def _may_copy(self, session: Session, media_type: str) -> bool:
        """Whether the player is likely to come to it, and it is in nobody's way."""
        policy, records = self.sessions.policy, self.engine.records
        if not policy.replicas or not session.ahead.is_steady(media_type):
            return False
        if not self.advice.has_room(self.engine.node.state.uplink_bps):
            return False
        return self._spares_in_vain_bytes() <= policy.replica_share * records.delivered_bytes

    def _spares_in_vain_bytes(self) -> int:
        """Of what was copied: all but what players here are likely to come to."""
        index, replicas = self.engine.index, self.engine.node.replicas
        total = 0
        for path, size_bytes in self.engine.records.spares.items():
            entry = None if index is None else index.by_path(path)
            if entry is None or not replicas.is_upcoming(entry.position):
                total += size_bytes
        return total

    def segment_here(self, given: Given, now: float) -> None:
        """What a player asked for is whole and here. Begin with what it named as next."""
        ahead, named = given.session.ahead, given.named
        if named is None or self.engine.kind_of(named) != given.media_type:
            return
        deadline_s = ahead.deadline_of(
            named, given.entry, given.media_type, given.deadline_s, given.hints
        )
        if deadline_s is None or not ahead.may_begin(given.deadline_s, deadline_s, now):
            return
        if not self._is_settled(named, given.media_type):
            return
        records = self.engine.records
        if self._in_vain_bytes(now) > self.sessions.policy.waste_share * records.delivered_bytes:
            return
        if self.want_unasked(named, deadline_s):
            ahead.foreseen[given.media_type] = named

    def _is_settled(self, named: Entry, media_type: str) -> bool:
        """Whether the player is likely to ask for it, and there is room for it."""
        if not self.advice.has_room(self.engine.node.state.uplink_bps):
            return False
        return media_type != "video" or self.advice.is_top(self.engine.bitrate_of(named) or 0)

    def _is_awaited(self, entry: Entry) -> bool:
        return any(entry in session.ahead.awaited for session in self.sessions)

    def _in_vain_bytes(self, now: float) -> int:
        """Of what came unasked: all but what a player is about to ask for."""
        awaited = {
            entry.path for session in self.sessions.active(now) for entry in session.ahead.awaited
        }
        unplayed = self.engine.records.unplayed
        return sum(size for path, size in unplayed.items() if path not in awaited)
