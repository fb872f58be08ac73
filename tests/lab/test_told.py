"""Tests of what the headless viewer tells: read with the peer's own reader."""

from urllib.parse import unquote

from twisted.trial.unittest import SynchronousTestCase

from dashp2p.content.mpd import ManifestRepresentation, ManifestSegment
from dashp2p.lab.told import Teller, cmcd_query
from dashp2p.web.cmcd import Cmcd, parse_cmcd

RUNG = ManifestRepresentation(
    id="0",
    adaptation_set=0,
    media_type="video",
    bandwidth_bps=5_000_000,
    codecs="avc1.640028",
    width=1920,
    height=1080,
    init_path="init_0.m4s",
    media=tuple(ManifestSegment(f"chunk 0_{n}.m4s", 4.0 * n, 4.0) for n in range(3)),
)


class TellerTests(SynchronousTestCase):
    """One session."""

    def setUp(self) -> None:
        self.teller = Teller("viewer-1")

    def media(self, number: int = 0, buffer_s: float = 3.98) -> dict[str, object]:
        return self.teller.media(
            RUNG, number, top_bps=8_000_000, buffer_s=buffer_s, throughput_bps=726_549_000.0
        )

    def heard(self, told: dict[str, object]) -> Cmcd:
        return parse_cmcd([unquote(cmcd_query(told).removeprefix("CMCD="))])

    def test_it_tells_as_dash_js_does(self) -> None:
        self.media()
        self.assertEqual(
            unquote(cmcd_query(self.media(1))),
            'CMCD=bl=3900,br=5000,d=4000,dl=3900,mtp=726500,nor="chunk%200_2.m4s",ot=v,'
            'rtp=25200,sf=d,sid="viewer-1",st=v,tb=8000',
        )

    def test_a_peer_understands_it(self) -> None:
        heard = self.heard(self.media())
        self.assertEqual(heard.buffer_s, 3.9)
        self.assertEqual(heard.deadline_s, 3.9)
        self.assertEqual(heard.next_object, "chunk 0_1.m4s")
        self.assertEqual(heard.session_id, "viewer-1")
        self.assertEqual(heard.bitrate_bps, 5_000_000)
        self.assertEqual(heard.top_bitrate_bps, 8_000_000)
        self.assertEqual(heard.object_type, "video")
        self.assertEqual(heard.duration_s, 4.0)

    def test_the_first_request_of_a_track_and_each_init_are_needed_at_once(self) -> None:
        self.assertTrue(self.heard(self.teller.init()).startup)
        self.assertTrue(self.heard(self.media()).startup)
        self.assertFalse(self.heard(self.media(1)).startup)
        self.assertTrue(self.heard(self.teller.init()).startup)

    def test_after_a_stall_the_next_request_says_so_once(self) -> None:
        self.media()
        self.assertFalse(self.heard(self.media()).starved)
        self.teller.stalled()
        heard = self.heard(self.media(1))
        self.assertTrue(heard.starved and heard.startup)
        self.assertFalse(self.heard(self.media(2)).starved)

    def test_an_empty_buffer_and_a_last_segment_leave_nothing_absurd(self) -> None:
        told = self.media(2, 0.0)
        self.assertEqual(told["bl"], 0)
        self.assertEqual(told["rtp"], 200_000)
        self.assertNotIn("nor", told)

    def test_the_manifest_is_asked_for_by_kind_alone(self) -> None:
        self.assertEqual(self.heard(self.teller.manifest()).object_type, "manifest")
