"""Fetching from the origin: exactly what was asked for, within bounds, or an OriginError."""

from __future__ import annotations

import gzip
import tracemalloc
from collections.abc import Coroutine
from typing import Any
from urllib.parse import urlsplit

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseNeverReceived

from dashp2p.peer.fakenet import advance
from dashp2p.peer.fakeweb import (
    Answer,
    Asked,
    MemoryOrigin,
    MemoryResponse,
    MemoryWeb,
    memory_client,
)
from dashp2p.peer.limits import MAX_REDIRECTS, ORIGIN_CONNECT_S, ORIGIN_PATIENCE_S, ORIGIN_SILENCE_S
from dashp2p.peer.origin_client import LEAST_BYTES, OriginClient, OriginError

FILE = bytes(range(256)) * 300  # several chunks
SIZE = len(FILE)


class OriginClientTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(500.0)
        self.origin = MemoryOrigin(self.clock, {"a.m4s": FILE, "index.sig": b"{}"})
        self.web = MemoryWeb()
        self.web.sites["origin.test"] = self.origin
        self.client = OriginClient(memory_client(self.web), self.clock, "http://origin.test/dash/")
        self.got = b""

    def tearDown(self) -> None:
        self.assertEqual(self.clock.getDelayedCalls(), [], "a timer has outlived its fetch")

    def take(self, data: bytes) -> None:
        self.got += data

    def run_to_end(self, work: Coroutine[Any, Any, Any], seconds: float = 60.0) -> Deferred[Any]:
        job = Deferred.fromCoroutine(work)
        advance(self.clock, seconds)
        return job

    def fetch(self, first: int, size: int, whole: bool = False) -> None:
        self.successResultOf(
            self.run_to_end(self.client.fetch("a.m4s", first, size, whole, self.take))
        )

    def refused(self, first: int = 1000, size: int = 5000, whole: bool = False) -> OriginError:
        """How a fetch fails."""
        job = self.run_to_end(self.client.fetch("a.m4s", first, size, whole, self.take))
        error = self.failureResultOf(job, OriginError).value
        assert isinstance(error, OriginError)
        return error

    def answering(
        self, code: int, body: bytes = b"", **headers: str
    ) -> list[Asked]:  # a site by hand
        """Let the origin answer everything like this; the requests that come."""
        asked_for: list[Asked] = []

        def answer(asked: Asked) -> Answer:
            asked_for.append(asked)
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            response = MemoryResponse(self.clock, code, body, named, asked=asked)
            self.origin.responses.append(response)
            return response

        self.web.sites["origin.test"] = answer
        return asked_for


