"""Passing files through when there is no index: the origin's answer, at the player's pace."""

from __future__ import annotations

import gzip

from twisted.internet.defer import Deferred

from dashp2p.content.index import SIGNATURE_NAME
from dashp2p.peer.fakeweb import Answer as SiteAnswer
from dashp2p.peer.fakeweb import Asked, MemoryResponse, MemoryWeb, memory_client
from dashp2p.peer.limits import ORIGIN_PATIENCE_S
from dashp2p.peer.origin_client import LEAST_BYTES, OriginClient
from dashp2p.testing import ORIGIN
from tests.peer.proxies import Proxy
from tests.peer.swarms import DATA, FILM, SEGMENT, SwarmTestCase
from tests.web.support import FULL_BYTES

URL = f"/dash/{SEGMENT}"
SIZE = len(DATA)


class RelayTestCase(SwarmTestCase):
    """A peer whose origin has no index."""

    unsigned = True

    def setUp(self) -> None:
        SwarmTestCase.setUp(self)
        del self.origin.files[SIGNATURE_NAME]
        self.peer = self.swarm.add_peer(indexed=False)
        self.web = MemoryWeb()
        self.web.sites[ORIGIN] = self.origin
        self.peer.origin = OriginClient(
            memory_client(self.web), self.swarm.clock, f"http://{ORIGIN}/dash"
        )
        self.proxy = Proxy(self.swarm, self.peer, unsigned=self.unsigned)
        self.proxy.presentation.start(lambda signature: None)
        self.swarm.advance(0.1)
        self.proxy.presentation.stop()
        self.origin.log.clear()
        self.origin.responses.clear()

    def tearDown(self) -> None:
        drained = self.proxy.site.drain(0.1)
        self.swarm.advance(30.0)
        self.successResultOf(drained)
        self.assertEqual(self.flushLoggedErrors(), [])
        SwarmTestCase.tearDown(self)

    def answering(self, code: int, body: bytes = b"", **headers: str) -> list[Asked]:
        asked_for: list[Asked] = []

        def answer(asked: Asked) -> SiteAnswer:
            asked_for.append(asked)
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            response = MemoryResponse(self.swarm.clock, code, body, named, asked=asked)
            self.origin.responses.append(response)
            return response

        self.web.sites[ORIGIN] = answer
        return asked_for


class PassTests(RelayTestCase):
    def test_files_come_as_they_are_at_the_origin(self) -> None:
        self.assertEqual(self.proxy.presentation.mode, "pass-through")
        answer = self.proxy.answer(URL)
        self.assertEqual((answer.code, answer.body), (200, DATA))
        self.assertEqual(answer.headers["content-length"], str(SIZE))

    def test_nothing_of_it_is_kept_or_shared(self) -> None:
        self.proxy.answer(URL)
        self.assertFalse(self.peer.has(SEGMENT))
        self.assertEqual(self.peer.node.state.have, 0)

    def test_its_bytes_are_counted(self) -> None:
        self.proxy.answer(URL)
        records = self.proxy.records
        self.assertEqual((records.origin_bytes, records.delivered_bytes), (SIZE, SIZE))

    def test_parts(self) -> None:
        answer = self.proxy.answer(URL, "Range: bytes=5-9")
        self.assertEqual((answer.code, answer.body), (206, DATA[5:10]))
        self.assertEqual(answer.headers["content-range"], f"bytes 5-9/{SIZE}")

    def test_what_the_player_has_is_asked_about(self) -> None:
        asked = self.answering(304, ETag='"a"')
        answer = self.proxy.answer(URL, 'If-None-Match: "a"')
        self.assertEqual((answer.code, answer.body), (304, b""))
        self.assertEqual(answer.headers["etag"], '"a"')
        self.assertEqual(asked[0].header("If-None-Match"), '"a"')

    def test_only_the_headers_that_players_need_are_passed_either_way(self) -> None:
        asked = self.answering(
            200, b"x", Content_Type="video/mp4", Set_Cookie="spy=1", Server="nginx", X_Secret="1"
        )
        answer = self.proxy.answer(
            URL, "Cookie: secret=1", "Authorization: Basic c2VjcmV0", "Referer: http://x/"
        )
        self.assertEqual(answer.headers["content-type"], "video/mp4")
        for name in ("set-cookie", "x-secret"):
            self.assertNotIn(name, answer.headers)
        for name in ("Cookie", "Authorization", "Referer"):
            self.assertIsNone(asked[0].header(name))

    def test_head(self) -> None:
        asked = self.answering(200, Content_Length="12345", Content_Type="video/mp4")
        answer = self.proxy.answer(URL, method="HEAD")
        self.assertEqual((answer.code, answer.body), (200, b""))
        self.assertEqual(answer.headers["content-length"], "12345")
        self.assertEqual(asked[0].method, "HEAD")

    def test_errors_are_the_origins(self) -> None:
        answer = self.proxy.answer("/dash/nothing.m4s")
        self.assertEqual((answer.code, answer.body), (404, b"no such file"))

    def test_what_the_origin_compressed_unasked_stays_as_it_came(self) -> None:
        packed = gzip.compress(b"<MPD/>" * 100)
        self.answering(200, packed, Content_Encoding="gzip", Content_Length=str(len(packed)))
        answer = self.proxy.answer("/dash/dash.mpd")
        self.assertEqual(answer.body, packed)
        self.assertEqual(answer.headers["content-encoding"], "gzip")
        self.assertEqual(answer.headers["content-length"], str(len(packed)))


