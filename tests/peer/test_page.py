"""The player's own face: page, figures, QoE, health. Every route, and who may use it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import task
from twisted.internet.interfaces import IAddress
from twisted.web.resource import Resource

from dashp2p.peer.limits import MAX_CMCD_BYTES, MAX_QOE_BYTES, MAX_SERVED_BY, REPORTS_BURST
from dashp2p.peer.page import POLICY, Page
from dashp2p.peer.stats import Stats
from dashp2p.places import client_folder
from dashp2p.swarm.neighbour import Neighbour
from dashp2p.web.cors import CorsPolicy
from dashp2p.web.hosts import HostGuard
from dashp2p.web.metrics import Metrics
from dashp2p.web.site import BoundedSite
from tests.peer.proxies import Proxy
from tests.peer.swarms import SEGMENT, SwarmTestCase
from tests.peer.test_sessions import BEACON
from tests.web.support import LOOPBACK, STRANGER, Answer, Connection

JSON = "Content-Type: application/json"
CMCD = "Content-Type: application/cmcd"
REPORTS = {"/qoe": JSON, "/cmcd": CMCD}
ELSEWHERE: list[dict[str, Any]] = [
    {"peer": STRANGER},
    {"peer": STRANGER, "host": "tv.local:8001"},
    {"host": "tv.local:8001"},
    {"headers": ("X-Forwarded-For: 198.51.100.7",)},
]
"""Requests that somebody else than who sits here may have made."""


def _without_headers(how: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in how.items() if name != "headers"}


class PageTestCase(SwarmTestCase):
    def setUp(self) -> None:
        SwarmTestCase.setUp(self)
        self._cooperate_on_our_clock()
        self.peer = self.swarm.add_peer()
        self.proxy = Proxy(self.swarm, self.peer)
        self.folder = Path(self.mktemp()) / "client"
        (self.folder / "vendor").mkdir(parents=True)
        (self.folder / "client.html").write_text("<title>page</title>")
        (self.folder / "client.js").write_text("import './x.js'")
        (self.folder / "vendor" / "dash.all.min.js").write_text("var dashjs")
        (self.folder.parent / "secret.txt").write_text("secret")
        self.reasons: list[str] = []
        self.stats = Stats(
            self.peer.peer_id,
            self.peer.engine,
            self.peer.store,
            self.proxy.presentation,
            self.proxy.sessions,
        )
        self.page = self.make_page(self.folder)

    def tearDown(self) -> None:
        self.proxy.stop()
        self.proxy.site.drain(0.1)
        self.swarm.advance(0.2)
        SwarmTestCase.tearDown(self)

    def _cooperate_on_our_clock(self) -> None:
        """Files are sent by twisted.web's pull producers, which would wait for the real reactor."""
        clock = self.swarm.clock

        def schedule(work: Callable[[], None]) -> Any:
            return clock.callLater(0.000001, work)

        self.patch(task, "_theCooperator", task.Cooperator(scheduler=schedule))

    def make_page(self, folder: Path | None) -> Resource:
        cors = CorsPolicy(frozenset({"https://films.example"}), methods=("GET", "HEAD", "POST"))
        metrics = Metrics(self.stats.families)
        return Page(
            folder, self.stats, self.proxy.sessions, metrics, lambda: self.reasons, cors
        ).resource()

    def ask(
        self,
        path: str,
        *headers: str,
        method: str = "GET",
        body: bytes = b"",
        peer: IAddress = LOOPBACK,
        host: str = "localhost:8001",
        private: bool = False,
    ) -> Answer:
        site = BoundedSite(
            self.page, self.swarm.clock, guard=HostGuard(["tv.local"]), private=private
        )
        connection = Connection(site, peer)
        lines = [f"{method} {path} HTTP/1.0", f"Host: {host}", *headers]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        connection.send("\r\n".join([*lines, "", ""]).encode() + body)
        self.swarm.advance(0.1)
        raw = connection.received()
        site.drain(0.0)
        self.swarm.advance(0.1)
        return Answer(raw)

    def report(self, beacon: object = BEACON, *headers: str, **how: Any) -> Answer:
        body = beacon if isinstance(beacon, bytes) else json.dumps(beacon).encode()
        return self.ask("/qoe", *(headers or (JSON,)), method="POST", body=body, **how)


