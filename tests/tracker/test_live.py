"""The dashboard's figures: what they say, how they are pushed, who may have them."""

from __future__ import annotations

import json
import re
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.trial.unittest import SynchronousTestCase

from dashp2p.tracker import limits
from dashp2p.tracker.dashboard import dashboard_files
from tests.tracker.support import OTHER_SWARM, SWARM, Tracker, peer_id, want
from tests.web.support import Connection

MB = 1_000_000
LOCAL = IPv4Address("TCP", "127.0.0.1", 50_000)


class LiveCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.tracker = Tracker()

    def live(self, query: str = "") -> dict[str, Any]:
        answer = self.tracker.get(f"/live?once=1{query}")
        self.assertEqual((answer.code, answer.headers["cache-control"]), (200, "no-store"))
        fields: dict[str, Any] = json.loads(answer.body)
        return fields

    def pass_s(self, seconds: float) -> None:
        for _ in range(int(seconds)):
            self.tracker.clock.advance(1.0)

    def listen(self, host: str = "127.0.0.1", admin: bool = False, query: str = "") -> Connection:
        site = self.tracker.admin if admin else self.tracker.site
        connection = Connection(site, IPv4Address("TCP", host, 50_000))
        connection.get(f"/live{query}")
        return connection

    def heard(self, connection: Connection) -> list[dict[str, Any]]:
        """The documents that a page has got so far."""
        lines = re.findall(rb"^data: (.*)$", connection.received(), re.MULTILINE)
        return [json.loads(line) for line in lines]

    def fetched(self, number: int, segment: int) -> None:
        """A peer leases a segment of 327 680 bytes and gets it."""
        [lease] = self.tracker.lease(number, want=[want(segment, path=f"chunk_0_{segment}.m4s")])
        self.tracker.lease(number, done=[{"segment": segment, "epoch": lease["epoch"]}])


class FigureTests(LiveCase):
    def test_nobody_here_is_no_swarm(self) -> None:
        found = self.live()
        self.assertEqual((found["swarms"], found["swarm"]), ([], None))

    def test_viewers_their_bitrate_and_stalls_are_summed_over_peers(self) -> None:
        for number, viewers, rate in ((1, 2, 3 * MB), (2, 1, MB), (3, 0, 0)):
            stats = {"viewers": viewers, "bitrate_bps": rate, "player_stalls_total": number}
            stats |= {"player_stalled_ms_total": 500, "delivered_bytes": 10}
            self.tracker.announce(number, stats=stats)
        now = self.live("&history=1")["swarm"]["now"]
        told = dict(zip(self.live("&history=1")["history"]["names"], now, strict=True))
        self.assertEqual((told["peers"], told["viewers"]), (3, 3))
        self.assertEqual((told["bitrate_bps"], told["delivered_bytes"]), (2 * MB, 30))
        self.assertEqual((told["stalls"], told["stalled_s"]), (6, 1.5))

    def test_a_segment_fetched_once_is_one_copy(self) -> None:
        self.tracker.announce(1, stats={"origin_bytes": 0})
        self.fetched(1, 7)
        self.assertEqual(self.live()["swarm"]["copies"], 1.0)

    def test_what_peers_tell_of_the_origin_beyond_leases_counts_as_copies(self) -> None:
        self.tracker.announce(1, stats={"origin_bytes": 0})
        self.fetched(1, 7)
        self.tracker.announce(1, stats={"origin_bytes": 2 * 327_680})
        self.assertEqual(self.live()["swarm"]["copies"], 2.0)

    def test_what_was_fetched_before_the_tracker_was_started_anew_does_not(self) -> None:
        self.tracker.announce(1, stats={"origin_bytes": 50 * MB})
        self.fetched(1, 7)
        self.tracker.announce(1, stats={"origin_bytes": 50 * MB + 327_680})
        self.assertEqual(self.live()["swarm"]["copies"], 1.0)

    def test_nothing_fetched_has_no_copies(self) -> None:
        self.tracker.announce(1)
        self.assertIsNone(self.live()["swarm"]["copies"])

    def test_segments_show_size_holders_leader_and_takeovers(self) -> None:
        self.tracker.announce(1)
        self.fetched(1, 7)
        self.tracker.lease(2, want=[want(8, path="chunk_0_8.m4s")])
        self.pass_s(10.0)
        self.tracker.lease(3, want=[want(8)])
        latest, before = self.live()["swarm"]["segments"]
        self.assertEqual((before["path"], before["holders"]), ("chunk_0_7.m4s", 1))
        self.assertEqual((before["size_bytes"], before["fetched_bytes"]), (327_680, 327_680))
        self.assertEqual(latest["leaders"], [peer_id(3).hex()[:16]])
        self.assertEqual((latest["takeovers"], latest["fetched_bytes"]), (1, 0))

    def test_who_was_served_by_whom_is_told_by_id(self) -> None:
        served_by = {peer_id(2).hex()[:16]: 5 * MB}
        self.tracker.announce(1, served_by=served_by)
        [member] = self.live()["swarm"]["members"]
        self.assertEqual((member["peer"], member["served_by"]), (peer_id(1).hex(), served_by))

    def test_one_swarm_of_several_can_be_chosen(self) -> None:
        self.tracker.announce(1)
        self.tracker.announce(2)
        self.tracker.announce(3, swarm=OTHER_SWARM.hex())
        self.assertEqual(self.live()["swarm"]["swarm"], SWARM.hex())
        chosen = self.live(f"&swarm={OTHER_SWARM.hex()}")
        self.assertEqual((chosen["swarm"]["peers"], len(chosen["swarms"])), (1, 2))

    def test_a_large_swarm_is_shown_in_part_and_counted_whole(self) -> None:
        self.patch(limits, "MAX_SHOWN_PEERS", 3)
        self.patch(limits, "MAX_SHOWN_SEGMENTS", 2)
        for number in range(5):
            self.tracker.announce(number + 1)
            self.fetched(number + 1, number)
        swarm = self.live()["swarm"]
        self.assertEqual((swarm["peers"], len(swarm["members"]), len(swarm["segments"])), (5, 3, 2))


