"""What a simulated peer fetches before its player asks, and how fast it hands on what is here.

As `dashp2p.peer.foresight` and `dashp2p.peer.proxy` do, with the same rules, for one player.
"""

from __future__ import annotations

from attrs import define, field

from dashp2p.content.entry import Entry, Kind
from dashp2p.lab.sim.incoming import size_of
from dashp2p.lab.sim.peer import Peer
from dashp2p.lab.sim.player import Told
from dashp2p.peer.limits import BEGINNING_AFTER_S
from dashp2p.swarm.advice import Advice
from dashp2p.swarm.ahead import Ahead
from dashp2p.swarm.delivery import Delivery
from dashp2p.swarm.players import Hints
from dashp2p.swarm.replicas import followed


@define(eq=False)
class Foresight:
    """Of one peer with one player."""

    peer: Peer
    ahead: Ahead = field(init=False)
    advice: Advice = field(factory=Advice)
    delivered_bytes: int = 0
    begun: int = 0
    """How many segments were begun before they were asked for."""
    _waits: dict[int, tuple[float, int]] = field(factory=dict)
    """By position: since when the player waits for it, and how many bytes were here by then."""

    def __attrs_post_init__(self) -> None:
        self.ahead = Ahead(self.peer.policy)
        film = self.peer.film
        rates = tuple(rung.bandwidth_bps for rung in film.video)
        self.advice.learn_ladder(rates, (film.audio.bandwidth_bps,))
        self.peer.watchers.append(self._completed)

    def asked(self, entry: Entry, deadline_s: float) -> None:
        """The player asks for a media segment."""
        if not self.peer.is_here(entry):
            here_bytes = size_of(entry, self.peer.verified(entry))
            self._waits[entry.position] = self.peer.clock.now, here_bytes
        in_vain = self.ahead.asked(entry, self.peer.film.media_type(entry), deadline_s)
        if in_vain is not None:
            self.peer.unforesee(in_vain)
        self._follow(entry, deadline_s)

    def _follow(self, entry: Entry, deadline_s: float) -> None:
        """What comes next on this rung is copied where a single neighbour has it."""
        peer, now = self.peer, self.peer.clock.now
        media_type, replicas = peer.film.media_type(entry), peer.node.replicas
        room = self.advice.has_room(peer.node.state.uplink_bps)
        if not (peer.policy.replicas and room and self.ahead.is_steady(media_type)):
            replicas.leave(media_type)
            return
        spares_bytes = sum(
            size
            for position, size in peer.tally.spares.items()
            if not replicas.is_upcoming(position)
        )
        if spares_bytes > peer.policy.replica_share * self.delivered_bytes:
            replicas.leave(media_type)
            return
        found = followed(peer.policy, peer.film.following, entry, deadline_s, now)
        replicas.follow(media_type, found, now)

    def pace_s(self, entry: Entry, deadline_s: float) -> float:
        """How long its answer takes at least, where some of it is here."""
        if not self.peer.verified(entry):
            return 0.0
        if not self.peer.policy.pacing or self.peer.film.media_type(entry) != "video":
            return 0.0
        slack_s = deadline_s - self.peer.clock.now
        pace_bps = self.advice.pace_bps(entry.size_bytes, entry.duration_s or 0.0, slack_s)
        return 0.0 if pace_bps is None else entry.size_bytes * 8 / pace_bps

    def given(self, entry: Entry, deadline_s: float, told: Told | None) -> None:
        """The player has it, or gave up."""
        self.ahead.answered(entry)
        if self.peer.is_here(entry):
            self.delivered_bytes += entry.size_bytes
            self.begin(entry, deadline_s, told)

    def begin(self, entry: Entry, deadline_s: float, told: Told | None) -> None:
        """What the player asked for is here: begin with what it named as next."""
        if told is None or told.following is None or entry.kind is not Kind.MEDIA:
            return
        media_type, now = self.peer.film.media_type(entry), self.peer.clock.now
        hints = Hints(told.buffer_s, told.buffer_s, told.startup)
        due_s = self.ahead.deadline_of(told.following, entry, media_type, deadline_s, hints)
        if due_s is None or not self.ahead.may_begin(deadline_s, due_s, now):
            return
        if not self._is_settled(told.following, media_type):
            return
        if self._in_vain_bytes() > self.peer.policy.waste_share * self.delivered_bytes:
            return
        self.ahead.foreseen[media_type] = told.following
        self.begun += 1
        self.peer.want(told.following, due_s)

    def _is_settled(self, entry: Entry, media_type: str) -> bool:
        if not self.advice.has_room(self.peer.node.state.uplink_bps):
            return False
        rungs = self.peer.film.video
        rates = [rung.bandwidth_bps for rung in rungs if rung.id == entry.representation_id]
        return media_type != "video" or self.advice.is_top(rates[0])

    def _in_vain_bytes(self) -> int:
        awaited = {entry.position for entry in self.ahead.foreseen.values()}
        unplayed = self.peer.tally.unplayed
        return sum(size for position, size in unplayed.items() if position not in awaited)

    def _begin(self) -> None:
        """Nobody watches yet, perhaps: how the film begins, as `dashp2p.peer.warming` does."""
        peer = self.peer
        if not peer.alive or self.advice.is_thin(peer.node.state.uplink_bps):
            return
        lowest = min(peer.film.video, key=lambda rung: rung.bandwidth_bps)
        for rung in (lowest, peer.film.audio):
            first = peer.film.media(rung, 0)
            if first is not None:
                peer.want(first, peer.clock.now + peer.policy.start_grace_s)

    def _completed(self, entry: Entry, delivery: Delivery) -> None:
        if entry is self.peer.film.index and self.peer.policy.prefetch:
            self.peer.clock.call_later(BEGINNING_AFTER_S, self._begin)
        wait = self._waits.pop(entry.position, None)
        if entry.kind is not Kind.MEDIA or self.peer.film.media_type(entry) != "video":
            return
        if wait is None:
            rate_bps = delivery.rate_bps(self.peer.clock.now)
            if rate_bps is not None and self.advice.sustained_bps is None:
                self.advice.recall(rate_bps)
        else:
            since_s, here_bytes = wait
            came_bytes = entry.size_bytes - here_bytes
            self.advice.delivered(came_bytes, self.peer.clock.now - since_s)
