"""Which block from which neighbour: the heart of the scheduler (docs/scheduling.md).

Two ways of asking. *Pull*: of neighbours that have a block, a few at a time each, the rarest first
(in order when urgent). *Spread*: of the one neighbour nearest to the origin that has or is getting
blocks which few others have, everything at once; it sends each of them first to one asker, and the
askers swap. What turns up elsewhere in the meantime is pulled there and withdrawn here.
"""

from __future__ import annotations

import math
from hashlib import sha256

from attrs import define, field

from dashp2p.content.entry import Entry
from dashp2p.swarm.commands import Ask, Doubt, Withdraw
from dashp2p.swarm.delivery import NO_DISTANCE, Delivery
from dashp2p.swarm.neighbour import FULL_DISTANCE, Neighbour
from dashp2p.swarm.state import State

NEVER_MS = 0xFFFF_FFFF
MIN_WITHIN_S = 0.5
"""Files that are not played, and short segments, are to be here within this."""


@define(eq=False)
class Offer:
    """What a neighbour has of a segment (`holds`), and has or will have (`blocks`)."""

    neighbour: Neighbour
    distance: int
    """From the origin; NO_DISTANCE where nothing is on its way to the neighbour."""
    blocks: int
    holds: int


@define(eq=False)
class Sourcing:
    """Assigns missing blocks of deliveries to neighbours."""

    state: State
    flush_at: float | None = None
    """When `flush` has something to do, if at all."""
    _withdrawn: dict[tuple[bytes, int], tuple[Entry, int]] = field(factory=dict)
    """By neighbour and segment: the blocks that he does not know yet we no longer ask him for."""

    def assign(self, delivery: Delivery, now: float) -> int:
        """Ask for whatever can usefully be asked for now; what `supplied` says is the answer."""
        if not delivery.missing or not self.state.neighbours:
            return 0
        offers = self._offers(delivery)
        self._pull(delivery, offers, now)
        self._spread(delivery, offers, now)
        return self._supplied(delivery, offers)

    def supplied(self, delivery: Delivery) -> int:
        """The missing blocks that some neighbour has, or will have before we must."""
        return self._supplied(delivery, self._offers(delivery))

    def _supplied(self, delivery: Delivery, offers: list[Offer]) -> int:
        blocks = 0
        for offer in offers:
            blocks |= offer.blocks
        for neighbour in self.state.neighbours.values():
            asked = delivery.asked.get(neighbour.peer_id, 0)
            if neighbour.leaving:
                # It takes no more requests, and answers those that it has before it goes.
                blocks |= asked & neighbour.holds(delivery.entry)
            elif asked and neighbour.peer_id in delivery.avoid:
                # It takes no more for a moment, being busy with what it was asked.
                blocks |= neighbour.promises(delivery.entry)
        return blocks & delivery.missing

    def doubtful(self, delivery: Delivery) -> int:
        """The missing blocks that are held only by neighbours of whom we know no good, and that are
        on their way to nobody."""
        sure = doubted = 0
        for neighbour in self.state.neighbours.values():
            if not self._may_ask(neighbour, delivery):
                continue
            holds = neighbour.holds(delivery.entry)
            if holds and not neighbour.reliable:
                doubted |= holds
                continue
            coming = neighbour.coming(delivery.entry.position)
            sure |= holds | (coming.blocks if coming is not None else 0)
        return doubted & ~sure & delivery.missing

    def held(self, delivery: Delivery, but: bytes = b"") -> int:
        """The blocks that some neighbour has now, apart from one."""
        blocks = 0
        for offer in self._offers(delivery):
            if offer.neighbour.peer_id != but:
                blocks |= offer.holds
        return blocks

    def release(self, delivery: Delivery, peer_id: bytes, blocks: int, now: float) -> None:
        """Take back these blocks asked of a neighbour."""
        blocks &= delivery.asked.get(peer_id, 0)
        if not blocks:
            return
        quiet_s = now - delivery.heard_at.get(peer_id, now)
        self.settle(delivery, peer_id, blocks, False, now)
        self._note_withdrawn(peer_id, delivery.entry, blocks)
        self._withdraw((peer_id, delivery.entry.position))
        neighbour = self.state.neighbours.get(peer_id)
        policy = self.state.policy
        if neighbour is not None and quiet_s >= (
            policy.late_floor_s if neighbour.reliable else policy.late_untried_s
        ):
            self.state.out.append(Doubt(peer_id))

    def _note_withdrawn(self, peer_id: bytes, entry: Entry, blocks: int) -> None:
        key = peer_id, entry.position
        _, before = self._withdrawn.get(key, (entry, 0))
        self._withdrawn[key] = entry, before | blocks

    def _withdraw(self, key: tuple[bytes, int]) -> None:
        entry, blocks = self._withdrawn.pop(key)
        if key[0] in self.state.neighbours:
            self.state.out.append(Withdraw(key[0], entry, blocks))

    def flush(self, now: float) -> None:
        """Take back at the neighbours what is had elsewhere, if it is time."""
        if self.flush_at is not None and now >= self.flush_at:
            self.flush_at = None
            for key in list(self._withdrawn):
                self._withdraw(key)

    def settle(
        self, delivery: Delivery, peer_id: bytes, blocks: int, delivered: bool, now: float
    ) -> None:
        """Book an answer (or a withdrawal) with the delivery and the neighbour."""
        plain = delivery.note_answered(peer_id, blocks, now)
        neighbour = self.state.neighbours.get(peer_id)
        if neighbour is None:
            return
        if delivered:
            neighbour.delivered(delivery.size_of(blocks))
        if plain:
            neighbour.answered(delivery.size_of(plain), delivered, now)

    # --- who can give what ------------------------------------------------------------------

    def _may_ask(self, neighbour: Neighbour, delivery: Delivery) -> bool:
        return neighbour.usable and neighbour.peer_id not in delivery.avoid

    def _offers(self, delivery: Delivery) -> list[Offer]:
        """What each neighbour that may be asked has, and will have without needing us."""
        entry, full = delivery.entry, delivery.full
        cut_through = self.state.policy.cut_through
        offers: list[Offer] = []
        for neighbour in self.state.neighbours.values():
            if not self._may_ask(neighbour, delivery):
                continue
            if neighbour.has_whole(entry.position):
                offers.append(Offer(neighbour, FULL_DISTANCE, full, full))
                continue
            coming = neighbour.coming(entry.position)
            holds = neighbour.holds(entry)
            if not cut_through or (coming is None and not holds):
                continue
            if coming is None or coming.distance == NO_DISTANCE:
                offers.append(Offer(neighbour, NO_DISTANCE, holds, holds))
                continue
            blocks = coming.blocks & full
            if delivery.distance == 0:
                blocks &= ~delivery.announced  # what we bring ourselves, it waits for
            elif coming.distance >= delivery.distance:
                blocks = 0  # it may be waiting for us: no two wait for each other
            offers.append(Offer(neighbour, coming.distance, blocks | holds, holds))
        return offers

    # --- pull -------------------------------------------------------------------------------

    def _pull(self, delivery: Delivery, offers: list[Offer], now: float) -> None:
        entry = delivery.entry
        holders: list[tuple[Neighbour, int]] = []
        once = more = 0
        for offer in offers:
            blocks, neighbour = offer.holds, offer.neighbour
            more |= once & blocks
            once |= blocks
            if blocks and neighbour.peer_id not in delivery.spread_of:
                holders.append((neighbour, blocks))
        if not holders:
            return
        spread = delivery.spread_blocks()
        open_blocks = delivery.missing & ~delivery.origin & ~(delivery.asked_blocks() & ~spread)
        if not open_blocks:
            return
        urgent = self.is_urgent(delivery, now)
        ample = self.state.is_ample(delivery.deadline_s, now)
        enough_bps = math.inf if urgent else _enough_bps(delivery)
        for neighbour, blocks in _in_order(holders, entry.block_size_bytes, urgent):
            available = blocks & open_blocks & ~delivery.spread_of.get(neighbour.peer_id, 0)
            if enough_bps <= 0:
                available &= once & ~more  # nobody else has them
            if not available:
                continue
            room = neighbour.room_bytes(self.state.policy, urgent, entry.block_size_bytes)
            count = int(room // entry.block_size_bytes)
            if neighbour.suspect:
                count = min(count, self._trial(neighbour))
            else:
                enough_bps -= neighbour.download.rate_bps
            if count <= 0:
                continue
            few = count < min(self.state.policy.pull_more_blocks, available.bit_count())
            if few and ample and neighbour.outstanding_bytes:
                continue
            if urgent:
                chosen = lowest(available, count)
            else:
                chosen = self._rarest(available & ~spread, once & ~more, count)
                chosen |= highest(available & spread, count - chosen.bit_count())
            if not chosen:
                continue
            open_blocks &= ~chosen
            self._withdraw_elsewhere(delivery, chosen & spread, now)
            self._ask(delivery, neighbour, chosen, False, urgent, now)

    def _trial(self, neighbour: Neighbour) -> int:
        """Who has broken its word is trusted with one block, and then we see."""
        peer_id = neighbour.peer_id
        return int(not any(peer_id in other.asked for other in self.state.deliveries.values()))

    def _rarest(self, available: int, rare: int, count: int) -> int:
        chosen = self.scattered(available & rare, count)
        left = count - chosen.bit_count()
        return chosen | self.scattered(available & ~chosen, left) if left else chosen

    def scattered(self, blocks: int, count: int) -> int:
        """Up to `count` of them from a random place on, so that neighbours ask for others."""
        if blocks.bit_count() <= count:
            return blocks
        if not self.state.policy.spreading:
            return lowest(blocks, count)
        start = self.state.rng.randrange(blocks.bit_length())
        upper = lowest(blocks >> start << start, count)
        return upper | lowest(blocks, count - upper.bit_count())

    # --- spread -----------------------------------------------------------------------------

    def _spread(self, delivery: Delivery, offers: list[Offer], now: float) -> None:
        policy = self.state.policy
        wanted = delivery.missing & ~delivery.origin & ~delivery.asked_blocks()
        if not wanted:
            return
        whole_holders = sum(
            offer.distance == FULL_DISTANCE and not offer.neighbour.suspect for offer in offers
        )
        if whole_holders >= policy.spread_holders or whole_holders > max(1, self.rivals(delivery)):
            return  # enough of them: what is wanted is pulled from them all
        useful = [one for one in offers if one.blocks & wanted and one.distance != NO_DISTANCE]
        useful.sort(key=lambda one: (one.distance, self._tie(one.neighbour, delivery)))
        most = policy.spare_window_blocks if delivery.spare else policy.spread_window_blocks
        window = most - delivery.spread_blocks().bit_count()
        urgent = self.is_urgent(delivery, now)
        crowd = self.rivals(delivery) + 1
        for offer in useful:
            count = min(window, self._askable(offer.neighbour, delivery))
            if offer.neighbour.suspect:
                count = min(count, self._trial(offer.neighbour))
            offered = offer.blocks & wanted
            chosen = lowest(offered, count)
            if not chosen:
                continue
            few = chosen.bit_count() < min(policy.spread_more_blocks, offered.bit_count())
            if few and delivery.spread_of and not offer.neighbour.suspect:
                continue
            wanted &= ~chosen
            window -= chosen.bit_count()
            spread = policy.spreading and not _is_share(offer, delivery, crowd)
            self._ask(delivery, offer.neighbour, chosen, spread, urgent, now)

    def _tie(self, neighbour: Neighbour, delivery: Delivery) -> bytes:
        return tie_break(self.state.peer_id, neighbour.peer_id, delivery.entry.position)

    def rivals(self, delivery: Delivery) -> int:
        """How many neighbours want the segment too, and have not got it."""
        segment = delivery.entry.position
        return sum(
            neighbour.usable and neighbour.interested(segment)
            for neighbour in self.state.neighbours.values()
        )

    def _askable(self, neighbour: Neighbour, delivery: Delivery) -> int:
        """How many blocks more a neighbour takes on its link before it says that it is busy."""
        asked_bytes = sum(
            other.asked.get(neighbour.peer_id, 0).bit_count() * other.entry.block_size_bytes
            for other in self.state.deliveries.values()
        )
        asked_bytes += sum(
            blocks.bit_count() * entry.block_size_bytes
            for (peer_id, _), (entry, blocks) in self._withdrawn.items()
            if peer_id == neighbour.peer_id
        )
        room_bytes = self.state.policy.outstanding_bytes - asked_bytes
        return room_bytes // delivery.entry.block_size_bytes

    # --- asking -----------------------------------------------------------------------------

    def is_urgent(self, delivery: Delivery, now: float) -> bool:
        """Whether there is little slack left."""
        return delivery.deadline_s - now < self.state.policy.urgent_s

    def _withdraw_elsewhere(self, delivery: Delivery, blocks: int, now: float) -> None:
        """Who spreads them withholds them from us for a while: telling him is not urgent."""
        for peer_id, asked in list(delivery.spread_of.items()):
            if asked & blocks:
                self.settle(delivery, peer_id, asked & blocks, False, now)
                self._note_withdrawn(peer_id, delivery.entry, asked & blocks)
                self._flush_by(now + self._withdraw_delay_s(delivery, now))

    def _withdraw_delay_s(self, delivery: Delivery, now: float) -> float:
        policy = self.state.policy
        ample = self.state.is_ample(delivery.deadline_s, now)
        return policy.withdraw_ample_delay_s if ample else policy.withdraw_delay_s

    def _flush_by(self, at: float) -> None:
        self.flush_at = at if self.flush_at is None else min(at, self.flush_at)

    def _ask(
        self,
        delivery: Delivery,
        neighbour: Neighbour,
        blocks: int,
        spread: bool,
        urgent: bool,
        now: float,
    ) -> None:
        if (key := (neighbour.peer_id, delivery.entry.position)) in self._withdrawn:
            self._withdraw(key)  # later it would take back what is asked for now
        delivery.note_asked(neighbour.peer_id, blocks, spread, now)
        if not spread:
            neighbour.asked(delivery.size_of(blocks), now)
        slack_ms = max(0, int((delivery.deadline_s - now) * 1000))
        self.state.out.append(
            Ask(
                neighbour.peer_id,
                delivery.entry,
                blocks,
                min(slack_ms, NEVER_MS),
                spread,
                urgent,
            )
        )


def _in_order(
    holders: list[tuple[Neighbour, int]], block_bytes: int, urgent: bool
) -> list[tuple[Neighbour, int]]:
    """Who is asked first: when urgent, who will have sent a block first; with slack, who has the
    fewest segments. His uplink is of use to the fewest others, so the work is shared: else who came
    first serves all who came later. Who was never tried comes before them, or a liar that
    says it has everything would never be found out; who broke its word, last where it is urgent."""

    def soonest(item: tuple[Neighbour, int]) -> float:
        return (item[0].outstanding_bytes + block_bytes) / max(item[0].download.rate_bps, 1.0)

    if urgent:
        return sorted(holders, key=lambda item: (item[0].suspect, soonest(item)))
    return sorted(
        holders,
        key=lambda item: (
            item[0].received_bytes > 0,
            item[0].whole.bit_count(),
            soonest(item),
        ),
    )


def _is_share(offer: Offer, delivery: Delivery, crowd: int) -> bool:
    """Whether it brings so little of the segment from the origin that its uplink can send that to
    everybody, while the others do the same: there is nothing to swap."""
    promised = offer.blocks.bit_count()
    return offer.distance == 0 and promised * crowd <= 1.5 * delivery.full.bit_count()


def _enough_bps(delivery: Delivery) -> float:
    """With slack, so much from all sources together: the rest within a quarter of its time."""
    within_s = max(MIN_WITHIN_S, (delivery.entry.duration_s or 0.0) / 4)
    return delivery.size_of(delivery.missing) * 8 / within_s


def lowest(blocks: int, count: int) -> int:
    """The `count` lowest members of a set, or all of them."""
    if count <= 0:
        return 0
    excess = blocks.bit_count() - count
    if excess <= 0:
        return blocks
    chosen = 0
    for _ in range(count):
        bit = blocks & -blocks
        chosen |= bit
        blocks ^= bit
    return chosen


def highest(blocks: int, count: int) -> int:
    """The `count` highest members of a set, or all of them."""
    chosen = 0
    for _ in range(min(count, blocks.bit_count())):
        bit = 1 << (blocks.bit_length() - 1)
        chosen |= bit
        blocks ^= bit
    return chosen


def tie_break(asker: bytes, holder: bytes, segment: int) -> bytes:
    """An order among equals that differs by asker and segment, so that load spreads evenly."""
    return sha256(asker + holder + segment.to_bytes(4, "big")).digest()[:8]


def leader_by_hash(candidates: list[bytes], segment: int) -> bytes:
    """Who fetches from the origin when there is no tracker to ask: the lowest hash."""
    return min(candidates, key=lambda peer: sha256(peer + segment.to_bytes(4, "big")).digest())