class RefuseTests(RelayTestCase):
    """--unsigned refuse."""

    unsigned = False

    def test_without_an_index_nothing_is_handed_on(self) -> None:
        answer = self.proxy.answer(URL)
        self.assertEqual((answer.code, answer.headers["retry-after"]), (503, "2"))
        self.assertIn(b"The origin has no index", answer.body)
        self.assertEqual(self.origin.asked_for(SEGMENT), [])

    def test_a_head_is_not_either(self) -> None:
        self.assertEqual(self.proxy.answer(URL, method="HEAD").code, 503)

    def test_with_an_index_what_is_not_in_it_is_not_there(self) -> None:
        self.origin.files[SIGNATURE_NAME] = FILM.files[SIGNATURE_NAME]
        self.proxy.learn()
        self.proxy.stop()
        self.origin.files["other.m4s"] = b"unproven"
        self.assertEqual(self.proxy.answer("/dash/other.m4s").code, 404)
        self.assertEqual(self.origin.asked_for("other.m4s"), [])


class TroubleTests(RelayTestCase):
    def test_redirects_are_not_followed(self) -> None:
        asked = self.answering(302, Location="http://169.254.169.254/latest/meta-data")
        elsewhere: list[Asked] = []
        self.web.sites["169.254.169.254"] = lambda asked: elsewhere.append(asked)
        answer = self.proxy.answer(URL)
        self.assertEqual((answer.code, len(asked), elsewhere), (502, 1, []))
        self.assertNotIn("location", answer.headers)

    def test_an_origin_that_is_away(self) -> None:
        self.origin.away = True
        answer = self.proxy.answer(URL)
        self.assertEqual(answer.code, 503)

    def test_an_origin_that_never_answers(self) -> None:
        self.web.sites[ORIGIN] = lambda asked: Deferred()
        self.assertEqual(self.proxy.answer(URL, wait_s=20.0).code, 503)

    def test_an_origin_that_breaks_off_breaks_the_response(self) -> None:
        self.origin.cut_at = 50_000
        connection = self.proxy.ask(URL)
        body = self.proxy.watch(connection, 1.0)
        self.assertEqual(body, DATA[:50_000])
        self.assertTrue(connection.gone)

    def test_an_origin_that_falls_silent_is_given_up(self) -> None:
        self.origin.hangs_at = 50_000
        connection = self.proxy.ask(URL)
        self.proxy.watch(connection, 20.0)
        self.assertTrue(connection.gone)
        self.assertTrue(self.origin.responses[0].closed)

    def test_an_origin_that_trickles_is_given_up(self) -> None:
        """A slow loris: each byte comes long before any silence would be noticed."""
        self.trickles(LEAST_BYTES - 1000)
        connection = self.proxy.ask(URL)
        self.proxy.watch(connection, ORIGIN_PATIENCE_S + 0.2)
        self.assertTrue(connection.gone)
        self.assertTrue(self.origin.responses[0].closed)

    def test_an_origin_that_is_just_fast_enough_is_not(self) -> None:
        self.trickles(LEAST_BYTES + 1000)
        connection = self.proxy.ask(URL)
        self.assertEqual(self.proxy.watch(connection, SIZE / LEAST_BYTES * 5.0 + 5.0), DATA)

    def trickles(self, bytes_in_patience: int) -> None:
        """So many in each ORIGIN_PATIENCE_S, in a hundred pieces."""

        def answer(asked: Asked) -> SiteAnswer:
            response = MemoryResponse(
                self.swarm.clock,
                200,
                DATA,
                {"Content-Length": str(SIZE)},
                asked=asked,
                chunk_bytes=bytes_in_patience // 100,
                chunk_s=ORIGIN_PATIENCE_S / 100,
            )
            self.origin.responses.append(response)
            return response

        self.web.sites[ORIGIN] = answer


class PaceTests(RelayTestCase):
    def test_a_player_that_stops_reading_stops_the_origin(self) -> None:
        connection = self.proxy.ask(URL, reading=False)
        self.swarm.advance(3.0)
        sent = self.origin.sent_bytes(SEGMENT)
        self.assertLess(sent, FULL_BYTES + 40_000)
        self.assertLess(connection.transport.most_buffered, FULL_BYTES + 40_000)
        self.swarm.advance(5.0)
        self.assertEqual(self.origin.sent_bytes(SEGMENT), sent)

    def test_a_pause_of_the_player_is_no_silence_of_the_origin(self) -> None:
        connection = self.proxy.ask(URL, reading=False)
        self.swarm.advance(60.0)
        connection.reading = True
        self.assertEqual(self.proxy.watch(connection, 1.0), DATA)

    def test_a_player_that_leaves_ends_the_fetch(self) -> None:
        self.origin.chunk_s = 0.1
        connection = self.proxy.ask(URL)
        self.proxy.watch(connection, 0.3)
        connection.transport.abortConnection()
        self.swarm.advance(0.1)
        sent = self.origin.sent_bytes(SEGMENT)
        self.assertTrue(self.origin.responses[0].closed)
        self.swarm.advance(3.0)
        self.assertEqual(self.origin.sent_bytes(SEGMENT), sent)

    def test_a_player_that_leaves_before_the_answer(self) -> None:
        self.web.sites[ORIGIN] = lambda asked: Deferred()
        connection = self.proxy.ask(URL)
        self.swarm.advance(0.1)
        connection.transport.abortConnection()
        self.swarm.advance(0.1)
