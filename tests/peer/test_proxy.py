"""/dash/: the manners of the origin, over a swarm."""

from __future__ import annotations

import json

from dashp2p.content.index import SIGNATURE_NAME
from dashp2p.peer.limits import INDEX_WAIT_S
from dashp2p.swarm.policy import Policy
from dashp2p.testing import MemoryFilm, MemorySwarm
from tests.peer.proxies import Proxy, ProxyTestCase
from tests.peer.swarms import DATA, ENTRY, SEGMENT, SwarmTestCase
from tests.web.support import Answer

URL = f"/dash/{SEGMENT}"
SIZE = len(DATA)
ETAG = f'"{ENTRY.digest.hex()[:32]}"'


class FileTests(ProxyTestCase):
    def test_a_segment(self) -> None:
        answer = self.proxy.answer(URL)
        self.assertEqual((answer.code, answer.body), (200, DATA))
        self.assertEqual(answer.headers["content-length"], str(SIZE))
        self.assertEqual(answer.headers["content-type"], "video/iso.segment")
        self.assertEqual(answer.headers["etag"], ETAG)
        self.assertEqual(answer.headers["accept-ranges"], "bytes")

    def test_names_may_come_again_with_another_film_so_players_ask_each_time(self) -> None:
        self.assertEqual(self.proxy.answer(URL).headers["cache-control"], "no-cache")

    def test_the_manifest_and_the_init_segment_travel_the_same_way(self) -> None:
        for path, media_type in (
            ("dash.mpd", "application/dash+xml"),
            ("init_0.m4s", "video/iso.segment"),
        ):
            answer = self.proxy.answer(f"/dash/{path}")
            self.assertEqual(answer.body, self.swarm.film.files[path])
            self.assertEqual(answer.headers["content-type"], media_type)
            self.assertTrue(self.peer.has(path))

    def test_two_requests_on_one_connection(self) -> None:
        connection = self.proxy.ask(URL)
        self.proxy.watch(connection, 1.0)
        before = len(connection.transport.taken)
        connection.get("/dash/init_0.m4s")
        self.proxy.watch(connection, 1.0)
        answer = Answer(connection.transport.taken[before:])
        self.assertEqual(answer.body, self.swarm.film.files["init_0.m4s"])

    def test_head_tells_all_and_fetches_nothing(self) -> None:
        answer = self.proxy.answer(URL, method="HEAD")
        self.assertEqual((answer.code, answer.body), (200, b""))
        self.assertEqual(answer.headers["content-length"], str(SIZE))
        self.assertEqual(answer.headers["etag"], ETAG)
        self.assertEqual(self.origin.log, [])

    def test_what_is_not_changed_is_not_sent_nor_fetched(self) -> None:
        for tag in (ETAG, f"W/{ETAG}", f'"x", {ETAG}', "*"):
            answer = self.proxy.answer(URL, f"If-None-Match: {tag}", wait_s=0.1)
            self.assertEqual((answer.code, answer.body), (304, b""))
        self.assertEqual(self.origin.log, [])

    def test_what_is_changed_is_sent(self) -> None:
        self.assertEqual(self.proxy.answer(URL, 'If-None-Match: "old"').body, DATA)


class RangeTests(ProxyTestCase):
    def test_parts(self) -> None:
        for header, first, last in (
            ("bytes=0-0", 0, 0),
            ("bytes=5-9", 5, 9),
            ("bytes=16383-16384", 16383, 16384),
            ("bytes=150000-", 150_000, SIZE - 1),
            ("bytes=-500", SIZE - 500, SIZE - 1),
            ("bytes=199000-999999", 199_000, SIZE - 1),
        ):
            answer = self.proxy.answer(URL, f"Range: {header}", wait_s=0.5)
            self.assertEqual(answer.code, 206, header)
            self.assertEqual(answer.headers["content-range"], f"bytes {first}-{last}/{SIZE}")
            self.assertEqual(answer.headers["content-length"], str(last - first + 1))
            self.assertEqual(answer.body, DATA[first : last + 1], header)

    def test_parts_beyond_the_end(self) -> None:
        for header in (f"bytes={SIZE}-", "bytes=999999-"):
            answer = self.proxy.answer(URL, f"Range: {header}", wait_s=0.1)
            self.assertEqual((answer.code, answer.body), (416, b""), header)
            self.assertEqual(answer.headers["content-range"], f"bytes */{SIZE}")
        self.assertEqual(self.origin.log, [])

    def test_a_part_of_what_has_changed_meanwhile_is_the_whole(self) -> None:
        self.assertEqual(self.proxy.answer(URL, "Range: bytes=5-9", 'If-Range: "old"').code, 200)
        answer = self.proxy.answer(URL, "Range: bytes=5-9", f"If-Range: {ETAG}")
        self.assertEqual(answer.code, 206)

    def test_all_parts_come_from_one_delivery(self) -> None:
        one = self.proxy.ask(URL, "Range: bytes=0-99999")
        other = self.proxy.ask(URL, "Range: bytes=100000-")
        self.proxy.watch(one, 1.0)
        self.proxy.watch(other, 0.1)
        self.assertEqual(Answer.of(one).body + Answer.of(other).body, DATA)
        self.assertEqual(self.origin.sent_bytes(SEGMENT), SIZE)


