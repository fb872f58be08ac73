"""Each limit of docs/protocol.md, section 12, at its border and one beyond it."""

from __future__ import annotations

import struct

from twisted.trial.unittest import SynchronousTestCase

from dashp2p.wire import codec, limits
from dashp2p.wire.errors import Code, LocalProtocolError, ProtocolError
from dashp2p.wire.frames import (
    Cancel,
    Data,
    Fetching,
    Frame,
    FrameType,
    Getting,
    Gone,
    Got,
    Have,
    Hello,
    Request,
    SegmentBlocks,
)
from dashp2p.wire.session import Session
from tests.wire.helpers import SEGMENT, asked_pair, carry, open_pair, receiver_in, stream_of

BOTH_ENDS = 1 | 1 << limits.MAX_SEGMENT_BLOCKS - 1
WHOLE_SET = bytes.fromhex("ffff0000")


def header(frame_type: int, length: int, request_id: int = 0) -> bytes:
    return codec.HEADER.pack(length, frame_type, 0, request_id)


def raw_frame(frame_type: FrameType, payload: bytes, request_id: int = 0) -> bytes:
    return header(frame_type, len(payload), request_id) + payload


class LimitCase(SynchronousTestCase):
    def refused(self, session: Session, raw: bytes, code: Code) -> None:
        error = self.assertRaises(ProtocolError, session.receive_data, raw)
        self.assertEqual(error.code, code)

    def taken(self, session: Session, frame: Frame) -> None:
        self.assertEqual(session.receive_data(stream_of([frame])), [frame])


class LengthByType(LimitCase):
    """A length beyond its type's is refused at the header; at the border it is waited for."""

    def receiver_of(self, frame_type: FrameType) -> tuple[Session, int]:
        states = {FrameType.HELLO: "hello", FrameType.HAVE: "have"}
        states |= dict.fromkeys(codec.ANSWERS, "asked")
        request_id = int(frame_type in codec.WITH_REQUEST_ID)
        return receiver_in(states.get(frame_type, "open")), request_id

    def test_one_byte_beyond_is_refused_before_any_payload(self) -> None:
        for frame_type, longest in codec.MAX_PAYLOAD_BYTES.items():
            session, request_id = self.receiver_of(frame_type)
            self.refused(session, header(frame_type, longest + 1, request_id), Code.TOO_LARGE)

    def test_the_longest_is_waited_for(self) -> None:
        for frame_type, longest in codec.MAX_PAYLOAD_BYTES.items():
            session, request_id = self.receiver_of(frame_type)
            events = session.receive_data(header(frame_type, longest, request_id))
            self.assertEqual(events, [], frame_type.name)

    def test_a_length_near_four_gigabytes_is_refused_for_every_type(self) -> None:
        for frame_type in FrameType:
            session, request_id = self.receiver_of(frame_type)
            self.refused(session, header(frame_type, 0xFFFF_FFFF, request_id), Code.TOO_LARGE)

    def test_an_unknown_frame_is_as_long_as_the_longest_known_one_at_most(self) -> None:
        session = receiver_in("open")
        self.assertEqual(session.receive_data(header(200, limits.MAX_FRAME_BYTES)), [])
        self.refused(receiver_in("open"), header(200, limits.MAX_FRAME_BYTES + 1), Code.TOO_LARGE)