class HistoryTests(LiveCase):
    def test_it_has_a_point_each_ten_seconds_and_no_more_than_an_hour(self) -> None:
        self.tracker.announce(1, stats={"delivered_bytes": 5})
        self.pass_s(limits.HISTORY_EVERY_S * 3)
        points = self.live("&history=1")["history"]["points"]
        self.assertEqual(len(points), 3)
        self.assertEqual({point[1] for point in points}, {1})
        for _ in range(limits.HISTORY_POINTS + 10):
            self.tracker.announce(1)
            self.tracker.clock.pump([1.0] * round(limits.HISTORY_EVERY_S))
        points = self.live("&history=1")["history"]["points"]
        self.assertEqual(len(points), limits.HISTORY_POINTS)

    def test_that_of_a_swarm_that_is_gone_is_forgotten(self) -> None:
        self.tracker.announce(1)
        self.pass_s(20)
        self.assertTrue(self.tracker.service.streams.live.history.of(SWARM))
        self.pass_s(120)
        self.assertFalse(self.tracker.service.streams.live.history.of(SWARM))

    def test_only_the_largest_swarms_have_one(self) -> None:
        self.patch(limits, "HISTORY_SWARMS", 1)
        for number in (1, 2):
            self.tracker.announce(number)
        self.tracker.announce(3, swarm=OTHER_SWARM.hex())
        self.pass_s(20)
        self.assertFalse(self.tracker.service.streams.live.history.of(OTHER_SWARM))


class StreamTests(LiveCase):
    def test_a_page_gets_the_last_hour_and_then_what_is_new(self) -> None:
        self.tracker.announce(1)
        page = self.listen()
        self.assertIn(b"Content-Type: text/event-stream", page.received())
        self.pass_s(4)
        first, *more = self.heard(page)
        self.assertIn("history", first)
        self.assertEqual(len(more), 2)
        self.assertNotIn("history", more[0])

    def test_pages_show_each_their_swarm(self) -> None:
        self.tracker.announce(1)
        self.tracker.announce(2, swarm=OTHER_SWARM.hex())
        pages = [self.listen(query=f"?swarm={name.hex()}") for name in (SWARM, OTHER_SWARM)]
        self.pass_s(2)
        shown = [self.heard(page)[-1]["swarm"]["swarm"] for page in pages]
        self.assertEqual(shown, [SWARM.hex(), OTHER_SWARM.hex()])

    def test_an_address_has_so_many_and_the_next_page_is_told_to_ask(self) -> None:
        pages = [self.listen() for _ in range(limits.MAX_STREAMS_PER_ADDRESS)]
        refused = self.listen()
        self.assertIn(b" 503 ", refused.received())
        self.assertIn(b"/live?once=1", refused.received())
        self.assertEqual(self.live()["v"], 1)
        pages[0].transport.lose(ConnectionResetError())
        self.assertIn(b" 200 ", self.listen().received())

    def test_all_addresses_together_have_so_many(self) -> None:
        self.patch(limits, "MAX_STREAMS", 2)
        for host in ("10.0.0.1", "10.0.0.2"):
            self.assertIn(b" 200 ", self.listen(host, admin=True).received())
        self.assertIn(b" 503 ", self.listen("10.0.0.3", admin=True).received())

    def test_a_page_that_does_not_read_makes_nothing_pile_up(self) -> None:
        for number in range(100):
            self.tracker.announce(number + 1, stats={"x" * 40: 1.5})
        page = self.listen()
        page.reading = False
        self.pass_s(40)
        self.assertLess(page.transport.most_buffered, 200_000)
        page.reading = True
        before = len(self.heard(page))
        self.pass_s(4)
        self.assertEqual(len(self.heard(page)), before + 2)

    def test_a_page_that_went_is_forgotten(self) -> None:
        page = self.listen()
        self.assertEqual(len(self.tracker.service.streams), 1)
        page.transport.lose(ConnectionResetError())
        self.assertEqual(len(self.tracker.service.streams), 0)
        self.pass_s(4)

    def test_streams_end_with_the_tracker(self) -> None:
        page = self.listen()
        self.tracker.service.stopService()
        self.assertTrue(page.received().endswith(b"0\r\n\r\n"))

    def test_strangers_get_none(self) -> None:
        for path in ("/live", "/live?once=1", "/ui/dashboard.js"):
            self.assertEqual(self.tracker.get(path, host="198.51.100.7").code, 403, path)
        self.assertIn(b" 200 ", self.listen("198.51.100.7", admin=True).received())


