"""What a stranger cannot do to a listener: fill its disk, hold its sockets, break its responses."""

from __future__ import annotations

import json
import tempfile

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import NOT_DONE_YET, Request

from dashp2p.web.limits import MAX_DISCARDED_BYTES, SiteLimits
from dashp2p.web.site import BoundedSite
from tests.web.support import LOOPBACK, STRANGER, Answer, Connection, Recorder, v6

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


def hello(request: Request) -> bytes:
    return b"hello"


class SiteTestCase(SynchronousTestCase):
    limits = SiteLimits()

    def setUp(self) -> None:
        self.clock = Clock()
        self.resource = Recorder(hello)
        self.site = BoundedSite(self.resource, self.clock, limits=self.limits)
        self.client = Connection(self.site)

    def tearDown(self) -> None:
        if not self.client.gone:
            self.client.transport.abortConnection()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.site.connections, 0)

    def assert_refused(self, code: int) -> None:
        answer = Answer.of(self.client)
        self.assertEqual(answer.code, code)
        self.assertEqual(answer.headers["connection"], "close")
        self.assertIn("error", json.loads(answer.body))
        self.assertEqual(self.resource.requests, [])
        self.clock.advance(2)
        self.assertTrue(self.client.gone)


class BodyTests(SiteTestCase):
    limits = SiteLimits(body_bytes=1000)

    def test_a_body_within_the_limit_arrives(self) -> None:
        self.client.send(b"POST / HTTP/1.1\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000)
        self.assertEqual(self.resource.bodies, [b"x" * 1000])
        self.assertEqual(Answer.of(self.client).code, 200)

    def test_a_body_that_is_declared_too_long_is_refused_before_it_comes(self) -> None:
        self.client.send(b"POST / HTTP/1.1\r\nContent-Length: 1001\r\n\r\n")
        self.assert_refused(413)

    def test_a_body_that_is_declared_too_long_is_not_asked_for(self) -> None:
        self.client.send(b"POST / HTTP/1.1\r\nContent-Length: 1001\r\nExpect: 100-continue\r\n\r\n")
        self.assertNotIn(b"100 Continue", self.client.received())
        self.assert_refused(413)

    def test_a_chunked_body_within_the_limit_arrives(self) -> None:
        self.client.send(
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
            + b"1f4\r\n" + b"x" * 500 + b"\r\n1f4\r\n" + b"y" * 500 + b"\r\n0\r\n\r\n"
        )  # fmt: skip
        self.assertEqual(self.resource.bodies, [b"x" * 500 + b"y" * 500])

    def test_a_chunked_body_is_refused_when_it_exceeds_the_limit(self) -> None:
        self.client.send(
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
            + (b"64\r\n" + b"x" * 100 + b"\r\n") * 11 + b"0\r\n\r\n" + GET
        )  # fmt: skip
        self.assert_refused(413)

    def test_a_chunked_body_is_refused_in_the_middle_of_a_chunk(self) -> None:
        self.client.send(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n")
        self.client.send(b"x" * 1001)
        self.assert_refused(413)

    def test_no_body_is_ever_spooled_to_disk(self) -> None:
        def no_files(*args: object, **kwargs: object) -> None:
            raise AssertionError("a temporary file was made")

        self.patch(tempfile, "TemporaryFile", no_files)
        self.site.limits = SiteLimits(body_bytes=200_000)
        self.client.send(b"POST / HTTP/1.1\r\nContent-Length: 150000\r\n\r\n" + b"x" * 150_000)
        self.client.send(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
        self.assertEqual([len(body) for body in self.resource.bodies], [150_000, 0])

    def test_a_form_stays_in_the_body(self) -> None:
        self.client.send(
            b"POST / HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\n"
            b"Content-Length: 3\r\n\r\na=b"
        )
        self.assertEqual(self.resource.bodies, [b"a=b"])

    def test_what_follows_a_refusal_is_thrown_away(self) -> None:
        self.client.send(b"POST / HTTP/1.1\r\nContent-Length: 9999\r\n\r\n")
        self.client.send(b"x" * 9999 + GET)
        self.assert_refused(413)

    def test_a_client_that_sends_on_for_ever_is_cut_off(self) -> None:
        self.client.send(b"POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n")
        self.client.send(b"x" * (MAX_DISCARDED_BYTES + 1))
        self.assertTrue(self.client.aborted)

    def test_after_a_refusal_our_half_is_closed_and_the_client_may_read_it(self) -> None:
        self.client.send(b"POST / HTTP/1.1\r\nContent-Length: 9999\r\n\r\n")
        self.assertTrue(self.client.transport.half_closed)
        self.assertFalse(self.client.gone)
        self.assert_refused(413)
        self.assertFalse(self.client.aborted)


class HeaderTests(SiteTestCase):
    def test_a_hundred_headers_pass(self) -> None:
        self.client.send(b"GET / HTTP/1.1\r\n" + b"X-A: b\r\n" * 100 + b"\r\n")
        self.assertEqual(len(self.resource.requests), 1)

    def test_more_headers_are_refused(self) -> None:
        self.client.send(b"GET / HTTP/1.1\r\n" + b"X-A: b\r\n" * 101 + b"\r\n" + GET)
        self.assert_refused(431)

    def test_a_long_request_line_is_refused(self) -> None:
        self.client.send(b"GET /" + b"a" * 20_000)
        self.assert_refused(431)

    def test_long_headers_are_refused_together(self) -> None:
        self.client.send(b"GET / HTTP/1.1\r\n" + (b"X-A: " + b"b" * 1000 + b"\r\n") * 17)
        self.assert_refused(431)

    def test_garbage_is_refused(self) -> None:
        self.client.send(b"\x16\x03\x01\x02\x00 hello\r\n\r\n" + GET)
        self.assert_refused(400)

    def test_two_lengths_are_refused(self) -> None:
        self.client.send(
            b"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"0\r\n\r\n" + GET
        )
        self.assert_refused(400)

    def test_a_bad_chunk_is_refused(self) -> None:
        self.client.send(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" + GET)
        self.assert_refused(400)

    @given(st.binary(max_size=200), st.integers(1, 40))
    def test_any_bytes_are_answered_or_waited_for(self, data: bytes, step: int) -> None:
        client = Connection(self.site)
        client.send(b"GET " + data, step)
        self.clock.pump([5.0] * 80)
        self.assertTrue(client.gone)
        self.flushLoggedErrors()

    def test_the_server_says_neither_version_nor_maker(self) -> None:
        self.client.send(GET)
        answer = Answer.of(self.client)
        self.assertEqual(answer.headers["server"], "dashp2p")
        self.assertEqual(answer.headers["x-content-type-options"], "nosniff")
        self.assertEqual(answer.headers["content-type"], "text/plain; charset=utf-8")


class DeadlineTests(SiteTestCase):
    def test_bytes_do_not_move_the_deadline_of_a_request(self) -> None:
        for byte in b"GET / HTTP/1.1\r\n":
            self.client.send(bytes([byte]))
            self.clock.advance(1.9)
        self.assert_refused(408)

    def test_bytes_do_not_move_the_deadline_of_a_body(self) -> None:
        self.client.send(b"POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\n")
        for _ in range(6):
            self.clock.advance(5)
            self.client.send(b"x")
        self.assert_refused(408)

    def test_a_request_in_time_is_answered(self) -> None:
        self.client.send(GET[:10])
        self.clock.advance(29.9)
        self.client.send(GET[10:])
        self.assertEqual(Answer.of(self.client).code, 200)

    def test_a_connection_that_says_nothing_is_closed(self) -> None:
        self.clock.advance(74.9)
        self.assertFalse(self.client.gone)
        self.clock.advance(0.1)
        self.assertTrue(self.client.gone)
        self.assertEqual(self.client.received(), b"")

    def test_a_connection_that_is_kept_alive_is_closed_when_idle(self) -> None:
        self.client.send(GET)
        self.clock.advance(70)
        self.client.send(GET)
        self.clock.advance(74)
        self.assertFalse(self.client.gone)
        self.clock.advance(1)
        self.assertTrue(self.client.gone)
        self.assertFalse(self.client.aborted)

    def test_a_pipelined_request_has_a_deadline_of_its_own(self) -> None:
        self.client.send(GET + GET[:10])
        self.clock.advance(29)
        self.assertFalse(self.client.gone)
        self.clock.advance(1)
        self.assertIn(b" 408 ", self.client.received())

    def test_a_slow_answer_is_waited_for(self) -> None:
        self.resource.answer = None
        self.client.send(GET)
        for _ in range(100):
            self.clock.advance(10)
        self.assertFalse(self.client.gone)
        self.resource.requests[0].finish()
        self.assertIn(b" 200 ", self.client.received())

    def test_a_pipelined_request_that_waits_for_its_turn_is_not_late(self) -> None:
        self.resource.answer = None
        self.client.send(GET + GET[:10])
        for _ in range(10):
            self.clock.advance(10)
        self.resource.requests[0].finish()
        self.clock.advance(29)
        self.client.send(GET[10:])
        self.assertEqual(len(self.resource.requests), 2)
        self.resource.requests[1].finish()


class ReaderTests(SiteTestCase):
    def large(self, request: Request) -> bytes:
        return b"x" * 1_000_000

    def setUp(self) -> None:
        super().setUp()
        self.resource.answer = self.large
        self.client.reading = False

    def advance(self, seconds: int) -> None:
        for _ in range(seconds):
            self.clock.advance(1)

    def test_a_reader_that_takes_nothing_is_given_up(self) -> None:
        self.client.send(GET)
        self.advance(59)
        self.assertFalse(self.client.gone)
        self.advance(36)
        self.assertTrue(self.client.aborted)

    def test_time_in_which_the_machine_slept_is_not_held_against_a_reader(self) -> None:
        self.client.send(GET)
        self.advance(30)
        self.clock.advance(3600)
        self.assertFalse(self.client.gone)
        self.advance(96)
        self.assertTrue(self.client.aborted)

    def test_a_reader_of_an_unfinished_response_that_takes_nothing_is_given_up(self) -> None:
        self.resource.answer = lambda request: request.write(b"x" * 1000) or NOT_DONE_YET
        self.client.send(GET)
        self.client.transport.take(900)
        self.advance(59)
        self.assertFalse(self.client.gone)
        self.advance(12)
        self.assertTrue(self.client.aborted)

    def test_a_reader_that_takes_little_is_kept(self) -> None:
        self.client.send(GET)
        for _ in range(20):
            self.advance(50)
            self.client.transport.take(10)
        self.assertFalse(self.client.gone)

    def test_more_written_to_a_stalled_reader_does_not_keep_it(self) -> None:
        self.resource.answer = lambda request: request.write(b"x" * 1000) or NOT_DONE_YET
        self.client.send(GET)
        for _ in range(75):
            if not self.client.gone:
                self.resource.requests[0].write(b"event\n")
            self.advance(1)
        self.assertTrue(self.client.aborted)

    def test_a_connection_becomes_idle_when_its_response_is_taken(self) -> None:
        self.client.send(GET)
        for _ in range(10):
            self.advance(20)
            self.client.transport.take(1000)
        self.client.transport.take()
        self.advance(74)
        self.assertFalse(self.client.gone)
        self.advance(20)
        self.assertTrue(self.client.gone)
        self.assertFalse(self.client.aborted)

    def test_a_reader_that_takes_nothing_of_its_last_response_is_given_up(self) -> None:
        self.client.send(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        self.advance(72)
        self.assertTrue(self.client.aborted)

    def test_requests_are_not_read_from_a_client_that_reads_no_responses(self) -> None:
        self.client.send(GET * 2000)
        self.assertEqual(len(self.resource.requests), 1)
        self.assertLess(self.client.transport.most_buffered, 1_001_000)
        self.assertFalse(self.client.transport.reads)
        self.client.transport.take()
        self.assertEqual(len(self.resource.requests), 2)

    def test_a_client_that_reads_nothing_cannot_send_without_end(self) -> None:
        self.resource.answer = lambda request: request.write(b"x" * 100_000) or NOT_DONE_YET
        self.client.send(GET)
        while self.client.transport.reads:
            self.client.send(b"x" * 1000)
        self.assertLess(sum(map(len, self.client.channel._dataBuffer)), 20_000)

    def test_a_client_that_reads_all_gets_all_its_pipelined_responses(self) -> None:
        self.client.send(GET * 20)
        self.client.reading = True
        self.assertEqual(self.client.received().count(b"HTTP/1.1 200"), 20)
        self.assertTrue(self.client.transport.reads)
        self.advance(75)
        self.assertTrue(self.client.gone)

    def test_a_connection_may_be_lost_while_its_next_request_waits(self) -> None:
        self.client.send(GET * 2)
        self.client.transport.abortConnection()
        self.assertEqual(len(self.resource.requests), 1)

    def test_time_in_which_we_do_not_read_does_not_count(self) -> None:
        self.client.send(GET + GET[:10])
        self.advance(20)
        self.client.transport.take(999_999)
        self.advance(20)
        self.client.transport.take()
        self.advance(29)
        self.client.send(GET[10:])
        self.assertEqual(len(self.resource.requests), 2)

    def test_later_requests_in_tiny_pieces_are_kept_in_few(self) -> None:
        self.resource.answer = None
        self.client.send(GET)
        self.client.send(GET * 100, step=1)
        self.assertLess(len(self.client.channel._dataBuffer), 70)


class ResponseTests(SiteTestCase):
    def test_pipelined_requests_are_answered_in_order(self) -> None:
        self.resource.answer = lambda request: bytes(request.path)
        self.client.send(b"".join(GET.replace(b"/ ", b"/%d " % n) for n in range(5)))
        bodies = [part.rpartition(b"\r\n")[2] for part in self.client.received().split(b"HTTP")[1:]]
        self.assertEqual(bodies, [b"/0", b"/1", b"/2", b"/3", b"/4"])

    def test_a_failing_resource_answers_without_details(self) -> None:
        def fail(request: Request) -> bytes:
            raise ZeroDivisionError("secret")

        self.resource.answer = fail
        self.client.send(GET)
        answer = Answer.of(self.client)
        self.assertEqual(answer.code, 500)
        self.assertEqual(answer.headers["content-type"], "application/json")
        self.assertNotIn(b"secret", answer.body)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_a_response_that_fails_half_way_is_aborted(self) -> None:
        def fail(request: Request) -> bytes:
            request.setHeader(b"Content-Length", b"1000")
            request.write(b"segment")
            raise ZeroDivisionError

        self.resource.answer = fail
        self.client.send(GET)
        self.assertTrue(self.client.aborted)
        self.assertTrue(self.client.received().endswith(b"segment"))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_a_response_shorter_than_declared_is_aborted(self) -> None:
        self.resource.answer = None
        self.client.send(GET)
        request = self.resource.requests[0]
        request.setHeader(b"Content-Length", b"1000")
        request.write(b"segment")
        request.finish()
        self.assertTrue(self.client.aborted)

    def test_a_head_request_has_no_body_and_that_is_whole(self) -> None:
        self.client.send(b"HEAD / HTTP/1.1\r\n\r\n")
        answer = Answer.of(self.client)
        self.assertEqual(
            (answer.code, answer.headers["content-length"], answer.body), (200, "5", b"")
        )
        self.assertFalse(self.client.gone)

    def test_a_response_without_a_length_is_whole_when_finished(self) -> None:
        self.resource.answer = None
        self.client.send(GET)
        self.resource.requests[0].write(b"abc")
        self.resource.requests[0].finish()
        self.assertTrue(self.client.received().endswith(b"3\r\nabc\r\n0\r\n\r\n"))
        self.assertFalse(self.client.gone)


class CrowdTests(SynchronousTestCase):
    def site(self, **limits: int | None) -> BoundedSite:
        return BoundedSite(Recorder(hello), Clock(), limits=SiteLimits(**limits))  # type: ignore[arg-type]

    def test_one_address_has_so_many_connections(self) -> None:
        site = self.site(connections_per_address=2)
        first, _second = Connection(site, STRANGER), Connection(site, STRANGER)
        self.assertIsNone(site.buildProtocol(STRANGER))
        self.assertIsNotNone(site.buildProtocol(IPv4Address("TCP", "198.51.100.8", 1)))
        first.transport.abortConnection()
        self.assertIsNotNone(site.buildProtocol(STRANGER))
        self.assertEqual(site.refused_connections, 1)

    def test_loopback_is_exempt(self) -> None:
        site = self.site(connections_per_address=1)
        for address in (LOOPBACK, v6("::1"), v6("::ffff:127.0.0.1"), UNIXAddress(b"x")):
            for _ in range(3):
                Connection(site, address)
        self.assertEqual(site.connections, 12)

    def test_ipv6_is_counted_by_network(self) -> None:
        site = self.site(connections_per_address=1)
        Connection(site, v6("2001:db8::1"))
        self.assertIsNone(site.buildProtocol(v6("2001:db8::2")))
        self.assertIsNotNone(site.buildProtocol(v6("2001:db8:0:1::1")))

    def test_an_ipv4_address_in_ipv6_clothes_is_the_same(self) -> None:
        site = self.site(connections_per_address=1)
        Connection(site, STRANGER)
        self.assertIsNone(site.buildProtocol(v6("::ffff:198.51.100.7")))

    def test_all_together_have_so_many(self) -> None:
        site = self.site(connections=2, connections_per_address=None)
        for _ in range(2):
            Connection(site, STRANGER)
        self.assertIsNone(site.buildProtocol(LOOPBACK))

    def test_addresses_that_left_are_forgotten(self) -> None:
        site = self.site()
        Connection(site, STRANGER).transport.abortConnection()
        self.assertEqual(site._by_group, {})


class DrainTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.resource = Recorder()
        self.site = BoundedSite(self.resource, self.clock)

    def test_without_connections_it_is_over_at_once(self) -> None:
        self.successResultOf(self.site.drain(10))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_idle_connections_are_closed(self) -> None:
        idle = Connection(self.site)
        self.successResultOf(self.site.drain(10))
        self.assertTrue(idle.gone)

    def test_a_response_may_end(self) -> None:
        busy = Connection(self.site)
        busy.send(GET)
        done = self.site.drain(10)
        self.assertNoResult(done)
        self.resource.requests[0].write(b"whole")
        self.resource.requests[0].finish()
        self.assertIn(b"whole", busy.received())
        self.successResultOf(done)
        self.assertTrue(busy.gone)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_response_that_does_not_end_is_cut_off(self) -> None:
        busy = Connection(self.site)
        busy.send(GET)
        done = self.site.drain(10)
        self.clock.advance(10)
        self.successResultOf(done)
        self.assertTrue(busy.aborted)

    def test_whoever_asks_hears_to_the_end_how_it_is(self) -> None:
        Connection(self.site).send(GET)
        self.site.drain(10)
        self.resource.answer = hello
        for path in ("/readyz", "/healthz", "/metrics", "/stats"):
            late = Connection(self.site)
            late.get(path)
            self.assertEqual(Answer.of(late).code, 200, path)
            self.assertTrue(late.gone)

    def test_nothing_new_is_begun(self) -> None:
        Connection(self.site).send(GET)
        self.site.drain(10)
        late = Connection(self.site)
        late.get("/dash/chunk_0_1.m4s")
        answer = Answer.of(late)
        self.assertEqual((answer.code, answer.headers["retry-after"]), (503, "2"))
        self.assertIn(b"stopping", answer.body)
        self.assertTrue(late.gone)
        self.assertEqual(len(self.resource.requests), 1)

    def test_who_comes_after_the_stop_began_does_not_hold_it_up(self) -> None:
        busy = Connection(self.site)
        busy.send(GET)
        done = self.site.drain(10)
        late = Connection(self.site)
        late.get("/readyz")
        self.resource.requests[0].finish()
        busy.received()
        self.successResultOf(done)
        self.site.close()
        self.assertTrue(late.aborted)

    def test_a_response_that_waits_for_its_reader_may_end(self) -> None:
        slow = Connection(self.site)
        slow.reading = False
        slow.send(GET)
        self.resource.requests[0].write(b"whole")
        self.resource.requests[0].finish()
        done = self.site.drain(10)
        self.assertNoResult(done)
        slow.reading = True
        self.assertIn(b"whole", slow.received())
        self.successResultOf(done)


class GuardTests(SynchronousTestCase):
    def test_the_guard_may_answer_instead(self) -> None:
        instead = Recorder(lambda request: b"no")
        resource = Recorder(hello)
        site = BoundedSite(
            resource, Clock(), guard=lambda request: instead if request.path == b"/no" else None
        )
        client = Connection(site)
        client.get("/no")
        self.assertEqual(Answer.of(client).body, b"no")
        self.assertEqual(resource.requests, [])