class Counts(LimitCase):
    def test_positions_of_have(self) -> None:
        top = 1 << limits.MAX_POSITIONS - 1
        self.taken(receiver_in("have"), Have(limits.MAX_POSITIONS, top))
        # 65 544 positions still fit the longest payload, so the count itself must be looked at.
        payload = struct.pack(">I", limits.MAX_POSITIONS + 1) + bytes(8193)
        self.refused(receiver_in("have"), raw_frame(FrameType.HAVE, payload), Code.TOO_LARGE)

    def test_ticket_of_hello(self) -> None:
        longest = Hello(bytes(32), bytes(32), 1, ticket=bytes(limits.MAX_TICKET_BYTES))
        self.taken(receiver_in("hello"), longest)

    def test_entries_of_news(self) -> None:
        number = limits.MAX_NEWS
        self.taken(receiver_in("open"), Got((SegmentBlocks(1, 1),) * number))
        self.taken(receiver_in("open"), Gone((SegmentBlocks(1, 1),) * number))
        self.taken(receiver_in("open"), Getting((Fetching(1, 1, 1, 1),) * number))
        too_many = struct.pack(">H", number + 1)
        entry = struct.pack(">I", 1) + WHOLE_SET
        fetching = struct.pack(">IIB", 1, 1, 1) + WHOLE_SET
        for frame_type, one in (
            (FrameType.GOT, entry),
            (FrameType.GONE, entry),
            (FrameType.GETTING, fetching),
        ):
            raw = raw_frame(frame_type, too_many + one * (number + 1))
            self.refused(receiver_in("open"), raw, Code.TOO_LARGE)

    def test_blocks_of_a_segment(self) -> None:
        self.taken(receiver_in("open"), Got((SegmentBlocks(1, BOTH_ENDS),)))
        beyond = struct.pack(">HIHH", 1, 1, limits.MAX_SEGMENT_BLOCKS, 1) + b"\x80"
        self.refused(receiver_in("open"), raw_frame(FrameType.GOT, beyond), Code.TOO_LARGE)

    def test_blocks_of_data(self) -> None:
        asker, holder, request_id = asked_pair((1 << 17) - 1)
        holder.send(Data(request_id, SEGMENT, 0, 16, bytes(16)))
        self.assertEqual(len(carry(holder, asker)), 1)
        payload = struct.pack(">IHB", SEGMENT, 0, 17) + bytes(17)
        asker, _, request_id = asked_pair((1 << 17) - 1)
        self.refused(asker, raw_frame(FrameType.DATA, payload, request_id), Code.BAD_REQUEST)

    def test_the_last_block_that_data_can_carry(self) -> None:
        asker, _, request_id = asked_pair(BOTH_ENDS)
        beyond = struct.pack(">IHB", SEGMENT, limits.MAX_SEGMENT_BLOCKS, 1) + b"x"
        self.refused(asker, raw_frame(FrameType.DATA, beyond, request_id), Code.BAD_REQUEST)

    def test_segments(self) -> None:
        beyond = struct.pack(">I", limits.MAX_POSITIONS)
        frames = {
            FrameType.GOT: b"\x00\x01" + beyond + WHOLE_SET,
            FrameType.GONE: b"\x00\x01" + beyond + WHOLE_SET,
            FrameType.GETTING: b"\x00\x01" + beyond + bytes(5) + WHOLE_SET,
            FrameType.REQUEST: beyond + bytes(5) + bytes.fromhex("0000000180"),
            FrameType.CANCEL: beyond + WHOLE_SET,
        }
        for frame_type, payload in frames.items():
            request_id = int(frame_type in codec.WITH_REQUEST_ID)
            self.refused(
                receiver_in("open"), raw_frame(frame_type, payload, request_id), Code.BAD_REQUEST
            )


class OutstandingRequests(LimitCase):
    def requests(self, number: int) -> bytes:
        return stream_of([Request(SEGMENT, 1, request_id=n + 1) for n in range(number)])

    def test_the_64th_is_taken_and_the_65th_closes(self) -> None:
        session, _ = open_pair()
        events = session.receive_data(self.requests(limits.MAX_OUTSTANDING_REQUESTS))
        self.assertEqual(len(events), limits.MAX_OUTSTANDING_REQUESTS)
        one_more = stream_of([Request(SEGMENT, 1, request_id=1000)])
        self.refused(session, one_more, Code.RATE_LIMITED)

    def test_our_side_does_not_send_a_65th(self) -> None:
        session, _ = open_pair()
        for _ in range(limits.MAX_OUTSTANDING_REQUESTS):
            self.assertTrue(session.can_request)
            session.send(Request(SEGMENT, 1))
        self.assertFalse(session.can_request)
        self.assertRaises(LocalProtocolError, session.send, Request(SEGMENT, 1))

    def test_an_answer_makes_room_for_another(self) -> None:
        session, _ = open_pair()
        session.receive_data(self.requests(limits.MAX_OUTSTANDING_REQUESTS))
        session.send(Data(1, SEGMENT, 0, 1, b"x"))
        self.taken(session, Request(SEGMENT, 1, request_id=1000))

    def test_a_cancel_alone_makes_no_room(self) -> None:
        session, _ = open_pair()
        session.receive_data(self.requests(limits.MAX_OUTSTANDING_REQUESTS))
        session.receive_data(stream_of([Cancel(1, SEGMENT)]))
        self.refused(session, stream_of([Request(SEGMENT, 1, request_id=1000)]), Code.RATE_LIMITED)