class WatchedTests(LiveCase):
    """While somebody looks, peers are asked to tell their figures more often."""

    def interval_s(self, number: int = 1) -> float:
        self.pass_s(8)  # or it would announce too often
        return float(self.tracker.announce(number)["interval_s"])

    def test_peers_announce_sooner_while_a_page_listens(self) -> None:
        self.assertEqual(self.interval_s(), limits.INTERVAL_SHORTEST_S)
        page = self.listen()
        self.assertEqual(self.interval_s(), limits.WATCHED_INTERVAL_S)
        page.transport.lose(ConnectionResetError())
        self.assertEqual(self.interval_s(), limits.INTERVAL_SHORTEST_S)

    def test_lease_calls_are_told_too_so_that_nobody_waits_for_the_next_announce(self) -> None:
        self.tracker.announce(1)
        fields = {"v": 1, "swarm": SWARM.hex(), "peer": peer_id(1).hex()}
        self.assertNotIn("interval_s", self.tracker.call("/lease", fields))
        self.listen()
        answer = self.tracker.call("/lease", fields)
        self.assertEqual(answer["interval_s"], limits.WATCHED_INTERVAL_S)

    def test_also_while_a_page_asks_by_itself(self) -> None:
        self.tracker.announce(1)
        self.live()
        self.assertEqual(self.tracker.announce(1)["interval_s"], limits.WATCHED_INTERVAL_S)
        self.assertEqual(self.interval_s(), limits.INTERVAL_SHORTEST_S)

    def test_a_peer_is_remembered_no_shorter_for_it(self) -> None:
        self.listen()
        self.assertEqual(
            self.tracker.announce(1)["ttl_s"], limits.INTERVAL_SHORTEST_S * limits.TTL_INTERVALS
        )

    def test_a_large_swarm_announces_no_more_often_than_the_tracker_can_take(self) -> None:
        self.patch(limits, "WATCHED_ANNOUNCES_PER_S", 0.5)
        for number in range(10):
            self.tracker.announce(number + 1)
        self.listen()
        self.assertEqual(self.interval_s(), 20.0)


class PageTests(LiveCase):
    def test_the_page_and_all_that_it_names_are_here(self) -> None:
        page = self.tracker.get("/")
        self.assertEqual(page.headers["content-type"], "text/html; charset=utf-8")
        self.assertIn("script-src 'self'", page.headers["content-security-policy"])
        names = set(re.findall(rb'(?:src|href)="(/ui/[^"]+)"', page.body))
        scripts = [file.body for file in dashboard_files().values() if b"import" in file.body]
        for script in scripts:
            names |= {b"/ui/" + name for name in re.findall(rb'from "\./([^"]+)"', script)}
        self.assertGreater(len(names), 7)
        for name in sorted(names):
            if b"uPlot" in name:
                continue  # fetched by npm, which a machine may lack
            answer = self.tracker.get(name.decode())
            self.assertEqual(answer.code, 200, name)
            self.assertRegex(answer.headers["content-type"], "^text/(javascript|css); charset")

    def test_no_other_file_can_be_had(self) -> None:
        for name in ("", "nothing.js", "..%2Flive.py", "%00"):
            self.assertEqual(self.tracker.get(f"/ui/{name}").code, 404, name)

    def test_it_only_tells(self) -> None:
        for path in ("/", "/live", "/ui/dashboard.css"):
            self.assertEqual(self.tracker.send("POST", path, b"{}").code, 405, path)
        self.assertEqual(self.tracker.send("HEAD", "/live").code, 200)
        self.assertEqual(len(self.tracker.service.streams), 0)
