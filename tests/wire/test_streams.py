"""Streams in pieces: the same frames however they are cut, bounded memory, linear time."""

from __future__ import annotations

import time
import tracemalloc

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.wire import limits
from dashp2p.wire.frames import Data, Frame, Ping
from tests.wire.helpers import (
    SEGMENT,
    STATES,
    asked_pair,
    cut,
    deliver,
    open_pair,
    receiver_in,
    stream_of,
    ways_to_deliver,
)
from tests.wire.strategies import any_frame, unasked_frames

MOST_BUFFERED = limits.HEADER_BYTES + limits.MAX_FRAME_BYTES
places = st.lists(st.integers(0, 5000), max_size=20)


class CutAnywhere(SynchronousTestCase):
    @given(st.lists(unasked_frames, max_size=6), places)
    def test_frames_are_the_same_however_the_stream_is_cut(
        self, frames: list[Frame], places: list[int]
    ) -> None:
        raw = stream_of(frames)
        whole = deliver(receiver_in("open"), [raw])
        self.assertEqual(len(whole.events), len(frames))
        self.assertEqual(deliver(receiver_in("open"), cut(raw, places)), whole)

    @given(st.lists(any_frame, max_size=4), places, st.sampled_from(STATES))
    def test_offences_are_the_same_however_the_stream_is_cut(
        self, frames: list[Frame], places: list[int], state: str
    ) -> None:
        raw = stream_of(frames)
        whole = deliver(receiver_in(state), [raw])
        self.assertEqual(deliver(receiver_in(state), cut(raw, places)), whole)

    def test_one_of_each_arrives_whole_byte_by_byte_and_in_pieces(self) -> None:
        raw = stream_of([Ping(n) for n in range(5)])
        for way, pieces in ways_to_deliver(raw):
            outcome = deliver(receiver_in("open"), pieces)
            self.assertEqual(outcome.events, [Ping(n) for n in range(5)], way)

    def test_the_largest_data_arrives_byte_by_byte(self) -> None:
        asker, holder, request_id = asked_pair((1 << 16) - 1)
        blocks = bytes(range(256)) * 1024
        holder.send(Data(request_id, SEGMENT, 0, 16, blocks))
        raw = b"".join(holder.data_to_send())
        outcome = deliver(asker, [raw[at : at + 1] for at in range(len(raw))])
        self.assertEqual(outcome.events, [Data(request_id, SEGMENT, 0, 16, blocks)])
        self.assertLessEqual(outcome.buffered, MOST_BUFFERED)


class AnyBytes(SynchronousTestCase):
    """`deliver` lets every exception but ProtocolError through, so it would fail the test."""

    @given(st.binary(max_size=400), places, st.sampled_from(STATES))
    def test_any_bytes_are_frames_or_a_protocol_error(
        self, raw: bytes, places: list[int], state: str
    ) -> None:
        outcome = deliver(receiver_in(state), cut(raw, places))
        self.assertLessEqual(outcome.buffered, MOST_BUFFERED)

    @given(
        st.sampled_from(range(16)),
        st.integers(0, 3),
        st.integers(0, 40),
        st.binary(max_size=40),
        st.sampled_from(STATES),
    )
    def test_any_payload_of_a_known_type_is_a_frame_or_a_protocol_error(
        self, frame_type: int, request_id: int, length: int, payload: bytes, state: str
    ) -> None:
        raw = bytes.fromhex(f"{length:08x}{frame_type:02x}00{request_id:08x}") + payload
        deliver(receiver_in(state), [raw])

    @given(
        st.lists(any_frame, min_size=1, max_size=3),
        st.lists(st.tuples(st.integers(0, 600), st.integers(1, 255)), max_size=4),
        st.sampled_from(STATES),
    )
    def test_a_stream_with_flipped_bits_is_frames_or_a_protocol_error(
        self, frames: list[Frame], flips: list[tuple[int, int]], state: str
    ) -> None:
        raw = bytearray(stream_of(frames))
        for place, bits in flips:
            raw[place % len(raw)] ^= bits
        outcome = deliver(receiver_in(state), [bytes(raw)])
        self.assertLessEqual(outcome.buffered, MOST_BUFFERED)


class Costs(SynchronousTestCase):
    def test_tiny_pieces_do_not_cost_many_times_their_size(self) -> None:
        asker, holder, request_id = asked_pair((1 << 16) - 1)
        holder.send(Data(request_id, SEGMENT, 0, 16, bytes(limits.MAX_DATA_BYTES)))
        raw = b"".join(holder.data_to_send())[:-1]
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        for at in range(0, len(raw), 7):
            asker.receive_data(raw[at : at + 7])
        _, peak = tracemalloc.get_traced_memory()
        self.assertLess(peak, 3 * limits.MAX_DATA_BYTES)

    def test_a_session_does_not_keep_the_read_that_it_has_worked_off(self) -> None:
        session, _ = open_pair()
        raw = stream_of([Ping(1)] * 2000)
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        session.receive_data(bytes(bytearray(raw)))
        session.data_to_send()
        kept, _ = tracemalloc.get_traced_memory()
        self.assertLess(kept, len(raw) // 2)

    def test_many_frames_in_one_read_take_time_in_proportion(self) -> None:
        def cpu_s(number: int) -> float:
            raw = stream_of([Ping(1)]) * number
            rounds = []
            for _ in range(3):
                session, _ = open_pair()
                started = time.process_time()
                session.receive_data(raw)
                rounds.append(time.process_time() - started)
            return min(rounds)

        # Copying the rest of the read for each frame would make it some 60 times as much, not 16.
        self.assertLess(cpu_s(32_000) / cpu_s(2_000), 40)
