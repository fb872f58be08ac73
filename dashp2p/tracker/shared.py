"""The registry of several trackers, over a store that they share: any of them answers any peer.

Peers. Each announce is written to the store, and every tracker replays those of the others into a
registry in memory of its own before it answers. So peers are introduced even while the store is
away.

Leases. A call takes the segments that it is about out of the store, decides by the rules that a
single tracker has, and writes them back if nobody else did meanwhile; else it begins again. So at
any time a lease is one lease, and a tracker that dies between the two has done nothing. While the
store is away leases are refused with 503: peers then agree among themselves (design D3).

An emptied store is known by its generation: then all is forgotten here too, and rebuilt from the
next announces, as after the restart of a single tracker.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from random import Random
from typing import TypeVar

from attrs import asdict, define, evolve, field
from twisted.internet.defer import DeferredLock
from twisted.logger import Logger

from dashp2p.swarm.lease_codec import segment_from_bytes
from dashp2p.swarm.lease_parts import LeaseMemory, LeasePart, Led
from dashp2p.tracker import limits
from dashp2p.tracker.addresses import Whereabouts, whereabouts
from dashp2p.tracker.errors import Refused
from dashp2p.tracker.members import Member
from dashp2p.tracker.memory import (
    MemoryRegistry,
    RegistryRules,
    decide,
    reachable,
    summary_of,
)
from dashp2p.tracker.messages import Announce, Event, LeaseCall, announce_body, read_announce
from dashp2p.tracker.registry import (
    Holding,
    LeaseAnswer,
    PeerSummary,
    SegmentSummary,
    SwarmSummary,
    Welcome,
)
from dashp2p.tracker.shared_store import Change, Kept, Loaded, Seen, SharedStore, StoreAwayError

log = Logger()

T = TypeVar("T")


@define(eq=False)
class _Swarm:
    leases: LeaseMemory
    since_s: float = 0.0
    """Up to when, by the store's clock, others' announces are known here."""
    busy: DeferredLock = field(factory=DeferredLock)
    """Calls to one tracker about one swarm go one after another: they'd only meet in the store."""


