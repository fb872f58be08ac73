"""The lease table against a naive model, whatever peers ask and tell and whenever they do."""

from __future__ import annotations

from collections import Counter
from math import ceil, inf

from attrs import define, field
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.swarm.leases import Elsewhere, Granted, LeaseRules, LeaseTable, Want

BLOCKS = 6
ALL = frozenset(range(BLOCKS))
NONE: frozenset[int] = frozenset()
PEERS = [bytes([n]) * 32 for n in range(1, 5)]
SIZE_BYTES = 1_200_000
BPS = 4_000_000
MEDIA_BPS = 5_000_000
PARTS = 3
"""What the segment falls into for an uplink of 4 Mbit/s."""
# The rate does not move and nothing is forgiven with time, so that the model stays naive.
RULES = LeaseRules(rate_weight=0.0, forgive_after_s=1e12, most_broken=10**9, expected_bps=BPS)


@define(eq=False)
class Led:
    """A live lease, as the model sees it."""

    peer: bytes
    epoch: int
    blocks: frozenset[int]
    holds: frozenset[int]
    hedge: bool
    born: float
    lasts: float
    until: float
    advanced: float
    done: int = 0


@define(eq=False)
class NaiveSegment:
    """One segment in sets and lists; every rule as the design words it."""

    led: list[Led] = field(factory=list)
    held: dict[bytes, frozenset[int]] = field(factory=dict)
    past: dict[int, tuple[bytes, frozenset[int]]] = field(factory=dict)
    parts: dict[bytes, float] = field(factory=dict)
    epoch: int = 0

    def end(self, led: Led) -> None:
        self.led.remove(led)
        self.past[led.epoch] = (led.peer, led.holds)
        self.settle()

    def settle(self) -> None:
        for led in self.led:
            leaders = covered([each for each in self.led if not each.hedge])
            led.hedge = led.hedge and bool(leaders & led.blocks)

    def mine(self, peer: bytes, epoch: int) -> Led | None:
        return next((led for led in self.led if (led.peer, led.epoch) == (peer, epoch)), None)


def covered(leases: list[Led]) -> frozenset[int]:
    return NONE.union(*(led.blocks for led in leases))


def run_of(wanted: frozenset[int], barred: frozenset[int]) -> list[int]:
    """From the first free block to the last wanted one before a barred block."""
    span = []
    for block in range(min(wanted - barred), BLOCKS):
        if block in barred:
            break
        span.append(block)
    while span[-1] not in wanted:
        span.pop()
    return span


def turn(peer: bytes, parts: int) -> int:
    """Where a peer begins that fetches a part of what is held."""
    return int.from_bytes(peer[:4], "big") % parts * ceil(BLOCKS / parts)


