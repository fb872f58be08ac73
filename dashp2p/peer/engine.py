"""Drives the node: carries out what it decides, checks every byte, and tells it what happened."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any
from typing import Protocol as Seam

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from dashp2p.content.blocks import HASH_BYTES, digest_of, hash_blocks
from dashp2p.content.entry import Entry, Kind
from dashp2p.content.index import BLOCKS_NAME, Index
from dashp2p.peer.exchange import Exchange
from dashp2p.peer.incoming import Incoming, Listener
from dashp2p.peer.link import Link
from dashp2p.peer.origin_client import OriginClient, OriginError
from dashp2p.peer.proof import Proof, Verdict
from dashp2p.peer.records import Records, SegmentRecord
from dashp2p.store.blockstore import BlockStore, Save
from dashp2p.store.errors import StoreError
from dashp2p.store.files import Written
from dashp2p.swarm import commands as do
from dashp2p.swarm.leading import Grant
from dashp2p.swarm.meters import WindowMeter
from dashp2p.swarm.node import Node
from dashp2p.wire.blockset import from_range, resolve
from dashp2p.wire.errors import Code, LocalProtocolError
from dashp2p.wire.frames import (
    Cancel,
    Data,
    Event,
    Getting,
    GoAway,
    Gone,
    Got,
    Hashes,
    Have,
    Reject,
    Request,
)

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
        self.records = Records()
        self.received = WindowMeter(2.0)
        self.sent = WindowMeter(2.0)
        self.index: Index | None = None
        self.index_entry: Entry | None = None
        self.origin_reachable = True
        self.tracker_reachable = False
        self.closed_control_bytes = 0
        """Control bytes received on links that are gone."""
        self.completed: list[Callable[[Entry, Incoming], None]] = []
        """Called when a segment is whole."""
        self._origin = origin
        self._lease = lease
        self._offload = offload
        self._clock = clock
        self._started_at = clock.seconds()
        self._incoming: dict[int, Incoming] = {}
        self._owed_hashes: dict[bytes, set[int]] = {}
        self._running = False
        self._wake: IDelayedCall | None = None
        self._jobs: set[Deferred[Any]] = set()
        self._stopped = False
        exchange.events = self

    # --- time -------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """The reactor's time."""
        return self._clock.seconds()

    @property
    def uptime_s(self) -> float:
        """Seconds since the start."""
        return self.now - self._started_at

    def run(self) -> None:
        """Carry out what the node has decided, until it has no more to say."""
        if self._running or self._stopped:
            return
        self._running = True
        try:
            while batch := self.node.take_commands(self.now):
                for command in batch:
                    self._carry_out(command)
        finally:
            self._running = False
        self._tell_losses()
        self._schedule()

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
        self.node.tick(self.now)
        self.run()

    def stop(self) -> None:
        """Cancel everything that is under way."""
        self._stopped = True
        if self._wake is not None and self._wake.active():
            self._wake.cancel()
        for job in list(self._jobs):
            job.cancel()

    def _own(self, work: Coroutine[Any, Any, None], what: str) -> Deferred[None]:
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

    # --- wanting ----------------------------------------------------------------------------

    def want(
        self, entry: Entry, deadline_s: float, listener: Listener | None = None
    ) -> Incoming | None:
        """Deliver a segment by a time. None: it is here already. Raises StoreError (no memory).

        With a listener somebody waits for it: `unwant` with the same one when he no longer does.
        """
        if self.is_here(entry):
            return None
        incoming = self._incoming.get(entry.position)
        if incoming is None:
            self.node.evicted(entry.position)
            assembly = self.store.begin(entry.digest, entry.size_bytes, entry.block_size_bytes)
            delivery = self.node.want(entry, deadline_s, self.now, listener is not None)
            incoming = Incoming(entry, delivery, assembly, Proof(entry), self.now)
            incoming.deadline_s = deadline_s
            self._incoming[entry.position] = incoming
        else:
            self.node.want(entry, deadline_s, self.now, listener is not None)
        if listener is not None:
            incoming.listeners.append(listener)
        self.run()
        return incoming

    def found(self, entry: Entry) -> None:
        """An earlier run's file turned out to be whole and true: tell the neighbours."""
        self.node.found(entry, self.now)
        self.run()

    def unwant(self, incoming: Incoming, listener: Listener) -> None:
        """He who waited with this listener does not any more."""
        if listener in incoming.listeners:
            incoming.listeners.remove(listener)
        entry = incoming.entry
        if self._incoming.get(entry.position) is incoming:
            self.node.unwant(entry, self.now)
            if entry.position not in self.node.state.deliveries:
                self._discard(incoming)
            self.run()

    def _discard(self, incoming: Incoming) -> None:
        self._incoming.pop(incoming.entry.position, None)
        self.store.abandon(incoming.entry.digest)
        self._cancel_fetches(incoming)

    def _fail(self, incoming: Incoming, why: str) -> None:
        incoming.failed = why
        self.records.failures += 1
        self.node.stop_delivery(incoming.entry, self.now)
        self._discard(incoming)
        incoming.tell()

    # --- carrying out -----------------------------------------------------------------------

    def _carry_out(self, command: do.Command) -> None:
        match command:
            case do.Ask():
                self._ask(command)
            case do.Send():
                self._send(command)
            case do.Tell():
                self._to(command.peer_id, command.frame)
            case do.Refuse():
                self._refuse(command)
            case do.Withdraw():
                self._withdraw(command)
            case do.FetchOrigin():
                self._fetch(command)
            case do.CallTracker():
                self._own(self._call_tracker(command), "a lease call")
            case do.StopOrigin():
                incoming = self._incoming.get(command.entry.position)
                if incoming is not None:
                    self._cancel_fetches(incoming)
            case do.Drop():
                link = self.exchange.links.get(command.peer_id)
                if link is not None:
                    log.info("dropping {peer}: {why}", peer=link.name, why=command.why)
                    link.abort()
            case do.Abandoned():
                incoming = self._incoming.get(command.entry.position)
                if incoming is not None:
                    self._fail(incoming, command.why)

    def _to(self, peer_id: bytes, frame: Got | Getting | Gone | Any) -> int | None:
        link = self.exchange.links.get(peer_id)
        return None if link is None or link.is_closed else link.send(frame)

    def _ask(self, ask: do.Ask) -> None:
        link = self.exchange.links.get(ask.peer_id)
        entry = ask.entry
        if link is None or link.is_closed or not link.session.can_request:
            self.node.refused(ask.peer_id, entry, ask.blocks, int(Code.BUSY), self.now)
            return
        incoming = self._incoming.get(entry.position)
        hashes = (
            incoming is not None
            and incoming.proof.needs_hashes
            and incoming.hashes_asked is None
            and incoming.hashes_fetch is None
        )
        if hashes and incoming is not None:
            incoming.hashes_asked = ask.peer_id
        link.send(
            Request(
                segment=entry.position,
                blocks=ask.blocks,
                deadline_ms=ask.deadline_ms,
                spread=ask.spread,
                urgent=ask.urgent,
                hashes=hashes,
            )
        )

    def _withdraw(self, command: do.Withdraw) -> None:
        link = self.exchange.links.get(command.peer_id)
        if link is None or link.is_closed:
            return
        for outstanding in link.session.asked:
            blocks = outstanding.blocks & command.blocks
            if outstanding.segment == command.entry.position and blocks:
                link.send(Cancel(outstanding.request_id, outstanding.segment, blocks))

    def _refuse(self, command: do.Refuse) -> None:
        link = self.exchange.links.get(command.peer_id)
        if link is None or link.is_closed:
            return
        owed = link.session.owed.get(command.request_id)
        blocks = 0 if owed is None else owed.blocks & command.blocks
        if blocks:
            link.send(Reject(command.request_id, command.segment, blocks, command.code))

    def _send(self, command: do.Send) -> None:
        link = self.exchange.links.get(command.peer_id)
        if link is None or link.is_closed:
            return
        entry = command.entry
        size = sum(
            entry.block_length(block)
            for block in range(command.first, command.first + command.count)
        )
        try:
            data = self.read(entry, entry.block_offset(command.first), size)
            self._send_hashes(link, command.request_id, entry)
            link.send(Data(command.request_id, entry.position, command.first, command.count, data))
            self.sent.add(size, self.now)
        except StoreError:
            log.info("{path} is not here any more", path=entry.path)
            blocks = from_range(command.first, command.count)
            self._refuse(
                do.Refuse(
                    command.peer_id, command.request_id, entry.position, blocks, int(Code.NOT_HERE)
                )
            )
            self.node.link_ready(command.peer_id, self.now)
            self._lost(entry)
        except LocalProtocolError as error:
            log.error("a frame could not be sent: {why}", why=str(error))
            self.node.link_ready(command.peer_id, self.now)

    def _send_hashes(self, link: Link, request_id: int, entry: Entry) -> None:
        owed = link.session.owed.get(request_id)
        if owed is None or not owed.hashes:
            return
        hashes = self._hashes_of(entry)
        if hashes is None:
            raise StoreError("the hashes are not here")
        link.send(Hashes(request_id, entry.position, hashes))

    def _hashes_of(self, entry: Entry) -> bytes | None:
        incoming = self._incoming.get(entry.position)
        if incoming is not None and incoming.proof.hashes is not None:
            return incoming.proof.hashes.hashes
        hashes = self.store.hashes(entry.digest)
        if hashes is None and self.is_here(entry):
            hashes = hash_blocks(self.read(entry, 0, entry.size_bytes), entry.block_size_bytes)
            if digest_of(hashes) != entry.digest:
                return None
            self.store.learn_hashes(entry.digest, hashes)
        return hashes

    # --- the tracker ------------------------------------------------------------------------

    async def _call_tracker(self, call: do.CallTracker) -> None:
        try:
            grants = await self._lease(call)
        except CancelledError:
            raise
        except Exception as error:
            self.tracker_reachable = False
            log.info("no lease answer: {why}", why=str(error))
            self.node.lease_unanswered([want.entry.position for want in call.wants], self.now)
        else:
            self.tracker_reachable = True
            self.node.lease_answered(grants, self.now)
        self.run()

    # --- the origin -------------------------------------------------------------------------

    def _fetch(self, command: do.FetchOrigin) -> None:
        incoming = self._incoming.get(command.entry.position)
        if incoming is None:
            return
        log.debug("{path} from the origin: {why}", path=command.entry.path, why=command.why)
        job = self._own(self._fetch_blocks(incoming, command), "a fetch from the origin")
        incoming.fetches.append(job)
        covers_index = command.entry.position == 0
        if incoming.proof.needs_hashes and incoming.hashes_fetch is None and not covers_index:
            incoming.hashes_fetch = self._own(self._fetch_hashes(incoming), "a fetch of hashes")

    def _cancel_fetches(self, incoming: Incoming) -> None:
        fetches, incoming.fetches = incoming.fetches, []
        for job in fetches:
            job.cancel()
        if incoming.hashes_fetch is not None:
            incoming.hashes_fetch.cancel()

    async def _fetch_blocks(self, incoming: Incoming, command: do.FetchOrigin) -> None:
        entry = command.entry
        first, count = command.first, command.count
        start = entry.block_offset(first)
        last = first + count - 1
        end = entry.block_offset(last) + entry.block_length(last)
        block = first
        pending = bytearray()
        began_at = self.now

        def take(data: bytes) -> None:
            nonlocal block, pending
            pending += data
            whole = 0
            length = 0
            while block + whole <= last and length + entry.block_length(block + whole) <= len(
                pending
            ):
                length += entry.block_length(block + whole)
                whole += 1
            if whole:
                piece = bytes(pending[:length])
                del pending[:length]
                at, block = block, block + whole
                self._arrived(incoming, None, at, piece)

        blocks = from_range(first, count)
        try:
            whole_file = start == 0 and end == entry.size_bytes
            await self._origin.fetch(entry.path, start, end - start, whole_file, take)
            self._origin_answers(True)
            took_s = max(0.001, self.now - began_at)
            sample = (end - start) * 8 / took_s
            state = self.node.state
            if end - start > 64 * 1024:
                state.origin_rate_bps += 0.5 * (sample - state.origin_rate_bps)
            if entry.position == 0:
                self._prove_index(incoming)
        except OriginError as error:
            if self._incoming.get(entry.position) is not incoming:
                return  # it came from elsewhere meanwhile, and the fetch was broken off for that
            log.warn("{path} from the origin: {why}", path=entry.path, why=str(error))
            self._origin_answers(error.status is not None)
            self.node.origin_ended(entry, blocks, True, self.now)
        else:
            self.node.origin_ended(entry, blocks, False, self.now)
        self.run()

    def _origin_answers(self, reachable: bool) -> None:
        self.origin_reachable = reachable
        self.node.origin_reachable(reachable, self.now)

    async def _fetch_hashes(self, incoming: Incoming) -> None:
        entry = incoming.entry
        if self.index is None:
            return
        size = entry.block_count * HASH_BYTES
        pieces: list[bytes] = []
        try:
            offset = self.index.hashes_offset(entry.position)
            whole = size == self.index.hashes_size_bytes
            await self._origin.fetch(BLOCKS_NAME, offset, size, whole, pieces.append)
        except OriginError as error:
            log.warn("hashes of {path}: {why}", path=entry.path, why=str(error))
            incoming.hashes_fetch = None
            return
        self.records.proof_bytes += size
        if not self._learn_hashes(incoming, b"".join(pieces)):
            log.error("the origin's hashes of {path} do not fit its index", path=entry.path)
        self.run()

    def _prove_index(self, incoming: Incoming) -> None:
        """The index's hashes are nowhere but in itself: they follow once it is here in full."""
        if not incoming.proof.needs_hashes:
            return
        waiting = incoming.proof.waiting_blocks()
        data = b"".join(waiting[block] for block in sorted(waiting))
        if not self._learn_hashes(incoming, hash_blocks(data, incoming.entry.block_size_bytes)):
            raise OriginError("the index is not the one that was signed; is it being replaced?")

    # --- what arrives -----------------------------------------------------------------------

    def _learn_hashes(self, incoming: Incoming, hashes: bytes) -> bool:
        verdicts = incoming.proof.learn(hashes)
        if verdicts is None:
            return False
        self.store.learn_hashes(incoming.entry.digest, hashes)
        self._accept(incoming, verdicts)
        return True

    def _arrived(self, incoming: Incoming, source: bytes | None, first: int, data: bytes) -> None:
        self._accept(incoming, incoming.proof.offer(source, first, data))
        self.run()

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
                self.received.add(len(verdict.data), self.now)
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
        self._incoming.pop(entry.position, None)
        self._cancel_fetches(incoming)
        if not incoming.listeners:
            self.records.unplayed[entry.path] = entry.size_bytes
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
        self._jobs.add(job)

        def saved(written: Written) -> None:
            self.store.saved(written, self.now)

        def failed(failure: Failure) -> None:
            log.warn("a segment could not be saved: {why}", why=failure.getErrorMessage())
            error = failure.value or StoreError("no reason")
            self.store.not_saved(save, error, self.now)

        def done(result: object) -> None:
            self._jobs.discard(job)
            self._tell_losses()

        job.addCallbacks(saved, failed)
        job.addBoth(done)

    def _tell_losses(self) -> None:
        for digest in self.store.take_lost():
            entry = self._by_digest(digest)
            if entry is not None:
                self.node.evicted(entry.position)

    def _lost(self, entry: Entry) -> None:
        self.node.evicted(entry.position)

    def _by_digest(self, digest: bytes) -> Entry | None:
        if self.index is None:
            return None
        return next((entry for entry in self.index.entries if entry.digest == digest), None)

    # --- links ------------------------------------------------------------------------------

    def link_opened(self, link: Link, have: Have) -> None:
        """A neighbour is there."""
        uploads = link.hello.uploads if link.hello is not None else True
        self.node.joined(link.peer_id, uploads, have.positions, self.now)
        self.run()

    def link_closed(self, link: Link) -> None:
        """A neighbour is gone."""
        self.closed_control_bytes += link.session.control_bytes_received
        for incoming in self._incoming.values():
            if incoming.hashes_asked == link.peer_id:
                incoming.hashes_asked = None
        self.node.left(link.peer_id, self.now)
        self.run()

    def link_ready(self, link: Link) -> None:
        """A link can take more."""
        self.node.link_ready(link.peer_id, self.now)
        self.run()

    def link_measured(self, link: Link, rtt_s: float) -> None:
        """A round trip was timed."""
        neighbour = self.node.state.neighbours.get(link.peer_id)
        if neighbour is not None:
            neighbour.rtt_s = max(0.001, rtt_s)

    def link_received(self, link: Link, events: list[Event]) -> None:
        """Frames of a neighbour."""
        for event in events:
            if link.is_closed:
                break
            self._receive(link, event)
        self.run()

    def _receive(self, link: Link, event: Event) -> None:
        peer_id, now = link.peer_id, self.now
        match event:
            case Data():
                self._take_data(link, event)
            case Request():
                self._take_request(link, event)
            case Got() | Getting() | Gone():
                self.node.told(peer_id, event, now)
            case Reject():
                self._take_reject(peer_id, event)
            case Cancel():
                self.node.cancelled(peer_id, event.request_id, event.segment, event.blocks)
            case Hashes():
                self._take_hashes(link, event)
            case Have():
                self.node.has(peer_id, event.positions, now)
            case GoAway():
                self.node.leaving(peer_id, now)
            case _:
                log.debug("nothing to do about {event}", event=type(event).__name__)

    def _take_data(self, link: Link, data: Data) -> None:
        incoming = self._incoming.get(data.segment)
        if incoming is None:
            self.records.duplicate_bytes += len(data.data)
            return
        try:
            self._arrived(incoming, link.peer_id, data.first, data.data)
        except ValueError:
            log.warn("{peer} sent a block of a wrong size", peer=link.name)
            link.close(Code.BAD_REQUEST, "a block of a wrong size")

    def _take_request(self, link: Link, request: Request) -> None:
        if request.blocks:
            self.node.requested(link.peer_id, request, self.now)
            return
        entry = self.entry_of(request.segment)
        hashes = None if entry is None else self._hashes_of(entry)
        if hashes is None:
            link.send(Reject(request.request_id, request.segment, 0, int(Code.NOT_HERE)))
        else:
            link.send(Hashes(request.request_id, request.segment, hashes))

    def _take_reject(self, peer_id: bytes, reject: Reject) -> None:
        entry = self.entry_of(reject.segment)
        if entry is None:
            return
        incoming = self._incoming.get(reject.segment)
        if incoming is not None and incoming.hashes_asked == peer_id:
            link = self.exchange.links.get(peer_id)
            still = link is not None and any(
                owed.segment == reject.segment and owed.hashes for owed in link.session.asked
            )
            if not still and incoming.proof.needs_hashes:
                incoming.hashes_asked = None
        blocks = resolve(reject.blocks, entry.block_count)
        self.node.refused(peer_id, entry, blocks, reject.code, self.now)

    def _take_hashes(self, link: Link, event: Hashes) -> None:
        incoming = self._incoming.get(event.segment)
        if incoming is None or not incoming.proof.needs_hashes:
            return
        self.records.proof_bytes += len(event.hashes)
        if not self._learn_hashes(incoming, event.hashes):
            log.warn("{peer} sent false hashes; banned", peer=link.name)
            incoming.hashes_asked = None
            self.exchange.ban(link.peer_id)
