"""Fakes for tests of dashp2p and of what is built upon it: no socket, no disk, no clock needed.

Public, and used by our own tests first. Each fake lives in the room whose seam it fills; here they
are put together into a whole swarm:

    swarm = MemorySwarm(MemoryFilm.make(segments=3))
    one, two = swarm.add_peer(), swarm.add_peer()
    swarm.connect_all()
    viewing = one.play("chunk_0_1.m4s")
    swarm.advance(2.0)
    assert viewing.data == swarm.film.files["chunk_0_1.m4s"]
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.internet.defer import Deferred, execute
from twisted.internet.task import Clock
from twisted.web.iweb import IResponse

from dashp2p.content.entry import Entry
from dashp2p.content.keys import peer_id, public_bytes
from dashp2p.content.signature import INDEX_NAME
from dashp2p.peer.engine import Engine
from dashp2p.peer.exchange import Address, Exchange
from dashp2p.peer.fakefilm import MemoryFilm as MemoryFilm
from dashp2p.peer.fakenet import MemoryNetwork as MemoryNetwork
from dashp2p.peer.fakenet import MemoryTransport as MemoryTransport
from dashp2p.peer.fakenet import advance
from dashp2p.peer.fakeweb import Answer, Asked, MemoryResponse, MemoryWeb, Site, memory_client
from dashp2p.peer.fakeweb import MemoryOrigin as MemoryOrigin
from dashp2p.peer.incoming import Incoming
from dashp2p.peer.link import Link
from dashp2p.peer.origin_client import OriginClient
from dashp2p.peer.tracker_client import TrackerClient
from dashp2p.store.blockstore import BlockStore
from dashp2p.store.errors import StoreError
from dashp2p.store.fakedisk import FakeDisk as FakeDisk
from dashp2p.store.limits import MEMORY_CACHE_BYTES
from dashp2p.store.segments import SegmentStore
from dashp2p.swarm.commands import CallTracker
from dashp2p.swarm.leading import Grant
from dashp2p.swarm.node import Node
from dashp2p.swarm.policy import Policy
from dashp2p.tracker.api import TrackerApi
from dashp2p.tracker.dialback import Dial, DialBack
from dashp2p.tracker.errors import Refused
from dashp2p.tracker.memory import MemoryRegistry
from dashp2p.wire.frames import Have, Hello

ORIGIN = "origin.test"
TRACKER = "tracker.test"
PORT = 4001


class MemoryTracker:
    """The tracker's own answers, without HTTP; `away` refuses connections, `silent` never answers.

    Peers announce from loopback addresses here, so that nobody is dialled back, unless the test
    says how.
    """

    def __init__(self, clock: Clock, seed: int = 1, dial: Dial | None = None) -> None:
        self.away = False
        self.silent = False
        self.calls: list[Asked] = []
        self.registry = MemoryRegistry(random=random.Random(seed))
        self._clock = clock
        dialback = DialBack(dial or _nobody, clock, clock.seconds)
        self._api = TrackerApi(self.registry, dialback, clock.seconds)

    def site(self, host: str) -> Site:
        """The tracker as a peer at that address reaches it."""
        return lambda asked: self._answer(asked, host)

    def _answer(self, asked: Asked, host: str) -> Answer:
        if self.away:
            return None
        self.calls.append(asked)
        if self.silent:
            return Deferred()
        return Deferred.fromCoroutine(self._call(asked, host))

    async def _call(self, asked: Asked, host: str) -> IResponse:
        call = self._api.lease if asked.path == "/lease" else self._api.announce
        try:
            body = await call(asked.body, host)
        except Refused as error:
            return MemoryResponse(self._clock, 400, str(error).encode())
        return MemoryResponse(self._clock, 200, body)


def _nobody(address: object) -> Any:
    raise AssertionError("nobody is dialled back here")


class Viewing:
    """Somebody who reads a file of a peer as it comes."""

    def __init__(self, peer: MemoryPeer, entry: Entry, deadline_s: float) -> None:
        self.data = b""
        self.failed: str | None = None
        self.whole = False
        self._peer = peer
        self._entry = entry
        self._incoming: Incoming | None = None
        self._incoming = peer.engine.want(entry, peer.now + deadline_s, self._more)
        self._more()

    def leave(self) -> None:
        """Give up, as a player that changed its mind."""
        if self._incoming is not None:
            incoming, self._incoming = self._incoming, None
            self._peer.engine.unwant(incoming, self._more)

    def _more(self) -> None:
        if self._incoming is not None and self._incoming.failed is not None:
            self.failed = self._incoming.failed
            self._incoming = None
            return
        engine, entry = self._peer.engine, self._entry
        size = engine.readable_bytes(entry, len(self.data))
        if size > 0:
            try:
                self.data += engine.read(entry, len(self.data), size)
            except StoreError as error:
                self.failed = str(error)
        if len(self.data) == entry.size_bytes:
            self.whole = True
            self.leave()


class MemoryPeer:
    """A peer's engine with all that is below it: real node, exchange, store and clients."""

    def __init__(
        self,
        swarm: MemorySwarm,
        number: int,
        policy: Policy,
        indexed: bool,
        upload_bps: float | None,
        disk: FakeDisk | None,
        quota_bytes: int,
        memory_bytes: int = MEMORY_CACHE_BYTES,
    ) -> None:
        self.host = swarm.host_of(number)
        self.swarm: MemorySwarm = swarm
        rng = random.Random(1000 + number)
        self.key = Ed25519PrivateKey.from_private_bytes(rng.randbytes(32))
        self.public_key = public_bytes(self.key)
        self.peer_id = peer_id(self.public_key)
        self._clock = clock = swarm.clock
        self.web = web = MemoryWeb()
        web.sites[ORIGIN] = swarm.origin
        web.sites[TRACKER] = swarm.tracker.site(self.host)
        http = memory_client(web)
        self.origin = OriginClient(http, clock, f"http://{ORIGIN}/dash")
        self.tracker = TrackerClient(http, clock, f"http://{TRACKER}", self.peer_id)
        self.exchange = Exchange(
            clock, swarm.network.endpoint(self.host), self.peer_id, self._hello, self._have
        )
        self.node = Node(
            self.peer_id, lambda position: self.engine.entry_of(position), policy, rng, upload_bps
        )
        segments = None
        if disk is not None:
            segments = SegmentStore(disk, quota_bytes, free_floor_bytes=0)
            segments.open_folder(clock.seconds())
        self.store = BlockStore(segments, memory_bytes)
        self.engine = Engine(
            self.node, self.store, self.exchange, self.origin, self._lease, self._offload, clock
        )
        self.engine.index_entry = swarm.film.signature.index_entry()
        if indexed:
            self.engine.index = swarm.film.index
        swarm.network.listen(self.host, PORT, self.exchange)

    @property
    def now(self) -> float:
        """The swarm's time."""
        return self._clock.seconds()

    @property
    def address(self) -> Address:
        """Where it listens."""
        return Address(self.peer_id, self.host, PORT)

    def play(self, path: str, deadline_s: float = 4.0) -> Viewing:
        """A player that reads a file, which it needs within so many seconds."""
        entry = self.engine.index_entry if path == INDEX_NAME else self.swarm.film.entry(path)
        assert entry is not None
        return Viewing(self, entry, deadline_s)

    def link_to(self, other: MemoryPeer) -> Link:
        """The open link to another peer. Raises KeyError."""
        return self.exchange.links[other.peer_id]

    def has(self, path: str) -> bool:
        """Whether the file is here, whole and verified."""
        return self.engine.is_here(self.swarm.film.entry(path))

    def stop(self) -> None:
        """As when the process dies."""
        self.swarm.network.close(self.host, PORT)
        self.engine.stop()
        self.exchange.close()

    def _hello(self) -> Hello:
        signature = self.swarm.film.signature
        return Hello(signature.swarm_id, self.public_key, PORT, self.node.uploads, b"")

    def _have(self) -> Have:
        count = 0 if self.engine.index is None else len(self.engine.index.entries)
        return Have(count, self.node.state.have if count else 0)

    async def _lease(self, call: CallTracker) -> list[Grant]:
        return await self.tracker.lease(self.swarm.film.signature.swarm_id, call)

    def _offload(self, write: Callable[[], Any]) -> Deferred[Any]:
        """As in a thread: the outcome is not known at once."""
        started: Deferred[None] = Deferred(lambda _: call.cancel())
        call = self._clock.callLater(0, started.callback, None)
        return started.addCallback(lambda _: execute(write))


