"""What the lab makes of a browser's events and requests."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dashp2p.content.entry import Entry, Kind, Representation
from dashp2p.content.index import Index
from dashp2p.lab.browser import Watch


def media(position: int, rung: str, number: int) -> Entry:
    return Entry(
        position=position,
        path=f"chunk_{rung}_{number + 1}.m4s",
        size_bytes=1000,
        digest=bytes(32),
        kind=Kind.MEDIA,
        representation_id=rung,
        number=number,
        start_s=4.0 * number,
        duration_s=4.0,
        block_size_bytes=16384,
    )


def rung(name: str, kind: str, rate: int) -> Representation:
    return Representation(name, kind, rate, "", None, None)


INDEX = Index(
    presentation_id="0" * 32,
    public_key=bytes(32),
    block_size_bytes=16384,
    issued="2026-01-01T00:00:00Z",
    entries=(media(1, "0", 0), media(2, "0", 1), media(3, "1", 0), media(4, "2", 0)),
    representations=(
        rung("0", "video", 4_000_000),
        rung("1", "video", 1_000_000),
        rung("2", "audio", 128_000),
    ),
)


class WatchTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.watch = Watch(INDEX)
        self.watch.requested("dash.mpd", 10.0)

    def test_start_up_lasts_from_the_mpds_request_to_the_first_picture(self) -> None:
        self.watch.requested("dash.mpd", 10.1)
        self.watch.heard("waiting", 10.2)
        self.watch.heard("playing", 10.5)
        self.watch.heard("playing", 12.0)
        report = self.watch.report("p01")
        self.assertAlmostEqual(report["startup_ms"], 500.0)
        self.assertEqual((report["state"], report["stalls"]), ("playing", 0))

    def test_waiting_for_the_first_picture_is_no_stall(self) -> None:
        self.assertEqual(self.watch.report("p01")["state"], "starting")
        self.assertIsNone(self.watch.report("p01")["startup_ms"])

    def test_a_stall_lasts_until_it_plays_again(self) -> None:
        for name, at in (("playing", 11.0), ("waiting", 15.0), ("waiting", 15.5), ("playing", 17)):
            self.watch.heard(name, at)
        report = self.watch.report("p01")
        self.assertEqual((report["stalls"], report["stalled_ms"]), (1, 2000.0))

    def test_what_nobody_sees_is_no_stall(self) -> None:
        for name, at in (("playing", 11.0), ("waiting", 15.0), ("playing", 15.03)):
            self.watch.heard(name, at)
        self.assertEqual(self.watch.report("p01")["stalls"], 0)

    def test_a_seek_is_no_stall(self) -> None:
        for name, at in (("playing", 11.0), ("seeking", 15.0), ("waiting", 15.0), ("playing", 19)):
            self.watch.heard(name, at)
        self.assertEqual(self.watch.report("p01")["stalls"], 0)

    def test_near_the_end_is_the_end(self) -> None:
        self.watch.reached(29.0, 30.0)
        self.assertFalse(self.watch.ended)
        self.watch.reached(29.8, 30.0)
        self.assertTrue(self.watch.ended)

    def test_the_rung_that_came_last_counts(self) -> None:
        for path in ("chunk_1_1.m4s", "chunk_0_1.m4s", "chunk_0_2.m4s", "chunk_2_1.m4s"):
            self.watch.received(path, 1000, 12.0)
        self.assertEqual(self.watch.report("p01")["mean_bitrate_bps"], 4_000_000)

    def test_a_file_that_broke_off_is_not_delivered(self) -> None:
        self.watch.received("chunk_0_1.m4s", 999, 12.0)
        self.watch.received("unknown.m4s", 1000, 12.0)
        self.assertEqual(self.watch.report("p01")["segments"], [])

    def test_a_switch_is_another_rung_from_one_picture_to_the_next_in_the_film(self) -> None:
        for path in ("chunk_0_2.m4s", "chunk_2_1.m4s", "chunk_1_1.m4s"):
            self.watch.received(path, 1000, 12.0)
        report = self.watch.report("p01")
        self.assertEqual(report["switches"], 1)
        self.assertEqual([one["track"] for one in report["segments"]], ["video", "audio", "video"])
        self.watch.received("chunk_0_1.m4s", 1000, 13.0)
        self.assertEqual(self.watch.report("p01")["switches"], 0)