class ClientTests(PageTestCase):
    def test_the_start_is_the_page(self) -> None:
        answer = self.ask("/")
        self.assertEqual((answer.code, answer.headers["location"]), (302, "/client/"))
        for path in ("/client/", "/client/client.html"):
            answer = self.ask(path)
            self.assertEqual((answer.code, answer.body), (200, b"<title>page</title>"))

    def test_a_folder_without_its_slash_leads_to_the_page(self) -> None:
        answer = self.ask("/client")
        self.assertIn(answer.code, (301, 308))
        self.assertTrue(answer.headers["location"].endswith("/client/"))

    def test_no_foreign_code_runs_in_it(self) -> None:
        for path in ("/client/", "/client/client.js", "/client/vendor/dash.all.min.js"):
            headers = self.ask(path).headers
            policy = headers["content-security-policy"]
            self.assertEqual(policy, POLICY.decode())
            self.assertEqual(headers["x-content-type-options"], "nosniff")
            self.assertEqual(headers["referrer-policy"], "no-referrer")
            self.assertEqual(headers["cache-control"], "no-cache")
        for needed in ("default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"):
            self.assertIn(needed, policy)
        self.assertNotIn("unsafe", policy)

    def test_types_do_not_depend_on_the_machine(self) -> None:
        for name, media_type in (
            ("client.html", "text/html; charset=utf-8"),
            ("client.js", "text/javascript; charset=utf-8"),
            ("client.mjs", "text/javascript; charset=utf-8"),
            ("client.css", "text/css; charset=utf-8"),
            ("icon.svg", "image/svg+xml"),
            ("CLIENT.JS", "text/javascript; charset=utf-8"),
            ("strange.xyz", "application/octet-stream"),
            ("page.js.gz", "application/octet-stream"),
        ):
            (self.folder / name).write_text("x")
            answer = self.ask(f"/client/{name}")
            self.assertEqual(answer.headers["content-type"], media_type, name)
            self.assertNotIn("content-encoding", answer.headers)

    def test_head(self) -> None:
        answer = self.ask("/client/client.js", method="HEAD")
        self.assertEqual((answer.code, answer.body), (200, b""))
        self.assertEqual(answer.headers["content-length"], "15")

    def test_nothing_outside_the_folder(self) -> None:
        for path in (
            "/client/../secret.txt",
            "/client/%2e%2e/secret.txt",
            "/client/..%2fsecret.txt",
            "/client/vendor/../../secret.txt",
            "/client/%2e%2e%2fsecret.txt",
            "/client/%00",
        ):
            answer = self.ask(path)
            self.assertIn(answer.code, (400, 404), path)
            self.assertNotIn(b"secret\n", answer.body)
            self.assertNotIn(b"root:", answer.body)

    def test_folders_are_not_listed(self) -> None:
        answer = self.ask("/client/vendor/")
        self.assertEqual(answer.code, 404)
        self.assertNotIn(b"dash.all", answer.body)

    def test_a_missing_page_says_how_to_get_one(self) -> None:
        self.page = self.make_page(None)
        answer = self.ask("/client/")
        self.assertEqual(answer.code, 404)
        self.assertIn("--client", json.loads(answer.body)["error"])

    def test_the_checkouts_own_page_is_found(self) -> None:
        folder = client_folder()
        assert folder is not None
        self.assertTrue((folder / "client.html").is_file())

    def test_only_reading(self) -> None:
        for path in ("/", "/stats", "/healthz", "/readyz", "/metrics", "/client/"):
            self.assertEqual(self.ask(path, method="POST").code, 405, path)

    def test_foreign_hosts(self) -> None:
        for path in ("/", "/client/", "/stats", "/qoe", "/metrics", "/healthz"):
            self.assertEqual(self.ask(path, host="evil.example").code, 421, path)


