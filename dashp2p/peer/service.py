"""The peer's one service: builds the parts, starts them in order, stops them in order."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from attrs import frozen
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from OpenSSL.crypto import Error as OpenSSLError
from treq.client import HTTPClient
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import (
    Agent,
    BrowserLikePolicyForHTTPS,
    HTTPConnectionPool,
    _HTTP11ClientFactory,
)
from twisted.web.resource import Resource

from dashp2p.content.entry import Entry
from dashp2p.content.index import Index, IndexRefused, IndexSignature
from dashp2p.content.keys import KeyRefused, load_or_create_key, public_bytes
from dashp2p.content.keys import peer_id as peer_id_of
from dashp2p.peer.endpoints import Endpoints
from dashp2p.peer.engine import Engine
from dashp2p.peer.exchange import Exchange, tcp_endpoint
from dashp2p.peer.foresight import Foresight
from dashp2p.peer.incoming import Incoming
from dashp2p.peer.known_keys import KnownKeys
from dashp2p.peer.limits import (
    HANG_UP_S,
    INDEX_INLINE_BYTES,
    LINKS_PER_ADDRESS,
    MAX_RATE_BPS,
    ORIGIN_CONNECTIONS,
    PLAYER_STALLED_S,
    STOP_S,
)
from dashp2p.peer.link_tls import LinkTls
from dashp2p.peer.membership import Membership, local_address_towards
from dashp2p.peer.networks import NETWORKS_FILE, remembered_networks
from dashp2p.peer.newest import NEWEST_FILE, NewestIndexes
from dashp2p.peer.origin_client import OriginClient
from dashp2p.peer.page import Page
from dashp2p.peer.plain_agent import PlainAgent
from dashp2p.peer.presentation import Presentation, read_index
from dashp2p.peer.proxy import DashResource
from dashp2p.peer.sessions import Sessions
from dashp2p.peer.stats import Stats
from dashp2p.peer.tickets import Tickets
from dashp2p.peer.tracker_client import TrackerClient, TrackerError
from dashp2p.peer.warming import Warming
from dashp2p.places import client_folder
from dashp2p.store.blockstore import BlockStore
from dashp2p.store.disk import RealDisk
from dashp2p.store.errors import StoreBusy, StoreError
from dashp2p.store.files import Examined
from dashp2p.store.segments import SegmentStore
from dashp2p.swarm.advice import Advice
from dashp2p.swarm.commands import CallTracker
from dashp2p.swarm.leading import Grant
from dashp2p.swarm.node import Node
from dashp2p.swarm.policy import Policy
from dashp2p.web.cors import CorsPolicy
from dashp2p.web.hosts import AdminGuard, HostGuard
from dashp2p.web.limits import MAX_CONNECTIONS_PER_ADDRESS, SiteLimits
from dashp2p.web.listener import HttpListener, Listener, StartRefused
from dashp2p.web.metrics import Metrics
from dashp2p.web.site import BoundedSite
from dashp2p.wire.frames import Have, Hello

log = Logger()

KEY_FILE = "peer.key"
ORIGINS_FILE = "origins.json"
TRACKERS_FILE = "trackers.json"
SEGMENTS_FOLDER = "segments"
FULL, DOWNLOAD_ONLY, OFF = MODES = ("full", "download-only", "off")
"""Take and give; only take; neither, and tell nobody that we are here (docs/privacy.md)."""


@frozen
class PeerSettings:
    """What the options said, typed."""

    listen: str
    exchange: str
    origin_url: str
    tracker_url: str | None
    cache: Path
    cache_bytes: int
    upload_bps: int | None
    admin: str | None
    admin_hosts: tuple[str, ...]
    origin_key: bytes | None
    ca: Path | None
    allow_hosts: tuple[str, ...]
    allow_origins: tuple[str, ...]
    client: Path | None
    ablations: frozenset[str]
    link_security: bool = True
    unsigned: bool = True
    """Whether players get what nothing that the origin signed vouches for."""
    as_local: frozenset[str] = frozenset()
    """Addresses that count as this machine."""
    mode: str = FULL
    links_per_address: int | None = LINKS_PER_ADDRESS
    connections_per_address: int | None = MAX_CONNECTIONS_PER_ADDRESS
    tracker_key: bytes | None = None
    token: str | None = None


class QuietFactory(_HTTP11ClientFactory):
    """Twisted's logs each connection that it makes, with the address it leads to."""

    noisy = False


