"""Swarms in memory, and a neighbour in them that does as the test says."""

from __future__ import annotations

from hashlib import sha256

from twisted.trial.unittest import SynchronousTestCase

from dashp2p.content.blocks import HASH_BYTES
from dashp2p.content.index import BLOCKS_NAME
from dashp2p.peer.fakenet import advance
from dashp2p.peer.link import Link
from dashp2p.swarm.policy import Policy
from dashp2p.testing import MemoryFilm, MemoryPeer, MemorySwarm, Viewing
from dashp2p.wire.frames import (
    Data,
    Frame,
    Got,
    Hashes,
    Have,
    Hello,
    Request,
    SegmentBlocks,
)
from tests.peer.support import Remote

FILM = MemoryFilm.make(segments=3)
SEGMENT = "chunk_0_1.m4s"
ENTRY = FILM.entry(SEGMENT)
DATA = FILM.files[SEGMENT]
WHOLE = -1


class SwarmTestCase(SynchronousTestCase):
    film = FILM

    def setUp(self) -> None:
        self.swarm = MemorySwarm(self.film)
        self.origin = self.swarm.origin

    def tearDown(self) -> None:
        self.swarm.stop()
        self.assertEqual(self.swarm.clock.getDelayedCalls(), [], "a timer has outlived the peers")

    def peers(self, count: int, policy: Policy | None = None) -> list[MemoryPeer]:
        peers = [self.swarm.add_peer(policy) for _ in range(count)]
        self.swarm.connect_all()
        return peers

    def assert_played(self, viewing: Viewing, path: str = SEGMENT) -> None:
        self.assertTrue(viewing.whole, f"{len(viewing.data)} bytes, {viewing.failed}")
        self.assertEqual(sha256(viewing.data).digest(), sha256(FILM.files[path]).digest())


class Liar(Remote):
    """A neighbour by hand: it says what it has, and answers what it is asked as the test says."""

    def __init__(self, peer: MemoryPeer, name: bytes = b"liar") -> None:
        Remote.__init__(self)
        self.peer = peer
        self.requests: list[Request] = []
        self.public_key = sha256(name).digest()
        peer.swarm.network.join(self, self._answering())
        self.greet_peer()

    def _answering(self) -> Link:
        link = self.peer.exchange.buildProtocol(None)
        assert link is not None
        return link

    def greet_peer(self) -> None:
        swarm_id = FILM.signature.swarm_id
        self.send(Hello(swarm_id, self.public_key, 4001))
        self.wait(0.01)
        self.send(Have(len(FILM.index.entries), 0))
        self.wait(0.01)

    def wait(self, seconds: float) -> None:
        advance(self.peer.swarm.clock, seconds)

    def holds(self, path: str = SEGMENT) -> None:
        """Say that the segment is here."""
        self.send(Got((SegmentBlocks(FILM.entry(path).position, WHOLE),)))
        self.wait(0.01)

    def take_requests(self) -> list[Request]:
        """What it was asked since the last call."""
        new = [event for event in self.events if isinstance(event, Request)]
        self.events = [event for event in self.events if not isinstance(event, Request)]
        return new

    def answer(self, data: bytes = DATA, hashes: bytes | None = None, true_blocks: int = 0) -> None:
        """Give what was asked, cut out of `data`, but for so many true blocks first."""
        for request in self.take_requests():
            entry = FILM.index.entries[request.segment]
            frames: list[Frame] = []
            if request.hashes:
                frames.append(
                    Hashes(request.request_id, entry.position, hashes or hashes_of(entry.position))
                )
            for block in range(entry.block_count):
                if request.blocks >> block & 1:
                    source = DATA if true_blocks > 0 else data
                    true_blocks -= 1
                    start = entry.block_offset(block)
                    piece = source[start : start + entry.block_length(block)]
                    frames.append(Data(request.request_id, entry.position, block, 1, piece))
            for frame in frames:
                if not self.lost and not self.errors:
                    self.send(frame)
                    self.wait(0.002)


def hashes_of(position: int) -> bytes:
    first = FILM.index.hashes_offset(position)
    size = FILM.index.entries[position].block_count * HASH_BYTES
    return FILM.files[BLOCKS_NAME][first : first + size]
