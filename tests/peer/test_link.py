"""One connection to another peer: greeting, deadlines, bounds, pings, endings."""

from __future__ import annotations

import struct

from twisted.internet.interfaces import IProtocol
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.peer import link as link_module
from dashp2p.peer.fakenet import MemoryNetwork, advance
from dashp2p.peer.limits import DOUBT_PING_S, HANDSHAKE_S, PING_S, SILENCE_S, WRITE_QUEUE_BYTES
from dashp2p.peer.link import Link
from dashp2p.wire.codec import encode
from dashp2p.wire.doubt import SILENT_ROUNDS
from dashp2p.wire.errors import Code
from dashp2p.wire.frames import (
    Cancel,
    Data,
    Error,
    GoAway,
    Got,
    Have,
    Ping,
    Pong,
    Reject,
    Request,
    SegmentBlocks,
)
from tests.peer.support import Owner, Remote, hello_of, id_of

BLOCK = 16_384
NEWS = Got((SegmentBlocks(3, 0b11),))
UNKNOWN_CRITICAL = struct.pack(">IBBI", 0, 99, 1, 0)


class LinkTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(500.0)
        self.network = MemoryNetwork(self.clock)
        self.owner = Owner()
        self.link = Link(self.owner, self.clock, dialled=True)
        self.remote = Remote()
        self.near, self.far = self.network.join(*self.ends())

    def ends(self) -> tuple[IProtocol, IProtocol]:
        """What the two transports are given."""
        return self.link, self.remote

    def tearDown(self) -> None:
        self.link.abort()
        self.advance(1.0)
        self.assertEqual(self.clock.getDelayedCalls(), [], "a timer has outlived its link")

    def advance(self, seconds: float = 0.01) -> None:
        advance(self.clock, seconds)

    def open(self) -> None:
        self.remote.greet(self.clock)
        self.assertTrue(self.link.is_open)