class StatsTests(PageTestCase):
    def test_its_fields_are_those_that_page_and_demo_read(self) -> None:
        self.proxy.learn()
        self.proxy.answer(f"/dash/{SEGMENT}?CMCD=bl%3D2000%2Csid%3D%22a%22")
        document = json.loads(self.ask("/stats").body)
        self.assertEqual(document["v"], 1)
        self.assertEqual(document["peer"], self.peer.peer_id.hex())
        self.assertEqual((document["mode"], document["message"]), ("sharing", None))
        self.assertEqual(document["presentation"], self.swarm.film.index.presentation_id)
        size = len(self.swarm.film.files[SEGMENT])
        self.assertEqual(document["bytes"]["origin"], size)
        self.assertEqual(document["bytes"]["delivered"], size)
        self.assertEqual(
            set(document["bytes"]),
            {
                *("cache", "peers", "origin", "delivered", "uploaded"),
                *("duplicate", "wasted", "spare", "control"),
            },
        )
        [session] = document["sessions"]
        self.assertEqual((session["sid"], session["buffer_s"]), ("a", 2.0))
        [segment] = document["segments"]
        self.assertEqual((segment["path"], segment["origin"]), (SEGMENT, size))
        self.assertEqual(document["neighbours"], [])
        self.assertEqual(set(document["cache"]), {"bytes", "quota_bytes", "segments"})
        self.assertEqual(document["tracker"], {"reachable": False, "asked": False})
        self.assertEqual(document["origin"], {"reachable": True})
        self.assertEqual(set(document["start"]), {"announced_s", "indexed_s"})

    def test_an_origin_that_has_not_even_given_the_index_is_away(self) -> None:
        self.proxy.presentation.mode = "no-origin"
        self.assertEqual(json.loads(self.ask("/stats").body)["origin"], {"reachable": False})
        self.assertIn(b"dashp2p_peer_origin_reachable 0", self.ask("/metrics").body)

    def test_a_neighbour_is_shown_by_its_id_and_figures(self) -> None:
        other = self.swarm.add_peer()
        self.swarm.connect_all()
        other.play(SEGMENT)
        self.swarm.advance(1.0)
        self.peer.play(SEGMENT)
        self.swarm.advance(1.0)
        body = self.ask("/stats").body
        [neighbour] = json.loads(body)["neighbours"]
        self.assertEqual(neighbour["peer"], other.peer_id.hex())
        self.assertGreater(neighbour["received_bytes"], 0)
        self.assertGreater(neighbour["rtt_ms"], 0)
        self.assertEqual(neighbour["download_measured"], False, "it took no time in memory")
        self.peer.engine.node.state.neighbours[other.peer_id].download.measured = True
        [neighbour] = json.loads(self.ask("/stats").body)["neighbours"]
        self.assertEqual(neighbour["download_measured"], True)
        self.assertEqual(neighbour["upload_measured"], False)
        self.assertNotIn(other.host.encode(), body, "addresses are nobody's business")

    def test_who_watches_what_is_this_machines_business_only(self) -> None:
        self.report()
        self.peer.play(SEGMENT)
        self.swarm.advance(2.0)
        here = json.loads(self.ask("/stats").body)
        self.assertEqual(len(here["sessions"]), 1)
        self.assertTrue(here["segments"])
        for how in ELSEWHERE:
            answer = self.ask("/stats", *how.get("headers", ()), **_without_headers(how))
            told = json.loads(answer.body)
            self.assertEqual((told["sessions"], told["segments"]), ([], []), how)
            self.assertEqual((answer.code, told["bytes"]), (200, here["bytes"]), how)
            self.assertNotIn(BEACON["sid"].encode(), answer.body)

    def test_metrics_are_this_machines_business_only(self) -> None:
        for how in ELSEWHERE:
            answer = self.ask("/metrics", *how.get("headers", ()), **_without_headers(how))
            self.assertEqual(answer.code, 403, how)
            self.assertIn("--admin", json.loads(answer.body)["error"])
        self.assertEqual(self.ask("/metrics").code, 200)

    def test_the_admin_listener_shows_it_to_anyone(self) -> None:
        for path in ("/stats", "/metrics"):
            self.assertEqual(self.ask(path, peer=STRANGER, private=True).code, 200)

    def test_pages_of_other_sites_do_not_see_it(self) -> None:
        for header in ("Origin: https://evil.example", "Sec-Fetch-Site: cross-site"):
            answer = self.ask("/stats", header)
            self.assertEqual(answer.code, 403)
            self.assertNotIn("access-control-allow-origin", answer.headers)

    def test_a_site_that_was_allowed_sees_it_on_this_machine(self) -> None:
        answer = self.ask("/stats", "Origin: https://films.example")
        self.assertEqual(answer.code, 200)
        self.assertEqual(answer.headers["access-control-allow-origin"], "https://films.example")

    def test_what_it_costs_is_told_to_prometheus(self) -> None:
        answer = self.ask("/metrics")
        self.assertIn("text/plain", answer.headers["content-type"])
        for name in (
            b'dashp2p_peer_bytes_total{kind="origin"}',
            b'dashp2p_peer_leases_total{kind="won"}',
            b"dashp2p_peer_neighbours 0",
            b"dashp2p_peer_cache_bytes",
        ):
            self.assertIn(name, answer.body)

    def test_what_announces_carry_is_flat_and_finite(self) -> None:
        for name, value in self.stats.for_announce().items():
            self.assertRegex(name, r"^[a-z_]+$")
            self.assertIsInstance(value, float)

    def test_announces_name_whom_most_came_from_by_half_an_id(self) -> None:
        neighbours = self.peer.engine.node.state.neighbours
        for number in range(MAX_SERVED_BY + 5):
            neighbour = Neighbour(bytes([number]) * 32)
            neighbour.received_bytes = number
            neighbours[neighbour.peer_id] = neighbour
        served_by = self.stats.served_by()
        neighbours.clear()
        self.assertEqual(len(served_by), MAX_SERVED_BY)
        self.assertEqual(max(served_by.items(), key=lambda item: item[1]), ("22" * 8, 34))
        self.assertNotIn("00" * 8, served_by)


