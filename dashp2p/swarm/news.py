"""What neighbours are told: GETTING, GOT and GONE, gathered a little, where it matters."""

from __future__ import annotations

from attrs import define, field

from dashp2p.swarm.commands import Tell
from dashp2p.swarm.delivery import NO_DISTANCE, Delivery
from dashp2p.swarm.neighbour import Neighbour
from dashp2p.swarm.sourcing import tie_break
from dashp2p.swarm.state import State
from dashp2p.swarm.uplink import Uplink
from dashp2p.wire.blockset import WHOLE
from dashp2p.wire.frames import Fetching, Frame, Getting, Gone, Got, SegmentBlocks

MAX_NEWS = 64


@define(eq=False)
class News:
    """Outgoing announcements of one node."""

    state: State
    uplink: Uplink
    flush_at: float | None = None
    _parts: dict[int, int] = field(factory=dict)
    """Blocks that came and were not announced, by segment."""
    _wishes: dict[int, Delivery] = field(factory=dict)
    """Deliveries of which neighbours have heard nothing yet, by segment."""

    def want(self, delivery: Delivery, now: float) -> None:
        """We want the segment and have no source for it yet.

        Usually there is one within moments, and to say that says the wish too: of the words of a
        crowd's start every seventh is saved by waiting for it.
        """
        self._wishes[delivery.entry.position] = delivery
        self._flush_by(now + self.state.policy.wish_delay_s)

    def _flush_by(self, at: float) -> None:
        self.flush_at = at if self.flush_at is None else min(self.flush_at, at)

    def getting(self, delivery: Delivery, distance: int, blocks: int) -> None:
        """These blocks are on their way. A distance that rises retracts the old word first."""
        if distance == delivery.distance and blocks == delivery.announced:
            return
        if delivery.announced and distance > delivery.distance:
            lost = delivery.announced & delivery.missing
            self._tell_lacking(delivery.entry.position, Gone((self._part(delivery, lost),)))
        self._getting(delivery, distance, blocks)

    def _getting(self, delivery: Delivery, distance: int, blocks: int) -> None:
        self._wishes.pop(delivery.entry.position, None)
        delivery.distance = distance
        delivery.announced = blocks
        sent = WHOLE if blocks == delivery.full else blocks
        segment = delivery.entry.position
        frame = Getting((Fetching(segment, delivery.epoch, distance, sent),))
        for peer_id in self._hearers(segment, distance):
            self._tell(peer_id, frame)

    def _hearers(self, segment: int, distance: int) -> list[bytes]:
        """Who lacks the segment; of many, where we bring it not from the origin ourselves, always
        the same few: they have it from us, and tell others in their turn."""
        lacking = self._lacking(segment)
        most = self.state.policy.promise_fanout
        if distance == 0 or self.state.tracker_away or len(lacking) <= most:
            return lacking  # without a tracker all who want it elect one who fetches
        own = self.state.peer_id
        return sorted(lacking, key=lambda other: tie_break(own, other, segment))[:most]

    def arrived(self, delivery: Delivery, blocks: int, rare: bool, now: float) -> None:
        """Blocks came; `rare` ones, which few others can have, are announced soon."""
        if not self.state.policy.cut_through:
            return
        segment = delivery.entry.position
        self._parts[segment] = self._parts.get(segment, 0) | blocks
        policy = self.state.policy
        urgent = delivery.deadline_s - now < policy.urgent_s
        ample = self.state.is_ample(delivery.deadline_s, now)
        if rare and urgent:
            self._flush_by(now + policy.news_delay_s)
        elif rare or urgent:
            self._flush_by(
                now + (policy.news_ample_delay_s if ample else policy.news_slack_delay_s)
            )

    def whole(self, segment: int) -> None:
        """The segment is complete: everybody may ask for it."""
        self._parts.pop(segment, None)
        self._wishes.pop(segment, None)
        self._tell_lacking(segment, Got((SegmentBlocks(segment, WHOLE),)))

    def evicted(self, segment: int) -> None:
        """The segment is no longer here."""
        for peer_id in self.state.neighbours:
            self._tell(peer_id, Gone((SegmentBlocks(segment, WHOLE),)))

    def given_up(self, delivery: Delivery) -> None:
        """What was on its way will not come, and what came is thrown away."""
        self._parts.pop(delivery.entry.position, None)
        self._wishes.pop(delivery.entry.position, None)
        self._tell_lacking(
            delivery.entry.position, Gone((SegmentBlocks(delivery.entry.position, WHOLE),))
        )

    def flush(self, now: float) -> None:
        """Announce what has gathered, if it is time."""
        if self.flush_at is None or now < self.flush_at:
            return
        self.flush_at = None
        for delivery in list(self._wishes.values()):
            self._getting(delivery, NO_DISTANCE, 0)
        parts, self._parts = self._parts, {}
        told = 0
        for peer_id, neighbour in self._in_turns():
            news = tuple(
                SegmentBlocks(segment, blocks)
                for segment, blocks in parts.items()
                if neighbour.interested(segment) and not self.uplink.waits(peer_id, segment)
            )[:MAX_NEWS]
            if news:
                self._tell(peer_id, Got(news))
                told += 1
                if told == self.state.policy.news_fanout:
                    break

    def _in_turns(self) -> list[tuple[bytes, Neighbour]]:
        """All neighbours, where not all are told others first each time."""
        neighbours = list(self.state.neighbours.items())
        if len(neighbours) > self.state.policy.news_fanout:
            self.state.rng.shuffle(neighbours)
        return neighbours

    def greet(self, neighbour: Neighbour) -> None:
        """Tell a new neighbour what is under way."""
        getting: list[Fetching] = []
        got: list[SegmentBlocks] = []
        for segment, delivery in self.state.deliveries.items():
            blocks = WHOLE if delivery.announced == delivery.full else delivery.announced
            getting.append(Fetching(segment, delivery.epoch, delivery.distance, blocks))
            if delivery.here and self.state.policy.cut_through:
                got.append(SegmentBlocks(segment, delivery.here))
        if getting:
            self._tell(neighbour.peer_id, Getting(tuple(getting[:MAX_NEWS])))
        if got:
            self._tell(neighbour.peer_id, Got(tuple(got[:MAX_NEWS])))

    def catch_up(self, neighbour: Neighbour, segment: int) -> None:
        """It wants the segment from now on: blocks that came before were news to others only."""
        delivery = self.state.deliveries.get(segment)
        if delivery is None or not self.state.policy.cut_through:
            return
        here = delivery.here & ~self._parts.get(segment, 0)
        if here and not self.uplink.waits(neighbour.peer_id, segment):
            self._tell(neighbour.peer_id, Got((SegmentBlocks(segment, here),)))

    def _part(self, delivery: Delivery, blocks: int) -> SegmentBlocks:
        segment = delivery.entry.position
        return SegmentBlocks(segment, WHOLE if blocks == delivery.full else blocks)

    def _tell_lacking(self, segment: int, frame: Frame) -> None:
        for peer_id in self._lacking(segment):
            self._tell(peer_id, frame)

    def _lacking(self, segment: int) -> list[bytes]:
        neighbours = self.state.neighbours.items()
        return [peer_id for peer_id, one in neighbours if not one.has_whole(segment)]

    def _tell(self, peer_id: bytes, frame: Frame) -> None:
        if self.state.uploads or isinstance(frame, Gone):
            self.state.out.append(Tell(peer_id, frame))
