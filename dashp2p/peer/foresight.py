"""What a player asks for next, fetched before it asks.

Who asks for the manifest asks for the beginning of each track next: between the two a player reads
XML and sets up its buffers, while the network stands still. Most begin at the lowest rung. Should
this one not, a few hundred kilobytes came in vain, once for the whole crowd.
"""

from __future__ import annotations

from attrs import define

from dashp2p.content.entry import Entry, Kind
from dashp2p.content.index import Index
from dashp2p.peer.engine import Engine
from dashp2p.peer.sessions import Sessions
from dashp2p.store.errors import StoreError

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


@define(eq=False)
class Foresight:
    """Wants what players will want."""

    engine: Engine
    sessions: Sessions

    def manifest_asked(self, index: Index, now: float) -> None:
        """A player is about to get the manifest. While another plays, it may be that one, once
        more."""
        if self.sessions.active(now):
            return
        for entry in beginnings(index):
            try:
                self.engine.want(entry, now + self.sessions.policy.start_grace_s)
            except StoreError:
                return  # no memory to spare: the player will be told when it asks
