"""Two sessions in a long, random, well-behaved conversation over links that cut anywhere.

Whatever is asked, answered, cancelled and delivered late in whatever pieces: neither side finds
fault with the other, events are what was sent, and both keep the same books.
"""

from __future__ import annotations

from collections import deque

from attrs import evolve
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.wire import limits
from dashp2p.wire.blockset import EMPTY, WHOLE, iter_runs
from dashp2p.wire.errors import Code
from dashp2p.wire.frames import Cancel, Data, Frame, Hashes, Ping, Pong, Reject, Request
from dashp2p.wire.ledger import Outstanding
from dashp2p.wire.session import Session
from tests.wire.helpers import open_pair
from tests.wire.strategies import plain_sets, unasked_frames

sides = st.sampled_from([0, 1])
news = unasked_frames.filter(lambda frame: not isinstance(frame, (Cancel, Ping, Pong)))


class Conversation(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.sessions: tuple[Session, Session] = open_pair()
        self.on_the_way: tuple[bytearray, bytearray] = (bytearray(), bytearray())
        self.expected: tuple[deque[Frame], deque[Frame]] = (deque(), deque())

    def say(self, side: int, frame: Frame) -> int | None:
        """Send a frame from a side, and remember that the other is to see it."""
        session = self.sessions[side]
        open_before = isinstance(frame, Cancel) and session.asked.get(frame.request_id)
        request_id = session.send(frame)
        if isinstance(frame, Request):
            assert request_id is not None
            frame = evolve(frame, request_id=request_id)
        if not isinstance(frame, Cancel) or open_before:
            self.expected[1 - side].append(frame)
        self.flush(side)
        return request_id

    def flush(self, side: int) -> None:
        self.on_the_way[1 - side].extend(b"".join(self.sessions[side].data_to_send()))

    @rule(side=sides, blocks=plain_sets(64), hashes=st.booleans(), segment=st.integers(0, 3))
    def ask(self, side: int, blocks: int, hashes: bool, segment: int) -> None:
        if self.sessions[side].can_request:
            self.say(side, Request(segment, blocks, hashes=hashes))

    @rule(side=sides, pick=st.integers(0), size=st.integers(1, limits.MAX_DATA_BLOCKS))
    def answer_with_data(self, side: int, pick: int, size: int) -> None:
        entry = self.pick(side, pick)
        if entry is None:
            return
        if entry.hashes:
            self.say(side, Hashes(entry.request_id, entry.segment, bytes(64)))
        first, longest = next(iter_runs(entry.blocks))
        size = min(size, longest)
        self.say(side, Data(entry.request_id, entry.segment, first, size, bytes(size * 3)))

    @rule(side=sides, pick=st.integers(0), some=st.integers(0), whole=st.booleans())
    def reject(self, side: int, pick: int, some: int, whole: bool) -> None:
        entry = self.pick(side, pick)
        if entry is None:
            return
        blocks = entry.blocks & some or entry.blocks
        sent = Reject(entry.request_id, entry.segment, WHOLE if whole else blocks, Code.BUSY)
        seen = evolve(sent, blocks=entry.blocks if whole else blocks)
        self.say(side, sent)
        self.expected[1 - side][-1] = seen

    @rule(side=sides, pick=st.integers(0), blocks=st.one_of(plain_sets(64), st.just(WHOLE)))
    def cancel(self, side: int, pick: int, blocks: int) -> None:
        entries = list(self.sessions[side].asked)
        if entries:
            entry = entries[pick % len(entries)]
            self.say(side, Cancel(entry.request_id, entry.segment, blocks))

    @rule(side=sides, frame=news)
    def tell_news(self, side: int, frame: Frame) -> None:
        self.say(side, frame)

    @rule(side=sides, token=st.integers(0, 9))
    def ping(self, side: int, token: int) -> None:
        self.say(side, Ping(token))

    @rule(side=sides, part=st.floats(0, 1))
    def deliver_some(self, side: int, part: float) -> None:
        self.deliver(side, int(len(self.on_the_way[side]) * part))

    @rule(pieces=st.integers(1, 5000))
    def deliver_all(self, pieces: int) -> None:
        while any(self.on_the_way):
            for side in (0, 1):
                self.deliver(side, pieces)
        assert not any(self.expected)
        for asker, holder in (self.sessions, self.sessions[::-1]):
            assert list(asker.asked) == list(holder.owed)
            assert asker.payload_bytes_sent == holder.payload_bytes_received
            assert asker.control_bytes_sent == holder.control_bytes_received

    def deliver(self, side: int, size: int) -> None:
        waiting = self.on_the_way[side]
        data = bytes(waiting[:size])
        del waiting[:size]
        for event in self.sessions[side].receive_data(data):
            self.check(event, self.expected[side].popleft())
            if isinstance(event, Ping):
                self.expected[1 - side].append(Pong(event.token))
        self.flush(side)

    def check(self, event: Frame, expected: Frame) -> None:
        if isinstance(expected, Cancel):
            assert isinstance(event, Cancel)
            assert event.request_id == expected.request_id
            assert event.blocks & ~(expected.blocks & ((1 << 64) - 1)) == EMPTY
        else:
            assert event == expected

    def pick(self, side: int, pick: int) -> Outstanding | None:
        entries = list(self.sessions[side].owed)
        return entries[pick % len(entries)] if entries else None

    @invariant()
    def an_open_request_has_open_blocks(self) -> None:
        for session in self.sessions:
            for entry in (*session.asked, *session.owed):
                assert entry.blocks or entry.hashes

    @invariant()
    def buffers_are_bounded(self) -> None:
        for session in self.sessions:
            assert session.buffered_bytes <= limits.HEADER_BYTES + limits.MAX_FRAME_BYTES


class Conversations(SynchronousTestCase):
    def test_two_sessions_never_find_fault_with_each_other(self) -> None:
        run_state_machine_as_test(
            Conversation,
            settings=settings(
                max_examples=40, stateful_step_count=40, suppress_health_check=list(HealthCheck)
            ),
        )
