"""A session whose other side sends any frame at any time: in order, or closed with a code."""

from __future__ import annotations

from attrs import evolve
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.wire import limits
from dashp2p.wire.codec import encode
from dashp2p.wire.errors import Code, LocalProtocolError, ProtocolError
from dashp2p.wire.frames import Cancel, Data, Frame, Hashes, Ping, Reject, Request
from dashp2p.wire.ledger import Outstanding
from dashp2p.wire.session import Session
from dashp2p.wire.states import State
from tests.wire.helpers import HAVE, HELLO, open_pair
from tests.wire.strategies import plain_sets, unasked_frames

ids = st.integers(1, 6)
segments = st.integers(0, 2)


class Stranger(RuleBasedStateMachine):
    """After a breach the link is made anew."""

    def __init__(self) -> None:
        super().__init__()
        self.session: Session = open_pair()[0]
        self.broken: ProtocolError | None = None

    @rule()
    @precondition(lambda self: self.broken is not None)
    def begin_anew(self) -> None:
        self.session = open_pair()[0]
        self.broken = None

    def entry(self, pick: int) -> Outstanding | None:
        """One of what we have asked."""
        entries = list(self.session.asked)
        return entries[pick % len(entries)] if entries else None

    def hear(self, raw: bytes) -> None:
        asked = {entry.request_id: entry.blocks for entry in self.session.asked}
        try:
            events = self.session.receive_data(raw)
        except ProtocolError as error:
            self.broken = error
            events = list(error.events)
        for event in events:
            if isinstance(event, Data):
                came = ((1 << event.count) - 1) << event.first
                assert came & ~asked[event.request_id] == 0, "blocks that nobody asked for"
            elif isinstance(event, Reject):
                assert event.blocks & ~asked[event.request_id] == 0
            elif isinstance(event, Hashes):
                assert event.request_id in asked
        self.session.data_to_send()

    @rule(segment=segments, blocks=plain_sets(16), hashes=st.booleans())
    @precondition(lambda self: self.broken is None)
    def we_ask(self, segment: int, blocks: int, hashes: bool) -> None:
        try:
            self.session.send(Request(segment, blocks, hashes=hashes))
        except LocalProtocolError:
            assert not self.session.can_request or not (blocks or hashes)
        self.session.data_to_send()

    @rule(frame=unasked_frames)
    @precondition(lambda self: self.broken is None)
    def they_tell(self, frame: Frame) -> None:
        self.hear(b"".join(encode(frame)))

    @rule(pick=st.integers(0, 9), first=st.integers(0, 15), count=st.integers(1, 4))
    @precondition(lambda self: self.broken is None)
    def they_answer(self, pick: int, first: int, count: int) -> None:
        entry = self.entry(pick)
        if entry is None:
            return
        if entry.hashes:
            self.hear(b"".join(encode(Hashes(entry.request_id, entry.segment, bytes(64)))))
        data = Data(entry.request_id, entry.segment, first, count, bytes(count * 5))
        self.hear(b"".join(encode(data)))

    @rule(request_id=ids, segment=segments, first=st.integers(0, 15), count=st.integers(1, 4))
    @precondition(lambda self: self.broken is None)
    def they_answer_anything(self, request_id: int, segment: int, first: int, count: int) -> None:
        self.hear(b"".join(encode(Data(request_id, segment, first, count, bytes(count * 5)))))

    @rule(request_id=ids, segment=segments, blocks=plain_sets(16))
    @precondition(lambda self: self.broken is None)
    def they_reject(self, request_id: int, segment: int, blocks: int) -> None:
        self.hear(b"".join(encode(Reject(request_id, segment, blocks, int(Code.BUSY)))))

    @rule(request_id=ids, segment=segments)
    @precondition(lambda self: self.broken is None)
    def they_prove(self, request_id: int, segment: int) -> None:
        self.hear(b"".join(encode(Hashes(request_id, segment, bytes(64)))))

    @rule(request_id=st.integers(1, 100), segment=segments, blocks=plain_sets(16))
    @precondition(lambda self: self.broken is None)
    def they_ask(self, request_id: int, segment: int, blocks: int) -> None:
        request = evolve(Request(segment, blocks or 1), request_id=request_id)
        self.hear(b"".join(encode(request)))

    @rule(request_id=ids, segment=segments, blocks=plain_sets(16))
    @precondition(lambda self: self.broken is None)
    def they_cancel(self, request_id: int, segment: int, blocks: int) -> None:
        self.hear(b"".join(encode(Cancel(request_id, segment, blocks))))

    @rule(greeting=st.sampled_from([HELLO, HAVE]))
    @precondition(lambda self: self.broken is None)
    def they_greet_again(self, greeting: Frame) -> None:
        self.hear(b"".join(encode(greeting)))

    @rule(raw=st.binary(max_size=64))
    @precondition(lambda self: self.broken is None)
    def they_send_noise(self, raw: bytes) -> None:
        self.hear(raw)

    @invariant()
    def what_it_keeps_is_bounded(self) -> None:
        assert len(self.session.owed) <= limits.MAX_OUTSTANDING_REQUESTS
        assert len(self.session.asked) <= limits.MAX_OUTSTANDING_REQUESTS
        assert self.session.buffered_bytes <= limits.HEADER_BYTES + limits.MAX_FRAME_BYTES

    @invariant()
    def a_breach_is_the_end(self) -> None:
        if self.broken is not None:
            assert self.session.state is State.CLOSED
            assert self.session.receive_data(b"".join(encode(Ping(1)))) == []
            assert self.session.data_to_send() == []


class StrangerTests(SynchronousTestCase):
    def test_a_stranger_gets_nothing_but_the_protocol(self) -> None:
        run_state_machine_as_test(
            Stranger,
            settings=settings(
                max_examples=60, stateful_step_count=40, suppress_health_check=list(HealthCheck)
            ),
        )