@define(eq=False)
class SharedRegistry:
    """Implements `dashp2p.tracker.registry.Registry`. `name` tells this tracker from the others."""

    rules: RegistryRules
    store: SharedStore
    name: str
    random: Random = field(factory=Random)
    memory: MemoryRegistry = field(init=False)
    retries: int = field(default=0, init=False)
    """Calls begun again since another tracker was faster."""
    _generation: bytes = field(default=b"", init=False)
    _swarms: dict[bytes, _Swarm] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self._forget_all()

    def reasons(self) -> list[str]:
        """What keeps this registry from its work, for /readyz."""
        why = self.store.away()
        return [] if why is None else [why]

    # Peers

    async def announce(
        self, announce: Announce, at: Whereabouts, now: float, reached: bool | None
    ) -> Welcome:
        try:
            loaded = await self._load(announce.swarm, announce.peer, now)
        except StoreAwayError:
            return await self.memory.announce(announce, at, now, reached)
        self._find_room(loaded, announce.swarm)
        welcome = await self.memory.announce(announce, at, now, reached)
        record = self._record(announce, at, reached)
        await self._share(announce.swarm, loaded.generation, announce.peer, record)
        return welcome

    async def _share(self, swarm: bytes, generation: bytes, peer: bytes, record: bytes) -> None:
        try:
            await self.store.save(swarm, generation, peer, (), record)
        except StoreAwayError:
            log.debug("an announce was not shared: the store is away")

    def _find_room(self, loaded: Loaded, swarm: bytes) -> None:
        """Swarms are counted in the store: a tracker need not know those of the others."""
        if loaded.other_swarms >= self.rules.swarms and not self.memory.has_swarm(swarm):
            raise Refused(
                "these trackers are full: try again later, or use others",
                503,
                retry_after_s=self.rules.interval_longest_s,
            )

    async def dialled(
        self, swarm: bytes, peer: bytes, at: Whereabouts, port: int, reached: bool
    ) -> None:
        await self.memory.dialled(swarm, peer, at, port, reached)
        member = self.memory.member(swarm, peer)
        if member is not None and member.announced and (member.at, member.port) == (at, port):
            record = self._record(_as_announced(swarm, member), at, reached)
            await self._share(swarm, self._generation, peer, record)

    # Leases

    async def lease(self, call: LeaseCall, at: Whereabouts, now: float) -> LeaseAnswer:
        swarm = self._swarm(call.swarm)
        await swarm.busy.acquire()
        try:
            for _ in range(limits.SHARED_TRIES):
                answer = await self._try_lease(call, at, now)
                if answer is not None:
                    return answer
                self.retries += 1
        except StoreAwayError as away:
            raise Refused(
                f"leases cannot be agreed on: {away}; ask again, or agree among yourselves",
                503,
                retry_after_s=limits.SHARED_RETRY_S,
            ) from away
        finally:
            swarm.busy.release()
        raise Refused(
            "too many ask for the same segments at once: ask again",
            503,
            retry_after_s=limits.SHARED_RETRY_S,
        )

    async def _try_lease(self, call: LeaseCall, at: Whereabouts, now: float) -> LeaseAnswer | None:
        """Decide, and write it down; None when another tracker wrote first."""
        positions = _positions(call)
        loaded = await self._load(call.swarm, call.peer, now, positions)
        self._find_room(loaded, call.swarm)
        members, caller = self.memory.leasing(call, at, now)
        part = self._part(call.swarm, call.peer, loaded)
        shared_now = loaded.now_s
        answers = decide(part.table, call, shared_now, len(members), caller.upload_bps)
        changes = list(_changes(part, loaded, positions))
        record = None if caller.announced else self._record(None, at, None)
        counts = part.counts()
        if (changes or record or counts) and not await self.store.save(
            call.swarm, loaded.generation, call.peer, changes, record, counts
        ):
            return None
        part.settle()
        return LeaseAnswer(answers, reachable(members, caller, answers), not caller.announced)

    def _part(self, name: bytes, peer: bytes, loaded: Loaded) -> LeasePart:
        swarm = self._swarm(name)
        try:
            segments = [
                segment_from_bytes(position, kept.data)
                for position, kept in loaded.segments.items()
                if kept.version
            ]
            led = _read_led(loaded.led.data)
        except ValueError as error:
            raise StoreAwayError(f"the store holds what no tracker wrote ({error})") from error

        def is_live(other: bytes) -> bool:
            return self.memory.member(name, other) is not None

        return swarm.leases.part(segments, peer, led, loaded.now_s, is_live)

    # Following the others

    async def _load(
        self, name: bytes, peer: bytes, now: float, positions: Iterable[int] = ()
    ) -> Loaded:
        """Load, and replay what other trackers heard of peers meanwhile."""
        wanted = tuple(positions)
        for _ in range(limits.SHARED_LOADS):
            swarm = self._swarm(name)
            loaded = await self.store.load(name, peer, swarm.since_s, wanted)
            if loaded.generation != self._generation:
                if self._generation:
                    log.warn("the shared registry was emptied: all is rebuilt from announces")
                    self._forget_all()
                self._generation = loaded.generation
                swarm = self._swarm(name)
            for seen in loaded.seen:
                await self._replay(name, seen, now, loaded.now_s)
            if loaded.seen:
                swarm.since_s = max(swarm.since_s, loaded.seen[-1].at_s)
            if len(loaded.seen) < limits.SEEN_PER_LOAD:
                return loaded
        return loaded

    async def _replay(self, name: bytes, seen: Seen, now: float, shared_now: float) -> None:
        """Another tracker heard of a peer: so has this one, by its own clock."""
        try:
            fields = json.loads(seen.record)
            if fields["by"] == self.name:
                return
            at, reached = whereabouts(fields["host"]), fields["reached"]
            heard_at = now - max(0.0, shared_now - seen.at_s)
            if fields["announce"] is None:
                call = LeaseCall(name, seen.peer, (), (), (), ())
                await self.memory.lease(call, at, heard_at)
                return
            announce = read_announce(fields["announce"].encode())
            if (announce.swarm, announce.peer) == (name, seen.peer):
                await self.memory.announce(announce, at, heard_at, reached)
        except Refused:
            log.debug("no room here for a peer that another tracker admitted")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            log.warn("a shared announce cannot be read: {error}", error=str(error))

    def _record(self, announce: Announce | None, at: Whereabouts, reached: bool | None) -> bytes:
        fields = {
            "by": self.name,
            "host": at.host,
            "reached": reached,
            "announce": None if announce is None else announce_body(announce).decode("ascii"),
        }
        return json.dumps(fields, separators=(",", ":")).encode("ascii")

    def _swarm(self, name: bytes) -> _Swarm:
        swarm = self._swarms.get(name)
        if swarm is None:
            if len(self._swarms) >= self.rules.swarms:
                self._forget_idle()
            swarm = self._swarms[name] = _Swarm(LeaseMemory(self.rules.leases))
        return swarm

    def _forget_idle(self) -> None:
        for name in [name for name in self._swarms if not self.memory.has_swarm(name)]:
            if not self._swarms[name].busy.locked:
                del self._swarms[name]

    def _forget_all(self) -> None:
        self.memory = MemoryRegistry(self.rules, self.random)
        for swarm in self._swarms.values():
            swarm.since_s = 0.0

    # Questions

    async def holding(self, key: str, swarm: bytes | None, now: float) -> list[Holding]:
        found: list[Holding] = []
        names = [each.swarm for each in await self.swarms(now)]
        for name in names if swarm is None else [swarm]:
            known = await self._whereabouts(name, key, now)
            if known is not None:
                found.append(known)
        return found

    async def _whereabouts(self, name: bytes, key: str, now: float) -> Holding | None:
        try:
            position = await self.store.position(name, key)
            if position is None and key.isascii() and key.isdigit() and len(key) < 10:
                position = int(key)
            if position is None:
                return None
            loaded = await self._load(name, bytes(32), now, (position,))
            part = self._part(name, bytes(32), loaded)
        except StoreAwayError:
            return None
        known = part.table.whereabouts(position, loaded.now_s)
        if known is None:
            return None
        return Holding(name, known.segment, known.leader, known.epoch, known.holders)

    async def swarms(self, now: float) -> list[SwarmSummary]:
        shared = await self._figures(now)
        return [
            evolve(each, figures={**each.figures, **shared.get(each.swarm, {})})
            for each in await self.memory.swarms(now)
        ]

    async def _figures(self, now: float) -> dict[bytes, dict[str, int]]:
        """What all trackers know of leases, by swarm, and each swarm's peers brought up to date;
        what was learned until the store went away."""
        found: dict[bytes, dict[str, int]] = {}
        try:
            for name in await self.store.swarms():
                loaded = await self._load(name, bytes(32), now)
                figures = await self.store.figures(name)
                led = [at for data in figures.led for at in _read_led(data).values()]
                found[name] = {
                    "leases": sum(at > loaded.now_s for at in led),
                    "segments_held": figures.segments,
                    "origin_bps": round(self._swarm(name).leases.rate_bps),
                    **figures.counts,
                }
        except (StoreAwayError, ValueError) as error:
            log.debug("figures are those of this tracker alone: {why}", why=str(error))
        return found

    async def peers(self, swarm: bytes, now: float, most: int | None = None) -> list[PeerSummary]:
        await self._catch_up(swarm, now)
        return await self.memory.peers(swarm, now, most)

    async def playing(self, swarm: bytes, now: float) -> list[dict[str, float]]:
        await self._catch_up(swarm, now)
        return await self.memory.playing(swarm, now)

    async def _catch_up(self, swarm: bytes, now: float) -> None:
        """Hear what other trackers were announced, as far as the store answers."""
        try:
            await self._load(swarm, bytes(32), now)
        except StoreAwayError:
            log.debug("peers are those that this tracker knows: the store is away")

    async def segments(self, swarm: bytes, now: float, most: int) -> list[SegmentSummary]:
        try:
            positions = await self.store.latest(swarm, most)
            loaded = await self._load(swarm, bytes(32), now, positions)
            table = self._part(swarm, bytes(32), loaded).table
        except StoreAwayError:
            return []
        table.expire(loaded.now_s)
        found = (table.segment(position) for position in positions)
        return [summary_of(segment) for segment in found if segment is not None]

    async def counters(self, now: float) -> dict[str, float]:
        """What happened to leases is what this tracker counted: whoever watches adds them up."""
        shared = await self._figures(now)
        found = await self.memory.counters(now)
        for name in ("leases", "segments_held"):
            found[name] = sum(figures[name] for figures in shared.values())
        for swarm in self._swarms.values():
            for name, count in asdict(swarm.leases.counts).items():
                found[name] += count
        return found

    async def expire(self, now: float) -> None:
        await self.memory.expire(now)