class FetchTests(OriginClientTestCase):
    def test_a_whole_file_is_asked_for_without_a_range(self) -> None:
        self.fetch(0, SIZE, whole=True)
        self.assertEqual(self.got, FILE)
        self.assertIsNone(self.origin.log[0].header("Range"))

    def test_a_part_is_asked_for_by_range(self) -> None:
        self.fetch(1000, 5000)
        self.assertEqual(self.got, FILE[1000:6000])
        self.assertEqual(self.origin.log[0].header("Range"), "bytes=1000-5999")

    def test_whether_it_gives_ranges_is_what_it_says_until_it_was_asked_for_one(self) -> None:
        self.fetch(0, SIZE, whole=True)
        self.assertTrue(self.client.gives_ranges)
        self.origin.ignores_range = True
        self.fetch(0, SIZE, whole=True)
        self.assertFalse(self.client.gives_ranges)
        self.origin.ignores_range = False
        self.fetch(1000, 5000)
        self.assertTrue(self.client.gives_ranges)

    def test_an_origin_that_gives_ranges_need_not_say_so(self) -> None:
        self.fetch(1000, 5000)
        self.answering(200, FILE)
        self.fetch(0, SIZE, whole=True)
        self.assertTrue(self.client.gives_ranges)

    def test_an_origin_that_ignored_a_range_is_not_believed_that_it_gives_them(self) -> None:
        self.answering(200, FILE, Accept_Ranges="bytes")
        self.fetch(1000, 5000)
        self.fetch(0, SIZE, whole=True)
        self.assertFalse(self.client.gives_ranges)

    def test_bytes_are_handed_on_as_they_come(self) -> None:
        self.origin.chunk_s = 1.0
        job = Deferred.fromCoroutine(self.client.fetch("a.m4s", 0, SIZE, True, self.take))
        advance(self.clock, 2.5)
        self.assertTrue(0 < len(self.got) < SIZE)
        self.assertNoResult(job)
        advance(self.clock, 10.0)
        self.assertEqual(self.got, FILE)

    def test_a_reader_that_waits_takes_no_more_meanwhile(self) -> None:
        self.origin.chunk_s = 0.01
        waits = iter([2.0])
        job = Deferred.fromCoroutine(
            self.client.fetch("a.m4s", 0, SIZE, True, self.take, lambda came: next(waits, 0.0))
        )
        advance(self.clock, 1.9)
        first = len(self.got)
        self.assertTrue(0 < first < SIZE)
        advance(self.clock, 0.2)
        self.assertGreater(len(self.got), first)
        advance(self.clock, 10.0)
        self.assertEqual(self.got, FILE)
        self.successResultOf(job)

    def test_a_fetch_that_is_broken_off_while_it_waits_leaves_no_timer(self) -> None:
        job = Deferred.fromCoroutine(
            self.client.fetch("a.m4s", 0, SIZE, True, self.take, lambda came: 5.0)
        )
        advance(self.clock, 1.0)
        job.cancel()
        self.failureResultOf(job, CancelledError)
        advance(self.clock, 0.1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_connection_that_was_read_to_the_end_is_not_closed(self) -> None:
        self.fetch(0, SIZE, whole=True)
        self.fetch(1000, 5000)
        self.assertEqual([response.closed for response in self.origin.responses], [False, False])

    def test_names_are_percent_encoded(self) -> None:
        self.assertEqual(
            self.client.url("a b/c#?.m4s"), "http://origin.test/dash/a%20b/c%23%3F.m4s"
        )

    def test_compression_is_not_asked_for(self) -> None:
        self.fetch(0, SIZE, whole=True)
        sent = self.origin.log[0].headers.getRawHeaders("Accept-Encoding")
        self.assertEqual(sent, ["identity"])

    def test_an_origin_without_ranges_is_read_up_to_what_was_asked_for(self) -> None:
        self.origin.ignores_range = True
        self.fetch(20_000, 30_000)
        self.assertEqual(self.got, FILE[20_000:50_000])
        self.assertTrue(self.origin.responses[0].closed, "the rest is of no use")
        self.assertLess(self.origin.log[0].sent_bytes, SIZE)

    def test_the_start_of_a_file_comes_from_an_origin_without_ranges_too(self) -> None:
        self.origin.ignores_range = True
        self.fetch(0, 100)
        self.assertEqual(self.got, FILE[:100])


class CompressedTests(OriginClientTestCase):
    """An origin that compresses though it was asked not to."""

    def test_it_is_inflated(self) -> None:
        self.answering(200, gzip.compress(FILE), Content_Encoding="gzip")
        self.fetch(0, SIZE, whole=True)
        self.assertEqual(self.got, FILE)

    def test_no_further_than_what_was_asked_for(self) -> None:
        """A mebibyte of zeros is a kibibyte: a thousand times as much comes out of one read."""
        self.answering(200, gzip.compress(bytes(64 << 20)), Content_Encoding="gzip")
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        self.assertIn("more than was asked for", str(self.refused(0, SIZE, whole=True)))
        self.assertLess(tracemalloc.get_traced_memory()[1], 2 << 20)

    def test_what_is_broken_is_refused(self) -> None:
        packed = gzip.compress(FILE)
        self.answering(200, packed[:50] + b"x" * 50 + packed[100:], Content_Encoding="gzip")
        self.refused(0, SIZE, whole=True)
        self.answering(200, packed[:-200], Content_Encoding="gzip")
        self.refused(0, SIZE, whole=True)
        self.answering(200, FILE, Content_Encoding="gzip")
        self.assertIn("broken", str(self.refused(0, SIZE, whole=True)))

    def test_other_ways_are_refused(self) -> None:
        for encoding in ("br", "deflate", "gzip, gzip"):
            self.answering(200, FILE, Content_Encoding=encoding)
            self.assertIn("compressed", str(self.refused(0, SIZE, whole=True)))
            self.assertTrue(self.origin.responses[-1].closed)

    def test_the_header_that_tells_is_believed_of_nobody(self) -> None:
        self.answering(200, FILE, Dashp2p_Came_As="gzip")
        self.fetch(0, SIZE, whole=True)
        self.assertEqual(self.got, FILE)


class RefusalTests(OriginClientTestCase):
    def test_another_range_than_was_asked_for_is_refused_unread(self) -> None:
        for content_range in (
            "bytes 0-4999/76800",
            "bytes 1000-6000/76800",
            "bytes 1000-59999/76800",
            "bytes 1001-5999/76800",
            "items 1000-5999/76800",
            "",
        ):
            self.answering(206, FILE[:5000], Content_Range=content_range)
            self.assertIn("another range", str(self.refused()))
        self.assertEqual(self.got, b"")

    def test_a_part_without_content_range_is_refused(self) -> None:
        self.answering(206, FILE[1000:6000])
        self.assertIn("another range", str(self.refused()))
        self.assertEqual(self.got, b"")

    def test_a_part_is_no_answer_to_a_request_for_the_whole(self) -> None:
        self.answering(206, FILE[:5000], Content_Range=f"bytes 0-{SIZE - 1}/{SIZE}")
        self.assertEqual(self.refused(0, SIZE, whole=True).status, 206)
        self.assertEqual(self.got, b"")

    def test_errors_carry_their_status(self) -> None:
        for code in (404, 500, 416, 403):
            self.answering(code, b"<html>no</html>")
            self.assertEqual(self.refused().status, code)
            self.assertEqual(self.refused(0, SIZE, whole=True).status, code)
        self.assertEqual(self.got, b"")

    def test_redirects_elsewhere_are_not_followed(self) -> None:
        elsewhere: list[Asked] = []
        for place in (
            "http://169.254.169.254/latest/meta-data",
            "//169.254.169.254/latest/meta-data",
            "http://origin.test:8080/dash/a.m4s",
            "https://origin.test/dash/a.m4s",
            "http://other.test/dash/a.m4s",
            "http://user@origin.test/dash/a.m4s",
            "http://origin.test.evil.test/dash/a.m4s",
            "file:///etc/passwd",
            "http://origin.test:999999/",
            "http://[::1",
        ):
            with self.subTest(place=place):
                asked = self.answering(302, Location=place)
                host = urlsplit(place).netloc if "[" not in place else place
                if host != "origin.test":
                    self.web.sites[host] = lambda asked: elsewhere.append(asked)
                error = self.refused(0, SIZE, whole=True)
                self.assertEqual((error.status, len(asked), elsewhere), (302, 1, []))
                self.assertIn("--origin", str(error))

    def test_redirects_within_the_origin_are_followed(self) -> None:
        for code in (301, 302, 303, 307, 308):
            for place in ("/dash/b.m4s", "b.m4s", "http://ORIGIN.test:80/dash/b.m4s#part"):
                with self.subTest(code=code, place=place):
                    asked = self.redirecting(code, place)
                    self.got = b""
                    self.fetch(0, SIZE, whole=True)
                    self.assertEqual(self.got, FILE)
                    self.assertEqual([each.path for each in asked], ["/dash/a.m4s", "/dash/b.m4s"])

    def test_a_redirected_part_is_asked_for_as_a_part(self) -> None:
        asked = self.redirecting(302, "/dash/b.m4s")
        self.fetch(1000, 5000)
        self.assertEqual(self.got, FILE[1000:6000])
        self.assertEqual([each.header("Range") for each in asked], ["bytes=1000-5999"] * 2)

    def test_redirects_in_a_circle_end(self) -> None:
        asked = self.answering(302, Location="/dash/a.m4s")
        self.assertIn("again and again", str(self.refused(0, SIZE, whole=True)))
        self.assertEqual(len(asked), MAX_REDIRECTS)

    def redirecting(self, code: int, place: str) -> list[Asked]:
        """An origin where the file has moved."""
        self.origin.files = {"b.m4s": FILE}
        asked: list[Asked] = []

        def answer(request: Asked) -> Answer:
            asked.append(request)
            if request.path == "/dash/a.m4s":
                headers = {"Location": place}
                return MemoryResponse(self.clock, code, b"moved", headers, asked=request)
            return self.origin(request)

        for host in ("origin.test", "ORIGIN.test:80"):
            self.web.sites[host] = answer
        return asked

    def test_more_than_was_asked_for_is_refused(self) -> None:
        self.answering(206, FILE, Content_Range=f"bytes 1000-5999/{SIZE}")
        self.assertIn("more than was asked for", str(self.refused()))
        self.assertLessEqual(len(self.got), 5000)
        self.assertTrue(self.origin.responses[-1].closed)

    def test_a_file_longer_than_the_index_says_is_refused(self) -> None:
        self.answering(200, FILE + b"!")
        self.assertIn("more than was asked for", str(self.refused(0, SIZE, whole=True)))
        self.assertLessEqual(len(self.got), SIZE)

    def test_less_than_was_asked_for_is_told(self) -> None:
        self.answering(200, FILE[:-1])
        self.assertIn(f"{SIZE - 1} bytes of {SIZE}", str(self.refused(0, SIZE, whole=True)))

    def test_less_from_an_origin_without_ranges_is_told(self) -> None:
        self.answering(200, FILE[:3000])
        self.assertIn("2000 bytes of 5000", str(self.refused()))

    def test_an_origin_that_is_not_there(self) -> None:
        self.origin.away = True
        error = self.refused()
        self.assertIn("does not answer", str(error))
        self.assertIsNone(error.status)

    def test_an_origin_that_breaks_off(self) -> None:
        self.origin.cut_at = 2000
        self.assertIn("broke off", str(self.refused()))
        self.assertEqual(self.got, FILE[1000:3000])

    def test_an_origin_that_goes_silent_before_its_answer(self) -> None:
        self.origin.silent = True
        job = Deferred.fromCoroutine(self.client.fetch("a.m4s", 0, SIZE, True, self.take))
        advance(self.clock, ORIGIN_CONNECT_S + ORIGIN_SILENCE_S - 0.1)
        self.assertNoResult(job)
        advance(self.clock, 0.2)
        self.failureResultOf(job, OriginError)

    def test_an_origin_that_goes_silent_in_the_middle(self) -> None:
        self.origin.hangs_at = 16_000
        job = Deferred.fromCoroutine(self.client.fetch("a.m4s", 0, SIZE, True, self.take))
        advance(self.clock, ORIGIN_PATIENCE_S + 0.1)
        self.failureResultOf(job, OriginError)
        self.assertEqual(self.got, FILE[:16_000])
        self.assertTrue(self.origin.responses[0].closed)

    def test_an_origin_that_sends_a_beginning_and_then_nothing(self) -> None:
        self.origin.files["a.m4s"] = FILE * 10
        self.origin.hangs_at = LEAST_BYTES
        job = Deferred.fromCoroutine(self.client.fetch("a.m4s", 0, SIZE * 10, True, self.take))
        advance(self.clock, 2 * ORIGIN_PATIENCE_S - 0.1)
        self.assertNoResult(job)
        advance(self.clock, 0.2)
        self.assertIn("silent", str(self.failureResultOf(job, OriginError).value))

    def test_an_origin_that_trickles(self) -> None:
        self.origin.chunk_s = 3.0  # less than 64 kbit/s, and never silent for long
        job = Deferred.fromCoroutine(self.client.fetch("a.m4s", 0, SIZE, True, self.take))
        advance(self.clock, ORIGIN_PATIENCE_S + 0.1)
        self.assertIn("trickles", str(self.failureResultOf(job, OriginError).value))
        self.assertTrue(self.origin.responses[0].closed)

    def test_an_origin_that_is_slow_has_time(self) -> None:
        self.origin.files["a.m4s"] = FILE * 10
        self.origin.chunk_s = 1.0
        job = self.run_to_end(self.client.fetch("a.m4s", 0, SIZE * 10, True, self.take), 100.0)
        self.successResultOf(job)
        self.assertTrue(self.got == FILE * 10)


class CancelTests(OriginClientTestCase):
    def cancelled_after(self, seconds: float) -> None:
        job = Deferred.fromCoroutine(self.client.fetch("a.m4s", 0, SIZE, True, self.take))
        advance(self.clock, seconds)
        job.cancel()
        before = len(self.got)
        advance(self.clock, 60.0)
        self.failureResultOf(job, CancelledError)
        self.assertEqual(len(self.got), before, "bytes came after the end")

    def test_cancelling_before_the_answer(self) -> None:
        self.origin.silent = True
        self.cancelled_after(1.0)

    def test_cancelling_a_request_that_has_left_is_no_fault_of_the_origins_either(self) -> None:
        """So Twisted's own client fails then; an error of the origin's would count against it."""
        self.web.sites["origin.test"] = self.wrapped
        self.cancelled_after(1.0)

    def test_a_request_that_has_left_and_is_not_answered_is(self) -> None:
        self.web.sites["origin.test"] = self.wrapped
        self.assertIn("took too long", str(self.refused()))

    def wrapped(self, asked: Asked) -> Answer:
        return Deferred(
            lambda cancelled: cancelled.errback(ResponseNeverReceived([Failure(CancelledError())]))
        )

    def test_cancelling_in_the_middle_closes_the_connection(self) -> None:
        self.origin.chunk_s = 1.0
        self.cancelled_after(1.5)
        self.assertTrue(self.origin.responses[0].closed)
        self.assertLess(self.origin.log[0].sent_bytes, SIZE)

    def test_an_answer_of_no_use_is_not_read(self) -> None:
        self.answering(404, FILE)
        self.refused()
        self.assertTrue(self.origin.responses[-1].closed)

    def test_discarding_an_empty_answer_keeps_the_connection(self) -> None:
        self.answering(304)
        response = self.successResultOf(self.run_to_end(self.client.open("a.m4s")))
        self.client.discard(response)
        advance(self.clock, 1.0)


class SmallFileTests(OriginClientTestCase):
    def small(self, limit_bytes: int) -> Deferred[Any]:
        return self.run_to_end(self.client.fetch_small("index.sig", limit_bytes))

    def test_a_small_file_comes_whole(self) -> None:
        self.assertEqual(self.successResultOf(self.small(2)), b"{}")

    def test_one_that_is_not_small_is_refused(self) -> None:
        self.failureResultOf(self.small(1), OriginError)

    def test_endless_ones_are_cut_at_the_bound(self) -> None:
        self.origin.files["index.sig"] = bytes(10_000_000)
        self.failureResultOf(self.small(4096), OriginError)
        self.assertLess(self.origin.sent_bytes("index.sig"), 100_000)

    def test_its_status_is_told(self) -> None:
        del self.origin.files["index.sig"]
        error = self.failureResultOf(self.small(100), OriginError).value
        self.assertEqual(getattr(error, "status", None), 404)

    def test_cookies_are_neither_kept_nor_sent(self) -> None:
        asked = self.answering(200, b"{}", Set_Cookie="spy=1; Path=/")
        for _ in range(2):
            self.successResultOf(self.small(10))
        self.assertEqual(len(asked), 2)
        self.assertIsNone(asked[1].header("Cookie"))
