"""Ranges and preconditions as RFC 9110 has them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Request

from dashp2p.web.conditional import select
from dashp2p.web.ranges import ByteRange, RangeError, requested_range
from tests.web.support import Answer, Recorder, ask


class RangeTests(SynchronousTestCase):
    def test_a_single_range(self) -> None:
        self.assertEqual(requested_range("bytes=0-99", 1000), ByteRange(0, 100, 1000))
        self.assertEqual(requested_range("bytes=999-999", 1000), ByteRange(999, 1, 1000))

    def test_an_open_range(self) -> None:
        self.assertEqual(requested_range("bytes=900-", 1000), ByteRange(900, 100, 1000))

    def test_a_suffix(self) -> None:
        self.assertEqual(requested_range("bytes=-100", 1000), ByteRange(900, 100, 1000))

    def test_a_suffix_longer_than_all_is_all(self) -> None:
        self.assertEqual(requested_range("bytes=-5000", 1000), ByteRange(0, 1000, 1000))

    def test_an_end_beyond_the_end_is_the_end(self) -> None:
        self.assertEqual(requested_range("bytes=900-5000", 1000), ByteRange(900, 100, 1000))

    def test_several_ranges_mean_the_whole(self) -> None:
        self.assertIsNone(requested_range("bytes=0-1,4-5", 1000))

    def test_what_is_no_range_means_the_whole(self) -> None:
        for header in (
            None, "", "bytes", "bytes=", "bytes=a-b", "bytes=5-2", "bytes=-", "items=0-1",
            "bytes=--1", "bytes=1", "bytes=0x1-2", "bytes=" + "9" * 5000 + "-",
        ):  # fmt: skip
            self.assertIsNone(requested_range(header, 1000), header)

    def test_a_range_beyond_the_end_is_refused(self) -> None:
        for header in ("bytes=1000-", "bytes=1000-2000", "bytes=99999999999999999999-"):
            with self.assertRaises(RangeError) as caught:
                requested_range(header, 1000)
            self.assertEqual(caught.exception.content_range, "bytes */1000")

    def test_nothing_has_no_range(self) -> None:
        self.assertRaises(RangeError, requested_range, "bytes=0-", 0)
        self.assertRaises(RangeError, requested_range, "bytes=-1", 0)

    def test_content_range_tells_first_last_and_total(self) -> None:
        self.assertEqual(ByteRange(10, 5, 100).content_range, "bytes 10-14/100")

    @given(st.text(max_size=40), st.integers(0, 10**6))
    def test_a_range_always_lies_inside(self, text: str, total: int) -> None:
        for header in (text, "bytes=" + text):
            try:
                found = requested_range(header, total)
            except RangeError:
                continue
            if found is not None:
                self.assertTrue(0 <= found.first < found.first + found.size_bytes <= total)

    @given(st.integers(0, 2000), st.integers(0, 2000))
    def test_a_valid_range_gives_the_bytes_it_names(self, first: int, last: int) -> None:
        data = bytes(range(256)) * 4
        if first > last or first >= len(data):
            return
        found = requested_range(f"bytes={first}-{last}", len(data))
        assert found is not None
        self.assertEqual(data[found.first : found.first + found.size_bytes], data[first : last + 1])


class SelectTests(SynchronousTestCase):
    data = b"0123456789"

    def ask(self, *headers: str, method: str = "GET") -> Answer:
        def answer(request: Request) -> bytes:
            chosen = select(request, "tag", len(self.data))
            return self.data[chosen.first : chosen.first + chosen.size_bytes]

        return ask(Recorder(answer), "/", *headers, method=method)

    def test_the_whole_has_a_tag_and_offers_ranges(self) -> None:
        answer = self.ask()
        self.assertEqual((answer.code, answer.body), (200, self.data))
        self.assertEqual(answer.headers["etag"], '"tag"')
        self.assertEqual(answer.headers["accept-ranges"], "bytes")

    def test_a_part(self) -> None:
        answer = self.ask("Range: bytes=2-4")
        self.assertEqual((answer.code, answer.body), (206, b"234"))
        self.assertEqual(answer.headers["content-range"], "bytes 2-4/10")
        self.assertEqual(answer.headers["content-length"], "3")

    def test_a_part_that_is_not_there(self) -> None:
        answer = self.ask("Range: bytes=10-")
        self.assertEqual((answer.code, answer.body), (416, b""))
        self.assertEqual(answer.headers["content-range"], "bytes */10")

    def test_two_range_headers_mean_the_whole(self) -> None:
        self.assertEqual(self.ask("Range: bytes=0-1", "Range: bytes=2-3").code, 200)

    def test_ranges_are_for_get_only(self) -> None:
        answer = self.ask("Range: bytes=2-4", method="HEAD")
        self.assertEqual((answer.code, answer.headers["content-length"]), (200, "10"))

    def test_who_has_it_is_not_sent_it_again(self) -> None:
        for header in ('"tag"', 'W/"tag"', '"a", "tag"', "*", ' "a",W/"tag" '):
            answer = self.ask(f"If-None-Match: {header}")
            self.assertEqual((answer.code, answer.body), (304, b""), header)
            self.assertEqual(answer.headers["etag"], '"tag"')
            self.assertNotIn("content-length", answer.headers)

    def test_who_has_another_is_sent_it(self) -> None:
        for header in ('"other"', 'W/"other"', "", '"tag', "tagg"):
            self.assertEqual(self.ask(f"If-None-Match: {header}").code, 200, header)

    def test_a_conditional_range_that_is_known_is_not_sent(self) -> None:
        self.assertEqual(self.ask('If-None-Match: "tag"', "Range: bytes=0-1").code, 304)

    def test_a_part_of_the_same_continues(self) -> None:
        self.assertEqual(self.ask("Range: bytes=2-4", 'If-Range: "tag"').code, 206)

    def test_a_part_of_another_starts_over(self) -> None:
        for header in ('"other"', 'W/"tag"', "tag", "Sat, 29 Oct 1994 19:43:31 GMT", "*"):
            answer = self.ask("Range: bytes=2-4", f"If-Range: {header}")
            self.assertEqual((answer.code, answer.body), (200, self.data), header)

    def test_a_part_of_another_that_is_out_of_range_starts_over(self) -> None:
        self.assertEqual(self.ask("Range: bytes=99-", 'If-Range: "other"').code, 200)

    def test_if_match_compares_strongly(self) -> None:
        self.assertEqual(self.ask('If-Match: "tag"').code, 200)
        self.assertEqual(self.ask("If-Match: *").code, 200)
        self.assertEqual(self.ask('If-Match: W/"tag"').code, 412)
        self.assertEqual(self.ask('If-Match: "other"').code, 412)

    def test_dates_decide_nothing(self) -> None:
        self.assertEqual(self.ask("If-Modified-Since: Sat, 29 Oct 2094 19:43:31 GMT").code, 200)