class GreetingTests(LinkTestCase):
    def test_both_sides_say_hello_at_once(self) -> None:
        self.advance()
        self.assertEqual(self.remote.events, [hello_of("me")])

    def test_the_link_is_open_after_hello_and_have(self) -> None:
        self.open()
        self.assertEqual(self.owner.opened_with, [Have(8, 0)])
        self.assertEqual(self.link.peer_id, id_of("remote"))
        self.assertIn(Have(8, 0b101), self.remote.events)

    def test_before_that_it_is_ready_for_nothing(self) -> None:
        self.remote.send(hello_of("remote"))
        self.advance(1.0)
        self.assertEqual(self.owner.times_ready, 0)

    def test_frames_in_the_packet_that_opens_the_link_are_passed_on(self) -> None:
        self.remote.send(hello_of("remote"))
        self.advance()
        self.remote.send(Have(8, 0), NEWS)
        self.advance()
        self.assertEqual(self.owner.events, [NEWS])

    def test_whoever_is_not_admitted_is_told_why_and_never_learns_what_is_here(self) -> None:
        self.owner.refusal = Code.UNAUTHORISED
        self.remote.greet(self.clock)
        self.advance()
        self.assertEqual(self.remote.errors, [Code.UNAUTHORISED])
        self.assertEqual(self.remote.of(Have), [])
        self.assertTrue(self.remote.lost)
        self.assertEqual(self.owner.opened_with, [])
        self.assertEqual(self.owner.times_closed, 1)

    def test_a_silent_stranger_is_shown_out_after_the_handshakes_deadline(self) -> None:
        self.advance(HANDSHAKE_S - 0.1)
        self.assertFalse(self.remote.lost)
        self.advance(0.2)
        self.assertTrue(self.remote.lost)
        self.assertEqual(self.remote.errors, [Code.BAD_REQUEST])

    def test_hello_alone_does_not_stop_the_handshakes_deadline(self) -> None:
        self.remote.send(hello_of("remote"))
        self.advance(HANDSHAKE_S + 0.1)
        self.assertTrue(self.remote.lost)

    def test_bytes_that_trickle_do_not_stop_the_handshakes_deadline(self) -> None:
        raw = b"DSHP\x01\x01\x00\x00\x00\x00"
        for number in range(len(raw)):
            self.remote.session.data_to_send()
            if not self.remote.lost:
                self.remote.raw(raw[number : number + 1])
            self.advance(1.2)
        self.assertTrue(self.remote.lost)

    def test_an_open_link_outlives_the_handshakes_deadline(self) -> None:
        self.open()
        self.advance(HANDSHAKE_S + 1)
        self.assertFalse(self.remote.lost)

    def test_another_protocol_is_told_and_cut(self) -> None:
        self.remote.session.data_to_send()
        self.remote.raw(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        self.advance()
        self.assertTrue(self.remote.lost)
        self.assertEqual(self.owner.opened_with, [])

    def test_hello_and_rubbish_in_one_packet_end_the_link_and_log_no_failure(self) -> None:
        self.remote.send(hello_of("remote"))
        self.remote.raw(UNKNOWN_CRITICAL)
        self.advance()
        self.assertTrue(self.remote.lost)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_what_refuses_us_before_the_greeting_is_over_closes_the_link(self) -> None:
        self.remote.send(Error(Code.BUSY, "no"))
        self.advance()
        self.assertEqual(self.owner.times_closed, 1)


class OpenLinkTests(LinkTestCase):
    def setUp(self) -> None:
        LinkTestCase.setUp(self)
        self.open()

    def test_frames_go_both_ways(self) -> None:
        self.link.send(NEWS)
        self.remote.send(NEWS)
        self.advance()
        self.assertEqual(self.owner.events, [NEWS])
        self.assertEqual(self.remote.of(Got), [NEWS])

    def test_a_request_gets_an_id_by_which_it_is_answered(self) -> None:
        request_id = self.link.send(Request(3, 0b1))
        self.advance()
        assert request_id is not None
        self.remote.send(Reject(request_id, 3, 0b1, Code.NOT_HERE))
        self.advance()
        self.assertEqual(self.owner.events, [Reject(request_id, 3, 0b1, Code.NOT_HERE)])

    def test_what_came_before_an_offence_still_counts(self) -> None:
        self.remote.send(NEWS)
        self.remote.raw(UNKNOWN_CRITICAL)
        self.advance()
        self.assertEqual(self.owner.events, [NEWS])
        self.assertEqual(self.remote.errors, [Code.BAD_REQUEST])
        self.assertTrue(self.remote.lost)

    def test_answering_what_came_before_an_offence_breaks_nothing(self) -> None:
        self.owner.answers = [NEWS]
        self.remote.session.send(NEWS)
        self.remote.raw(UNKNOWN_CRITICAL)
        self.advance()
        self.assertEqual(self.owner.events, [NEWS])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_answering_what_came_before_an_error_breaks_nothing(self) -> None:
        self.owner.answers = [NEWS]
        self.remote.send(NEWS, Error(Code.SHUTTING_DOWN))
        self.advance()
        self.assertEqual(self.owner.events, [NEWS])
        self.assertEqual(self.owner.times_closed, 1)

    def test_an_answer_to_nothing_breaks_the_protocol(self) -> None:
        self.remote.raw(struct.pack(">IBBI", 8 + 7, 7, 0, 5) + bytes(7) + b"unasked!")
        self.advance()
        self.assertEqual(self.remote.errors, [Code.BAD_REQUEST])
        self.assertTrue(self.remote.lost)

    def test_after_close_nothing_is_sent_and_nothing_heard(self) -> None:
        self.link.close(Code.BUSY, "enough")
        self.assertIsNone(self.link.send(NEWS))
        self.remote.send(NEWS)
        self.advance()
        self.assertEqual(self.remote.of(Got), [])
        self.assertEqual(self.owner.events, [])
        self.assertEqual(self.remote.errors, [Code.BUSY])

    def test_closing_twice_is_no_error(self) -> None:
        self.link.close()
        self.link.close(Code.BUSY)
        self.link.abort()
        self.advance()
        self.assertEqual(self.owner.times_closed, 1)

    def test_a_goaway_is_passed_on_and_leaves_the_link_open(self) -> None:
        self.remote.send(GoAway(Code.SHUTTING_DOWN))
        self.advance()
        self.assertEqual(self.owner.events, [GoAway(Code.SHUTTING_DOWN)])
        self.assertFalse(self.remote.lost)

    def test_a_close_that_the_other_side_never_takes_ends_in_a_cut(self) -> None:
        self.far.pauseProducing()
        self.link.transport.write(bytes(1 << 20))
        self.link.close(Code.BUSY)
        self.advance(1.0)
        self.assertFalse(self.remote.lost)
        self.advance(1.5)
        self.assertTrue(self.remote.lost)


class BackPressureTests(LinkTestCase):
    def setUp(self) -> None:
        LinkTestCase.setUp(self)
        self.open()
        self.remote.heeds = False
        self.far.pauseProducing()

    def test_a_link_is_ready_only_when_the_transport_has_taken_everything(self) -> None:
        for number in range(1, 40):
            self._owe(number)
        stuck = self.owner.times_ready
        self.advance(1.0)
        self.assertEqual(self.owner.times_ready, stuck)
        self.far.resumeProducing()
        self.advance()
        self.assertGreater(self.owner.times_ready, stuck)

    def test_a_neighbour_that_never_reads_is_dropped_at_the_queues_bound(self) -> None:
        sent_bytes = 0
        for number in range(1, 400):
            self._owe(number)
            if self.link.is_closed:
                break
            sent_bytes += 2 * BLOCK
        self.advance()
        self.assertTrue(self.link.is_closed)
        self.assertTrue(self.remote.lost)
        self.assertLess(sent_bytes, WRITE_QUEUE_BYTES + (1 << 19))
        self.assertLess(self.near.most_waiting_bytes, WRITE_QUEUE_BYTES + 4 * BLOCK)

    def _owe(self, number: int) -> None:
        """The neighbour asks for two blocks, and is sent them at once."""
        self.remote.raw(b"".join(encode(Request(3, 0b11, request_id=number))))
        self.advance(0.002)
        request = self.owner.events[-1]
        assert isinstance(request, Request)
        self.link.send(Data(request.request_id, 3, 0, 2, bytes(2 * BLOCK)))

    def test_a_slow_neighbour_that_reads_is_kept(self) -> None:
        for number in range(1, 200):
            self._owe(number)
            self.far.resumeProducing()
            self.advance()
            self.far.pauseProducing()
        self.assertFalse(self.link.is_closed)


class PingTests(LinkTestCase):
    def test_the_round_trip_is_measured_at_once_and_again(self) -> None:
        self.open()
        self.assertEqual(len(self.owner.rtts_s), 1)
        self.assertAlmostEqual(self.owner.rtts_s[0], 0.002, places=6)
        self.advance(PING_S)
        self.assertEqual(len(self.owner.rtts_s), 2)

    def test_pings_are_no_business_of_the_owner(self) -> None:
        self.open()
        self.remote.send(Ping(7))
        self.advance()
        self.assertEqual(self.remote.of(Pong)[-1:], [Pong(7)])
        self.assertEqual(self.owner.events, [])

    def test_a_pong_that_was_not_asked_for_measures_nothing(self) -> None:
        self.open()
        before = list(self.owner.rtts_s)
        self.remote.send(Pong(999))
        self.advance()
        self.assertEqual(self.owner.rtts_s, before)

    def test_a_neighbour_that_falls_silent_is_dropped(self) -> None:
        self.open()
        self.far.protocol = None  # the machine is off: nobody answers, nobody closes
        self.advance(SILENCE_S)
        self.assertFalse(self.link.is_closed)
        self.advance(PING_S + 1)
        self.assertTrue(self.link.is_closed)
        self.assertEqual(self.owner.times_closed, 1)

    def test_a_neighbour_that_answers_pings_stays(self) -> None:
        self.open()
        self.advance(3 * SILENCE_S)
        self.assertFalse(self.link.is_closed)


class LogTests(LinkTestCase):
    def test_a_strangers_text_reaches_nobodys_terminal_as_it_is(self) -> None:
        self.open()
        with capturedLogs() as events:
            self.remote.send(Error(int(Code.BUSY), "\x1b]0;owned\x07\nfalse line"))
            self.advance()
        [said] = [formatEvent(event) for event in events if "closed there" in formatEvent(event)]
        self.assertTrue(said.isprintable(), said)


class FloodTests(LinkTestCase):
    """What costs a neighbour nothing is bounded in rate; in smaller numbers than the real ones."""

    BURST = 200
    PER_S = 20.0

    def setUp(self) -> None:
        self.patch(link_module, "CHEAP_FRAMES_BURST", self.BURST)
        self.patch(link_module, "CHEAP_FRAMES_PER_S", self.PER_S)
        LinkTestCase.setUp(self)

    def test_a_flood_of_any_cheap_frame_ends_the_link(self) -> None:
        unknown = struct.pack(">IBBI", 0, 200, 0, 0)
        frames = [b"".join(encode(frame)) for frame in (Ping(1), NEWS, Cancel(9, 3, 1))]
        for number, frame in enumerate([unknown, *frames]):
            with self.subTest(number=number):
                if number:
                    self.setUp()
                self.open()
                self.remote.raw(frame * (self.BURST - 10))
                self.advance()
                self.assertEqual(self.remote.errors, [])
                self.remote.raw(frame * 20)
                self.advance()
                self.assertEqual(self.remote.errors, [Code.RATE_LIMITED])
                self.assertTrue(self.remote.lost)

    def test_a_steady_stream_of_news_is_welcome(self) -> None:
        self.open()
        for _ in range(300):
            self.remote.raw(b"".join(encode(NEWS)) * round(self.PER_S))
            self.advance(1.0)
        self.assertEqual(self.remote.errors, [])

    def test_requests_that_get_nothing_count_too(self) -> None:
        self.open()
        for _ in range(self.BURST // 40):
            self.remote.send(*[Request(3, 1)] * 40)
            self.advance()
            for owed in list(self.link.session.owed):
                self.link.send(Reject(owed.request_id, 3, 1, int(Code.NOT_HERE)))
            self.advance()
        self.remote.raw(b"".join(encode(Ping(1))) * 10)
        self.advance()
        self.assertEqual(self.remote.errors, [Code.RATE_LIMITED])

    def test_requests_that_are_served_do_not(self) -> None:
        self.open()
        for _ in range(self.BURST):
            self.remote.send(Request(3, 1))
            self.advance()
            [owed] = self.link.session.owed
            self.link.send(Data(owed.request_id, 3, 0, 1, bytes(BLOCK)))
            self.clock.advance(0.001)
        self.remote.raw(b"".join(encode(Ping(1))) * 10)
        self.advance()
        self.assertEqual(self.remote.errors, [])


class DoubtTests(LinkTestCase):
    """Does the other side answer at all? Asked when what was late is cancelled."""

    LONG_S = 10 * DOUBT_PING_S

    def cancel(self) -> None:
        """Ask for two blocks, and take that back."""
        self.open()
        request_id = self.link.send(Request(3, 0b11))
        assert request_id is not None
        self.link.send(Cancel(request_id, 3, 0b11))

    def answer(self) -> None:
        for event in self.remote.of(Cancel):
            assert isinstance(event, Cancel)
            code = int(Code.CANCELLED)
            self.remote.send(Reject(event.request_id, event.segment, event.blocks, code))

    def test_who_answers_pings_and_not_the_cancel_before_them_is_silent(self) -> None:
        self.cancel()
        self.link.doubt()
        self.advance(DOUBT_PING_S * (SILENT_ROUNDS - 1) - 0.01)
        self.assertEqual(self.owner.times_silent, 0)
        self.advance(0.05)
        self.assertEqual(self.owner.times_silent, 1)

    def test_who_answers_the_cancel_is_not(self) -> None:
        self.cancel()
        self.link.doubt()
        self.advance(DOUBT_PING_S * (SILENT_ROUNDS - 1) - 0.05)
        self.answer()
        self.advance(self.LONG_S)
        self.assertEqual(self.owner.times_silent, 0)

    def test_after_that_pings_are_as_rare_as_before(self) -> None:
        self.cancel()
        self.link.doubt()
        self.advance(0.01)
        self.answer()
        self.advance(DOUBT_PING_S)
        before = len(self.remote.of(Ping))
        self.advance(self.LONG_S)
        self.assertEqual(len(self.remote.of(Ping)), before)

    def test_who_is_only_slow_with_what_was_not_cancelled_is_not(self) -> None:
        self.open()
        self.link.send(Request(3, 0b11))
        self.link.doubt()
        self.advance(self.LONG_S)
        self.assertEqual(self.owner.times_silent, 0)

    def test_who_stands_still_is_not_and_answers_all_when_he_wakes(self) -> None:
        self.cancel()
        self.remote.heeds, asleep = False, self.remote.events
        self.link.doubt()
        self.advance(self.LONG_S)
        self.assertEqual(self.owner.times_silent, 0)
        self.assertEqual(self.remote.events, asleep)

    def test_nothing_but_an_answered_ping_counts(self) -> None:
        self.cancel()
        self.remote.heeds = False
        self.link.doubt()
        for _ in range(2 * SILENT_ROUNDS):
            self.remote.send(NEWS)
            self.advance()
        self.assertEqual(self.owner.times_silent, 0)

    def test_a_link_that_is_closed_is_looked_at_no_more(self) -> None:
        self.cancel()
        self.link.doubt()
        self.link.close()
        self.advance(self.LONG_S)
        self.assertEqual(self.owner.times_silent, 0)
