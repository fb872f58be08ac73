"""Serving neighbours: whose request next, and which block of it.

Urgent requests go first and bypass the slots; among equals, neighbours take turns. Of a request
marked `spread`, blocks that nobody has been sent yet go first, and one that another asker was just
sent is withheld for a while, since the two can swap: so a lone holder's uplink sends each block
about once (super-seeding, BEP 16, without its trust in what peers say they have).
"""

from __future__ import annotations

from attrs import define, field

from dashp2p.content.entry import Entry
from dashp2p.swarm.commands import Refuse, Send
from dashp2p.swarm.meters import RateMeter, TokenBucket
from dashp2p.swarm.state import State
from dashp2p.wire.errors import Code
from dashp2p.wire.frames import Request

MAX_FRAME_BLOCKS = 16
HEADS = 1 + 66 / 1448 + 0.03
"""A line carries packets: Ethernet, IP and TCP heads come to so much more than the blocks. It also
carries words to neighbours, and acknowledgements of what comes: 3 %. Uncounted, they would keep a
queue before the line that never drains, and every block would wait in it."""
BURST_S = 0.05
"""What may leave at once is what a late timer missed; more would queue before the line."""
BURST_BYTES = 64 * 1024


@define(eq=False)
class Owed:
    """A neighbour's request, with the blocks not answered yet."""

    request_id: int
    entry: Entry
    blocks: int
    due_at: float
    spread: bool
    urgent: bool
    came_at: float


@define(eq=False)
class Outlet:
    """The sending side of one link."""

    peer_id: bytes
    ready: bool = True
    given_at: float = 0.0
    """When it was last given a frame."""
    owed: dict[int, Owed] = field(factory=dict)
    rate: RateMeter = field(factory=RateMeter)
    owed_bytes: int = 0
    sent_bytes: int = 0


@define(eq=False)
class Spreading:
    """What has been sent of one segment to those who swap: `sent` once or more, `again` twice."""

    sent: int = 0
    again: int = 0
    recent: list[tuple[float, int]] = field(factory=list)

    def note(self, blocks: int, now: float) -> None:
        """These blocks have been sent."""
        self.again |= self.sent & blocks
        self.sent |= blocks
        self.recent.append((now, blocks))

    def withheld(self, now: float, hold_s: float, longest_s: float) -> int:
        """Blocks sent to somebody so lately that others should have them from him. What was sent
        longer ago than `longest_s` is forgotten."""
        self.recent = [(at, blocks) for at, blocks in self.recent if now - at < longest_s]
        held = 0
        for at, blocks in self.recent:
            if now - at < hold_s:
                held |= blocks
        return held


