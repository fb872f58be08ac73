"""What a player tells (CMCD), and what we tell it (CMSD)."""

from __future__ import annotations

import http_sf
from http_sf import Token
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Request

from dashp2p.web.cmcd import NOTHING, Cmcd, cmcd_of, parse_cmcd, strip_cmcd
from dashp2p.web.cmsd import cmsd_dynamic, cmsd_static, set_cmsd
from tests.web.support import Recorder, ask

DASHJS = (
    'bl=3900,br=5000,d=4000,dl=3900,mtp=726500,nor="chunk_0_2.m4s",ot=v,rtp=25700,'
    'sf=d,sid="f4b2-11",st=v,su,tb=5000'
)
"""As dash.js 5 sends it with a segment."""


def said(text: str) -> Cmcd:
    return parse_cmcd([text])


class CmcdTests(SynchronousTestCase):
    def test_what_dashjs_sends_is_understood_in_seconds_and_bits(self) -> None:
        self.assertEqual(
            said(DASHJS),
            Cmcd(
                buffer_s=3.9,
                deadline_s=3.9,
                startup=True,
                next_object="chunk_0_2.m4s",
                session_id="f4b2-11",
                bitrate_bps=5_000_000,
                top_bitrate_bps=5_000_000,
                object_type="video",
                duration_s=4.0,
                throughput_bps=726_500_000,
                requested_rate_bps=25_700_000,
            ),
        )

    def test_starvation_rate_content_and_next_range(self) -> None:
        told = said('bs,pr=1.5,cid="film",nrr="100-199"')
        self.assertTrue(told.starved)
        self.assertEqual((told.playback_rate, told.content_id), (1.5, "film"))
        self.assertEqual(told.next_range, (100, 199))
        self.assertEqual(said('nrr="100-"').next_range, (100, None))
        self.assertEqual(said('nrr="-5"').next_range, (None, 5))

    def test_it_comes_in_the_query(self) -> None:
        resource = Recorder(lambda request: b"")
        ask(resource, "/seg.m4s?a=b&CMCD=bl%3D3900%2Cnor%3D%22chunk_0_2.m4s%22%2Csu")
        told = cmcd_of(resource.requests[0])
        self.assertEqual(told, Cmcd(buffer_s=3.9, next_object="chunk_0_2.m4s", startup=True))

    def test_it_comes_in_headers(self) -> None:
        resource = Recorder(lambda request: b"")
        ask(
            resource,
            "/seg.m4s",
            "CMCD-Request: bl=21300,dl=18500",
            "CMCD-Object: br=3200,ot=a",
            "CMCD-Status: bs",
            'CMCD-Session: sid="s"',
        )
        told = cmcd_of(resource.requests[0])
        self.assertEqual((told.buffer_s, told.deadline_s, told.starved), (21.3, 18.5, True))
        self.assertEqual((told.object_type, told.session_id), ("audio", "s"))

    def test_nothing_told_is_nothing(self) -> None:
        resource = Recorder(lambda request: b"")
        ask(resource, "/seg.m4s")
        self.assertEqual(cmcd_of(resource.requests[0]), NOTHING)
        self.assertFalse(NOTHING.present)
        self.assertTrue(said("su").present)

    def test_a_broken_member_does_not_spoil_the_others(self) -> None:
        self.assertEqual(
            said('bl=3900,br=,nor="a,b",?!,su'),
            Cmcd(buffer_s=3.9, next_object="a,b", startup=True),
        )

    def test_values_of_the_wrong_kind_are_left_out(self) -> None:
        for text in ('bl="3900"', "bl", "bl=?1", "bl=-5", "bl=99999999999", "sid=token", "nor=5",
                     "su=1", 'bs="yes"', "ot=zz", 'nrr="x"', 'nrr="-"', "br=999999999999", 'nor=""',
                     'nor="%ff"', 'sid="' + "x" * 65 + '"', "pr=1000"):  # fmt: skip
            self.assertEqual(said(text), NOTHING, text)

    def test_unknown_keys_are_ignored(self) -> None:
        self.assertEqual(said('com.example-x=5,v=1,bl=100,e="ps"'), Cmcd(buffer_s=0.1))

    def test_lists_of_version_two_give_their_first(self) -> None:
        told = said('bl=(3900;v 100),nor=("a.m4s" "b.m4s"),br=()')
        self.assertEqual(told, Cmcd(buffer_s=3.9, next_object="a.m4s"))

    def test_the_range_of_the_next_object_is_a_parameter_in_version_two(self) -> None:
        told = said('nor=("a.m4s";r="0-99" "b.m4s")')
        self.assertEqual((told.next_object, told.next_range), ("a.m4s", (0, 99)))
        for text in ('nor=("a.m4s" "b.m4s";r="0-99")', 'nor=("a.m4s";r=5)'):
            self.assertIsNone(said(text).next_range, text)

    def test_what_is_endless_is_cut(self) -> None:
        self.assertEqual(said(" " * 5000 + "bl=1"), NOTHING)
        self.assertEqual(said("bl=3900," + 'nor="' + "x" * 100_000), Cmcd(buffer_s=3.9))

    @given(st.text(max_size=300))
    def test_no_text_raises(self, text: str) -> None:
        said(text)
        said("bl=5," + text)

    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["bl", "br", "nor", "nrr", "ot", "pr", "su", "sid", "x"]),
                st.sampled_from(["", "=", "=1", "=1.5", '="a"', "=a", "=(1 2)", "=:YQ==:", "=@1",
                                 '="', "=?0", '=%"a"', "=-1", ";a=1", "=9" * 9]),
            ),
            max_size=8,
        )
    )  # fmt: skip
    def test_nothing_that_looks_like_it_raises(self, members: list[tuple[str, str]]) -> None:
        told = said(",".join(key + value for key, value in members))
        told.next_path("/dash/a.m4s")

    @given(st.text(max_size=100))
    def test_the_next_path_never_leaves_the_root(self, name: str) -> None:
        path = Cmcd(next_object=name).next_path("/dash/a.m4s")
        if path is not None:
            self.assertTrue(path.startswith("/"))
            self.assertNotIn("/../", path + "/")

    def test_the_next_path_is_relative_to_the_request(self) -> None:
        for name, path in {
            "chunk_0_2.m4s": "/dash/v/chunk_0_2.m4s",
            "../a/x.m4s": "/dash/a/x.m4s",
            "/other/x.m4s": "/other/x.m4s",
            "x.m4s?q=1": "/dash/v/x.m4s",
            "../../../etc/passwd": None,
            "/../x": None,
            "//evil.example/x": None,
            "http://evil.example/x": None,
            "a\0b": None,
            "..\\x": None,
            "?q": None,
        }.items():
            self.assertEqual(Cmcd(next_object=name).next_path("/dash/v/chunk_0_1.m4s"), path, name)

    def test_the_next_object_is_percent_decoded(self) -> None:
        self.assertEqual(said('nor="..%2Fvideo%20a.m4s"').next_object, "../video a.m4s")


