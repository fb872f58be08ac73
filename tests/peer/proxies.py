"""A peer's HTTP face without sockets: a whole site over an engine in a swarm in memory."""

from __future__ import annotations

import random

from twisted.internet.interfaces import IAddress
from twisted.web.resource import Resource

from dashp2p.content.signature import INDEX_NAME
from dashp2p.peer.foresight import Foresight
from dashp2p.peer.known_keys import KnownKeys
from dashp2p.peer.limits import PLAYER_STALLED_S
from dashp2p.peer.newest import NewestIndexes
from dashp2p.peer.presentation import Presentation
from dashp2p.peer.proxy import DashResource
from dashp2p.peer.sessions import Sessions
from dashp2p.swarm.advice import Advice
from dashp2p.swarm.policy import Policy
from dashp2p.testing import MemoryPeer, MemorySwarm
from dashp2p.web.cors import CorsPolicy
from dashp2p.web.hosts import HostGuard
from dashp2p.web.limits import SiteLimits
from dashp2p.web.site import BoundedSite
from tests.peer.swarms import SwarmTestCase
from tests.web.support import LOOPBACK, Answer, Connection


class Proxy:
    """The /dash/ of one peer."""

    def __init__(
        self,
        swarm: MemorySwarm,
        peer: MemoryPeer,
        policy: Policy | None = None,
        unsigned: bool = True,
    ) -> None:
        self.swarm = swarm
        self.peer = peer
        self.engine = peer.engine
        self.records = peer.engine.records
        policy = policy or Policy()
        self.sessions = Sessions(policy)
        self.advice = Advice()
        self.presentation = Presentation(
            peer.origin,
            KnownKeys(None),
            NewestIndexes(None, swarm.clock.seconds),
            None,
            swarm.clock,
            random.Random(7),
        )
        root = Resource()
        root.putChild(
            b"dash",
            DashResource(
                peer.engine,
                self.presentation,
                peer.origin,
                self.sessions,
                Foresight(peer.engine, self.sessions, self.advice),
                CorsPolicy(frozenset({"https://films.example"})),
                swarm.clock,
                unsigned,
            ),
        )
        self.site = BoundedSite(
            root,
            swarm.clock,
            limits=SiteLimits(stalled_s=PLAYER_STALLED_S),
            guard=HostGuard(["tv.local"]),
        )

    def learn(self) -> None:
        """As after a start: the signature, then the index."""
        self.presentation.start(lambda signature: None)
        self.swarm.until(lambda: self.presentation.signature is not None)
        raw = self.swarm.film.files[INDEX_NAME]
        assert self.presentation.take_index(raw) is not None

    def ask(
        self,
        path: str,
        *headers: str,
        method: str = "GET",
        peer: IAddress = LOOPBACK,
        reading: bool = True,
    ) -> Connection:
        """A player's request; whoever made it reads as time passes, or never."""
        connection = Connection(self.site, peer)
        connection.reading = reading
        connection.get(path, *headers, method=method)
        return connection

    def answer(self, path: str, *headers: str, method: str = "GET", wait_s: float = 2.0) -> Answer:
        """What came of a request after a while."""
        connection = self.ask(path, *headers, method=method)
        self.watch(connection, wait_s)
        return Answer(connection.transport.taken)

    def watch(self, connection: Connection, seconds: float) -> bytes:
        """Let time pass while the player reads what comes; answers the body so far."""
        for _ in range(round(seconds / 0.05)):
            self.swarm.advance(0.05)
            connection.transport.take_all()
        return connection.transport.taken.partition(b"\r\n\r\n")[2]

    def stop(self) -> None:
        self.presentation.stop()


class ProxyTestCase(SwarmTestCase):
    policy = Policy()

    def setUp(self) -> None:
        SwarmTestCase.setUp(self)
        [self.peer] = self.peers(1)
        self.proxy = Proxy(self.swarm, self.peer, self.policy)
        self.connections: list[Connection] = []
        self.proxy.learn()
        self.origin.log.clear()
        self.origin.responses.clear()

    def tearDown(self) -> None:
        self.proxy.stop()
        drained = self.proxy.site.drain(0.1)
        self.swarm.advance(0.2)
        self.successResultOf(drained)
        self.assertEqual(self.flushLoggedErrors(), [])
        SwarmTestCase.tearDown(self)

    def waiters(self) -> list[int]:
        """How many players wait for each delivery under way."""
        return [delivery.waiters for delivery in self.peer.node.state.deliveries.values()]

    def listeners(self) -> int:
        return sum(len(incoming.listeners) for incoming in self.peer.engine.incoming.values())
