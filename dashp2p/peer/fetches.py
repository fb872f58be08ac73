"""What a peer fetches from the origin: blocks by Range, and the hashes that prove them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from dashp2p.content.blocks import HASH_BYTES, hash_blocks
from dashp2p.content.index import BLOCKS_NAME
from dashp2p.peer.incoming import Incoming
from dashp2p.peer.origin_client import OriginClient, OriginError, OriginFalteredError
from dashp2p.peer.origin_watch import OriginWatch
from dashp2p.swarm import commands as do
from dashp2p.swarm.courtesy import Courtesy
from dashp2p.wire.blockset import from_range

if TYPE_CHECKING:
    from dashp2p.peer.engine import Engine

log = Logger()

ANSWERED = 200
"""The status of an origin that did answer, but not with the truth. (Is it being replaced?)"""
MIN_SAMPLE_BYTES = 64 * 1024
"""Smaller fetches measure delay, not rate."""


class OriginFetches:
    """The engine's side towards the origin, whose bytes are checked like anybody's."""

    def __init__(self, engine: Engine, origin: OriginClient, clock: IReactorTime) -> None:
        self._engine = engine
        self._origin = origin
        self._watch = OriginWatch(origin, self._found, clock, engine.node.rng)
        engine.node.state.origin_gives_parts = lambda: origin.gives_ranges

    def fetch(self, command: do.FetchOrigin) -> None:
        """Fetch blocks, and the hashes to check them by if they are not known."""
        incoming = self._engine.incoming.get(command.entry.position)
        if incoming is None:
            return
        log.debug("{path} from the origin: {why}", path=command.entry.path, why=command.why)
        jobs: list[Deferred[None]] = []

        def all_came() -> None:
            """There is nothing left to break off; the connection is to be used again."""
            incoming.fetches = [job for job in incoming.fetches if job not in jobs]

        work = self._fetch_blocks(incoming, command, all_came)
        jobs.append(self._engine.own(work, "a fetch from the origin"))
        incoming.fetches += jobs
        covers_index = command.entry.position == 0
        if incoming.proof.needs_hashes and incoming.hashes_fetch is None and not covers_index:
            job = self._engine.own(self._fetch_hashes(incoming), "a fetch of hashes")
            # One that failed at once has said so already, and is not to be waited for.
            incoming.hashes_fetch = None if job.called else job

    def cancel(self, incoming: Incoming) -> None:
        """Break off what is under way for a delivery."""
        fetches, incoming.fetches = incoming.fetches, []
        for job in fetches:
            job.cancel()
        hashes_fetch, incoming.hashes_fetch = incoming.hashes_fetch, None
        if hashes_fetch is not None:
            hashes_fetch.cancel()

    async def _fetch_blocks(
        self, incoming: Incoming, command: do.FetchOrigin, all_came: Callable[[], None]
    ) -> None:
        entry = command.entry
        first, count = command.first, command.count
        start = entry.block_offset(first)
        last = first + count - 1
        end = entry.block_offset(last) + entry.block_length(last)
        block = first
        pending = bytearray()
        began_at = self._engine.now - self._engine.node.slept_s

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
                if block > last:
                    all_came()
                self._engine.arrived(incoming, None, at, piece)

        blocks = from_range(first, count)
        try:
            whole_file = start == 0 and end == entry.size_bytes
            wait_s = self._courtesy(incoming, command, end - start)
            await self._origin.fetch(entry.path, start, end - start, whole_file, take, wait_s)
            self._origin_answers(True)
            awake_at = self._engine.now - self._engine.node.slept_s
            self._measure(end - start, awake_at - began_at)
            await self._prove(incoming, blocks)
        except OriginError as error:
            if self._engine.incoming.get(entry.position) is not incoming:
                return  # it came from elsewhere meanwhile, and the fetch was broken off for that
            log.warn("{path} from the origin: {why}", path=entry.path, why=str(error))
            if isinstance(error, OriginFalteredError):
                self._watch.suspect()
            else:
                self._origin_answers(error.answered)
            self._engine.mistrusted()
            self._engine.node.origin_ended(entry, blocks, True, self._engine.now)
        else:
            self._engine.node.origin_ended(entry, blocks, False, self._engine.now)
        self._engine.run()

    def _courtesy(
        self, incoming: Incoming, command: do.FetchOrigin, size_bytes: int
    ) -> Callable[[int], float] | None:
        """How long to wait after so many bytes of a picture that is fetched under a lease; None:
        never."""
        engine = self._engine
        if command.why != "lease" or engine.kind_of(command.entry) != "video":
            return None
        courtesy = Courtesy.of(engine.node.state, incoming.delivery, engine.top_video_bps)
        if courtesy is None:
            return None
        return lambda came: courtesy.wait_s(came, size_bytes - came, engine.now)

    def stop(self) -> None:
        """Ask the origin nothing more of our own accord."""
        self._watch.end()

    def suspect(self) -> None:
        """A neighbour seems to have lost the origin: look, rather than believe or wait."""
        self._watch.suspect()

    def _found(self, reachable: bool) -> None:
        self._origin_answers(reachable)
        self._engine.run()

    def _origin_answers(self, reachable: bool) -> None:
        if reachable:
            self._watch.end()
        else:
            self._watch.begin()
        self._engine.origin_reachable = reachable
        self._engine.node.origin_reachable(reachable, self._engine.now)

    def _measure(self, size_bytes: int, took_s: float) -> None:
        if size_bytes > MIN_SAMPLE_BYTES:
            state = self._engine.node.state
            sample = size_bytes * 8 / max(0.001, took_s)
            state.origin_rate_bps += 0.5 * (sample - state.origin_rate_bps)

    async def _prove(self, incoming: Incoming, blocks: int) -> None:
        """Wait until what was fetched is proven. Raises OriginError when it is not true.

        Blocks may come before their hashes; they count as under way until those are here, or they
        would be fetched again.
        """
        if incoming.entry.position == 0:
            self._prove_index(incoming)
        elif incoming.proof.needs_hashes and incoming.hashes_fetch is not None:
            await incoming.hashes_fetch
        if blocks & ~incoming.assembly.have:
            incoming.proof.forget(None)
            raise OriginError("what the origin gave is not what it signed", ANSWERED)

    async def _fetch_hashes(self, incoming: Incoming) -> None:
        entry = incoming.entry
        if self._engine.index is None:
            return
        size = entry.block_count * HASH_BYTES
        pieces: list[bytes] = []
        try:
            offset = self._engine.index.hashes_offset(entry.position)
            whole = size == self._engine.index.hashes_size_bytes
            await self._origin.fetch(BLOCKS_NAME, offset, size, whole, pieces.append)
        except OriginError as error:
            log.warn("hashes of {path}: {why}", path=entry.path, why=str(error))
            incoming.hashes_fetch = None
            return
        self._engine.records.proof_bytes += size
        if not self._engine.learn_hashes(incoming, b"".join(pieces)):
            log.error("the origin's hashes of {path} do not fit its index", path=entry.path)
            incoming.hashes_fetch = None
        self._engine.run()

    def _prove_index(self, incoming: Incoming) -> None:
        """The index's hashes are nowhere but in itself: they follow once it is here in full."""
        if not incoming.proof.needs_hashes:
            return
        waiting = incoming.proof.waiting_blocks()
        data = b"".join(waiting[block] for block in sorted(waiting))
        self._engine.learn_hashes(incoming, hash_blocks(data, incoming.entry.block_size_bytes))