class StripTests(SynchronousTestCase):
    def test_the_parameter_goes_and_the_rest_stays(self) -> None:
        for uri, stripped in {
            "/a.m4s?CMCD=bl%3D3900": "/a.m4s",
            "/a.m4s?x=1&CMCD=b&y=%20+2": "/a.m4s?x=1&y=%20+2",
            "/a.m4s?CMCD": "/a.m4s",
            "/a.m4s?CMCDX=1": "/a.m4s?CMCDX=1",
            "/a.m4s": "/a.m4s",
            "/a.m4s?": "/a.m4s",
            "/a.m4s?CMCD=1#top": "/a.m4s#top",
        }.items():
            self.assertEqual(strip_cmcd(uri), stripped)
            self.assertEqual(strip_cmcd(uri.encode()), stripped.encode())

    @given(st.binary(max_size=60))
    def test_bytes_that_are_not_cmcd_are_untouched(self, tail: bytes) -> None:
        uri = b"/a?x=" + tail.replace(b"&", b"").replace(b"#", b"")
        self.assertEqual(strip_cmcd(uri), uri)


class CmsdTests(SynchronousTestCase):
    def test_the_dynamic_header_names_us_and_carries_rates_in_kilobits(self) -> None:
        header = cmsd_dynamic("dashp2p", throughput_bps=12_345_678, max_bitrate_bps=5_000_000)
        self.assertEqual(header, '"dashp2p";etp=12345;mb=5000')

    def test_all_that_can_be_told(self) -> None:
        header = cmsd_dynamic(
            "p", throughput_bps=1, max_bitrate_bps=0, round_trip_s=0.0123, duress=True
        )
        self.assertEqual(header, '"p";du;etp=1;mb=1;rtt=12')

    def test_nothing_to_tell_is_no_header(self) -> None:
        self.assertEqual(cmsd_dynamic("p"), "")
        self.assertEqual(cmsd_static(), "")

    def test_the_static_header_describes_the_object(self) -> None:
        header = cmsd_static(
            object_type="video", bitrate_bps=5e6, duration_s=4.0, next_object="b%20c", startup=True
        )
        told = http_sf.parse(header.encode(), tltype="dictionary")
        assert isinstance(told, dict)
        values = {key: value[0] for key, value in told.items() if isinstance(value, tuple)}
        self.assertEqual(
            values, {"br": 5000, "d": 4000, "nor": "b%20c", "ot": Token("v"), "su": True}
        )

    def test_headers_are_set_where_there_is_something_to_tell(self) -> None:
        def answer(request: Request) -> bytes:
            set_cmsd(request, static="", dynamic=cmsd_dynamic("p", throughput_bps=1e6))
            return b""

        headers = ask(Recorder(answer), "/").headers
        self.assertEqual(headers["cmsd-dynamic"], '"p";etp=1000')
        self.assertNotIn("cmsd-static", headers)
