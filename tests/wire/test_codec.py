"""Frames to bytes and back; what an encoder refuses."""

from __future__ import annotations

from hypothesis import given
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.wire import codec, frames, limits
from dashp2p.wire.blockset import EMPTY, WHOLE
from dashp2p.wire.errors import LocalProtocolError
from dashp2p.wire.frames import Frame, FrameType
from tests.wire.helpers import HELLO, stream_of
from tests.wire.strategies import any_frame
from tests.wire.test_vectors import decode_alone


class RoundTrip(SynchronousTestCase):
    @given(any_frame)
    def test_every_frame_comes_back_from_its_bytes(self, frame: Frame) -> None:
        self.assertEqual(decode_alone(stream_of([frame])), frame)

    @given(any_frame)
    def test_no_frame_is_longer_than_its_type_may_be(self, frame: Frame) -> None:
        raw = stream_of([frame])
        longest = codec.MAX_PAYLOAD_BYTES[codec.type_of(frame)]
        self.assertLessEqual(len(raw) - limits.HEADER_BYTES, longest)

    def test_the_longest_of_each_kind_reaches_its_limit_exactly(self) -> None:
        both_ends = 1 | 1 << limits.MAX_SEGMENT_BLOCKS - 1
        news = (frames.SegmentBlocks(1, both_ends),) * limits.MAX_NEWS
        fetching = (frames.Fetching(1, 1, 1, both_ends),) * limits.MAX_NEWS
        longest: list[Frame] = [
            frames.Hello(bytes(32), bytes(32), 1, ticket=bytes(limits.MAX_TICKET_BYTES)),
            frames.Have(limits.MAX_POSITIONS, 1),
            frames.Got(news),
            frames.Getting(fetching),
            frames.Gone(news),
            frames.Request(1, both_ends),
            frames.Data(1, 1, 0, 16, bytes(limits.MAX_DATA_BYTES)),
            frames.Hashes(1, 1, bytes(32 * limits.MAX_SEGMENT_BLOCKS)),
            frames.Reject(1, 1, both_ends, 1),
            frames.Cancel(1, 1, both_ends),
            frames.Ping(1),
            frames.Pong(1),
            frames.Error(1, "x" * limits.MAX_ERROR_TEXT_BYTES),
            frames.GoAway(1),
        ]
        sizes = {codec.type_of(f): len(stream_of([f])) - limits.HEADER_BYTES for f in longest}
        self.assertEqual(sizes, codec.MAX_PAYLOAD_BYTES)
        self.assertEqual(max(sizes.values()), limits.MAX_FRAME_BYTES)

    def test_the_blocks_of_a_data_frame_are_not_copied(self) -> None:
        blocks = bytes(100_000)
        parts = codec.encode(frames.Data(1, 1, 0, 7, blocks))
        self.assertIs(parts[1], blocks)

    def test_a_long_error_text_is_cut_between_characters(self) -> None:
        frame = decode_alone(stream_of([frames.Error(3, "x" + "é" * 200)]))
        assert isinstance(frame, frames.Error)
        self.assertEqual(frame.text, "x" + "é" * 127)

    def test_the_longest_payload_of_data_counts_its_head(self) -> None:
        self.assertEqual(codec.DATA_HEAD.size, limits.DATA_HEAD_BYTES)
        self.assertEqual(
            codec.MAX_PAYLOAD_BYTES[FrameType.DATA], limits.DATA_HEAD_BYTES + limits.MAX_DATA_BYTES
        )


class Refusals(SynchronousTestCase):
    """Each frame here breaks one rule; nothing of it may reach the wire."""

    def refuse(self, frame: Frame) -> None:
        self.assertRaises(LocalProtocolError, codec.encode, frame)

    def test_a_hello_with_a_ticket_that_is_too_long(self) -> None:
        self.refuse(frames.Hello(bytes(32), bytes(32), 1, ticket=bytes(8124)))

    def test_a_hello_with_a_short_swarm_id(self) -> None:
        self.refuse(frames.Hello(bytes(31), bytes(32), 1))

    def test_a_hello_with_a_short_key(self) -> None:
        self.refuse(frames.Hello(bytes(32), bytes(31), 1))

    def test_a_hello_with_a_port_that_is_none(self) -> None:
        self.refuse(frames.Hello(HELLO.swarm_id, HELLO.public_key, 65536))

    def test_a_have_of_more_positions_than_an_index_can_hold(self) -> None:
        self.refuse(frames.Have(limits.MAX_POSITIONS + 1, 0))

    def test_a_have_with_positions_beyond_its_count(self) -> None:
        self.refuse(frames.Have(3, 0b1000))

    def test_a_have_that_is_whole(self) -> None:
        self.refuse(frames.Have(3, WHOLE))

    def test_news_of_nothing_and_of_too_much(self) -> None:
        for number in (0, limits.MAX_NEWS + 1):
            self.refuse(frames.Got((frames.SegmentBlocks(1, 1),) * number))
            self.refuse(frames.Gone((frames.SegmentBlocks(1, 1),) * number))
            self.refuse(frames.Getting((frames.Fetching(1, 1, 1, 1),) * number))

    def test_got_and_gone_without_blocks(self) -> None:
        self.refuse(frames.Got((frames.SegmentBlocks(1, EMPTY),)))
        self.refuse(frames.Gone((frames.SegmentBlocks(1, EMPTY),)))

    def test_a_segment_that_no_index_can_hold(self) -> None:
        beyond = limits.MAX_POSITIONS
        self.refuse(frames.Got((frames.SegmentBlocks(beyond, 1),)))
        self.refuse(frames.Getting((frames.Fetching(beyond, 1, 1, 1),)))
        self.refuse(frames.Request(beyond, 1))
        self.refuse(frames.Data(1, beyond, 0, 1, b"x"))
        self.refuse(frames.Hashes(1, beyond, bytes(32)))
        self.refuse(frames.Reject(1, beyond, 1, 1))
        self.refuse(frames.Cancel(1, -1))

    def test_a_distance_and_an_epoch_out_of_range(self) -> None:
        self.refuse(frames.Getting((frames.Fetching(1, 1, 256, 1),)))
        self.refuse(frames.Getting((frames.Fetching(1, -1, 1, 1),)))

    def test_a_request_for_the_whole_segment_and_for_nothing(self) -> None:
        self.refuse(frames.Request(1, WHOLE))
        self.refuse(frames.Request(1, EMPTY))

    def test_data_whose_numbers_do_not_fit(self) -> None:
        self.refuse(frames.Data(1, 1, 0, 0, b""))
        self.refuse(frames.Data(1, 1, 0, 17, bytes(17)))
        self.refuse(frames.Data(1, 1, 4095, 2, b"ab"))
        self.refuse(frames.Data(1, 1, 0, 2, b"a"))
        self.refuse(frames.Data(1, 1, 0, 16, bytes(limits.MAX_DATA_BYTES + 1)))

    def test_hashes_that_are_none_or_not_whole_or_too_many(self) -> None:
        for size in (0, 31, 33, 32 * (limits.MAX_SEGMENT_BLOCKS + 1)):
            self.refuse(frames.Hashes(1, 1, bytes(size)))

    def test_a_token_and_a_code_out_of_range(self) -> None:
        self.refuse(frames.Ping(1 << 64))
        self.refuse(frames.GoAway(256))