def _as_announced(swarm: bytes, member: Member) -> Announce:
    return Announce(
        swarm=swarm,
        peer=member.peer,
        port=member.port,
        private=member.private,
        event=Event.UPDATE,
        wanted=0,
        upload_bps=member.upload_bps,
        have=member.have,
        stats=member.stats,
        ticket_key=None,
        served_by=member.served_by,
    )


def _positions(call: LeaseCall) -> tuple[int, ...]:
    """The segments that a call is about, each once."""
    named = [want.segment for want in call.want]
    for marks in (call.progress, call.done, call.release):
        named += [mark.segment for mark in marks]
    return tuple(dict.fromkeys(named))


def _changes(part: LeasePart, loaded: Loaded, positions: Iterable[int]) -> Iterable[Change]:
    positions = tuple(positions)
    for position, data in part.segments(positions).items():
        before = loaded.segments.get(position, Kept())
        if data != before.data:
            segment = part.table.segment(position)
            yield Change(position, before, data, segment.path if segment else None)
    led = _led_bytes(part.led(positions))
    if led != loaded.led.data:
        yield Change(None, loaded.led, led)


def _led_bytes(led: Led) -> bytes:
    if not led:
        return b""
    items = [[position, epoch, at] for (position, epoch), at in sorted(led.items())]
    return json.dumps(items, separators=(",", ":")).encode("ascii")


def _read_led(data: bytes) -> Led:
    """Raises ValueError."""
    try:
        return {(int(p), int(e)): float(at) for p, e, at in json.loads(data or b"[]")}
    except TypeError as error:
        raise ValueError("a peer's leases cannot be read") from error