@define(eq=False)
class Uplink:
    """All links' sending sides under one rate limit, as the line counts. `limit_bps` None: none."""

    state: State
    limit_bps: float | None = None
    outlets: dict[bytes, Outlet] = field(factory=dict)
    total_bytes: int = 0
    closing: bool = False
    """Nothing new is taken on: what is owed already is the last."""
    _bucket: TokenBucket | None = None
    _spreading: dict[int, Spreading] = field(factory=dict)
    _turns: list[bytes] = field(factory=list)
    wake_at: float | None = None
    """When `pump` may have something to do without any event, if at all."""

    def __attrs_post_init__(self) -> None:
        if self.limit_bps is not None:
            rate = self.limit_bps / 8 / HEADS
            self._bucket = TokenBucket(rate, max(BURST_BYTES, rate * BURST_S))

    def join(self, peer_id: bytes) -> None:
        """A link is open."""
        self.outlets[peer_id] = Outlet(peer_id)
        self._turns.append(peer_id)

    def leave(self, peer_id: bytes) -> None:
        """A link is gone, and what was owed on it."""
        if self.outlets.pop(peer_id, None) is not None:
            self._turns.remove(peer_id)

    def ready(self, peer_id: bytes, now: float) -> None:
        """The link has taken what it was given."""
        outlet = self.outlets.get(peer_id)
        if outlet is not None and not outlet.ready:
            outlet.ready = True
            outlet.rate.stop(now)
            self.pump(now)

    def request(self, peer_id: bytes, entry: Entry | None, request: Request, now: float) -> None:
        """A neighbour asks. What is neither here nor coming is refused at once."""
        outlet = self.outlets.get(peer_id)
        if outlet is None or not request.blocks:
            return
        refuse = self._refusal(outlet, entry, request)
        if refuse is not None or entry is None:
            code = refuse if refuse is not None else Code.NOT_HERE
            self._refuse(peer_id, request.request_id, request.segment, request.blocks, code)
            return
        promised = self.state.blocks_here(entry.position) | self.state.blocks_coming(entry.position)
        lacking = request.blocks & ~promised
        if lacking:
            self._refuse(peer_id, request.request_id, request.segment, lacking, Code.NOT_HERE)
        blocks = request.blocks & promised
        if not blocks:
            return
        outlet.owed[request.request_id] = Owed(
            request_id=request.request_id,
            entry=entry,
            blocks=blocks,
            due_at=now + request.deadline_ms / 1000,
            spread=request.spread,
            urgent=request.urgent,
            came_at=now,
        )
        outlet.owed_bytes += blocks.bit_count() * entry.block_size_bytes
        self.pump(now)

    def _refusal(self, outlet: Outlet, entry: Entry | None, request: Request) -> Code | None:
        if not self.state.uploads:
            return Code.NOT_HERE
        if self.closing:
            return Code.SHUTTING_DOWN
        if entry is None:
            return Code.NOT_HERE
        if request.blocks >> entry.block_count:
            return Code.BAD_REQUEST
        size = request.blocks.bit_count() * entry.block_size_bytes
        if outlet.owed_bytes + size > self.state.policy.outstanding_bytes + entry.block_size_bytes:
            return Code.BUSY
        return None

    def cancel(self, peer_id: bytes, request_id: int, segment: int, blocks: int) -> None:
        """The neighbour no longer wants these (the session names only what is still owed)."""
        outlet = self.outlets.get(peer_id)
        owed = outlet.owed.get(request_id) if outlet is not None else None
        if outlet is None or owed is None:
            return
        blocks &= owed.blocks
        if blocks:
            self._settle(outlet, owed, blocks)
            self._refuse(peer_id, request_id, segment, blocks, Code.CANCELLED)

    def withdraw(self, segment: int, blocks: int) -> None:
        """These blocks will not come after all: whoever waits is told."""
        for outlet in self.outlets.values():
            for owed in list(outlet.owed.values()):
                lost = owed.blocks & blocks
                if owed.entry.position == segment and lost:
                    self._settle(outlet, owed, lost)
                    self._refuse(outlet.peer_id, owed.request_id, segment, lost, Code.NOT_HERE)

    def waits(self, peer_id: bytes, segment: int) -> bool:
        """Whether that neighbour has asked us for the segment, so needs no news of its blocks."""
        outlet = self.outlets.get(peer_id)
        return outlet is not None and any(
            owed.entry.position == segment for owed in outlet.owed.values()
        )

    def wanted(self, segment: int) -> bool:
        """Whether any neighbour waits for blocks of that segment."""
        return any(self.waits(peer_id, segment) for peer_id in self.outlets)

    def forget_all(self) -> None:
        """What was sent of which segment does not matter any more."""
        self._spreading.clear()

    # --- choosing ---------------------------------------------------------------------------

    def pump(self, now: float) -> None:
        """Give every link that is ready its next frame."""
        self.wake_at = None
        slots = self.state.policy.upload_slots
        slack_served = 0
        for peer_id in list(self._turns):
            outlet = self.outlets[peer_id]
            if not outlet.owed:
                continue
            choice = self._choose(outlet, now)
            if choice is None:
                continue
            owed, first, count = choice
            if not owed.urgent and self._takes(outlet, now):
                slack_served += 1
                if slack_served > slots:
                    self._wake(now + self.state.policy.slot_s)
                    continue
            if not outlet.ready:
                continue
            if not self._afford(outlet, owed, first, count, now):
                return

    def _takes(self, outlet: Outlet, now: float) -> bool:
        """Whether its link moves: who was stopped or cut off would keep a slot until the link is
        given up, and four such would leave all others to wait until they are in a hurry."""
        return outlet.ready or now - outlet.given_at < self.state.policy.slot_s

    def _afford(self, outlet: Outlet, owed: Owed, first: int, count: int, now: float) -> bool:
        size = owed.entry.run_length(first, count)
        if self._bucket is not None:
            wait_s = self._bucket.wait_s(size, now)
            if wait_s > 0:
                self._wake(now + wait_s)
                return False
            self._bucket.spend(size, now)
        self._send(outlet, owed, first, count, size, now)
        return True

    def _send(
        self, outlet: Outlet, owed: Owed, first: int, count: int, size: int, now: float
    ) -> None:
        blocks = ((1 << count) - 1) << first
        self._spread_of(owed.entry.position).note(blocks, now)
        self._settle(outlet, owed, blocks)
        outlet.ready = False
        outlet.given_at = now
        outlet.rate.start(now)
        outlet.rate.add(size, now)
        outlet.sent_bytes += size
        self.total_bytes += size
        self._turns.remove(outlet.peer_id)
        self._turns.append(outlet.peer_id)
        self.state.out.append(Send(outlet.peer_id, owed.request_id, owed.entry, first, count))

    def _choose(self, outlet: Outlet, now: float) -> tuple[Owed, int, int] | None:
        order = sorted(outlet.owed.values(), key=lambda owed: (not owed.urgent, owed.due_at))
        for owed in order:
            available = owed.blocks & self.state.blocks_here(owed.entry.position)
            if not available:
                continue
            limit = self._frame_blocks(outlet, owed.entry)
            if owed.spread and self.state.policy.spreading:
                available = self._spreadable(owed, available, now)
                if self._rivals(outlet, owed.entry.position):
                    policy = self.state.policy
                    ample = self.state.is_ample(owed.due_at, now)
                    turn = policy.turn_ample_blocks if ample else policy.turn_blocks
                    limit = min(limit, turn)
            if available:
                first = (available & -available).bit_length() - 1
                run = available >> first
                length = (~run & (run + 1)).bit_length() - 1
                if length < limit and self._will_be_longer(owed, first + length, now):
                    continue
                return owed, first, min(length, limit)
        return None

    def _will_be_longer(self, owed: Owed, block: int, now: float) -> bool:
        """Whether a run of blocks, with ample slack, goes on with what comes from the origin."""
        if not owed.spread or not self.state.is_ample(owed.due_at, now):
            return False
        delivery = self.state.deliveries.get(owed.entry.position)
        if delivery is None or not delivery.origin >> block & 1:
            return False
        until = delivery.came_at + self.state.policy.run_wait_s
        if now >= until:
            return False
        self._wake(until)
        return True

    def _spreadable(self, owed: Owed, available: int, now: float) -> int:
        spreading = self._spread_of(owed.entry.position)
        fresh = available & ~spreading.sent
        if fresh:
            return fresh
        policy = self.state.policy
        hold_s = policy.hold_s + self.state.allowance_s if owed.urgent else policy.hold_slack_s
        held = spreading.withheld(now, hold_s, max(hold_s, policy.hold_slack_s))
        free = available & ~held
        if not free:
            self._wake(now + hold_s / 4)
            return 0
        once = free & ~spreading.again
        return once or free

    def _rivals(self, outlet: Outlet, segment: int) -> bool:
        return any(
            other is not outlet
            and any(owed.entry.position == segment for owed in other.owed.values())
            for other in self.outlets.values()
        )

    def _frame_blocks(self, outlet: Outlet, entry: Entry) -> int:
        fits = outlet.rate.rate_bps / 8 * self.state.policy.frame_s / entry.block_size_bytes
        return max(1, min(MAX_FRAME_BLOCKS, int(fits)))

    def _spread_of(self, segment: int) -> Spreading:
        return self._spreading.setdefault(segment, Spreading())

    def _settle(self, outlet: Outlet, owed: Owed, blocks: int) -> None:
        owed.blocks &= ~blocks
        outlet.owed_bytes -= blocks.bit_count() * owed.entry.block_size_bytes
        if not owed.blocks:
            outlet.owed.pop(owed.request_id, None)

    def _refuse(
        self, peer_id: bytes, request_id: int, segment: int, blocks: int, code: Code
    ) -> None:
        self.state.out.append(Refuse(peer_id, request_id, segment, blocks, int(code)))

    def _wake(self, at: float) -> None:
        self.wake_at = at if self.wake_at is None else min(self.wake_at, at)