class QuietPool(HTTPConnectionPool):
    """Connections that are not logged."""

    _factory = QuietFactory


def http_client(reactor: Any, ca: Path | None) -> tuple[HTTPClient, HTTPConnectionPool]:
    """A client that keeps connections and verifies https, by a private authority if given."""
    pool = QuietPool(reactor, persistent=True)
    pool.maxPersistentPerHost = ORIGIN_CONNECTIONS
    pool.retryAutomatically = True
    policy = BrowserLikePolicyForHTTPS()
    if ca is not None:
        trust = trustRootFromCertificates([Certificate.loadPEM(ca.read_bytes())])
        policy = BrowserLikePolicyForHTTPS(trustRoot=trust)
    agent = Agent.usingEndpointFactory(reactor, Endpoints(reactor, policy), pool)
    return HTTPClient(PlainAgent(agent)), pool


class PeerService(Service):
    """Everything of one peer. `rng` decides jitter and scattering."""

    def __init__(self, settings: PeerSettings, reactor: Any, rng: random.Random) -> None:
        self.settings = settings
        self.stopping = False
        self._reactor = reactor
        self._rng = rng
        # Without a tracker there is nobody to lease from, and nobody who could know us.
        self._tracker_url = None if settings.mode == OFF else settings.tracker_url
        alone = frozenset() if self._tracker_url else frozenset({"no-lease"})
        self._policy = Policy.without(settings.ablations | alone)
        self._membership: Membership | None = None
        self._index_coming: Incoming | None = None
        self._jobs: set[Deferred[Any]] = set()
        self._members: list[Listener] = []

    # --- starting ---------------------------------------------------------------------------

    def privilegedStartService(self) -> None:
        """Take ports and folder, or say in one line why not."""
        Service.privilegedStartService(self)
        self._open_store()
        self._build()
        for listener in self._members:
            listener.privilegedStartService()

    def _open_store(self) -> None:
        settings = self.settings
        try:
            settings.cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            log.warn("no cache folder, so memory only: {why}", why=str(error))
        disk = RealDisk(settings.cache / SEGMENTS_FOLDER)
        segments = SegmentStore(disk, settings.cache_bytes)
        try:
            segments.open_folder(self._reactor.seconds())
        except StoreBusy as error:
            raise StartRefused(str(error)) from None
        self.store = BlockStore(segments)
        try:
            self._key = load_or_create_key(settings.cache / KEY_FILE)
        except KeyRefused as error:
            if not isinstance(error.__cause__, OSError):
                raise StartRefused(f"{error}; or see --cache") from None
            # A disk that is full or fails is no reason not to play the film.
            log.warn("{why}; so this peer's identity lasts until it ends", why=str(error))
            self._key = Ed25519PrivateKey.generate()

    def _build(self) -> None:
        settings, reactor = self.settings, self._reactor
        self._public_key = public_bytes(self._key)
        self.peer_id = peer_id_of(self._public_key)
        try:
            self._http, self._pool = http_client(reactor, settings.ca)
        except (OSError, ValueError, OpenSSLError) as error:
            raise StartRefused(f"--ca {settings.ca} is no certificate in PEM ({error})") from None
        self.origin = OriginClient(self._http, reactor, settings.origin_url)
        self.exchange = Exchange(
            reactor,
            tcp_endpoint(reactor),
            self.peer_id,
            self._hello,
            self._have,
            LinkTls(self._key, reactor) if settings.link_security else None,
        )
        self.exchange.links_per_address = settings.links_per_address
        self._tickets: Tickets | None = None
        if settings.tracker_url is not None:
            known = KnownKeys(settings.cache / TRACKERS_FILE)
            self._tickets = Tickets(settings.tracker_url, known, settings.tracker_key, reactor)
            self._tickets.load()
            self.exchange.judge = self._tickets.judge
        self.node = Node(
            self.peer_id,
            lambda position: self.engine.entry_of(position),
            self._policy,
            self._rng,
            None if settings.upload_bps is None else float(settings.upload_bps),
            settings.mode == FULL,
        )
        self.engine = Engine(
            self.node, self.store, self.exchange, self.origin, self._lease, self._offload, reactor
        )
        self.engine.completed.append(self._completed)
        self.engine.mistrusted = lambda: self.presentation.suspect()
        origins = KnownKeys(settings.cache / ORIGINS_FILE)
        newest = NewestIndexes(settings.cache / NEWEST_FILE, time.time)
        self.presentation = Presentation(
            self.origin, origins, newest, settings.origin_key, reactor, self._rng
        )
        self.presentation.late = self._index_is_late
        self.presentation.taken = self._index_taken
        self.sessions = Sessions(self._policy)
        self.advice = Advice()
        self._networks = remembered_networks(settings.cache / NETWORKS_FILE)
        self._networks.load()
        if (known_bps := self._networks.get(self.origin.base_url)) is not None:
            self.advice.recall(known_bps)
        self.stats = Stats(self.peer_id, self.engine, self.store, self.presentation, self.sessions)
        self.stats.share = settings.mode
        self._build_faces()

    def _build_faces(self) -> None:
        settings, reactor = self.settings, self._reactor
        cors = CorsPolicy(frozenset(settings.allow_origins))
        page_cors = CorsPolicy(frozenset(settings.allow_origins), methods=("GET", "HEAD", "POST"))
        metrics = Metrics(self.stats.families)
        folder = settings.client or client_folder()
        page = Page(folder, self.stats, self.sessions, metrics, self._not_ready, page_cors)
        foresight = Foresight(self.engine, self.sessions, self.advice)
        # What a peer fetches that gives nothing, or without a tracker, is of use to nobody else.
        begins = self._tracker_url is not None and settings.mode == FULL
        self._warming = Warming(self.engine, self.presentation, foresight, reactor, begins)
        root = _Root(page.resource())
        root.putChild(
            b"dash",
            DashResource(
                self.engine,
                self.presentation,
                self.origin,
                self.sessions,
                foresight,
                cors,
                reactor,
                self.settings.unsigned,
            ),
        )
        limits = SiteLimits(
            stalled_s=PLAYER_STALLED_S, connections_per_address=settings.connections_per_address
        )
        guard = HostGuard(settings.allow_hosts)
        site = BoundedSite(root, reactor, limits=limits, guard=guard, as_local=settings.as_local)
        self._players = HttpListener("listen", settings.listen, site, reactor)
        self._links = Listener("exchange", settings.exchange, self.exchange.answering, reactor)
        self._members = [self._players]
        if settings.mode == FULL:
            self._members.append(self._links)
        if settings.admin is not None:
            names = AdminGuard((*settings.admin_hosts, *settings.allow_hosts))
            admin = BoundedSite(page.resource(), reactor, guard=names, private=True)
            self._members.append(HttpListener("admin", settings.admin, admin, reactor))

    def startService(self) -> None:
        """Begin to learn what there is to share."""
        Service.startService(self)
        for listener in self._members:
            listener.startService()
        self.presentation.start(self._signed)
        log.info(
            "peer {peer} serves players on {listen}",
            peer=self.peer_id.hex()[:12],
            listen=self.settings.listen,
        )

    def _hello(self) -> Hello:
        signature = self.presentation.signature
        swarm_id = bytes(32) if signature is None else signature.swarm_id
        ticket = b"" if self._tickets is None else self._tickets.own
        return Hello(swarm_id, self._public_key, self._links.port or 0, self.node.uploads, ticket)

    def _have(self) -> Have:
        index = self.presentation.index
        count = 0 if index is None else len(index.entries)
        return Have(count, self.node.state.have if count and self.node.uploads else 0)

    def _not_ready(self) -> list[str]:
        reasons: list[str] = []
        if self.stopping:
            reasons.append("stopping")
        if self.presentation.mode in ("starting", "no-origin"):
            reasons.append(self.presentation.message or "the index is not here yet")
        if self.presentation.refusal is not None:
            reasons.append(self.presentation.refusal)
        degraded = None if self.store.segments is None else self.store.segments.degraded_reason
        if degraded is not None:
            reasons.append(f"the cache is not written to: {degraded}")
        return reasons

    # --- the swarm --------------------------------------------------------------------------

    def _signed(self, signature: IndexSignature) -> None:
        if self.engine.index is not None:
            self.engine.forget()
            self.exchange.close()
        self.engine.index_entry = signature.index_entry()
        if self._tracker_url is None:
            self._want_index()
            return
        joining = Deferred.fromCoroutine(self._join(signature, self._tracker_url))
        self._own(joining).addErrback(self._not_joined)

    async def _join(self, signature: IndexSignature, tracker_url: str) -> None:
        if self._membership is not None:
            await self._membership.stop()
            self.exchange.close()
        # In a thread: it may have to look a name up.
        private = await self._in_thread(partial(local_address_towards, tracker_url))
        if self.stopping:
            return
        port = self._links.port or 0
        tracker = TrackerClient(
            self._http, self._reactor, tracker_url, self.peer_id, self._key, self.settings.token
        )
        membership = Membership(
            tracker,
            self.exchange,
            self._reactor,
            self._rng,
            signature.swarm_id,
            self._public_key,
            port,
            [f"{private}:{port}"] if private is not None and port else [],
            self.settings.upload_bps or 0,
            lambda: self.node.state.have.bit_count(),
            self.stats.for_announce,
            self.stats.served_by,
            self._tickets,
        )
        if self._tickets is not None:
            self._tickets.left()
            tracker.ticket = partial(getattr, self._tickets, "own")
        self._tracker = tracker
        self._membership = self.stats.membership = membership
        tracker.named = self.exchange.dial
        tracker.forgotten = membership.again_soon
        tracker.hurried = membership.sooner
        await membership.start()
        self._want_index()

    def _not_joined(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            log.failure("joining the swarm failed", failure=failure)

    def _own(self, job: Deferred[Any]) -> Deferred[Any]:
        self._jobs.add(job)

        def done(result: Any) -> Any:
            self._jobs.discard(job)
            return result

        return job.addBoth(done)

    def _want_index(self) -> None:
        entry = self.engine.index_entry
        if entry is None or self.stopping:
            return
        former, self._index_coming = self._index_coming, None
        if former is not None and former.entry != entry:
            self.engine.unwant(former, self._waiting)
        self._index_coming = self.engine.want(entry, self._soon())
        if self._index_coming is None:
            self._index_here(entry)

    def _index_is_late(self) -> None:
        """Whoever has it cannot be reached: wait for it like a player, who may ask the origin."""
        entry = self.engine.index_entry
        if entry is None or self.stopping:
            return
        incoming = self.engine.incoming.get(0)
        if incoming is None or self._waiting not in incoming.listeners:
            self._index_coming = self.engine.want(entry, self._soon(), self._waiting)

    def _waiting(self) -> None:
        """A listener that has nothing to do: completions are told of anyway."""

    def _soon(self) -> float:
        return float(self._reactor.seconds()) + self._policy.start_grace_s

    def _completed(self, entry: Entry, incoming: Incoming) -> None:
        if entry.position == 0 and self.presentation.index is None:
            self._index_here(entry)

    def _index_here(self, entry: Entry) -> None:
        signature = self.presentation.signature
        if signature is None:
            return
        raw = self.engine.read(entry, 0, entry.size_bytes)
        if len(raw) <= INDEX_INLINE_BYTES:
            self._index_read(signature, read_index(raw, signature))
            return
        reading = self._own(self._in_thread(partial(read_index, raw, signature)))
        reading.addCallback(lambda read: self._index_read(signature, read))
        reading.addErrback(self._not_read)

    def _not_read(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            log.failure("reading the index failed", failure=failure)

    def _index_read(self, signature: IndexSignature, read: Index | IndexRefused) -> None:
        with self.engine.together():  # what players who wait for it ask, and what we ask ourselves
            self.presentation.take_read(signature, read)

    def _index_taken(self, index: Index) -> None:
        self.engine.index = index
        rates: dict[str, list[int]] = {"video": [], "audio": []}
        for item in index.representations:
            rates.setdefault(item.media_type, []).append(item.bandwidth_bps)
        self.advice.learn_ladder(tuple(rates["video"]), tuple(rates["audio"]))
        self._recover(index)
        for link in self.exchange.links.values():
            if link.is_open and not link.is_closed:
                link.send(self._have())
        self._warming.index_taken(index)

    def _recover(self, index: Index) -> None:
        """Check what an earlier run left in the cache, off the reactor, one file at a time."""
        segments = self.store.segments
        if segments is None:
            return
        left = [
            entry
            for entry in index.entries
            if entry.digest in segments and not segments.is_verified(entry.digest)
        ]
        if left:
            work = Deferred.fromCoroutine(self._examine(segments, left))
            self._own(work).addErrback(
                lambda failure: log.failure("checking the cache failed", failure=failure)
            )

    async def _examine(self, segments: SegmentStore, entries: list[Entry]) -> None:
        for entry in entries:
            look = partial(segments.examine, entry.digest, entry.block_size_bytes)
            try:
                examined: Examined = await self._in_thread(look)
            except StoreError as error:
                log.info("{path} in the cache: {why}", path=entry.path, why=str(error))
                continue
            if self.stopping:
                return
            if self.store.verified(examined):
                self.engine.found(entry)

    # --- what the engine needs --------------------------------------------------------------

    async def _lease(self, call: CallTracker) -> list[Grant]:
        signature = self.presentation.signature
        if signature is None or self._membership is None:
            if call.wants:
                raise TrackerError("no tracker is known yet")
            return []
        return await self._tracker.lease(signature.swarm_id, call)

    def _offload(self, write: Callable[[], Any]) -> Deferred[Any]:
        return self._in_thread(write)

    def _in_thread(self, work: Callable[[], Any]) -> Deferred[Any]:
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), work)

    # --- stopping ---------------------------------------------------------------------------

    def stopService(self) -> Deferred[None]:
        """Not ready at once; tell neighbours and tracker; let what is under way end; close."""
        self.stopping = True
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        Service.stopService(self)
        self.engine.leave()
        self.presentation.stop()
        self._warming.stop()
        self._remember_network()
        for job in list(self._jobs):
            job.cancel()
        faces = [face for face in self._members if isinstance(face, HttpListener)]
        ending: list[Deferred[Any]] = [face.drain() for face in faces]
        ending += [self._links.stopService(), self.engine.until(self.engine.uploaded)]
        if self._membership is not None:
            ending.append(Deferred.fromCoroutine(self._membership.stop()))
        await self._within(STOP_S, *ending)
        links = self.exchange.links
        for link in list(links.values()):
            link.close()  # what was written still leaves; cutting the link would lose it
        await self._within(HANG_UP_S, self.engine.until(lambda: not links), self.engine.saved())
        self.engine.stop()
        self.exchange.close()
        await self._within(HANG_UP_S, *(face.stopService() for face in faces))
        await self._pool.closeCachedConnections()
        self.store.close()

    def _remember_network(self) -> None:
        rate_bps = self.advice.measured_bps
        if rate_bps is not None and 1 <= rate_bps <= MAX_RATE_BPS:
            self._networks.learn(self.origin.base_url, rate_bps)

    def _within(self, seconds: float, *ending: Deferred[Any]) -> Deferred[Any]:
        """Fires when all have ended, or after so many seconds. Never fails."""
        together = DeferredList(ending, consumeErrors=True)
        return together.addTimeout(seconds, self._reactor, onTimeoutCancel=lambda *_: None)


class _Root(Resource):
    """/dash below it; Klein has the rest."""

    def __init__(self, rest: Resource) -> None:
        Resource.__init__(self)
        self._rest = rest

    def getChild(self, path: bytes, request: Any) -> Resource:
        request.prepath.pop()
        request.postpath.insert(0, path)
        return self._rest
