"""One link: order, answers, cancels, ends and counters."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dashp2p.wire import limits
from dashp2p.wire.blockset import EMPTY, WHOLE
from dashp2p.wire.errors import Code, LocalProtocolError, ProtocolError
from dashp2p.wire.frames import (
    Cancel,
    Data,
    Error,
    Event,
    Frame,
    GoAway,
    Got,
    Hashes,
    Have,
    Ping,
    Pong,
    Reject,
    Request,
    SegmentBlocks,
)
from dashp2p.wire.ledger import Ledger
from dashp2p.wire.session import Session, SessionConfig
from dashp2p.wire.states import State
from tests.wire.helpers import (
    HAVE,
    HELLO,
    SEGMENT,
    asked_pair,
    carry,
    open_pair,
    receiver_in,
    stream_of,
)

NO_INDEX = Have(0, 0)


class Opening(SynchronousTestCase):
    def test_the_preface_waits_to_be_sent_at_once(self) -> None:
        self.assertEqual(Session().data_to_send(), [bytes.fromhex("44534850010100000000")])

    def test_hello_and_have_open_both_sides(self) -> None:
        one, other = Session(), Session()
        one.send(HELLO)
        self.assertEqual(carry(one, other), [HELLO])
        other.send(HELLO)
        other.send(HAVE)
        self.assertEqual(carry(other, one), [HELLO, HAVE])
        self.assertFalse(one.is_open)
        one.send(HAVE)
        self.assertEqual(carry(one, other), [HAVE])
        self.assertTrue(one.is_open and other.is_open)

    def test_the_highest_common_version_is_spoken(self) -> None:
        one, other = Session(SessionConfig(1, 3)), Session(SessionConfig(2, 5))
        carry(one, other)
        carry(other, one)
        self.assertEqual((one.version, other.version), (3, 3))

    def test_no_common_version_is_an_error_on_both_sides(self) -> None:
        one, other = Session(SessionConfig(1, 2)), Session(SessionConfig(3, 4))
        for sender, receiver in ((one, other), (other, one)):
            raw = sender.data_to_send()[0]
            error = self.assertRaises(ProtocolError, receiver.receive_data, raw)
            self.assertEqual(error.code, Code.VERSION)

    def test_only_features_that_both_offer_are_in_use(self) -> None:
        one, other = Session(SessionConfig(features=0b011)), Session(SessionConfig(features=0b110))
        carry(one, other)
        self.assertEqual(other.features, 0b010)

    def test_nothing_is_sent_before_hello(self) -> None:
        session = Session()
        for frame in (HAVE, Ping(1), Got((SegmentBlocks(1, 1),))):
            self.assertRaises(LocalProtocolError, session.send, frame)
        self.assertEqual(len(session.data_to_send()), 1)

    def test_have_is_not_sent_before_the_other_said_hello(self) -> None:
        session = Session()
        session.send(HELLO)
        self.assertRaises(LocalProtocolError, session.send, HAVE)

    def test_nothing_is_asked_before_the_other_said_have(self) -> None:
        session = receiver_in("have")
        self.assertFalse(session.can_request)
        self.assertRaises(LocalProtocolError, session.send, Request(1, 1))

    def test_a_have_before_our_hello_is_refused(self) -> None:
        session, sender = Session(), Session()
        sender.send(HELLO)
        carry(sender, session)
        error = self.assertRaises(ProtocolError, session.receive_data, stream_of([HAVE]))
        self.assertEqual(error.code, Code.BAD_REQUEST)

    def test_a_request_before_our_have_is_refused(self) -> None:
        session, sender = Session(), Session()
        session.send(HELLO)
        sender.send(HELLO)
        carry(sender, session)
        raw = stream_of([HAVE, Request(1, 1, request_id=1)])
        error = self.assertRaises(ProtocolError, session.receive_data, raw)
        self.assertEqual((error.code, error.events), (Code.BAD_REQUEST, (HAVE,)))

    def test_a_hello_is_not_sent_twice(self) -> None:
        session = Session()
        session.send(HELLO)
        self.assertRaises(LocalProtocolError, session.send, HELLO)

    def test_error_and_goaway_may_come_before_hello(self) -> None:
        session = receiver_in("hello")
        frames: list[Frame] = [GoAway(8), Error(4, "who are you")]
        self.assertEqual(session.receive_data(stream_of(frames)), frames)
        self.assertIs(session.state, State.CLOSED)


class SecondHave(SynchronousTestCase):
    def test_it_may_follow_one_without_an_index(self) -> None:
        one, other = open_pair(first_have=NO_INDEX)
        one.send(HAVE)
        self.assertEqual(carry(one, other), [HAVE])

    def test_a_third_is_neither_sent_nor_taken(self) -> None:
        one, other = open_pair(first_have=NO_INDEX)
        one.send(HAVE)
        carry(one, other)
        self.assertRaises(LocalProtocolError, one.send, HAVE)
        self.assertRaises(ProtocolError, other.receive_data, stream_of([HAVE]))

    def test_it_is_not_sent_after_one_with_an_index(self) -> None:
        one, _ = open_pair()
        self.assertRaises(LocalProtocolError, one.send, HAVE)

    def test_it_must_say_something(self) -> None:
        one, other = open_pair(first_have=NO_INDEX)
        self.assertRaises(LocalProtocolError, one.send, NO_INDEX)
        self.assertRaises(ProtocolError, other.receive_data, stream_of([NO_INDEX]))


class ExactlyOneAnswer(SynchronousTestCase):
    def test_data_and_rejects_in_any_order_finish_a_request(self) -> None:
        asker, holder, request_id = asked_pair(0b1111)
        answers: list[Event] = [
            Data(request_id, SEGMENT, 2, 1, b"cc"),
            Reject(request_id, SEGMENT, 0b1000, Code.NOT_HERE),
            Data(request_id, SEGMENT, 0, 2, b"aabb"),
        ]
        for answer in answers:
            holder.send(answer)
        self.assertEqual(carry(holder, asker), answers)
        self.assertEqual((len(asker.asked), len(holder.owed)), (0, 0))

    def test_what_is_unanswered_can_be_read(self) -> None:
        asker, holder, request_id = asked_pair(0b111)
        holder.send(Data(request_id, SEGMENT, 0, 1, b"a"))
        carry(holder, asker)
        for ledger in (asker.asked, holder.owed):
            (entry,) = ledger
            self.assertEqual((entry.request_id, entry.segment), (request_id, SEGMENT))
            self.assertEqual(entry.blocks, 0b110)

    def test_our_side_cannot_answer_a_block_twice(self) -> None:
        _, holder, request_id = asked_pair(0b111)
        holder.send(Data(request_id, SEGMENT, 0, 1, b"a"))
        holder.data_to_send()
        for again in (
            Data(request_id, SEGMENT, 0, 1, b"a"),
            Data(request_id, SEGMENT, 0, 2, b"ab"),
            Reject(request_id, SEGMENT, 0b001, Code.BUSY),
        ):
            self.assertRaises(LocalProtocolError, holder.send, again)
        self.assertEqual(holder.data_to_send(), [])

    def test_our_side_cannot_answer_what_was_not_asked(self) -> None:
        _, holder, request_id = asked_pair(0b111)
        for answer in (
            Data(request_id + 1, SEGMENT, 0, 1, b"a"),
            Data(request_id, SEGMENT + 1, 0, 1, b"a"),
            Data(request_id, SEGMENT, 3, 1, b"a"),
            Hashes(request_id, SEGMENT, bytes(32)),
            Reject(request_id, SEGMENT, EMPTY, Code.BUSY),
        ):
            self.assertRaises(LocalProtocolError, holder.send, answer)

    def test_a_reject_of_the_whole_names_what_is_left(self) -> None:
        asker, holder, request_id = asked_pair(0b111)
        holder.send(Data(request_id, SEGMENT, 1, 1, b"b"))
        holder.send(Reject(request_id, SEGMENT, WHOLE, Code.SHUTTING_DOWN))
        self.assertEqual(
            carry(holder, asker)[1], Reject(request_id, SEGMENT, 0b101, Code.SHUTTING_DOWN)
        )

    def test_an_unsolicited_answer_is_refused_at_its_header(self) -> None:
        session, _ = open_pair()
        header = stream_of([Data(9, SEGMENT, 0, 1, bytes(1000))])[: limits.HEADER_BYTES]
        self.assertRaises(ProtocolError, session.receive_data, header)

    def test_ids_differ_while_requests_are_open(self) -> None:
        asker, _ = open_pair()
        ids = {asker.send(Request(SEGMENT, 1)) for _ in range(limits.MAX_OUTSTANDING_REQUESTS)}
        self.assertEqual(len(ids), limits.MAX_OUTSTANDING_REQUESTS)
        self.assertNotIn(0, ids)

    def test_the_other_sides_ids_are_a_world_of_their_own(self) -> None:
        one, other, request_id = asked_pair()
        self.assertEqual(other.send(Request(SEGMENT + 1, 1)), request_id)
        self.assertEqual(len(carry(other, one)), 1)

    def test_ids_go_round_past_those_still_open(self) -> None:
        ledger = Ledger(last_id=0xFFFF_FFFE)
        ledger.open(1, SEGMENT, 1, False)
        self.assertEqual([ledger.free_id() for _ in range(2)], [0xFFFF_FFFF, 2])

    def test_an_id_may_be_used_again_when_its_request_is_over(self) -> None:
        session, _ = open_pair()
        request = Request(SEGMENT, 1, request_id=7)
        session.receive_data(stream_of([request]))
        session.send(Data(7, SEGMENT, 0, 1, b"a"))
        self.assertEqual(session.receive_data(stream_of([request])), [request])


class HashesFirst(SynchronousTestCase):
    def test_hashes_then_data_finish_a_request(self) -> None:
        asker, holder, request_id = asked_pair(0b1, hashes=True)
        holder.send(Hashes(request_id, SEGMENT, bytes(32)))
        self.assertEqual(len(holder.owed), 1)
        holder.send(Data(request_id, SEGMENT, 0, 1, b"a"))
        self.assertEqual(len(carry(holder, asker)), 2)
        self.assertEqual((len(asker.asked), len(holder.owed)), (0, 0))

    def test_data_before_the_hashes_is_not_sent(self) -> None:
        _, holder, request_id = asked_pair(0b1, hashes=True)
        self.assertRaises(LocalProtocolError, holder.send, Data(request_id, SEGMENT, 0, 1, b"a"))

    def test_hashes_are_not_owed_when_every_block_is_rejected(self) -> None:
        asker, holder, request_id = asked_pair(0b11, hashes=True)
        holder.send(Reject(request_id, SEGMENT, 0b01, Code.BUSY))
        self.assertEqual(len(holder.owed), 1)
        holder.send(Reject(request_id, SEGMENT, 0b10, Code.BUSY))
        carry(holder, asker)
        self.assertEqual((len(asker.asked), len(holder.owed)), (0, 0))

    def test_a_request_for_hashes_only_is_answered_by_hashes(self) -> None:
        asker, holder, request_id = asked_pair(EMPTY, hashes=True)
        holder.send(Hashes(request_id, SEGMENT, bytes(64)))
        carry(holder, asker)
        self.assertEqual((len(asker.asked), len(holder.owed)), (0, 0))

    def test_a_request_for_hashes_only_is_rejected_by_the_empty_set_or_whole(self) -> None:
        for blocks in (EMPTY, WHOLE):
            asker, holder, request_id = asked_pair(EMPTY, hashes=True)
            holder.send(Reject(request_id, SEGMENT, blocks, Code.NOT_HERE))
            self.assertEqual(
                carry(holder, asker), [Reject(request_id, SEGMENT, EMPTY, Code.NOT_HERE)]
            )
            self.assertEqual((len(asker.asked), len(holder.owed)), (0, 0))


class Cancelling(SynchronousTestCase):
    def test_cancelled_blocks_still_get_their_answer(self) -> None:
        asker, holder, request_id = asked_pair(0b111)
        asker.send(Cancel(request_id, SEGMENT, 0b110))
        self.assertEqual(carry(asker, holder), [Cancel(request_id, SEGMENT, 0b110)])
        holder.send(Reject(request_id, SEGMENT, 0b110, Code.CANCELLED))
        holder.send(Data(request_id, SEGMENT, 0, 1, b"a"))
        self.assertEqual(len(carry(holder, asker)), 2)
        self.assertEqual(len(asker.asked), 0)

    def test_a_cancel_names_only_blocks_that_are_still_owed(self) -> None:
        asker, holder, request_id = asked_pair(0b111)
        asker.send(Cancel(request_id, SEGMENT))
        holder.send(Data(request_id, SEGMENT, 0, 1, b"a"))
        self.assertEqual(carry(asker, holder), [Cancel(request_id, SEGMENT, 0b110)])

    def test_a_cancel_that_crosses_with_the_last_answer_does_no_harm(self) -> None:
        asker, holder, request_id = asked_pair(0b1)
        asker.send(Cancel(request_id, SEGMENT))
        holder.send(Data(request_id, SEGMENT, 0, 1, b"a"))
        self.assertEqual(carry(asker, holder), [Cancel(request_id, SEGMENT, EMPTY)])
        self.assertEqual(len(carry(holder, asker)), 1)
        self.assertTrue(asker.is_open and holder.is_open)

    def test_a_cancel_of_a_finished_request_is_not_even_sent(self) -> None:
        asker, holder, request_id = asked_pair(0b1)
        holder.send(Data(request_id, SEGMENT, 0, 1, b"a"))
        carry(holder, asker)
        self.assertIs(asker.send(Cancel(request_id, SEGMENT)), None)
        self.assertEqual(asker.data_to_send(), [])

    def test_a_cancelled_block_may_be_asked_for_again_at_once(self) -> None:
        asker, holder, request_id = asked_pair(0b1)
        asker.send(Cancel(request_id, SEGMENT))
        again = asker.send(Request(SEGMENT, 0b1))
        self.assertNotEqual(again, request_id)
        self.assertEqual(len(carry(asker, holder)), 2)

    def test_a_cancel_of_another_segment_is_not_sent(self) -> None:
        asker, _, request_id = asked_pair(0b1)
        self.assertRaises(LocalProtocolError, asker.send, Cancel(request_id, SEGMENT + 1))


class PingsAndEnds(SynchronousTestCase):
    def test_a_ping_is_answered_by_the_session(self) -> None:
        one, other = open_pair()
        one.send(Ping(77))
        self.assertEqual(carry(one, other), [Ping(77)])
        self.assertEqual(carry(other, one), [Pong(77)])

    def test_an_offence_queues_one_error_and_closes(self) -> None:
        session, _ = open_pair()
        raw = stream_of([Ping(1)]) + bytes.fromhex("0000000063 01 00000000") + bytes(50)
        error = self.assertRaises(ProtocolError, session.receive_data, raw)
        self.assertEqual(error.events, (Ping(1),))
        sent = b"".join(session.data_to_send())
        self.assertEqual(sent, stream_of([Pong(1), Error(error.code, error.text)]))
        self.assertIs(session.state, State.CLOSED)
        self.assertEqual(session.buffered_bytes, 0)

    def test_a_closed_session_ignores_what_arrives_and_sends_nothing(self) -> None:
        session, _ = open_pair()
        session.send(Error(Code.UNAUTHORISED, "your ticket is over"))
        self.assertEqual(len(session.data_to_send()), 1)
        self.assertEqual(session.receive_data(b"anything"), [])
        self.assertRaises(LocalProtocolError, session.send, Ping(1))

    def test_nothing_behind_an_error_is_looked_at(self) -> None:
        session, _ = open_pair()
        events = session.receive_data(stream_of([Error(3, "x"), Ping(1)]) + b"garbage")
        self.assertEqual(events, [Error(3, "x")])
        self.assertEqual(session.data_to_send(), [])

    def test_open_requests_can_still_be_read_when_the_link_is_over(self) -> None:
        asker, _, _ = asked_pair(0b101)
        asker.receive_data(stream_of([Error(3, "x")]))
        self.assertEqual([entry.blocks for entry in asker.asked], [0b101])

    def test_goaway_forbids_new_requests_and_finishes_old_ones(self) -> None:
        asker, holder, request_id = asked_pair(0b1)
        holder.send(GoAway(Code.SHUTTING_DOWN))
        carry(holder, asker)
        self.assertEqual(asker.going_away, Code.SHUTTING_DOWN)
        self.assertFalse(asker.can_request)
        self.assertRaises(LocalProtocolError, asker.send, Request(SEGMENT, 1))
        holder.send(Data(request_id, SEGMENT, 0, 1, b"a"))
        self.assertEqual(len(carry(holder, asker)), 1)

    def test_a_request_that_crosses_with_a_goaway_is_reported(self) -> None:
        asker, holder = open_pair()
        holder.send(GoAway(Code.SHUTTING_DOWN))
        asker.send(Request(SEGMENT, 1))
        (request,) = carry(asker, holder)
        assert isinstance(request, Request)
        holder.send(Reject(request.request_id, SEGMENT, WHOLE, Code.SHUTTING_DOWN))
        self.assertEqual(len(carry(holder, asker)), 2)


class UnknownFrames(SynchronousTestCase):
    def unknown(self, length: int, critical: bool = False) -> bytes:
        return bytes.fromhex(f"{length:08x} c8 0{int(critical)} 12345678") + bytes(length)

    def test_an_optional_one_is_skipped_without_being_kept(self) -> None:
        session, _ = open_pair()
        raw = self.unknown(limits.MAX_FRAME_BYTES)
        for at in range(0, len(raw), 10_000):
            self.assertEqual(session.receive_data(raw[at : at + 10_000]), [])
            self.assertEqual(session.buffered_bytes, 0)
        self.assertEqual(session.receive_data(stream_of([Ping(5)])), [Ping(5)])

    def test_an_optional_one_may_come_between_hello_and_have(self) -> None:
        session = receiver_in("have")
        self.assertEqual(session.receive_data(self.unknown(0) + stream_of([HAVE])), [HAVE])

    def test_a_critical_one_closes(self) -> None:
        session, _ = open_pair()
        self.assertRaises(ProtocolError, session.receive_data, self.unknown(3, critical=True))


class Counters(SynchronousTestCase):
    def test_block_bytes_are_payload_and_all_else_is_control(self) -> None:
        asker, holder, request_id = asked_pair(0b11, hashes=True)
        before = holder.control_bytes_sent
        holder.send(Hashes(request_id, SEGMENT, bytes(64)))
        holder.send(Data(request_id, SEGMENT, 0, 2, bytes(20_000)))
        carry(holder, asker)
        self.assertEqual(holder.payload_bytes_sent, 20_000)
        self.assertEqual(holder.control_bytes_sent - before, (10 + 4 + 64) + (10 + 7))
        self.assertEqual(asker.payload_bytes_received, 20_000)
        self.assertEqual(asker.control_bytes_received, holder.control_bytes_sent)

    def test_skipped_frames_are_counted(self) -> None:
        session, _ = open_pair()
        before = session.control_bytes_received, session.frames_received
        session.receive_data(bytes.fromhex("00000003 c8 00 00000000 010203"))
        self.assertEqual(session.control_bytes_received - before[0], 13)
        self.assertEqual(session.frames_received - before[1], 1)

    def test_the_preface_is_control(self) -> None:
        one, other = Session(), Session()
        carry(one, other)
        self.assertEqual((one.control_bytes_sent, other.control_bytes_received), (10, 10))