@define(eq=False)
class NaiveLeases:
    """The whole table: slow, and plain enough to be believed."""

    segments: list[NaiveSegment] = field(factory=lambda: [NaiveSegment(), NaiveSegment()])
    broken: Counter[bytes] = field(factory=Counter)

    def expire(self, now: float) -> None:
        over = [(led.until, s, led) for s in self.segments for led in s.led if led.until <= now]
        for _, segment, led in sorted(over, key=lambda each: each[0]):
            self.broken[led.peer] += 1
            segment.end(led)

    def live(self, peer: bytes) -> list[Led]:
        return [led for segment in self.segments for led in segment.led if led.peer == peer]

    def ask(
        self,
        peer: bytes,
        position: int,
        missing: frozenset[int] | None,
        hedge: bool,
        refused: list[bytes],
        parts: int,
        now: float,
        slow: bool = False,
    ) -> Led | None:
        self.expire(now)
        segment = self.segments[position]
        wanted = self.lacks(segment, peer, missing)
        held = NONE.union(
            *(blocks for who, blocks in segment.held.items() if who != peer and who not in refused)
        )
        whole = sum(blocks == ALL for blocks in segment.held.values())
        if slow and parts > 1 and 0 < whole * BPS < 2 * MEDIA_BPS:
            held = NONE
        barred = held | covered(segment.led)
        last_part = max(segment.parts.values(), default=-inf)
        for led in segment.led:
            more = missing is None and wanted - barred and now - last_part >= 0.3
            if led.peer == peer and led.blocks & wanted and not more:
                return led
        if wanted - barred:
            if segment.parts.get(peer, -inf) + 0.3 > now:
                return None
            place = turn(peer, parts) if slow else 0
            return self.grant(segment, peer, wanted, barred, parts, now, hedge=False, place=place)
        if hedge and missing and not any(led.hedge for led in segment.led):
            kept = [
                led
                for led in segment.led
                if led.peer == peer or (now - led.advanced < 0.5 and led.peer not in refused)
            ]
            if wanted - (held | covered(kept)):
                barred = held | covered(kept)
                return self.grant(segment, peer, wanted, barred, 1, now, hedge=True)
        return None

    def lacks(
        self, segment: NaiveSegment, peer: bytes, missing: frozenset[int] | None
    ) -> frozenset[int]:
        held = segment.held.get(peer, NONE)
        if missing is None and held != ALL:
            return ALL - held
        wanted = ALL if missing is None else missing
        segment.held[peer] = held - wanted
        return wanted

    def grant(
        self,
        segment: NaiveSegment,
        peer: bytes,
        wanted: frozenset[int],
        barred: frozenset[int],
        parts: int,
        now: float,
        hedge: bool,
        place: int = 0,
    ) -> Led | None:
        if len(self.live(peer)) >= 4 - self.broken[peer] // 2:
            return None
        upper = frozenset(block for block in wanted if block >= place)
        whole = run_of(upper if upper - barred else wanted, barred)
        blocks = whole[: ceil(BLOCKS / parts)]
        if blocks != whole:
            segment.parts[peer] = now
        lasts = min(max(2 * SIZE_BYTES * len(blocks) / BLOCKS * 8 / BPS, 1.0), 5.0)
        led = Led(
            peer,
            0,
            frozenset(blocks),
            (ALL - wanted) | frozenset(blocks),
            hedge,
            now,
            lasts,
            now + lasts,
            now,
        )
        segment.led.append(led)
        return led

    def progress(self, peer: bytes, position: int, epoch: int, done: int, now: float) -> None:
        self.expire(now)
        led = self.segments[position].mine(peer, epoch)
        if led is not None and min(done, len(led.blocks)) > led.done:
            led.done = min(done, len(led.blocks))
            led.advanced = now
            led.until = max(led.until, min(now + led.lasts, led.born + 30.0))

    def done(self, peer: bytes, position: int, epoch: int, now: float) -> None:
        self.expire(now)
        segment = self.segments[position]
        led = segment.mine(peer, epoch)
        blocks = ALL
        if led is not None:
            blocks = led.holds
            self.broken[peer] = max(0, self.broken[peer] - 1)
            segment.end(led)
        elif segment.past.get(epoch, (b"", NONE))[0] == peer:
            blocks = segment.past[epoch][1]
        else:
            segment.led = [led for led in segment.led if led.peer != peer]
            segment.settle()
        segment.held[peer] = segment.held.get(peer, NONE) | blocks

    def release(self, peer: bytes, position: int, epoch: int, now: float) -> None:
        self.expire(now)
        led = self.segments[position].mine(peer, epoch)
        if led is not None:
            self.segments[position].end(led)

    def drop(self, peer: bytes) -> None:
        for segment in self.segments:
            for led in [led for led in segment.led if led.peer == peer]:
                segment.end(led)
            segment.held.pop(peer, None)


peers = st.sampled_from(PEERS)
positions = st.integers(0, 1)
missing_sets = st.none() | st.frozensets(st.integers(0, BLOCKS - 1), min_size=1)
recent = st.integers(0, 3)