class MemorySwarm:
    """Peers of one film with their origin and tracker, in memory and on a virtual clock."""

    def __init__(self, film: MemoryFilm | None = None, latency_s: float = 0.001) -> None:
        self.clock = Clock()
        self.clock.advance(1000.0)  # a monotonic clock never begins at 0
        self.film = MemoryFilm.make() if film is None else film
        self.origin = MemoryOrigin(self.clock, dict(self.film.files))
        self.tracker = MemoryTracker(self.clock)
        self.network = MemoryNetwork(self.clock, latency_s)
        self.peers: list[MemoryPeer] = []

    def add_peer(
        self,
        policy: Policy | None = None,
        *,
        indexed: bool = True,
        upload_bps: float | None = None,
        disk: FakeDisk | None = None,
        quota_bytes: int = 1 << 30,
    ) -> MemoryPeer:
        """One more peer; it knows nobody yet. Without a disk it keeps what it has in memory."""
        number = len(self.peers)
        peer = MemoryPeer(self, number, policy or Policy(), indexed, upload_bps, disk, quota_bytes)
        self.peers.append(peer)
        return peer

    def host_of(self, number: int) -> str:
        """The address of the peer of that number."""
        return f"127.0.1.{number + 1}"

    def connect(self, one: MemoryPeer, other: MemoryPeer) -> None:
        """Let `one` dial `other`, and wait until both have the link."""
        one.exchange.dial([other.address])
        self.advance(0.1)
        assert other.peer_id in one.exchange.links, "the link did not come about"

    def connect_all(self) -> None:
        """A link between each two."""
        for number, one in enumerate(self.peers):
            for other in self.peers[:number]:
                if other.peer_id not in one.exchange.links:
                    self.connect(one, other)

    def advance(self, seconds: float) -> None:
        """Let time pass, each call at its own moment."""
        advance(self.clock, seconds)

    def until(self, holds: Callable[[], bool], patience_s: float = 30.0) -> float:
        """Let time pass until `holds` does; answers how long it took. AssertionError if never."""
        began_at = self.clock.seconds()
        while not holds():
            waited_s = self.clock.seconds() - began_at
            assert waited_s < patience_s, f"not within {patience_s:g} s"
            self.advance(0.01)
        return self.clock.seconds() - began_at

    def stop(self) -> None:
        """End all peers."""
        for peer in self.peers:
            peer.stop()
        self.advance(0.1)
