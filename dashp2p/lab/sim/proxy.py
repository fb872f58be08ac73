"""Between a player and its files: through a peer, or straight from the origin."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field

from dashp2p.content.entry import Entry, Kind
from dashp2p.lab.sim.foresight import Foresight
from dashp2p.lab.sim.origin import Fetch, HttpClient
from dashp2p.lab.sim.peer import Peer
from dashp2p.lab.sim.player import Told
from dashp2p.peer.limits import INDEX_WAIT_S
from dashp2p.swarm.players import Hints
from dashp2p.swarm.players import Player as Pattern

STARTING_POLL_S = 0.01


@define(eq=False)
class Asked:
    """One request of a player."""

    entry: Entry
    at: float
    deadline_s: float
    from_cache: bool
    ended_at: float | None = None
    whole: bool = False


@define(eq=False)
class PeerProxy:
    """As the daemon's: deadlines inferred from the pattern of requests, or told by CMCD."""

    peer: Peer
    asked: list[Asked] = field(factory=list)
    foresight: Foresight = field(init=False)
    _pattern: Pattern = field(init=False)
    _open: dict[Asked, Callable[[bool], None]] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self._pattern = Pattern(self.peer.policy)
        self.foresight = Foresight(self.peer)

    @property
    def open(self) -> list[Asked]:
        """Requests that are not answered."""
        return list(self._open)

    def request(
        self, entry: Entry, ended: Callable[[bool], None], told: Told | None = None
    ) -> None:
        """A player asks; `ended` is told whether the file came whole."""
        self._begin(entry, ended, self.peer.clock.now, told)

    def _begin(
        self, entry: Entry, ended: Callable[[bool], None], at: float, told: Told | None
    ) -> None:
        peer, now = self.peer, self.peer.clock.now
        if not peer.alive:
            return
        if not peer.knows_film:
            if now - at < INDEX_WAIT_S:
                peer.clock.call_later(STARTING_POLL_S, lambda: self._begin(entry, ended, at, told))
            else:
                self._pass_through(entry, ended)
            return
        deadline_s = self._deadline(entry, now, told)
        asked = Asked(entry, now, deadline_s, peer.is_here(entry))
        self.asked.append(asked)
        if entry.kind is Kind.MEDIA:
            self.foresight.asked(entry, deadline_s)
        pace_s = self.foresight.pace_s(entry, deadline_s)

        def answered(whole: bool) -> None:
            self._open.pop(asked, None)
            self.foresight.given(entry, deadline_s, told)
            asked.ended_at, asked.whole = peer.clock.now, whole
            if entry.kind is Kind.MEDIA:
                media_type = peer.film.media_type(entry)
                if whole:
                    self._pattern.delivered(entry, media_type, peer.clock.now)
                else:
                    self._pattern.closed(peer.clock.now)
            ended(whole)

        def here(whole: bool) -> None:
            early_s = asked.at + pace_s - peer.clock.now
            if whole and early_s > 0:
                self._open.pop(asked, None)
                peer.clock.call_later(early_s, lambda: answered(True))
            else:
                answered(whole)

        self._open[asked] = here
        if peer.want(entry, deadline_s, here):
            del self._open[asked]
            peer.tally.unplayed.pop(entry.position, None)
            peer.tally.spares.pop(entry.position, None)
            self.foresight.begin(entry, deadline_s, told)
            peer.clock.call_later(pace_s, lambda: answered(True))

    def _deadline(self, entry: Entry, now: float, told: Told | None) -> float:
        if entry.kind is not Kind.MEDIA:
            return now + self.peer.policy.start_grace_s
        hints = None if told is None else Hints(told.buffer_s, told.buffer_s, told.startup)
        return self._pattern.requested(entry, self.peer.film.media_type(entry), now, hints)

    def _pass_through(self, entry: Entry, ended: Callable[[bool], None]) -> None:
        pieces = [(0, entry.size_bytes)]
        fetch = Fetch(entry.path, pieces, lambda key: None, lambda failed: ended(not failed))
        self.peer.http.fetch(fetch)


@define(eq=False)
class DirectProxy:
    """No peers: the player asks the origin itself."""

    http: HttpClient

    def request(
        self, entry: Entry, ended: Callable[[bool], None], told: Told | None = None
    ) -> None:
        """A player asks."""
        pieces = [(block, entry.block_length(block)) for block in range(entry.block_count)]
        self.http.fetch(
            Fetch(entry.path, pieces, lambda key: None, lambda failed: ended(not failed))
        )