class QoeTests(PageTestCase):
    def test_a_report_is_kept(self) -> None:
        answer = self.report()
        self.assertEqual((answer.code, answer.body), (204, b""))
        [session] = json.loads(self.ask("/stats").body)["sessions"]
        self.assertEqual(session["qoe"]["player"], "dash.js 5.1.1")

    def test_it_must_say_that_it_is_json(self) -> None:
        for header in (
            "Content-Type: text/plain",
            "Content-Type: application/x-www-form-urlencoded",
            "Accept: */*",
        ):
            self.assertEqual(self.report(BEACON, header).code, 415)
        self.assertEqual(list(self.proxy.sessions), [])

    def test_what_makes_no_sense_is_refused_with_a_sentence(self) -> None:
        bodies: tuple[object, ...] = (
            {**BEACON, "state": "bored"},
            {**BEACON, "state": []},
            {**BEACON, "stalls": -1},
            [],
            b"{",
            b'{"v":1,"sid":"a","stalls":NaN}',
            b"",
        )
        for body in bodies:
            answer = self.report(body)
            self.assertEqual(answer.code, 400, body)
            self.assertTrue(json.loads(answer.body)["error"])

    def test_it_is_bounded(self) -> None:
        answer = self.report({**BEACON, "more": "x" * MAX_QOE_BYTES})
        self.assertEqual(answer.code, 413)

    def test_pages_of_other_sites_may_not_report(self) -> None:
        for header in ("Origin: https://evil.example", "Origin: null"):
            self.assertEqual(self.report(BEACON, JSON, header).code, 403)
        self.assertEqual(list(self.proxy.sessions), [])

    def test_a_site_that_was_allowed_may_and_is_told_so_before(self) -> None:
        asking = (
            "Origin: https://films.example",
            "Access-Control-Request-Method: POST",
            "Access-Control-Request-Headers: content-type",
        )
        preflight = self.ask("/qoe", *asking, method="OPTIONS")
        self.assertEqual(preflight.code, 204)
        self.assertIn("POST", preflight.headers["access-control-allow-methods"])
        self.assertIn("Content-Type", preflight.headers["access-control-allow-headers"])
        self.assertEqual(self.report(BEACON, JSON, asking[0]).code, 204)

    def test_other_sites_are_told_that_they_may_not(self) -> None:
        preflight = self.ask("/qoe", "Origin: https://evil.example", method="OPTIONS")
        self.assertEqual(preflight.code, 403)
        self.assertNotIn("access-control-allow-origin", preflight.headers)

    def test_other_methods(self) -> None:
        for method in ("GET", "PUT", "DELETE"):
            self.assertEqual(self.ask("/qoe", method=method).code, 405)


