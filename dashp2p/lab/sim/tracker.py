"""The tracker: the shipped lease table, and a list of members to draw neighbours from."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from attrs import define, field, frozen

from dashp2p.lab.sim.clock import Timer
from dashp2p.lab.sim.connection import Dial, End
from dashp2p.lab.sim.flow import Path
from dashp2p.lab.sim.pipes import Host, Wiring
from dashp2p.swarm import lease_rules
from dashp2p.swarm.commands import CallTracker, Held
from dashp2p.swarm.commands import Want as Wish
from dashp2p.swarm.leading import Grant
from dashp2p.swarm.leases import LeaseTable
from dashp2p.tracker.limits import LEASE_PEERS_PER_ANSWER, LEASE_PEERS_TOLD, TTL_INTERVALS
from dashp2p.tracker.memory import RegistryRules
from dashp2p.tracker.pool import Pool

PEERS_TOLD = 30
TIMEOUT_S = 3.0
CALL_BYTES = 350
WISH_BYTES = 140
HELD_BYTES = 40
PEER_BYTES = 110


@frozen
class Announce:
    """What a peer tells of itself."""

    peer_id: bytes
    upload_bps: int
    leaving: bool = False


@frozen
class Announced:
    """And is told."""

    interval_s: float
    swarm_peers: int
    peers: tuple[bytes, ...]


@frozen
class Leased:
    """The answer to a lease call, and leaders and holders that can be dialled."""

    grants: tuple[Grant, ...]
    named: tuple[bytes, ...]


@define(eq=False)
class Call:
    """One HTTP call. `answered` gets None when there is no answer in time."""

    message: Announce | tuple[bytes, CallTracker]
    size_bytes: int
    answered: Callable[[Any], None]
    over: bool = False
    timer: Timer | None = None

    def end(self, answer: Any) -> None:
        """Tell whoever asked, once."""
        if self.over:
            return
        self.over = True
        if self.timer is not None:
            self.timer.cancel()
        self.answered(answer)


@define(eq=False)
class Tracker:
    """`host` is where it runs; killing that kills it."""

    host: Host
    rng: random.Random
    now: Callable[[], float]
    leases: LeaseTable = field(factory=LeaseTable)
    calls: int = 0
    _members: Pool[bytes] = field(factory=Pool)
    _seen: dict[bytes, float] = field(factory=dict)
    _upload_bps: dict[bytes, int] = field(factory=dict)
    _rules: RegistryRules = field(factory=RegistryRules)

    def accept(self) -> _Served | None:
        """A connection comes in."""
        return _Served(self) if self.host.running else None

    def answer(self, message: Announce | tuple[bytes, CallTracker]) -> tuple[Any, int]:
        """What to say, and its size in bytes."""
        self.calls += 1
        if isinstance(message, Announce):
            return self._announce(message)
        return self._lease(*message)

    def _announce(self, message: Announce) -> tuple[Announced, int]:
        peer = message.peer_id
        self._expire()
        if message.leaving:
            self._forget(peer)
        else:
            self._members.add(peer)
            self._seen.pop(peer, None)
            self._seen[peer] = self.now()
            self._upload_bps[peer] = message.upload_bps
        size = len(self._members)
        told = tuple(p for p in self._members.draw(self.rng, PEERS_TOLD + 1) if p != peer)
        answer = Announced(self._rules.interval_s(size), size, told[:PEERS_TOLD])
        return answer, CALL_BYTES + PEER_BYTES * len(answer.peers)

    def _expire(self) -> None:
        limit_s = self._rules.interval_s(len(self._members)) * TTL_INTERVALS
        while self._seen:
            peer, at = next(iter(self._seen.items()))
            if self.now() - at < limit_s:
                return
            self._forget(peer)

    def _forget(self, peer: bytes) -> None:
        self._members.discard(peer)
        self._seen.pop(peer, None)
        self.leases.drop(peer)

    def _lease(self, peer: bytes, call: CallTracker) -> tuple[Leased, int]:
        now, leases = self.now(), self.leases
        for held in call.release:
            leases.release(peer, held.segment, held.epoch, now)
        for held in call.done:
            leases.done(peer, held.segment, held.epoch, now)
        for held in call.progress:
            leases.progress(peer, held.segment, held.epoch, held.blocks_done, now)
        named: dict[bytes, None] = {}
        grants = [self._grant(peer, wish, now, named) for wish in call.wants]
        leased = Leased(tuple(grants), tuple(named)[:LEASE_PEERS_TOLD])
        size = CALL_BYTES + WISH_BYTES * len(grants) + PEER_BYTES * len(leased.named)
        return leased, size

    def _grant(self, peer: bytes, wish: Wish, now: float, named: dict[bytes, None]) -> Grant:
        entry = wish.entry
        whole = (1 << entry.block_count) - 1
        rate = int(entry.size_bytes * 8 / entry.duration_s) if entry.duration_s else 0
        want = lease_rules.Want(
            segment=entry.position,
            blocks=entry.block_count,
            size_bytes=entry.size_bytes,
            media_bps=rate,
            missing=None if wish.missing == whole else wish.missing,
            hedge=wish.hedge,
            urgent=wish.urgent,
            refused=wish.refused,
            path=entry.path,
            slow=wish.slow,
        )
        answer = self.leases.ask(
            peer,
            want,
            now,
            live_peers=max(1, len(self._members)),
            upload_bps=self._upload_bps.get(peer, 0),
        )
        if isinstance(answer, lease_rules.Granted):
            return Grant(answer.segment, True, answer.epoch, answer.first, answer.count)
        known = [*answer.holders, *([answer.leader] if answer.leader else ())]
        named.update(dict.fromkeys(known[:LEASE_PEERS_PER_ANSWER]))
        return Grant(
            answer.segment,
            False,
            answer.epoch,
            leader=answer.leader,
            retry_s=answer.retry_s,
            holders=answer.holders,
        )


@define(eq=False)
class _Served:
    """One connection as the tracker sees it."""

    tracker: Tracker
    end: End | None = None

    def opened(self, end: End) -> None:
        self.end = end

    def arrived(self, call: Call) -> None:
        assert self.end is not None
        answer, size = self.tracker.answer(call.message)
        self.end.send((call, answer), size)
        self.end.flush()

    def writable(self) -> None:
        """Answers are small: nothing waits for that."""

    def lost(self) -> None:
        """Nothing is kept for a connection."""


@define(eq=False)
class TrackerClient:
    """A peer's calls, on one kept connection."""

    path: Path
    wiring: Wiring
    host: Host
    tracker: Tracker
    peer_id: bytes
    end: End | None = None
    sent_bytes: int = 0
    _waiting: list[Call] = field(factory=list)
    """Calls for which there is no connection yet."""
    _open: list[Call] = field(factory=list)
    _dialling: bool = False

    def announce(self, message: Announce, answered: Callable[[Any], None]) -> None:
        """POST /announce."""
        self._call(Call(message, CALL_BYTES + 150, answered))

    def lease(self, call: CallTracker, answered: Callable[[Any], None]) -> None:
        """POST /lease."""
        held: list[Held] = [*call.progress, *call.done, *call.release]
        size = CALL_BYTES + WISH_BYTES * len(call.wants) + HELD_BYTES * len(held)
        self._call(Call((self.peer_id, call), size, answered))

    def _call(self, call: Call) -> None:
        self.sent_bytes += call.size_bytes
        call.timer = self.path.clock.call_later(TIMEOUT_S, lambda: self._late(call))
        if self.end is not None and not self.end.closed:
            self._send(call)
            return
        self._waiting.append(call)
        if not self._dialling:
            self._dialling = True
            Dial(
                self.path,
                self.wiring,
                self.host,
                self.tracker.host,
                self,
                self.tracker.accept,
                self._refused,
                TIMEOUT_S,
            ).start()

    def _send(self, call: Call) -> None:
        assert self.end is not None
        self._open.append(call)
        self.end.send(call, call.size_bytes)
        self.end.flush()

    def opened(self, end: End) -> None:
        """Connected: send what waits."""
        self.end = end
        self._dialling = False
        waiting, self._waiting = self._waiting, []
        for call in waiting:
            if not call.over:
                self._send(call)

    def arrived(self, message: tuple[Call, Any]) -> None:
        """An answer."""
        call, answer = message
        if call in self._open:
            self._open.remove(call)
        call.end(answer)

    def writable(self) -> None:
        """Calls are small: nothing waits for that."""

    def _refused(self) -> None:
        self._dialling = False
        waiting, self._waiting = self._waiting, []
        for call in waiting:
            call.end(None)

    def lost(self) -> None:
        """The connection is gone, and what was asked on it."""
        self.end = None
        calls, self._open = self._open, []
        for call in calls:
            call.end(None)

    def _late(self, call: Call) -> None:
        if call in self._open:
            self._open.remove(call)
        if self.host.running:
            call.end(None)
