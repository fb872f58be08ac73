"""Drives the node: carries out what it decides, checks every byte, and tells it what happened."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any
from typing import Protocol as Seam

from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from dashp2p.content.entry import Entry, Kind
from dashp2p.content.index import Index
from dashp2p.peer.exchange import Exchange
from dashp2p.peer.fetches import OriginFetches
from dashp2p.peer.incoming import Incoming, Listener
from dashp2p.peer.neighbourhood import Neighbourhood
from dashp2p.peer.origin_client import OriginClient
from dashp2p.peer.proof import Proof, Verdict
from dashp2p.peer.records import Records, SegmentRecord
from dashp2p.store.blockstore import BlockStore, Save
from dashp2p.store.errors import StoreError
from dashp2p.store.files import Written
from dashp2p.store.reader import Reader
from dashp2p.swarm import commands as do
from dashp2p.swarm.leading import Grant
from dashp2p.swarm.node import Node
from dashp2p.swarm.reach import reachable_bps

log = Logger()


class LeaseCaller(Seam):
    """Whoever talks to the tracker."""

    def __call__(self, call: do.CallTracker) -> Coroutine[Any, Any, list[Grant]]: ...


class Offload(Seam):
    """Runs a blocking write elsewhere."""

    def __call__(self, write: Callable[[], Written]) -> Deferred[Written]: ...


class Engine:
    """The peer's middle: players and links above, node, store and clients below.

    It is started without an index: then only position 0 is known, once its signature is.
    """

    def __init__(
        self,
        node: Node,
        store: BlockStore,
        exchange: Exchange,
        origin: OriginClient,
        lease: LeaseCaller,
        offload: Offload,
        clock: IReactorTime,
    ) -> None:
        self.node = node
        self.store = store
        self.exchange = exchange
        node.state.shuns = exchange.is_banned
        self.records = Records()
        self.index: Index | None = None
        self.index_entry: Entry | None = None
        self.origin_reachable = True
        self.closed_control_bytes = 0
        """Control bytes received on links that are gone."""
        self.mistrusted: Callable[[], None] = lambda: None
        """Called when the origin did not give what the index says that it has."""
        self.completed: list[Callable[[Entry, Incoming], None]] = []
        """Called when a segment is whole."""
        self.fetches = OriginFetches(self, origin, clock)
        self.neighbourhood = Neighbourhood(self)
        self._lease = lease
        self._offload = offload
        self._clock = clock
        self._started_at = clock.seconds()
        self.incoming: dict[int, Incoming] = {}
        self._running = False
        self._wake: IDelayedCall | None = None
        self._turn: IDelayedCall | None = None
        self._jobs: set[Deferred[Any]] = set()
        self._saves: set[Deferred[Any]] = set()
        self._awaited: list[tuple[Callable[[], bool], Deferred[None]]] = []
        self._stopped = False
        exchange.events = self.neighbourhood

    # --- time -------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """The reactor's time."""
        return self._clock.seconds()

    def call_later(self, delay_s: float, call: Callable[[], None]) -> IDelayedCall:
        """Have something called by the reactor; the caller cancels it."""
        return self._clock.callLater(delay_s, call)

    @property
    def uptime_s(self) -> float:
        """Seconds since the start."""
        return self.now - self._started_at

    def run(self) -> None:
        """Carry out what the node has decided, until it has no more to say."""
        if self._running or self._stopped:
            return
        if self._turn is not None:
            if self._turn.active():
                self._turn.cancel()
            self._turn = None
        self._running = True
        try:
            while batch := self.node.take_commands(self.now):
                for command in batch:
                    self._carry_out(command)
        finally:
            self._running = False
        self._tell_losses()
        self._schedule()
        self._tell_awaited()

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is wanted in here the node decides about at once: one call to the tracker for all of
        it, and one word to each neighbour."""
        if self._running:
            yield
            return
        self._running = True
        try:
            yield
        finally:
            self._running = False
            self.run()

    def until(self, holds: Callable[[], bool]) -> Deferred[None]:
        """Fires as soon as `holds` says so after something happened. Cancel it freely."""
        waiting: Deferred[None] = Deferred(
            lambda cancelled: self._awaited.remove((holds, cancelled))
        )
        self._awaited.append((holds, waiting))
        self._tell_awaited()
        return waiting

    def _tell_awaited(self) -> None:
        for holds, waiting in list(self._awaited):
            if holds():
                self._awaited.remove((holds, waiting))
                waiting.callback(None)

    def uploaded(self) -> bool:
        """Whether every request of a neighbour is answered."""
        return not any(link.session.owed for link in self.exchange.links.values())

    def saved(self) -> Deferred[Any]:
        """Fires when what waits for the disk now is there, or has failed."""
        return DeferredList(list(self._saves))

    def run_soon(self) -> None:
        """Run once the reactor has handed over all that lies ready.

        The busier the machine, the more events one run answers: each by itself would cost a crowd
        that starts at once on few cores more than its network does.
        """
        if self._turn is None and not self._stopped:
            self._turn = self._clock.callLater(0, self.run)

    def _schedule(self) -> None:
        at = self.node.next_wake(self.now)
        if at is None:
            return
        delay = max(0.0, at - self.now)
        if self._wake is not None and self._wake.active():
            if self._wake.getTime() <= at + 0.001:
                return
            self._wake.reset(delay)
        else:
            self._wake = self._clock.callLater(delay, self._tick)

    def _tick(self) -> None:
        self._wake = None
        self.neighbourhood.look_for_hashes()
        self.node.tick(self.now)
        self.run()

    def leave(self) -> None:
        """Take on no more uploads; what neighbours are owed already is still sent."""
        self.node.uplink.closing = True
        self.exchange.go_away()

    def stop(self) -> None:
        """Cancel everything that is under way, but for what is being written."""
        self._stopped = True
        for call in (self._wake, self._turn):
            if call is not None and call.active():
                call.cancel()
        for job in list(self._jobs):
            job.cancel()
        self.fetches.stop()

    def own(self, work: Coroutine[Any, Any, None], what: str) -> Deferred[None]:
        """Keep a piece of work until it ends, and log it if it fails."""
        job = Deferred.fromCoroutine(work)
        self._jobs.add(job)

        def done(result: Failure | None) -> None:
            self._jobs.discard(job)
            if isinstance(result, Failure) and not result.check(CancelledError):
                log.failure("{what} failed", failure=result, what=what)

        job.addBoth(done)
        return job

    # --- what there is ----------------------------------------------------------------------

    def entry_of(self, position: int) -> Entry | None:
        """The file at an index position, as far as the index is known."""
        if self.index is not None:
            return self.index.entries[position] if position < len(self.index.entries) else None
        return self.index_entry if position == 0 else None

    def kind_of(self, entry: Entry) -> str:
        """video, audio, init, manifest or index."""
        if entry.kind is Kind.MEDIA and self.index is not None and entry.representation_id:
            return self.index.representation(entry.representation_id).media_type
        return entry.kind.value

    def bitrate_of(self, entry: Entry) -> int | None:
        """The nominal rate of the entry's representation."""
        if self.index is None or entry.representation_id is None:
            return None
        return self.index.representation(entry.representation_id).bandwidth_bps

    @property
    def top_video_bps(self) -> int:
        """The nominal rate of the best picture; 0 without an index."""
        rungs = () if self.index is None else self.index.representations
        rates = (rung.bandwidth_bps for rung in rungs if rung.media_type == "video")
        return max(rates, default=0)

    def reachable_rungs_bps(self, asked: Entry, refused: bool) -> tuple[int, ...] | None:
        """The video rungs that can be had after this segment, or instead of it where it was
        refused; None while the origin answers."""
        if self.index is None or self.node.state.origin_away_since is None:
            return None
        return reachable_bps(self.index, self.node.state.whole_nearby, asked, refused)

    def is_here(self, entry: Entry) -> bool:
        """Whether the whole, verified file is here."""
        return entry.digest in self.store

    def readable_bytes(self, entry: Entry, offset: int) -> int:
        """How many bytes from `offset` on can be read now without a gap."""
        if entry.digest in self.store:
            return entry.size_bytes - offset
        assembly = self.store.assembly(entry.digest)
        return 0 if assembly is None else assembly.readable_bytes(offset)

    def read(self, entry: Entry, offset: int, size: int) -> bytes:
        """Verified bytes. Raises StoreError when they are not here after all."""
        return self.store.read(entry.digest, offset, size, self.now)

    def open(self, entry: Entry) -> Reader | None:
        """The file of a segment that is here, if there is one: to be closed by the caller. Raises
        StoreError when the segment is not here after all."""
        return self.store.open(entry.digest, self.now)

    # --- wanting ----------------------------------------------------------------------------

    def want(
        self,
        entry: Entry,
        deadline_s: float,
        listener: Listener | None = None,
        spare: bool = False,
    ) -> Incoming | None:
        """Deliver a segment by a time. None: it is here already. Raises StoreError (no memory).

        With a listener somebody waits for it: `unwant` with the same one when he no longer does.
        A `spare` one comes from neighbours only.
        """
        if self.is_here(entry):
            return None
        incoming = self.incoming.get(entry.position)
        if incoming is None:
            self.node.evicted(entry.position)
            assembly = self.store.begin(entry.digest, entry.size_bytes, entry.block_size_bytes)
            delivery = self.node.want(entry, deadline_s, self.now, listener is not None, spare)
            incoming = Incoming(entry, delivery, assembly, Proof(entry), self.now)
            incoming.deadline_s = deadline_s
            self.incoming[entry.position] = incoming
        else:
            self.node.want(entry, deadline_s, self.now, listener is not None, spare)
        if listener is not None:
            if not incoming.listeners:
                incoming.hurry(self.now)
            incoming.listeners.append(listener)
        self.run()
        return incoming

    def found(self, entry: Entry) -> None:
        """An earlier run's file turned out to be whole and true: tell neighbours, and who waits."""
        self.node.found(entry, self.now)
        incoming = self.incoming.get(entry.position)
        if incoming is not None:
            self._discard(incoming)
            incoming.tell()
        self.run()

    def forget(self) -> None:
        """Another film took this one's place: nothing known by its position holds any more."""
        for incoming in list(self.incoming.values()):
            self._fail(incoming, "the film was replaced at the origin")
        self.index = None
        self.node.forget()

    def unwant(self, incoming: Incoming, listener: Listener) -> None:
        """He who waited with this listener does not any more."""
        if listener in incoming.listeners:
            incoming.listeners.remove(listener)
        entry = incoming.entry
        if self.incoming.get(entry.position) is incoming:
            self.node.unwant(entry, self.now)
            if entry.position not in self.node.state.deliveries:
                self._discard(incoming)
            self.run()

    def unforesee(self, entry: Entry) -> None:
        """What was wanted with no listener will not be asked for."""
        incoming = self.incoming.get(entry.position)
        if incoming is None or incoming.entry != entry or incoming.listeners:
            return  # not under way; or of the film that took this one's place
        self.node.unwant(entry, self.now, waiting=False)
        if entry.position not in self.node.state.deliveries:
            self._count_unplayed(incoming)
            self._discard(incoming)
        self.run()

    def _count_unplayed(self, incoming: Incoming) -> None:
        delivery = incoming.delivery
        if came_bytes := delivery.size_of(delivery.here):
            self.records.unasked(incoming.entry.path, came_bytes, delivery.spare)

    def _discard(self, incoming: Incoming) -> None:
        self.incoming.pop(incoming.entry.position, None)
        self.store.abandon(incoming.entry.digest)
        self.fetches.cancel(incoming)

    def _fail(self, incoming: Incoming, why: str) -> None:
        incoming.failed = why
        if incoming.listeners:
            self.records.failures += 1
        else:
            self._count_unplayed(incoming)
        self.node.stop_delivery(incoming.entry, self.now)
        self._discard(incoming)
        incoming.tell()

    # --- carrying out -----------------------------------------------------------------------

    def _carry_out(self, command: do.Command) -> None:
        match command:
            case do.Ask():
                self.neighbourhood.ask(command)
            case do.Send():
                self.neighbourhood.send(command)
            case do.Tell():
                self.neighbourhood.tell(command)
            case do.Refuse():
                self.neighbourhood.refuse(command)
            case do.Withdraw():
                self.neighbourhood.withdraw(command)
            case do.FetchOrigin():
                self.fetches.fetch(command)
            case do.CallTracker():
                self.own(self._call_tracker(command), "a lease call")
            case do.StopOrigin():
                incoming = self.incoming.get(command.entry.position)
                if incoming is not None:
                    self.fetches.cancel(incoming)
            case do.Doubt():
                self.neighbourhood.doubt(command)
            case do.Drop() if command.shun:
                self.exchange.shun(command.peer_id, command.why)
            case do.Drop():
                link = self.exchange.links.get(command.peer_id)
                if link is not None:
                    log.info("dropping {peer}: {why}", peer=link.name, why=command.why)
                    link.abort()
            case do.Replicate():
                self._replicate(command)
            case do.SuspectOrigin():
                self.fetches.suspect()
            case do.Abandoned():
                incoming = self.incoming.get(command.entry.position)
                if incoming is not None:
                    self._fail(incoming, command.why)

    def _replicate(self, command: do.Replicate) -> None:
        try:
            self.want(command.entry, command.deadline_s, spare=True)
        except StoreError as error:
            log.debug("{path} is not copied: {why}", path=command.entry.path, why=str(error))

    # --- the tracker ------------------------------------------------------------------------

    async def _call_tracker(self, call: do.CallTracker) -> None:
        try:
            grants = await self._lease(call)
        except CancelledError:
            raise
        except Exception as error:
            log.info("no lease answer: {why}", why=str(error))
            self.node.lease_unanswered([want.entry.position for want in call.wants], self.now)
        else:
            self.node.lease_answered(grants, self.now)
        self.run()

    # --- what arrives -----------------------------------------------------------------------

    def learn_hashes(self, incoming: Incoming, hashes: bytes) -> bool:
        """Hashes of a segment came. Whether they are its hashes."""
        verdicts = incoming.proof.learn(hashes)
        if verdicts is None:
            return False
        self.store.learn_hashes(incoming.entry.digest, hashes)
        self._accept(incoming, verdicts)
        return True

    def arrived(self, incoming: Incoming, source: bytes | None, first: int, data: bytes) -> None:
        """Bytes of whole blocks came, from a neighbour or (None) the origin."""
        self._accept(incoming, incoming.proof.offer(source, first, data))
        self.run_soon()

    def _accept(self, incoming: Incoming, verdicts: list[Verdict]) -> None:
        entry = incoming.entry
        by_source: dict[bytes | None, int] = {}
        for verdict in verdicts:
            if not verdict.true:
                self._blame(incoming, verdict)
                continue
            if incoming.assembly.put(verdict.block, verdict.data):
                if verdict.source is None:
                    self.records.origin_bytes += len(verdict.data)
                else:
                    self.records.peers_bytes += len(verdict.data)
            by_source[verdict.source] = by_source.get(verdict.source, 0) | 1 << verdict.block
        if incoming.assembly.complete:
            self._finish(incoming)
        for source, blocks in by_source.items():
            self.node.blocks_arrived(source, entry, blocks, self.now)
        if by_source:
            incoming.tell()
        if incoming.assembly.complete and by_source:
            self._record(incoming)
            for callback in self.completed:
                callback(entry, incoming)

    def _blame(self, incoming: Incoming, verdict: Verdict) -> None:
        path = incoming.entry.path
        if verdict.source is None:
            log.error(
                "{path}: the origin's block {block} is not what it signed",
                path=path,
                block=verdict.block,
            )
            return
        log.warn(
            "{path}: block {block} from {peer} is false; banned",
            path=path,
            block=verdict.block,
            peer=verdict.source.hex()[:12],
        )
        incoming.proof.forget(verdict.source)
        self.exchange.ban(verdict.source)

    def _finish(self, incoming: Incoming) -> None:
        entry = incoming.entry
        self.incoming.pop(entry.position, None)
        self.fetches.cancel(incoming)
        if not incoming.listeners:
            self.records.unasked(entry.path, entry.size_bytes, incoming.delivery.spare)
        hashes = incoming.proof.all_hashes(incoming.assembly.whole())
        save = self.store.finish(entry.digest, hashes, self.now)
        if save is not None:
            self._save(save)

    def _record(self, incoming: Incoming) -> None:
        entry = incoming.entry
        account, now = incoming.delivery.account, self.now
        self.records.hedges += account.hedges
        self.records.rescues += account.rescues
        first_at = incoming.delivery.first_at or now
        self.records.add(
            SegmentRecord(
                path=entry.path,
                kind=self.kind_of(entry),
                bitrate_bps=self.bitrate_of(entry),
                number=entry.number,
                size_bytes=entry.size_bytes,
                cache=0,
                peers=account.peers_bytes,
                origin=account.origin_bytes,
                at_s=round(self.uptime_s, 3),
                first_byte_ms=round((first_at - incoming.started_at) * 1000, 1),
                took_ms=round((now - incoming.started_at) * 1000, 1),
                slack_ms=round((incoming.delivery.deadline_s - now) * 1000, 1),
                hedges=account.hedges + account.rescues,
                duplicate_bytes=account.duplicate_bytes,
            )
        )

    def _save(self, save: Save) -> None:
        job = self._offload(save.write)
        self._saves.add(job)

        def saved(written: Written) -> None:
            self.store.saved(written, self.now)

        def failed(failure: Failure) -> None:
            log.warn("a segment could not be saved: {why}", why=failure.getErrorMessage())
            error = failure.value or StoreError("no reason")
            self.store.not_saved(save, error, self.now)

        def done(result: object) -> None:
            self._saves.discard(job)
            self._tell_losses()

        job.addCallbacks(saved, failed)
        job.addBoth(done)

    def _tell_losses(self) -> None:
        lost = self.store.take_lost()
        if not lost or self.index is None:
            return
        # In one go: there may be many at once, and an index may have 65 536 entries.
        for position in [entry.position for entry in self.index.entries if entry.digest in lost]:
            self.node.evicted(position)