class CmcdReportTests(PageTestCase):
    """POST /cmcd."""

    TYPE = "Content-Type: application/cmcd"

    def tell(self, body: bytes, *headers: str, **how: Any) -> Answer:
        return self.ask("/cmcd", *(headers or (self.TYPE,)), method="POST", body=body, **how)

    def qoe(self) -> dict[str, Any]:
        [session] = json.loads(self.ask("/stats").body)["sessions"]
        qoe: dict[str, Any] = session["qoe"]
        return qoe

    def test_a_players_own_reports_make_its_sessions_qoe(self) -> None:
        answer = self.tell(
            b'e=ps,sid="a-session",sta=p,ts=1000,br=(1000;v)\n'
            b'e=t,sid="a-session",sta=p,ts=9000,br=(1000;v)\n'
            b'e=ps,sid="a-session",sta=r,ts=9000\n'
            b'e=ps,sid="a-session",sta=p,ts=11000\n'
        )
        self.assertEqual((answer.code, answer.body), (204, b""))
        qoe = self.qoe()
        self.assertEqual((qoe["source"], qoe["stalls"], qoe["stall_ratio"]), ("cmcd", 1, 0.2))
        self.assertEqual((qoe["score"], qoe["score_per_segment"]), (2 - 8.6, -3.3))

    def test_they_are_believed_before_the_pages_report_which_still_names_the_player(self) -> None:
        self.report()
        self.assertEqual(self.qoe()["source"], "beacon")
        self.tell(b'e=ps,sid="a-session",sta=p,ts=1000,br=(1000;v)')
        self.assertEqual((self.qoe()["source"], self.qoe()["stalls"]), ("cmcd", 0))
        self.assertEqual(self.qoe()["player"], "dash.js 5.1.1")

    def test_it_must_say_what_it_is(self) -> None:
        for header in ("Content-Type: text/plain", "Accept: */*", JSON):
            self.assertEqual(self.tell(b'e=ps,sid="a"', header).code, 415)
        self.assertEqual(self.tell(b'e=ps,sid="a"', "Content-Type: text/cmcd").code, 204)
        self.assertEqual(len(list(self.proxy.sessions)), 1)

    def test_it_is_bounded_in_size_and_number(self) -> None:
        self.assertEqual(self.tell(b"x" * (MAX_CMCD_BYTES + 1)).code, 413)
        codes = {self.tell(b"-").code for _ in range(2 * REPORTS_BURST)}
        self.assertEqual(codes, {204, 429})

    def test_pages_of_other_sites_may_not_report(self) -> None:
        for header in ("Origin: https://evil.example", "Origin: null"):
            self.assertEqual(self.tell(b'e=ps,sid="a"', self.TYPE, header).code, 403)
        self.assertEqual(self.tell(b'e=ps,sid="a"', host="evil.example").code, 421)
        self.assertEqual(list(self.proxy.sessions), [])

    def test_it_only_takes(self) -> None:
        for method in ("GET", "PUT", "DELETE"):
            self.assertEqual(self.ask("/cmcd", method=method).code, 405)
        asking = ("Origin: https://films.example", "Access-Control-Request-Method: POST")
        self.assertEqual(self.ask("/cmcd", *asking, method="OPTIONS").code, 204)

    def test_the_metrics_sum_them_up_without_a_sessions_name(self) -> None:
        self.tell(
            b'e=ps,sid="a-session",sta=p,ts=1000,br=(1000;v),msd=700\n'
            b'e=ps,sid="a-session",sta=r,ts=9000\ne=ps,sid="a-session",sta=p,ts=11000\n'
        )
        text = self.ask("/metrics").body.decode()
        for line in (
            "dashp2p_peer_player_sessions 1.0",
            "dashp2p_peer_player_played_seconds_total 8.0",
            "dashp2p_peer_player_stalled_seconds_total 2.0",
            "dashp2p_peer_player_stalls_total 1.0",
            'dashp2p_peer_player_startup_seconds_bucket{le="1"} 1.0',
            "dashp2p_peer_player_bitrate_bits_per_second 1e+06",
        ):
            self.assertIn(line + "\n", text)
        self.assertNotIn("a-session", text)