class LeaseMachine(RuleBasedStateMachine):
    """Every answer of the table is the model's, and the promises hold after every step."""

    def __init__(self) -> None:
        super().__init__()
        self.table = LeaseTable(RULES)
        self.model = NaiveLeases()
        self.now = 0.0

    @rule(
        peer=peers,
        position=positions,
        missing=missing_sets,
        hedge=st.booleans(),
        refused=st.lists(peers, max_size=3, unique=True),
        narrow=st.booleans(),
        slow=st.booleans(),
    )
    def ask(
        self,
        peer: bytes,
        position: int,
        missing: frozenset[int] | None,
        hedge: bool,
        refused: list[bytes],
        narrow: bool,
        slow: bool,
    ) -> None:
        mask = None if missing is None else sum(1 << block for block in missing)
        want = Want(position, BLOCKS, SIZE_BYTES, MEDIA_BPS, mask, hedge, tuple(refused), slow=slow)
        led = self.model.ask(
            peer, position, missing, hedge, refused, PARTS if narrow else 1, self.now, slow
        )
        answer = self.table.ask(
            peer, want, self.now, live_peers=len(PEERS), upload_bps=BPS if narrow else 0
        )
        segment = self.model.segments[position]
        if led is None:
            assert isinstance(answer, Elsewhere), answer
            self.check_told(answer, peer, segment, refused)
            return
        assert isinstance(answer, Granted), (answer, led)
        assert frozenset(range(answer.first, answer.first + answer.count)) == led.blocks
        assert abs(answer.expires_s - (led.until - self.now)) < 1e-6
        if not led.epoch:
            assert answer.epoch > segment.epoch
            led.epoch = segment.epoch = answer.epoch
        assert answer.epoch == led.epoch

    def check_told(
        self, answer: Elsewhere, asker: bytes, segment: NaiveSegment, refused: list[bytes]
    ) -> None:
        assert answer.retry_s > 0
        assert answer.leader != asker
        assert answer.leader in {None, *(led.peer for led in segment.led)}
        holders = {peer for peer, blocks in segment.held.items() if blocks}
        assert set(answer.holders) <= holders - {asker, *refused}

    @rule(peer=peers, position=positions, back=recent, blocks_done=st.integers(0, BLOCKS + 1))
    def progress(self, peer: bytes, position: int, back: int, blocks_done: int) -> None:
        epoch = self.epoch_of(position, back)
        self.model.progress(peer, position, epoch, blocks_done, self.now)
        self.table.progress(peer, position, epoch, blocks_done, self.now)

    @rule(peer=peers, position=positions, back=recent)
    def done(self, peer: bytes, position: int, back: int) -> None:
        epoch = self.epoch_of(position, back)
        self.model.done(peer, position, epoch, self.now)
        self.table.done(peer, position, epoch, self.now)

    @rule(peer=peers, position=positions, back=recent)
    def release(self, peer: bytes, position: int, back: int) -> None:
        epoch = self.epoch_of(position, back)
        self.model.release(peer, position, epoch, self.now)
        self.table.release(peer, position, epoch, self.now)

    @rule(peer=peers)
    def drop(self, peer: bytes) -> None:
        self.model.drop(peer)
        self.table.drop(peer)

    @rule(step_s=st.sampled_from([0.05, 0.25, 0.5, 1.0, 3.0, 6.0]))
    def wait(self, step_s: float) -> None:
        self.now += step_s
        self.model.expire(self.now)
        self.table.expire(self.now)

    def epoch_of(self, position: int, back: int) -> int:
        """A recent epoch, or 0."""
        return max(0, self.model.segments[position].epoch - back) if back < 3 else 0

    @invariant()
    def no_block_has_two_leaders(self) -> None:
        for segment in self.table._segments.values():
            leads = [lease for lease in segment.leases.values() if not lease.hedge]
            blocks = [b for each in leads for b in range(each.first, each.first + each.count)]
            assert len(blocks) == len(set(blocks)), leads
            assert sum(lease.hedge for lease in segment.leases.values()) <= 1

    @invariant()
    def table_and_model_hold_the_same(self) -> None:
        assert self.table.live_leases == sum(len(s.led) for s in self.model.segments)
        for position, segment in self.table._segments.items():
            naive = self.model.segments[position]
            assert set(segment.leases) == {led.epoch for led in naive.led}
            held = {
                peer: frozenset(block for block in ALL if mask >> block & 1)
                for peer, mask in segment.holders.items()
            }
            assert held == {peer: blocks for peer, blocks in naive.held.items() if blocks}

    @invariant()
    def the_indexes_agree(self) -> None:
        table = self.table
        led = {
            (position, epoch)
            for position, segment in table._segments.items()
            for epoch in segment.leases
        }
        assert set().union(*table._led_by.values()) == led
        held = [(peer, p) for p, s in table._segments.items() for peer in s.holders]
        assert {(peer, p) for peer, ps in table._held_by.items() for p in ps} == set(held)
        assert table._holdings == len(held)
        assert table.segments_held == len({position for _, position in held})


class LeaseMachineTests(SynchronousTestCase):
    def test_the_table_answers_as_the_naive_model_does(self) -> None:
        run_state_machine_as_test(
            LeaseMachine, settings=settings(settings.default, stateful_step_count=40)
        )
