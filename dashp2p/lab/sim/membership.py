"""A simulated peer's life in the swarm: signature, announces, index, and what it fetches first."""

from __future__ import annotations

import random

from attrs import define, field

from dashp2p.content.entry import Entry, Kind
from dashp2p.lab.sim.clock import Timer
from dashp2p.lab.sim.origin import Fetch
from dashp2p.lab.sim.peer import Peer
from dashp2p.lab.sim.tracker import Announce, Announced, TrackerClient
from dashp2p.peer.limits import INDEX_RETRY_MAX_S, INDEX_RETRY_S
from dashp2p.peer.membership import EAGER_DELAYS_S, ENOUGH_LINKS, RETRY_MAX_S

SIGNATURE_BYTES = 420


@define(eq=False)
class Membership:
    """As the daemon's presentation and membership do it."""

    peer: Peer
    tracker: TrackerClient
    rng: random.Random
    upload_bps: int = 0
    indexed_at: float | None = None
    _announced: bool = False
    _failures: int = 0
    _eager: int = 0
    _timer: Timer | None = None
    _index_wanted: bool = False
    _retry_s: float = INDEX_RETRY_S
    _waiting: list[Timer] = field(factory=list)

    def start(self) -> None:
        """The daemon starts: first the index's signature."""
        self.peer.completed = self._completed
        self.peer.exchange.listen()
        self._sign()

    def _sign(self) -> None:
        if not self.peer.alive:
            return
        fetch = Fetch("index.sig", [(0, SIGNATURE_BYTES)], lambda key: None, self._signed)
        self.peer.http.fetch(fetch)

    def _signed(self, failed: bool) -> None:
        if not self.peer.alive:
            return
        if failed:
            delay_s = self._retry_s * (0.75 + self.rng.random() / 2)
            self._retry_s = min(INDEX_RETRY_MAX_S, self._retry_s * 2)
            self.peer.clock.call_later(delay_s, self._sign)
            return
        self._announce()

    def _announce(self) -> None:
        if self.peer.alive:
            message = Announce(self.peer.peer_id, self.upload_bps)
            self.tracker.announce(message, self._answered)

    def _answered(self, answer: Announced | None) -> None:
        peer = self.peer
        if not peer.alive:
            return
        if answer is None:
            self._failures += 1
            delay_s = min(RETRY_MAX_S, 1.5**self._failures) * (0.5 + self.rng.random())
        else:
            self._failures = 0
            peer.exchange.dial(answer.peers)
            delay_s = self._interval_s(answer)
        self._timer = peer.clock.call_later(delay_s, self._announce)
        if not self._index_wanted:
            self._index_wanted = True
            self._want(peer.film.index)

    def _interval_s(self, answer: Announced) -> float:
        wanted = min(ENOUGH_LINKS, answer.swarm_peers - 1)
        few = len(self.peer.exchange.links) < wanted or answer.swarm_peers < 3
        if few and self._eager < len(EAGER_DELAYS_S):
            self._eager += 1
            return EAGER_DELAYS_S[self._eager - 1] * (0.75 + self.rng.random() / 2)
        return answer.interval_s * (0.9 + self.rng.random() / 5)

    def _want(self, entry: Entry) -> None:
        self.peer.want(entry, self.peer.clock.now + self.peer.policy.start_grace_s)

    def _completed(self, entry: Entry) -> None:
        peer = self.peer
        if entry.position != 0 or peer.knows_film:
            return
        self.indexed_at = peer.clock.now
        peer.learn_film()
        for warm in peer.film.entries:
            if warm.kind is Kind.INIT or warm is peer.film.manifest:
                self._want(warm)