class ForeignTests(PageTestCase):
    """Every route, and what a page of another site, or one under a false name, makes of it."""

    def routes(self) -> dict[str, set[str]]:
        routes: dict[str, set[str]] = {}
        for rule in Page.app.url_map.iter_rules():
            routes.setdefault(rule.rule, set()).update(rule.methods or ())
        return routes

    def test_what_is_written_to_is_a_report_and_nothing_else(self) -> None:
        writing = {path for path, methods in self.routes().items() if "POST" in methods}
        self.assertEqual(writing, set(REPORTS))
        for path, methods in self.routes().items():
            self.assertLessEqual(methods, {"GET", "HEAD", "POST", "OPTIONS"}, path)

    def test_no_route_answers_to_a_name_that_was_made_to_lead_here(self) -> None:
        for path in self.routes():
            self.assertEqual(self.ask(path, host="evil.example:8001").code, 421, path)

    def test_no_page_of_another_site_may_report(self) -> None:
        for path, media_type in REPORTS.items():
            for header in ("Origin: https://evil.example", "Origin: null"):
                answer = self.ask(path, media_type, header, method="POST", body=b"{}")
                self.assertEqual(answer.code, 403, path)
                self.assertNotIn("access-control-allow-origin", answer.headers)
                asked_before = self.ask(path, header, method="OPTIONS")
                self.assertEqual(asked_before.code, 403, path)

    def test_no_report_comes_in_a_type_that_any_page_may_send(self) -> None:
        for path in REPORTS:
            for simple in (
                "text/plain",
                "application/x-www-form-urlencoded",
                "multipart/form-data",
            ):
                answer = self.ask(path, f"Content-Type: {simple}", method="POST", body=b"{}")
                self.assertEqual(answer.code, 415, (path, simple))

    def test_reports_are_paced_by_who_sends_them(self) -> None:
        for path, media_type in REPORTS.items():
            self.page = self.make_page(self.folder)
            site = BoundedSite(self.page, self.swarm.clock)
            codes = [self.post(site, path, media_type) for _ in range(REPORTS_BURST + 1)]
            self.assertNotIn(429, codes[:-1], path)
            self.assertEqual(codes[-1], 429, path)
            self.assertNotEqual(self.post(site, path, media_type, peer=STRANGER), 429, path)

    def post(self, site: BoundedSite, path: str, media_type: str, **how: IAddress) -> int:
        connection = Connection(site, **how)
        lines = [
            f"POST {path} HTTP/1.0",
            "Host: localhost",
            media_type,
            "Content-Length: 2",
            "",
            "",
        ]
        connection.send("\r\n".join(lines).encode() + b"{}")
        return Answer.of(connection).code

    def test_nothing_written_is_ever_told_to_another(self) -> None:
        for path in REPORTS:
            self.assertEqual(self.ask(path).code, 405, path)


class HealthTests(PageTestCase):
    def test_it_is_alive(self) -> None:
        self.reasons.append("not ready at all")
        self.assertEqual(self.ask("/healthz").code, 200)

    def test_it_is_ready_when_nothing_speaks_against_it(self) -> None:
        self.assertEqual(self.ask("/readyz").code, 200)
        self.reasons.append("the index is not here yet")
        answer = self.ask("/readyz")
        self.assertEqual(answer.code, 503)
        self.assertEqual(json.loads(answer.body)["reasons"], ["the index is not here yet"])

    def test_what_is_not_there(self) -> None:
        self.assertEqual(self.ask("/nothing").code, 404)
