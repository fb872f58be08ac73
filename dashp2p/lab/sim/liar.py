"""Simulated peers that do not play fair: the kinds that the lab's liars have (`lab.liar`)."""

from __future__ import annotations

import random

from attrs import define

from dashp2p.content.entry import Entry, Kind
from dashp2p.lab.scenario import SQUAT_EVERY_S, SQUATTED_AT_ONCE, Lie
from dashp2p.lab.sim.fetches import HASH_BYTES
from dashp2p.lab.sim.incoming import FALSE, size_of
from dashp2p.lab.sim.link import Link
from dashp2p.lab.sim.neighbourhood import Neighbourhood
from dashp2p.lab.sim.tracker import Leased
from dashp2p.swarm.commands import CallTracker, Want
from dashp2p.wire.blockset import WHOLE, from_range, iter_runs
from dashp2p.wire.errors import Code
from dashp2p.wire.frames import Data, Fetching, Getting, Hashes, Have, Reject, Request

DATA_BLOCKS = 16


@define(eq=False)
class LyingNeighbourhood(Neighbourhood):
    """Says that it has the whole film, and answers requests by its lie."""

    lie: Lie
    rng: random.Random

    def have(self) -> Have:
        """Everything, as soon as it knows what there is."""
        count = len(self.peer.film.entries) if self.peer.knows_film else 0
        return Have(count, (1 << count) - 1)

    def _take_request(self, link: Link, request: Request) -> None:
        entry = self.peer.entry_of(request.segment)
        if entry is None or self.lie is Lie.EMPTY:
            link.send(
                Reject(request.request_id, request.segment, request.blocks, int(Code.NOT_HERE))
            )
        elif self.lie is Lie.FALSE:
            self._send_false(link, request, entry)

    def _send_false(self, link: Link, request: Request, entry: Entry) -> None:
        if request.hashes:
            hashes = bytes(HASH_BYTES * entry.block_count)
            link.send(Hashes(request.request_id, entry.position, hashes))
        for first, count in iter_runs(request.blocks):
            for begin in range(first, first + count, DATA_BLOCKS):
                blocks = min(DATA_BLOCKS, first + count - begin)
                data = Data(request.request_id, entry.position, begin, blocks, FALSE * blocks)
                link.send(data, size_of(entry, from_range(begin, blocks)))

    def squat(self) -> None:
        """Take leases, tell everybody, and fetch nothing; again and again."""
        peer = self.peer
        if not peer.alive:
            return
        peer.clock.call_later(SQUAT_EVERY_S, self.squat)
        media = [entry for entry in peer.film.entries if entry.kind is Kind.MEDIA]
        lacking = [entry for entry in media if not peer.is_here(entry)]
        if not peer.knows_film or not lacking:
            return
        wants = tuple(
            Want(entry, (1 << entry.block_count) - 1, hedge=False)
            for entry in self.rng.sample(lacking, min(SQUATTED_AT_ONCE, len(lacking)))
        )
        peer.lease(CallTracker(wants, (), (), ()), self._squatted)

    def _squatted(self, leased: Leased | None) -> None:
        if leased is None:
            return
        for grant in leased.grants:
            if grant.granted:
                news = Getting((Fetching(grant.segment, grant.epoch, 0, WHOLE),))
                for link in list(self.peer.exchange.links.values()):
                    link.send(news)
        self.peer.exchange.flush()