class RefusalTests(ProxyTestCase):
    def test_other_methods(self) -> None:
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            answer = self.proxy.answer(URL, method=method, wait_s=0.05)
            self.assertEqual(answer.code, 405)
            self.assertEqual(answer.headers["allow"], "GET, HEAD, OPTIONS")

    def test_paths_out_of_the_folder(self) -> None:
        for path in (
            "/dash/../peer.key",
            "/dash/%2e%2e/peer.key",
            "/dash/..%2fpeer.key",
            "/dash/%2fetc/passwd",
            "/dash//etc/passwd",
            "/dash/.hidden",
            "/dash/a/%2e%2e/b",
            "/dash/a%00b",
            "/dash/a%5cb",
            "/dash/%ff",
            "/dash/%25",
            "/dash/" + "a" * 2000,
            "/dash/",
            "/dash",
        ):
            answer = self.proxy.answer(path, wait_s=0.05)
            self.assertEqual(answer.code, 404, path)
        self.assertEqual(self.origin.log, [], "the origin was asked")

    def test_foreign_host_names(self) -> None:
        for host in ("evil.example", "127.0.0.1.evil.example", "10.0.0.5"):
            connection = self.proxy.ask("/dash/dash.mpd")
            connection.send(f"GET {URL} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            self.proxy.watch(connection, 0.1)
            self.assertIn(b"421 ", connection.transport.taken)

    def test_a_host_name_that_was_allowed(self) -> None:
        connection = self.proxy.ask("/dash/init_0.m4s")
        self.proxy.watch(connection, 0.2)
        connection.send(b"HEAD /dash/init_0.m4s HTTP/1.1\r\nHost: TV.local:8001\r\n\r\n")
        self.assertEqual(connection.received().count(b"200 OK"), 2)

    def test_pages_of_other_sites(self) -> None:
        for headers in (
            ("Origin: https://evil.example",),
            ("Origin: null",),
            ("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors"),
        ):
            answer = self.proxy.answer(URL, *headers, wait_s=0.05)
            self.assertEqual(answer.code, 403, headers)
            self.assertNotIn("access-control-allow-origin", answer.headers)
        self.assertEqual(self.origin.log, [])

    def test_the_peers_own_page(self) -> None:
        answer = self.proxy.answer(URL, "Origin: http://localhost:8001")
        self.assertEqual(answer.code, 200)

    def test_a_site_that_was_allowed(self) -> None:
        answer = self.proxy.answer(URL, "Origin: https://films.example")
        self.assertEqual(answer.code, 200)
        self.assertEqual(answer.headers["access-control-allow-origin"], "https://films.example")
        self.assertIn("CMSD-Dynamic", answer.headers["access-control-expose-headers"])

    def test_preflights(self) -> None:
        asking = ("Access-Control-Request-Method: GET", "Access-Control-Request-Headers: range")
        allowed = self.proxy.answer(
            URL, "Origin: https://films.example", *asking, method="OPTIONS", wait_s=0.05
        )
        self.assertEqual(allowed.code, 204)
        self.assertIn("Range", allowed.headers["access-control-allow-headers"])
        refused = self.proxy.answer(
            URL, "Origin: https://evil.example", *asking, method="OPTIONS", wait_s=0.05
        )
        self.assertEqual(refused.code, 403)


class CmcdTests(ProxyTestCase):
    """What a player tells with its requests (CTA-5004) is no part of what it asks for."""

    def test_requests_with_other_cmcd_are_for_the_same_segment(self) -> None:
        one = self.proxy.ask(f"{URL}?CMCD=bl%3D3900%2Csid%3D%22a%22")
        other = self.proxy.ask(f"{URL}?CMCD=bl%3D100%2Csid%3D%22b%22")
        for connection in (one, other):
            self.proxy.watch(connection, 1.0)
            self.assertEqual(Answer.of(connection).body, DATA)
        self.assertEqual(self.origin.sent_bytes(SEGMENT), SIZE)

    def test_what_is_passed_through_carries_none_of_it(self) -> None:
        self.swarm.origin.files["extra.vtt"] = b"WEBVTT"
        self.proxy.answer("/dash/extra.vtt?CMCD=sid%3D%22a%22", "CMCD-Session: sid=secret")
        [asked] = self.origin.log
        self.assertEqual(asked.path, "/dash/extra.vtt")
        self.assertIsNone(asked.header("CMCD-Session"))

    def test_a_session_is_known_by_its_id_in_query_or_header(self) -> None:
        self.proxy.answer(f"{URL}?CMCD=bl%3D3900%2Csid%3D%22a%22")
        self.proxy.answer(URL, 'CMCD-Session: sid="a"', "CMCD-Request: bl=2500")
        [session] = self.proxy.sessions
        self.assertEqual((session.sid, session.buffer_s), ("a", 2.5))
        self.assertEqual(session.bitrate_bps, 1_000_000)

    def test_its_deadline_counts(self) -> None:
        self.origin.chunk_s = 0.2
        self.proxy.ask(f"{URL}?CMCD=dl%3D7000%2Csid%3D%22a%22")
        self.swarm.advance(0.05)
        [delivery] = self.peer.node.state.deliveries.values()
        slack_s = delivery.deadline_s - self.peer.now
        self.assertTrue(6.9 < slack_s <= 7.0, slack_s)

    def test_a_player_that_names_none_is_known_again_but_not_where_it_is(self) -> None:
        for agent in ("VLC", "VLC", "ffmpeg"):
            self.proxy.answer(URL, f"User-Agent: {agent}")
        sids = [session.sid for session in self.proxy.sessions]
        self.assertEqual(len(set(sids)), 2)
        for sid in sids:
            self.assertRegex(sid, r"^player-[0-9a-f]{12}$")

    def test_init_segments_and_manifests_make_no_session(self) -> None:
        for path in ("dash.mpd", "init_0.m4s"):
            self.proxy.answer(f"/dash/{path}?CMCD=sid%3D%22a%22")
        self.assertEqual(list(self.proxy.sessions), [])

    def test_players_without_cmcd_are_told_apart_by_what_they_are(self) -> None:
        self.proxy.answer(URL, "User-Agent: VLC/3.0")
        self.proxy.answer(URL, "User-Agent: ffplay")
        self.proxy.answer(URL, "User-Agent: VLC/3.0")
        self.assertEqual(len(list(self.proxy.sessions)), 2)


class CmsdTests(ProxyTestCase):
    """What the swarm can sustain is told with each media response (CTA-5006)."""

    def setUp(self) -> None:
        ProxyTestCase.setUp(self)
        self.origin.chunk_s = 0.01
        self.proxy.advice.learn_ladder((1_000_000,), (128_000,))
        self.proxy.answer(URL)

    def test_each_media_response_carries_it(self) -> None:
        for headers, method in (
            ((), "GET"),
            (("Range: bytes=5-9",), "GET"),
            ((f"If-None-Match: {ETAG}",), "GET"),
            ((), "HEAD"),
        ):
            told = self.proxy.answer(URL, *headers, method=method).headers["cmsd-dynamic"]
            self.assertRegex(told, r'^"dashp2p";etp=\d+;mb=1128$')

    def test_it_tells_the_networks_rate_not_the_caches(self) -> None:
        assert self.proxy.advice.etp_bps is not None
        before = self.proxy.advice.etp_bps
        self.assertLess(before, 20_000_000)
        for _ in range(3):
            self.proxy.answer(URL, wait_s=0.1)
        self.assertEqual(self.proxy.advice.etp_bps, before)

    def test_after_much_film_from_the_cache_it_dares_more(self) -> None:
        self.proxy.advice.etp_bps = 1e6
        self.proxy.advice.from_cache(60.0)
        self.assertIn("etp=2000;", self.proxy.answer(URL).headers["cmsd-dynamic"])

    def test_files_that_are_no_media_do_not(self) -> None:
        for path in ("dash.mpd", "init_0.m4s"):
            self.assertNotIn("cmsd-dynamic", self.proxy.answer(f"/dash/{path}").headers)


class NoAdviceTests(ProxyTestCase):
    policy = Policy.without(frozenset({"no-cmsd"}))

    def test_without_it_nothing_is_told(self) -> None:
        self.origin.chunk_s = 0.01
        self.proxy.answer(URL)
        self.assertNotIn("cmsd-dynamic", self.proxy.answer(URL).headers)


class UnavailableTests(ProxyTestCase):
    def test_what_cannot_be_had_is_told_before_the_first_byte(self) -> None:
        self.origin.away = True
        answer = self.proxy.answer(URL, wait_s=12.0)
        self.assertEqual(answer.code, 503)
        self.assertEqual(answer.headers["retry-after"], "1")
        self.assertIn(SEGMENT, json.loads(answer.body)["error"])
        self.assertEqual(answer.headers["content-length"], str(len(answer.body)))
        for name in ("etag", "accept-ranges", "content-range"):
            self.assertNotIn(name, answer.headers)

    def test_a_part_that_cannot_be_had_is_no_part(self) -> None:
        self.origin.away = True
        answer = self.proxy.answer(URL, "Range: bytes=5-9", wait_s=12.0)
        self.assertEqual(answer.code, 503)
        self.assertNotIn("content-range", answer.headers)

    def test_the_connection_goes_on_after_it(self) -> None:
        self.origin.away = True
        connection = self.proxy.ask(URL)
        self.proxy.watch(connection, 12.0)
        self.origin.away = False
        before = len(connection.transport.taken)
        connection.get(URL)
        self.proxy.watch(connection, 3.0)
        self.assertEqual(Answer(connection.transport.taken[before:]).body, DATA)

    def test_after_the_first_byte_the_connection_is_cut(self) -> None:
        self.origin.cut_at = 100_000
        connection = self.proxy.ask(URL)
        self.proxy.watch(connection, 0.1)
        self.origin.away = True
        body = self.proxy.watch(connection, 30.0)
        self.assertTrue(connection.gone)
        self.assertEqual(body, DATA[: len(body)])
        self.assertTrue(0 < len(body) < SIZE)


class OriginGoneTests(SwarmTestCase):
    """A crowd that has lost its origin, with one rung held by one peer and another by nobody."""

    HELD, LOST = "/dash/chunk_0_2.m4s", "/dash/chunk_1_2.m4s"
    PROMISED_S = 1.0

    def setUp(self) -> None:
        self.swarm = MemorySwarm(MemoryFilm.make(segments=6, rungs=2, audio=True))
        self.origin = self.swarm.origin
        self.holder, self.peer, *_ = self.peers(4)
        for number in range(1, 7):
            self.holder.play(f"chunk_0_{number}.m4s")
            self.holder.play(f"chunk_2_{number}.m4s")
        self.swarm.advance(2.0)
        self.proxies = [Proxy(self.swarm, peer) for peer in self.swarm.peers]
        for proxy in self.proxies:
            proxy.learn()
            proxy.advice.learn_ladder((1_000_000, 2_000_000), (128_000,))
            proxy.advice.delivered(10_000_000, 1.0)
        self.proxy = self.proxies[1]

    def tearDown(self) -> None:
        for proxy in self.proxies:
            proxy.stop()
            proxy.site.drain(0.1)
        self.swarm.advance(0.2)
        self.assertEqual(self.flushLoggedErrors(), [])
        SwarmTestCase.tearDown(self)

    def refused(self, proxy: Proxy, path: str = LOST) -> tuple[float, Answer]:
        """How long it took to hear that a segment cannot be had, and the answer."""
        connection = proxy.ask(path)
        began_at = proxy.peer.now
        while not connection.transport.taken:
            assert proxy.peer.now - began_at < 30, "nothing came"
            proxy.watch(connection, 0.05)
        took_s = proxy.peer.now - began_at
        proxy.watch(connection, 0.1)
        answer = Answer(connection.transport.taken)
        self.assertEqual(answer.code, 503)
        self.assertEqual(answer.headers["retry-after"], "1")
        return took_s, answer

    def test_what_nobody_holds_is_refused_promptly_each_time(self) -> None:
        self.origin.away = True
        self.assertLess(self.refused(self.proxy)[0], self.PROMISED_S)
        self.swarm.advance(1.0)
        self.assertLess(self.refused(self.proxy)[0], 0.3)

    def test_a_crowd_that_asks_at_once_hears_it_promptly_too(self) -> None:
        self.origin.away = True
        asked = [(proxy, proxy.ask(self.LOST)) for proxy in self.proxies]
        for _ in range(round(self.PROMISED_S / 0.05)):
            self.swarm.advance(0.05)
            for _, connection in asked:
                connection.transport.take_all()
        codes = [Answer(connection.transport.taken).code for _, connection in asked]
        self.assertEqual(codes, [503] * len(asked))

    def test_an_origin_known_to_be_away_that_hangs_holds_nobody_up(self) -> None:
        self.origin.away = True
        self.refused(self.proxy)
        self.origin.away, self.origin.silent = False, True
        self.assertLess(self.refused(self.proxy)[0], self.PROMISED_S)

    def test_without_a_tracker_too(self) -> None:
        self.origin.away = self.swarm.tracker.away = True
        self.assertLess(self.refused(self.proxy)[0], self.PROMISED_S)

    def test_the_refusal_says_which_rung_can_be_had(self) -> None:
        self.assertIn("mb=2128", self.proxy.answer(self.HELD).headers["cmsd-dynamic"])
        self.origin.away = True
        _, answer = self.refused(self.proxy)
        self.assertRegex(answer.headers["cmsd-dynamic"], r"mb=1128$")

    def test_a_rung_that_goes_on_only_after_the_refused_segment_does_not_help(self) -> None:
        for number in (2, 3, 4, 5):
            self.holder.play(f"chunk_1_{number}.m4s")
        self.swarm.advance(2.0)
        self.origin.away = True
        _, answer = self.refused(self.proxy, "/dash/chunk_1_1.m4s")
        self.assertRegex(answer.headers["cmsd-dynamic"], r"mb=1128$")
        self.assertRegex(
            self.proxy.answer("/dash/chunk_0_1.m4s").headers["cmsd-dynamic"], r"mb=2128$"
        )

    def test_and_so_do_answers_after_it_with_picture_or_sound(self) -> None:
        self.origin.away = True
        self.refused(self.proxy)
        for path in (self.HELD, "/dash/chunk_2_2.m4s"):
            answer = self.proxy.answer(path)
            self.assertEqual(answer.code, 200)
            self.assertRegex(answer.headers["cmsd-dynamic"], r"mb=1128$")

    def test_what_a_neighbour_holds_is_played_on(self) -> None:
        self.origin.away = True
        self.refused(self.proxy)
        for number in range(1, 7):
            path = f"chunk_0_{number}.m4s"
            self.assertEqual(self.proxy.answer(f"/dash/{path}").body, self.swarm.film.files[path])

    def test_once_the_origin_is_back_all_rungs_are_worth_asking_for(self) -> None:
        self.origin.away = True
        self.refused(self.proxy)
        self.origin.away = False
        self.swarm.advance(2.0)
        self.assertRegex(self.proxy.answer(self.HELD).headers["cmsd-dynamic"], r"mb=2128$")

    def test_a_refused_file_that_is_no_media_carries_no_advice(self) -> None:
        self.origin.away = True
        self.assertNotIn("cmsd-dynamic", self.refused(self.proxy, "/dash/dash.mpd")[1].headers)

    def test_without_advice_a_refusal_gives_none_either(self) -> None:
        self.proxy.sessions.policy = Policy.without(frozenset({"no-cmsd"}))
        self.origin.away = True
        self.assertNotIn("cmsd-dynamic", self.refused(self.proxy)[1].headers)


class AccountTests(ProxyTestCase):
    def test_bytes_are_counted_by_where_they_came_from(self) -> None:
        self.proxy.answer(URL)
        records = self.proxy.records
        self.assertEqual((records.origin_bytes, records.delivered_bytes), (SIZE, SIZE))
        self.assertEqual(records.cache_bytes, 0)
        self.proxy.answer(URL, "Range: bytes=0-99")
        self.assertEqual((records.cache_bytes, records.delivered_bytes), (100, SIZE + 100))
        self.assertEqual(records.origin_bytes, SIZE)

    def test_what_was_fetched_ahead_and_then_played_is_neither_waste_nor_cache(self) -> None:
        self.peer.engine.want(ENTRY, self.peer.now + 5.0)
        self.swarm.advance(1.0)
        self.assertEqual(self.proxy.records.wasted_bytes, SIZE)
        self.proxy.answer(URL)
        self.assertEqual((self.proxy.records.wasted_bytes, self.proxy.records.cache_bytes), (0, 0))


class StartingTests(SwarmTestCase):
    """Requests that come before it is known whether there is an index."""

    def setUp(self) -> None:
        SwarmTestCase.setUp(self)
        peer = self.swarm.add_peer()
        self.proxy = Proxy(self.swarm, peer)
        self.peer = peer

    def tearDown(self) -> None:
        self.proxy.stop()
        self.proxy.site.drain(0.1)
        self.swarm.advance(0.2)
        self.assertEqual(self.flushLoggedErrors(), [])
        SwarmTestCase.tearDown(self)

    def test_they_wait_for_it(self) -> None:
        connection = self.proxy.ask(URL)
        self.swarm.advance(0.5)
        self.assertEqual(self.origin.log, [])
        self.proxy.learn()
        self.assertEqual(self.proxy.watch(connection, 1.0), DATA)
        self.assertTrue(self.peer.has(SEGMENT))

    def test_they_are_passed_through_when_it_takes_too_long(self) -> None:
        connection = self.proxy.ask(URL)
        self.proxy.watch(connection, INDEX_WAIT_S - 0.5)
        self.assertEqual(self.origin.log, [])
        self.assertEqual(self.proxy.watch(connection, 1.0), DATA)
        self.assertFalse(self.peer.has(SEGMENT))

    def test_they_are_passed_through_at_once_when_there_is_none(self) -> None:
        del self.origin.files[SIGNATURE_NAME]
        connection = self.proxy.ask(URL)
        self.proxy.presentation.start(lambda signature: None)
        self.assertEqual(self.proxy.watch(connection, 0.5), DATA)
        self.assertEqual(self.proxy.records.origin_bytes, SIZE)

    def test_a_player_that_leaves_meanwhile_leaves_nothing_behind(self) -> None:
        connection = self.proxy.ask(URL)
        self.swarm.advance(0.1)
        connection.transport.abortConnection()
        self.proxy.learn()
        self.swarm.advance(0.1)
        self.assertEqual(self.peer.node.state.deliveries, {})

    def test_a_player_that_leaves_after_having_waited_leaves_nothing_behind(self) -> None:
        self.origin.chunk_s = 0.1
        connection = self.proxy.ask(URL)
        self.proxy.learn()
        self.swarm.advance(0.2)
        [delivery] = self.peer.node.state.deliveries.values()
        self.assertEqual(delivery.waiters, 1)
        connection.transport.abortConnection()
        self.swarm.advance(0.1)
        self.assertEqual(self.peer.node.state.deliveries, {})
        [session] = self.proxy.sessions
        self.assertEqual(session.player._open, 0)


class BigFilmTests(SwarmTestCase):
    def test_audio_is_advised_too(self) -> None:
        self.swarm = MemorySwarm(MemoryFilm.make(segments=1, audio=True))
        proxy = Proxy(self.swarm, self.swarm.add_peer())
        proxy.learn()
        proxy.advice.delivered(1_000_000, 1.0)
        answer = proxy.answer("/dash/chunk_1_1.m4s")
        self.assertIn("etp=8000", answer.headers["cmsd-dynamic"])
        proxy.advice.learn_ladder((10_000_000,))
        proxy.answer("/dash/chunk_1_1.m4s")
        self.assertEqual(proxy.advice.sustained_bps, 8e6, "sound from the cache is no film")
        proxy.stop()
        proxy.site.drain(0.1)
        self.swarm.advance(0.2)
